"""Every failure becomes the error that says what to do about it, and none shows the key."""

from __future__ import annotations

import json
import socket
import time
import traceback
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

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
from support.anthropic_server import AnthropicServer, anthropic_server, failure
from support.provider_server import Asked, Behaviour, Reply, hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import GenerationResponse


def error_for(ask: Callable[..., GenerationResponse], script: Behaviour, **fields: Any) -> GenerationError:
    with anthropic_server(script) as server:
        with pytest.raises(GenerationError) as caught:
            ask(server, **fields)
        assert len(server.requests) == 1, "a provider sends a request once"
    return caught.value


def rate_limited(**headers: str) -> Reply:
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(429, "rate_limit_error", "This would exceed your rate limit.", dashed)


# Refused for now


def test_a_429_becomes_a_rate_limit_error_with_the_seconds_to_wait(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, rate_limited(retry_after="3"))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 3.0
    assert "429 (rate_limit_error): This would exceed your rate limit [request req_loopback]." in str(error)


def test_milliseconds_to_wait_come_before_seconds(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, rate_limited(retry_after_ms="250", retry_after="9"))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 0.25


def test_a_date_to_wait_for_becomes_seconds(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, rate_limited(retry_after=formatdate(time.time() + 3600, usegmt=True)))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(3600, abs=30)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
def test_a_date_without_a_zone_is_meant_in_utc_wherever_the_client_is(
    ask: Callable[..., GenerationResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    date = time.asctime(time.gmtime(time.time() + 600))  # the old form of an HTTP date
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            error = error_for(ask, rate_limited(retry_after=date))
    finally:
        time.tzset()  # to the zone of the environment again
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(600, abs=60)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("-5", 0.0), ("soon", None), ("nan", None), ("inf", None), ("Thu, 01 Jan 2015 00:00:00 GMT", 0.0)],
)
def test_a_wait_that_makes_no_sense_is_no_wait(
    ask: Callable[..., GenerationResponse], header: str, seconds: float | None
) -> None:
    error = error_for(ask, rate_limited(retry_after=header))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


def test_a_429_without_a_header_says_no_wait(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, rate_limited())
    assert isinstance(error, RateLimitError)
    assert error.retry_after is None


def test_a_429_tells_what_is_left(ask: Callable[..., GenerationResponse]) -> None:
    odd = {"anthropic_ratelimit_tokens_remaining": "9" * 5000, "anthropic_ratelimit_tokens_reset": "soon"}
    error = error_for(ask, rate_limited(anthropic_ratelimit_requests_remaining="0", **odd))
    assert error.quota is not None
    assert error.quota.requests_remaining == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, "timeout_error"),
        (409, "conflict_error"),
        (499, "api_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_servers_fault_is_transient_and_keeps_its_wait(
    ask: Callable[..., GenerationResponse], status: int, kind: str
) -> None:
    error = error_for(ask, failure(status, kind, "Try again.", {"retry-after": "7"}))
    assert type(error) is (UnavailableError if status in (502, 503, 504, 529) else TransientError)
    assert error.retry_after == 7.0


# Refused for good


@pytest.mark.parametrize(("status", "kind"), [(401, "authentication_error"), (403, "permission_error")])
def test_refused_credentials_are_an_authentication_error(
    ask: Callable[..., GenerationResponse], status: int, kind: str
) -> None:
    assert type(error_for(ask, failure(status, kind))) is AuthenticationError


def test_a_wrong_key_names_the_field_and_the_variable(ask: Callable[..., GenerationResponse]) -> None:
    with anthropic_server(api_key="another-key") as server, pytest.raises(AuthenticationError) as caught:
        ask(server)
    assert "`api_key`" in str(caught.value)
    assert "`ANTHROPIC_API_KEY`" in str(caught.value)


