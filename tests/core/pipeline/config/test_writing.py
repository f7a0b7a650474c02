"""Pipelines as data: names, never code, and never a secret.

Covers `_pipeline.config.written`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck import Pipeline, Step, join, router, step
from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM

from .conftest import Ask, Keep, PaidLLM, Upper

ROWS = [{"question": "a"}]


def diamond() -> Pipeline:
    with Pipeline("diamond") as pipeline:
        small = Ask(name="small", llm="offline", num_generations=2)
        large = Ask(name="large", llm=PaidLLM(model="m", api_key=SecretStr("sk-secret")))
        chosen = router(good="answer == 'x'", bad=None)
        ROWS >> small >> join(group=["answer"])
        pipeline.connect(pipeline.steps["rows"], large)
        pipeline.connect(large, pipeline.steps["join"])
        pipeline.connect(pipeline.steps["join"], chosen)
        good = Upper(name="good", column="question")
        bad = Keep(name="bad", path="bad.jsonl")
        pipeline.connect(chosen, good)
        pipeline.connect(chosen, bad)
    return pipeline


def test_a_pipeline_made_in_python_is_written_and_read_back() -> None:
    made = diamond()
    read = Pipeline.from_yaml(made.to_yaml())
    assert read.to_dict() == made.to_dict()
    assert set(read.edges) == set(made.edges)
    assert read.before("join") == made.before("join")
    assert read.steps["large"].llm.model == "m"
    assert read.steps["small"].num_generations == 2


def test_only_what_was_set_is_written() -> None:
    made = Pipeline(ROWS, Ask(llm="paid/m"), name="short")
    assert made.to_dict() == {
        "name": "short",
        "steps": [
            {"step": "load-data-from-dicts", "name": "rows", "data": ROWS, "batch_size": 256},
            {"task": "ask", "llm": {"provider": "paid", "model": "m"}},
        ],
    }


def test_a_secret_is_left_out_however_it_was_given() -> None:
    assert "sk-secret" not in diamond().to_yaml()
    read = Pipeline.from_dict(
        {"steps": [{"task": "ask", "llm": {"provider": "paid/m", "api_key": "sk-secret"}}]},
        settings=["steps.ask.llm.api_key=sk-secret"],
    )
    assert read.to_dict()["steps"] == [{"task": "ask", "llm": {"provider": "paid/m"}}]


@pytest.mark.parametrize(
    "fields", [{"generation_kwargs": {"extra_headers": {"X": "sk-1"}}}, {"base_url": "http://me:sk-1@host/v1"}]
)
def test_what_may_be_a_secret_by_its_name_or_place_is_not_written(fields: dict[str, Any]) -> None:
    for made in (
        Pipeline(ROWS, Ask(llm={"provider": "paid/m", **fields})),
        Pipeline.from_dict({"steps": [{"task": "ask", "llm": {"provider": "paid/m", **fields}}]}),
    ):
        with pytest.raises(ConfigurationError, match=r"may hold a secret.*\$\{env:NAME\}"):
            made.to_dict()


def test_a_file_is_written_as_it_was_with_what_was_set_on_top() -> None:
    text = "name: n\ninput: [{question: a}]\nmax_failed: 5%\nsteps:\n- {task: ask, llm: offline, labels: [no]}\n"
    read = Pipeline.from_yaml(text, settings=["steps.ask.num_generations=3", "steps.ask.llm.model=x"])
    assert read.to_dict() == {
        "name": "n",
        "input": ROWS,
        "max_failed": 0.05,
        "steps": [
            {"task": "ask", "llm": {"provider": "offline", "model": "x"}, "labels": ["no"], "num_generations": 3}
        ],
    }


def test_a_field_that_was_changed_since_is_written_as_it_is_now() -> None:
    read = Pipeline.from_dict({"input": ROWS, "steps": [{"task": "ask", "llm": "offline", "labels": ["a"]}]})
    read.steps["ask"].num_generations = 4
    read.steps["ask"].labels.append("b")
    read.steps["input"].batch_size = 7
    assert read.to_dict()["steps"] == [
        {"step": "load-data-from-dicts", "name": "input", "data": ROWS, "batch_size": 7},
        {"task": "ask", "llm": "offline", "labels": ["a", "b"], "num_generations": 4},
    ]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    text = "steps:\n- {step: upper, column: q}\n- {step: keep, path: out.jsonl}\n"
    (tmp_path / "below" / "p.yaml").write_text(text)
    read = Pipeline.from_yaml("below/p.yaml")
    assert read.to_dict()["steps"][1] == {"step": "keep", "path": str(tmp_path / "below" / "out.jsonl")}
    made = Pipeline(Upper(column="q"), Keep(path="out.jsonl"))
    assert made.to_dict()["steps"][1] == {"step": "keep", "path": str(tmp_path / "out.jsonl")}


def test_a_file_may_be_written_at_once(tmp_path: Path) -> None:
    made = diamond()
    assert made.to_yaml(tmp_path / "p.yaml") == (tmp_path / "p.yaml").read_text()
    assert Pipeline.from_yaml(tmp_path / "p.yaml").to_dict() == made.to_dict()


@pytest.mark.parametrize(
    "text", ["no", "12:30", "1e-3", "0o17", "~", "", "a: b", "two\nlines", " x ", "'", "\ud83d", "é"]
)
def test_a_text_stays_the_text_that_it_is(text: str) -> None:
    made = Pipeline(ROWS, Ask(llm="offline", style=text))
    assert Pipeline.from_yaml(made.to_yaml()).steps["ask"].style == text


# Code


def measure(row: dict[str, Any]) -> dict[str, Any]:
    return row


class Odd(Step):
    """Has no name in the registry."""

    def process(self, inputs: list[dict[str, Any]]) -> Any:
        yield inputs


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([ROWS, Odd(name="odd")], ["The step 'odd' is of `", "Odd`, which has no name in the", "register_step("]),
        ([ROWS, step()(measure)(name="m")], ["The step 'm' is of", "A file stores names, never code"]),
        ([ROWS, router(measure, name="r"), Upper(column="q")], ["`function` of the step 'r' holds", "an expression"]),
        ([ROWS, router(upper=measure, name="r"), Upper(column="q")], ["`routes` of the step 'r' holds the function"]),
        ([iter(ROWS), Upper(column="q")], ["The source 'rows' gives rows that are in memory", "`pipeline.run(rows)`"]),
        ([ROWS, Ask(llm=ScriptedLLM(script=["a"]))], ["The LLM of the step 'ask' is of", "register_llm("]),
        ([[{"at": dt.timezone}], Upper(column="q")], ["`data` of the step 'rows' holds", "never code"]),
    ],
)
def test_code_is_not_written_and_the_error_names_the_step_and_what_to_do(steps: list[Any], told: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline(*steps).to_yaml()
    for fragment in told:
        assert fragment in str(caught.value)
