"""`limbeck.recipes`, as a program uses it that reads, changes, checks and builds pipelines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from limbeck import Step, recipes
from limbeck.errors import ConfigurationError
from limbeck.recipes import (
    FieldDescription,
    RunSettings,
    build_one,
    build_pipeline,
    check_pipeline,
    compile_expression,
    describe_fields,
    expression_columns,
    file_schema,
    is_secret,
    max_failed_of,
    recipe_of_dict,
    recipe_of_file,
    recipe_of_task,
    sources_of,
)
from limbeck.steps import LoadDataFromFiles

FILE = """
name: capitals
input:
- {question: a}
- {question: b}
max_failed: 5%
steps:
- {step: first, columns: [question]}
"""


class First(Step):
    """Keeps the first characters.

    Attributes:
        columns: whose. length: how many characters are kept.
    """

    columns: list[str]
    length: int = Field(default=1, ge=1)

    def process(self, inputs: list[dict[str, Any]]) -> Any:
        yield [{name: str(row[name])[: self.length] for name in self.columns} for row in inputs]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limbeck import register_step
    from limbeck._registry.registry import default_registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_registry(), "_local", {})
    register_step("first", First)
    Path("capitals.yaml").write_text(FILE, encoding="utf-8")


# A file, a dict and one task


def test_a_file_becomes_a_pipeline_with_what_is_set_on_top() -> None:
    recipe = recipe_of_file("capitals.yaml", ["steps.first.length=2"])
    pipeline = build_pipeline(recipe)
    check_pipeline(pipeline, recipe)
    assert (pipeline.name, list(pipeline.steps)) == ("capitals", ["input", "first"])
    assert pipeline.steps["first"].length == 2
    assert recipe.run.max_failed == 0.05


def test_the_rows_may_come_from_and_go_to_elsewhere() -> None:
    recipe = recipe_of_file("capitals.yaml")
    Path("more.jsonl").write_text('{"question": "c"}\n', encoding="utf-8")
    recipe.read_from("more.jsonl", "--input")
    recipe.write_to("out.jsonl", "--output")
    assert build_pipeline(recipe).run().to_list() == [{"question": "c"}]
    assert Path("out.jsonl").read_text(encoding="utf-8") == '{"question": "c"}\n'


@pytest.mark.parametrize("output", ["out.jsonl", None])
def test_a_default_output_takes_only_rows_that_nobody_takes(output: str | None) -> None:
    recipe = recipe_of_file("capitals.yaml")
    if output is not None:
        recipe.write_to(output, "--output")
    recipe.default_output("rest.jsonl")
    build_pipeline(recipe).run()
    assert [path.name for path in Path().glob("*.jsonl")] == [output or "rest.jsonl"]


def test_what_overrides_a_recipe_says_less_than_all() -> None:
    recipe = recipe_of_dict({"input": [{"q": 1}], "run_dir": "kept", "max_failed": 3, "steps": [{"task": "t"}]})
    recipe.override(RunSettings(max_failed=7, rpm=60))
    assert (recipe.run.run_dir, recipe.run.max_failed, recipe.run.rpm) == ("kept", 7, 60)


def test_one_task_is_a_recipe_too_and_its_faults_have_the_places_that_were_given() -> None:
    entry = {"task": ("no-such-task", "--task"), "llm": ("offline", "--model")}
    recipe = recipe_of_task(entry, ["llm.temperature=0"], where="the command line")
    recipe.read_from([{"instruction": "?"}], "--input")
    with pytest.raises(ConfigurationError, match=r"^--task: There is no task named 'no-such-task'"):
        build_pipeline(recipe)


def test_a_setting_of_one_task_that_is_of_no_known_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"--set steps\.x: expected `task\.FIELD` or `llm\.NAME`"):
        recipe_of_task({"task": ("t", "here")}, ["steps.x=1"], where="here")


def test_a_mistake_is_told_with_file_and_line() -> None:
    Path("wrong.yaml").write_text(FILE.replace("columns", "colums"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"wrong\.yaml:8: .* no field 'colums'"):
        build_pipeline(recipe_of_file("wrong.yaml"))


def test_a_recipe_without_rows_is_told_so_where_its_first_step_stands() -> None:
    recipe = recipe_of_dict({"steps": [{"step": "first", "columns": ["question"]}]})
    pipeline = build_pipeline(recipe)
    with pytest.raises(ConfigurationError, match=r"steps\[0\]\.step: the run has no `input`, and the step 'first'"):
        check_pipeline(pipeline, recipe)


def test_the_sources_are_given_without_the_limits_that_were_set_on_them() -> None:
    Path("more.jsonl").write_text('{"question": "c"}\n', encoding="utf-8")
    recipe = recipe_of_file("capitals.yaml")
    recipe.read_from("more.jsonl", "--input")
    recipe.override(RunSettings(limit=1))
    (source,) = sources_of(build_pipeline(recipe))
    assert isinstance(source, LoadDataFromFiles)
    assert source.paths == "more.jsonl"


# What there is to say


def test_fields_are_described_as_people_read_them() -> None:
    own = describe_fields(First)[:2]
    assert own == [
        FieldDescription("columns", "list[str]", "", required=True, meaning="whose."),
        FieldDescription("length", "int", "1", required=False, meaning="how many characters are kept."),
    ]
    assert "on_error" in [each.name for each in describe_fields(First)[2:]]


def test_one_object_is_made_of_fields_and_settings_with_every_fault_told() -> None:
    assert build_one(First, {"columns": ["a"]}, ["length=3"], subject="the step `first`").length == 3
    with pytest.raises(ConfigurationError, match="the step `first` needs the field `columns`"):
        build_one(First, {}, subject="the step `first`")
    with pytest.raises(ConfigurationError, match="the step `first` has no field 'lenght'"):
        build_one(First, {"columns": ["a"]}, ["lenght=3"], subject="the step `first`")


def test_the_schema_knows_what_is_registered_here() -> None:
    schema = json.dumps(file_schema())
    assert '"first"' in schema
    assert "how many characters are kept." in schema


@pytest.mark.parametrize(("given", "value"), [("20", 20), ("5%", 0.05), (0.1, 0.1)])
def test_how_many_rows_may_fail_is_read_in_three_forms(given: Any, value: float) -> None:
    assert max_failed_of(given) == value


@pytest.mark.parametrize("given", ["-1", "1.5", "many", True])
def test_how_many_rows_may_fail_is_neither_less_than_none_nor_a_part_of_one(given: Any) -> None:
    with pytest.raises(ValueError, match="a count"):
        max_failed_of(given)


def test_a_secret_is_known_by_its_name() -> None:
    assert [name for name in ("api_key", "llm.token", "tokenizer_id", "monkey") if is_secret(name)] == [
        "api_key",
        "llm.token",
    ]


# Expressions


def test_an_expression_is_a_function_of_a_row_and_says_which_columns_it_needs() -> None:
    test = compile_expression("score > 3 and topic is defined", where="`condition`")
    assert bool(test({"score": 4, "topic": "x"}))
    assert not test({"score": 4})
    assert expression_columns("score > 3 and topic is defined") == {"score": True, "topic": False}


def test_an_expression_that_cannot_be_read_is_told_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match="`condition` is not an expression"):
        compile_expression("score >", where="`condition`")


# The door


def test_the_settings_of_runs_need_neither_pydantic_nor_yaml() -> None:
    program = "import sys; from limbeck.recipes import RunSettings, max_failed_of; RunSettings(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"pydantic", "yaml", "asyncio", "sqlite3", "limbeck._engine"})


def test_every_name_of_the_door_is_there_and_no_other() -> None:
    assert [getattr(recipes, name).__name__ for name in recipes.__all__] == recipes.__all__
    assert set(recipes.__all__) <= set(dir(recipes))
    with pytest.raises(AttributeError, match=r"'limbeck\.recipes' has no attribute 'build_pipelin'"):
        _ = recipes.build_pipelin  # type: ignore[attr-defined]
