"""A loopback server that answers OpenAI's chat completions and embeddings, in its own process.

It counts what chats it was asked.

    python -m benchmarks.server [--latency 0.1] [--jitter 0.1] [--tail-fraction 0.02] … [--core 1]

It prints its port. It parses HTTP/1.1 by hand, so that the client is what a benchmark measures.
`GET /stats` gives the counts, `GET /prompts` what each prompt was asked and answered, `POST /reset` clears both.

Which calls are slow and which fail depends on the seed, the prompt and how often that prompt was asked,
never on the order of arrival: every contender meets the same ones.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
from array import array
from collections import deque
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b, shake_128
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# About 250 tokens, which is what an answer to a short question has.
_FILLER = json.dumps(" The valley lies between two rivers, and its people trade in salt." * 15)[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the server answers.

    Attributes:
        latency: seconds a call takes. jitter: the part of it that varies, uniformly, either way.
        tail_fraction: the part of the calls that take `tail_factor` times as long.
        rate: requests admitted a second (a token bucket that holds `burst`, by default one second's
            worth); the others get a 429 with `Retry-After: retry_after`. 0 for no limit.
        capacity: calls served at a time; the others wait in line, none is refused. 0 for no limit.
        error_rate: the part of the calls that end in a 500.
        samples: answers wanted for each prompt; what is answered beyond was bought twice.
        seed: changes which calls are slow and which fail.
    """

    latency: float = 0.0
    jitter: float = 0.0
    tail_fraction: float = 0.0
    tail_factor: float = 1.0
    rate: float = 0.0
    burst: float = 0.0
    retry_after: float = 1.0
    capacity: int = 0
    error_rate: float = 0.0
    samples: int = 1
    seed: int = 0

    def arguments(self) -> list[str]:
        """The command line that says the same."""
        return [f"--{name.replace('_', '-')}={value}" for name, value in asdict(self).items()]


