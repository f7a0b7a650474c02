"""One call as it is stored: back comes what went in, and what was changed on the way is noticed."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from limbeck._engine.ledger.file import MIGRATIONS
from limbeck._engine.ledger.stored_calls import (
    ANSWER_COLUMNS,
    INSERT_CALL,
    DamagedCallError,
    answer_columns,
    answer_records,
    failure_records,
    fetch_all,
    stored_answer,
)
from limbeck.errors import TransientError
from limbeck.types import FailedCall, Generation, GenerationRequest, GenerationResponse, PaidAnswer, Usage

_COST = INSERT_CALL.split(", ").index("cost")
USAGE = Usage(input_tokens=10, output_tokens=5, cached_tokens=1, reasoning_tokens=2)
REQUEST = GenerationRequest(messages=[])


def records_of(*generations: Generation, **facts: Any) -> list[Any]:
    response = GenerationResponse(generations=generations, usage=USAGE, model="m")
    fields = {"latency": 0.5, "attempts": 1, "cost": 1.5, **facts}
    samples = list(range(len(generations)))
    answer = PaidAnswer(row="7", samples=samples, key=b"k", request=REQUEST, response=response, **fields)
    return answer_records("ask", answer, body="{}", maker=3, at=1.0)


def stored(*generations: Generation, change: str = "", **facts: Any) -> list[Any]:
    """The answers after a way through SQLite, on which something may happen."""
    with closing(sqlite3.connect(":memory:")) as file:
        for script in MIGRATIONS:
            file.executescript(script)
        file.executemany(INSERT_CALL, records_of(*generations, **facts))
        if change:
            file.execute(f"UPDATE calls SET {change}")
        return [stored_answer(record) for record in fetch_all(file, f"SELECT {answer_columns(file)} FROM calls", ())]


@pytest.mark.parametrize(
    "generation",
    [
        Generation(text="Madrid", finish_reason="stop"),
        Generation(text=None),
        Generation(text="half \ud83d", finish_reason="length"),
        Generation(text="\x00 \u2028 ß", reasoning="so", logprobs={"content": []}),
        Generation(text="", tool_calls=[{"id": "t", "function": {"name": "f"}}]),
    ],
    ids=repr,
)
def test_an_answer_comes_back_as_it_was(generation: Generation) -> None:
    (answer,) = stored(generation)
    assert answer.generation == generation
    assert (answer.usage, answer.model, answer.latency, answer.attempts) == (USAGE, "m", 0.5, 1)


def test_what_is_the_whole_responses_stands_on_the_first_sample_alone() -> None:
    first, second = stored(Generation(text="a"), Generation(text="b"))
    assert (first.usage, second.usage) == (USAGE, None)
    assert [record[_COST] for record in records_of(Generation(text="a"), Generation(text="b"))] == [1.5, None]


@pytest.mark.parametrize(
    "change",
    ["text = 'Rome'", "finish_reason = 'length'", "row = '8'", "output_tokens = 6", "cost = 9", "key = x'00'"],
)
def test_a_value_that_was_changed_is_noticed_with_the_row_it_is_of(change: str) -> None:
    with pytest.raises(DamagedCallError) as caught:
        stored(Generation(text="Madrid"), change=change)
    assert caught.value.call == 1


def test_a_text_that_is_none_any_more_is_damaged_too() -> None:
    with pytest.raises(DamagedCallError):
        stored(Generation(text="Madrid"), change="text = CAST(x'ff' AS TEXT)")


def test_a_call_of_an_earlier_version_without_a_checksum_is_taken() -> None:
    (answer,) = stored(Generation(text="Madrid"), change="digest = NULL")
    assert answer.generation.text == "Madrid"


@pytest.mark.parametrize("latency", [math.inf, 0, 1e-300])
def test_odd_numbers_are_no_damage(latency: float) -> None:
    (answer,) = stored(Generation(text="a"), latency=latency)
    assert answer.latency == latency


def test_a_failed_call_has_its_error_and_what_was_paid_on_the_first_sample() -> None:
    failure = FailedCall(
        row="7",
        samples=[0, 1],
        key=b"k",
        request=REQUEST,
        error=TransientError("no", usage=USAGE),
        attempts=2,
        cost=1.0,
        retried=False,
    )
    first, second = failure_records("ask", failure, body=None, maker=None, at=1.0)
    assert ("TransientError", "no") == first[15:17] == second[15:17]
    assert (first[9], second[9]) == (10, None)


def test_the_columns_of_a_ledger_without_checksums_have_null_in_their_place() -> None:
    with closing(sqlite3.connect(":memory:")) as file:
        file.executescript(MIGRATIONS[0])
        assert answer_columns(file).endswith("NULL, NULL")
        assert answer_columns(file).count(",") == ANSWER_COLUMNS.count(",")
