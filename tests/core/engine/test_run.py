"""Streams: any iterable of rows in, rows out as they are done, for threads and for event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    BreakerError,
    ConfigurationError,
    MissingColumnError,
    RowFailedError,
)
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import GenerationResponse, Usage
from support.questions import (
    METADATA,
    PATIENCE,
    Ask,
    GatedLLM,
    ShuffledLLM,
    answered,
    failed,
    new_model,
    prompt_of,
    questions,
    response,
    run_in_thread,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row

# Rows may be read this far ahead of who takes them, whatever the buffers' sizes are; far below the sources' 100,000.
FAR = 30_000


def echoed(number: int, *, model: str = "echo") -> list[Row]:
    """What comes of `questions(number)`."""
    return [answered(str(place), str(place), model=model) for place in range(number)]


def assert_in_order(rows: list[Row]) -> None:
    """Fail unless these are rows of the echo in input order; those in flight when a stream ended are left out."""
    numbers = [int(row["question"]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert rows == [answered(str(number), str(number), model="echo") for number in numbers]


class Source:
    """100,000 rows, one after another; tells how many were read, and when a number was reached."""

    def __init__(self, reach: int = 0) -> None:
        self.read = 0
        self.closed = False
        self._reach = reach
        self._reached = threading.Event()

    def __iter__(self) -> Iterator[Row]:
        try:
            while self.read < 100_000:
                self.read += 1
                if self.read == self._reach:
                    self._reached.set()
                yield {"question": str(self.read - 1)}
        finally:
            self.closed = True

    def wait_until_reached(self) -> None:
        """Wait until the number is read."""
        assert self._reached.wait(PATIENCE), f"only {self.read} rows were read"


def readers() -> set[threading.Thread]:
    """The threads that read sources."""
    return {thread for thread in threading.enumerate() if thread.name == "limbeck-reader"}


def assert_no_reader_is_left(before: set[threading.Thread]) -> None:
    """Fail unless every reader that started since `before` ends."""
    for thread in readers() - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread still reads its source"


# What is asked for

WRONG = [
    ({"durability": "ful"}, "`durability` is 'ful'; it is 'normal' or 'full'"),
    ({"ledger_requests": "none"}, "`ledger_requests` is 'none'; it is 'full' or 'hash'"),
    ({"ordered": "no"}, "`ordered` is 'no'; it is True or False"),
    ({"max_failed": -1}, "`max_failed` is -1; it is a count, or a fraction below 1"),
    ({"max_failed": "5%"}, "`max_failed` is '5%'; it is a count, or a fraction below 1"),
    *[
        ({"max_failed": odd}, f"`max_failed` is {odd!r}; it is a count, or a fraction below 1")
        for odd in (True, 1.5, "5", float("nan"))
    ],
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_an_option_with_no_such_value_is_an_error_before_anything_starts(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = Source()
    with pytest.raises(ConfigurationError, match=message):
        Ask(llm=EchoLLM()).run(source, run_dir=tmp_path / "run", **options)
    assert (source.read, (tmp_path / "run").exists()) == (0, False)


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_an_option_with_no_such_value_is_an_error_of_arun_too(options: dict[str, Any], message: str) -> None:
    async def run() -> None:
        Ask(llm=EchoLLM()).arun(source, **options)

    source = Source()
    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(run())
    assert source.read == 0


def test_a_rerun_has_the_same_options(tmp_path: Path) -> None:
    list(Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path))
    with pytest.raises(ConfigurationError, match="`ordered` is 'no'; it is True or False"):
        Ask(llm=EchoLLM()).rerun(questions(1), run_dir=tmp_path, where="failed", ordered="no")  # type: ignore[arg-type]  # what is refused


# What comes out


def test_a_stream_gives_the_rows_that_process_gives() -> None:
    rows = questions(10)
    task = Ask(llm=EchoLLM())
    assert list(task.run(rows)) == next(task.process(rows)) == echoed(10)


def test_rows_come_in_input_order_whatever_overtakes_what() -> None:
    assert list(Ask(llm=ShuffledLLM()).run(questions(2000))) == echoed(2000, model="shuffled")


def test_unordered_rows_come_as_they_are_done_and_all_of_them() -> None:
    first_is_taken = asyncio.Event()
    loop: list[asyncio.AbstractEventLoop] = []

    class SlowHead(ShuffledLLM):
        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            loop[:] = [asyncio.get_running_loop()]
            if prompt_of(request) == "0":
                await first_is_taken.wait()
            return await super().agenerate(request)

    stream = Ask(llm=SlowHead()).run(questions(50), ordered=False)
    first = next(stream)
    loop[0].call_soon_threadsafe(first_is_taken.set)
    rows = [first, *stream]
    assert first["question"] != "0"
    assert sorted(rows, key=lambda row: int(row["question"])) == echoed(50, model="shuffled")


def test_samples_groups_and_drops_are_as_in_process() -> None:
    def script(request: GenerationRequest) -> Any:
        return BadRequestError("no") if prompt_of(request) == "1" else prompt_of(request)

    llm = ScriptedLLM(script=script)
    twice = Ask(llm=llm, num_generations=2, on_error="drop").run(questions(3))
    grouped = Ask(llm=llm, num_generations=2, group_generations=True).run(questions(3))
    assert [row["answer"] for row in twice] == ["0", "0", "2", "2"]
    assert [row["answer"] for row in grouped] == [["0", "0"], [None, None], ["2", "2"]]


def test_no_rows_give_no_rows() -> None:
    assert list(Ask(llm=ScriptedLLM(script=[])).run([])) == []


def test_a_row_is_given_while_the_source_still_waits_for_its_next() -> None:
    answer_seen = threading.Event()

    def source() -> Iterator[Row]:
        yield {"question": "first"}
        assert answer_seen.wait(PATIENCE), "the first answer was held back"
        yield {"question": "second"}

    answers = []
    for row in Ask(llm=EchoLLM()).run(source()):
        answers.append(row["answer"])
        answer_seen.set()
    assert answers == ["first", "second"]


def test_an_exhausted_stream_stays_exhausted() -> None:
    stream = Ask(llm=EchoLLM()).run(questions(1))
    assert [list(stream), list(stream)] == [echoed(1), []]


def test_a_stream_can_be_taken_in_another_thread_than_it_was_made_in() -> None:
    stream = Ask(llm=EchoLLM()).run(questions(100))
    rows: list[Row] = []
    run_in_thread(lambda: rows.extend(stream)).join(PATIENCE)
    assert rows == echoed(100)


def test_many_streams_of_one_task_run_side_by_side_each_in_its_order() -> None:
    task = Ask(llm=ShuffledLLM())
    streams = [task.run([{"question": f"{stream}-{place}"} for place in range(100)]) for stream in range(8)]
    answers = [[row["answer"] for row in taken] for taken in zip(*streams, strict=True)]
    assert answers == [[f"{stream}-{place}" for stream in range(8)] for place in range(100)]


def test_a_stream_feeds_another() -> None:
    first = Ask(name="first", llm=ShuffledLLM(), num_generations=2)
    second = Ask(
        name="second", llm=EchoLLM(), input_mappings={"question": "answer"}, output_mappings={"answer": "echoed"}
    )
    assert list(second.run(first.run(questions(50)))) == [
        {
            "question": str(place),
            "answer": str(place),
            "echoed": str(place),
            METADATA: {"raw_output_first": str(place), "raw_output_second": str(place)},
            "model_name": "echo",
        }
        for place in range(50)
        for _ in range(2)
    ]


def test_a_row_goes_on_to_the_next_task_before_the_rows_behind_it_are_done() -> None:
    llm = GatedLLM(expect=2)

    class OnlyTheFirst:
        model_name = "only-the-first"

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response("x") if prompt_of(request) == "0" else await llm.agenerate(request)

    second = Ask(name="second", llm=EchoLLM(), output_mappings={"answer": "again"})
    stream = second.run(Ask(llm=OnlyTheFirst()).run(questions(3)))
    assert next(stream)["again"] == "0"
    llm.wait_until_asked()
    llm.release()
    assert [row["again"] for row in stream] == ["1", "2"]


def test_the_counters_add_up() -> None:
    def script(request: GenerationRequest) -> Any:
        if prompt_of(request) == "1":
            return BadRequestError("no")
        return GenerationResponse(
            generations=response("x").generations, usage=Usage(input_tokens=3, output_tokens=2, cached_tokens=1)
        )

    stream = Ask(llm=ScriptedLLM(script=script), num_generations=2, group_generations=True).run([*questions(4), {}])
    rows = list(stream)
    stats = stream.stats
    assert len(rows) == 5
    assert (stats.rows_in, stats.rows_done, stats.rows_failed, stats.rows_out) == (5, 5, 2, 5)
    assert (stats.requests, stats.in_flight, stats.waiting, stats.retries, stats.rate_limited) == (8, 0, 0, 0, 0)
    assert stats.failures == {"BadRequestError": 2, "RowError": 2}
    assert stats.usage == Usage(input_tokens=18, output_tokens=12, cached_tokens=6)


# Columns


def test_a_required_column_in_none_of_the_first_rows_is_an_error_before_any_call() -> None:
    llm = ScriptedLLM(script=[])
    stream = Ask(name="asker", llm=llm).run({"other": place} for place in range(100_000))
    with pytest.raises(MissingColumnError) as caught:
        next(stream)
    assert (caught.value.columns, caught.value.task, caught.value.present) == (["question"], "asker", ["other"])
    assert llm.requests == []


def test_a_required_column_in_none_of_a_few_rows_is_an_error_too() -> None:
    llm = ScriptedLLM(script=[])
    with pytest.raises(MissingColumnError):
        list(Ask(llm=llm).run([{"other": 1}, {"another": 2}]))
    assert llm.requests == []


def test_a_column_first_seen_in_the_256th_row_is_seen_and_the_rows_before_it_fail_as_data() -> None:
    rows: list[Row] = [*({"other": place} for place in range(255)), {"question": "at last"}]
    result = list(Ask(llm=EchoLLM()).run(rows))
    assert [row["answer"] for row in result] == [None] * 255 + ["at last"]
    assert {row[METADATA]["error_ask"]["type"] for row in result[:-1]} == {"RowError"}


def test_a_column_first_seen_in_the_257th_row_is_too_late() -> None:
    rows: list[Row] = [*({"other": place} for place in range(256)), {"question": "too late"}]
    with pytest.raises(MissingColumnError):
        list(Ask(llm=EchoLLM()).run(rows))


def test_rows_held_back_for_a_column_keep_their_order() -> None:
    rows: list[Row] = [{"n": 0}, {"n": 1}, {"n": 2, "question": "q"}, {"n": 3}, {"n": 4, "question": "r"}]
    assert [(row["n"], row["answer"]) for row in Ask(llm=EchoLLM()).run(rows)] == [
        (0, None),
        (1, None),
        (2, "q"),
        (3, None),
        (4, "r"),
    ]


def test_one_row_in_place_of_rows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"write `\[row\]`"):
        Ask(llm=EchoLLM()).run({"question": "q"})  # type: ignore[dict-item]  # the mistake


# What stops it


def test_an_error_of_the_source_reaches_who_takes_the_rows_after_rows_that_were_done() -> None:
    def source() -> Iterator[Row]:
        yield from questions(10)
        raise OSError("the disk is gone")

    taken: list[Row] = []
    with pytest.raises(OSError, match="the disk is gone"):
        taken.extend(Ask(llm=EchoLLM()).run(source()))
    assert_in_order(taken)


def test_an_error_of_the_source_before_its_first_row_reaches_the_taker() -> None:
    class Unreadable:
        def __iter__(self) -> Iterator[Row]:
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        next(Ask(llm=EchoLLM()).run(Unreadable()))


def test_an_error_upstream_reaches_who_takes_the_last_of_a_chain() -> None:
    first = Ask(name="first", llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key")))
    second = Ask(name="second", llm=EchoLLM(), output_mappings={"answer": "again"})
    with pytest.raises(AuthenticationError, match="bad key"):
        list(second.run(first.run(questions(10))))


def test_an_authentication_error_is_raised_after_the_rows_done_before_it() -> None:
    def script(request: GenerationRequest) -> Any:
        return AuthenticationError("expired") if prompt_of(request) == "3" else prompt_of(request)

    llm = ScriptedLLM(script=script, max_concurrency=1, model=new_model())
    stream = Ask(llm=llm).run(questions(1000))
    assert [next(stream) for _ in range(3)] == echoed(3, model=llm.model)
    with pytest.raises(AuthenticationError, match="expired"):
        next(stream)
    assert len(llm.requests) == 4


def test_the_error_that_stopped_a_stream_is_raised_whenever_it_is_asked_again() -> None:
    stream = Ask(llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key"))).run(questions(1))
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            next(stream)


def test_a_run_of_failures_trips_the_breaker_which_names_the_first_cause() -> None:
    def script(request: GenerationRequest) -> Any:
        return ValueError(f"cannot {prompt_of(request)}") if int(prompt_of(request)) >= 2 else prompt_of(request)

    llm = ScriptedLLM(script=script, max_concurrency=1, breaker_threshold=5, model=new_model())
    taken: list[Row] = []
    with pytest.raises(BreakerError) as caught:
        taken.extend(Ask(llm=llm).run(questions(1000)))
    assert [row["answer"] for row in taken] == ["0", "1", None, None, None, None, None]
    assert len(llm.requests) == 7
    assert caught.value.failures == 5
    assert "BackendError: ValueError: cannot 2" in str(caught.value)
    assert str(caught.value.__cause__) == "ValueError: cannot 2"


def test_failures_among_successes_trip_nothing() -> None:
    def script(request: GenerationRequest) -> Any:
        return prompt_of(request) if int(prompt_of(request)) % 3 == 0 else BadRequestError("no")

    llm = ScriptedLLM(script=script, max_concurrency=1, breaker_threshold=3, model=new_model())
    rows = list(Ask(llm=llm).run(questions(30)))
    assert [row["answer"] is None for row in rows] == [place % 3 != 0 for place in range(30)]


def test_rows_that_lack_a_column_trip_nothing() -> None:
    rows: list[Row] = [{"question": "q"}, *({} for _ in range(100))]
    assert len(list(Ask(llm=EchoLLM(breaker_threshold=5)).run(rows))) == 101


def test_on_error_raise_stops_a_stream_at_the_row() -> None:
    def script(request: GenerationRequest) -> Any:
        return BadRequestError("no") if prompt_of(request) == "2" else prompt_of(request)

    llm = ScriptedLLM(script=script, max_concurrency=1, model=new_model())
    taken: list[Row] = []
    with pytest.raises(RowFailedError, match="Task 'ask' failed on row 2: BadRequestError: no"):
        taken.extend(Ask(llm=llm, on_error="raise").run(questions(100)))
    assert taken == echoed(2, model=llm.model)


def test_stopping_cancels_what_is_in_flight_and_leaves_the_rows_that_are_done() -> None:
    held = GatedLLM(expect=3)

    class OnlySome:
        model_name = "only-some"
        max_concurrency = 3

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            if prompt_of(request) in ("1", "4", "6"):
                return await held.agenerate(request)
            return response(prompt_of(request))

    stream = Ask(llm=OnlySome()).run(questions(10))
    held.wait_until_asked()  # three in flight are all that may be: those before them are done
    stream.stop()
    held.wait_until_ended()
    assert [row["answer"] for row in stream] == ["0", "2", "3", "5"]
    assert sorted(held.cancelled) == ["1", "4", "6"]


# What is left behind


def test_a_stream_that_is_exhausted_leaves_no_thread() -> None:
    before = readers()
    assert len(list(Ask(llm=EchoLLM()).run(questions(10)))) == 10
    assert_no_reader_is_left(before)


class _FirstLast:
    """Echoes; the first of so many prompts once all others are answered."""

    model_name = "first-last"
    max_concurrency = 64

    def __init__(self, others: int) -> None:
        self._others = others
        self._answered = asyncio.Event()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        if prompt == "first":
            await self._answered.wait()
        else:
            self._others -= 1
            if not self._others:
                self._answered.set()
        return response(prompt[:1])


def test_a_stream_that_has_ended_keeps_no_file_of_rows_that_waited_for_their_turn() -> None:
    large = 2**20 * "x"  # thirty of them are more than is kept in memory
    stream = Ask(llm=_FirstLast(30)).run([{"question": "first"}, *({"question": large} for _ in range(30))])
    assert [row["answer"] for row in stream] == ["f", *30 * ["x"]]
    file = stream._stream._release._ready._file
    assert file is not None
    assert file.closed


def test_leaving_the_with_block_ends_the_reader_and_the_requests() -> None:
    before = readers()
    llm = GatedLLM(expect=2, max_concurrency=2)
    with Ask(llm=llm).run(Source()):
        llm.wait_until_asked()
    llm.wait_until_ended()
    assert sorted(llm.cancelled) == ["0", "1"]
    assert_no_reader_is_left(before)


def test_a_closed_stream_gives_in_order_what_was_done_and_then_ends() -> None:
    stream = Ask(llm=EchoLLM()).run(Source())
    first = next(stream)
    stream.close()
    rows = [first, *stream]
    assert_in_order(rows)
    assert len(rows) < FAR


def test_closing_twice_and_closing_an_exhausted_stream_is_harmless() -> None:
    stream = Ask(llm=EchoLLM()).run(questions(1))
    assert list(stream) == echoed(1)
    stream.close()
    stream.close()
    assert list(stream) == []


def test_a_stream_stopped_by_an_error_leaves_no_thread() -> None:
    before = readers()
    with pytest.raises(AuthenticationError):
        next(Ask(llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key"))).run(Source()))
    assert_no_reader_is_left(before)


def test_a_stream_without_the_required_column_leaves_no_thread() -> None:
    before = readers()
    with pytest.raises(MissingColumnError):
        next(Ask(llm=EchoLLM(), input_mappings={"question": "other"}).run(Source()))
    assert_no_reader_is_left(before)


def test_a_taker_that_stops_leaves_the_source_mostly_unread() -> None:
    source = Source(reach=2000)
    stream = Ask(llm=EchoLLM()).run(source)
    taken = [next(stream) for _ in range(10)]
    source.wait_until_reached()  # the reader goes ahead of who takes
    before = readers()
    stream.close()
    for thread in before:
        thread.join(PATIENCE)
    assert taken == echoed(10)
    assert source.read < FAR


def test_a_source_is_never_read_far_ahead_of_who_takes_its_rows() -> None:
    source = Source(reach=2000)
    stream = Ask(llm=EchoLLM()).run(source)
    source.wait_until_reached()
    lead = [source.read - taken for taken, _ in zip(range(30_000), stream, strict=False)]
    stream.close()
    assert max(lead) < FAR
    assert source.read < 30_000 + FAR


# For event loops


async def taken_from(stream: Any) -> list[Row]:
    """Every row of an asynchronous stream."""
    return [row async for row in stream]


async def nothing_is_left_on_the_loop() -> bool:
    """Whether no task but the caller's is left, once those that were cancelled have had their turn."""
    for _ in range(3):
        await asyncio.sleep(0)
    return asyncio.all_tasks() == {asyncio.current_task()}