@pytest.mark.parametrize(
    "refused",
    [
        failure(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        failure(400, "invalid_request_error", "You have reached your specified API usage limits. Until 2026-12-01."),
        failure(400, "invalid_request_error", "You have reached your specified workspace API usage limits."),
        failure(402, "billing_error", "There is an issue with your billing."),
        failure(429, "rate_limit_error", "Over.", details={"error_code": "enforced_spend_limit_reached"}),
        failure(429, "rate_limit_error", "Over.", details={"error_code": "contract_spend_limit_reached"}),
    ],
    ids=["credit", "limit", "workspace limit", "billing", "tier", "contract"],
)
def test_an_account_without_money_stops_the_run_because_waiting_does_not_mend_it(
    ask: Callable[..., GenerationResponse], refused: Reply
) -> None:
    error = error_for(ask, refused)
    assert type(error) is AuthenticationError
    assert "add credit" in str(error)


def test_a_bad_request_is_one(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, failure(400, "invalid_request_error", "thinking: not supported"))
    assert type(error) is BadRequestError
    assert "thinking: not supported" in str(error)


def test_an_unknown_model_names_the_model_and_the_base_url(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, failure(404, "not_found_error", "model: claude-nine"), model="claude-nine")
    assert type(error) is BadRequestError
    assert "'claude-nine'" in str(error)
    assert "`base_url`" in str(error)


def test_a_base_url_that_ends_in_v1_is_explained(
    ask: Callable[..., GenerationResponse],
) -> None:
    with anthropic_server() as server, pytest.raises(BadRequestError, match="ends before `/v1`"):
        ask(server, base_url=f"{server.url}/v1")


@pytest.mark.parametrize(
    "refused",
    [
        failure(413, "request_too_large", "Request exceeds the maximum size"),
        failure(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        failure(
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length",
        ),
    ],
    ids=["413", "prompt", "prompt and max_tokens"],
)
def test_a_prompt_that_does_not_fit_is_a_context_length_error(
    ask: Callable[..., GenerationResponse], refused: Reply
) -> None:
    assert type(error_for(ask, refused)) is ContextLengthError


def test_a_request_over_the_size_limit_is_a_context_length_error(ask: Callable[..., GenerationResponse]) -> None:
    server = AnthropicServer()
    server.largest_body = 10_000
    with server.serve(), pytest.raises(ContextLengthError):
        ask(server, "x" * 10_001)


def test_an_output_blocked_by_the_filter_is_a_content_filtered_error(ask: Callable[..., GenerationResponse]) -> None:
    filtered = failure(400, "invalid_request_error", "Output blocked by content filtering policy")
    assert type(error_for(ask, filtered)) is ContentFilteredError


# No answer, or none that can be read


def test_silence_is_a_transient_error_that_names_the_timeout(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, hang, timeout=0.2)
    assert type(error) is TransientError
    assert "0.2 s, the `timeout`" in str(error)


@pytest.mark.parametrize("halfway", [False, True], ids=["before", "halfway"])
def test_a_dropped_connection_is_transient(ask: Callable[..., GenerationResponse], halfway: bool) -> None:
    error = error_for(ask, Reply(drop="halfway" if halfway else "before"))
    assert type(error) is UnavailableError
    assert "connection" in str(error)


def test_a_server_that_is_not_there_is_transient(ask: Callable[..., GenerationResponse]) -> None:
    with socket.socket() as reserved:  # bound, but it does not listen
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with anthropic_server() as server, pytest.raises(TransientError) as caught:
            ask(server, base_url=url)
    assert url in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        b"{nope",
        b"",
        b"[]",
        b'"text"',
        b"{}",
        b'{"content": null, "stop_reason": "end_turn"}',
        b'{"content": [7], "stop_reason": "end_turn"}',
        b'{"content": [{"type": "text"}], "stop_reason": "end_turn"}',
        b'{"content": [], "stop_reason": null}',
        b"<html>Welcome to the hotel's network</html>",
    ],
)
def test_an_answer_that_is_no_message_is_transient(
    ask: Callable[..., GenerationResponse], body: bytes, stream: bool
) -> None:
    content_type = "text/html" if body.startswith(b"<") else "application/json"
    error = error_for(ask, Reply(body=body, content_type=content_type), stream=stream)
    assert type(error) is TransientError


