"""Conversations: what a generator may yield, what it is sent, and how it goes on after a run that was stopped."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import LLMField, ask, do
from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GenerationError,
    LimbeckError,
    LimbeckWarning,
)
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import GenerationRequest
from support.questions import METADATA, prompt_of, questions
from support.talking import Talk, fault_of, stored, talking, told


async def nothing_awaited() -> None:
    """A coroutine that is never run."""


def outcome_of(converse: Any, **fields: Any) -> Any:
    """The column of the one row, or the type and the message of its error."""
    (row,) = talking(converse, **{"llm": EchoLLM(), **fields}).run([{"question": "q"}])
    return row["out"] if (fault := fault_of(row)) is None else (fault["type"], fault["message"])


def yielding(value: Any) -> Any:
    """A conversation whose only turn is this."""

    def converse(self: Any) -> Any:
        return {"out": repr((yield value() if callable(value) else value))}

    return converse


def returning(value: Any) -> Any:
    def converse(self: Any) -> Any:
        yield ask("hi")
        return value

    return converse


# What is yielded, and sent in


def test_a_conversation_asks_about_what_it_was_answered() -> None:
    def converse(self: Any, input: Any) -> Any:
        first = yield ask(input["question"])
        second = yield ask([*first_of(first), {"role": "user", "content": f"and {first.text}?"}])
        return {"out": second.text}

    def first_of(generation: Any) -> list[Any]:
        return [{"role": "assistant", "content": generation.text}]

    assert outcome_of(converse) == "and q?"


def test_a_list_is_asked_side_by_side_and_its_results_are_in_its_order() -> None:
    def converse(self: Any) -> Any:
        first, number, last = yield [ask("a"), do(len, "bcd"), ask("e")]
        return {"out": [first.text, number, last.text]}

    assert outcome_of(converse) == ["a", 3, "e"]


def test_an_empty_list_is_a_turn_without_parts() -> None:
    assert (outcome_of(yielding([])), outcome_of(yielding(()))) == ("[]", "[]")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "yielded nothing at turn 1"),
        ("text", "yielded `str` at turn 1"),
        ({"out": 1}, "For the output columns, write `return`."),
        ([ask("a"), 3], "yielded `int` at turn 1"),
        ([[ask("a")]], "yielded `list` at turn 1"),
        (lambda: (number for number in range(3)), "For a generator, write `yield from`."),
        (nothing_awaited, "A coroutine is given to `do` as its function and its arguments."),
    ],
    ids=["nothing", "text", "columns", "in a list", "nested", "generator", "coroutine"],
)
def test_what_is_no_turn_fails_the_row_with_the_remedy(value: Any, words: str) -> None:
    kind, message = outcome_of(yielding(value))
    assert (kind, words in message) == ("OutputError", True)


@pytest.mark.parametrize("turn", [lambda: ask("again"), lambda: do(len, ""), list], ids=["ask", "do", "nothing"])
def test_a_conversation_that_never_ends_is_ended(turn: Any) -> None:
    def converse(self: Any) -> Any:
        while True:
            yield turn()

    kind, message = outcome_of(converse, max_turns=7)
    assert (kind, "took more than 7 turns. Raise `max_turns`" in message) == ("TurnLimitError", True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "returned nothing, not a dict of columns: `return {'out': …}`"),
        ([1], "returned list, not a dict"),
        ({}, "did not return `out`"),
        ({"out": 1, "more": 2}, "returned `more`, which is not among its outputs"),
    ],
)
def test_what_is_no_dict_of_the_columns_fails_the_row(value: Any, words: str) -> None:
    kind, message = outcome_of(returning(value))
    assert (kind, words in message) == ("OutputError", True)


# What it raises


@pytest.mark.parametrize("first", [True, False], ids=["before its first turn", "after it"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(2),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        BaseException("bare"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_conversation_raises_fails_its_row_alone(error: BaseException, *, first: bool) -> None:
    def converse(self: Any, input: Any) -> Any:
        if first and input["question"] == "0":
            raise error
        yield ask("hi")
        if input["question"] == "0":
            raise error
        return {"out": "well"}

    rows = list(talking(converse, llm=EchoLLM()).run(questions(2)))
    assert told(rows) == ["RowError" if first else "OutputError", "well"]
    assert fault_of(rows[0])["message"].startswith(f"`converse` of task 'talk' raised {type(error).__name__}")


def test_a_stop_iteration_is_no_end() -> None:
    def converse(self: Any) -> Any:
        yield ask("hi")
        next(iter(()))

    kind, message = outcome_of(converse)
    assert (kind, "StopIteration" in message) == ("OutputError", True)


def test_a_mistake_in_the_configuration_ends_the_run() -> None:
    def converse(self: Any) -> Any:
        yield ask("hi", prompt="hi")

    with pytest.raises(ConfigurationError, match="one of the two"):
        outcome_of(converse)


@pytest.mark.parametrize("schema", [3, {"type": "nonsense"}])
def test_a_schema_that_is_none_ends_the_run(schema: Any) -> None:
    def converse(self: Any) -> Any:
        yield ask("hi", schema=schema)

    with pytest.raises(ConfigurationError, match="output_schema"):
        outcome_of(converse)


def test_a_failed_call_is_raised_in_the_conversation_or_given_to_it() -> None:
    llm = ScriptedLLM(script=lambda request: BadRequestError("not that") if prompt_of(request) == "bad" else "well")

    def converse(self: Any) -> Any:
        given = yield ask("bad", on_error="return")
        try:
            yield [ask("good"), ask("bad")]
        except BadRequestError as exc:
            last = yield ask("good")
            return {"out": (str(given), given.turn, exc.turn, last.text)}

    assert outcome_of(converse, llm=llm) == ("not that", "1", "2.2", "well")


def test_a_generator_that_will_not_end_is_told_of_once_and_holds_nobody_up() -> None:
    held = threading.Event()

    def converse(self: Any) -> Any:
        try:
            yield "no turn"
        except GeneratorExit:
            if not held.is_set():
                yield "still here"

    with pytest.warns(LimbeckWarning, match="Let `GeneratorExit` through") as caught:
        rows = list(talking(converse, llm=EchoLLM()).run(questions(3)))
    held.set()
    assert (told(rows), len(caught)) == (["OutputError"] * 3, 1)


def test_a_conversation_that_is_left_is_closed() -> None:
    closed = threading.Event()

    def converse(self: Any) -> Any:
        try:
            while True:
                yield ask("again")
        finally:
            closed.set()

    with talking(converse, llm=EchoLLM(), max_turns=1_000_000_000).run(questions(1)):
        pass
    assert closed.wait(10)


# Who is asked


class WithCritic(Talk):
    """Asks a second LLM."""

    critic: LLMField | None = None

    def converse(self, input: Any) -> Any:
        draft = yield ask(input["question"])
        notes = yield ask(f"what of {draft.text}?", llm=self.critic)
        return {"out": notes.text}


def test_a_further_llm_is_asked_where_it_is_named_and_the_tasks_own_where_there_is_none() -> None:
    critic = ScriptedLLM(script=lambda request: f"critic: {prompt_of(request)}")
    rows = [{"question": "a"}]
    assert told(list(WithCritic(name="talk", llm=EchoLLM(), critic=critic).run(rows))) == ["critic: what of a?"]
    assert told(list(WithCritic(name="talk", llm=EchoLLM()).run(rows))) == ["what of a?"]


@pytest.mark.parametrize("llm", [EchoLLM(), "openai/other"], ids=["object", "name"])
def test_an_llm_that_is_no_field_of_the_task_ends_the_run_with_the_remedy(llm: Any) -> None:
    def converse(self: Any) -> Any:
        yield ask("hi", llm=llm)

    with pytest.raises(ConfigurationError, match="Declare it as a field, `critic: LLMField"):
        outcome_of(converse)


# Samples


def test_each_sample_has_a_conversation_with_a_chance_of_its_own_that_is_the_same_again() -> None:
    def converse(self: Any, rng: Any) -> Any:
        answer = yield ask(str(rng.random()))
        return {"out": answer.text}

    runs = [told(list(talking(converse, llm=EchoLLM(), num_generations=3).run(questions(2)))) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 6


def test_conversations_of_one_row_are_grouped() -> None:
    def converse(self: Any, input: Any) -> Any:
        answer = yield ask(input["question"])
        return {"out": answer.text}

    task = talking(converse, llm=EchoLLM(), num_generations=2, group_generations=True)
    (row,) = task.run([{"question": "q"}])
    assert row["out"] == ["q", "q"]
    assert [each["raw_output_talk"] for each in row[METADATA]] == [["q"], ["q"]]


# Resuming


def test_a_finished_run_of_many_conversations_is_read_again_and_nothing_is_asked(tmp_path: Path) -> None:
    def converse(self: Any, input: Any) -> Any:
        first = yield ask(input["question"])
        second = yield ask(f"and {first.text}")
        return {"out": second.text}

    requests = []
    for _ in range(2):
        stream = talking(converse, llm=EchoLLM()).run(questions(1500), run_dir=tmp_path)
        assert told(list(stream)) == [f"and {number}" for number in range(1500)]
        requests.append((stream.stats.requests, stream.stats.reused))
    assert requests == [(3000, 0), (0, 3000)]


def test_a_conversation_that_is_not_the_same_again_is_told_of_once(tmp_path: Path) -> None:
    chance = iter(range(1000))

    def converse(self: Any) -> Any:
        yield ask("first")
        answer = yield ask(f"chance {next(chance)}")
        return {"out": answer.text}

    assert told(list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path)))
    with pytest.warns(LimbeckWarning, match="turn 2 asks something else than is stored") as caught:
        rows = list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path))
    assert (told(rows), len(caught)) == ([f"chance {number}" for number in range(3, 6)], 1)


def test_a_run_whose_warnings_are_errors_ends_with_what_is_to_be_told(tmp_path: Path) -> None:
    chance = iter(range(1000))

    def converse(self: Any) -> Any:
        yield ask("first")
        yield ask(f"chance {next(chance)}")
        return {"out": 1}

    list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path))
    with pytest.raises((LimbeckError, LimbeckWarning), match="asks something else"):
        list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path))


PARTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(["own", "critic"]), st.booleans(), st.sampled_from(["raise", "return"])),
    st.tuples(st.just("do"), st.sampled_from(["raise", "return"])),
)
PROGRAMS = st.lists(st.one_of(PARTS, st.lists(PARTS, max_size=3)), max_size=4)


class World:
    """All that is asked and done, and the moment at which the run is stopped."""

    def __init__(self, program: list[Any], stop_at: int, **fields: Any) -> None:
        self.program = program
        self.stop_at = stop_at
        self.fields = fields
        self.asked: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.lock = threading.Lock()

    def counts(self) -> bool:
        """Whether what happens now is what stops the run."""
        with self.lock:
            self.stop_at -= 1
            return self.stop_at == 0

    def model(self, name: str) -> ScriptedLLM:
        def script(request: GenerationRequest) -> Any:
            if self.counts():
                return AuthenticationError("the process is gone")
            said = f"{name}: {json.dumps(request.messages)}"
            self.asked[said] += 1
            fate = crc32(said.encode()) % 11
            if fate == 0:
                return BadRequestError(f"refused {fate}")
            return "no JSON" if fate < 4 else json.dumps({"said": crc32(said.encode())})

        return ScriptedLLM(model=name, script=script)

    def effect(self, text: str) -> str:
        """Fails for some."""
        self.done[text] += 1
        if crc32(text.encode()) % 5 == 0:
            raise ValueError("an effect that fails")
        return text[::-1]

    def task(self) -> Any:
        world = self

        class Program(Talk):
            critic: LLMField | None = None

            def converse(self, input: Any, rng: Any) -> Any:
                past = [input["question"], rng.random()]

                def turn(part: Any, place: str) -> Any:
                    text = f"{place} of {crc32(json.dumps(past).encode())}"
                    if part[0] == "do":
                        return do(world.effect, text, on_error=part[1])
                    schema = {"type": "object"} if part[2] else None
                    llm = self.critic if part[1] == "critic" else None
                    return ask(text, llm=llm, schema=schema, on_error=part[3])

                for number, step in enumerate(world.program):
                    try:
                        if isinstance(step, list):
                            said = yield [turn(part, f"{number}.{place}") for place, part in enumerate(step)]
                        else:
                            said = [(yield turn(step, str(number)))]
                    except GenerationError as exc:
                        if number % 2:
                            raise
                        said = [exc]
                    past.extend(str(getattr(each, "text", each)) for each in said)
                return {"out": past}

        fallback = [self.model("fallback")] if self.fields.pop("falls_back", False) else []
        return Program(
            name="talk", llm=self.model("own"), critic=self.model("critic"), fallback=fallback, **self.fields
        )


@given(
    program=PROGRAMS,
    rows=st.integers(1, 6),
    stop_at=st.integers(1, 40),
    repair=st.integers(0, 2),
    falls_back=st.booleans(),
    num_generations=st.integers(1, 2),
)
@settings(max_examples=30, deadline=None)
def test_a_program_stopped_anywhere_and_resumed_ends_as_if_undisturbed_and_repeats_nothing_that_was_stored(
    program: list[Any], rows: int, stop_at: int, repair: int, num_generations: int, *, falls_back: bool
) -> None:
    how = {"repair": repair, "falls_back": falls_back, "num_generations": num_generations}
    undisturbed = list(World(program, -1, **how).task().run(questions(rows)))
    with TemporaryDirectory() as folder:
        first, second, third = (World(program, at, **how) for at in (stop_at, -1, -1))
        stopped = False
        try:
            list(first.task().run(questions(rows), run_dir=folder))
        except AuthenticationError:
            stopped = True
        answers, effects = answered(Path(folder)), done(Path(folder))
        again = list(second.task().run(questions(rows), run_dir=folder))
        assert [told([row]) for row in again] == [told([row]) for row in undisturbed]
        assert [row["out"] for row in again] == [row["out"] for row in undisturbed]
        assert not answers & set(second.asked)
        assert not effects & set(second.done)
        assert second.asked.total() == len(second.asked)
        if not stopped:
            assert not (second.asked or second.done) or any(map(fault_of, again))
        finished = answered(Path(folder))
        list(third.task().run(questions(rows), run_dir=folder))
        assert not finished & set(third.asked)


def done(folder: Path) -> set[str]:
    """What was done well, by the ledger."""
    effects = stored(folder, "SELECT arguments FROM effects WHERE result IS NOT NULL")
    return {json.loads(arguments)[0][0] for (arguments,) in effects}


def answered(folder: Path) -> set[str]:
    """What was asked, as the models note it, of all answers in a ledger."""
    query = """
        SELECT json_extract(makers.identity, '$.model_name'), calls.request
        FROM calls JOIN makers ON makers.id = calls.maker WHERE calls.error IS NULL
    """
    return {f"{name}: {json.dumps(json.loads(request)['messages'])}" for name, request in stored(folder, query)}