def test_arun_gives_the_rows_in_order_and_leaves_nothing_on_the_loop() -> None:
    async def app() -> tuple[list[Row], bool]:
        rows = await taken_from(Ask(llm=ShuffledLLM()).arun(questions(2000)))
        return rows, await nothing_is_left_on_the_loop()

    assert asyncio.run(app()) == (echoed(2000, model="shuffled"), True)


def test_arun_takes_an_asynchronous_source() -> None:
    async def source() -> AsyncIterator[Row]:
        for row in questions(100):
            await asyncio.sleep(0)
            yield row

    assert asyncio.run(taken_from_source(source())) == echoed(100)


async def taken_from_source(source: Any, **fields: Any) -> list[Row]:
    """Every row that comes of `source`."""
    return await taken_from(Ask(llm=EchoLLM(), **fields).arun(source))


def test_arun_feeds_arun() -> None:
    async def app() -> list[Row]:
        second = Ask(name="second", llm=EchoLLM(), output_mappings={"answer": "again"})
        return await taken_from(second.arun(Ask(llm=ShuffledLLM()).arun(questions(50))))

    assert [row["again"] for row in asyncio.run(app())] == [str(place) for place in range(50)]


def test_the_callers_loop_goes_on_while_arun_waits() -> None:
    llm = GatedLLM(expect=3)

    async def app() -> list[Row]:
        waiting = asyncio.create_task(taken_from(Ask(llm=llm).arun(questions(3))))
        await asyncio.to_thread(llm.wait_until_asked)
        llm.release()
        return await waiting

    assert asyncio.run(app()) == echoed(3, model="gated")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["a plain source", "an asynchronous source"])
