"""`limbeck validate`, `limbeck init` and `limbeck schema`: files before they run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from support.command import REPOSITORY, invoke, rows_of, write_rows

from .conftest import Asked

GOOD = """
input: rows.jsonl
steps:
  - {task: text-generation, llm: paid/m}
  - {task: text-classification, llm: paid/m, labels: [a, b], input_mappings: {text: generation}}
"""


def validate(text: str, *arguments: str, name: str = "p.yaml") -> str:
    """What is said of a file; one that is not good exits with 1."""
    Path(name).write_text(text)
    write_rows(Path("rows.jsonl"), [{"instruction": "a"}])
    result = invoke("validate", name, *arguments)
    assert result.exit_code == (0 if f"{name} is good" in result.stderr else 1)
    return result.stderr


def test_a_good_file_is_called_good_and_nothing_is_asked_or_made(asked: Asked) -> None:
    told = validate(GOOD)
    assert told == "p.yaml is good: 4 steps, input -> text-generation -> text-classification -> output.\n"
    assert asked.prompts == []
    assert asked.loads == 2  # once for each task
    assert {path.name for path in Path().iterdir()} == {"p.yaml", "rows.jsonl"}


def test_keys_need_not_be_looked_for(asked: Asked) -> None:
    validate(GOOD, "--no-load")
    assert asked.loads == 0


def test_a_missing_key_is_told() -> None:
    assert "OPENAI_API_KEY" in validate(GOOD.replace("paid/m", "openai/m"))


@pytest.mark.usefixtures("asked")
def test_a_toml_file_is_read_by_its_suffix() -> None:
    text = 'input = "rows.jsonl"\n[[steps]]\ntask = "text-generation"\nllm = "paid/m"\n'
    assert "p.toml is good" in validate(text, name="p.toml")
    assert "p.toml:3: There is no task named 'text-generatio'" in validate(
        text.replace("text-generation", "text-generatio"), name="p.toml"
    )


@pytest.mark.usefixtures("asked")
def test_a_column_that_is_lacking_three_steps_later_is_told_with_the_whole_path() -> None:
    text = GOOD + "  - {task: text-generation, name: last, llm: paid/m, input_mappings: {instruction: lable}}\n"
    told = validate(text)
    assert "p.yaml:6: Step 'last' needs the column `lable`" in told
    assert "on the way input -> text-generation -> text-classification -> last." in told
    assert "Did you mean `label`?" in told


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("labels: [a, b]", "labels: 3", "p.yaml:5: `labels"),
        ("text-generation, llm", "text-generaton, llm", "p.yaml:4: There is no task named 'text-generaton'."),
        ("rows.jsonl", "none.jsonl", "p.yaml:2: 'none.jsonl' cannot be read: No such file"),
        ("rows.jsonl", "rows.parquet", "p.yaml:2: 'rows.parquet'"),
        ("rows.jsonl", "${env:NO_SUCH_VARIABLE}", "p.yaml:2: the environment variable `NO_SUCH_VARIABLE` is not set"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert told in validate(GOOD.replace(old, new, 1))


@pytest.mark.usefixtures("asked")
def test_a_setting_can_be_tried() -> None:
    assert "--set steps.text-generation.num_generatons" in validate(
        GOOD, "--set", "steps.text-generation.num_generatons=3"
    )


# Init


def test_the_file_to_start_from_is_good_and_runs_without_a_key() -> None:
    assert invoke("init").exit_code == 0
    assert invoke("validate", "pipeline.yaml").exit_code == 0
    result = invoke("run", "pipeline.yaml")
    assert result.exit_code == 0
    assert [row["label"] for row in rows_of(result.stdout)] == ["right", "right"]
    assert not Path("runs").exists()


def test_nothing_is_overwritten() -> None:
    Path("mine.yaml").write_text("mine")
    result = invoke("init", "mine.yaml")
    assert result.exit_code == 1
    assert "'mine.yaml' exists, and is not replaced." in result.stderr
    assert Path("mine.yaml").read_text() == "mine"


def test_the_file_to_start_from_is_yaml() -> None:
    assert "name it .yaml" in invoke("init", "pipeline.json").stderr


def test_its_folder_is_made_and_its_name_may_be_odd() -> None:
    assert invoke("init", "new/a: 'b'.yaml").exit_code == 0
    assert invoke("validate", "new/a: 'b'.yaml").exit_code == 0


# Schema


def test_the_schema_fits_the_examples_and_the_file_to_start_from() -> None:
    assert invoke("init").exit_code == 0
    schema = json.loads(invoke("schema").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in [Path("pipeline.yaml"), *sorted((REPOSITORY / "examples").glob("*.yaml"))]:
        assert [error.message for error in validator.iter_errors(yaml.safe_load(path.read_text()))] == []


def test_the_schema_may_go_to_a_file() -> None:
    assert invoke("schema", "-o", "schema.json").exit_code == 0
    data = {"steps": [{"task": "text-generation", "llm": "offline", "num_generation": 3}]}
    assert not Draft202012Validator(json.loads(Path("schema.json").read_text())).is_valid(data)
