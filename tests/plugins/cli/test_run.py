"""`limbeck run FILE.yaml`: a chain of tasks over rows."""

from __future__ import annotations

import re
import sqlite3
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from limbeck import GeneratorTask, Pipeline, register_task
from limbeck.testing import registry
from limbeck.types import ChatType, Row
from support.command import REPOSITORY, invoke, read_rows, rows_of, write_rows

Recipe: TypeAlias = Callable[[str], str]

MADRID = "The capital of Spain is Madrid."

CHAIN = """
name: chain
input:
  - {instruction: "What's the capital of Spain?"}
output: out.jsonl
tasks:
  - name: answer
    task: text-generation
    llm: offline
  - task: text-generation
    llm: offline
    input_mappings: {instruction: generation}
    output_mappings: {generation: comment}
"""

CAPITALS = """
input: rows.jsonl
tasks:
  - name: answer
    task: text-generation
    llm: offline
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Writes a YAML file beside a file of rows; gives its path."""
    write_rows(tmp_path / "rows.jsonl", [{"instruction": "What's the capital of Spain?"}])

    def write(text: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("name", ["capitals", "classify"])
def test_an_example_runs_without_a_key_or_a_network(name: str) -> None:
    result = invoke("run", str(REPOSITORY / "examples" / f"{name}.yaml"))
    assert result.exit_code == 0
    assert len(rows_of(result.stdout)) == 3


def test_each_task_adds_its_columns_and_its_metadata_to_the_rows_of_the_one_before(
    recipe: Recipe, tmp_path: Path
) -> None:
    result = invoke("run", recipe(CHAIN))
    assert result.exit_code == 0
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert row["generation"] == MADRID
    assert row["comment"].startswith("[offline stand-in")
    assert set(row["distilabel_metadata"]) == {"raw_output_answer", "raw_output_text-generation"}
    assert "The answers of answer, text-generation are the offline stand-in's" in result.stderr


def test_an_unnamed_repeat_gets_a_number(recipe: Recipe) -> None:
    text = CHAIN.replace("  - name: answer\n    task", "  - task").replace("output: out.jsonl", "output: '-'")
    (row,) = rows_of(invoke("run", recipe(text)).stdout)
    assert set(row["distilabel_metadata"]) == {"raw_output_text-generation", "raw_output_text-generation-2"}


def test_paths_in_the_file_are_meant_from_its_folder_and_those_on_the_command_line_from_here(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe(CAPITALS + "output: beside.jsonl\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert invoke("run", path).exit_code == 0
    assert invoke("run", path, "-o", "here.jsonl").exit_code == 0
    assert len(read_rows(tmp_path / "beside.jsonl")) == 1
    assert len(read_rows(elsewhere / "here.jsonl")) == 1


def test_the_output_is_stdout_when_none_is_named(recipe: Recipe) -> None:
    assert len(rows_of(invoke("run", recipe(CAPITALS)).stdout)) == 1


def test_rows_may_come_from_stdin(recipe: Recipe) -> None:
    text = CAPITALS.replace("rows.jsonl", "'-'")
    result = invoke("run", recipe(text), stdin='{"instruction": "a"}\n{"instruction": "b"}\n')
    assert [row["instruction"] for row in rows_of(result.stdout)] == ["a", "b"]


def test_values_are_yaml_1_2(recipe: Recipe) -> None:
    text = """
    input: [{text: 12:30, day: 2026-11-23, truth: yes}]
    tasks:
      - {task: text-classification, labels: [no, yes], llm: offline}
    """
    (row,) = rows_of(invoke("run", recipe(text)).stdout)
    assert (row["text"], row["day"], row["truth"], row["label"]) == ("12:30", "2026-11-23", "yes", "no")


# Settings


def test_a_setting_overrides_a_field_of_the_task_it_names(recipe: Recipe) -> None:
    rows = rows_of(invoke("run", recipe(CAPITALS), "--set", "tasks.answer.num_generations=3").stdout)
    assert len(rows) == 3


def test_a_setting_overrides_a_field_of_a_task_s_llm(recipe: Recipe) -> None:
    (row,) = rows_of(invoke("run", recipe(CAPITALS), "--set", "tasks.answer.llm.model=other").stdout)
    assert row["model_name"] == "offline/other"


def test_a_setting_replaces_a_task_s_llm(recipe: Recipe) -> None:
    result = invoke("run", recipe(CAPITALS), "--set", "tasks.answer.llm=openai/gpt-5-mini")
    assert result.exit_code == 1
    assert "OPENAI_API_KEY" in result.stderr


def test_a_task_s_name_may_hold_dots(recipe: Recipe) -> None:
    text = CAPITALS.replace("answer", "v1.5")
    rows = rows_of(invoke("run", recipe(text), "--set", "tasks.v1.5.num_generations=2").stdout)
    assert len(rows) == 2


def test_the_input_the_output_and_the_name_can_be_set(recipe: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "set.jsonl"
    result = invoke(
        "run", recipe(CAPITALS), "--set", "input=[{instruction: a}]", "--set", f"output={output}", "--set", "name=x"
    )
    assert result.exit_code == 0
    assert [row["instruction"] for row in read_rows(output)] == ["a"]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("tasks.anser.num_generations=3", ["--set tasks.anser.num_generations", "Did you mean `answer`?"]),
        ("tasks.answer=3", ["expected tasks.NAME.FIELD"]),
        ("tasks.answer.num_generation=3", ["--set tasks.answer.num_generation", "Did you mean `num_generations`"]),
        ("outptu=x", ["--set outptu", "Did you mean `output`?"]),
    ],
)
def test_a_setting_that_names_nothing_is_told_with_what_is_close(recipe: Recipe, setting: str, told: list[str]) -> None:
    result = invoke("run", recipe(CAPITALS), "--set", setting)
    assert result.exit_code == 1
    for fragment in told:
        assert fragment in result.stderr


# Mistakes in the file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[]",
            ["recipe.yaml:1: expected a mapping with the keys `name`, `input`, `output`, `steps`, `tasks`, not a list"],
        ),
        ("", ["recipe.yaml:1: expected a mapping", "not nothing"]),
        ("input: a.jsonl\ntaks: []", ["recipe.yaml:2: there is no key 'taks' here. Did you mean `tasks`?"]),
        ("input: a.jsonl\ntasks: {}", ["recipe.yaml:2: `tasks`: expected a list of tasks"]),
        ("input: a.jsonl", ["`steps`: expected a list of steps, each with the key `task` or `step`, not nothing"]),
        (
            "input: 3\ntasks: [{task: x}]",
            ["recipe.yaml:1: `input`: expected a path, `-` for stdin, or a list of rows, not 3"],
        ),
        ("input: [{a: 1}, 2]\ntasks: [{task: x}]", ["`input[1]`: expected a row"]),
        (
            "output: [a]\ntasks: [{task: x}]",
            ["recipe.yaml:1: `output`: expected a path, or `-` for stdout, not a list"],
        ),
        (
            "tasks:\n- {taks: x}",
            ["recipe.yaml:2: `tasks[0].task`: expected the name of a task", "Did you mean `taks`?"],
        ),
        ("tasks:\n- task: x\n  name: [1]", ["recipe.yaml:3: `tasks[0].name`: expected a text"]),
        (
            "tasks:\n- text-generation",
            ["`tasks[0]`: expected a mapping with the key `task`, not the text 'text-generation'"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generatoin\n  llm: offline",
            ["recipe.yaml:3: There is no task named 'text-generatoin'. Did you mean `text-generation`"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation\n  llm: oflfine",
            ["recipe.yaml:4: There is no llm named 'oflfine'. Did you mean `offline`"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation",
            ["recipe.yaml:3: the task 'text-generation' names no LLM"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation\n  llm: {model: x}",
            ["recipe.yaml:4: an `llm` given as a mapping needs the key `provider`"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation\n  llm:\n    provider: offline\n    modle: x",
            ["recipe.yaml:4: the LLM 'offline' has no field 'modle'. Did you mean `mode` or `model`?"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation\n  llm: offline\n  on_eror: drop",
            ["recipe.yaml:5: the task 'text-generation' has no field 'on_eror'. Did you mean `on_error`"],
        ),
        (
            "input: [{instruction: a}]\ntasks:\n- task: text-generation\n  llm: offline\n  on_error: ignore",
            ["recipe.yaml:5: `on_error` of the task 'text-generation'", "'keep', 'drop' or 'raise', not 'ignore'"],
        ),
        (
            "input: [{text: a}]\ntasks:\n- task: text-classification\n  llm: offline",
            ["recipe.yaml:3: the task 'text-classification' needs the field `labels`"],
        ),
        (
            "input: [{a: 1}]\ntasks:\n- {task: x, name: a}\n- {task: x, name: a}",
            ["recipe.yaml:4: another task is named 'a' already"],
        ),
        ("name: a\nname: b", ["recipe.yaml:2: the key `name` is given twice"]),
        ("tasks: [", ["recipe.yaml:2:1: this is not valid YAML", "expected the node content"]),
        ("tasks:\n- task: text-generation\n  llm: offline", ["recipe.yaml:2: the run has no `input`"]),
        (
            "input: none.jsonl\ntasks: [{task: text-generation, llm: offline}]",
            ["recipe.yaml:1: ", "none.jsonl' cannot be read: No such file"],
        ),
    ],
)
def test_a_mistake_is_told_by_file_line_and_key_with_what_was_expected(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{text}\n")
    result = invoke("run", str(path))
    assert result.exit_code == 1
    for fragment in told:
        assert fragment in result.stderr


@pytest.mark.parametrize("name", ["out", "none"])
def test_a_path_from_the_environment_is_not_in_an_error(recipe: Recipe, tmp_path: Path, name: str) -> None:
    secret = str(tmp_path / "a-secret-folder")
    Path(secret).mkdir()
    Path(secret, "out.jsonl").write_text("old\n")
    if name == "out":
        text = CAPITALS + "output: ${env:SECRET}/out.jsonl\n"
    else:
        text = CAPITALS.replace("rows.jsonl", "'${env:SECRET}/none.jsonl'")
    result = invoke("run", recipe(text), SECRET=secret)
    assert result.exit_code == 1
    assert secret not in result.stderr
    assert "a-secret-folder" not in result.stderr
    assert f"${{env:SECRET}}/{name}.jsonl" in result.stderr


def test_a_file_that_is_not_there_or_not_utf_8_is_told(tmp_path: Path) -> None:
    assert "No such file" in invoke("run", str(tmp_path / "none.yaml")).stderr
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    assert "it is not UTF-8 (byte 6)" in invoke("run", str(tmp_path / "latin.yaml")).stderr


def test_with_strict_a_broken_line_lets_the_rows_before_it_through_all_tasks(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "x"}\n' * 300 + "oops\n")
    path = recipe(
        CHAIN.replace(
            """input:
  - {instruction: "What's the capital of Spain?"}""",
            "input: rows.jsonl",
        )
    )
    result = invoke("run", path, "--strict")
    assert result.exit_code == 5
    assert "rows.jsonl:301:1: this line is not JSON" in result.stderr
    assert len(read_rows(tmp_path / "out.jsonl")) == 300


def test_rows_keep_their_ids_through_a_chain(recipe: Recipe, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    text = CHAIN.replace("  - name: answer", "  - name: answer\n    num_generations: 2")
    assert invoke("run", recipe(text), "--run-dir", str(run_dir)).exit_code == 0
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        calls = ledger.execute("SELECT step, row, sample FROM calls ORDER BY step, row, sample").fetchall()
    assert calls == [
        ("answer", "0", 0),
        ("answer", "0", 1),
        ("text-generation", "0.0", 0),
        ("text-generation", "0.1", 0),
    ]


def test_the_file_in_the_readme_runs(recipe: Recipe, tmp_path: Path) -> None:
    readme = (REPOSITORY / "plugins" / "cli" / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "rows.jsonl").rename(tmp_path / "capitals.jsonl")
    result = invoke("run", recipe(text), "--set", "tasks.answer.llm=offline", "--set", "tasks.check.llm=offline")
    assert result.exit_code == 0
    (row,) = rows_of(result.stdout)
    assert (row["generation"], row["label"]) == (MADRID, "right")


def test_a_column_that_a_later_task_lacks_is_told_before_any_model_is_asked(recipe: Recipe, tmp_path: Path) -> None:
    result = invoke("run", recipe(CHAIN.replace("instruction: generation", "instruction: answer")))
    assert result.exit_code == 1
    assert "recipe.yaml:10: Step 'text-generation' needs the column `answer`" in result.stderr
    assert "on the way input -> answer -> text-generation" in result.stderr
    assert "`instruction`, `generation`" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_tasks_with_the_same_llm_share_one() -> None:
    same = {"task": "text-generation", "llm": "offline"}
    pipeline = Pipeline.from_dict(
        {"input": [{"instruction": "a"}], "steps": [{**same, "name": name} for name in "abc"]},
        settings=["steps.c.llm.model=other"],
    )
    first, second, third = (pipeline.steps[name].llm for name in "abc")
    assert first is second
    assert first is not third


class Seeds(GeneratorTask):
    """Makes its own rows."""

    @property
    def outputs(self) -> list[str]:
        return ["fact"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": "Say a fact."}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"fact": output}


def test_a_task_that_makes_its_own_rows_needs_no_input_and_heeds_the_limit(recipe: Recipe) -> None:
    with registry():
        register_task("seeds", Seeds)
        path = recipe("steps: [{task: seeds, llm: offline, num_rows: 5}]")
        assert len(rows_of(invoke("run", path).stdout)) == 5
        assert len(rows_of(invoke("run", path, "--limit", "2").stdout)) == 2
