"""Conversations that `@task` makes of generator functions. Covers `_task.decorator`."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import ask, task
from limbeck.errors import PluginContractError
from limbeck.testing import EchoLLM

if TYPE_CHECKING:
    from limbeck.types import Row


def test_a_generator_function_is_a_conversation() -> None:
    @task(inputs=["text"], outputs=["summary"])
    def refine(row: Row) -> Any:
        draft = yield ask(f"Summarise: {row['text']}")
        final = yield ask(f"Shorten: {draft.text}")
        return {"summary": final.text}

    (rows,) = refine(llm=EchoLLM()).process([{"text": "a"}])

    assert rows[0]["summary"] == "Shorten: Summarise: a"
    assert rows[0]["distilabel_metadata"] == {"raw_output_refine": ["Summarise: a", "Shorten: Summarise: a"]}


def test_a_generator_function_is_given_chance_that_is_the_same_each_time() -> None:
    @task(inputs=[], outputs=["number"])
    def draw(_row: Row, rng: random.Random) -> Any:
        yield ask(str(rng.random()))
        return {"number": rng.random()}

    first, second = (next(draw(llm=EchoLLM(), num_generations=2).process([{}, {}])) for _ in range(2))

    assert first == second
    assert len({row["number"] for row in first}) == 4


@pytest.mark.parametrize("given", [{"parse": str}, {"output_schema": {"type": "object"}}])
def test_a_generator_function_takes_nothing_that_reads_an_answer(given: dict[str, Any]) -> None:
    with pytest.raises(PluginContractError, match="a generator returns the output columns"):

        @task(inputs=[], outputs=["a"], **given)
        def talk(_row: Row) -> Any:
            yield ask("a")


def test_a_generator_function_with_other_arguments_is_told() -> None:
    with pytest.raises(PluginContractError, match="takes the row, and `rng` or nothing else"):

        @task(inputs=[], outputs=["a"])
        def talk(_row: Row, _other: Any) -> Any:
            yield ask("a")
