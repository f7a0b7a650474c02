"""What somebody is told who builds a pipeline for the first time, and gets it a little wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, step
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@step()
def keep(row: Any) -> Any:
    return row


def test_a_list_of_steps_in_a_chain_is_told_of_the_form_that_branches() -> None:
    with pytest.raises(ConfigurationError, match=r"A list of steps is no step.*`source >> \[first, second\]"):
        Pipeline([{"x": 1}], [keep(name="a"), keep(name="b")])


def test_a_list_of_texts_is_told_that_a_row_has_columns() -> None:
    with pytest.raises(ConfigurationError, match=r"A row is a dict of columns, and these are a list of `str`"):
        Pipeline(["What is 2 + 2?", "And 3 + 3?"], keep())


def test_no_rows_are_rows_too(tmp_path: Path) -> None:
    assert Pipeline([], keep()).run(run_dir=tmp_path).to_list() == []


@pytest.mark.parametrize(("made", "kind"), [(5, "int"), ("text", "str"), (True, "bool")])
def test_a_function_that_returns_no_row_fails_the_row_and_says_what_it_should(
    made: Any, kind: str, tmp_path: Path
) -> None:
    @step(outputs=["y"])
    def odd(row: Any) -> Any:
        return made

    result = Pipeline([{"x": 1}], odd()).run(run_dir=tmp_path)
    (row,) = result
    assert row["y"] is None
    assert row["distilabel_metadata"]["error_odd"]["message"] == (
        f"Step 'odd' raised TypeError: it returned {kind}, where a row (a dict), a list of rows or None is expected"
    )


def test_a_function_may_yield_its_rows(tmp_path: Path) -> None:
    @step()
    def twice(row: Any) -> Any:
        yield {**row, "copy": 1}
        yield {**row, "copy": 2}

    rows = Pipeline([{"x": 1}, {"x": 2}], twice()).run(run_dir=tmp_path).to_list()
    assert [(row["x"], row["copy"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_result_shows_its_leaves_and_where_they_are_kept(tmp_path: Path) -> None:
    result = Pipeline([{"x": 1}], keep(), name="tiny").run(run_dir=tmp_path / "run")
    assert repr(result) == f"PipelineResult('tiny', leaves=['keep'], run_dir={str(tmp_path / 'run')!r})"
