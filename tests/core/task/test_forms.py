"""The two forms of a task: a class has one of them, and says so when it is made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from limbeck import LLMField, Task, ask
from limbeck.errors import ConfigurationError, PluginContractError
from limbeck.testing import EchoLLM
from support.questions import Ask, questions
from support.talking import Talk, told


class Asking(Talk):
    """Asks twice, the second time another LLM."""

    critic: LLMField | None = None

    def converse(self, input: Any) -> Any:
        first = yield ask(input["question"])
        second = yield ask(f"what of {first.text}?", llm=self.critic)
        return {"out": second.text}


def made(base: type[Task] = Talk, **namespace: Any) -> Any:
    """A class with these attributes."""
    return type("Made", (base,), {"__module__": __name__, **namespace})


def test_a_class_with_both_forms_is_refused() -> None:
    with pytest.raises(PluginContractError, match="defines `converse` and `format_input`: a task asks in one form"):
        made(Ask, converse=Asking.converse)
    with pytest.raises(PluginContractError, match="defines `converse` and `format_output`"):
        made(Asking, format_output=Ask.format_output)


def test_a_class_with_neither_may_be_a_base_and_is_not_made() -> None:
    base = made()
    with pytest.raises(PluginContractError, match="lacks `format_input` and `format_output`; or `converse`"):
        base(llm=EchoLLM())
    assert made(base, converse=Asking.converse)(llm=EchoLLM(), name="made").name == "made"


def test_half_a_form_is_told_as_what_is_missing() -> None:
    with pytest.raises(PluginContractError, match="lacks `format_output`; or `converse`"):
        made(format_input=Ask.format_input)(llm=EchoLLM())


async def asynchronous(self: Any, input: Any) -> Any:
    """A coroutine function."""


async def asynchronous_generator(self: Any, input: Any) -> Any:
    yield ask(input["question"])


@pytest.mark.parametrize(
    ("converse", "words"),
    [
        (asynchronous, "must be a plain generator, not `async`"),
        (asynchronous_generator, "must be a plain generator, not `async`"),
        (staticmethod(lambda input: None), "must be a method"),
        (classmethod(lambda cls, input: None), "must be a method"),
        (3, "must be a method"),
        (lambda self, row: None, "takes `input` and `rng`, or less; not 'row'"),
        (lambda self, *arguments: None, "not 'arguments'"),
        (lambda self, input, more=1: None, "not 'more'"),
    ],
    ids=["async", "async generator", "static", "of the class", "a number", "another name", "any", "more"],
)
def test_a_converse_that_can_be_none_is_refused_with_the_class(converse: Any, words: str) -> None:
    with pytest.raises(PluginContractError) as caught:
        made(converse=converse)
    assert words in str(caught.value)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_task_is_copied_and_pickled_with_its_llms_loaded_or_not(again: Any, *, loaded: bool) -> None:
    first = Asking(name="talk", llm=EchoLLM(), critic=EchoLLM(model="critic"), fallback=[EchoLLM()], repair=1)
    if loaded:
        first.load()
    second = again(first)
    assert second.model_dump() == first.model_dump()
    assert told(list(second.run(questions(1)))) == ["what of 0?"]


def test_a_configuration_holds_every_llm() -> None:
    dumped = Asking(name="talk", llm="offline", critic="offline", fallback=["offline"], repair=2).model_dump()
    offline = {"provider": "offline"}
    assert (dumped["critic"], dumped["fallback"], dumped["repair"]) == (offline, [offline], 2)
    assert Asking(**dumped).model_dump() == dumped


@pytest.mark.parametrize("fields", [{"repair": -1}, {"max_turns": 0}, {"fallback": "offline"}], ids=repr)
def test_a_field_with_a_value_that_it_cannot_have_is_refused_by_its_name(fields: Any) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=next(iter(fields))):
        Asking(name="talk", llm=EchoLLM(), **fields)


@pytest.mark.parametrize("fields", [{"fallback": [3]}, {"critic": 3}], ids=repr)
def test_a_further_llm_must_be_one(fields: Any) -> None:
    with pytest.raises(PluginContractError, match=r"`builtins\.int` cannot be used as an LLM"):
        Asking(name="talk", llm=EchoLLM(), **fields)
