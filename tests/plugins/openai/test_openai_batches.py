"""The Batch API: what is uploaded, how a batch is found again, and how its results are read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BackendError,
    BadRequestError,
    BatchError,
    ConfigurationError,
    RateLimitError,
    TransientError,
)
from limbeck.testing import BatchContract
from limbeck.types import BatchSearch, BatchStatus, GenerationResponse
from limbeck_openai import AzureOpenAILLM, OpenAILLM
from support.asking import request
from support.batch_calls import TOKEN, alone, ended, entries_of, found, intent_of, results_of, submitted
from support.openai_batches import openai_batch_server
from support.questions import Ask, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.openai_server import OpenAIServer


def llm_of(server: OpenAIServer, **fields: Any) -> OpenAILLM:
    return OpenAILLM(**{"model": "m", "base_url": server.url, "api_key": "key-1234567890", **fields})


class TestOpenAILLM(BatchContract):
    @pytest.fixture(autouse=True)
    def point_at_a_server(self) -> Iterator[None]:
        with openai_batch_server() as (self.server, self.desk):
            self.desk.polls_needed = 1
            yield

    def make_llm(self) -> Any:
        return llm_of(self.server)


# What is sent


def test_an_entry_has_the_body_of_the_request_that_would_be_sent_online() -> None:
    with openai_batch_server() as (server, _):
        llm = llm_of(server, generation_kwargs={"temperature": 0.5, "extra_body": {"top_k": 3}})
        asked = request("hi", num_generations=2, output_schema={"type": "object", "properties": {}})
        entry = json.loads(llm.encode_batch_entry("t-0", asked))
    assert entry["body"].pop("response_format")["type"] == "json_schema"
    assert entry == {
        "custom_id": "t-0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "temperature": 0.5,
            "top_k": 3,
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "n": 2,
        },
    }


def test_an_entry_holds_no_character_at_which_somebody_might_end_the_line() -> None:
    text = "a\u2028b\u2029c\x85d\ne"
    entry = OpenAILLM(model="m", api_key=SecretStr("k")).encode_batch_entry("t-0", request(text))
    assert len(entry.decode().splitlines()) == 1
    assert json.loads(entry)["body"]["messages"][0]["content"] == text


def test_a_request_that_json_cannot_hold_is_a_bad_request() -> None:
    llm = OpenAILLM(model="m", api_key=SecretStr("k"))
    for text in ("\ud800", float("nan")):
        with pytest.raises(BadRequestError, match="could not be written"):
            llm.encode_batch_entry("t-0", request(text))  # type: ignore[arg-type]  # on purpose


def test_a_batch_is_submitted_with_its_mark_as_metadata() -> None:
    with openai_batch_server() as (server, desk):
        submitted(llm_of(server), "hi", "ho")
    assert [(filed.prompts, filed.mark) for filed in desk.filed] == [(["hi", "ho"], {"limbeck_batch": TOKEN})]


def test_extra_headers_go_with_every_call() -> None:
    with openai_batch_server(api_key="other") as (server, desk):
        headers = {"x-team": "a"}
        llm = llm_of(server, api_key="other", generation_kwargs={"extra_headers": headers})
        assert list(ended(llm, "hi")) == ["0"]
    assert desk.submitted == {"hi": 1}


# Results


def test_an_answer_is_read_as_it_is_online() -> None:
    with openai_batch_server() as (server, _):
        llm = llm_of(server)
        batched = ended(llm, "hello there")["0"]
        online = alone(lambda: llm.agenerate(request("hello there")), llm)
    assert isinstance(batched, GenerationResponse)
    assert batched == replace(online, quota=None)


def test_every_entry_without_an_answer_has_an_error_of_its_kind_but_a_missing_one() -> None:
    with openai_batch_server() as (server, desk):
        desk.fates = {"a": ["faulty"], "b": ["refused"], "c": ["expired"], "d": ["missing"], "e": ["cancelled"]}
        results = ended(llm_of(server), "a", "b", "c", "d", "e", "f")
    assert {number: type(result) for number, result in results.items()} == {
        "0": TransientError,
        "1": BadRequestError,
        "2": TransientError,
        "4": BackendError,
        "5": GenerationResponse,
    }


def test_a_batch_is_running_until_it_has_ended() -> None:
    with openai_batch_server() as (server, desk):
        desk.polls_needed = 1
        llm = llm_of(server)
        id = submitted(llm, "hi")
        assert alone(lambda: llm.poll_batch(id), llm) == BatchStatus(state="running", done=0)
        assert alone(lambda: llm.poll_batch(id), llm) == BatchStatus(state="ended", done=1)


def test_a_cancelled_batch_gives_what_it_has() -> None:
    with openai_batch_server() as (server, desk):
        desk.polls_needed = 99
        llm = llm_of(server)
        id = submitted(llm, "hi")
        alone(lambda: llm.cancel_batch(id), llm)
        assert alone(lambda: llm.poll_batch(id), llm).state == "ended"
        (result,) = alone(lambda: results_of(llm, id), llm).values()
    assert isinstance(result, BackendError)


def test_a_connection_that_is_cut_while_results_are_read_is_a_transient_error() -> None:
    with openai_batch_server() as (server, desk):
        llm = llm_of(server)
        desk.cuts_results_after = 1
        with pytest.raises(TransientError, match="No answer from"):
            ended(llm, "a", "b", "c")


# Failures


def test_a_fault_in_the_input_file_fails_the_batch_with_its_line() -> None:
    with openai_batch_server() as (server, _):
        llm = llm_of(server, generation_kwargs={"extra_body": {"temprature": 1}})
        id = submitted(llm, "hi")
        status = alone(lambda: llm.poll_batch(id), llm)
    assert status.state == "failed"
    assert isinstance(status.error, BadRequestError)
    assert str(status.error) == "line 1: Unknown parameter: 'temprature'."


def test_a_full_queue_is_told_from_other_reasons() -> None:
    with openai_batch_server() as (server, desk):
        desk.fails_whole = ("token_limit_exceeded", "Enqueued token limit reached for m. Limit: 2,000,000.")
        llm = llm_of(server)
        id = submitted(llm, "hi")
        status = alone(lambda: llm.poll_batch(id), llm)
    assert isinstance(status.error, RateLimitError)
    assert "Enqueued token limit reached" in str(status.error)


def test_a_server_without_a_batch_api_is_named() -> None:
    with openai_batch_server() as (server, desk):
        desk.closed = True
        with pytest.raises(BadRequestError, match=r"127.0.0.1:\d+ answered 404: there is no batch API"):
            submitted(llm_of(server), "hi")


def test_an_unknown_batch_is_named() -> None:
    with openai_batch_server() as (server, _):
        llm = llm_of(server)
        with pytest.raises(BadRequestError, match="it knows no batch 'batch_9' of this account"):
            alone(lambda: llm.poll_batch("batch_9"), llm)


def test_a_refused_key_stands_in_no_message() -> None:
    with openai_batch_server(api_key="another") as (server, _), pytest.raises(AuthenticationError) as caught:
        submitted(llm_of(server), "hi")
    assert "key-1234567890" not in str(caught.value)


# Finding a batch again


def test_a_batch_is_found_by_its_mark_among_others_on_further_pages() -> None:
    with openai_batch_server() as (server, desk):
        llm = llm_of(server)
        id = submitted(llm, "hi")
        entries = entries_of(llm, "ho")

        async def more() -> None:
            for number in range(120):
                await llm.submit_batch(entries, intent_of(entries, token=f"{number:032x}"))

        alone(more, llm)
        assert found(llm, intent_of(entries)) == BatchSearch(id=id)
        assert len(desk.filed) == 121


def test_a_batch_that_was_never_accepted_is_not_found() -> None:
    with openai_batch_server() as (server, _):
        llm = llm_of(server)
        submitted(llm, "hi")
        assert found(llm, intent_of([b""], token="f" * 32)) == BatchSearch()


def test_a_reply_that_is_lost_is_a_transient_error_and_the_batch_can_be_found() -> None:
    with openai_batch_server() as (server, desk):
        desk.loses_reply = True
        llm = llm_of(server)
        with pytest.raises(TransientError):
            submitted(llm, "hi")
        assert found(llm, intent_of([b""])).id == desk.filed[0].id


def test_a_reply_that_is_a_web_page_leaves_open_whether_the_batch_was_accepted() -> None:
    with openai_batch_server() as (server, desk):
        desk.garbles_reply = True
        with pytest.raises(TransientError, match="answered with something that is no"):
            submitted(llm_of(server), "hi")
        assert len(desk.filed) == 1


# Through a task


def test_a_task_in_batch_mode_gives_what_it_gives_online(tmp_path: Path) -> None:
    with openai_batch_server() as (server, desk):
        fast = {"batch_poll_seconds": 0.01, "batch_gather_seconds": 0.01}
        online = Ask(llm=llm_of(server), num_generations=2)
        batched = Ask(llm=llm_of(server, mode="batch", **fast), num_generations=2)
        expected = list(online.run(questions(20), run_dir=tmp_path / "online"))
        assert list(batched.run(questions(20), run_dir=tmp_path / "batch")) == expected
        assert sum(desk.submitted.values()) == 20


def test_a_task_whose_server_has_no_batch_api_stops_with_the_remedy(tmp_path: Path) -> None:
    with openai_batch_server() as (server, desk):
        desk.closed = True
        llm = llm_of(server, mode="batch", batch_gather_seconds=0.01)
        with pytest.raises(BatchError, match=r'there is no batch API at this address.*set `mode="online"`'):
            list(Ask(llm=llm).run(questions(2), run_dir=tmp_path))


def test_azure_deployments_have_no_batches() -> None:
    with pytest.raises(ConfigurationError, match="has no provider batches"):
        AzureOpenAILLM(model="m", mode="batch")


# The stand-in itself


def raw_submission(*entries: dict[str, Any]) -> BatchStatus:
    """What becomes of a batch with these lines, whoever would write them."""
    with openai_batch_server() as (server, _):
        llm = llm_of(server)
        lines = [json.dumps(entry).encode() for entry in entries]
        id = str(alone(lambda: llm.submit_batch(lines, intent_of(lines)), llm))
        status: BatchStatus = alone(lambda: llm.poll_batch(id), llm)
        return status


GOOD = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
}


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([], "0 lines"),
        ([GOOD, GOOD], "line 2: The custom_id for this request is a duplicate"),
        ([{**GOOD, "url": "/v1/embeddings"}], "for the batch's endpoint"),
        ([{**GOOD, "extra": 1}], "A line needs"),
        ([{**GOOD, "body": {"model": "m", "messages": []}}], "empty array"),
    ],
    ids=str,
)
def test_an_input_file_that_the_service_would_fail_is_failed(entries: list[dict[str, Any]], word: str) -> None:
    status = raw_submission(*entries)
    assert status.state == "failed"
    assert word in str(status.error)


def test_a_good_input_file_is_processed() -> None:
    assert raw_submission(GOOD).state == "ended"
