"""What a file says of how it is run is how its pipeline is run, from Python too.

Covers `_pipeline.config.run_keys` and `_pipeline.config.run_settings`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline, hookimpl
from limbeck.errors import ConfigurationError, FailureLimitError, GenerationError
from limbeck.types import RunInfo

TEXT = """
name: asked
input: [{question: a}, {wrong: b}, {question: c}]
run_dir: kept
steps:
- {task: ask, llm: paid/m}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_directory_is_the_one_that_the_file_names() -> None:
    result = Pipeline.from_yaml(TEXT).run()
    assert [row.get("answer") for row in result] == ["fine", None, "fine"]
    assert result.run_dir == Path("kept")
    assert Pipeline.from_yaml(TEXT).run(run_dir="other").run_dir == Path("other")


def test_a_limit_of_failures_is_the_file_s_unless_another_is_given() -> None:
    pipeline = Pipeline.from_yaml(f"max_failed: 0{TEXT}")
    with pytest.raises(FailureLimitError):
        pipeline.run()
    assert len(pipeline.run(max_failed=1).failed) == 1


def test_a_source_gives_as_many_rows_as_the_file_lets_it() -> None:
    assert [row["question"] for row in Pipeline.from_yaml(f"limit: 1{TEXT}").run()] == ["a"]


def test_the_configuration_is_in_the_directory_with_its_references(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    text = TEXT.replace("llm: paid/m", "llm: {provider: paid/m, api_key: '${env:MY_KEY}'}")
    Pipeline.from_yaml(text).run()
    noted = json.loads((folder / "kept" / "run.json").read_text())
    assert noted["config"]["steps"][0]["llm"] == {"provider": "paid/m", "api_key": "${env:MY_KEY}"}
    assert "sk-very-secret" not in (folder / "kept" / "run.json").read_text()


def test_an_output_whose_place_is_from_the_environment_is_not_named_in_the_directory_and_yet_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", str(folder / "a-secret-folder"))
    text = f"output: '${{env:SECRET}}/out.jsonl'{TEXT}"
    Pipeline.from_yaml(text).run()
    assert "a-secret-folder" not in (folder / "kept" / "run.json").read_text()
    assert len(list(Pipeline.from_yaml(text).run())) == 3
    with pytest.raises(ConfigurationError, match="exists"):
        Pipeline.from_yaml(text).run(run_dir="other")


def test_a_pipeline_made_in_python_leaves_no_configuration(folder: Path) -> None:
    from .conftest import Ask

    Pipeline([{"question": "a"}], Ask(llm="paid/m")).run(run_dir="kept")
    assert json.loads((folder / "kept" / "run.json").read_text())["config"] is None


def test_a_pipeline_of_a_file_leaves_its_configuration_as_it_would_be_written(folder: Path) -> None:
    pipeline = Pipeline.from_yaml(TEXT)
    pipeline.run()
    assert json.loads((folder / "kept" / "run.json").read_text())["config"] == pipeline.to_dict()


def test_a_pipeline_of_a_file_that_is_given_rows_leaves_none(folder: Path) -> None:
    pipeline = Pipeline.from_dict({"steps": [{"task": "ask", "llm": "paid/m"}]})
    pipeline.run([{"question": "a"}], run_dir="kept")
    assert json.loads((folder / "kept" / "run.json").read_text())["config"] is None


class Failures:
    """Notes what failed."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any, str]] = []

    @hookimpl
    def limbeck_row_failed(self, run: RunInfo, id: str, row: Any, error: GenerationError) -> None:
        self.seen.append((run.task, id, row, type(error).__name__))


def test_observers_are_told_of_each_row_that_failed_and_where() -> None:
    failures = Failures()
    text = TEXT + "- {step: upper, column: answer}\n"
    Pipeline.from_yaml(text).run(observers=[failures])
    first, second = sorted(failures.seen)
    assert first == ("ask", "1", {"wrong": "b"}, "RowError")
    assert (second[0], second[1], second[3]) == ("upper", "1", "RowError")