class Bucket:
    """A token bucket: `rate` tokens a second, `size` at most, full at first."""

    def __init__(self, rate: float, size: float, now: float) -> None:
        self._rate = rate
        self._size = size
        self._tokens = size
        self._then = now

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        self._tokens = min(self._size, self._tokens + (now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass(slots=True)
class PromptCount:
    """What one prompt was: requests that asked it, requests admitted, answers given."""

    asked: int = 0
    admitted: int = 0
    paid: int = 0


class Counts:
    """What was asked, and what became of it."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.prompts: dict[str, PromptCount] = {}
        self.asked = self.answered = self.refused = self.errors = 0
        self.most_in_flight = self.most_served = 0
        self._in_flight = 0
        self._since = 0.0
        self._area = 0.0
        self._busy = 0.0

    def of(self, prompt: str) -> PromptCount:
        """The counts of one prompt."""
        count = self.prompts.get(prompt)
        if count is None:
            count = self.prompts[prompt] = PromptCount()
        return count

    def in_flight(self, change: int, now: float) -> None:
        """One request more, or one less."""
        if self._in_flight:
            self._area += self._in_flight * (now - self._since)
            self._busy += now - self._since
        self._since = now
        self._in_flight += change
        self.most_in_flight = max(self.most_in_flight, self._in_flight)

    def to_dict(self) -> dict[str, Any]:
        """As JSON. `mean_in_flight` is over the time in which there was any; what waits in line is in flight too."""
        paid = [count.paid for count in self.prompts.values()]
        return {
            "asked": self.asked,
            "prompts": len(self.prompts),
            "answered": self.answered,
            "refused": self.refused,
            "errors": self.errors,
            "paid": sum(paid),
            "paid_twice": sum(max(0, count - self._samples) for count in paid),
            "mean_in_flight": round(self._area / self._busy, 2) if self._busy else 0.0,
            "most_in_flight": self.most_in_flight,
            "most_served": self.most_served,
        }


class Call(NamedTuple):
    """A request that was admitted. `reply` sends bytes; `is_gone` says whether nobody would get them."""

    prompt: str
    attempt: int
    choices: int
    reply: Callable[[bytes], None]
    is_gone: Callable[[], bool]


class Model:
    """Decides when each call is answered, and with what.

    What has been begun is answered and counted as paid even when the client has left by
    then, as providers bill it; a call still in line is dropped with its connection.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._loop = asyncio.get_running_loop()
        self._line: deque[Call] = deque()
        self._served = 0
        self.reset()

    def reset(self) -> None:
        """Forget the counts, and fill the bucket."""
        behaviour = self._behaviour
        self.counts = Counts(behaviour.samples)
        size = behaviour.burst or max(1.0, behaviour.rate)
        self._bucket = Bucket(behaviour.rate, size, self._loop.time()) if behaviour.rate else None

    def ask(self, body: Any, reply: Callable[[bytes], None], is_gone: Callable[[], bool]) -> None:
        """Take a chat-completions request; its response goes to `reply`, now or later."""
        prompt = _text(body["messages"][-1]["content"])
        now = self._loop.time()
        counts = self.counts
        count = counts.of(prompt)
        counts.asked += 1
        count.asked += 1
        if self._bucket is not None and not self._bucket.take(now):
            counts.refused += 1
            reply(_refusal(self._behaviour.retry_after))
            return
        count.admitted += 1
        counts.in_flight(1, now)
        self._line.append(Call(prompt, count.admitted, body.get("n") or 1, reply, is_gone))
        self._serve()

    def _serve(self) -> None:
        while self._line and not (self._behaviour.capacity and self._served >= self._behaviour.capacity):
            call = self._line.popleft()
            if call.is_gone():
                self.counts.in_flight(-1, self._loop.time())
                continue
            self._served += 1
            self.counts.most_served = max(self.counts.most_served, self._served)
            self._loop.call_later(self._seconds(call), self._finish, call, self.counts)

    def _finish(self, call: Call, counts: Counts) -> None:
        self._served -= 1
        counts.in_flight(-1, self._loop.time())
        if self._chance("error", call) < self._behaviour.error_rate:
            counts.errors += 1
            call.reply(_ERROR)
        else:
            counts.answered += 1
            counts.of(call.prompt).paid += call.choices
            call.reply(_answer(call))
        self._serve()

    def _seconds(self, call: Call) -> float:
        behaviour = self._behaviour
        seconds = behaviour.latency
        if behaviour.jitter:
            seconds *= 1 + behaviour.jitter * (2 * self._chance("jitter", call) - 1)
        if behaviour.tail_fraction and self._chance("tail", call) < behaviour.tail_fraction:
            seconds *= behaviour.tail_factor
        return seconds

    def _chance(self, what: str, call: Call) -> float:
        """A number from 0 up to 1 that is the call's own."""
        text = f"{self._behaviour.seed}:{what}:{call.attempt}:{call.prompt}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def _text(content: Any) -> str:
    """A message's text, also where it comes in parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def answer_to(prompt: str) -> str:
    """How the model's answer to `prompt` begins."""
    return f"An answer to: {prompt}"


def _answer(call: Call) -> bytes:
    content = json.dumps(answer_to(call.prompt))[:-1] + _FILLER + '"'
    choices = ",".join(
        f'{{"index":{index},"message":{{"role":"assistant","content":{content},"refusal":null}},'
        '"logprobs":null,"finish_reason":"stop"}'
        for index in range(call.choices)
    )
    usage = f'{{"prompt_tokens":40,"completion_tokens":{250 * call.choices},"total_tokens":{40 + 250 * call.choices}}}'
    return _response(
        "200 OK",
        '{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"bench",'
        f'"choices":[{choices}],"usage":{usage}}}',
    )


def _response(status: str, body: str, headers: str = "") -> bytes:
    data = body.encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{headers}\r\n".encode()
        + data
    )


def _problem(status: str, code: str, headers: str = "") -> bytes:
    return _response(status, json.dumps({"error": {"message": status, "type": code, "code": code}}), headers)


def _refusal(retry_after: float) -> bytes:
    return _problem("429 Too Many Requests", "rate_limit_exceeded", f"Retry-After: {retry_after:g}\r\n")


_ERROR = _problem("500 Internal Server Error", "server_error")
_NOT_FOUND = _problem("404 Not Found", "not_found")
_UNREADABLE = _problem("400 Bad Request", "invalid_request_error")


REFUSED = "a text that is refused"
_DIMENSIONS = 64


def _embeddings(body: bytes) -> bytes:
    """The vectors of texts, each made of the text's digest; all are refused where one is `REFUSED`."""
    texts = json.loads(body)["input"]
    if REFUSED in texts:
        return _UNREADABLE
    data = [{"object": "embedding", "index": index, "embedding": _vector(text)} for index, text in enumerate(texts)]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _response("200 OK", json.dumps({"object": "list", "data": data, "model": "bench", "usage": usage}))


def _vector(text: str) -> str:
    """64 numbers of 32 bits, in base64."""
    numbers = array("f", [byte / 128 - 1 for byte in shake_128(text.encode()).digest(_DIMENSIONS)])
    return base64.b64encode(numbers.tobytes()).decode()


class Connection(asyncio.Protocol):
    """One client's connection: requests in, responses out, kept alive."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._take()) is not None:
            self._answer(*request)

    def _take(self) -> tuple[bytes, bytes] | None:
        """The next request's first line and body, once it is whole."""
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = _content_length(head)
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return head.partition(b"\r\n")[0], rest[:length]

    def _answer(self, line: bytes, body: bytes) -> None:
        method, _, rest = line.partition(b" ")
        path = rest.partition(b" ")[0]
        if method == b"POST" and path.endswith(b"/chat/completions"):
            self._chat(body)
        elif method == b"POST" and path.endswith(b"/embeddings"):
            self._write(_embeddings(body))
        else:
            self._write(self._page(method, path))

    def _chat(self, body: bytes) -> None:
        try:
            self._model.ask(json.loads(body), self._write, self._transport.is_closing)
        except (ValueError, KeyError, IndexError, TypeError):
            self._write(_UNREADABLE)

    def _page(self, method: bytes, path: bytes) -> bytes:
        model = self._model
        if path == b"/reset" and method == b"POST":
            model.reset()
            return _response("200 OK", "{}")
        if path == b"/stats":
            return _response("200 OK", json.dumps(model.counts.to_dict()))
        if path == b"/prompts":
            prompts = {prompt: asdict(count) for prompt, count in model.counts.prompts.items()}
            return _response("200 OK", json.dumps(prompts))
        if path.endswith(b"/models"):
            return _response("200 OK", '{"object":"list","data":[{"id":"bench","object":"model"}]}')
        return _NOT_FOUND

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0


async def serve(behaviour: Behaviour) -> None:
    """Serve until cancelled, on a free port of 127.0.0.1, which is printed."""
    loop = asyncio.get_running_loop()
    model = Model(behaviour)
    server = await loop.create_server(lambda: Connection(model), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Behaviour):
        default: Any = field.default
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--core", type=int, help="the core to run on, where the system lets one choose")
    options = vars(parser.parse_args())
    core = options.pop("core")
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    asyncio.run(serve(Behaviour(**options)))


if __name__ == "__main__":
    main()
