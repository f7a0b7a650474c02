"""Servers that answer anything at all, and good answers that are spoiled: what providers are tried with.

with wire_server(Reply(body=b"{nope")) as server:
    OpenAILLM(model="m", base_url=server.url)
"""

from __future__ import annotations

import copy
import gzip
import html
import json
import logging
import math
import random
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from aiohttp import web

from limbeck import Pipeline
from limbeck._engine.online.backend import backend_of
from limbeck._engine.threads.portal import portal
from limbeck._llm.llm import config_of
from limbeck.errors import GenerationError
from limbeck.types import GenerationRequest, GenerationResponse
from support.asking import ask
from support.provider_server import Asked, Behaviour, ProviderServer, Reply
from support.questions import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest

ODD_COUNTS = [-35, 1.5, math.nan, math.inf, 10**400, "many", [7], {"n": 7}, True]
ODD_VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1.5, 10**30, math.nan, math.inf),
    *("", "odd", "7", "\ud800"),
    *([], [1], [None], [[]], ["odd"], [{"text": "odd"}]),
    *({}, {"a": [1]}, {"text": 5}, {"type": "odd"}),
]
_FREE = 3  # of ten mutations add a field


class WireServer(ProviderServer):
    """Gives its answers in turn, whatever is asked, and the last one again and again."""

    base = "/v1"  # of most clients

    def __init__(self, *answers: Behaviour) -> None:
        super().__init__(*answers[:-1])
        self._last = answers[-1]

    def plain(self, _asked: Asked) -> Behaviour:
        return self._last

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/info"):  # asked by a backend for TGI
            return web.Response(status=404)
        return await super().handle(request)


def wire_server(*answers: Behaviour) -> AbstractContextManager[WireServer]:
    """Give the answers in turn, whatever is asked."""
    return WireServer(*answers).serve()


def events(*data: Any) -> bytes:
    """Server-sent events."""
    return b"".join(
        f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n".encode("utf-8", "replace") for each in data
    )


# Spoiled answers


@dataclass(frozen=True)
class Spoiled:
    """An answer, and what was done to it.

    Attributes:
        keeps_text: whether the text and all that leads to it are as they were.
    """

    raw: Reply
    what: str
    keeps_text: bool


def spoiled_answers(good: Any, text_at: Sequence[str | int], *, seed: int, number: int) -> list[Spoiled]:
    """Mutations of a good answer: odd values, missing and further fields, broken bytes.

    Args:
        good: its JSON value. text_at: where the text stands in it.
    """
    rng = random.Random(seed)
    makers: list[Callable[[], Spoiled]] = [
        *[lambda: _odd_value(good, tuple(text_at), rng)] * 8,
        lambda: _broken_bytes(good, rng),
        lambda: _cut(good, rng),
    ]
    return [rng.choice(makers)() for _ in range(number)]


REFUSAL = {
    "error": {"message": "bad", "type": "x", "code": "y", "param": None, "innererror": {"code": "z"}, "details": {}},
    "detail": [{"loc": ["body"], "msg": "bad"}],
    "estimated_time": 3,
}


def spoiled_refusals(*, seed: int, number: int) -> list[Spoiled]:
    """Error bodies with odd values in them, of statuses that stop no run."""
    rng = random.Random(seed)
    spoiled = [
        (_odd_value(REFUSAL, (), rng), rng.choice([200, 400, 404, 413, 422, 500, 503, 529])) for _ in range(number)
    ]
    return [Spoiled(replace(one.raw, status=status), f"{one.what}, {status}", False) for one, status in spoiled]


def spoiled_streams(good: Sequence[Any], *, seed: int, number: int) -> list[Spoiled]:
    """Server-sent events with odd values in them, or one missing."""
    rng = random.Random(seed)
    spoiled = [_odd_value([*good, "[DONE]"], (), rng) for _ in range(number)]
    return [Spoiled(Reply(body=events(*one.raw.body)), one.what, False) for one in spoiled]


def _odd_value(good: Any, text_at: tuple[str | int, ...], rng: random.Random) -> Spoiled:
    body = copy.deepcopy(good)
    place = rng.choice([place for place in _places(good) if place != text_at])
    parent = body
    for step in place[:-1]:
        parent = parent[step]
    value = copy.deepcopy(rng.choice(ODD_VALUES))
    what = f"{'.'.join(map(str, place))} = {value!r}"
    if rng.randrange(10) < _FREE and isinstance(parent, dict):
        if rng.random() < 0.5:
            parent["a_field_of_no_standard"] = value
            return Spoiled(Reply(body=body), f"a further field, {value!r}", keeps_text=True)
        del parent[place[-1]]
        what = f"no {'.'.join(map(str, place))}"
    else:
        parent[place[-1]] = value
    return Spoiled(Reply(body=body), what, keeps_text=text_at[: len(place)] != place)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield (*path, step)
        yield from _places(part, (*path, step))


