"""The strictness of the loopback server: without it, the other tests would pass on requests that no server takes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from .server import HuggingFaceServer

USER = {"role": "user", "content": "hi"}


def _post(url: str, body: Any) -> tuple[int, str]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"messages": [USER], "temprature": 1}, "temprature: Unexpected keyword argument"),
        ({"messages": [{**USER, "contents": "hi"}]}, "messages.0.contents: Unexpected keyword argument"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "role"),
        ({"messages": [USER], "max_tokens": "many"}, "max_tokens"),
        ({"messages": [USER], "response_format": {"type": "json_object"}}, "missing field `value`"),
        ({"messages": [USER], "response_format": {"type": "yaml", "value": {}}}, "response_format"),
        ({"messages": [USER], "tools": [{"type": "function", "function": {"name": "x"}}]}, "parameters"),
        ({}, "messages"),
        ([], "dictionary"),
    ],
)
def test_a_bad_chat_request_is_refused(tgi: HuggingFaceServer, body: Any, fault: str) -> None:
    status, text = _post(f"{tgi.url}/v1/chat/completions", body)
    assert status == 422
    assert fault in text
    assert tgi.refused


def test_tgis_form_of_a_schema_is_refused_by_a_server_of_openais_kind(openai_like: HuggingFaceServer) -> None:
    body = {"messages": [USER], "response_format": {"type": "json_object", "value": {}}}
    status, text = _post(f"{openai_like.url}/v1/chat/completions", body)
    assert (status, "value: Unexpected keyword argument" in text) == (422, True)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"inputs": "hi", "parameters": {"max_tokens": 1}}, "parameters.max_tokens: Unexpected keyword argument"),
        ({"inputs": "hi", "parameters": {"grammar": {"type": "yaml", "value": {}}}}, "grammar"),
        ({"inputs": ["hi"]}, "inputs"),
        ({"prompt": "hi"}, "inputs"),
    ],
)
def test_a_bad_text_request_is_refused(tgi: HuggingFaceServer, body: Any, fault: str) -> None:
    status, text = _post(tgi.url, body)
    assert status == 422
    assert fault in text


def test_a_good_request_is_answered(tgi: HuggingFaceServer) -> None:
    status, text = _post(f"{tgi.url}/v1/chat/completions", {"model": "x", "messages": [USER], "max_tokens": 1})
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "ok")
