"""Ends of provider batches that somebody asks for: of those that are open in a run directory, whoever runs there.

The directory is only read. What a batch had answered by then, and which rows it did not, is read
by the run that goes on there.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import LimbeckError, described
from ..ledger.file import reader_of
from ..online.backend import backend_of
from ..threads.portal import portal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..online.backend import Backend

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


def cancel_batches(folder: str | Path, llm_of: Callable[[str], Any]) -> Iterator[BatchEnd]:
    """Ask for the end of every batch that is open in a run directory, one after another; each is told at once.

    Args:
        llm_of: gives who is to be asked, by the step's name; None where there is no such step. What it raises is told
            as the fault of that step's batches.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with reader_of(folder) as reader:
        found = [_Open(*record) for record in reader.execute(_OPEN)]
    for each in found:
        yield BatchEnd(each.step, each.batch, each.requests, _fault(each, llm_of))


def configured_llm(folder: str | Path, step: str) -> Any:
    """The configuration of a step's LLM as it last ran in a run directory, without secrets; None where it has none.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with reader_of(folder) as reader:
        record = reader.execute("SELECT config FROM steps WHERE name = ?", (step,)).fetchone()
    return None if record is None else json.loads(record[0]).get("llm")


def _fault(batch: _Open, llm_of: Callable[[str], Any]) -> str | None:
    """Ask for the end of a batch; why it cannot be, or None."""
    try:
        return _cancelled(batch, llm_of)
    except LimbeckError as exc:
        return str(exc).rstrip(".")
    except Exception as exc:  # noqa: BLE001 - the isolation boundary of batches: the others are paid for too
        return described(exc)


def _cancelled(batch: _Open, llm_of: Callable[[str], Any]) -> str | None:
    if batch.batch is None:
        return "it is not known to have been accepted; going on with the run looks for it, and then it can be cancelled"
    llm = llm_of(batch.step)
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
    portal().wait(_cancel(backend, batch.batch))
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
