"""The directory of one run: its ledger, a note of what was made from it, and the command that resumes it."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck._engine.ledger import FAILED_FILE, FILE, release_ledger, shared_ledger
from limbeck._engine.stores import refuse_url
from limbeck.errors import ConfigurationError, LedgerError

from .settings import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .run_options import RunOptions

PARENT = "runs"
NOTE = "run.json"
_OWN_FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm", FAILED_FILE, "lock.sqlite", NOTE, "run.new")
_LLM_SETTING = re.compile(r"(--set=)?((?:tasks\..+\.)?llm\.[^=]+)=(.*)", re.DOTALL)


class RunFolder:
    """Where a run keeps its answers.

    Args:
        path: as the user would type it.
        typed: the command line behind `limbeck`; None for one that asks nothing, and so cannot go on.
        fresh: whether it is made for this run, which the command line does not name.

    Attributes:
        path: the directory. fresh: as given.
        used: whether it holds something worth keeping; a fresh one goes away else.
        command: what to type to go on in it, or None.
    """

    def __init__(self, path: str, typed: Sequence[str] | None, *, fresh: bool = False) -> None:
        refuse_url(path)
        self.path = Path(path)
        self.used = not fresh
        self.command = None if typed is None else _resuming(typed, path if fresh else None)
        self.fresh = fresh
        self._alone = not self.path.parent.exists()

    @property
    def failed(self) -> Path | None:
        """The rows that failed in the last run here, or None if none did."""
        path = self.path / FAILED_FILE
        return path if path.is_file() else None

    def made(self, output: str) -> bool:
        """Whether `output` was made from the answers here, and so can be made again."""
        return _absolute(output) in self._noted()["outputs"]

    def refuse_own_file(self, path: str | None, what: str) -> None:
        """Raise if `path` is the list of failed rows, which every run here writes anew."""
        if path is not None and Path(path).resolve() == (self.path / FAILED_FILE).resolve():
            raise ConfigurationError(
                f"The {what} {path!r} belongs to the run directory, and is written anew by every run in it. "
                "Take a copy of it, or another run directory."
            )

    def require_ledger(self) -> None:
        """Raise unless answers are kept here."""
        if not (self.path / FILE).is_file():
            raise LedgerError(f"There is no ledger in {str(self.path)!r}, so there are no answers to read anew.")

    @contextmanager
    def held(self, output: str, run: RunOptions) -> Iterator[None]:
        """Keep everybody else out for the block.

        Args:
            output: what will be made: a path, or "-". run: with the ledger's own options.

        Raises:
            LedgerError: it cannot be used, or another process uses it.
        """
        ledger = self._open(run)
        try:
            self._note(output)
            yield
        finally:
            release_ledger(ledger)
            if not self.used:
                self._remove()

    def _open(self, run: RunOptions) -> Any:
        try:
            return shared_ledger(
                self.path, durability=run.durability or "normal", requests=run.ledger_requests or "full"
            )
        except LedgerError as exc:
            if not self.fresh:
                raise
            raise LedgerError(f"{exc} Name one with --run-dir, or keep no answers with --no-ledger.") from exc

    def _noted(self) -> dict[str, Any]:
        path = self.path / NOTE
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            noted = {}
        except (OSError, ValueError) as exc:
            raise ConfigurationError(
                f"{str(path)!r}, which says what was made from the run, cannot be read: {exc}. Delete it, and give "
                "--overwrite."
            ) from exc
        return {"command": noted.get("command"), "outputs": noted.get("outputs") or []}

    def _note(self, output: str) -> None:
        """Note what will be made, before it is there: a kill may come at any moment."""
        note = self._noted()
        note["command"] = self.command or note["command"]
        if output != "-":
            note["outputs"] = list(dict.fromkeys([*note["outputs"], _absolute(output)]))
        text = json.dumps(note, indent=2, ensure_ascii=False) + "\n"
        path = self.path / NOTE
        try:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                whole = path.with_suffix(".new")
                whole.write_text(text, encoding="utf-8")
                whole.replace(path)
        except OSError as exc:
            raise LedgerError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc

    def _remove(self) -> None:
        """Leave no trace of a run that asked nothing."""
        with suppress(OSError):
            for name in _OWN_FILES:
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()
            if self._alone:
                self.path.parent.rmdir()


def fresh_path(name: str) -> str:
    """A new directory's path, below the working directory."""
    word = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"
    return f"{PARENT}/{word}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _absolute(path: str) -> str:
    return str(Path(path).resolve())


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
