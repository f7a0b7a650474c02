"""Which typed error each failure of a chat-completions server becomes, and what it may not show."""

from __future__ import annotations

import logging
import pickle
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    GenerationError,
    RateLimitError,
    TransientError,
    UnavailableError,
)
from limbeck.types import Usage
from limbeck_openai import OpenAILLM
from support.asking import ask, failure
from support.openai_server import answer, context_too_long, openai_server, unauthorized
from support.openai_server import failure as refusal
from support.provider_server import Behaviour, Reply, hang

KEY = "secret-0123456789abcdef"


def llm_at(url: str, **fields: Any) -> OpenAILLM:
    return OpenAILLM(model="m", base_url=url, **{"api_key": KEY, **fields})


def failure_at(behaviour: Behaviour, **fields: Any) -> GenerationError:
    """What the first request to a server that behaves so fails with."""
    with openai_server(behaviour) as server:
        return failure(llm_at(server.url, **fields))


# Rates


def rate_limited(*, retry_after: str | None = None, retry_after_ms: str | None = None) -> Reply:
    """A 429, with the waits that are given as headers."""
    waits = {"Retry-After": retry_after, "retry-after-ms": retry_after_ms}
    headers = {name: value for name, value in waits.items() if value is not None}
    return refusal(
        429, "Rate limit reached for requests.", code="rate_limit_exceeded", type="requests", headers=headers
    )


def out_of_quota() -> Reply:
    """The 429 that no waiting mends."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return refusal(429, message, code="insufficient_quota", type="insufficient_quota")


def prompt_filtered() -> Reply:
    """Azure's 400 for a prompt that its filter stops."""
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    return refusal(400, message, code="content_filter", param="prompt")


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "9", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_a_429_becomes_a_rate_limit_error_with_the_seconds_to_wait(
    waits: dict[str, str], seconds: float | None
) -> None:
    error = failure_at(rate_limited(**waits))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


def test_a_429_with_a_date_becomes_a_rate_limit_error_with_the_seconds_until_then() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    error = failure_at(rate_limited(retry_after=date))
    assert isinstance(error, RateLimitError)
    assert error.retry_after is not None
    assert 540 < error.retry_after <= 600


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
def test_a_date_without_a_zone_is_meant_in_utc_wherever_the_client_is(monkeypatch: pytest.MonkeyPatch) -> None:
    date = time.asctime(time.gmtime(time.time() + 600))  # the old form of an HTTP date
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            error = failure_at(rate_limited(retry_after=date))
    finally:
        time.tzset()  # to the zone of the environment again
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(600, abs=60)


def test_a_429_with_a_date_in_the_past_asks_for_no_wait() -> None:
    error = failure_at(rate_limited(retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 0.0


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("2m59.5s", 179.5),
        ("1h", 3600.0),
        ("59", 59.0),
        ("1790000000", None),
        ("", None),
    ],
)
def test_a_refusal_says_what_is_left_of_the_allowance_and_when_it_is_full_again(
    reset: str, seconds: float | None
) -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "X-RateLimit-Reset-Tokens": reset}
    error = failure_at(refusal(429, "Too fast.", headers=headers))
    assert error.quota is not None
    assert (error.quota.tokens_remaining, error.quota.requests_remaining) == (0, None)
    assert error.quota.tokens_reset == (seconds if seconds is None else pytest.approx(seconds))


def test_a_refusal_without_such_headers_says_nothing_of_an_allowance() -> None:
    assert failure_at(rate_limited()).quota is None


def test_an_exhausted_quota_stops_the_run_since_waiting_does_not_mend_it() -> None:
    error = failure_at(out_of_quota())
    assert isinstance(error, AuthenticationError)
    assert "credit" in str(error)


def test_a_402_of_a_prepaid_server_stops_the_run() -> None:
    assert isinstance(failure_at(refusal(402, "Insufficient Balance")), AuthenticationError)


def test_a_request_larger_than_the_tokens_per_minute_is_never_asked_again() -> None:
    message = "Request too large for m in organization o on tokens per min (TPM): Limit 30000, Requested 30601."
    error = failure_at(refusal(429, message, code="rate_limit_exceeded", type="tokens"))
    assert type(error) is BadRequestError


# Faults that pass


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 520, 524, 527, 528, 529, 530])
def test_a_servers_own_fault_is_transient(status: int) -> None:
    error = failure_at(refusal(status, "Overloaded."))
    assert type(error) is (UnavailableError if status in (502, 503, 504, 520, 524, 527, 529, 530) else TransientError)
    assert f"{status}: Overloaded." in str(error)


