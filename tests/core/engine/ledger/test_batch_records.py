"""The records of provider batches: what an earlier run left open, with the entries that are still to be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from limbeck._engine.calls.jobs import Job, Unit
from limbeck._engine.ledger.batch_records import Batch, BatchRecords
from limbeck._engine.ledger.ledger import Ledger
from limbeck.types import GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def batch_of(*rows: str) -> Batch:
    batch = Batch()
    for row in rows:
        job = Job(0, row, {}, 1)
        job.key = row.encode()
        batch.add(Unit(cast("Any", None), job, GenerationRequest(messages=[]), [0]), b"12345")
    return batch


def note(ledger: Ledger, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())
    ledger.flush()


def test_a_batch_counts_its_entries_and_their_bytes_with_line_ends() -> None:
    batch = batch_of("0", "1")
    assert (batch.requests, batch.size) == (2, 12)
    assert list(batch.entries) == [f"{batch.token}-0", f"{batch.token}-1"]
    assert batch.next_id() == f"{batch.token}-2"


def test_what_was_intended_is_open_with_all_its_entries(ledger: Ledger) -> None:
    records, batch = BatchRecords(ledger, "ask", "here"), batch_of("0", "1")
    note(ledger, lambda: records.intend(batch))
    (left,) = records.open_batches()
    assert (left.token, left.id, left.requests, left.at) == (batch.token, None, 2, batch.at)
    assert [(entry.row, entry.samples, entry.key) for entry in left.entries.values()] == [
        ("0", (0,), b"0"),
        ("1", (0,), b"1"),
    ]
    assert records.open_ids() == [f"{batch.token} (not known to have been accepted)"]


def test_what_was_submitted_has_its_id_and_what_has_ended_is_not_open(ledger: Ledger) -> None:
    records, batch = BatchRecords(ledger, "ask", "here"), batch_of("0")

    async def submit() -> None:
        await records.intend(batch)
        batch.id = "b1"
        await records.submitted(batch)

    note(ledger, submit)
    assert records.open_ids() == ["b1"]
    note(ledger, lambda: records.ended(batch, "collected"))
    assert records.open_ids() == []


def test_another_step_or_server_has_batches_of_its_own(ledger: Ledger) -> None:
    records = BatchRecords(ledger, "ask", "here")
    note(ledger, lambda: records.intend(batch_of("0")))
    for other in (BatchRecords(ledger, "judge", "here"), BatchRecords(ledger, "ask", "there")):
        assert other.open_batches() == []


def test_the_provider_is_told_which_other_batches_are_known(ledger: Ledger) -> None:
    records, first, second = BatchRecords(ledger, "ask", "here"), batch_of("0"), batch_of("1")

    async def scene() -> None:
        await records.intend(first)
        first.id = "b1"
        await records.submitted(first)
        await records.intend(second)

    note(ledger, scene)
    intent = records.intent(second)
    assert (intent.token, intent.requests, intent.known) == (second.token, 1, frozenset({"b1"}))
    assert records.intent(first).known == frozenset()


def test_a_batch_whose_answers_were_all_there_is_noted_as_read(ledger: Ledger) -> None:
    records, batch = BatchRecords(ledger, "ask", "here"), batch_of("0")
    note(ledger, lambda: records.intend(batch))
    records.read_already(batch)
    ledger.flush()
    assert records.open_batches() == []
