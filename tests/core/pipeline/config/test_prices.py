"""`prices` in a pipeline's file: the table itself, or the path of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline
from limbeck._pipeline.config.schema import file_schema
from limbeck.errors import ConfigurationError

PRICES = {"m": {"input": 1_000_000, "output": 0}}
FILE = """\
input: [{question: a}]
prices:
  m: {input: 1000000, output: 0}
steps:
  - {task: ask, llm: paid/m}
"""


def pipeline(prices: Any) -> Pipeline:
    return Pipeline.from_dict(
        {"input": [{"question": "a"}], "prices": prices, "steps": [{"task": "ask", "llm": "paid/m"}]}
    )


def test_a_table_in_the_file_is_kept_with_the_run(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(FILE)
    read = Pipeline.from_yaml(path)
    assert read.to_dict()["prices"] == PRICES
    assert Pipeline.from_dict(read.to_dict()).to_dict()["prices"] == PRICES


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ({"m": {"input": 1}}, "`prices`: m: the price `output` is missing"),
        ({"m": {"input": 1, "output": -1}}, "`prices`: m.output: expected a number"),
        ({"m": 3}, "`prices`: m: expected a mapping"),
        ({5: {"input": 1, "output": 1}}, "`prices`: 5: a model's name must be text"),
        (["m"], "`prices`: expected a path, or a mapping of models to prices"),
        ("", "`prices`: expected a path, or a mapping of models to prices"),
    ],
)
def test_a_fault_in_the_table_is_told_with_its_place(prices: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        pipeline(prices)
    assert told in str(caught.value)


def test_a_price_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICE", "2.5")
    read = pipeline({"m": {"input": "${env:PRICE}", "output": 1}})
    assert read.file is not None
    assert read.file.run.prices == {"m": {"input": 2.5, "output": 1}}


def test_editors_know_both_forms() -> None:
    written, _reference = file_schema()["properties"]["prices"]["anyOf"]
    text, table = written["anyOf"]
    assert text == {"type": "string"}
    assert table["additionalProperties"]["required"] == ["input", "output"]
