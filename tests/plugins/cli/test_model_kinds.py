"""Tasks of embedders, scorers and image generators on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.command import invoke

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["embedder", "scorer", "image-generator"])
def test_a_model_is_shown_with_its_fields(kind: str) -> None:
    shown = invoke("show", kind, "offline")
    assert shown.exit_code == 0
    assert f"{kind.replace('-', ' ')} offline" in shown.stdout
    assert "max_concurrency" in shown.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("generate-embeddings", "The capital of Spain is Madrid."),
        ("score", "candidate:"),
        ("rank", "Bananas are yellow."),
        ("generate-images", "A dot."),
    ],
)
def test_a_task_is_shown_with_its_example_on_the_offline_model(name: str, says: str) -> None:
    shown = invoke("show", "task", name)
    assert shown.exit_code == 0
    assert says in shown.stdout
    assert "Output columns" in shown.stdout


def test_one_task_runs_over_rows_with_its_kind_of_model(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n', encoding="utf-8")
    arguments = ("--model", "offline/m", "--task", "generate-embeddings", "--set", "embedder.dimensions=3")
    result = invoke("generate", *arguments, "--input", "in.jsonl", "--output", "out.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [len(row["embedding"]) for row in rows] == [3, 3]
    assert {row["model_name"] for row in rows} == {"offline/m"}


def test_limits_of_a_run_reach_models_of_every_kind_and_its_mode_only_llms(folder: Path) -> None:
    (folder / "p.yaml").write_text(
        "input: [{text: a}]\noutput: out.jsonl\nsteps:\n  - task: generate-embeddings\n    embedder: offline\n",
        encoding="utf-8",
    )
    result = invoke("run", "p.yaml", "--max-concurrency", "2", "--rpm", "600")
    assert result.exit_code == 0, result.output


def test_a_retry_changes_the_model_that_the_task_has(folder: Path) -> None:
    (folder / "p.yaml").write_text(
        "input: [{text: a}, {text: b}]\noutput: out.jsonl\nsteps:\n"
        "  - task: generate-embeddings\n    embedder: {provider: offline, dimensions: 3}\n",
        encoding="utf-8",
    )
    assert invoke("run", "p.yaml", "--run-dir", "r").exit_code == 0
    result = invoke("retry", "r", "--where", "text = 'b'", "--set", "embedder.dimensions=5")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [len(row["embedding"]) for row in rows] == [3, 5]
