"""What the command adds to a run's directory: the command that resumes it, and no trace of a run that did nothing."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError, LedgerError
from limbeck.recipes import is_secret
from limbeck.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from limbeck.recipes import RunSettings

_LLM_SETTING = re.compile(r"(--set=)?((?:(?:tasks|steps)\..+\.)?llm\.[^=]+)=(.*)", re.DOTALL)


class CommandFolder(Run):
    """Where a run of the command keeps its answers.

    Args:
        path: as the user would type it.
        typed: the command line behind `limbeck`; None for one that asks nothing, and so cannot go on.
        fresh: whether it is made for this run, which the command line does not name.

    Attributes:
        fresh: as given. used: whether it holds something worth keeping; a fresh one goes away else.
        command: what to type to go on in it, or None.
    """

    def __init__(self, path: str, typed: Sequence[str] | None, *, fresh: bool = False) -> None:
        super().__init__(path)
        typed = None if typed is None else list(typed)
        self.used = not fresh
        self.fresh = fresh
        self.command = None if typed is None else _resuming(typed, path if fresh else None)
        self._resumed = typed is not None and typed[:1] in (
            ["resume"],
            ["retry"],
        )  # the command that began it stays noted
        self._alone = not self.path.parent.exists()

    @property
    def failed(self) -> Path | None:
        """The rows that failed in the last run here, or None if none did."""
        return self.failed_rows if self.failed_rows.is_file() else None

    def refuse_own_file(self, path: str, what: str) -> None:
        """Raise if `path` is the list of failed rows, which every run here writes anew."""
        if Path(path).resolve() == self.failed_rows.resolve():
            raise ConfigurationError(
                f"The {what} {path!r} belongs to the run directory, and is written anew by every run in it. "
                "Take a copy of it, or another run directory."
            )

    def require_ledger(self) -> None:
        """Raise unless answers are kept here."""
        if not self.ledger.is_file():
            raise LedgerError(f"There is no ledger in {str(self.path)!r}, so there are no answers to read anew.")

    @contextmanager
    def held(self, settings: RunSettings) -> Iterator[None]:
        """Keep everybody else out for the block, and note the command.

        Raises:
            LedgerError: it cannot be used, or another process uses it.
        """
        with ExitStack() as holding:
            self._enter(holding, settings)
            try:
                if self.command is not None and not self._resumed:
                    self.note_command(self.command)
                yield
            finally:
                holding.close()  # before its files go
                if not self.used:
                    self._remove()

    def _enter(self, holding: ExitStack, settings: RunSettings) -> None:
        durability, requests = settings.durability or "normal", settings.ledger_requests or "full"
        try:
            holding.enter_context(self.hold(durability=durability, ledger_requests=requests))
        except LedgerError as exc:
            if not self.fresh:
                raise
            raise LedgerError(f"{exc} Name one with --run-dir, or keep no answers with --no-ledger.") from exc

    def _remove(self) -> None:
        """Leave no trace of a run that did nothing."""
        self.discard()
        if self._alone:
            with suppress(OSError):
                self.path.parent.rmdir()


def _resuming(typed: Sequence[str], path: str | None) -> str:
    """The command that goes on in the directory; the value of a secret is left out."""
    words = [_without_secret(word) for word in typed]
    if path is not None:
        end = words.index("--") if "--" in words else len(words)
        words[end:end] = ["--run-dir", path]
    return shlex.join(["limbeck", *words])


def _without_secret(word: str) -> str:
    setting = _LLM_SETTING.fullmatch(word)
    if setting is None or not (is_secret(setting[2]) or re.search(r"://[^/]*@", setting[3])):
        return word
    return f"{setting[1] or ''}{setting[2]}=…"
