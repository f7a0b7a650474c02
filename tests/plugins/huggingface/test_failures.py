"""What goes wrong on the way, as typed errors: one request each, nothing asked again, no key in any of them."""

from __future__ import annotations

import asyncio
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
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import CHAT, failure
from support.provider_server import Reply, hang

from .server import HuggingFaceServer, huggingface_server

KEY = "hf_aSecretThatNobodyMaySee"


def _failure(server: HuggingFaceServer, reply: Reply) -> GenerationError:
    server.script(reply)
    return failure(InferenceEndpointsLLM(base_url=server.url, api_key=SecretStr(KEY)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, AuthenticationError),
        (403, AuthenticationError),
        (404, BadRequestError),
        (405, BadRequestError),
        (408, TransientError),
        (409, TransientError),
        (413, BadRequestError),
        (422, BadRequestError),
        (424, TransientError),
        (425, TransientError),
        (429, RateLimitError),
        (500, TransientError),
        (502, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
        (529, UnavailableError),
    ],
)
def test_a_status_becomes_its_error_after_one_request(
    tgi: HuggingFaceServer, status: int, kind: type[GenerationError]
) -> None:
    error = _failure(tgi, Reply(status=status, body={"error": "No."}))
    assert type(error) is kind
    assert f"answered {status}: No." in str(error)
    assert len(tgi.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_a_429_becomes_a_rate_limit_error_with_the_seconds_to_wait(
    tgi: HuggingFaceServer, headers: dict[str, str], seconds: float | None
) -> None:
    error = _failure(tgi, Reply(status=429, headers=headers))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_a_date_to_wait_for_becomes_seconds(tgi: HuggingFaceServer, zone: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True).replace("GMT", zone)
    error = _failure(tgi, Reply(status=503, headers={"retry-after": date}))
    assert isinstance(error, TransientError)
    assert error.retry_after == pytest.approx(600, abs=30)


def test_a_date_that_has_passed_is_no_time_to_wait(tgi: HuggingFaceServer) -> None:
    error = _failure(tgi, Reply(status=503, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    assert isinstance(error, TransientError)
    assert error.retry_after == 0.0


def test_a_model_that_is_loading_says_when_it_will_be_there(tgi: HuggingFaceServer) -> None:
    body = {"error": "Model org/model is currently loading", "estimated_time": 20.5}
    error = _failure(tgi, Reply(status=503, body=body))
    assert isinstance(error, TransientError)
    assert error.retry_after == 20.5
    assert "currently loading" in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"}),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3000"}),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you…"}),
        (400, {"error": {"code": "context_length_exceeded", "message": "Too long."}}),
        (400, {"error": {"type": "exceed_context_size_error", "message": "the request exceeds the context size"}}),
        (400, {"message": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."}),
    ],
)
def test_a_prompt_that_does_not_fit_is_a_context_length_error(
    tgi: HuggingFaceServer, status: int, body: dict[str, Any]
) -> None:
    assert isinstance(_failure(tgi, Reply(status=status, body=body)), ContextLengthError)


def test_a_prompt_that_the_policy_refuses_is_a_content_filtered_error(tgi: HuggingFaceServer) -> None:
    body = {"error": {"code": "content_filter", "message": "The prompt triggered our content policy."}}
    assert isinstance(_failure(tgi, Reply(status=400, body=body)), ContentFilteredError)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "one"}, ": one."),
        ({"error": ["one", "two"]}, ": one; two."),
        ({"error": {"message": "one", "code": "two"}}, ": one; two."),
        ({"message": "one"}, ": one."),
        ({"detail": [{"msg": "one"}, {"msg": "two"}]}, ": one; two."),
        ({"errors": [{"message": "one"}]}, ": one."),
        (["one"], ": one."),
        ("plain words", ": plain words."),
        ("<html><body>Bad gateway</body></html>", "answered 400."),
        ({}, "answered 400."),
    ],
)
def test_the_message_holds_what_the_server_says_in_whichever_shape(
    tgi: HuggingFaceServer, body: Any, words: str
) -> None:
    assert words in str(_failure(tgi, Reply(status=400, body=body)))


