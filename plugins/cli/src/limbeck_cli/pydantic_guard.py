"""Keeps one malformed `entry_points.txt`, of whatever package, from taking every command down.

pydantic reads the entry points of all distributions at its first model class, unguarded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .exits import say_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.plugins import Problem

VARIABLE = "PYDANTIC_DISABLE_PLUGINS"


def make_pydantic_usable() -> None:
    """Make pydantic's first model class; where metadata is malformed, without pydantic's plugins and with a warning.

    Call it before the first import of a task or an LLM.
    """
    from pydantic import create_model

    try:
        create_model("Probe", field=(int, ...))
    except Exception:
        from limbeck.plugins import malformed_metadata

        problems = malformed_metadata()
        if not problems:
            raise
        os.environ[VARIABLE] = "1"  # read at every model class; child processes inherit it
        say_warning(f"{advice(problems)} This command goes on as if it were set.")


def advice(problems: Sequence[Problem]) -> str:
    """What is malformed, whose it is, and the remedy."""
    faults = " ".join(f"{_owner(problem)}: {problem.subject}: {problem.message}." for problem in problems)
    owners = sorted({problem.distribution for problem in problems if problem.distribution})
    mend = f"Mend the file, or: pip uninstall {' '.join(owners)};" if owners else "Mend or delete the file;"
    return f"Malformed package metadata, over which pydantic trips: {faults} {mend} or set {VARIABLE}=1."


def _owner(problem: Problem) -> str:
    return f"{problem.distribution} {problem.version}".strip() or "an unnamed distribution"
