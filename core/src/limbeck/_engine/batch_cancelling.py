"""Ends of provider batches that somebody asks for: of those that are open in a run directory, whoever runs there.

The directory is only read. What a batch had answered by then, and which rows it did not, is read
by the run that goes on there.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import GenerationError, LedgerError
from .backend import backend_of
from .ledger_file import FILE
from .portal import portal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backend import Backend

_OPEN = "SELECT step, endpoint, batch, requests FROM batches WHERE ended_at IS NULL ORDER BY at"


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A batch that was open, and what came of asking for its end.

    Attributes:
        step: whose it is. batch: the provider's name for it; None where it is not known to have been accepted.
        requests: how many entries it has. fault: why its end was not asked for, or was refused; None for done.
    """

    step: str
    batch: str | None
    requests: int
    fault: str | None = None


class _Open(NamedTuple):
    step: str
    endpoint: str
    batch: str | None
    requests: int


def cancel_batches(folder: str | Path, llms: Mapping[str, Any]) -> list[BatchEnd]:
    """Ask for the end of every batch that is open in a run directory.

    Args:
        llms: who is to be asked, by the step's name.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
        ConfigurationError: a provider's SDK or key is missing.
    """
    return [
        BatchEnd(each.step, each.batch, each.requests, _cancelled(each, llms.get(each.step)))
        for each in _open_in(Path(folder))
    ]


def configured_llms(folder: str | Path) -> dict[str, Any]:
    """The configuration of each step's LLM as it last ran in a run directory, without secrets.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    stored = {str(name): json.loads(config) for name, config in _read(Path(folder), "SELECT name, config FROM steps")}
    return {name: config["llm"] for name, config in stored.items() if "llm" in config}


def _open_in(folder: Path) -> list[_Open]:
    return [_Open(*record) for record in _read(folder, _OPEN)]


def _read(folder: Path, query: str) -> list[tuple[Any, ...]]:
    path = folder / FILE
    if not path.is_file():
        raise LedgerError(f"There is no ledger in {str(folder)!r}.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as reader:
            return reader.execute(query).fetchall()
    except sqlite3.Error as exc:
        raise LedgerError(f"{str(path)!r} cannot be read: {exc}.") from exc


def _cancelled(batch: _Open, llm: Any) -> str | None:
    """Ask for the end of a batch; why it cannot be, or None."""
    if batch.batch is None:
        return "it is not known to have been accepted; going on with the run looks for it, and then it can be cancelled"
    if llm is None:
        return "no task of the run has that name any more"
    if getattr(llm, "cancel_batch", None) is None:
        return f"`{type(llm).__name__}` has no provider batches"
    backend = backend_of(llm)
    if backend.endpoint != batch.endpoint:
        return f"it is of {_told(batch.endpoint)}, and the task asks {_told(backend.endpoint)} now"
    load = getattr(llm, "load", None)
    if load is not None:
        load()
    try:
        portal().wait(_cancel(backend, batch.batch))
    except (GenerationError, LedgerError) as exc:
        return str(exc).rstrip(".")
    return None


async def _cancel(backend: Backend, id: str) -> None:
    try:
        async with asyncio.timeout(backend.timeout):
            await backend.llm.cancel_batch(id)
    except Exception as exc:  # the isolation boundary of backends: one call
        raise backend.typed(exc) from exc


def _told(endpoint: str) -> str:
    _, url, model = json.loads(endpoint)
    return f"{model!r}" + (f" at {url}" if url else "")
