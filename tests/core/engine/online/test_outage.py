"""A server that goes away and comes back, on virtual time: nobody's row is lost by it, and it is not stormed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.calls.policy import Policy
from limbeck.errors import BadRequestError, BreakerError, TransientError, UnavailableError
from support.questions import response

from ..scene import Line, Model, Supply, backend_on
from ..virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import GenerationResponse

    from ..virtual_time import VirtualHome

ROWS = 300


class Server:
    """Answers in a tenth of a second, but in the spells that it is away, when it fails at once.

    Args:
        spells: each from a second to another, with what a request gets there.
    """

    def __init__(self, *spells: tuple[float, float, Callable[[], Exception]]) -> None:
        self._spells = spells
        self.asked_away: list[float] = []

    async def __call__(self, prompt: str, before: int) -> GenerationResponse:
        now = asyncio.get_running_loop().time()
        for begins, ends, error in self._spells:
            if begins <= now < ends:
                self.asked_away.append(now)
                await asyncio.sleep(0.01)
                raise error()
        await asyncio.sleep(0.1)
        return response(prompt)


def unavailable() -> UnavailableError:
    return UnavailableError("503 Service Unavailable")


def run(server: Server, *, rows: int = ROWS, policy: Policy | None = None, **settings: Any) -> tuple[Line, float]:
    async def scene(home: VirtualHome) -> tuple[Line, float]:
        backend = backend_on(home, Model(server, **{"max_concurrency": 8, **settings}))
        line = Line(backend, Supply([str(n) for n in range(rows)]), policy=policy or Policy(breaker=50))
        await line.ended()
        return line, home.loop.time()

    return run_virtually(scene)


def answered(line: Line) -> int:
    return sum(isinstance(text, str) for text in line.texts)


@pytest.mark.parametrize("seconds", [5, 30, 120, 1800])
@pytest.mark.parametrize("in_flight", [1, 8, 64])
def test_no_row_is_lost_while_it_is_away(seconds: float, in_flight: int) -> None:
    line, took = run(Server((0.5, 0.5 + seconds, unavailable)), max_concurrency=in_flight)
    assert line.error is None
    assert answered(line) == ROWS
    assert took <= 0.5 + seconds + 20 + ROWS / in_flight * 0.1 * 1.5  # the last probe may just have missed it


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("in_flight", [1, 3, 8, 64])
def test_no_row_is_lost_where_each_has_one_or_two_attempts(attempts: int, in_flight: int) -> None:
    line, _ = run(Server((0.5, 30.5, unavailable)), max_concurrency=in_flight, max_attempts=attempts)
    assert (line.error, answered(line)) == (None, ROWS)


@pytest.mark.parametrize("every", [2, 3, 7])
def test_one_replica_of_several_that_is_away_costs_no_row_of_one_attempt(every: int) -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        asked.append(prompt)
        if len(asked) % every == 0:
            raise unavailable()
        return response(prompt)

    asked: list[str] = []
    line, _ = run(reply, max_concurrency=4, max_attempts=1)  # type: ignore[arg-type]  # as good as a server
    assert (line.error, answered(line)) == (None, ROWS)


@pytest.mark.parametrize("in_flight", [1, 8])
def test_a_row_of_one_attempt_that_the_server_dies_of_fails_alone(in_flight: int) -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if prompt == "7":
            raise unavailable()
        return response(prompt)

    line, took = run(reply, rows=100, max_attempts=1, max_concurrency=in_flight)  # type: ignore[arg-type]  # as good as a server
    assert answered(line) == 99
    assert took < 1500


def test_it_is_probed_by_one_request_at_a_time_ever_more_seldom() -> None:
    server = Server((1.0, 121.0, unavailable))
    line, _ = run(server, max_concurrency=64, rows=3000)
    assert answered(line) == 3000
    assert sum(at > 2.0 for at in server.asked_away) < 40


def test_three_absences_in_one_run_cost_no_row() -> None:
    server = Server(*((at, at + 5.0, unavailable) for at in (0.5, 8.0, 20.0)))
    line, _ = run(server, max_concurrency=4)
    assert (line.error, answered(line)) == (None, ROWS)


def test_attempts_made_while_it_is_away_do_not_count() -> None:
    line, _ = run(Server((0.5, 60.0, unavailable)), max_concurrency=8)
    assert max(max(row["attempts"]) for row in line.out) <= 4


def test_a_server_that_was_never_heard_fails_its_rows_by_their_attempts_and_trips_the_breaker() -> None:
    line, took = run(Server((0.0, 1e9, unavailable)))
    assert isinstance(line.error, BreakerError)
    assert took < 300


def test_an_absence_longer_than_the_deadline_trips_the_breaker_and_what_was_answered_is_kept() -> None:
    line, took = run(Server((1.0, 1e9, unavailable)), deadline=100.0)
    assert isinstance(line.error, BreakerError)
    assert answered(line) >= 70
    assert 100 < took < 250


def test_one_without_breaker_gives_every_row_once_the_deadline_is_over() -> None:
    line, _ = run(Server((1.0, 1e9, unavailable)), deadline=50.0, policy=Policy())
    assert len(line.out) == ROWS
    assert all(isinstance(text, str | UnavailableError) for text in line.texts)


@pytest.mark.parametrize("error", [lambda: TransientError("500"), lambda: BadRequestError("400")])
def test_a_server_that_is_there_and_refuses_everything_is_not_taken_for_away(error: Callable[[], Exception]) -> None:
    line, took = run(Server((1.0, 1e9, error)))
    assert isinstance(line.error, BreakerError)
    assert took < 300


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_server_that_is_up_again_but_not_ready_yet_costs_no_row(seconds: float) -> None:
    def starting() -> Exception:
        return TransientError("500: starting")

    line, _ = run(Server((0.5, 3.0, unavailable), (3.0, 3.0 + seconds, starting)))
    assert (line.error, answered(line)) == (None, ROWS)


def test_a_probe_that_gets_no_answer_in_time_does_not_open_the_window() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        now = asyncio.get_running_loop().time()
        if 0.5 <= now < 200.0:
            if now > 3.0:
                in_vain.append(now)
                await asyncio.sleep(10_000)
            await asyncio.sleep(0.01)
            raise unavailable()
        await asyncio.sleep(0.1)
        return response(prompt)

    in_vain: list[float] = []
    line, _ = run(reply, timeout=20.0)  # type: ignore[arg-type]  # as good as a server
    assert answered(line) == ROWS
    assert len(in_vain) < 15


def test_a_row_that_alone_finds_nobody_fails_by_its_attempts() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if prompt == "7":
            raise unavailable()
        return response(prompt)

    line, took = run(reply, rows=100)  # type: ignore[arg-type]  # as good as a server
    assert [prompt for prompt, text in zip(line.prompts, line.texts, strict=True) if not isinstance(text, str)] in (
        [],
        ["7"],
    )
    assert took < 4000


def test_a_last_row_that_alone_finds_nobody_is_given_up_within_minutes() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if prompt == "99":
            raise unavailable()
        return response(prompt)

    line, took = run(reply, rows=100)  # type: ignore[arg-type]  # as good as a server
    assert answered(line) == 99
    assert 300 < took < 400


def test_its_absence_stands_in_the_counters_and_ends_there() -> None:
    seen: list[tuple[float | None, float | None]] = []

    async def scene(home: VirtualHome) -> Line:
        backend = backend_on(home, Model(Server((0.5, 20.0, unavailable)), max_concurrency=8))
        line = Line(backend, Supply([str(n) for n in range(ROWS)]))
        for at in (0.3, 5.0, 60.0):
            home.loop.call_at(at, lambda: seen.append((line.stream.stats.away_since, line.stream.stats.next_try)))
        await asyncio.sleep(61)
        return await line.ended()

    run_virtually(scene)
    (none, _), (since, next_try), (after, _) = seen
    assert none is None
    assert after is None
    assert since is not None
    assert next_try is not None
    assert next_try > since


def test_it_is_logged_once_that_it_went_and_once_that_it_came_back(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="limbeck"):
        run(Server((0.5, 30.0, unavailable)))
    assert [record.getMessage() for record in caplog.records] == [
        "scene does not answer, and is asked again now and then: 503 Service Unavailable",
        "scene answers again.",
    ]


def test_a_request_that_hangs_meanwhile_keeps_nobody_from_probing() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        now = asyncio.get_running_loop().time()
        if 0.5 <= now < 10.0:
            if prompt.endswith("1") and before == 0:
                await asyncio.sleep(10_000)
            await asyncio.sleep(0.01)
            raise unavailable()
        await asyncio.sleep(0.1)
        return response(prompt)

    line, took = run(reply, timeout=500.0)  # type: ignore[arg-type]  # as good as a server
    assert answered(line) == ROWS
    assert took < 600


def waits_of(server: Server, *, rows: int, seconds: float) -> tuple[Line, list[float]]:
    """A run whose requests others answer too, one row at a time: the line, and how long each row took.

    Args:
        seconds: between two rows.
    """

    async def scene(home: VirtualHome) -> tuple[Line, list[float]]:
        backend = backend_on(home, Model(server, max_concurrency=8))
        line = Line(backend, Supply(ended=False), policy=Policy())
        line.stream.requests[0].gives_way = True
        came = []
        for number in range(rows):
            came.append(home.loop.time())
            line.source.rows.append({"prompt": str(number)})
            backend.online.wake()
            await asyncio.sleep(seconds)
        line.source.ended = True
        backend.online.wake()
        await line.ended()
        return line, [went - at for went, at in zip(line.times, came, strict=True)]

    return run_virtually(scene)


@pytest.mark.parametrize("begins", [0.0, 10.0], ids=["from the first request on", "in the middle"])
def test_nobody_waits_for_it_where_others_answer_and_it_is_asked_again_once_it_is_back(begins: float) -> None:
    server = Server((begins, begins + 60.0, unavailable))
    line, waits = waits_of(server, rows=300, seconds=0.5)
    failed = [isinstance(text, UnavailableError) for text in line.texts]
    assert max(waits[20:]) < 1.0
    assert max(waits) < 30.0  # of the first, before it is known
    assert 80 < sum(failed) < 160
    assert not any(failed[-100:])
    assert len(server.asked_away) < 40


def test_many_rows_are_passed_on_together() -> None:
    async def scene(home: VirtualHome) -> tuple[Line, float]:
        backend = backend_on(home, Model(server, max_concurrency=8))
        line = Line(backend, Supply([str(number) for number in range(2000)]), policy=Policy())
        line.stream.requests[0].gives_way = True
        await line.ended()
        return line, home.loop.time()

    server = Server((1.0, 1e9, unavailable))
    line, took = run_virtually(scene)
    assert (len(line.out), took < 60.0, len(server.asked_away) < 60) == (2000, True, True)
    assert answered(line) >= 70
