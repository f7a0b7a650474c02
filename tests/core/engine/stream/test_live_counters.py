"""The counters of what is under way: requests by model, and effects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from limbeck import LLMField, Task, ask, do
from limbeck.errors import ContentFilteredError
from limbeck.testing import ScriptedLLM
from limbeck.types import GenerationRequest, Row, RunStats
from support.questions import Ask


class Judged(Task):
    """Asks its LLM and two times the critic, with an effect after them."""

    critic: LLMField
    effect: Any = None

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        draft = yield ask(input["text"])
        yield [ask(draft.text, llm=self.critic), ask(f"{draft.text}?", llm=self.critic)]
        if self.effect is not None:
            yield do(self.effect)
        return {"answer": draft.text}


class Watch:
    """Notes what is under way at each call."""

    def __init__(self) -> None:
        self.stats = RunStats()
        self.seen: list[Any] = []

    def noting(self, name: str, *, answer: Any = "well") -> Callable[[GenerationRequest], Any]:
        def script(request: GenerationRequest) -> Any:
            self.seen.append((name, dict(self.stats.in_flight_of)))
            return answer

        return script

    def run(self, task: Task, rows: list[Row]) -> None:
        known = threading.Event()

        def given() -> Iterator[Row]:
            assert known.wait(60)
            yield from rows

        with task.run(given()) as stream:
            self.stats = stream.stats
            known.set()
            list(stream)


def named(model: str, watch: Watch, **more: Any) -> ScriptedLLM:
    return ScriptedLLM(model=model, script=watch.noting(model, **more))


def judged(watch: Watch, *, effect: Any = None) -> Task:
    llms = (named("writer", watch), named("critic", watch))
    return Judged(llm=llms[0], critic=llms[1], effect=effect)


def test_requests_in_flight_are_counted_by_model_where_a_task_asks_several() -> None:
    watch = Watch()
    watch.run(judged(watch), [{"text": "tea"}])
    assert watch.seen[0] == ("writer", {"writer": 1})
    assert watch.seen[-1][0] == "critic"
    assert watch.seen[-1][1]["critic"] >= 1
    assert watch.seen[-1][1].get("writer", 0) == 0
    assert +watch.stats.in_flight_of == {}


def test_requests_to_a_fallback_are_counted_as_its_own() -> None:
    watch = Watch()
    careful = named("careful", watch, answer=ContentFilteredError("No."))
    watch.run(Ask(llm=careful, fallback=[named("bold", watch)]), [{"question": "tea"}])
    assert [(name, seen[name]) for name, seen in watch.seen] == [("careful", 1), ("bold", 1)]
    assert +watch.stats.in_flight_of == {}


def test_requests_of_a_task_with_one_llm_are_not_counted_by_model() -> None:
    watch = Watch()
    watch.run(Ask(llm=named("writer", watch)), [{"question": "tea"}])
    assert watch.seen == [("writer", {})]


def test_effects_are_counted_while_they_are_under_way() -> None:
    watch = Watch()
    under_way: list[int] = []

    def effect() -> None:
        under_way.append(watch.stats.effects)

    watch.run(judged(watch, effect=effect), [{"text": "tea"}])
    assert (under_way, watch.stats.effects) == ([1], 0)
