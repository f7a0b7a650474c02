"""`limbeck reparse`: the output anew from stored answers, no model asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from limbeck import Task, register_task
from limbeck.errors import LimbeckWarning
from limbeck.types import ChatType, Row
from support.command import invoke, read_rows, rows_of, write_rows

from .conftest import Asked

ROWS = [{"word": "one"}, {"word": "two"}]
RECIPE = """
input: rows.jsonl
output: out.jsonl
tasks:
  - {name: say, task: say, llm: paid/m}
  - {name: again, task: say, llm: paid/m, output_mappings: {said: repeated}}
"""


class Say(Task):
    """Repeats a word; how its answer is read does not change what is asked."""

    loud: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["word"]

    @property
    def outputs(self) -> list[str]:
        return ["said"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": input["word"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"said": (output or "").upper() if self.loud else output}


@pytest.fixture(autouse=True)
def answered(asked: Asked) -> Asked:
    """A run directory `run` with the answers to `rows.jsonl`; what was asked and loaded since."""
    register_task("say", Say)
    write_rows(Path("rows.jsonl"), ROWS)
    assert generate("generate").exit_code == 0
    asked.prompts.clear()
    asked.loads = 0
    return asked


def generate(command: str, *arguments: str) -> Result:
    return invoke(command, "-m", "paid/m", "-t", "say", "-i", "rows.jsonl", "--run-dir", "run", *arguments)


def said(result: Result) -> list[str]:
    return [row["said"] for row in rows_of(result.stdout)]


def test_stored_answers_are_read_anew_and_nothing_is_asked_or_loaded(answered: Asked) -> None:
    with pytest.warns(LimbeckWarning, match="loud: false -> true"):
        result = generate("reparse", "--set", "task.loud=true")
    assert result.exit_code == 0
    assert said(result) == ["ECHO: ONE", "ECHO: TWO"]
    assert (answered.prompts, answered.loads) == ([], 0)
    assert "2 answers from the ledger" in result.stderr


def test_a_row_without_an_answer_fails_as_data() -> None:
    write_rows(Path("rows.jsonl"), [*ROWS, {"word": "three"}])
    result = generate("reparse")
    assert result.exit_code == 3
    assert said(result) == ["echo: one", "echo: two", None]
    assert "RowError: The ledger has no answer for this row, and no model is asked." in result.stderr


def test_a_file_is_read_anew_with_all_its_tasks(answered: Asked) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    assert invoke("run", "recipe.yaml", "--run-dir", "both").exit_code == 0
    answered.prompts.clear()
    with pytest.warns(LimbeckWarning, match="loud: false -> true"):
        result = invoke("reparse", "recipe.yaml", "--run-dir", "both", "--set", "tasks.again.loud=true")
    assert result.exit_code == 0
    assert [(row["said"], row["repeated"]) for row in read_rows(Path("out.jsonl"))] == [
        ("echo: one", "ECHO: ONE"),
        ("echo: two", "ECHO: TWO"),
    ]
    assert answered.prompts == []


def test_the_directory_may_stand_in_the_file() -> None:
    Path("recipe.yaml").write_text(f"run_dir: both\n{RECIPE}")
    assert invoke("run", "recipe.yaml").exit_code == 0
    assert invoke("reparse", "recipe.yaml").exit_code == 0


def test_the_way_to_go_on_stays_that_of_the_run() -> None:
    before = json.loads(Path("run", "run.json").read_text())
    assert "To go on" not in generate("reparse").stderr
    assert json.loads(Path("run", "run.json").read_text()) == before


def test_the_output_of_another_run_is_not_replaced() -> None:
    Path("old.jsonl").write_text("old\n")
    result = generate("reparse", "-o", "old.jsonl")
    assert result.exit_code == 1
    assert "is not as the run directory 'run' made it" in result.stderr
    assert generate("reparse", "-o", "new.jsonl").exit_code == 0
    assert generate("reparse", "-o", "new.jsonl", "--limit", "1").exit_code == 0
    assert [row["said"] for row in read_rows(Path("new.jsonl"))] == ["echo: one"]


def test_a_directory_without_a_ledger_is_refused_and_not_made() -> None:
    result = invoke("reparse", "-m", "paid/m", "-t", "say", "-i", "rows.jsonl", "--run-dir", "none")
    assert result.exit_code == 1
    assert "There is no ledger in 'none', so there are no answers to read anew." in result.stderr
    assert not Path("none").exists()


def test_a_directory_is_needed() -> None:
    result = invoke("reparse", "-m", "paid/m", "-t", "say", "-i", "rows.jsonl")
    assert result.exit_code == 1
    assert "name it with --run-dir" in result.stderr


def test_either_a_file_or_a_model_says_what_was_run() -> None:
    Path("recipe.yaml").write_text(RECIPE)
    both = invoke("reparse", "recipe.yaml", "-m", "paid/m", "--run-dir", "run")
    assert both.exit_code == 2
    assert "FILE says the tasks and models" in " ".join(both.stderr.split())
    neither = invoke("reparse", "--run-dir", "run")
    assert neither.exit_code == 2
    assert "Give a FILE as for `run`, or --model as for `generate`." in " ".join(neither.stderr.split())


def test_the_model_may_come_from_the_environment() -> None:
    options = ("-t", "say", "-i", "rows.jsonl", "--run-dir", "run")
    assert said(invoke("reparse", *options, LIMBECK_MODEL="paid/m")) == ["echo: one", "echo: two"]
