"""CPU per request of the ways through the Anthropic SDK, against a loopback server in its own process.

    python -m benchmarks.anthropic_transport [--requests 2000] [--window 256] [--latency 0.1] [--rounds 3]

The server answers from a fixed buffer after `--latency` seconds, so what is measured is the client: CPU seconds
of this process (`time.process_time`), imports and a warm-up left out. Rounds alternate between the ways; the
median of the rounds is printed, in milliseconds a request and as a multiple of bare aiohttp.
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
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ANSWER = "The capital of Spain is Madrid, a city of three million on the Manzanares. " * 16
BODY: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 64_000,
    "system": "You are a careful geographer. " * 8,
    "messages": [{"role": "user", "content": "What is the capital of Spain, and what is it known for? " * 12}],
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": ANSWER}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 200, "output_tokens": 300, "cache_read_input_tokens": 0, "service_tier": "standard"},
}


# The server


def _http(body: bytes, content_type: str) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nrequest-id: req_1\r\n\r\n"
    )
    return head.encode() + body


def _events(count: int) -> list[bytes]:
    """The answer as server-sent events, one deltas's worth of text each."""

    def event(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    step = len(ANSWER) // count + 1
    pieces = [ANSWER[start : start + step] for start in range(0, len(ANSWER), step)]
    return [
        event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in pieces],
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 300}),
        event("message_stop"),
    ]


class _Server(asyncio.Protocol):
    """Answers every complete request from a buffer; one event at a time where the request asks for a stream."""

    def __init__(self, latency: float, events: int) -> None:
        self.latency = latency
        self.whole = _http(json.dumps(MESSAGE).encode(), "application/json")
        pieces = _events(events)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
        self.stream = [head + chunks[0], *chunks[1:], b"0\r\n\r\n"]
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.buffer = b""
        loop = asyncio.get_running_loop()
        if b'"stream":true' in body.replace(b" ", b""):
            for place, piece in enumerate(self.stream):
                loop.call_later(self.latency * (place + 1) / len(self.stream), self._write, piece)
        else:
            loop.call_later(self.latency, self._write, self.whole)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


async def _serve(latency: float, events: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Server(latency, events), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server_process(latency: float, events: int) -> Iterator[str]:
    """A server in its own process; gives its base URL."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.anthropic_transport",
        "--serve",
        f"--latency={latency}",
        f"--events={events}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


# The ways. Each is given the base URL and the window, and gives one request as a function, and how to close.

if TYPE_CHECKING:
    Way = Callable[[str, int], tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]]


def bare_aiohttp(url: str, window: int) -> Any:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=window))

    async def ask() -> Any:
        async with session.post(f"{url}/v1/messages", json=BODY, headers={"x-api-key": "k"}) as response:
            return json.loads(await response.read())

    return ask, session.close


def _client(url: str, window: int, *, aiohttp: bool, **options: Any) -> Any:
    import anthropic
    import httpx2

    limits = httpx2.Limits(max_connections=window, max_keepalive_connections=window)
    transport = anthropic.DefaultAioHttpClient if aiohttp else anthropic.DefaultAsyncHttpxClient
    http_client = transport(limits=limits, timeout=600.0)
    return anthropic.AsyncAnthropic(
        api_key="k", base_url=url, max_retries=0, timeout=600.0, http_client=http_client, **options
    )


def default_transport(url: str, window: int) -> Any:
    client = _client(url, window, aiohttp=False)
    return lambda: client.messages.create(**BODY), client.close


def aiohttp_transport(url: str, window: int) -> Any:
    client = _client(url, window, aiohttp=True)
    return lambda: client.messages.create(**BODY), client.close


def aiohttp_raw_response(url: str, window: int) -> Any:
    client = _client(url, window, aiohttp=True)

    async def ask() -> Any:
        response = await client.messages.with_raw_response.create(**BODY)
        return json.loads(response.http_response.content)

    return ask, client.close


def _posting(client: Any) -> Any:
    import httpx2

    async def ask() -> Any:
        response = await client.post("/v1/messages", cast_to=httpx2.Response, body=BODY)
        return json.loads(response.content)

    return ask, client.close


def aiohttp_post(url: str, window: int) -> Any:
    return _posting(_client(url, window, aiohttp=True))


def aiohttp_post_untraced(url: str, window: int) -> Any:
    return _posting(_client(url, window, aiohttp=True, open_telemetry=False))


def default_transport_post(url: str, window: int) -> Any:
    return _posting(_client(url, window, aiohttp=False))


def sdk_stream(url: str, window: int) -> Any:
    client = _client(url, window, aiohttp=True)

    async def ask() -> Any:
        async with client.messages.stream(**BODY) as stream:
            return await stream.get_final_message()

    return ask, client.close


def _plugin(url: str, window: int, *, stream: bool) -> Any:
    from pydantic import SecretStr

    from limbeck.types import GenerationRequest
    from limbeck_anthropic.anthropic import AnthropicLLM

    key = SecretStr("k")
    llm = AnthropicLLM(model=BODY["model"], base_url=url, api_key=key, max_concurrency=window, stream=stream)
    chat = [{"role": "system", "content": BODY["system"]}, *BODY["messages"]]
    request = GenerationRequest(messages=chat)
    return lambda: llm.agenerate(request), llm.aclose


def plugin(url: str, window: int) -> Any:
    return _plugin(url, window, stream=False)


def plugin_streaming(url: str, window: int) -> Any:
    return _plugin(url, window, stream=True)


WAYS: dict[str, Way] = {
    "bare aiohttp": bare_aiohttp,
    "SDK, default transport": default_transport,
    "SDK, default transport, client.post": default_transport_post,
    "SDK, aiohttp transport": aiohttp_transport,
    "SDK, aiohttp, with_raw_response": aiohttp_raw_response,
    "SDK, aiohttp, client.post": aiohttp_post,
    "SDK, aiohttp, client.post, no tracing": aiohttp_post_untraced,
    "AnthropicLLM": plugin,
    "SDK, aiohttp, messages.stream": sdk_stream,
    "AnthropicLLM, streaming": plugin_streaming,
}


# The measurement


async def _drive(ask: Callable[[], Awaitable[Any]], count: int, window: int) -> None:
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
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="a part of the names of the ways to run")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.latency, options.events))
        return
    ways = {name: way for name, way in WAYS.items() if options.only in name or way is bare_aiohttp}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    with server_process(options.latency, options.events) as url:
        for _ in range(options.rounds):
            for name, way in ways.items():
                spent[name].append(cpu_ms(way, url, options.requests, options.window))
    floor = statistics.median(spent["bare aiohttp"])
    for name, rounds in spent.items():
        median = statistics.median(rounds)
        print(f"{name:40}{median:8.2f} ms{median / floor:8.1f} x")


if __name__ == "__main__":
    main()
