"""What the stand-ins of batch APIs have in common: batches that are handed in, and what becomes of their entries.

A batch is in progress for `polls_needed` looks at it, and then ends: each entry meets the next of
the fates that its prompt has, and is answered where it has none (any more). Results come
shuffled. Everything is counted, so that a test can say that nothing was bought twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeAlias

from aiohttp import web

from .provider_server import RefusedError, Reply, guarded, send

Fate: TypeAlias = Literal["answered", "faulty", "refused", "expired", "cancelled", "missing"]
"""What becomes of an entry: an answer, a server's fault, a refusal of the request, no processing, or no line at all."""

# Seconds until a test that would hang fails instead.
_PATIENCE = 30.0


@dataclass(slots=True, eq=False)
class Filed:
    """A batch that was accepted.

    Attributes:
        entries: the requests, by custom id. mark: what was given to find it by. created: Unix time.
        polls: looks at it so far. cancelled: whether somebody asked for its end.
        results: what became of each entry and its answer, once it has ended.
    """

    id: str
    entries: dict[str, dict[str, Any]]
    created: float
    mark: Mapping[str, str] = field(default_factory=dict)
    polls: int = 0
    cancelled: bool = False
    results: dict[str, tuple[Fate, dict[str, Any] | None]] | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts of its entries."""
        return [prompt_of(body) for body in self.entries.values()]


class BatchDesk:
    """The batches of one server, and how it treats them.

    Attributes:
        polls_needed: looks at a batch before it ends. fates: of a prompt's entries, one after another.
        fails_whole: why every batch fails as a whole: a code and a message; None for none.
        closed: the server knows no batches at all. loses_reply: a batch is accepted, and the connection dropped.
        garbles_reply: a batch is accepted, and answered with somebody's web page.
        holds_reply: a batch is accepted, and nobody told until this is False.
        holds_results_after: results stop to flow after so many lines; None for never.
        cuts_results_after: the connection of the next reader is cut after so many lines; None for no one's.
        says: makes the provider's own answer to a request, where it is not the plain one.
        filed: the batches accepted, in order. answered: answers made, by prompt.
        polls, readings: looks at batches, and readings of results begun. lines_sent: of results.
    """

    def __init__(self) -> None:
        self.polls_needed = 0
        self.fates: dict[str, list[Fate]] = {}
        self.fails_whole: tuple[str, str] | None = None
        self.closed = False
        self.garbles_reply = False
        self.loses_reply = False
        self.holds_reply = False
        self.holds_results_after: int | None = None
        self.cuts_results_after: int | None = None
        self.filed: list[Filed] = []
        self.answered: Counter[str] = Counter()
        self.says: Callable[[Any], Any] | None = None
        self.polls = 0
        self.readings = 0
        self.lines_sent = 0
        self._numbers = count(1)
        self._changed = threading.Condition()

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait, on a test's thread, until the server has seen something."""
        with self._changed:
            assert self._changed.wait_for(happened, _PATIENCE), "the server has not seen what the test waits for"

    def tell(self) -> None:
        """Something has changed."""
        with self._changed:
            self._changed.notify_all()

    @property
    def submitted(self) -> Counter[str]:
        """How often each prompt was handed in."""
        return Counter(prompt for filed in self.filed for prompt in filed.prompts)

    def new_id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def by_id(self, id: str) -> Filed | None:
        return next((filed for filed in self.filed if filed.id == id), None)

    def file(self, filed: Filed) -> None:
        self.filed.append(filed)
        self.tell()

    async def reply(self, batch: dict[str, Any]) -> Reply:
        """The reply to an accepted batch: held back, garbled, or its connection dropped, as the test wants it."""
        while self.holds_reply:  # noqa: ASYNC110 - it is another thread that lets go
            await asyncio.sleep(0.005)
        loses, self.loses_reply = self.loses_reply, False
        garbles, self.garbles_reply = self.garbles_reply, False
        garbled = Reply(body="<html>Please log in.</html>", content_type="text/html")
        return Reply(drop="before") if loses else garbled if garbles else Reply(body=batch)

    def ends_now(self, filed: Filed) -> bool:
        """Somebody looks at a batch: whether that was often enough for it to end."""
        self.polls += 1
        filed.polls += 1
        self.tell()
        often_enough = filed.cancelled or filed.polls > self.polls_needed
        return filed.results is None and often_enough and not self.fails_whole

    async def end(self, filed: Filed, answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
        """Decide what becomes of each entry; `answer` makes the answers."""
        results: dict[str, tuple[Fate, dict[str, Any] | None]] = {}
        for id, body in filed.entries.items():
            waiting = self.fates.get(prompt_of(body))
            fate: Fate = "cancelled" if filed.cancelled else waiting.pop(0) if waiting else "answered"
            self.answered[prompt_of(body)] += fate == "answered"
            results[id] = fate, await answer(body) if fate == "answered" else None
        filed.results = results

    def shuffled(self, filed: Filed) -> list[tuple[str, Fate, dict[str, Any] | None]]:
        """The results that have a line, in an order of their own."""
        lines = [(id, *result) for id, result in (filed.results or {}).items() if result[0] != "missing"]
        random.Random(filed.id).shuffle(lines)
        return lines

    async def send_lines(self, request: web.Request, lines: list[Any]) -> web.StreamResponse:
        """Send results as JSON lines, as far as they are let."""
        response = web.StreamResponse(headers={"content-type": "application/x-jsonl"})
        await response.prepare(request)
        self.readings += 1
        for number, line in enumerate(lines):
            if number == self.cuts_results_after:
                self.cuts_results_after = None
                assert request.transport is not None
                request.transport.close()
                break
            while number >= (self.holds_results_after or len(lines)):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
            await response.write(json.dumps(line).encode() + b"\n")
            self.lines_sent += 1
            self.tell()
        return response


class BatchRoutes:
    """The routes that batch APIs have in common; a provider adds what its objects are, and how one is handed in.

    Args:
        base: the path of the batches. after: the query's name of the last batch of the page before.
    """

    def __init__(self, desk: BatchDesk, check: Callable[[web.Request], None], base: str, after: str) -> None:
        self.desk = desk
        self._check = check
        self._base = base
        self._after = after

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        self.add(app, "POST", self._base, self.create)
        self.add(app, "GET", self._base, self._list)
        self.add(app, "GET", f"{self._base}/{{id}}", self._retrieve)
        self.add(app, "POST", f"{self._base}/{{id}}/cancel", self._cancel)

    def add(self, app: web.Application, method: str, path: str, handler: Callable[[web.Request], Any]) -> None:
        """Add a route whose requests are checked first."""
        app.router.add_route(method, path, guarded(self._check, handler))

    # What a provider adds

    async def create(self, request: web.Request) -> web.StreamResponse:
        """File the batch that a request hands in."""
        raise NotImplementedError

    def object_of(self, filed: Filed) -> dict[str, Any]:
        """A batch in the API's form."""
        raise NotImplementedError

    def page(self, batches: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
        """A page of batches in the API's form."""
        raise NotImplementedError

    def unknown(self, id: str) -> RefusedError:
        """Why a request for a batch that nobody knows is refused."""
        raise NotImplementedError

    async def look(self, filed: Filed) -> None:
        """Let a batch end, if that is due."""
        raise NotImplementedError

    async def listed(self, filed: Filed) -> None:
        """A batch is shown in a list."""

    # What is the same everywhere

    def filed(self, request: web.Request) -> Filed:
        """The batch that a request names."""
        filed = self.desk.by_id(request.match_info["id"])
        if filed is None:
            raise self.unknown(request.match_info["id"])
        return filed

    async def accept(self, request: web.Request, filed: Filed) -> web.StreamResponse:
        """File a batch, and say so."""
        self.desk.file(filed)
        return await send(await self.desk.reply(self.object_of(filed)), request)

    async def _list(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "20"))
        newest_first = self.desk.filed[::-1]
        if self._after in request.query:
            ids = [filed.id for filed in newest_first]
            newest_first = newest_first[ids.index(request.query[self._after]) + 1 :]
        for filed in newest_first[:limit]:
            await self.listed(filed)
        batches = [self.object_of(filed) for filed in newest_first[:limit]]
        return web.json_response(self.page(batches, more=len(newest_first) > limit))

    async def _retrieve(self, request: web.Request) -> web.Response:
        filed = self.filed(request)
        await self.look(filed)
        return web.json_response(self.object_of(filed))

    async def _cancel(self, request: web.Request) -> web.Response:
        filed = self.filed(request)
        filed.cancelled = True
        return web.json_response(self.object_of(filed))


def prompt_of(body: Mapping[str, Any]) -> str:
    """The text of the last message."""
    return str(body["messages"][-1]["content"])
