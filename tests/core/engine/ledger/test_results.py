"""Results of plain steps: found again for the same step and row, and kept only where JSON holds them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.ledger.results import StepResults, results_of
from limbeck.steps import LoadDataFromDicts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW = {"q": 1}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def kept(ledger: Ledger, made: list[dict[str, Any]], *, id: str = "0", row: dict[str, Any] = ROW) -> StepResults:
    results = StepResults(ledger, "count", {"version": "1"})
    results.keep(id, row, made)
    ledger.flush()
    return results


def test_what_was_kept_is_found_by_the_row_and_wherever_it_has_moved(ledger: Ledger) -> None:
    results = kept(ledger, [{"q": 1, "n": 2}, {}])
    assert results.find("0", ROW) == results.find("9", ROW) == [{"q": 1, "n": 2}, {}]


def test_another_row_version_or_step_finds_nothing(ledger: Ledger) -> None:
    results = kept(ledger, [{}])
    assert results.find("0", {"q": 2}) is None
    assert StepResults(ledger, "count", {"version": "2"}).find("0", ROW) is None
    assert StepResults(ledger, "other", {"version": "1"}).find("0", ROW) is None


@pytest.mark.parametrize("value", [(1, 2), date(2026, 1, 1), {1: "a"}, float("nan")], ids=repr)
def test_a_result_that_json_would_change_is_made_again(ledger: Ledger, value: Any) -> None:
    assert kept(ledger, [{"value": value}]).find("0", ROW) is None


def test_a_row_that_json_cannot_hold_has_no_result(ledger: Ledger) -> None:
    row = {"q": object()}
    assert kept(ledger, [{}], row=row).find("0", row) is None


def test_another_configuration_of_a_step_finds_none_of_the_old(ledger: Ledger) -> None:
    results_of(ledger, LoadDataFromDicts(name="a", data=[{"x": 1}])).keep("0", ROW, [{}])
    ledger.flush()
    assert results_of(ledger, LoadDataFromDicts(name="a", data=[{"x": 1}])).find("0", ROW) == [{}]
    assert results_of(ledger, LoadDataFromDicts(name="a", data=[{"x": 2}])).find("0", ROW) is None
