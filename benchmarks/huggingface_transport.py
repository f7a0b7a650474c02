"""CPU per request of the ways to a Hugging Face server, against a loopback server in its own process.

    python -m benchmarks.huggingface_transport [--requests 2000] [--window 256] [--latency 0.1] [--tokens 500]

The server answers from a fixed buffer after `--latency` seconds, so what is measured is the client: CPU seconds of
this process (`time.process_time`), imports and a warm-up left out. Rounds alternate between the ways; the median of
the rounds is printed, in milliseconds a request and as a multiple of bare aiohttp. A text answer has `--tokens` tokens
with their log-probabilities, as TGI sends them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Way = Callable[[str, int], tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]]

MESSAGES: Any = [
    {"role": "system", "content": "You are a careful geographer. " * 8},
    {"role": "user", "content": "What is the capital of Spain, and what is it known for? " * 12},
]
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "org/model",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "The capital of Spain is Madrid, on the Manzanares. " * 24},
        }
    ],
    "usage": {"prompt_tokens": 200, "completion_tokens": 300, "total_tokens": 500},
}
INFO = {"model_id": "org/model", "version": "3.3.4", "max_total_tokens": 4096}


def _text_answer(tokens: int) -> list[dict[str, Any]]:
    told = [{"id": place, "text": " city", "logprob": -0.5, "special": False} for place in range(tokens)]
    details = {"finish_reason": "length", "generated_tokens": tokens, "seed": None, "prefill": [], "tokens": told}
    return [{"generated_text": " city" * tokens, "details": details}]


# The server


class _Server(asyncio.Protocol):
    """Answers every complete request from a buffer: chats by their path, all other posts with a text."""

    def __init__(self, latency: float, tokens: int) -> None:
        self.latency = latency
        self.chat, self.text, self.info = map(_http, (CHAT, _text_answer(tokens), INFO))
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            return
        self.buffer = b""
        if head.startswith(b"GET"):
            self.transport.write(self.info)
        else:
            answer = self.chat if b"/chat/completions " in head else self.text
            asyncio.get_running_loop().call_later(self.latency, self._write, answer)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


def _http(body: Any) -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def _serve(latency: float, tokens: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Server(latency, tokens), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server_process(latency: float, tokens: int) -> Iterator[str]:
    """A server in its own process; gives its base URL."""
    module = "benchmarks.huggingface_transport"
    command = [sys.executable, "-m", module, "--serve", f"--latency={latency}", f"--tokens={tokens}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


# The ways. Each is given the base URL and the window, and gives one request as a function, and how to close.


def bare_aiohttp(url: str, window: int) -> Any:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=window))

    async def ask() -> Any:
        async with session.post(f"{url}/v1/chat/completions", json={"messages": MESSAGES}) as response:
            return json.loads(await response.read())

    return ask, session.close


def one_pool(url: str, window: int) -> Any:
    import httpx2

    limits = httpx2.Limits(max_connections=window, max_keepalive_connections=window)
    client = httpx2.AsyncClient(limits=limits, timeout=600.0)

    async def ask() -> Any:
        return (await client.post(f"{url}/v1/chat/completions", json={"messages": MESSAGES})).json()

    return ask, client.aclose


def small_pools(url: str, window: int) -> Any:
    from limbeck_huggingface._wire import Pool

    pool = Pool(window, timeout=600.0)

    async def ask() -> Any:
        body = json.dumps({"messages": MESSAGES}).encode()
        headers = {"content-type": "application/json"}
        return (await pool.request("POST", f"{url}/v1/chat/completions", headers=headers, content=body)).json()

    return ask, pool.aclose


def sdk_chat(url: str, window: int) -> Any:  # noqa: ARG001 - it stops at 100 connections, whatever is asked
    from huggingface_hub import AsyncInferenceClient

    client = AsyncInferenceClient(base_url=url, token="hf_none", timeout=600.0)
    return lambda: client.chat_completion(MESSAGES), client.close


def sdk_text(url: str, window: int) -> Any:  # noqa: ARG001 - as above
    from huggingface_hub import AsyncInferenceClient

    client = AsyncInferenceClient(base_url=url, token="hf_none", timeout=600.0)
    return lambda: client.text_generation(str(MESSAGES), details=True), client.close


def _plugin(url: str, window: int, **fields: Any) -> Any:
    from limbeck.types import GenerationRequest
    from limbeck_huggingface import InferenceEndpointsLLM

    llm = InferenceEndpointsLLM(base_url=url, max_concurrency=window, **fields)
    request = GenerationRequest(messages=MESSAGES)
    return lambda: llm.agenerate(request), llm.aclose


def plugin_chat(url: str, window: int) -> Any:
    return _plugin(url, window)


def plugin_text(url: str, window: int) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer: Any = PreTrainedTokenizerFast
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    # It is read at the first request, so it stays until the last.
    folder = tempfile.TemporaryDirectory()
    tokenizer(tokenizer_object=words, unk_token="?", chat_template=template).save_pretrained(folder.name)
    ask, aclose = _plugin(url, window, tokenizer_id=folder.name)

    async def close() -> None:
        await aclose()
        folder.cleanup()

    return ask, close


WAYS: dict[str, Way] = {
    "bare aiohttp": bare_aiohttp,
    "httpx2, one pool": one_pool,
    "httpx2, pools of 32": small_pools,
    "AsyncInferenceClient, chat": sdk_chat,
    "InferenceEndpointsLLM, chat": plugin_chat,
    "AsyncInferenceClient, text": sdk_text,
    "InferenceEndpointsLLM, text": plugin_text,
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
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--only", default="", help="a part of the names of the ways to run")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.latency, options.tokens))
        return
    ways = {name: way for name, way in WAYS.items() if options.only in name or way is bare_aiohttp}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    with server_process(options.latency, options.tokens) as url:
        for _ in range(options.rounds):
            for name, way in ways.items():
                spent[name].append(cpu_ms(way, url, options.requests, options.window))
    floor = statistics.median(spent["bare aiohttp"])
    for name, rounds in spent.items():
        median = statistics.median(rounds)
        print(f"{name:32}{median:8.2f} ms{median / floor:8.1f} x")


if __name__ == "__main__":
    main()
