"""The promises that every backend makes, and the way through the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck import get_llm, task
from limbeck.testing import LLMContract
from limbeck.types import Row
from limbeck_openai import AzureOpenAILLM, OpenAILLM
from support.openai_server import OpenAIServer, answer, failure, openai_server
from support.provider_server import Reply

KEY = SecretStr("secret-0123456789abcdef")


@pytest.fixture(autouse=True)
def server() -> Iterator[OpenAIServer]:
    with openai_server() as running:
        yield running


class TestOpenAILLM(LLMContract):
    @pytest.fixture(autouse=True)
    def point_at(self, server: OpenAIServer) -> None:
        self.url = server.url

    def make_llm(self) -> Any:
        return OpenAILLM(model="m", base_url=self.url, api_key=KEY)


class TestAzureOpenAILLM(LLMContract):
    @pytest.fixture(autouse=True)
    def point_at(self, server: OpenAIServer) -> None:
        self.root = server.root

    def make_llm(self) -> Any:
        return AzureOpenAILLM(model="m", azure_endpoint=self.root, api_version="v", api_key=KEY)


@task(inputs=["question"], outputs=["answer"])
def answering(row: Row) -> str:
    return str(row["question"])


def rows_of(llm: OpenAILLM, *, n: int) -> list[Row]:
    (rows,) = answering(llm=llm, num_generations=n).process([{"question": "Spain?"}])
    return rows


def test_answers_that_a_server_leaves_out_are_asked_for_again(server: OpenAIServer) -> None:
    server.script(answer("a", choices=1), answer("b", choices=1), answer("c"))
    rows = rows_of(OpenAILLM(model="m", base_url=server.url), n=3)
    assert [row["answer"] for row in rows] == ["a", "b", "c"]
    assert [sent.body.get("n", 1) for sent in server.requests] == [3, 2, 1]


def test_of_several_answers_only_the_refused_one_fails(server: OpenAIServer) -> None:
    refused = {"index": 0, "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}
    good = {"index": 1, "message": {"content": "yes"}, "finish_reason": "stop"}
    server.script(Reply(body={"choices": [refused, good]}), Reply(body={"choices": [refused]}))
    rows = rows_of(OpenAILLM(model="m", base_url=server.url), n=2)
    assert [row["answer"] for row in rows] == ["yes", None]
    assert rows[1]["distilabel_metadata"]["error_answering"]["type"] == "ContentFilteredError"


def test_a_rate_limit_is_waited_for(server: OpenAIServer) -> None:
    server.script(failure(429, headers={"retry-after-ms": "1"}), answer("Madrid"))
    rows = rows_of(OpenAILLM(model="m", base_url=server.url), n=1)
    assert [row["answer"] for row in rows] == ["Madrid"]


def test_the_backends_are_found_by_name() -> None:
    assert get_llm("openai") is OpenAILLM
    assert get_llm("azure-openai") is AzureOpenAILLM
