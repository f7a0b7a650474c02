"""The command's exit status, and all that it prints."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

from limbeck.errors import printable

if TYPE_CHECKING:
    from typing import TextIO


class ExitCode(IntEnum):
    """The exit status.

    Attributes:
        GOOD: every row is good. ERROR: nothing was done. USAGE: the command line is wrong.
        FAILED_ROWS: finished, and some rows failed. BUDGET: stopped before it would pass a cap.
        STOPPED: ended early for another reason. What was done is kept in both.
        INTERRUPTED: Ctrl-C. BROKEN_PIPE: whoever read the output went away. TERMINATED: SIGTERM.
    """

    GOOD = 0
    ERROR = 1
    USAGE = 2
    FAILED_ROWS = 3
    BUDGET = 4
    STOPPED = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


def echo(text: str = "", *, err: bool = False, nl: bool = True, fg: str | None = None, bold: bool = False) -> None:
    """Print to stdout, or to stderr. All that the command prints goes through here, but for rows and JSON.

    What servers, files and plugins have written comes without its control characters.
    """
    text = printable(text)
    typer.echo(typer.style(text, fg=fg, bold=bold) if fg or bold else text, err=err, nl=nl)


def say(text: str) -> None:
    """Print one line to the user, on stderr."""
    echo(text, err=True)


def say_error(text: str) -> None:
    """Print why something was not done, on stderr."""
    echo("error: ", fg="red", bold=True, nl=False, err=True)
    echo(text, err=True)


def say_warning(text: str) -> None:
    """Print what the user should know, on stderr."""
    echo("warning: ", fg="yellow", bold=True, nl=False, err=True)
    echo(text, err=True)


def show_warning(  # noqa: PLR0917 - the signature of `warnings.showwarning`
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print Limbeck's own warnings without the place in Limbeck's source; a replacement for `warnings.showwarning`."""
    from warnings import formatwarning

    from limbeck.errors import LimbeckWarning

    if issubclass(category, LimbeckWarning):
        say_warning(str(message))
    else:
        (file or sys.stderr).write(printable(formatwarning(message, category, filename, lineno, line)))


def forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere: whoever read stdout went away."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's stand-in for a file
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
