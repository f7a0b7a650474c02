"""CPU per request of the ways through the OpenAI SDK, against a loopback server in its own process.

    python -m benchmarks.openai_transport [--requests 2000] [--window 256] [--latency 0.1] [--rounds 3]

The server answers from a fixed buffer after `--latency` seconds, so what is measured is the client: CPU seconds
of this process (`time.process_time`), imports and a warm-up left out. Rounds alternate between the ways; the
median of the rounds is printed, in milliseconds a request and as a multiple of bare aiohttp. Every way ends with
the text of the answer in hand.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY: dict[str, Any] = {
    "model": "gpt-5-mini",
    "messages": [
        {"role": "system", "content": "You are a careful geographer. " * 8},
        {"role": "user", "content": "What is the capital of Spain, and what is it known for? " * 12},
    ],
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "gpt-5-mini-2026-01-01",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of Spain is Madrid, a city of three million on the Manzanares. " * 16,
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 200,
        "completion_tokens": 300,
        "total_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
}

Ask: TypeAlias = Callable[[], Awaitable[str]]
Way: TypeAlias = Callable[[str, int], tuple[Ask, Callable[[], Awaitable[Any]]]]
"""Given the base URL and the window: one request as a function, and how to close."""


# The server


class _Server(asyncio.Protocol):
    """Answers every complete request from a buffer, after a while."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        body = json.dumps(COMPLETION).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = head.encode() + body
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        self.buffer = b""
        asyncio.get_running_loop().call_later(self.latency, self._write)

    def _write(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.answer)


async def _serve(latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(latency), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server_process(latency: float) -> Iterator[str]:
    """A server in its own process; gives its base URL."""
    command = [sys.executable, "-m", "benchmarks.openai_transport", "--serve", f"--latency={latency}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


# The ways


def _text(payload: Any) -> str:
    return str(payload["choices"][0]["message"]["content"])


def bare_aiohttp(url: str, window: int) -> Any:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=window))

    async def ask() -> str:
        headers = {"Authorization": "Bearer k"}
        async with session.post(f"{url}/chat/completions", json=BODY, headers=headers) as response:
            return _text(json.loads(await response.read()))

    return ask, session.close


def _client(url: str, window: int, *, aiohttp: bool) -> Any:
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=window, max_keepalive_connections=window)
    transport = openai.DefaultAioHttpClient if aiohttp else openai.DefaultAsyncHttpxClient
    return openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0, http_client=transport(limits=limits))


def _creating(client: Any) -> Any:
    async def ask() -> str:
        return str((await client.chat.completions.create(**BODY)).choices[0].message.content)

    return ask, client.close


def _creating_raw(client: Any) -> Any:
    async def ask() -> str:
        response = await client.chat.completions.with_raw_response.create(**BODY)
        return _text(json.loads(response.content))

    return ask, client.close


def _posting(client: Any) -> Any:
    import httpx2

    async def ask() -> str:
        response = await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY)
        return _text(json.loads(response.content))

    return ask, client.close


def plugin(url: str, window: int) -> Any:
    from pydantic import SecretStr

    from limbeck.types import GenerationRequest
    from limbeck_openai import OpenAILLM

    llm = OpenAILLM(model=BODY["model"], base_url=url, api_key=SecretStr("k"), max_concurrency=window)
    request = GenerationRequest(messages=BODY["messages"])

    async def ask() -> str:
        return str((await llm.agenerate(request)).generations[0].text)

    return ask, llm.aclose


WAYS: dict[str, Way] = {
    "bare aiohttp": bare_aiohttp,
    "SDK, default transport": lambda url, window: _creating(_client(url, window, aiohttp=False)),
    "SDK, default, client.post": lambda url, window: _posting(_client(url, window, aiohttp=False)),
    "SDK, aiohttp": lambda url, window: _creating(_client(url, window, aiohttp=True)),
    "SDK, aiohttp, with_raw_response": lambda url, window: _creating_raw(_client(url, window, aiohttp=True)),
    "SDK, aiohttp, client.post": lambda url, window: _posting(_client(url, window, aiohttp=True)),
    "OpenAILLM": plugin,
}


# The measurement


async def _drive(ask: Ask, count: int, window: int) -> None:
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(worker() for _ in range(window)))


def cpu_ms(way: Way, url: str, count: int, window: int) -> float:
    """CPU milliseconds a request: `count` requests, `window` in flight, after a warm-up that opens the connections."""

    async def measure() -> float:
        ask, close = way(url, window)
        await _drive(ask, window, window)
        gc.collect()
        start = time.process_time()
        await _drive(ask, count, window)
        spent = time.process_time() - start
        await close()
        return spent

    return asyncio.run(measure()) / count * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.latency))
        return
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    with server_process(options.latency) as url:
        for _ in range(options.rounds):
            for name, way in WAYS.items():
                spent[name].append(cpu_ms(way, url, options.requests, options.window))
    floor = statistics.median(spent["bare aiohttp"])
    for name, rounds in spent.items():
        print(f"{name:34}{statistics.median(rounds):8.2f} ms{statistics.median(rounds) / floor:8.1f} x")


if __name__ == "__main__":
    main()
