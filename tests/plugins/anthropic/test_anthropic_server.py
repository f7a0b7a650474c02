"""The strict server refuses what the API refuses: each test plants a bad request with a plain HTTP client."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from support.anthropic_server import Answer, anthropic_server, count_tokens, failure

GOOD: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}],
}
HEADERS = {"x-api-key": "any", "anthropic-version": "2026-10-21"}


def post(url: str, body: Any, headers: dict[str, str] = HEADERS) -> tuple[int, dict[str, Any]]:
    async def send() -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
            return response.status, await response.json()

    return asyncio.run(send())


def refusal_of(body: Any, headers: dict[str, str] = HEADERS) -> tuple[int, str, str]:
    with anthropic_server() as server:
        status, answer = post(f"{server.url}/v1/messages", body, headers)
        assert server.answers == 0
    assert answer["type"] == "error"
    return status, answer["error"]["type"], answer["error"]["message"]


def test_a_good_request_is_answered_and_recorded() -> None:
    with anthropic_server(reply="Hello to you") as server:
        status, message = post(f"{server.url}/v1/messages", GOOD)
        assert server.answers == 1
        assert server.requests[0].body == GOOD
    assert status == 200
    assert message["content"] == [{"type": "text", "text": "Hello to you"}]


def test_usage_is_counted_from_the_texts() -> None:
    with anthropic_server(reply="one two three") as server:
        _, message = post(f"{server.url}/v1/messages", {**GOOD, "system": "be very brief"})
    texts = [GOOD["messages"], "be very brief"]
    assert message["usage"]["input_tokens"] == count_tokens(texts)
    assert message["usage"]["output_tokens"] == 3


def test_behaviours_are_taken_in_order_and_then_the_reply() -> None:
    with anthropic_server(failure(529, "overloaded_error"), Answer("first"), reply="then") as server:
        answers = [post(f"{server.url}/v1/messages", GOOD) for _ in range(3)]
    assert [status for status, _ in answers] == [529, 200, 200]
    assert [answer["content"][0]["text"] for _, answer in answers[1:]] == ["first", "then"]


def test_a_request_without_a_key_is_refused_with_401() -> None:
    status, kind, _ = refusal_of(GOOD, {"anthropic-version": "2026-10-21"})
    assert (status, kind) == (401, "authentication_error")


def test_a_request_without_a_version_is_refused() -> None:
    status, kind, message = refusal_of(GOOD, {"x-api-key": "any"})
    assert (status, kind) == (400, "invalid_request_error")
    assert "anthropic-version" in message


def message_with(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {**GOOD, "messages": [{"role": role, "content": list(blocks)}]}


def schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {**GOOD, "output_config": {"format": {"type": "json_schema", "schema": schema}}}


CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"model": "m", "max_tokens": 1}, "messages"),
        ({**GOOD, "max_tokens": "100"}, "max_tokens"),
        ({**GOOD, "max_tokens": 0}, "max_tokens"),
        ({**GOOD, "max_tokens": 1_000_000}, "max_tokens"),
        ({**GOOD, "messages": []}, "messages"),
        ({**GOOD, "temperature": 0.5}, "temperature"),
        ({**GOOD, "workspace_id": "w"}, "workspace_id"),
        ({**GOOD, "messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({**GOOD, "messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({**GOOD, "messages": [{"role": "user", "content": ""}]}, "messages.0"),
        ({**GOOD, "messages": [{"role": "user", "content": "x", "name": "n"}]}, "name"),
        ({**GOOD, "thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({**GOOD, "stop_sequences": [" "]}, "stop_sequences"),
        ({**GOOD, "output_config": {"effort": "enormous"}}, "output_config.effort"),
        (message_with({"type": "text", "text": ""}), "messages.0.content.0"),
        (message_with({"type": "text", "text": "x", "bogus": 1}), "messages.0.content.0"),
        (message_with({"type": "image_url", "image_url": {"url": "https://x/y.png"}}), "content"),
        (
            message_with({"type": "image", "source": {"type": "url", "url": "u", "detail": "low"}}),
            "messages.0.content.0",
        ),
        ({**GOOD, "system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system"),
        ({**GOOD, "messages": [*GOOD["messages"], RESULT]}, "messages.1"),
        ({**GOOD, "messages": [CALL, *GOOD["messages"]]}, "messages.1"),
        (schema_of({"type": "object", "properties": {}}), "additionalProperties"),
        (schema_of({"type": "integer", "minimum": 1}), "minimum"),
        (schema_of({"type": ["string", "null"]}), "one type"),
        ([], "JSON object"),
    ],
)
def test_a_bad_body_is_refused_with_400_and_its_place(body: Any, place: str) -> None:
    status, kind, message = refusal_of(body)
    assert (status, kind) == (400, "invalid_request_error")
    assert place in message


def test_a_tool_call_with_its_result_is_taken() -> None:
    with anthropic_server() as server:
        status, _ = post(f"{server.url}/v1/messages", {**GOOD, "messages": [*GOOD["messages"], CALL, RESULT]})
    assert status == 200


def test_another_path_is_not_found() -> None:
    with anthropic_server() as server:
        status, answer = post(f"{server.url}/v1/v1/messages", GOOD)
    assert (status, answer["error"]["type"]) == (404, "not_found_error")


def test_requests_wait_for_each_other_when_asked_to() -> None:
    async def two(url: str) -> list[int]:
        async def one(session: aiohttp.ClientSession) -> int:
            async with session.post(f"{url}/v1/messages", json=GOOD, headers=HEADERS) as response:
                return response.status

        async with aiohttp.ClientSession() as session:
            return list(await asyncio.gather(one(session), one(session)))

    with anthropic_server(gather=2) as server:
        assert asyncio.run(two(server.url)) == [200, 200]
        assert server.most_in_flight == 2
