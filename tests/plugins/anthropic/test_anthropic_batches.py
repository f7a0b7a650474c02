"""Message Batches: what is submitted, how a batch is found again without a mark, and how its results are read."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BackendError,
    BadRequestError,
    BatchError,
    GenerationError,
    TransientError,
)
from limbeck.testing import BatchContract
from limbeck.types import BatchSearch, BatchStatus, GenerationResponse
from limbeck_anthropic import AnthropicLLM
from support.anthropic_batches import anthropic_batch_server
from support.anthropic_server import Answer
from support.asking import request
from support.batch_calls import TOKEN, alone, ended, entries_of, found, intent_of, results_of, submitted
from support.batch_desk import Filed, prompt_of
from support.questions import Ask, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.anthropic_server import AnthropicServer


def llm_of(server: AnthropicServer, **fields: Any) -> AnthropicLLM:
    return AnthropicLLM(**{"model": "m", "base_url": server.url, "api_key": "key-1234567890", **fields})


class TestAnthropicLLM(BatchContract):
    @pytest.fixture(autouse=True)
    def point_at_a_server(self) -> Iterator[None]:
        with anthropic_batch_server() as (self.server, self.desk):
            self.desk.polls_needed = 1
            yield

    def make_llm(self) -> Any:
        return llm_of(self.server)


# What is sent


def test_an_entry_has_the_body_of_the_request_that_would_be_sent_online() -> None:
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server, generation_kwargs={"extra_body": {"top_k": 3}})
        asked = request("hi", output_schema={"type": "object", "properties": {"a": {"type": "string"}}})
        entry = json.loads(llm.encode_batch_entry("t-0", asked))
    assert entry["params"].pop("output_config")["format"]["type"] == "json_schema"
    assert entry == {
        "custom_id": "t-0",
        "params": {
            "model": "m",
            "max_tokens": 64_000,
            "messages": [{"role": "user", "content": "hi"}],
            "top_k": 3,
        },
    }


def test_an_entry_is_never_a_stream() -> None:
    llm = AnthropicLLM(model="m", api_key=SecretStr("k"), stream=True)
    assert "stream" not in json.loads(llm.encode_batch_entry("t-0", request("hi")))["params"]


def test_a_request_that_json_cannot_hold_is_a_bad_request() -> None:
    llm = AnthropicLLM(model="m", api_key=SecretStr("k"))
    with pytest.raises(BadRequestError, match="could not be written"):
        llm.encode_batch_entry("t-0", request("\ud800"))


def test_a_batch_is_submitted_as_one_request_with_all_entries() -> None:
    with anthropic_batch_server() as (server, desk):
        submitted(llm_of(server), "hi", "ho")
    assert [list(filed.entries) for filed in desk.filed] == [[f"{TOKEN}-0", f"{TOKEN}-1"]]
    assert desk.filed[0].prompts == ["hi", "ho"]


# Results


def test_an_answer_is_read_as_it_is_online() -> None:
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server)
        batched = ended(llm, "hello there")["0"]
        server.script(Answer("echo: hello there"))
        online = alone(lambda: llm.agenerate(request("hello there")), llm)
    assert batched == replace(online, quota=None)


def test_every_entry_without_an_answer_has_an_error_of_its_kind_but_a_missing_one() -> None:
    with anthropic_batch_server() as (server, desk):
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
    with anthropic_batch_server() as (server, desk):
        desk.polls_needed = 1
        llm = llm_of(server)
        id = submitted(llm, "hi")
        assert alone(lambda: llm.poll_batch(id), llm) == BatchStatus(state="running", done=None)
        assert alone(lambda: llm.poll_batch(id), llm) == BatchStatus(state="ended", done=1)


def test_a_cancelled_batch_gives_what_it_has() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.polls_needed = 99
        llm = llm_of(server)
        id = submitted(llm, "hi")
        alone(lambda: llm.cancel_batch(id), llm)
        assert alone(lambda: llm.poll_batch(id), llm).state == "ended"
        (result,) = alone(lambda: results_of(llm, id), llm).values()
    assert isinstance(result, BackendError)


def test_a_connection_that_is_cut_while_results_are_read_is_a_transient_error() -> None:
    with anthropic_batch_server() as (server, desk):
        llm = llm_of(server)
        desk.cuts_results_after = 1
        with pytest.raises(TransientError, match="The connection to"):
            ended(llm, "a", "b", "c")


# Failures


def test_a_server_without_a_batch_api_is_named() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.closed = True
        with pytest.raises(BadRequestError, match="answered 404: there are no Message Batches"):
            submitted(llm_of(server), "hi")


def test_an_unknown_batch_is_named() -> None:
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server)
        with pytest.raises(BadRequestError, match="it knows no batch 'batch_9' of this workspace"):
            alone(lambda: llm.poll_batch("batch_9"), llm)


def test_a_refused_key_stands_in_no_message() -> None:
    with anthropic_batch_server(api_key="another") as (server, _), pytest.raises(AuthenticationError) as caught:
        submitted(llm_of(server), "hi")
    assert "key-1234567890" not in str(caught.value)


# Finding a batch again


def test_a_batch_that_has_ended_is_found_by_the_custom_ids_of_its_results() -> None:
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server)
        id = submitted(llm, "hi")
        entries = entries_of(llm, "ho", token="f" * 32)
        other = alone(lambda: llm.submit_batch(entries, intent_of(entries)), llm)
        for each in (id, other):
            alone(partial(llm.poll_batch, each), llm)
        assert found(llm, intent_of(entries)) == BatchSearch(id=id)
        assert found(llm, intent_of(entries, token="e" * 32)) == BatchSearch()


def test_it_is_undecided_while_a_batch_of_the_same_size_is_in_progress() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.polls_needed = 1
        llm = llm_of(server)
        id = submitted(llm, "hi")
        assert found(llm, intent_of([b""])) == BatchSearch(decided=False)
        for _ in range(2):
            alone(lambda: llm.poll_batch(id), llm)
        assert found(llm, intent_of([b""])) == BatchSearch(id=id)


def test_batches_of_another_size_or_time_or_that_are_known_need_not_be_waited_for() -> None:
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server)
        id = submitted(llm, "hi")
        intent = intent_of([b""])
        assert found(llm, replace(intent, requests=2)) == BatchSearch()
        assert found(llm, replace(intent, at=intent.at + 7200)) == BatchSearch()
        assert found(llm, replace(intent, at=intent.at - 10_000)) == BatchSearch()
        assert found(llm, replace(intent, known=frozenset({id}))) == BatchSearch()


def test_the_search_goes_on_over_further_pages() -> None:
    with anthropic_batch_server() as (server, desk):
        llm = llm_of(server)
        id = submitted(llm, "hi")
        alone(lambda: llm.poll_batch(id), llm)
        others = {name: {"messages": [{"content": name}]} for name in ("x", "y")}
        desk.filed += [Filed(f"other_{number}", others, time.time()) for number in range(1500)]
        assert found(llm, intent_of([b""])).id == id


def test_a_reply_that_is_lost_is_a_transient_error() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.loses_reply = True
        with pytest.raises(TransientError):
            submitted(llm_of(server), "hi")
        assert len(desk.filed) == 1


def test_a_batch_whose_results_are_gone_is_said_to_be_so() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.polls_needed = 99
        llm = llm_of(server)
        id = submitted(llm, "hi")
        with pytest.raises(BadRequestError, match=r"has no results of 'msgbatch_1' any more: .* 29 days"):
            alone(lambda: results_of(llm, id), llm)


def test_a_reply_that_is_a_web_page_leaves_open_whether_the_batch_was_accepted() -> None:
    with anthropic_batch_server() as (server, desk):
        desk.garbles_reply = True
        with pytest.raises(TransientError, match="answered with something that is no"):
            submitted(llm_of(server), "hi")
        assert len(desk.filed) == 1


# Through a task


def test_a_task_in_batch_mode_gives_what_it_gives_online(tmp_path: Path) -> None:
    with anthropic_batch_server() as (server, desk):
        fast = {"batch_poll_seconds": 0.01, "batch_gather_seconds": 0.01}
        online = Ask(llm=llm_of(server))
        batched = Ask(llm=llm_of(server, mode="batch", **fast))
        server.script(*[lambda seen: Answer(f"echo: {prompt_of(seen.body)}")] * 20)
        expected = list(online.run(questions(20), run_dir=tmp_path / "online"))
        assert list(batched.run(questions(20), run_dir=tmp_path / "batch")) == expected
        assert sum(desk.submitted.values()) == 20


def test_a_task_whose_server_has_no_batch_api_stops_with_the_remedy(tmp_path: Path) -> None:
    with anthropic_batch_server() as (server, desk):
        desk.closed = True
        llm = llm_of(server, mode="batch", batch_gather_seconds=0.01)
        with pytest.raises(BatchError, match=r'there are no Message Batches at this address.*set `mode="online"`'):
            list(Ask(llm=llm).run(questions(2), run_dir=tmp_path))


# The stand-in itself


PARAMS = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
GOOD = {"custom_id": "a", "params": PARAMS}


def raw_results(*entries: dict[str, Any]) -> dict[str, GenerationResponse | GenerationError]:
    """The results of a batch with these entries, whoever would write them."""
    with anthropic_batch_server() as (server, _):
        llm = llm_of(server)

        async def scene() -> Any:
            lines = [json.dumps(entry).encode() for entry in entries]
            id = await llm.submit_batch(lines, intent_of(lines))
            await llm.poll_batch(id)
            return await results_of(llm, id)

        results: dict[str, GenerationResponse | GenerationError] = alone(scene, llm)
        return results


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([], "requests"),
        ([GOOD, GOOD], "unique"),
        ([{**GOOD, "custom_id": "a b"}], "custom_id"),
        ([{**GOOD, "extra": 1}], "custom_id"),
    ],
    ids=str,
)
def test_a_batch_that_the_service_would_refuse_is_refused(entries: list[dict[str, Any]], word: str) -> None:
    with pytest.raises(BadRequestError, match=word):
        raw_results(*entries)


@pytest.mark.parametrize("fault", [{"stream": True}, {"max_tokens": 0}, {"temprature": 1}], ids=str)
def test_an_entry_that_the_service_would_refuse_is_errored_alone(fault: dict[str, Any]) -> None:
    bad = {"custom_id": "b", "params": {**PARAMS, "messages": [{"role": "user", "content": "ho"}], **fault}}
    results = raw_results(GOOD, bad)
    assert isinstance(results["a"], GenerationResponse)
    assert isinstance(results["b"], BadRequestError)
