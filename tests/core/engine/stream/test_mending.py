"""Mending: answers that cannot be used are asked for again, or of another LLM, and counted.

Covers `_engine.stream.requests`, as far as it passes on what is for a server that is away.
"""

from __future__ import annotations

import socket
import threading
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from limbeck import Pipeline, ask, get_llm
from limbeck.errors import BadRequestError, BudgetError, ContentFilteredError, RateLimitError
from limbeck.steps import LoadDataFromDicts
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import Generation, GenerationResponse
from support.loopback import serving
from support.questions import PATIENCE, Ask, new_model, prompt_of, questions
from support.talking import stored, talking, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import ChatType, GenerationRequest, Row


class Number(Ask):
    """Reads its answer as a number, which not every answer is."""

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": int(output or "")}


def erring(share: float) -> ScriptedLLM:
    """Errs in so many of its answers, the same ones each time."""

    def script(request: GenerationRequest) -> str:
        digest = blake2b(repr(request.messages).encode(), digest_size=4).digest()
        return "no number" if int.from_bytes(digest) / 2**32 < share else "7"

    return ScriptedLLM(script=script)


def always(*answers: Any, name: str = "other") -> ScriptedLLM:
    """Answers everything alike."""
    return ScriptedLLM(model=name, script=lambda _: answers[0])


def answer(text: str, finish_reason: str) -> GenerationResponse:
    return GenerationResponse(generations=[Generation(text=text, finish_reason=finish_reason)])


def converse(self: Any, input: Any) -> Any:
    """A conversation of two turns, the first of them with a schema."""
    first = yield ask(input["question"], schema={"type": "integer"})
    second = yield ask(f"and {input['question']}")
    return {"out": [first.parsed, second.text]}


# Repair


def test_answers_that_cannot_be_read_are_asked_for_again_until_all_rows_are_good() -> None:
    stream = Number(llm=erring(0.3), repair=8).run(questions(200))
    assert [row["answer"] for row in stream] == [7] * 200
    stats = stream.stats
    assert stats.requests == 200 + stats.repair_calls
    assert 0 < stats.repaired <= stats.repair_calls
    assert (stats.rows_failed, stats.fallback_calls) == (0, 0)


def test_the_model_is_told_what_it_said_and_what_was_wrong_with_it_each_time() -> None:
    chats: list[ChatType] = []

    def script(request: GenerationRequest) -> str:
        chats.append(request.messages)
        return ["one", "two", "3"][len(chats) - 1]

    (row,) = Number(llm=ScriptedLLM(script=script), repair=2).run([{"question": "q"}])
    assert row["answer"] == 3
    roles = ["user", "assistant", "user", "assistant", "user"]
    assert [[message["role"] for message in chat] for chat in chats] == [roles[:1], roles[:3], roles]
    assert [message["content"] for message in chats[2]][1::2] == ["one", "two"]
    assert "invalid literal for int() with base 10: 'two'" in str(chats[2][-1]["content"])


def test_a_row_that_no_repair_has_saved_failed_and_counts_as_not_repaired() -> None:
    stream = Number(llm=always("no number"), repair=2).run(questions(3))
    assert [row["answer"] for row in stream] == [None] * 3
    stats = stream.stats
    assert (stats.repaired, stats.repair_calls, stats.rows_failed, stats.requests) == (0, 6, 3, 9)


def test_a_failed_call_is_not_repaired() -> None:
    stream = Number(llm=always(BadRequestError("not that")), repair=2).run(questions(1))
    assert [row["answer"] for row in stream] == [None]
    assert stream.stats.requests == 1


def test_repairs_stay_below_a_cap_on_requests(tmp_path: Path) -> None:
    task = Number(llm=always("no number"), repair=9)
    stream = task.run(questions(5), run_dir=tmp_path, max_requests=12)
    with pytest.raises(BudgetError):
        list(stream)
    assert stream.stats.requests == 12


def test_an_answer_in_a_conversation_is_repaired_before_the_conversation_hears_of_it() -> None:
    llm = ScriptedLLM(script=lambda request: "7" if len(request.messages) > 1 else prompt_of(request))
    stream = talking(converse, llm=llm, repair=1).run([*questions(2), {"question": "not a number"}])
    assert told(list(stream)) == [[0, "and 0"], [1, "and 1"], [7, "and not a number"]]
    assert (stream.stats.repaired, stream.stats.repair_calls) == (1, 1)


# Another LLM


@pytest.mark.parametrize(
    "first",
    [
        BadRequestError("not that"),
        ContentFilteredError("not this"),
        "no number",
        answer("12", "length"),
        answer("", "content_filter"),
        answer("1", "refusal"),
    ],
    ids=["error", "filter error", "unreadable", "cut off", "filtered", "refused"],
)
def test_another_llm_is_asked_where_one_has_failed_refused_or_was_cut_off(first: Any) -> None:
    stream = Number(llm=always(first), fallback=[always("5")]).run(questions(2))
    assert [(row["answer"], row["model_name"]) for row in stream] == [(5, "other")] * 2
    assert (stream.stats.fell_back, stream.stats.fallback_calls, stream.stats.rows_failed) == (2, 2, 0)


def test_fallbacks_are_asked_one_after_another_each_with_its_own_parameters() -> None:
    class Hotter(Number):
        def parameters_for(self, input: Row) -> dict[str, Any]:
            return {"temperature": 1.5}

    seen: list[Any] = []

    def script(request: GenerationRequest) -> str:
        seen.append(request.parameters)
        return "5"

    last = ScriptedLLM(model="last", script=script, generation_kwargs={"top_p": 0.5, "temperature": 0.1})
    first = ScriptedLLM(script=lambda _: BadRequestError("no"), generation_kwargs={"seed": 1, "top_p": 0.9})
    (row,) = Hotter(llm=first, fallback=[always(BadRequestError("nor I")), last]).run(questions(1))
    assert (row["answer"], row["model_name"]) == (5, "last")
    assert seen == [{"top_p": 0.5, "temperature": 1.5}]


