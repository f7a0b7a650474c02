"""The calls to a batch API, in virtual time: made again while that may help, and none that could submit twice.

Covers `_engine.threads.attempts`.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from limbeck._engine.batch.calls import BatchCalls
from limbeck._engine.ledger.batch_records import Batch
from limbeck.errors import AuthenticationError, BadRequestError, BatchError, RateLimitError, TransientError
from limbeck.types import BatchSearch, BatchStatus

from ..virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

GONE = TransientError("gone")


class Api:
    """A batch API that does as told: each method the next thing of its list, an error to raise or a result.

    Attributes:
        calls: the names of the methods, as they were called.
    """

    batch_poll_seconds = 10.0

    def __init__(self, **told: Any) -> None:
        self._told = {method: deque(results) for method, results in told.items()}
        self.calls: list[str] = []

    def _next(self, method: str) -> Any:
        self.calls.append(method)
        result = self._told[method].popleft()
        if isinstance(result, Exception):
            raise result
        return result

    async def submit_batch(self, _lines: Any, _intent: Any) -> Any:
        return self._next("submit")

    async def find_batch(self, _intent: Any) -> Any:
        return self._next("find")

    async def poll_batch(self, _id: str) -> Any:
        return self._next("poll")

    async def fetch_batch(self, _id: str) -> AsyncIterator[tuple[str, Any]]:
        self.calls.append("fetch")
        for result in self._told["fetch"].popleft():
            if isinstance(result, Exception):
                raise result
            yield result, result


class Records:
    """Notes how batches ended."""

    def __init__(self) -> None:
        self.endings: list[tuple[str, str | None]] = []

    def intent(self, _batch: Batch) -> None: ...

    async def ended(self, _batch: Batch, ending: str, message: str | None = None) -> None:
        self.endings.append((ending, message))


def run(api: Api, call: Callable[[BatchCalls, Batch], Coroutine[Any, Any, Any]]) -> tuple[Any, float, Records]:
    """What a call comes to, after how many seconds, and what was noted."""
    records = Records()
    backend = SimpleNamespace(llm=api, timeout=5.0, deadline=100.0, typed=lambda error: GONE)

    async def scene(home: Any) -> tuple[Any, float, Records]:
        calls = BatchCalls(cast("Any", backend), cast("Any", records), step="ask")
        try:
            result = await call(calls, Batch(id="b"))
        except Exception as exc:
            result = exc
        return result, home.loop.time(), records

    return run_virtually(scene)


def submit(api: Api) -> tuple[Any, float, Records]:
    return run(api, lambda calls, batch: calls.submit(batch))


def test_a_refusal_for_now_is_waited_for_without_a_search() -> None:
    api = Api(submit=[RateLimitError("later", retry_after=30.0), "b"])
    result, seconds, _ = submit(api)
    assert (result, seconds, api.calls) == ("b", 30.0, ["submit", "submit"])


def test_after_anything_else_the_batch_is_looked_for_before_it_is_sent_again() -> None:
    api = Api(submit=[GONE], find=[BatchSearch(id="found")])
    assert submit(api)[0] == "found"
    assert api.calls == ["submit", "find"]


def test_only_two_searches_in_a_row_that_find_nothing_say_that_it_is_not_there() -> None:
    nothing, undecided = BatchSearch(), BatchSearch(decided=False)
    api = Api(submit=[GONE, "b"], find=[nothing, undecided, nothing, nothing])
    assert submit(api)[0] == "b"
    assert api.calls == ["submit", "find", "find", "find", "find", "submit"]


@pytest.mark.parametrize(
    ("refusal", "kind"), [(BadRequestError, BatchError), (AuthenticationError, AuthenticationError)]
)
def test_a_refusal_that_waiting_does_not_mend_is_noted_and_raised(
    refusal: type[Exception], kind: type[Exception]
) -> None:
    result, seconds, records = submit(Api(submit=[refusal("no")]))
    assert isinstance(result, kind)
    assert (seconds, [ending for ending, _ in records.endings]) == (0.0, ["failed"])


@pytest.mark.parametrize(("fresh", "waited"), [(False, 15.0 + 22.5), (True, 10.0 + 15.0 + 22.5)])
def test_a_batch_is_looked_at_until_it_has_ended_at_intervals_that_grow(fresh: bool, waited: float) -> None:
    running, ended = BatchStatus(state="running"), BatchStatus(state="ended")
    api = Api(poll=[running, running, ended])
    result, seconds, _ = run(api, lambda calls, batch: calls.ended(batch, fresh=fresh))
    assert (result, seconds, api.calls) == (ended, waited, ["poll"] * 3)


def test_a_look_that_fails_for_longer_than_the_deadline_is_given_up_by_name() -> None:
    result, seconds, _ = run(Api(poll=[GONE] * 99), lambda calls, batch: calls.ended(batch, fresh=False))
    assert isinstance(result, BatchError)
    assert result.__cause__ is GONE
    assert seconds <= 100.0


async def results(calls: BatchCalls, batch: Batch) -> list[str]:
    return [custom_id async for custom_id, _ in calls.results(batch)]


def test_results_that_break_off_are_read_from_the_first_again() -> None:
    api = Api(fetch=[["a", GONE], ["a", "b"]])
    assert run(api, results)[0] == ["a", "a", "b"]


def test_the_time_for_results_is_over_only_when_no_reading_comes_further() -> None:
    further = [[*"abcdef"[:length], GONE] for length in range(1, 7)]
    result, seconds, _ = run(Api(fetch=[*further, list("abcdef")]), results)
    assert result[-6:] == list("abcdef")
    assert seconds > 100.0
    assert isinstance(run(Api(fetch=[["a", GONE]] * 99), results)[0], BatchError)