def test_an_error_of_the_source_reaches_who_takes_from_arun(asynchronous: bool) -> None:
    async def slow() -> AsyncIterator[Row]:
        yield {"question": "0"}
        raise OSError("the disk is gone")

    def plain() -> Iterator[Row]:
        yield {"question": "0"}
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(taken_from_source(slow() if asynchronous else plain()))


def test_arun_checks_the_columns_before_any_call() -> None:
    with pytest.raises(MissingColumnError):
        asyncio.run(taken_from_source([{"other": 1}]))


def test_an_authentication_error_is_raised_from_arun() -> None:
    async def app() -> None:
        await taken_from(Ask(llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key"))).arun(questions(5)))

    with pytest.raises(AuthenticationError, match="bad key"):
        asyncio.run(app())


def test_leaving_the_async_with_block_ends_the_reader_and_the_requests() -> None:
    llm = GatedLLM(expect=2, max_concurrency=2)

    async def app() -> bool:
        async with Ask(llm=llm).arun(Source()):
            await asyncio.to_thread(llm.wait_until_asked)
        await asyncio.to_thread(llm.wait_until_ended)
        return await nothing_is_left_on_the_loop()

    assert asyncio.run(app())
    assert sorted(llm.cancelled) == ["0", "1"]


def test_a_taker_of_arun_that_stops_leaves_the_source_mostly_unread() -> None:
    source = Source()

    async def app() -> list[Row]:
        async with Ask(llm=EchoLLM()).arun(source) as stream:
            return [row async for _, row in zipped(10, stream)]

    assert asyncio.run(app()) == echoed(10)
    assert source.read < FAR


async def zipped(number: int, stream: Any) -> AsyncIterator[tuple[int, Row]]:
    """The first rows of a stream, numbered."""
    for place in range(number):
        yield place, await anext(stream)


def test_arun_needs_no_more_of_a_loop_than_its_own_life() -> None:
    task = Ask(llm=EchoLLM())

    async def app() -> list[Row]:
        return await taken_from(task.arun(questions(3)))

    assert [asyncio.run(app()) for _ in range(3)] == [echoed(3)] * 3


def test_a_failed_row_of_a_stream_is_the_row_of_process() -> None:
    llm = ScriptedLLM(script=lambda request: BadRequestError("no"))
    assert list(Ask(llm=llm).run(questions(1))) == [failed("0", "BadRequestError", "no", attempts=1, model="scripted")]
