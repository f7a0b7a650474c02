"""A backend, a source or a taker may do anything: it costs its own rows, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck import Task
from limbeck._engine.online.backend import backend_of
from limbeck._engine.threads.portal import portal
from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContentFilteredError,
    GenerationError,
    LedgerError,
    LimbeckWarning,
    RateLimitError,
    RowFailedError,
    TransientError,
)
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import ChatType, Generation, GenerationRequest, GenerationResponse, Quota, Row, Usage
from support.questions import METADATA, Ask, GatedLLM, answered, new_model, prompt_of, questions, response

PATIENCE = 4.0


def patiently(task: Task, rows: list[Row]) -> list[Row]:
    async def app() -> list[Row]:
        return await asyncio.wait_for(task.aprocess(rows), PATIENCE)

    return asyncio.run(app())


class Duck:
    model_name = "duck"
    max_attempts = 5

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        if isinstance(self._answer, BaseException):
            raise self._answer
        answer: GenerationResponse = self._answer  # or whatever the test plants
        return answer


class Blocking:
    model_name = "duck"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        raise self._error


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class UnspeakableFault(GenerationError):
    def __str__(self) -> str:
        raise RuntimeError("no words")


# 1 isolation of backends


@pytest.mark.parametrize(
    "llm",
    [
        *map(Duck, (SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit(), StopIteration())),
        *map(Blocking, (SystemExit(3), asyncio.CancelledError(), GeneratorExit(), StopIteration("exhausted"))),
        *map(Duck, (Unspeakable(), UnspeakableFault())),
    ],
    ids=[
        *("exit", "cancelled", "interrupt", "end of a generator", "end of an iterator"),
        *("exit in thread", "cancelled in thread", "end of a generator in thread", "end of an iterator in thread"),
        *("an error whose message raises", "a typed error whose message raises"),
    ],
)
def test_whatever_a_backend_raises_fails_its_row_and_costs_nobody_else(llm: Any) -> None:
    (row,) = patiently(Ask(llm=llm), questions(1))
    assert row[METADATA]["error_ask"]["type"] == "BackendError"
    assert patiently(Ask(llm=EchoLLM()), questions(1)) == [answered("0", "0", model="echo")]


@pytest.mark.parametrize(
    "answer",
    [
        {"generations": [{"text": "x"}]},
        GenerationResponse(generations=["text"]),  # type: ignore[list-item]
        GenerationResponse(generations=None),  # type: ignore[arg-type]
        GenerationResponse(generations=[Generation(text=object())]),  # type: ignore[arg-type]
    ],
    ids=["no response", "texts for generations", "no list", "text that is no text"],
)
def test_what_is_no_response_or_has_no_text_is_a_backend_error_as_data(answer: Any) -> None:
    (row,) = patiently(Ask(llm=Duck(answer)), questions(1))
    assert row[METADATA]["error_ask"]["type"] == "BackendError"


def odd(part: str, value: Any) -> GenerationResponse:
    if part in ("usage", "quota", "model"):
        return GenerationResponse(generations=[Generation(text="paid")], **{part: value})
    return GenerationResponse(generations=[Generation(**{"text": "paid", part: value})])


ODD_PARTS: list[tuple[str, Any]] = [
    *[("usage", Usage(input_tokens=5, output_tokens=count)) for count in (-1, 1.5, math.nan, math.inf, 2**63, 10**400)],  # type: ignore[arg-type]
    *[("usage", Usage(input_tokens=count)) for count in ("many", [1], {}, True, b"1", object())],  # type: ignore[arg-type]
    *[("usage", value) for value in ("7 tokens", [7, 2], 9, object())],
    *[("usage", Usage(cached_tokens=-1)), ("usage", Usage(reasoning_tokens=[2]))],  # type: ignore[arg-type]
    *[("quota", {"requests_remaining": 0}), ("model", object()), ("model", ["m"])],
    *[("finish_reason", value) for value in (1, {"type": "stop"}, ["stop"])],
    *[("reasoning", value) for value in (b"x", {"a": 1}, 7)],
    *[("tool_calls", value) for value in (5, "none", [5], {"id": "1"})],
]


@pytest.mark.parametrize(("part", "value"), ODD_PARTS, ids=[str(number) for number in range(len(ODD_PARTS))])
def test_what_is_odd_beside_a_paid_text_is_left_out_and_told_and_the_text_kept(
    part: str, value: Any, tmp_path: Path
) -> None:
    with pytest.warns(LimbeckWarning, match=rf"with `{part}`.*left out"):
        rows = list(Ask(llm=Duck(odd(part, value))).run(questions(1), run_dir=tmp_path))
    assert [row["answer"] for row in rows] == ["paid"]
    assert [row["answer"] for row in Ask(llm=Duck(AssertionError("bought"))).run(questions(1), run_dir=tmp_path)] == [
        "paid"
    ]


def test_what_is_odd_is_told_once_a_run_and_again_in_the_next() -> None:
    for _ in range(2):
        with pytest.warns(LimbeckWarning) as told:
            assert len(patiently(Ask(llm=Duck(odd("finish_reason", 1))), questions(5))) == 5
        assert len(told) == 1


def test_warnings_that_are_errors_cost_no_paid_answer() -> None:  # as all are in these tests
    (row,) = patiently(Ask(llm=Duck(odd("usage", "none"))), questions(1))
    assert row["answer"] == "paid"


@pytest.mark.parametrize(("count", "read"), [(7, 7), (7.0, 7), ("7", 7), (" 7.0 ", 7), (None, 0), (0, 0)], ids=repr)
def test_a_count_of_tokens_is_read_in_every_form_that_is_one(count: Any, read: int) -> None:
    response = GenerationResponse(
        generations=[Generation(text="paid")], usage=Usage(input_tokens=count, output_tokens=count)
    )
    stream = Ask(llm=Duck(response)).run(questions(1))
    assert [row["answer"] for row in stream] == ["paid"]
    assert (stream.stats.input_tokens, stream.stats.output_tokens) == (read, read)


@pytest.mark.parametrize("text", [["pa", "id"], [{"type": "text", "text": "paid"}], ("paid",)], ids=repr)
def test_a_text_in_parts_is_read(text: Any) -> None:
    (row,) = patiently(Ask(llm=Duck(GenerationResponse(generations=[Generation(text=text)]))), questions(1))
    assert row["answer"] == "paid"


def test_logprobs_that_json_cannot_hold_cost_no_paid_answer(tmp_path: Path) -> None:
    itself: list[Any] = []
    itself.append(itself)
    for odd in (itself, {(1, 2): 3}):
        llm = ScriptedLLM(script=[Generation(text="paid", logprobs=odd)], model=new_model())
        for _ in range(2):
            with Ask(llm=llm).run(questions(1), run_dir=tmp_path / llm.model) as rows:
                assert [row["answer"] for row in rows] == ["paid"]


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e300, "7"], ids=repr)
@pytest.mark.parametrize("kind", [RateLimitError, TransientError])
def test_a_time_to_wait_that_is_none_is_taken_for_none_said(
    kind: type[RateLimitError | TransientError], seconds: Any
) -> None:
    llm = ScriptedLLM(script=[kind("busy", retry_after=seconds), "at last"], model=new_model())
    assert patiently(Ask(llm=llm), questions(1))[0]["answer"] == "at last"


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e300, "7"], ids=repr)
def test_a_quota_that_cannot_be_one_holds_nobody_up(seconds: Any) -> None:
    quota = Quota(requests_remaining=0, requests_reset=seconds, tokens_remaining=0, tokens_reset=seconds)
    busy = RateLimitError("busy", retry_after=0.01)
    busy.quota = quota
    first = GenerationResponse(generations=[Generation(text="at once")], quota=quota)
    llm = ScriptedLLM(script=[first, busy, "at last"], model=new_model())
    assert [row["answer"] for row in patiently(Ask(llm=llm), questions(2))] == ["at once", "at last"]


def test_nobody_is_left_alone_for_longer_than_the_deadline() -> None:
    busy = RateLimitError("come back tomorrow", retry_after=86_400.0)
    llm = ScriptedLLM(script=[busy, "the next"], model=new_model(), deadline=0.05, max_concurrency=1)
    first, second = patiently(Ask(llm=llm), questions(2))
    assert first[METADATA]["error_ask"]["type"] == "RateLimitError"
    assert second["answer"] == "the next"


def test_what_a_typed_error_brings_that_is_no_text_does_not_stop_the_run(tmp_path: Path) -> None:
    refusal = BadRequestError("no")
    refusal.raw = object()  # type: ignore[assignment]  # a backend's mistake
    llm = ScriptedLLM(script=[refusal, "yes"], model=new_model(), max_concurrency=1)
    with Ask(llm=llm).run(questions(2), run_dir=tmp_path) as rows:
        assert [row["answer"] for row in rows] == [None, "yes"]


def test_an_error_of_an_authors_own_whose_message_raises_fails_its_row() -> None:
    class Asks(Ask):
        def format_input(self, input: Row) -> ChatType:
            raise Unspeakable

    class Reads(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            raise UnspeakableFault

    for task in (Asks(llm=EchoLLM(), name="ask"), Reads(llm=EchoLLM(), name="ask")):
        (row,) = patiently(task, questions(1))
        assert "its message cannot be shown" in row[METADATA]["error_ask"]["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_concurrency", odd) for odd in (0, -1, 2.5, "8")],
        *[("rpm", odd) for odd in (0, -1, math.nan, "60")],
        *[("tpm", 0), ("timeout", -1), ("deadline", math.nan), ("max_attempts", 0), ("breaker_threshold", "many")],
        ("mode", "bacth"),
    ],
)
def test_a_backend_of_ones_own_with_a_limit_that_is_none_is_refused_before_any_call(name: str, value: Any) -> None:
    llm = Duck(response("never"))
    setattr(llm, name, value)
    with pytest.raises(ConfigurationError, match=rf"Duck` has .* as its `{name}`"):
        Ask(llm=llm).load()


def test_a_rate_limit_error_of_a_backends_own_without_retry_after_is_retried() -> None:
    class Busy(RateLimitError):
        def __init__(self) -> None:
            Exception.__init__(self, "busy")

    llm = ScriptedLLM(script=[Busy(), "at last"], model=new_model())
    assert patiently(Ask(llm=llm), questions(1))[0]["answer"] == "at last"


@pytest.mark.parametrize("field", ["timeout", "deadline"])
def test_no_limit_of_time_on_a_backend_of_ones_own_works_or_is_refused_but_never_hangs(field: str) -> None:
    llm = Duck(TimeoutError("slow"))
    llm.max_attempts = 2
    setattr(llm, field, None)
    assert patiently(Ask(llm=llm), questions(1))


# 2 the raw input is what was sent


def test_the_raw_input_is_the_messages_that_were_sent() -> None:
    class Shuffles(Ask):
        def format_input(self, input: Row) -> ChatType:
            return [{"role": "user", "content": str(random.random())}]

    llm = EchoLLM()
    (row,) = patiently(Shuffles(name="ask", llm=llm, add_raw_input=True), questions(1))
    assert row[METADATA]["raw_input_ask"] == [{"role": "user", "content": row["answer"]}]


# 3 nothing left behind


def endless() -> Iterator[Row]:
    number = 0
    while True:
        yield {"question": str(number)}
        number += 1


def readers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "limbeck-reader"}


def none_is_left(before: set[threading.Thread]) -> bool:
    new = readers() - before
    for thread in new:
        thread.join(PATIENCE / 2)
    return not any(thread.is_alive() for thread in new)


def test_closing_the_last_stream_of_a_chain_ends_the_first() -> None:
    before = readers()
    second = Ask(name="second", llm=EchoLLM(), output_mappings={"answer": "again"})
    with second.run(Ask(llm=EchoLLM()).run(endless())) as stream:
        next(stream)
    assert none_is_left(before)


def test_a_stream_that_nobody_holds_any_more_ends() -> None:
    before = readers()
    next(Ask(llm=EchoLLM()).run(endless()))
    assert none_is_left(before)


def test_an_asynchronous_stream_stopped_by_an_error_leaves_no_task_on_the_loop() -> None:
    async def app() -> None:
        stream = Ask(llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key"))).arun(endless())
        with pytest.raises(AuthenticationError):
            await anext(stream)
        for _ in range(200):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(app())


# 4 paid answers


def test_rows_that_were_read_before_the_source_failed_are_finished_first() -> None:
    llm = GatedLLM(expect=3)

    def source() -> Iterator[Row]:
        yield from questions(3)
        llm.wait_until_asked()
        threading.Timer(0.1, llm.release).start()
        raise OSError("the disk is gone")

    taken: list[Row] = []
    with pytest.raises(OSError, match="the disk is gone"):
        taken.extend(Ask(llm=llm).run(source()))
    assert (len(taken), llm.cancelled) == (3, [])


# 5 limits


def test_the_ceiling_of_one_llm_is_not_lifted_by_another_of_the_same_model() -> None:
    model = new_model()
    most = 0

    class Counting(EchoLLM):
        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            nonlocal most
            counting.add(prompt_of(request))
            most = max(most, len(counting))
            await asyncio.sleep(0)
            counting.discard(prompt_of(request))
            return response("x")

    counting: set[str] = set()
    modest = Ask(llm=Counting(model=model, max_concurrency=1))
    modest.load()
    greedy = Ask(llm=EchoLLM(model=model, max_concurrency=64))
    other = Ask(llm=Counting(model=model, max_concurrency=64))
    other.load()
    patiently(modest, questions(50))
    del greedy
    assert most == 1


# What is stopped, late or shared


class OneAtATime:
    """Echoes, and keeps what it was asked."""

    model_name, max_concurrency = "one", 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self.asked.append(prompt_of(request))
        return response("yes")


def test_nothing_is_asked_for_a_run_that_was_stopped_meanwhile_and_its_place_is_free_again(tmp_path: Path) -> None:
    llm = OneAtATime()
    task = Ask(llm=llm, on_error="raise")
    with pytest.raises(RowFailedError):
        list(task.run([{"question": "0"}, {}], run_dir=tmp_path / "stopped"))
    asked = len(llm.asked)

    rows = patiently(task, [{"question": "again"}])

    assert rows[0]["answer"] == "yes"
    assert len(llm.asked) == asked + 1 <= 2


class Sulking:
    """Answers a time-out with an error of its own, once; then it only never answers."""

    model_name, max_concurrency, timeout, max_attempts = "sulking", 1, 0.05, 1

    def __init__(self) -> None:
        self._sulked = False

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._sulked:
                raise
            self._sulked = True
            raise ValueError("while it was cleaning up") from None
        raise AssertionError


def test_a_time_out_that_a_backend_answers_with_its_own_error_spoils_no_later_one() -> None:
    errors = [row[METADATA]["error_ask"]["type"] for row in patiently(Ask(llm=Sulking()), questions(3))]
    assert errors == ["BackendError", "TransientError", "TransientError"]


class Refusing:
    """Refuses whole batches, which costs something."""

    model_name, max_concurrency, batch_size = "refusing", 1, 8

    def generate_batch(self, requests: list[GenerationRequest]) -> list[GenerationResponse]:
        raise ContentFilteredError("no", usage=Usage(input_tokens=10, output_tokens=5))


def test_what_a_refused_batch_cost_is_counted_once() -> None:
    request = GenerationRequest(messages=[{"role": "user", "content": "?"}])
    errors: list[Any] = portal().wait(backend_of(Refusing()).ask([request] * 3))
    assert [type(error) for error in errors] == [ContentFilteredError] * 3
    assert [error.usage for error in errors] == [Usage(input_tokens=10, output_tokens=5), None, None]


def test_a_batch_without_a_bound_takes_what_there_is() -> None:
    class All:
        model_name, max_concurrency, batch_size = "all", 1, math.inf

        def generate_batch(self, requests: list[GenerationRequest]) -> list[GenerationResponse]:
            return [response("yes") for _ in requests]

    assert [row["answer"] for row in patiently(Ask(llm=All()), questions(3))] == ["yes"] * 3


def test_a_step_whose_run_could_not_begin_may_begin_once_the_cause_is_mended(tmp_path: Path) -> None:
    first = Ask(llm=EchoLLM(), name="first").run(questions(1), run_dir=tmp_path)
    second = Ask(llm=EchoLLM(), name="second", output_mappings={"answer": "another"})
    with pytest.raises(LedgerError, match="nowhere"):
        second.run(first, run_dir=tmp_path, cache=tmp_path / "nowhere")
    assert len(list(second.run(first, run_dir=tmp_path))) == 1


def test_steps_that_share_a_directory_must_want_the_same_of_it(tmp_path: Path) -> None:
    go_on = threading.Event()

    def source() -> Iterator[Row]:
        yield from questions(1)
        go_on.wait(PATIENCE)

    first = Ask(llm=EchoLLM(), name="first").run(source(), run_dir=tmp_path)
    second = Ask(llm=EchoLLM(), name="second", output_mappings={"answer": "another"})
    with pytest.raises(ConfigurationError, match=r"is open with durability='normal'.* with durability='full'"):
        second.run(first, run_dir=tmp_path, durability="full")
    go_on.set()
    assert len(list(second.run(first, run_dir=tmp_path))) == 1


def test_who_looks_into_a_directory_looks_with_the_llm_that_the_task_has_now(tmp_path: Path) -> None:
    task = Ask(llm=EchoLLM(model=new_model()))
    list(task.run(questions(1), run_dir=tmp_path))
    task.llm = EchoLLM(model=new_model())

    with pytest.warns(LimbeckWarning, match="model"):
        (row,) = task.reparse(questions(1), run_dir=tmp_path)

    assert row["answer"] is None  # nobody has asked this one