def test_a_transient_error_keeps_the_seconds_that_the_server_asks_for() -> None:
    error = failure_at(refusal(503, headers={"Retry-After": "7"}))
    assert isinstance(error, TransientError)
    assert error.retry_after == 7.0


def test_a_server_that_does_not_answer_in_time_is_transient() -> None:
    error = failure_at(hang, timeout=0.2)
    assert type(error) is TransientError
    assert "Timeout" in str(error)


def test_a_dropped_connection_is_transient_and_called_what_it_is() -> None:
    error = failure_at(Reply(drop="before"))
    assert isinstance(error, UnavailableError)
    assert "Server disconnected" in str(error)


def test_a_refused_connection_is_transient_and_called_what_it_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    error = failure(llm_at(f"http://{address}/v1"))
    assert isinstance(error, UnavailableError)
    assert address in str(error)
    assert "Connect call failed" in str(error)


@pytest.mark.parametrize(
    "behaviour",
    [
        Reply(body='{"choices": ['),
        Reply(body="<html>Bad gateway</html>", content_type="text/html"),
        Reply(body={"choices": []}),
        Reply(body={"choices": None}),
        Reply(body={}),
        Reply(body=[]),
        Reply(body={"choices": [{"index": 0}]}),
        Reply(body={"choices": [{"index": 0, "message": {"content": "ye"}, "finish_reason": "error"}]}),
        Reply(body={"error": {"message": "Upstream failed."}}),
    ],
    ids=["half JSON", "HTML", "no choices", "null", "nothing", "a list", "no message", "broken off", "error"],
)
def test_a_success_without_an_answer_in_it_is_transient(behaviour: Behaviour) -> None:
    assert isinstance(failure_at(behaviour), TransientError)


def test_an_error_inside_a_success_is_what_its_code_says() -> None:
    assert isinstance(failure_at(Reply(body={"error": {"message": "Slow down.", "code": 429}})), RateLimitError)


# Faults that last


def test_a_401_is_an_authentication_error() -> None:
    assert isinstance(failure_at(unauthorized), AuthenticationError)


def test_a_403_is_an_authentication_error() -> None:
    assert isinstance(failure_at(refusal(403, "Country not supported.")), AuthenticationError)


def test_a_403_of_a_moderator_concerns_the_one_prompt() -> None:
    assert isinstance(failure_at(refusal(403, "Your input was flagged.")), ContentFilteredError)


def test_a_404_names_the_model_and_doubts_the_base_url() -> None:
    error = failure_at(refusal(404, "The model `m` does not exist.", code="model_not_found"))
    assert type(error) is BadRequestError
    assert "'m'" in str(error)
    assert "`base_url`" in str(error)


def test_a_request_that_the_server_finds_wrong_is_a_bad_request() -> None:
    with openai_server() as server:
        error = failure(llm_at(server.url), parameters={"temperature": 3})
    assert type(error) is BadRequestError
    assert "temperature" in str(error)


def test_a_server_that_refuses_n_gets_a_remedy() -> None:
    error = failure_at(refusal(400, "'n' must be 1.", param="n"))
    assert type(error) is BadRequestError
    assert "`max_choices=1`" in str(error)


def test_a_422_in_the_form_of_fastapi_is_a_bad_request_that_is_not_endless() -> None:
    error = failure_at(Reply(body={"detail": [{"msg": "bad", "input": "x" * 10_000}]}, status=422))
    assert type(error) is BadRequestError
    assert "bad" in str(error)
    assert len(str(error)) < 1000


def test_a_request_that_is_no_json_is_a_bad_request_and_not_sent() -> None:
    with openai_server() as server:
        error = failure(llm_at(server.url), parameters={"metadata": object()})
    assert type(error) is BadRequestError
    assert server.requests == []


def test_a_prompt_beyond_the_context_is_a_context_length_error() -> None:
    assert isinstance(failure_at(context_too_long()), ContextLengthError)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, {"object": "error", "message": "This model's maximum context length is 6048 tokens.", "code": 400}),
        (400, {"error": {"message": "The decoder prompt (length 9) is longer than the maximum model length of 8."}}),
        (400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "x"}}),
        (400, {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error"}}),
        (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}),
        (400, {"message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."}),
        (413, {"error": {"message": "Please reduce the length of the messages."}}),
    ],
    ids=["vLLM", "vLLM's other", "llama.cpp", "llama.cpp's type", "TGI", "SGLang", "a gateway"],
)
def test_compatible_servers_words_for_a_full_context_are_understood(status: int, payload: dict[str, Any]) -> None:
    assert isinstance(failure_at(Reply(body=payload, status=status)), ContextLengthError)


