"""A client under guard: what it is told of requests that go wrong. (The plugins' tests try it through real servers.)"""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.backends import body_sent, guard, typed_cause
from limbeck.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="the client that is guarded comes with a provider's SDK")

QUERY = "token=TOP+SECRET%!&tenant=a"


class OddError(Exception):
    """An exception that wants two arguments, and shows a third thing."""

    def __init__(self, one: object, url: object) -> None:
        super().__init__(one)
        self.url = url

    def __str__(self) -> str:
        return f"at {self.url}"


def guarded(handler: Callable[[httpx2.Request], httpx2.Response], query: str = QUERY) -> httpx2.AsyncClient:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), follow_redirects=True)
    guard(client, max_response_bytes=10_000, query=query)
    return client


def asked(handler: Callable[[httpx2.Request], httpx2.Response], url: str = "http://host/v1", **more: Any) -> Any:
    async def ask() -> httpx2.Response:
        async with guarded(handler, **more) as client:
            return await client.post(url, content=b"{}")

    return asyncio.run(ask())


FAULTS: dict[str, Callable[[str], Exception]] = {
    "of the library": lambda url: httpx2.ConnectTimeout(f"Connection timeout to host {url}"),
    "of Python": lambda url: OSError(f"no route to {url}"),
    "of another class": lambda url: OddError(1, url),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_exception_that_names_the_url_comes_without_its_secret_and_without_its_cause(
    fault: Callable[[str], Exception],
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        try:
            raise ValueError(str(request.url))
        except ValueError as exc:
            raise fault(str(request.url)) from exc

    with pytest.raises((httpx2.ConnectTimeout, OSError)) as caught:
        asked(handler)
    told = "".join(traceback.format_exception(caught.value))
    assert "TOP" not in told
    assert "http://host/v1" in str(caught.value)


def test_an_exception_that_shows_nothing_keeps_its_cause() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused") from OSError("refused")

    with pytest.raises(httpx2.ConnectError) as caught:
        asked(handler)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_request_that_the_client_sees_has_no_query_while_the_one_that_is_sent_has() -> None:
    sent: list[httpx2.URL] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url)
        return httpx2.Response(200, json={})

    response = asked(handler, "http://host/v1?tenant=a&x=1")
    assert str(response.request.url) == "http://host/v1?tenant=a&x=1"
    assert [url.query for url in sent] == [b"tenant=a&x=1&token=TOP+SECRET%!"]
    assert body_sent(response) == b"{}"


@pytest.mark.parametrize("location", ["/elsewhere/TOP%20SECRET%25!", "/v2?access=TOP+SECRET%25%21", "/v2#TOP+SECRET%!"])
def test_a_redirect_that_repeats_a_secret_in_another_place_is_refused(location: str) -> None:
    with pytest.raises(BadRequestError, match="repeats a secret") as caught:
        asked(lambda _: httpx2.Response(307, headers={"location": location}))
    assert "TOP" not in str(caught.value)
    assert typed_cause(caught.value) is caught.value


def test_a_redirect_that_repeats_what_is_no_secret_is_followed() -> None:
    asked_for = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked_for.append(str(request.url))
        redirected = httpx2.Response(307, headers={"location": "/acme-corp/v2?tenant=acme-corp&x=1"})
        return redirected if len(asked_for) == 1 else httpx2.Response(200)

    asked(handler, query="tenant=acme-corp&token=TOPSECRET1")
    assert asked_for[1] == "http://host/acme-corp/v2?x=1&tenant=acme-corp&token=TOPSECRET1"


def test_a_short_secret_is_taken_out_of_headers_but_not_out_of_texts() -> None:
    headers = {"x-asked": "?key=hunter2", "content-type": "text/hunter2"}
    response = asked(lambda _: httpx2.Response(200, headers=headers, content=b"hunter2"), query="key=hunter2")
    assert response.headers["x-asked"] == "?key=[redacted]"
    assert (response.headers["content-type"], response.text) == ("text/hunter2", "hunter2")


def test_a_response_that_is_read_as_it_comes_has_no_secret_in_its_headers() -> None:
    async def ask() -> httpx2.Response:
        reply = httpx2.Response(200, headers={"x-asked": "TOPSECRET1"}, stream=httpx2.ByteStream(b"TOPSECRET1"))
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: reply)) as client:
            guard(client, max_response_bytes=1, query="token=TOPSECRET1", streamed=["/content"])
            return await client.get("http://host/content")

    response = asyncio.run(ask())
    assert (response.headers["x-asked"], response.text) == ("[redacted]", "TOPSECRET1")


def test_what_is_no_secret_stays_in_bodies_and_headers() -> None:
    body = {"model": "gpt-4o-mini-2024", "text": "see https://host/?token=abc and sk-abcdefgh"}
    query = "model=gpt-4o-mini-2024&token=TOPSECRET1"
    response = asked(lambda _: httpx2.Response(200, json={**body, "url": "?token=TOPSECRET1"}), query=query)
    assert response.json() == {**body, "url": "?token=[redacted]"}


def test_a_wire_log_is_without_the_secret_that_a_server_repeats(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = guarded(lambda _: httpx2.Response(200))
    logging.getLogger("httpcore2.http11").debug("headers %r", b"TOP%20SECRET%25!")
    assert "TOP" not in caplog.text
    assert client is not None
