"""A chat-completions server that counts what it answers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from aiohttp import web

# Seconds until a test that would hang fails instead.
PATIENCE = 60.0


class CountingServer:
    """Answers chat completions, and says when it has given as many answers as were waited for.

    Args:
        filler: the end of each answer. hold_from: how many it gives before it waits for `release`.

    Attributes:
        asked: the prompts that were answered since the last `begin`.
    """

    def __init__(self, filler: str = "", *, hold_from: int | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self._filler = filler
        self._answers = 0
        self._awaited = 0
        self._reached = threading.Event()
        self._hold_from = hold_from
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def app(self) -> web.Application:
        """What `serving` serves."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        return app

    def begin(self, awaited: int) -> None:
        """Count anew, up to a number of answers."""
        self.asked = Counter()
        self._answers, self._awaited = 0, awaited
        self._reached.clear()

    def wait(self) -> None:
        """Wait until that many answers were given."""
        assert self._reached.wait(PATIENCE), f"only {self._answers} of {self._awaited} answers were asked for"

    def release(self) -> None:
        """Give what is held back, and hold nothing from now on."""
        assert self._loop is not None, "nobody has asked yet"
        self._loop.call_soon_threadsafe(self._gate.set)

    async def _answer(self, request: web.Request) -> web.Response:
        self._loop = asyncio.get_running_loop()
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        self.asked[prompt] += 1
        self._answers += 1
        if self._answers == self._awaited:
            self._reached.set()
        if self._hold_from is not None and self._answers > self._hold_from:
            await self._gate.wait()
        message = {"role": "assistant", "content": f"to {prompt}{self._filler}"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        return web.json_response({**whole, "usage": usage})
