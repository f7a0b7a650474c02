"""The examples that are files."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck.testing import ScriptedLLM

if TYPE_CHECKING:
    from pathlib import Path


def records_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def with_llm(pipeline: Pipeline, llm: Any, *names: str) -> Pipeline:
    for name in names:
        pipeline.steps[name].llm = llm
    return pipeline


@pytest.mark.parametrize("name", ["label-reviews.yaml", "rag-questions.yaml", "evol-instruct.yaml"])
def test_an_example_runs_as_it_stands(folder: Path, name: str) -> None:
    result = Pipeline.from_yaml(folder / "examples" / name).run()
    assert result.report.finished
    assert result.failed == []


def test_reviews_whose_labels_agree_are_told_from_those_to_be_read_by_a_person(folder: Path) -> None:
    votes = iter(["negative"] * 3 + ["positive", "mixed", "positive"] + ["positive"] * 3)
    llm = ScriptedLLM(script=lambda _request: json.dumps({"label": next(votes)}), max_concurrency=1)
    with_llm(Pipeline.from_yaml(folder / "examples" / "label-reviews.yaml"), llm, "sentiment").run()
    sure, doubtful = (records_of(folder / "examples" / name) for name in ("labels.csv", "doubtful.csv"))
    assert [(row["id"], row["label"]) for row in sure] == [("1", "negative"), ("3", "positive")]
    assert [(row["id"], row["label"]) for row in doubtful] == [("2", "positive or mixed")]


def test_each_section_of_the_handbook_gives_a_question_and_its_answer(folder: Path) -> None:
    def reply(request: Any) -> str:
        prompt = request.messages[-1]["content"]
        about = next(
            word for word in ("days of holiday", "four weeks", "front desk", "doctor's note") if word in prompt
        )
        return f"What of the {about}?" if prompt.startswith("Write one question") else f"So much of the {about}."

    pipeline = Pipeline.from_yaml(folder / "examples" / "rag-questions.yaml")
    rows = with_llm(pipeline, ScriptedLLM(script=reply), "question", "answer").run().to_list()
    assert [list(row) for row in rows] == [["path", "section", "question", "answer"]] * 4
    assert [(row["section"].partition("\n")[0], row["question"], row["answer"]) for row in rows] == [
        ("How many days", "What of the days of holiday?", "So much of the days of holiday."),
        ("How to ask", "What of the four weeks?", "So much of the four weeks."),
        ("The first day", "What of the front desk?", "So much of the front desk."),
        ("A doctor's note", "What of the doctor's note?", "So much of the doctor's note."),
    ]


def test_a_section_of_a_few_words_gives_no_question(folder: Path) -> None:
    rows = Pipeline.from_yaml(folder / "examples" / "rag-questions.yaml").run()
    assert not [row for row in rows if row["section"].startswith("See also")]
