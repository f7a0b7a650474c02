"""The report of real pipelines: with branches, failures at every kind of step, and a second run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline, Step, router
from limbeck.errors import LimbeckError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_report import read_run
from limbeck_report.page import write_page

from .recorded_runs import Answering, Ask, answer


class Doubled(Step):
    """Gives every row twice; cannot take one whose `question` has `twice bad` in it."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    def process(self, rows: list[Row]) -> Iterator[list[Row]]:
        if "twice bad" in rows[0]["question"]:
            raise ValueError("it cannot be doubled")
        yield [*rows, *rows]


def pipeline_of(questions: list[str], script: Answering = answer, **fields: Any) -> Pipeline:
    """Questions doubled, asked of one of two models, and asked again."""
    with Pipeline("tasting") as made:
        doubled = Doubled(name="doubled")
        which = router(long="question | length > 10", short=None)
        long, short = (Ask(name=name, llm=ScriptedLLM(script=script)) for name in ("long", "short"))
        last = Ask(name="last", llm=ScriptedLLM(script=script), output_mappings={"answer": "again"}, **fields)
        [{"question": each} for each in questions] >> doubled >> which >> [long, short] >> last
    return made


QUESTIONS = ["tea", "bad", "twice bad", "a question of some length", "unreadable"]


def test_every_step_has_its_kind_its_place_and_its_rows(tmp_path: Path) -> None:
    result = pipeline_of(QUESTIONS).run(run_dir=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert (run.state, run.source, run.pipeline) == ("finished", "report", "tasting")
    steps = {step.name: step for step in run.steps}
    told = {step.name: step for step in result.report.steps}
    assert list(steps) == list(told)
    for name, step in steps.items():
        assert (step.kind, step.after) == (told[name].kind, told[name].after)
        assert (step.rows_in, step.rows_out) == (told[name].rows_in, told[name].rows_out)
        assert (step.rows_failed, step.failures) == (told[name].rows_failed, told[name].failures)


def test_failures_of_plain_steps_and_of_tasks_have_their_messages(tmp_path: Path) -> None:
    pipeline_of(QUESTIONS).run(run_dir=tmp_path / "run")
    run = read_run(tmp_path / "run")
    told = {(step.name, type): count for step in run.steps for type, count in step.failures.items()}
    assert {(each.step, each.type): each.count for each in run.reasons} == told
    assert all(each.message for each in run.reasons)
    assert {each.step for each in run.reasons} >= {"doubled", "short", "last"}


def test_a_page_of_it_is_written_with_samples_of_each_task_and_of_the_step_that_failed(tmp_path: Path) -> None:
    pipeline_of(QUESTIONS).run(run_dir=tmp_path / "run")
    write_page(str(tmp_path / "run"), tmp_path / "report.html", count=6, seed=0)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("doubled", "long", "short", "last"):
        assert f"<bdi>{name}</bdi></h3>" in page
    assert "it cannot be doubled" in page


def test_a_run_that_stops_at_a_failure_says_which(tmp_path: Path) -> None:
    with pytest.raises(LimbeckError):
        pipeline_of(QUESTIONS, on_error="raise").run(run_dir=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.state == "stopped"
    assert run.error is not None and run.error.startswith("RowFailedError: Task 'last' failed")


def test_a_second_run_asks_for_the_failed_ones_and_its_failures_alone_are_told(tmp_path: Path) -> None:
    pipeline_of(["tea", "bad"]).run(run_dir=tmp_path / "run")
    pipeline_of(["tea", "bad"], script=lambda request: "well").run(run_dir=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert (run.state, run.reasons) == ("finished", [])
    (short,) = [step for step in run.steps if step.name == "short"]
    assert (short.requests, short.reused) == (2, 2)
