"""The directory of one run: where its ledger, its outputs and what is to be said of it are kept."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._engine.ledger.file import FAILED_FILE, FILE
from ..._engine.ledger.kept import KEPT
from ...errors import ConfigurationError, LedgerError, LimbeckError
from .run_state import NOTE, REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..graph.graph import Graph

PARENT = "runs"
OUTPUTS = "outputs"
_ANY = "*"  # in place of a mark, where there is none
_OWN_FILES = (
    *(FILE, f"{FILE}-wal", f"{FILE}-shm", KEPT, FAILED_FILE, "lock.sqlite"),
    *(NOTE, REPORT, "run.new", "report.new"),
)


def fresh_path(name: str) -> str:
    """A new directory's path, below the working directory."""
    word = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"
    return f"{PARENT}/{word}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class RunFolder:
    """A run directory's files, beside the ledger.

    Args:
        path: the directory, which need not be there.

    Raises:
        ConfigurationError: it is a URL, of a store that has no place for files beside the answers.
    """

    def __init__(self, path: str | Path) -> None:
        _refuse_url(path)
        self.path = Path(path)

    @property
    def outputs(self) -> Path:
        """The directory of the rows of leaves that are no sinks."""
        return self.path / OUTPUTS

    def made(self, target: str, mark: str | None = None) -> bool:
        """Tell whether what is at `target` was made from the answers here, or is gone, and so can be made again.

        Args:
            mark: of the file; by default it is looked at.
        """
        from ..._files.drafts import mark_of  # which needs pydantic

        noted = self.noted()
        key = next((key for key in (target, _digest(target)) if key in noted["outputs"]), None)
        if key is None or "made" not in noted:  # as of runs before there were marks
            return key is not None
        marks = noted["made"].get(key, [])
        return _ANY in marks or (mark or mark_of(target)) in (None, *marks)

    def note_made(self, target: str, graph: Graph, mark: str | None) -> None:
        """Note the mark of an output that is about to be there; the one before it may be there still.

        Raises:
            LedgerError: it cannot be written.
        """
        noted, key = self.noted(), _noted_as(target, graph)
        made = noted.setdefault("made", {})
        earlier = [each for each in made.get(key, [])[-1:] if each != _ANY]
        made[key] = [*earlier, mark] if mark is not None else earlier
        self.write(NOTE, noted)

    def noted(self) -> dict[str, Any]:
        """Read the note of the run: `command`, `outputs` and, once it has begun, the rest.

        Raises:
            ConfigurationError: it cannot be read.
        """
        path = self.path / NOTE
        try:
            noted = dict(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):  # the ledger tells of what is no directory
            noted = {}
        except (OSError, ValueError, TypeError, RecursionError) as exc:
            raise ConfigurationError(
                f"{str(path)!r}, which says what was made from the run, cannot be read: {exc}. Delete it, and let "
                "the outputs be overwritten."
            ) from exc
        return {**noted, "command": noted.get("command"), "outputs": noted.get("outputs") or []}

    def note(
        self, graph: Graph, targets: Sequence[str], *, unmarked: Sequence[str] = (), command: str | None = None
    ) -> None:
        """Note what is run and what will be made, before it is there: a kill may come at any moment.

        Args:
            targets: all outputs. unmarked: those of sinks that do not tell when they make them.

        Raises:
            LedgerError: it cannot be written.
        """
        noted = self.noted()
        made = [_noted_as(target, graph) for target in targets]
        noted |= {
            "name": graph.name,
            "command": command or noted["command"],
            "outputs": list(dict.fromkeys([*noted["outputs"], *made])),
            "made": self._marks(noted) | {_noted_as(target, graph): [_ANY] for target in unmarked},
            "started": noted.get("started") or now(),
            "config": _config(graph),
            "versions": _versions(graph),
        }
        self.write(NOTE, noted)

    def note_command(self, command: str) -> None:
        """Note what to type to go on here.

        Raises:
            LedgerError: it cannot be written.
        """
        self.write(NOTE, {**self.noted(), "command": command})

    def _marks(self, noted: dict[str, Any]) -> dict[str, list[str]]:
        """The marks of what was made; of runs before there were marks, whatever is there is theirs."""
        marks: dict[str, list[str]] = noted.get("made", {key: [_ANY] for key in noted["outputs"]})
        return marks

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file as a whole.

        Raises:
            LedgerError: it cannot be written.
        """
        path = self.path / name
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        try:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                whole = path.with_suffix(".new")
                whole.write_text(text, encoding="utf-8", errors="backslashreplace")  # as JSON writes a lone surrogate
                whole.replace(path)
        except OSError as exc:
            raise LedgerError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc

    def forget(self, name: str) -> None:
        """Delete one of its files, if it is there.

        Raises:
            LedgerError: it cannot be deleted.
        """
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            raise LedgerError(f"{str(path)!r} cannot be deleted: {exc.strerror or exc}.") from exc

    def discard(self) -> None:
        """Delete what a run made here, and the directory where it holds nothing else; what cannot be deleted stays."""
        with suppress(OSError):
            for name in _OWN_FILES:
                (self.path / name).unlink(missing_ok=True)
            if self.outputs.is_dir():
                self.outputs.rmdir()
            self.path.rmdir()


def _refuse_url(where: str | Path) -> None:
    if isinstance(where, str) and "://" in where:
        scheme = where.partition("://")[0]
        raise ConfigurationError(
            f"`run_dir` is a URL of the scheme {scheme!r}, and outputs are kept beside the answers here, so it must be "
            "a directory. `task.run(rows, run_dir=…)` takes a URL."
        )


def now() -> str:
    """The time, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _noted_as(target: str, graph: Graph) -> str:
    """An output by its place, or by a digest of it where a part of it was taken from the environment."""
    shown = graph.file is None or graph.file.hidden(target) == target
    return target if shown else _digest(target)


def _digest(target: str) -> str:
    return f"blake2b:{blake2b(target.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _config(graph: Graph) -> dict[str, Any] | None:
    """The configuration of a pipeline that was read from one; of one made in Python, code and rows would be lacking."""
    if graph.file is None:
        return None
    try:
        return graph.file.config(graph)
    except LimbeckError:
        return None


def _versions(graph: Graph) -> dict[str, str]:
    """The core and each distribution that a step or an LLM comes from, with its version."""
    objects = [each for step in graph.steps.values() for each in (step, getattr(step, "llm", None))]
    packages = {type(each).__module__.partition(".")[0] for each in objects if each is not None}
    names = {"limbeck": "limbeck-core"}
    found = {}
    for package in sorted({"limbeck", *packages}):
        distribution = names.get(package, package.replace("_", "-"))
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:  # a module of the user's own
            continue
    return found
