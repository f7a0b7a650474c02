"""A run directory that cannot be written while a pipeline runs, as on a full disk: the run ends, and says why."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from limbeck import Pipeline, Step, join, router
from limbeck._engine.ledger.ledger import release_ledger, shared_ledger
from limbeck.errors import LedgerError, LimbeckError
from support.questions import PATIENCE, run_in_thread

from ..flows import Collect, Fail, Mark, say, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from limbeck.types import Row


class Stored(Step):
    """Gives its rows, and has that stored."""

    stored: ClassVar[bool] = True

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The run directory."""
    return tmp_path / "kept"


def what_stops(pipeline: Pipeline, folder: Path) -> LimbeckError | None:
    """What a run raises; the test fails where it never ends."""
    ended: list[LimbeckError | None] = []

    def run() -> None:
        try:
            pipeline.run(run_dir=folder)
        except LimbeckError as exc:
            ended.append(exc)
        else:
            ended.append(None)

    run_in_thread(run).join(PATIENCE)
    assert ended, "the run hangs"
    return ended[0]


@contextmanager
def ledger_after(folder: Path, statement: str) -> Iterator[None]:
    """The ledger of a directory in which a statement was carried out, or failed: then it writes nothing more."""
    ledger = shared_ledger(folder)
    try:
        ledger.submit(statement)
        with suppress(LedgerError):
            ledger.flush()
        yield
    finally:
        release_ledger(ledger)


def test_results_of_a_step_that_cannot_be_stored_stop_the_run_and_its_rows_leave(folder: Path) -> None:
    sink = Collect(name="out")
    with ledger_after(folder, "INSERT INTO nowhere VALUES (1)"):
        error = what_stops(Pipeline(texts(1_000), Stored(), sink), folder)
    assert isinstance(error, LedgerError)
    assert "cannot be written" in str(error)
    assert sink.written == texts(len(sink.written))
    assert 0 < len(sink.written) < 1_000


def test_stored_results_that_cannot_be_read_stop_the_run(folder: Path) -> None:
    with ledger_after(folder, "DROP TABLE results"):
        error = what_stops(Pipeline(texts(1_000), Mark(name="m"), Stored()), folder)
    assert isinstance(error, LedgerError)
    assert "cannot be read: no such table: results" in str(error)


def failing_step(rows: Any) -> Pipeline:
    return Pipeline(rows, Fail(name="f", on=["t1", "t7", "t900"]), Mark(name="m"))


def failing_source(rows: Any) -> Pipeline:
    return Pipeline((row if row["text"] != "t7" else "no row" for row in rows), Mark(name="m"))


def failing_router(rows: Any) -> Pipeline:
    with Pipeline("routed") as pipeline:
        pipeline.add(rows) >> router(lambda row: row["nowhere"]) >> [Mark(name="m"), Mark(name="n")]
    return pipeline


def failing_join(rows: Any) -> Pipeline:
    with Pipeline("joined") as pipeline:
        pipeline.add(rows) >> [Mark(name="m"), Mark(name="n")] >> join()
    return pipeline


def failing_task(rows: Any) -> Pipeline:
    return Pipeline(({"text": row["text"]} if row["text"] != "t7" else {} for row in rows), say("a"))


@pytest.mark.parametrize("failing", [failing_step, failing_source, failing_router, failing_join, failing_task])
def test_a_failed_row_that_cannot_be_written_down_stops_the_run(
    failing: Callable[[Any], Pipeline], folder: Path
) -> None:
    def rows() -> Iterator[Row]:
        (folder / "failed.jsonl").mkdir()  # once the run has begun
        yield from texts(1_000)

    error = what_stops(failing(rows()), folder)
    assert isinstance(error, LedgerError)
    assert "failed.jsonl' cannot be written" in str(error)
