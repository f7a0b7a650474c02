"""The window of one endpoint on virtual time: who is sent when, asked again, given up, stopped."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.calls.policy import Policy
from limbeck._engine.online.backend import Backend
from limbeck._engine.online.window import Window
from limbeck.errors import (
    AuthenticationError,
    BackendError,
    BadRequestError,
    BreakerError,
    FailureLimitError,
    IncompleteResponseError,
    RateLimitError,
    TransientError,
)
from limbeck.types import Capabilities
from support.questions import prompt_of, response

from ..scene import Line, Model, Supply, backend_on
from ..simulation import BucketServer, Faulty, FreeServer, QueueServer
from ..virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from limbeck.types import GenerationRequest, GenerationResponse

    from ..simulation import Server
    from ..virtual_time import VirtualHome


def prompts(number: int, letter: str = "") -> list[str]:
    """As many different prompts."""
    return [f"{letter}{place}" for place in range(number)]


def after(seconds: float | Callable[[str], float]) -> Callable[[str, int], Awaitable[GenerationResponse]]:
    """Echoes, after so many seconds."""

    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(seconds if isinstance(seconds, float) else seconds(prompt))
        return response(prompt)

    return reply


def failing(
    error: Callable[[], Exception], *, times: int = 10**9
) -> Callable[[str, int], Awaitable[GenerationResponse]]:
    """Fails the first `times` that a prompt is asked, after a tenth of a second; then echoes."""

    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if before < times:
            raise error()
        return response(prompt)

    return reply


def served_by(server: Server) -> Callable[[str, int], Awaitable[GenerationResponse]]:
    """Answers, refuses and fails as a simulated server does."""

    async def reply(prompt: str, before: int) -> GenerationResponse:
        loop = asyncio.get_running_loop()
        decided = server.receive(loop.time())
        await asyncio.sleep(decided.at - loop.time())
        if decided.retry_after is not None:
            raise RateLimitError("too many", retry_after=decided.retry_after)
        if decided.fault:
            raise TransientError("500")
        return response(prompt)

    return reply


def ask(model: Model, rows: int | list[str], *, tick: float = 0.0, **line: Any) -> tuple[Line, float, Backend]:
    """What came of the rows, and after how many seconds."""

    async def scene(home: VirtualHome) -> tuple[Line, float, Backend]:
        backend = backend_on(home, model)
        supply = Supply(prompts(rows) if isinstance(rows, int) else rows)
        ended = await Line(backend, supply, **line).ended()
        return ended, home.loop.time(), backend

    return run_virtually(scene, tick=tick)


# Admission


def test_at_most_as_many_are_in_flight_as_the_user_allows() -> None:
    model = Model(after(1.0), max_concurrency=5)
    ask(model, 40)
    assert model.most == 5


def test_a_request_that_ends_makes_room_at_once_so_nobody_waits_for_the_slowest() -> None:
    model = Model(after(lambda prompt: 50.0 if prompt == "0" else 1.0), max_concurrency=5)
    line, seconds, _ = ask(model, 201)
    assert seconds == pytest.approx(50.0, abs=1.0)  # 200 rows of a second at four places, beside the slow one
    assert line.prompts == prompts(201)


def test_rows_leave_in_order_whatever_order_they_are_answered_in() -> None:
    rng = random.Random(3)
    line, _, _ = ask(Model(after(lambda _prompt: rng.random())), 300)
    assert line.prompts == line.texts == prompts(300)


def test_rows_leave_as_they_are_answered_where_order_does_not_matter() -> None:
    model = Model(after(lambda prompt: 9.0 if prompt == "0" else 1.0), max_concurrency=10)
    line, _, _ = ask(model, 10, policy=Policy(ordered=False))
    assert line.prompts[-1] == "0"
    assert sorted(line.prompts) == sorted(prompts(10))


def test_requests_go_out_one_by_one_at_first_too() -> None:
    model = Model(after(1.0))
    ask(model, 64)
    times = [time for time, _ in model.asked]
    assert len(set(times)) > 32


def test_answers_that_come_together_are_not_followed_by_a_burst_in_which_nothing_can_be_heard() -> None:
    sent: Counter[int] = Counter()

    async def scene(home: VirtualHome) -> Line:
        async def reply(prompt: str, before: int) -> GenerationResponse:
            sent[home.loop.cycles] += 1
            home.loop.work(0.001)  # to send one keeps the loop for so long
            await asyncio.sleep(1.0 - home.loop.time() % 1.0)
            return response(prompt)

        return await Line(backend_on(home, Model(reply, max_concurrency=256)), Supply(prompts(2000))).ended()

    line = run_virtually(scene)
    assert line.texts == prompts(2000)
    assert max(sent.values()) <= 16


# Several streams


def both(model: Model, first: int, second: int) -> tuple[Line, Line, float]:
    async def scene(home: VirtualHome) -> tuple[Line, Line, float]:
        backend = backend_on(home, model)
        lines = [Line(backend, Supply(prompts(first, "a"))), Line(backend, Supply(prompts(second, "b")))]
        ended = [await line.ended() for line in lines]
        return ended[0], ended[1], home.loop.time()

    return run_virtually(scene)


def test_two_streams_take_turns() -> None:
    model = Model(after(1.0), max_concurrency=1)
    both(model, 10, 10)
    asked = "".join(prompt[0] for _, prompt in model.asked)
    assert asked == "a" + "ba" * 9 + "b"  # the first was alone when the only place was free


def test_a_short_stream_is_not_starved_by_a_long_one_that_came_first() -> None:
    model = Model(after(1.0), max_concurrency=10)
    _, short, _ = both(model, 500, 20)
    assert short.times[-1] < 6.0


def test_streams_whose_turn_comes_without_a_row_cost_the_others_nothing() -> None:
    model = Model(after(1.0), max_concurrency=10)
    _, _, seconds = both(model, 100, 0)
    assert seconds < 10.5


def test_a_stream_that_is_stopped_leaves_the_others_alone() -> None:
    async def scene(home: VirtualHome) -> tuple[Line, Line]:
        backend = backend_on(home, Model(after(1.0), max_concurrency=10))
        stays, goes = Line(backend, Supply(prompts(50, "a"))), Line(backend, Supply(prompts(50, "b")))
        await asyncio.sleep(1.5)
        goes.stop()
        return await stays.ended(), await goes.ended()

    stays, goes = run_virtually(scene)
    assert stays.prompts == prompts(50, "a")
    assert len(goes.prompts) < 50


# One endpoint, several backends


def shared(home: VirtualHome, *settings: dict[str, Any]) -> list[tuple[Model, Backend]]:
    identity = {"provider": "scene", "base_url": "http://127.0.0.1", "model_name": f"shared-{id(home)}"}
    models = [Model(after(1.0), identity=identity, **setting) for setting in settings]
    return [(model, Backend(model, home)) for model in models]  # type: ignore[arg-type]  # stands where the portal does


def test_backends_of_one_endpoint_share_its_window_and_the_least_that_they_allow_counts() -> None:
    async def scene(home: VirtualHome) -> float:
        pairs = shared(home, {"max_concurrency": 8}, {"max_concurrency": 4})
        assert pairs[0][1].online is pairs[1][1].online
        lines = [Line(backend, Supply(prompts(20))) for _, backend in pairs]
        for line in lines:
            await line.ended()
        return home.loop.time()

    assert run_virtually(scene) == pytest.approx(10.0, abs=0.3)  # 40 requests of a second, four at a time


def test_a_limit_goes_with_the_backend_that_asked_for_it() -> None:
    async def scene(home: VirtualHome) -> int:
        (model, wide), (_, narrow) = pairs = shared(home, {"max_concurrency": 8}, {"max_concurrency": 4})
        pairs.clear()
        del narrow
        await Line(wide, Supply(prompts(40))).ended()
        return model.most

    assert run_virtually(scene) == 8


# Refusals


def test_refusals_cut_the_window_once_for_all_that_were_on_their_way() -> None:
    _, _, backend = ask(Model(failing(lambda: RateLimitError("no", retry_after=1.0), times=1), max_concurrency=40), 40)
    assert isinstance(backend.online, Window)
    assert backend.online.controller.limit >= 40 * 0.7


def test_nothing_is_sent_for_as_long_as_the_server_asks_and_then_it_goes_out_one_by_one() -> None:
    model = Model(failing(lambda: RateLimitError("no", retry_after=30.0), times=1), max_concurrency=20)
    line, _, _ = ask(model, 20)
    times = [time for time, _ in model.asked]
    assert [time for time in times if 0.11 < time < 30.1] == []
    later = [time for time in times if time >= 30.1]
    assert len(later) == 20
    assert len(set(later)) == 20
    assert line.texts == prompts(20)


def test_a_refusal_is_not_an_attempt() -> None:
    line, _, _ = ask(Model(failing(lambda: RateLimitError("no", retry_after=0.1), times=9), max_attempts=2), 3)
    assert line.texts == prompts(3)
    assert [row["attempts"] for row in line.out] == [[1]] * 3
    assert line.stream.stats.rate_limited == 27


def test_a_row_that_is_refused_until_its_deadline_fails_with_the_refusal() -> None:
    model = Model(failing(lambda: RateLimitError("no", retry_after=10.0)), deadline=35.0)
    line, seconds, _ = ask(model, 1)
    assert isinstance(line.texts[0], RateLimitError)
    assert seconds <= 35.0


def test_a_time_in_which_all_is_refused_does_not_slow_what_comes_after_it() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if 1.0 < asyncio.get_running_loop().time() < 300.0:
            raise RateLimitError("closed", retry_after=1.0)
        return response(prompt)

    line, seconds, _ = ask(Model(reply), 3000)
    assert line.texts == prompts(3000)
    assert seconds < 330.0


@pytest.mark.parametrize("named", [None, 0.0], ids=["none", "at once"])
def test_a_refusal_that_names_no_time_is_waited_for_longer_each_time(named: float | None) -> None:
    model = Model(failing(lambda: RateLimitError("no", retry_after=named), times=8))
    line, _, _ = ask(model, 1)
    assert line.texts == ["0"]
    assert model.asked[-1][0] > 2.0


# Faults


def test_a_fault_is_asked_again_up_to_the_attempts_allowed() -> None:
    model = Model(failing(lambda: TransientError("500")), max_attempts=3)
    line, _, _ = ask(model, 1)
    assert isinstance(line.texts[0], TransientError)
    assert line.texts[0].attempts == 3
    assert len(model.asked) == 3


def test_a_fault_that_passes_costs_nothing_but_time() -> None:
    line, _, _ = ask(Model(failing(lambda: TransientError("500"), times=2)), 10)
    assert line.texts == prompts(10)
    assert line.stream.stats.retries == 20
    assert line.stream.stats.waiting == 0


def test_the_time_that_a_fault_asks_for_is_the_least_that_is_waited() -> None:
    model = Model(failing(lambda: TransientError("503", retry_after=20.0), times=1))
    ask(model, 1)
    assert model.asked[1][0] >= 20.0


def test_no_attempt_is_begun_past_the_deadline() -> None:
    model = Model(failing(lambda: TransientError("503", retry_after=20.0)), max_attempts=99, deadline=50.0)
    line, _, _ = ask(model, 1)
    assert isinstance(line.texts[0], TransientError)
    assert model.asked[-1][0] < 50.0


def test_no_answer_within_the_timeout_is_a_fault() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(1000.0 if before == 0 else 1.0)
        return response(prompt)

    model = Model(reply, timeout=5.0)
    line, seconds, _ = ask(model, 4)
    assert line.texts == prompts(4)
    assert seconds < 7.0
    assert len(model.cancelled) == 4


def test_a_request_that_waits_for_its_next_attempt_holds_no_place() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(1.0)
        if prompt == "0" and before == 0:
            raise TransientError("503", retry_after=100.0)
        return response(prompt)

    model = Model(reply, max_concurrency=1)
    line, _, _ = ask(model, 50)
    assert next(time for time, prompt in model.asked if prompt == "49") < 51.0
    assert line.prompts == prompts(50)


def test_a_refusal_for_good_is_not_asked_again() -> None:
    model = Model(failing(lambda: BadRequestError("no such model")))
    line, _, _ = ask(model, 2)
    assert [type(text) for text in line.texts] == [BadRequestError] * 2
    assert len(model.asked) == 2


def test_the_same_chance_gives_the_same_run() -> None:
    def run() -> tuple[list[tuple[float, str]], list[float]]:
        model = Model(served_by(Faulty(BucketServer(rate=50, burst=10), 0.1, random.Random(1))))
        line, _, _ = ask(model, 200)
        return model.asked, line.times

    assert run() == run()


# Fewer answers than asked for


def test_answers_that_are_missing_are_asked_for_again_and_stand_in_their_places() -> None:
    asked: list[int] = []

    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        asked.append(before)
        return response(f"{before}a", f"{before}b") if before < 2 else response(f"{before}a")

    model = Model(reply, capabilities=Capabilities(native_n=True))
    line, _, _ = ask(model, ["x"], num_generations=5)
    assert line.out[0]["texts"] == ["0a", "0b", "1a", "1b", "2a"]


def test_a_server_that_gives_no_answer_three_times_fails_the_samples_that_are_missing() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        return response("only") if before == 0 else response()

    model = Model(reply, capabilities=Capabilities(native_n=True))
    line, _, _ = ask(model, ["x"], num_generations=3)
    first, *rest = line.out[0]["texts"]
    assert first == "only"
    assert [type(error) for error in rest] == [IncompleteResponseError] * 2
    assert len(model.asked) == 4


# What ends a run


def test_a_refused_key_stops_the_run_with_the_first_answer_and_cancels_what_is_in_flight() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1 if prompt == "3" else 5.0)
        raise AuthenticationError("the key is wrong")

    model = Model(reply, max_concurrency=8)
    line, seconds, _ = ask(model, 100)
    assert isinstance(line.error, AuthenticationError)
    assert seconds < 0.2
    assert len(model.asked) == 8
    assert sorted(model.cancelled) == sorted(set(prompts(8)) - {"3"})


def test_rows_that_failed_one_after_another_stop_the_run_with_the_first_cause() -> None:
    model = Model(failing(lambda: BadRequestError("unknown model")), max_concurrency=1)
    line, _, _ = ask(model, 100, policy=Policy(breaker=7))
    assert isinstance(line.error, BreakerError)
    assert line.error.failures == 7
    assert isinstance(line.error.__cause__, BadRequestError)
    assert len(model.asked) == 7


def test_a_row_that_works_resets_the_breaker() -> None:
    async def reply(prompt: str, before: int) -> GenerationResponse:
        await asyncio.sleep(0.1)
        if int(prompt) % 7:
            raise BadRequestError("no")
        return response(prompt)

    line, _, _ = ask(Model(reply, max_concurrency=1), 100, policy=Policy(breaker=7))
    assert line.error is None
    assert len(line.out) == 100


def test_more_failed_rows_than_allowed_stop_the_run() -> None:
    line, _, _ = ask(Model(failing(lambda: BadRequestError("no")), max_concurrency=1), 100, policy=Policy(max_failed=3))
    assert isinstance(line.error, FailureLimitError)
    assert line.stream.stats.rows_failed == 4


def test_a_stream_that_is_stopped_cancels_its_requests_and_gives_what_is_done() -> None:
    async def scene(home: VirtualHome) -> tuple[Line, Model]:
        model = Model(after(lambda prompt: 9.0 if prompt == "1" else 1.0), max_concurrency=5)
        line = Line(backend_on(home, model), Supply(prompts(50)))
        await asyncio.sleep(2.5)
        line.stop()
        return await line.ended(), model

    line, model = run_virtually(scene)
    assert line.prompts[:4] == ["0", "2", "3", "4"]  # past the gap
    assert "1" in model.cancelled
    assert model.in_flight == 0
    assert line.stream.stats.in_flight == 0


def test_a_stream_that_is_stopped_while_a_request_waits_does_not_ask_it_again() -> None:
    async def scene(home: VirtualHome) -> Model:
        model = Model(failing(lambda: TransientError("503", retry_after=60.0)))
        line = Line(backend_on(home, model), Supply(prompts(5)))
        await asyncio.sleep(1.0)
        line.stop()
        await line.ended()
        await asyncio.sleep(300.0)
        return model

    assert len(run_virtually(scene).asked) == 5


def test_a_window_goes_on_to_serve_after_one_of_its_streams_was_stopped() -> None:
    async def scene(home: VirtualHome) -> Line:
        backend = backend_on(home, Model(after(1.0), max_concurrency=2))
        first = Line(backend, Supply(prompts(50)))
        await asyncio.sleep(0.5)
        first.stop()
        await first.ended()
        return await Line(backend, Supply(prompts(10, "b"))).ended()

    assert run_virtually(scene).prompts == prompts(10, "b")


# Backends that take batches


class Batches:
    """Echoes batches; a prompt of "bad" fails alone."""

    model_name = "batches"

    def __init__(self, **settings: Any) -> None:
        self.sizes: list[int] = []
        self.short = False
        for name, value in settings.items():
            setattr(self, name, value)

    def generate_batch(self, requests: list[GenerationRequest]) -> list[Any]:
        self.sizes.append(len(requests))
        results: list[Any] = [
            BadRequestError("bad") if prompt_of(request) == "bad" else response(prompt_of(request))
            for request in requests
        ]
        return results[:-1] if self.short else results


class BatchBackend(Backend):
    """Takes a second for a batch, without a thread."""

    def _in_thread(self, function: Callable[[Any], Any], argument: Any) -> Awaitable[Any]:
        async def work() -> Any:
            await asyncio.sleep(1.0)
            return function(argument)

        return work()


def ask_in_batches(llm: Batches, rows: list[str]) -> tuple[Line, float]:
    async def scene(home: VirtualHome) -> tuple[Line, float]:
        backend = BatchBackend(llm, home)  # type: ignore[arg-type]  # stands where the portal does
        line = await Line(backend, Supply(rows)).ended()
        return line, home.loop.time()

    return run_virtually(scene)


def test_requests_are_sent_together_up_to_the_size_of_a_batch() -> None:
    llm = Batches(batch_size=8, max_concurrency=1)
    line, _ = ask_in_batches(llm, prompts(20))
    assert llm.sizes == [8, 8, 4]
    assert line.texts == prompts(20)


def test_one_request_of_a_batch_that_fails_costs_only_its_row() -> None:
    line, _ = ask_in_batches(Batches(batch_size=4, max_concurrency=1), ["a", "bad", "c"])
    assert line.texts[0::2] == ["a", "c"]
    assert isinstance(line.texts[1], BadRequestError)


def test_a_batch_with_fewer_results_than_requests_fails_its_rows() -> None:
    line, _ = ask_in_batches(Batches(batch_size=4, max_concurrency=1, short=True), prompts(4))
    assert [type(text) for text in line.texts] == [BackendError] * 4


# The same scenarios as for the controller alone, through the window


def test_a_server_that_allows_200_a_second_and_fails_now_and_then_is_used_to_nearly_all_of_it() -> None:
    server = Faulty(BucketServer(rate=200, burst=200), 0.02, random.Random(5))
    line, seconds, _ = ask(Model(served_by(server), max_concurrency=256), 2000)
    assert line.texts == prompts(2000)
    assert seconds <= 1.10 * 2000 / 200
    assert line.stream.stats.rate_limited < 0.03 * 2000


@pytest.mark.parametrize("tick", [0.0, 1e-4], ids=["code takes no time", "code takes its time"])
def test_a_server_that_queues_is_kept_busy_and_not_flooded(tick: float) -> None:
    model = Model(served_by(QueueServer(32)), max_concurrency=256)
    line, seconds, _ = ask(model, 2000, tick=tick)
    assert line.texts == prompts(2000)
    assert seconds <= 1.25 * 2000 * 0.1 / 32
    assert model.seconds_in_flight / seconds <= 96


def test_two_tasks_in_a_row_overlap_nearly_perfectly() -> None:
    class Following(Supply):
        """The rows that come out of the line before."""

    async def scene(home: VirtualHome) -> float:
        backend = backend_on(home, Model(served_by(FreeServer(lambda _now: 0.1)), max_concurrency=256))
        between = Following(ended=False)
        first = Line(backend, Supply(prompts(2000)))
        emit = first._emit

        def pass_on(id: str, rows: list[Any]) -> None:
            emit(id, rows)
            between.rows.extend({"prompt": row["prompt"]} for row in rows)
            between.ended = len(first.out) == 2000
            backend.online.wake()

        first.stream._release._emit = pass_on
        second = Line(backend, between)
        await first.ended()
        assert (await second.ended()).prompts == prompts(2000)
        return home.loop.time()

    assert run_virtually(scene) <= 1.10 * (4000 * 0.1 / 256 + 0.1)