def test_a_limit_on_the_answer_is_not_taken_for_a_full_context() -> None:
    message = "max_tokens is too large: 200000. This model supports at most 16384 completion tokens."
    assert type(failure_at(refusal(400, message, param="max_tokens"))) is BadRequestError


def test_a_filtered_prompt_is_a_content_filtered_error() -> None:
    assert isinstance(failure_at(prompt_filtered()), ContentFilteredError)


@pytest.mark.parametrize(
    "behaviour",
    [
        refusal(
            400, "Invalid prompt: it was flagged as potentially violating our usage policy.", code="invalid_prompt"
        ),
        refusal(400, "Content Exists Risk"),
        Reply(body={"error": {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, status=400),
    ],
    ids=["OpenAI", "DeepSeek", "Azure"],
)
def test_other_words_for_a_filtered_prompt_are_understood(behaviour: Behaviour) -> None:
    assert isinstance(failure_at(behaviour), ContentFilteredError)


def test_an_answer_that_a_filter_emptied_is_a_content_filtered_error() -> None:
    error = failure_at(answer(None, finish_reason="content_filter"))
    assert isinstance(error, ContentFilteredError)
    assert error.raw is None


def test_a_refusal_is_a_content_filtered_error_that_keeps_the_models_words() -> None:
    error = failure_at(answer(None, refusal="I will not."))
    assert isinstance(error, ContentFilteredError)
    assert error.raw == "I will not."


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (answer(None, refusal="I will not."), ContentFilteredError),
        (answer(None, finish_reason="content_filter"), ContentFilteredError),
        (answer("Half", finish_reason="error"), TransientError),
        (answer(choices=0), TransientError),
    ],
    ids=["a refusal", "an emptied answer", "an answer that broke off", "no choices"],
)
def test_a_response_that_is_no_answer_has_the_tokens_it_took_and_the_models_name(
    behaviour: Behaviour, kind: type[GenerationError]
) -> None:
    with openai_server(behaviour) as server:
        error = failure(llm_at(server.url), "What is the capital of Spain?")
    assert type(error) is kind
    assert error.usage is not None
    assert error.usage.input_tokens == 6
    assert str(error.model).startswith("m-")


def test_an_error_inside_a_200_has_the_tokens_it_took() -> None:
    error = failure_at(Reply(body={"error": {"message": "Broken."}, "usage": {"prompt_tokens": 7}, "model": "m-2"}))
    assert (error.usage, error.model) == (Usage(input_tokens=7), "m-2")


def test_a_request_that_was_refused_took_nothing() -> None:
    error = failure_at(prompt_filtered())
    assert (error.usage, error.model) == (None, None)


# Secrets

ECHOES = {
    "401": unauthorized,
    "500": refusal(500, f"panic with headers {{'Authorization': 'Bearer {KEY}'}}"),
    "400": refusal(400, f"unknown key {KEY}"),
    "not JSON": Reply(body=f"<html>{KEY}</html>"),
    "error in a success": Reply(body={"error": {"message": KEY, "code": 401}}),
    "plain text": Reply(body=f"no {KEY}", status=403, content_type="text/plain"),
    "at the cut of a long message": refusal(400, "x" * 490 + KEY),
    "at the cut of a long body": Reply(body="x" * 190 + KEY),
    "refusal": answer(None, refusal="no", finish_reason="stop"),
}


@pytest.mark.parametrize("behaviour", ECHOES.values(), ids=ECHOES.keys())
def test_no_error_shows_the_key(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = failure_at(behaviour)
    shown = "".join([str(error), repr(error), *traceback.format_exception(error), caplog.text])
    assert KEY[:10] not in shown
    assert KEY.encode() not in pickle.dumps(error)


def test_a_cause_that_would_show_the_key_is_left_out() -> None:
    error = failure_at(unauthorized)
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_cause_that_shows_no_key_is_kept() -> None:
    error = failure_at(rate_limited())
    assert type(error.__cause__).__module__.startswith("openai")


def test_a_key_of_openais_form_is_not_shown_either_when_it_is_half_masked() -> None:
    error = failure_at(refusal(401, "Incorrect API key provided: sk-proj-abc***wxyz."))
    assert "abc***" not in str(error)
    assert "[redacted]" in str(error)


def test_a_key_is_in_no_representation_of_the_backend() -> None:
    llm = OpenAILLM(model="m", api_key=SecretStr(KEY))
    assert KEY not in "".join([repr(llm), str(llm), llm.model_dump_json(), repr(llm.identity)])


def test_after_a_failure_the_same_backend_answers() -> None:
    with openai_server(Reply(drop="before"), answer("Madrid")) as server:
        llm = llm_at(server.url)
        failure(llm)
        assert ask(llm).generations[0].text == "Madrid"
