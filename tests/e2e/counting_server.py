"""A chat-completions server that counts what it is asked, and can be waited for and held back."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from support.openai_server import OpenAIServer, answer
from support.provider_server import Asked, Behaviour, Reply

# Seconds until a test that would hang fails instead.
PATIENCE = 60.0


class CountingServer(OpenAIServer):
    """Answers `to <prompt>`, and says when it was asked as often as was waited for.

    Args:
        filler: the end of each answer. hold_from: how many it gives before it waits for `release`.

    Attributes:
        asked: the prompts since the last `begin`.
    """

    def __init__(self, filler: str = "", *, hold_from: int | None = None) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self._filler = filler
        self._awaited = 0
        self._reached = threading.Event()
        self._hold_from = hold_from
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, awaited: int) -> None:
        """Count anew, up to a number of requests."""
        self.asked = Counter()
        self._awaited = awaited
        self._reached.clear()

    def wait(self) -> None:
        """Wait until that many requests came."""
        assert self._reached.wait(PATIENCE), f"only {self.asked.total()} of {self._awaited} requests came"

    def release(self) -> None:
        """Give what is held back, and hold nothing from now on."""
        assert self._loop is not None, "nobody has asked yet"
        self._loop.call_soon_threadsafe(self._gate.set)

    def plain(self, asked: Asked) -> Behaviour:
        return self.counted

    async def counted(self, asked: Asked) -> Reply:
        """The one answer to a request, whatever its `n`."""
        self._loop = asyncio.get_running_loop()
        prompt = asked.body["messages"][-1]["content"]
        self.asked[prompt] += 1
        count = self.asked.total()
        if count == self._awaited:
            self._reached.set()
        if self._hold_from is not None and count > self._hold_from:
            await self._gate.wait()
        return answer(f"to {prompt}{self._filler}")(asked)
