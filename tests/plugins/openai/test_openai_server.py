"""The stand-in server itself: that it refuses what the real service refuses, and counts."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest

from support.openai_server import answer, openai_server

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def post(url: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and decoded body of a raw request, made without any SDK."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = urllib.request.Request(f"{url}/chat/completions", data, {"Authorization": "Bearer k", **headers})
    try:
        with urllib.request.urlopen(sent, timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as exc:
        with exc:
            return exc.code, json.load(exc)


def test_a_good_request_is_answered_and_counted() -> None:
    with openai_server() as server:
        status, payload = post(server.url, GOOD)
    assert (status, payload["choices"][0]["message"]["content"]) == (200, "echo: hi")
    assert (server.answers, len(server.requests)) == (1, 1)


def schema_request(schema: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "x", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 0}, "'n'"),
        ({"n": 129}, "'n'"),
        ({"n": "2"}, "'n'"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"top_logprobs": 2}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "exclude each other"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"logit_bias": {"1": 200}}, "logit_bias"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "hi", "reasoning": "x"}]}, "messages.0.reasoning"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}, "name"),
        (schema_request({"type": "object", "properties": {}}), "additionalProperties"),
        (schema_request({"type": "array", "items": {"type": "string"}}), "object"),
        (schema_request({"type": 3}), "Invalid schema"),
    ],
    ids=str,
)
def test_a_request_that_the_service_would_refuse_is_refused(fault: dict[str, Any], word: str) -> None:
    with openai_server() as server:
        status, payload = post(server.url, {**GOOD, **fault})
    assert status == 400
    assert word in f"{payload['error']['message']} {payload['error']['param']}"
    assert server.answers == 0


def test_a_body_that_is_no_json_is_refused() -> None:
    with openai_server() as server:
        assert post(server.url, b"{oops")[0] == 400


def test_a_refused_request_leaves_the_next_behaviour_for_a_good_one() -> None:
    with openai_server(answer("scripted")) as server:
        post(server.url, {**GOOD, "n": 0})
        assert post(server.url, GOOD)[1]["choices"][0]["message"]["content"] == "scripted"


def test_a_request_without_a_key_or_with_another_is_refused() -> None:
    with openai_server(api_key="right") as server:
        assert post(server.url, GOOD, Authorization="")[0] == 401
        assert post(server.url, GOOD, Authorization="Bearer wrong")[0] == 401
        assert post(server.url, GOOD, Authorization="Bearer right")[0] == 200


def test_an_azure_request_without_a_version_finds_nothing() -> None:
    with openai_server() as server:
        assert post(f"{server.root}/openai/deployments/d", GOOD)[0] == 404


def test_n_gives_n_choices_and_usage_counts_their_words() -> None:
    with openai_server() as server:
        _, payload = post(server.url, {**GOOD, "n": 3})
    texts = [choice["message"]["content"] for choice in payload["choices"]]
    assert texts == ["echo: hi", "echo: hi #1", "echo: hi #2"]
    assert (payload["usage"]["prompt_tokens"], payload["usage"]["completion_tokens"]) == (1, 8)


def test_a_reply_of_ones_own_is_given_the_body() -> None:
    with openai_server(reply=lambda body: body["model"].upper()) as server:
        assert post(server.url, GOOD)[1]["choices"][0]["message"]["content"] == "M"