@pytest.mark.parametrize(
    "body", [b"data: {nope\n\n", b'data: {"type": "content_block_delta", "index": 3, "delta": {}}\n\n', b""]
)
def test_a_stream_that_is_no_message_is_transient(ask: Callable[..., GenerationResponse], body: bytes) -> None:
    error = error_for(ask, Reply(body=body, content_type="text/event-stream"), stream=True)
    assert type(error) is TransientError


def test_an_error_in_a_200_is_the_error_it_says(ask: Callable[..., GenerationResponse]) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    error = error_for(ask, Reply(body=json.dumps(body).encode()))
    assert type(error) is UnavailableError
    assert "529 (overloaded_error): Overloaded" in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b'{"error": "upstream is away"}', "upstream is away"),
        (b'{"detail": "upstream is away"}', "upstream is away"),
        (b"", "502"),
    ],
)
def test_a_gateways_own_error_page_is_read_for_its_words(
    ask: Callable[..., GenerationResponse], body: bytes, words: str
) -> None:
    error = error_for(ask, Reply(body=body, status=502))
    assert type(error) is UnavailableError
    assert words in str(error)


def test_a_long_message_is_cut(ask: Callable[..., GenerationResponse]) -> None:
    assert len(str(error_for(ask, failure(400, message="x" * 10_000)))) < 700


# Keys


def leaks(error: BaseException, key: str) -> list[str]:
    """The places of `error` that show the key."""
    chain = [error, error.__cause__, error.__context__]
    texts = {
        "text": str(error),
        "repr": repr(error),
        "args": repr(error.args),
        "traceback": "".join(traceback.format_exception(error)),
        "chain": "".join(repr(link) + str(link) for link in chain if link is not None),
    }
    return [place for place, text in texts.items() if key in text]


def echo(status: int) -> Callable[[Asked], Reply]:
    return lambda seen: failure(status, "api_error", f"I do not like {seen.headers['authorization']}.")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
def test_a_key_that_the_server_echoes_is_in_no_text_of_the_error(
    ask: Callable[..., GenerationResponse], status: int, key: str
) -> None:
    error = error_for(ask, echo(status))
    assert leaks(error, key) == []
    assert "[redacted]" in str(error)


def test_a_key_in_an_error_page_is_redacted(ask: Callable[..., GenerationResponse], key: str) -> None:
    error = error_for(ask, lambda seen: Reply(body=f"<p>{seen.headers['authorization']}</p>".encode(), status=502))
    assert leaks(error, key) == []


def test_a_key_in_an_answer_that_is_no_message_is_redacted(ask: Callable[..., GenerationResponse], key: str) -> None:
    error = error_for(ask, lambda seen: Reply(body=f"<p>{seen.headers['authorization']}</p>".encode()))
    assert leaks(error, key) == []
    assert "[redacted]" in str(error)


def test_a_key_that_is_not_ours_is_redacted_by_its_form(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, failure(401, "authentication_error", "the key sk-ant-api03-abcDEF_123 is revoked"))
    assert leaks(error, "sk-ant-api03-abcDEF_123") == []


def test_a_key_at_the_place_where_a_long_message_is_cut_leaves_no_half(
    ask: Callable[..., GenerationResponse], key: str
) -> None:
    error = error_for(ask, lambda seen: failure(400, message="x" * 490 + f" {key}"))
    assert leaks(error, key[:6]) == []


def test_a_secret_header_of_the_environment_is_redacted(
    ask: Callable[..., GenerationResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-gateway-token: gate-9876543210")
    error = error_for(ask, lambda seen: failure(400, message=f"bad token {seen.headers['x-gateway-token']}"))
    assert leaks(error, "gate-9876543210") == []


def test_a_cause_that_shows_no_key_is_kept(ask: Callable[..., GenerationResponse]) -> None:
    error = error_for(ask, failure(500, message="Something went wrong."))
    assert "Something went wrong." in str(error.__cause__)
