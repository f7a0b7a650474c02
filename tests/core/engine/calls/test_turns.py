"""What `ask` and `do` take, and what they say of anything else."""

from __future__ import annotations

import functools
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from limbeck import ask, do
from limbeck.errors import ConfigurationError, RowError


def test_a_text_is_the_users_only_message() -> None:
    assert ask("hi").messages == [{"role": "user", "content": "hi"}]


def test_tools_travel_in_the_parameters() -> None:
    asked = ask("hi", parameters={"temperature": 0}, tools=[{"type": "function"}], tool_choice="auto")
    assert asked.parameters == {"temperature": 0, "tools": [{"type": "function"}], "tool_choice": "auto"}


def test_what_is_given_to_ask_may_change_later() -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    parameters = {"temperature": 0}
    asked = ask(messages, parameters=parameters)
    messages.clear()
    parameters.clear()
    assert (asked.messages, asked.parameters) == ([{"role": "user", "content": "hi"}], {"temperature": 0})
    with pytest.raises(FrozenInstanceError):
        asked.prompt = "other"  # type: ignore[misc]  # which is what the test is about


def test_messages_beside_a_raw_prompt_are_the_tasks_fault() -> None:
    with pytest.raises(ConfigurationError, match="one of the two"):
        ask("hi", prompt="hi")


@pytest.mark.parametrize("messages", [[], None, {"role": "user"}, 3, ()], ids=repr)
def test_messages_that_are_none_may_come_of_a_row_and_are_its_fault_alone(messages: Any) -> None:
    with pytest.raises(RowError, match="`ask` takes"):
        ask(messages)


@pytest.mark.parametrize("turn", [lambda **given: ask("hi", **given), lambda **given: do(len, **given)])
def test_a_failure_is_raised_or_returned_and_nothing_else(turn: Any) -> None:
    assert turn(on_error="return").on_error == "return"
    with pytest.raises(ConfigurationError, match='"raise" or "return", not \'keep\''):
        turn(on_error="keep")


def test_an_effect_is_called_with_what_stands_behind_it() -> None:
    effect = do(int, "ff", base=16, timeout=1, max_concurrency=2)
    assert (effect.function, effect.arguments, effect.named) == (int, ("ff",), {"base": 16})


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": float("nan")}, {"max_concurrency": 0}], ids=repr)
def test_an_effects_limits_are_above_zero(limits: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        do(len, "", **limits)


@pytest.mark.parametrize("function", [None, "len", 3])
def test_an_effect_is_a_function(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes a function and its arguments"):
        do(function)


def test_the_name_of_an_effect_is_its_functions_however_it_is_wrapped() -> None:
    assert do(functools.partial(functools.partial(int, "ff"), base=16)).name == "int"
    assert do("".join).name == "str.join"
