"""A provider's batches, one call at a time: what the engine does with them, done by hand."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from limbeck.types import BatchIntent, BatchSearch, GenerationResponse

from .asking import request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from limbeck.errors import GenerationError

TOKEN = "0123456789abcdef0123456789abcdef"


def intent_of(entries: list[bytes], token: str = TOKEN) -> BatchIntent:
    return BatchIntent(token=token, requests=len(entries), at=time.time())


def entries_of(llm: Any, *prompts: str, token: str = TOKEN) -> list[bytes]:
    return [llm.encode_batch_entry(f"{token}-{place}", request(prompt)) for place, prompt in enumerate(prompts)]


def alone(scene: Callable[[], Awaitable[Any]], llm: Any) -> Any:
    """What a scene comes to, on an event loop of its own, with the client closed after it."""

    async def run() -> Any:
        try:
            return await scene()
        finally:
            await llm.aclose()

    return asyncio.run(run())


async def results_of(llm: Any, id: str) -> dict[str, GenerationResponse | GenerationError]:
    async with aclosing(llm.fetch_batch(id)) as results:
        return {custom_id: result async for custom_id, result in results}


def submitted(llm: Any, *prompts: str) -> str:
    entries = entries_of(llm, *prompts)
    return str(alone(lambda: llm.submit_batch(entries, intent_of(entries)), llm))


def ended(llm: Any, *prompts: str) -> dict[str, GenerationResponse | GenerationError]:
    """The results of a batch of these prompts, by the number of their entry."""

    async def scene() -> Any:
        entries = entries_of(llm, *prompts)
        id = await llm.submit_batch(entries, intent_of(entries))
        assert (await llm.poll_batch(id)).state == "ended"
        return {name.rpartition("-")[2]: result for name, result in (await results_of(llm, id)).items()}

    results: dict[str, GenerationResponse | GenerationError] = alone(scene, llm)
    return results


def found(llm: Any, intent: BatchIntent) -> BatchSearch:
    search: BatchSearch = alone(lambda: llm.find_batch(intent), llm)
    return search