def test_a_long_message_is_cut(tgi: HuggingFaceServer) -> None:
    assert len(str(_failure(tgi, Reply(status=400, body="x" * 10_000)))) < 1_000


@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        (Reply(status=401), "HF_TOKEN"),
        (Reply(status=402), "settings/billing"),
        (Reply(status=403), "settings/tokens"),
        (Reply(status=403, body={"error": "Access to model x is restricted, it is gated."}), "accept its terms"),
        (Reply(status=403, headers={"x-error-code": "GatedRepo"}), "accept its terms"),
        (Reply(status=404), "served_model_name"),
    ],
)
def test_the_message_says_what_mends_it(tgi: HuggingFaceServer, reply: Reply, remedy: str) -> None:
    assert remedy in str(_failure(tgi, reply))


def test_a_redirect_that_leads_nowhere_is_an_error(tgi: HuggingFaceServer) -> None:
    assert isinstance(_failure(tgi, Reply(status=304)), BadRequestError)


def test_a_server_that_is_not_there_is_a_transient_error() -> None:
    with huggingface_server() as server:
        url = server.url
    error = failure(InferenceEndpointsLLM(base_url=url))
    assert isinstance(error, TransientError)
    assert f"The server at {url} could not be reached" in str(error)


def test_a_connection_that_breaks_is_a_transient_error(tgi: HuggingFaceServer) -> None:
    assert isinstance(_failure(tgi, Reply(drop="before")), UnavailableError)
    assert len(tgi.requests) == 1


def test_an_answer_that_does_not_come_in_time_is_a_transient_error(tgi: HuggingFaceServer) -> None:
    tgi.script(hang)
    error = failure(InferenceEndpointsLLM(base_url=tgi.url, timeout=0.2))
    assert isinstance(error, TransientError)
    assert "within 0.2 seconds" in str(error)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\ud800"])
def test_a_request_that_cannot_be_json_is_a_bad_request_and_unsent(tgi: HuggingFaceServer, value: object) -> None:
    messages: Any = [{"role": "user", "content": value}]
    error = failure(InferenceEndpointsLLM(base_url=tgi.url), messages)
    assert isinstance(error, BadRequestError)
    assert tgi.requests == []


def test_a_parameter_that_the_sdk_does_not_take_is_a_bad_request_and_unsent(tgi: HuggingFaceServer) -> None:
    error = failure(InferenceEndpointsLLM(base_url=tgi.url), parameters={"temprature": 1})
    assert isinstance(error, BadRequestError)
    assert "Did you mean `temperature`?" in str(error)
    assert tgi.requests == []


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize("key", [KEY, "sk-of-another-provider"])
def test_a_key_that_the_server_echoes_is_in_no_text_of_the_error(tgi: HuggingFaceServer, status: int, key: str) -> None:
    tgi.script(Reply(status=status, body={"error": f"Invalid token Bearer {key}"}))
    error = failure(InferenceEndpointsLLM(base_url=tgi.url, api_key=SecretStr(key)))
    assert "Invalid token" in str(error)
    assert key not in "".join(traceback.format_exception(error))
    assert key not in repr(error.__dict__)


def test_a_key_that_stands_in_an_answer_without_choices_is_taken_out(tgi: HuggingFaceServer) -> None:
    tgi.script({"error": "no quota for sk-of-another-provider"})
    error = failure(InferenceEndpointsLLM(base_url=tgi.url, api_key=SecretStr("sk-of-another-provider")))
    assert "sk-of" not in "".join(traceback.format_exception(error))


def test_one_request_that_fails_leaves_the_others_alone(tgi: HuggingFaceServer) -> None:
    from limbeck.types import GenerationRequest, GenerationResponse

    tgi.script(*["one", Reply(status=500), "three"])
    llm = InferenceEndpointsLLM(base_url=tgi.url)

    async def three() -> list[Any]:
        asked = [llm.agenerate(GenerationRequest(messages=CHAT)) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await llm.aclose()
        return answers

    kinds = [type(answer) for answer in asyncio.run(three())]
    assert sorted(kinds, key=lambda kind: kind.__name__) == [GenerationResponse, GenerationResponse, TransientError]
