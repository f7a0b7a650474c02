"""The loopback server behind the benchmarks: what it answers, refuses, holds back and counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.loopback import Loopback, loopback
from benchmarks.server import REFUSED, Behaviour, Counts, answer_to

if TYPE_CHECKING:
    from collections.abc import Sequence


def chat(server: Loopback, prompts: Sequence[str], **fields: Any) -> list[tuple[int, dict[str, str], Any]]:
    """Ask all prompts at once; the status, headers and body of each response."""

    async def ask(session: aiohttp.ClientSession, prompt: str) -> tuple[int, dict[str, str], Any]:
        body = {"model": "bench", "messages": [{"role": "user", "content": prompt}], **fields}
        async with session.post(f"{server.url}/chat/completions", json=body) as response:
            return response.status, dict(response.headers), await response.json()

    async def ask_all() -> list[tuple[int, dict[str, str], Any]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(ask(session, prompt) for prompt in prompts))

    return asyncio.run(ask_all())


def prompts(count: int) -> list[str]:
    return [f"question {index}" for index in range(count)]


def texts(body: Any) -> list[str]:
    return [choice["message"]["content"] for choice in body["choices"]]


def test_every_prompt_gets_the_answer_that_names_it() -> None:
    with loopback(Behaviour()) as server:
        responses = chat(server, ['"quoted"', "naïve — ☃"])
    assert [status for status, _, _ in responses] == [200, 200]
    answers = [texts(body)[0] for _, _, body in responses]
    assert answers[0].startswith(answer_to('"quoted"'))
    assert answers[1].startswith(answer_to("naïve — ☃"))


def test_a_prompt_in_parts_is_the_same_prompt() -> None:
    parts = [{"type": "text", "text": "ques"}, {"type": "text", "text": "tion"}]
    with loopback(Behaviour()) as server:
        chat(server, ["ignored"], messages=[{"role": "user", "content": parts}])
        assert list(server.prompts()) == ["question"]


def test_n_choices_are_answered_and_paid() -> None:
    with loopback(Behaviour(samples=3)) as server:
        [(_, _, body)] = chat(server, ["question"], n=3)
        stats = server.stats()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert (stats["answered"], stats["paid"], stats["paid_twice"]) == (1, 3, 0)


def test_a_prompt_that_is_answered_again_was_bought_twice() -> None:
    with loopback(Behaviour()) as server:
        chat(server, ["once", "twice", "twice"])
        stats, counts = server.stats(), server.prompts()
    assert (stats["asked"], stats["prompts"], stats["paid_twice"]) == (3, 2, 1)
    assert counts["twice"] == {"asked": 2, "admitted": 2, "paid": 2}


def test_a_reset_clears_the_counts_and_fills_the_bucket() -> None:
    with loopback(Behaviour(rate=0.001, burst=1)) as server:
        chat(server, prompts(2))
        server.reset()
        assert server.stats()["asked"] == 0
        assert [status for status, _, _ in chat(server, prompts(1))] == [200]


def test_requests_beyond_the_limit_are_refused_with_the_seconds_to_wait() -> None:
    with loopback(Behaviour(rate=0.001, burst=3, retry_after=7)) as server:
        responses = chat(server, prompts(10))
        stats = server.stats()
    refused = [headers for status, headers, _ in responses if status == 429]
    assert len(refused) == 7
    assert {headers["Retry-After"] for headers in refused} == {"7"}
    assert (stats["asked"], stats["answered"], stats["refused"]) == (10, 3, 7)


def test_k_requests_are_served_at_a_time_and_none_is_refused() -> None:
    with loopback(Behaviour(capacity=2, latency=0.05)) as server:
        responses = chat(server, prompts(10))
        stats = server.stats()
    assert {status for status, _, _ in responses} == {200}
    assert stats["most_served"] == 2
    assert stats["most_in_flight"] > 2


def test_the_mean_in_flight_is_over_the_time_in_which_there_was_any() -> None:
    counts = Counts(samples=1)
    for change, now in [(1, 0.0), (1, 1.0), (-1, 4.0), (-1, 5.0), (1, 100.0), (-1, 101.0)]:
        counts.in_flight(change, now)
    # One, two, one for 1, 3 and 1 seconds; then one for a second.
    assert counts.to_dict()["mean_in_flight"] == 1.5
    assert counts.most_in_flight == 2


def test_the_part_that_fails_is_near_the_rate_and_is_not_paid() -> None:
    with loopback(Behaviour(error_rate=0.5)) as server:
        responses = chat(server, prompts(200))
        stats = server.stats()
    assert stats["errors"] == sum(status == 500 for status, _, _ in responses)
    assert 60 < stats["errors"] < 140
    assert stats["paid"] == 200 - stats["errors"]


def test_the_same_prompts_fail_in_every_order_and_others_with_another_seed() -> None:
    def failing(behaviour: Behaviour, asked: list[str]) -> set[str]:
        with loopback(behaviour) as server:
            responses = chat(server, asked)
        return {prompt for prompt, (status, _, _) in zip(asked, responses, strict=True) if status == 500}

    behaviour = Behaviour(error_rate=0.2)
    first = failing(behaviour, prompts(50))
    assert first == failing(behaviour, prompts(50)[::-1])
    assert first != failing(Behaviour(error_rate=0.2, seed=1), prompts(50))


def test_what_cannot_be_read_is_refused_and_not_counted() -> None:
    with loopback(Behaviour()) as server:
        [(status, _, _)] = chat(server, ["question"], messages=[])
        assert status == 400
        assert server.stats()["asked"] == 0


def test_an_answer_under_way_is_paid_although_its_client_has_left_and_one_in_line_is_not() -> None:
    async def ask_and_leave(server: Loopback) -> None:
        async with aiohttp.ClientSession() as session:
            calls = []
            for asked, prompt in enumerate(["served", "in line"], start=1):
                calls.append(asyncio.ensure_future(ask(session, server.url, prompt)))
                while server.stats()["asked"] < asked:  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    async def ask(session: aiohttp.ClientSession, url: str, prompt: str) -> None:
        body = {"messages": [{"role": "user", "content": prompt}]}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            await response.read()

    with loopback(Behaviour(capacity=1, latency=0.5)) as server:
        asyncio.run(ask_and_leave(server))
        chat(server, ["afterwards"])
        paid = {prompt: count["paid"] for prompt, count in server.prompts().items()}
    assert paid == {"served": 1, "in line": 0, "afterwards": 1}


def embeddings(server: Loopback, texts: Sequence[str]) -> tuple[int, Any]:
    """Ask for the vectors of texts together; the status and the body of the response."""

    async def ask() -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session:
            body = {"model": "bench", "input": list(texts)}
            async with session.post(f"{server.url}/embeddings", json=body) as response:
                return response.status, await response.json()

    return asyncio.run(ask())


def test_a_text_has_the_same_vector_whatever_it_is_asked_with() -> None:
    with loopback(Behaviour()) as server:
        _, together = embeddings(server, ["a", "b"])
        _, alone = embeddings(server, ["b"])
    assert [item["index"] for item in together["data"]] == [0, 1]
    assert together["data"][1]["embedding"] == alone["data"][0]["embedding"]


def test_all_texts_are_refused_where_one_is() -> None:
    with loopback(Behaviour()) as server:
        status, _ = embeddings(server, ["a", REFUSED])
    assert status == 400
