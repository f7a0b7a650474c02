"""Tasks and pipelines whose LLM answers in provider batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError
from limbeck.testing import replay
from support.batch_llm import BatchLLM
from support.questions import Ask, answered, processed, questions

if TYPE_CHECKING:
    from pathlib import Path


def batch_llm(**fields: Any) -> BatchLLM:
    return BatchLLM(**{"mode": "batch", "batch_poll_seconds": 0.01, "batch_gather_seconds": 0.01, **fields})


def test_a_run_in_batches_gives_the_rows_that_a_run_one_by_one_gives(tmp_path: Path) -> None:
    online = list(Ask(llm=BatchLLM()).run(questions(50), run_dir=tmp_path / "online"))
    assert list(Ask(llm=batch_llm()).run(questions(50), run_dir=tmp_path / "batch")) == online
    assert online[3] == answered("3", "echo: 3", model="m")


def test_process_keeps_no_ledger_and_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a run directory"):
        processed(Ask(llm=batch_llm()), questions(1))


def test_a_chain_of_tasks_that_share_an_llm_has_batches_of_each(tmp_path: Path) -> None:
    llm = batch_llm()
    first = Ask(name="first", llm=llm)
    second = Ask(
        name="second",
        llm=llm,
        input_mappings={"question": "answer"},
        output_mappings={"answer": "second"},
    )
    with Pipeline("chain") as pipeline:
        first >> second
    result = pipeline.run(questions(20), run_dir=tmp_path)
    assert [row["second"] for row in result] == [f"echo: echo: {number}" for number in range(20)]
    assert set(llm.script.desk.submitted.values()) == {1}


def test_a_run_in_batches_is_replayed_without_a_batch(tmp_path: Path) -> None:
    expected = list(Ask(llm=batch_llm()).run(questions(5), run_dir=tmp_path))
    llm = batch_llm()
    with replay(tmp_path):
        assert processed(Ask(llm=llm), questions(5)) == expected
    assert llm.script.desk.filed == []


def test_answers_of_batches_are_parsed_anew_without_a_batch(tmp_path: Path) -> None:
    expected = list(Ask(llm=batch_llm()).run(questions(5), run_dir=tmp_path))
    llm = batch_llm()
    assert list(Ask(llm=llm).reparse(questions(5), run_dir=tmp_path)) == expected
    assert llm.script.desk.filed == []
