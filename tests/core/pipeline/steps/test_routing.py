"""The columns that a router's conditions use are known before any row moves.

Covers `_pipeline.steps.expressions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, router, step
from limbeck.errors import MissingColumnError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("jinja2")


@step()
def keep(row: Any) -> Any:
    return row


def routed(rows: list[Any], **routes: Any) -> Pipeline:
    with Pipeline("routed") as pipeline:
        pipeline.add(rows) >> router(**routes) >> [keep(name=name) for name in routes]
    return pipeline


def test_a_column_of_a_condition_that_no_row_has_is_an_error_before_anything_runs() -> None:
    pipeline = routed([{"difficulty": 1}], hard="dificulty > 3", easy=None)
    with pytest.raises(MissingColumnError, match=r"`dificulty`, which no row has on the way rows -> router"):
        pipeline.check()


@pytest.mark.parametrize("condition", ["score is defined and score > 3", "score | default(0) > 3"])
def test_a_column_that_a_condition_asks_for_need_not_be_there(condition: str, tmp_path: Path) -> None:
    result = routed([{"n": 1}], high=condition, low=None).run(run_dir=tmp_path)
    assert result.report["low"].rows_in == 1
    assert result.failed == []


def test_a_column_that_one_condition_needs_is_needed_though_another_only_asks_for_it() -> None:
    step = router(high="score > 3", none="score is not defined")
    assert step.inputs == {"score": True}


def test_names_of_the_language_are_no_columns() -> None:
    assert router(one="range(3) | length == n", two=None).inputs == {"n": True}


def test_a_function_needs_no_columns_that_could_be_known() -> None:
    assert router(lambda row: "a" if row["n"] else "b").inputs == {}
    assert router(a=lambda row: row["n"], b=None).inputs == {}
