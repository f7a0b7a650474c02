"""Bodies as they come over the wire: packed or not, whatever their headers say, and in any charset."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.backends import guard
from limbeck.errors import BadRequestError, TransientError

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="the client that is guarded comes with a provider's SDK")

TEXT = json.dumps({"answer": "pay\u00e9"}, ensure_ascii=False)
BODY = TEXT.encode()


def read(body: bytes, *, status: int = 200, limit: int = 100_000, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def ask() -> httpx2.Response:
        sent = httpx2.Response(status, headers=named, stream=httpx2.ByteStream(body))
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: sent)) as client:
            guard(client, max_response_bytes=limit)
            return await client.get("http://host")

    return asyncio.run(ask())


PACKED = gzip.compress(BODY, mtime=0)
RAW_DEFLATE = zlib.compress(BODY)[2:-4]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (PACKED, "gzip"),
        (PACKED, "x-gzip"),
        (PACKED, "X-GZIP"),
        (PACKED, ""),
        (PACKED, "identity"),
        (PACKED, "br"),
        (PACKED[:-8], "gzip"),
        (PACKED + b"garbage", "gzip"),
        (gzip.compress(PACKED, mtime=0), "gzip, gzip"),
        (gzip.compress(PACKED, mtime=0), "gzip"),
        (gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0), "gzip"),
        (zlib.compress(BODY), "deflate"),
        (RAW_DEFLATE, "deflate"),
        (BODY, "gzip"),
        (BODY, "x-gzip"),
        (BODY, "deflate"),
        (BODY, "br"),
        (BODY, "zstd"),
        (BODY, "utf-8"),
        (BODY, "gzip, deflate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:6].hex(),
)
def test_a_body_is_unpacked_by_what_it_is(body: bytes, said: str) -> None:
    response = read(body, content_encoding=said)
    assert response.content == BODY
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("said", ["br", "deflate", "gzip"])
def test_bytes_that_nobody_can_unpack_are_a_typed_failure_that_says_so(said: str) -> None:
    with pytest.raises(TransientError, match=f"`content-encoding` is '{said}'"):
        read(b"\x1f\x8b\x08\xff\xfe", content_encoding=said)


def test_a_refusal_that_cannot_be_unpacked_keeps_its_status() -> None:
    assert read(b"\xff\xfe\x00", status=401, content_encoding="br").status_code == 401


@pytest.mark.parametrize("times", [1, 2])
def test_what_unpacks_to_too_much_is_not_unpacked_further(times: int) -> None:
    body = b" " * 5_000_000
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    with pytest.raises(BadRequestError, match="more than 100,000 bytes"):
        read(body)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (TEXT.encode("latin-1"), "application/json; charset=iso-8859-1"),
        (TEXT.encode("latin-1"), 'application/json; charset="ISO-8859-1"; a=b'),
        (TEXT.encode("cp1252"), "text/plain;charset=windows-1252"),
        (TEXT.encode("utf-16"), "application/json; charset=utf-16"),
        (TEXT.encode("utf-16-le"), "application/json; charset=UTF-16LE"),
        (BODY, "application/json; charset=iso-8859-1"),
        (BODY, "application/json; charset=ascii"),
        (BODY, "application/json; charset=nonsense"),
        (BODY, "application/json; charset=utf-8"),
        (gzip.compress(TEXT.encode("latin-1"), mtime=0), "application/json; charset=latin1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_is_in_utf_8_whatever_charset_it_came_in(body: bytes, content_type: str) -> None:
    response = read(body, content_type=content_type)
    assert response.content == BODY
    assert response.json() == json.loads(TEXT)
    assert response.text == TEXT


@pytest.mark.parametrize("charset", ["ascii", "nonsense", "utf-8"])
def test_bytes_that_are_in_no_charset_stay_as_they_are(charset: str) -> None:
    odd: Any = b'{"a": "\xff"}'
    assert read(odd, content_type=f"application/json; charset={charset}").content == odd
