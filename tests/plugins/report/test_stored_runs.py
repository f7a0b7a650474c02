"""The report of run directories of earlier formats, before and after a run has brought them up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck.testing import registry
from limbeck_report import read_run
from support.stored_runs import FORMATS, ROWS, asking, register, restore


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> Iterator[str]:
    with registry():
        register()
        yield request.param


def test_a_tasks_run_is_reported_as_it_is_and_after_it_has_gone_on(format: str, tmp_path: Path) -> None:
    restore(format, "task", tmp_path)
    first = read_run(tmp_path / "run")
    list(asking().run(ROWS, run_dir=tmp_path / "run"))
    second = read_run(tmp_path / "run")
    for run in (first, second):
        assert [reason.type for reason in run.reasons] == ["ContentFilteredError"]
        assert sum(spending.answers for spending in run.spending) == len(ROWS)
        assert sum(spending.cost or 0 for spending in run.spending) > 0


def test_a_pipelines_run_is_reported_with_its_steps(format: str, tmp_path: Path) -> None:
    restore(format, "pipeline", tmp_path)
    names = [step.name for step in read_run(tmp_path / "run").steps]
    assert [name for name in names if name in ("counted", "ask", "again")] == ["counted", "ask", "again"]