def _broken_bytes(good: Any, rng: random.Random) -> Spoiled:
    body = bytearray(json.dumps(good).encode())
    for _ in range(rng.randint(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return Spoiled(Reply(body=bytes(body)), f"bytes {bytes(body)!r}", keeps_text=False)


def _cut(good: Any, rng: random.Random) -> Spoiled:
    body = json.dumps(good).encode()
    end = rng.randrange(len(body))
    return Spoiled(Reply(body=body[:end]), f"cut at {end}", keeps_text=False)


ONE_QUESTION = GenerationRequest(messages=[{"role": "user", "content": "Say it."}])


def faults(make_llm: Callable[[WireServer], Any], answers: Sequence[Spoiled], text: str) -> list[str]:
    """What is wrong with what came of spoiled answers: a text lost, or a failure that is of no type.

    Args:
        make_llm: the backend at a server, which asks one request at a time, once. text: of the good answer.
    """
    found = []
    with wire_server(*(answer.raw for answer in answers)) as server:
        backend = backend_of(make_llm(server))
        for answer in answers:  # without a window, which would wait for a server that seems to be away
            (result,) = portal().wait(backend.ask([ONE_QUESTION]))
            error = None if isinstance(result, GenerationResponse) else result
            text_of = result.generations[0].text if isinstance(result, GenerationResponse) else None
            if answer.keeps_text and text not in (text_of or ""):
                found.append(f"{answer.what}: the text became {text_of!r}, {error!r}")
            elif error is not None and type(error).__name__ not in _TYPES:
                found.append(f"{answer.what}: {error!r}")
        assert len(server.requests) == len(answers)
    return found


def _names(cls: type[Any]) -> set[str]:
    return {cls.__name__}.union(
        *(_names(child) for child in cls.__subclasses__() if child.__module__ == "limbeck.errors")
    )


_TYPES = _names(GenerationError) - {"GenerationError", "BackendError"}


# Rules of the wire


def bomb(unpacked: int) -> Reply:
    """A small answer that unpacks to so many bytes."""
    return Reply(body=gzip.compress(b" " * unpacked, 6), headers={"content-encoding": "gzip"})


def redirect(to: str, *, status: int = 307) -> Reply:
    """An answer that sends the request on."""
    return Reply(body=b"", status=status, headers={"location": to})


def as_another_host(url: str) -> str:
    """The same address under another name."""
    return url.replace("127.0.0.1", "localhost")


# Values of a query, as a user writes them, that clients and servers quote anew in other ways.
QUOTED_SECRETS = [
    "TOP+SEC=RET%!'()*",
    "TOP%2BSEC%3DRET%25,;:@$",
    'TOP/SEC~RET"x',
    "%54%4FP-SECRET-\u00e9",
    "TOP%ZZ'SECRET<x>",
]
ECHOES: dict[str, Callable[[str], str]] = {
    "as it came": str,
    "decoded": unquote,
    "quoted again": quote,
    "in HTML": lambda query: html.escape(unquote(query)),
    "twice in HTML": lambda query: html.escape(html.escape(query)),
    "in JSON": lambda query: json.dumps(json.dumps(unquote(query))),
    "Python's": lambda query: repr({"query": unquote(query)}),
}


def echo_of_query(echo: Callable[[str], str], status: int) -> Behaviour:
    """A refusal that repeats the query of its request, in its body, in a header and in its reason."""

    def behave(asked: Asked) -> Reply:
        text = echo(asked.query)
        error = {"error": {"message": f"bad URL {text}", "type": "x"}}
        return Reply(body=error, status=status, headers={"x-asked": quote(text, safe="%+=!'()*,;:@$&")})

    return behave


def redirect_with_query(asked: Asked) -> Reply:
    """A redirect on the same host that keeps the query, and quotes it in its own way."""
    path, query = asked.path.removeprefix("/v1"), asked.query.replace("'", "%27").replace("*", "%2A")
    return redirect(f"/elsewhere{path}?{query}&more=1")


def said_of(llm: Any, caplog: pytest.LogCaptureFixture) -> str:
    """All that is said of one request, which may fail: its answer or error with the causes, every log, the backend."""
    caplog.set_level(logging.DEBUG)
    try:
        said = repr(ask(llm))
    except GenerationError as exc:
        said = "".join(traceback.format_exception(exc)) + repr(exc)
    return "\n".join([said, repr(llm), *logged(caplog)])


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged by anybody but the server, with the exceptions."""
    plain = logging.Formatter("%(message)s")
    return [plain.format(record) for record in caplog.records if record.name != "aiohttp.access"]


def leaks(secret: str, llm: Any, folder: Path) -> list[str]:
    """Where a secret can be read after a run of one row: rows, files of the run, the backend as text and as data.

    Args:
        llm: a backend at a server that answers. folder: for the run.
    """
    pipeline = Pipeline([{"question": "0"}], Ask(llm=llm))
    rows = pipeline.run(run_dir=folder).to_list()
    assert [row["answer"] for row in rows] == ["paid"]
    texts = {
        "a row": str(rows),
        "the repr": repr(llm),
        "the identity": str(llm.identity),
        "the configuration": str(config_of(llm)),
        **{str(path): path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()},
    }
    return [place for place, text in texts.items() if secret in text]
