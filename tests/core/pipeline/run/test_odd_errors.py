"""Errors whose own methods raise, or whose text is no UTF-8: they stop what they must, and hang nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, join, step
from limbeck.errors import ConfigurationError, GenerationError, RowError

from ..flows import Collect, Mark, column, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import Row


class UntellableError(Exception):
    """Has no message that could be shown."""

    def __str__(self) -> str:
        raise AttributeError("no message")


class UntellableOSError(OSError):
    """The same, of what a sink writes to."""

    def __str__(self) -> str:
        raise AttributeError("no message")


class UntellableGenerationError(GenerationError):
    """The same, of the tree."""

    def __str__(self) -> str:
        raise AttributeError("no message")


class UntellableRowError(RowError):
    """The same, as a source may give it in place of a row."""

    def __str__(self) -> str:
        raise AttributeError("no message")


class Incomparable:
    """A value that is equal to nothing and says so loudly."""

    def __eq__(self, other: object) -> bool:
        raise UntellableError

    __hash__ = object.__hash__


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(row: Row, step: str) -> Any:
    """What is told of a row that failed at a step."""
    return row["distilabel_metadata"][f"error_{step}"]["message"]


@pytest.mark.parametrize("error", [UntellableError, UntellableGenerationError])
def test_a_step_that_raises_one_fails_its_row(error: type[Exception]) -> None:
    @step()
    def broken(row: Row) -> Row:
        if row["text"] == "t1":
            raise error
        return row

    rows = Pipeline(texts(3), broken(name="b")).run().to_list()
    assert column(rows, "text") == ["t0", "t1", "t2"]
    assert told(rows[1], "b") == f"Step 'b' raised {error.__name__} (its message cannot be shown)"


def test_a_step_over_all_rows_that_raises_one_stops_the_run() -> None:
    @step(all_rows=True)
    def broken(rows: list[Row]) -> list[Row]:
        raise UntellableError

    with pytest.raises(ConfigurationError, match=r"Step 'b' raised UntellableError \(its message cannot be shown\)"):
        Pipeline(texts(3), broken(name="b")).run()


def test_a_join_of_values_that_raise_one_fails_its_row() -> None:
    @step(outputs=["value"])
    def value(row: Row) -> Row:
        return {**row, "value": Incomparable()}

    with Pipeline("joined") as pipeline:
        pipeline.add(texts(1)) >> [value(name="one"), value(name="two")] >> join()
    (row,) = pipeline.run()
    assert told(row, "join") == "Join 'join': UntellableError (its message cannot be shown)."


def test_a_source_that_raises_one_stops_the_run_with_it_and_the_report_has_its_type(tmp_path: Path) -> None:
    def torn() -> Iterator[Row]:
        yield from texts(3)
        raise UntellableError

    sink = Collect(name="out")
    with pytest.raises(UntellableError):
        Pipeline(torn(), Mark(name="m"), sink).run(run_dir="kept")
    assert column(sink.written, "text") == ["t0", "t1", "t2"]
    report = json.loads((tmp_path / "kept/report.json").read_text(encoding="utf-8"))
    assert report["error"] == "UntellableError (its message cannot be shown)"


def test_a_source_may_give_one_in_place_of_a_row() -> None:
    result = Pipeline(iter([{"text": "t0"}, UntellableRowError(), {"text": "t2"}]), Mark(name="m")).run()
    assert column(result, "text") == ["t0", "t2"]
    (failed,) = result.failed
    assert failed["limbeck_error"]["errors"][0]["message"] == "UntellableRowError (its message cannot be shown)"


def test_a_sink_that_raises_one_stops_the_run() -> None:
    class Untellable(Collect):
        def write(self, rows: list[Row]) -> None:
            raise UntellableOSError

    with pytest.raises(ConfigurationError, match=r"write any further: UntellableOSError \(its message cannot be"):
        Pipeline(texts(3), Untellable(name="out")).run()


def test_an_error_with_half_a_surrogate_pair_is_in_the_report_as_it_is(tmp_path: Path) -> None:
    def torn() -> Iterator[Row]:
        yield from texts(1)
        raise OSError("caf\udce9.txt")  # as Python names a file whose name is no UTF-8

    with pytest.raises(OSError, match=r"caf.\.txt"):
        Pipeline(torn(), Mark(name="m")).run(run_dir="kept")
    report = json.loads((tmp_path / "kept/report.json").read_text(encoding="utf-8"))
    assert report["error"] == "OSError: caf\udce9.txt"