def test_an_answer_that_was_cut_off_is_better_than_none() -> None:
    stream = Number(llm=always(answer("12", "length"), name="first"), fallback=[always(BadRequestError("no"))])
    (row,) = stream.run(questions(1))
    assert (row["answer"], row["model_name"]) == (12, "first")


def test_a_conversation_in_which_another_llm_has_answered_is_named_after_it() -> None:
    first = ScriptedLLM(model="first", script=lambda request: BadRequestError("no") if request.output_schema else "x")
    rows = list(talking(converse, llm=first, fallback=[always("5")]).run(questions(1)))
    assert (told(rows), rows[0]["model_name"]) == ([[5, "x"]], "other")


# Once


@pytest.mark.parametrize("form", ["one call", "conversation"])
def test_a_finished_run_that_was_mended_is_read_again_and_nothing_is_asked(form: str, tmp_path: Path) -> None:
    def first(request: GenerationRequest) -> Any:
        return BadRequestError("no") if prompt_of(request).endswith("3") else "no number"

    def other(request: GenerationRequest) -> str:
        return "5" if len(request.messages) > 1 or prompt_of(request).endswith("3") else "neither"

    counts = []
    for _ in range(2):
        fields: Any = {
            "llm": ScriptedLLM(script=first),
            "fallback": [ScriptedLLM(model="other", script=other)],
            "repair": 1,
        }
        task = Number(**fields) if form == "one call" else talking(converse, **fields)
        stream = task.run(questions(5), run_dir=tmp_path)
        assert {row["model_name"] for row in stream} == {"other"}
        stats = stream.stats
        counts.append((stats.rows_failed, stats.repaired, stats.repair_calls, stats.fell_back, stats.fallback_calls))
    assert counts[0] == counts[1]
    assert stream.stats.requests == 0


def test_the_report_and_the_ledger_say_how_many_rows_were_mended_by_how_many_calls(tmp_path: Path) -> None:
    with Pipeline(name="mended") as pipeline:
        load = LoadDataFromDicts(data=questions(1000), name="load")
        load >> Number(llm=erring(0.01), repair=3, fallback=[EchoLLM()], name="number")
    report = pipeline.run(run_dir=tmp_path).report
    step = report["number"]
    assert 0 < step.repaired <= step.repair_calls
    calls = f"{step.repair_calls} call{'s' * (step.repair_calls != 1)}"
    assert f"    repaired: {step.repaired} of 1,000 rows, {calls}" in str(report).splitlines()
    query = "SELECT repaired, repair_calls, fell_back, fallback_calls FROM yields"
    assert stored(tmp_path, query) == [(step.repaired, step.repair_calls, step.fell_back, step.fallback_calls)]


# Away


def nobody_there() -> str:
    """The address of a server that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.fixture
def away() -> Any:
    """An LLM whose server is not there."""
    return get_llm("openai")(model=new_model(), base_url=nobody_there(), api_key="none", max_attempts=3)


@pytest.mark.workspace
@pytest.mark.parametrize("form", ["one call", "conversation"])
def test_rows_do_not_wait_for_a_server_that_is_away_where_another_llm_can_be_asked(
    form: str, away: Any, tmp_path: Path
) -> None:
    sent = []
    for _ in range(2):
        fields: Any = {"llm": away, "fallback": [always("5")]}
        task = Number(**fields) if form == "one call" else talking(converse, **fields)
        stream = task.run(questions(1500), run_dir=tmp_path)
        assert {row["model_name"] for row in stream} == {"other"}
        assert (stream.stats.fell_back, stream.stats.rows_failed) == (1500, 0)
        sent.append(stream.stats.requests)
    turns = 1500 if form == "one call" else 3000
    assert turns < sent[0] < turns + 300  # those that have found nobody, before it was known
    assert sent[1] == 0


class Dying:
    """A chat server that answers so many requests, and then is gone: it closes each connection unanswered."""

    def __init__(self, answers: int) -> None:
        self.left = answers
        self.gone = threading.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        self.left -= 1
        if self.left < 0:
            self.gone.set()
            return web.Response(status=503)
        message = {"role": "assistant", "content": "1"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = await request.json()
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        )


@pytest.mark.workspace
def test_a_server_that_goes_in_the_middle_of_a_run_leaves_the_rest_to_the_fallback() -> None:
    server = Dying(100)

    def rows() -> Iterator[Row]:
        yield from questions(300)
        assert server.gone.wait(PATIENCE)
        yield from questions(700)

    with serving(server.app()) as url:
        llm = get_llm("openai")(model=new_model(), base_url=f"{url}/v1", api_key="none", max_concurrency=8)
        stream = Number(llm=llm, fallback=[always("5")]).run(rows())
        answers = [row["answer"] for row in stream]
    assert len(answers) == 1000
    assert answers.count(1) == 100
    assert (stream.stats.fell_back, stream.stats.rows_failed) == (900, 0)
    assert stream.stats.requests < 1000 + 100


def test_a_fallback_is_asked_only_once_the_first_has_failed_for_good() -> None:
    tries: list[str] = []

    def script(request: GenerationRequest) -> Any:
        tries.append(prompt_of(request))
        return RateLimitError("slow down", retry_after=0.0) if len(tries) < 3 else "5"

    (row,) = Number(llm=ScriptedLLM(model="first", script=script), fallback=[always("6")]).run(questions(1))
    assert (row["answer"], row["model_name"], len(tries)) == (5, "first", 3)
