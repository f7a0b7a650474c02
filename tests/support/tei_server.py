"""A strict stand-in for Hugging Face's servers of models that write no text, on loopback.

It is a Text Embeddings Inference (`/`, `/rerank`), an endpoint for pictures (`/` again), and the router and the Hub
for `hf-inference`. Bodies must be valid as huggingface_hub's own request types.

    with tei_server() as server:
        InferenceEmbedder(base_url=server.root)
"""

from __future__ import annotations

import hashlib
import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NotRequired

from aiohttp import web
from huggingface_hub.inference._generated.types.feature_extraction import FeatureExtractionInput
from huggingface_hub.inference._generated.types.sentence_similarity import SentenceSimilarityInput
from huggingface_hub.inference._generated.types.text_to_image import TextToImageInput
from typing_extensions import TypedDict

from .loopback import serving
from .provider_server import Asked, Behaviour, ProviderServer, RefusedError, Reply, send
from .request_types import fault_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

Job = Literal["feature-extraction", "sentence-similarity", "text-to-image"]
_FORMS: dict[str, Any] = {
    "feature-extraction": FeatureExtractionInput,
    "sentence-similarity": SentenceSimilarityInput,
    "text-to-image": TextToImageInput,
}
PNG = b"\x89PNG\r\n\x1a\n"
MOST_TEXTS = 32


class RerankInput(TypedDict):
    """The body of `/rerank` (https://huggingface.github.io/text-embeddings-inference/)."""

    query: str
    texts: list[str]
    raw_scores: NotRequired[bool]
    return_text: NotRequired[bool]
    truncate: NotRequired[bool]
    truncation_direction: NotRequired[Literal["left", "right"]]


class TEIServer(ProviderServer):
    """The running server.

    Args:
        job: what its `/` does.

    Attributes:
        models: those of the Hub, by id.
    """

    def __init__(self, *behaviours: Behaviour, job: Job = "feature-extraction") -> None:
        super().__init__(*behaviours)
        self.job = job
        self.models: dict[str, dict[str, Any]] = {}

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=64 * 2**20)
        for path in ("/", "/rerank", "/hf-inference/models/{path:.*}"):
            app.router.add_post(path, self.handle)
        app.router.add_get("/{path:.*}", self._hub)
        return app

    def check(self, asked: Asked) -> None:
        form = RerankInput if asked.path == "/rerank" else _FORMS[self.job_of(asked)]
        fault = fault_in(form, asked.body, strict=False)
        if fault is not None:
            raise _refused(422, f"Failed to deserialize the JSON body: {fault}")
        texts = asked.body.get("inputs", asked.body.get("texts"))
        if isinstance(texts, list) and len(texts) > MOST_TEXTS:
            raise _refused(413, f"batch size {len(texts)} > maximum allowed batch size {MOST_TEXTS}")
        if isinstance(texts, list) and "" in texts:
            raise _refused(422, "`inputs` cannot be empty")

    def job_of(self, asked: Asked) -> str:
        """What a request is for."""
        _, found, pipeline = asked.path.partition("/pipeline/")
        return pipeline if found else self.job

    def plain(self, asked: Asked) -> Behaviour:
        self.answers += 1
        body = asked.body
        if asked.path == "/rerank":
            scores = [similarity(body["query"], text) for text in body["texts"]]
            ranked = sorted(enumerate(scores), key=lambda each: -each[1])
            return Reply(body=[{"index": index, "score": score} for index, score in ranked])
        if self.job_of(asked) == "feature-extraction":
            return Reply(body=[vector_of(text) for text in body["inputs"]])
        if self.job_of(asked) == "sentence-similarity":
            inputs = body["inputs"]
            return Reply(body=[similarity(inputs["source_sentence"], each) for each in inputs["sentences"]])
        return Reply(body=PNG + body["inputs"].encode(), content_type="image/png")

    async def _hub(self, request: web.Request) -> web.StreamResponse:
        asked = await self.read(request)
        found = self.models.get(asked.path.removeprefix("/api/models/"))
        return await send(Reply(body=found or {"error": "Not Found"}, status=200 if found else 404), request)


def _refused(status: int, message: str) -> RefusedError:
    return RefusedError(message, Reply(status=status, body={"error": message, "error_type": "Validation"}))


@contextmanager
def tei_server(*behaviours: Behaviour, job: Job = "feature-extraction") -> Iterator[TEIServer]:
    """Serve on a free port of loopback until the block ends; the arguments are `TEIServer`'s."""
    server = TEIServer(*behaviours, job=job)
    with serving(server.app()) as server.root:
        yield server


def vector_of(text: str, dimensions: int = 8) -> list[float]:
    """The vector of a text: numbers of 32 bits between -1 and 1, out of its words' digests."""
    drawn = [hashlib.shake_128(word.encode()).digest(2 * dimensions) for word in text.lower().split() or [""]]
    words = [[number / 32768 for (number,) in struct.iter_unpack("<h", each)] for each in drawn]
    return [sum(column) for column in zip(*words, strict=True)]


def similarity(first: str, second: str) -> float:
    """The cosine of the vectors of two texts."""
    one, other = vector_of(first), vector_of(second)
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other) or 1.0)


def point_the_sdk_here(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `url` the Hub and the router of `hf-inference`, for huggingface_hub in this process."""
    from huggingface_hub import constants
    from huggingface_hub.inference._providers import PROVIDERS, _common, hf_inference

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{url}/{{provider}}")
    for task in _FORMS:
        monkeypatch.setattr(PROVIDERS["hf-inference"][task], "base_url", f"{url}/hf-inference")
    _common._fetch_inference_provider_mapping.cache_clear()
    hf_inference._check_supported_task.cache_clear()
