"""A strict stand-in for OpenAI's embeddings, images and raw completions, on loopback.

    with openai_models(rate_limited()) as server:
        OpenAIEmbedder(model="m", base_url=server.url)

A text's vector is made of its digest, so it is the same in every request; bodies are checked against the types of
the installed SDK, and an empty text is refused as the service refuses it: with the whole request.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming

from .loopback import serving
from .openai_server import OpenAIServer, refusal
from .provider_server import Asked, Behaviour, Reply
from .request_types import fault_in

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMS: dict[str, Any] = {
    "/v1/embeddings": EmbeddingCreateParams,
    "/v1/images/generations": ImageGenerateParamsNonStreaming,
    "/v1/completions": CompletionCreateParamsNonStreaming,
}
_MOST_TEXTS = 2048
DIMENSIONS = 8
PNG = b"\x89PNG\r\n\x1a\n"


class OpenAIModelsServer(OpenAIServer):
    """The running server; the arguments are `OpenAIServer`'s."""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=64 * 2**20)
        for path in _FORMS:
            app.router.add_post(path, self.handle)
        return app

    def check(self, asked: Asked) -> None:
        self.check_key(asked.headers)
        fault = fault_in(_FORMS[asked.path], asked.body, strict=False)
        if fault is not None:
            raise refusal(400, f"Invalid '{fault.place}': {fault.message}.", param=fault.place)
        texts = asked.body.get("input", [])
        if not 0 <= len(texts) <= _MOST_TEXTS:
            raise refusal(400, "Invalid 'input': array too long.", param="input")
        if any(not text for text in texts):
            raise refusal(400, "Invalid 'input': input cannot be an empty string.", param="input")
        if not asked.body.get("prompt", "a prompt"):
            raise refusal(400, "Invalid 'prompt': it cannot be empty.", param="prompt")

    def plain(self, asked: Asked) -> Behaviour:
        self.answers += 1
        make = {"/v1/embeddings": embedded, "/v1/images/generations": drawn, "/v1/completions": completed}
        return Reply(body=make[asked.path](asked.body))


@contextmanager
def openai_models(*behaviours: Behaviour, **options: Any) -> Iterator[OpenAIModelsServer]:
    """Serve on a free port of loopback until the block ends; the arguments are `OpenAIServer`'s."""
    server = OpenAIModelsServer(*behaviours, **options)
    with serving(server.app()) as server.root:
        yield server


def vector_of(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text: numbers of 32 bits between -1 and 1, out of its digest."""
    drawn = hashlib.shake_128(text.encode()).digest(2 * dimensions)
    return [number / 32768 for (number,) in struct.iter_unpack("<h", drawn)]


def embedded(body: Any) -> Any:
    """The answer to a request for embeddings; the vectors come in no order but that of their `index`."""
    vectors = [vector_of(text, body.get("dimensions") or DIMENSIONS) for text in body["input"]]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.get("encoding_format"))}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in body["input"])
    return {
        "object": "list",
        "data": data[::-1],
        "model": f"{body['model']}-2026-01-01",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _encoded(vector: list[float], encoding: str | None) -> Any:
    if encoding != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def drawn(body: Any) -> Any:
    """The answer to a request for images: each is the name of a file format, the prompt and a number."""
    images = [PNG + f"{body['prompt']} {number}".encode() for number in range(body.get("n") or 1)]
    return {
        "created": 1_790_000_000,
        "data": [{"b64_json": base64.b64encode(image).decode()} for image in images],
        "output_format": "png",
        "usage": {
            "input_tokens": len(body["prompt"].split()),
            "output_tokens": 100 * len(images),
            "total_tokens": len(body["prompt"].split()) + 100 * len(images),
        },
    }


def completed(body: Any) -> Any:
    """The answer to a raw prompt: that it was gone on with."""
    texts = [f"{body['prompt']} and on" for _ in range(body.get("n") or 1)]
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1_790_000_000,
        "model": f"{body['model']}-2026-01-01",
        "choices": [
            {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }
