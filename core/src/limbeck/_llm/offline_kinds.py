"""The embedded stand-ins for models that write no text: deterministic, without a key or a network."""

from __future__ import annotations

import hashlib
import math
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveInt, PrivateAttr

from ..types import Capabilities, EmbeddingResponse, Image, ImageResponse, ScoreRequest, ScoreResponse, Usage
from .kinds import Embedder, ImageGenerator, Scorer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..types import EmbeddingRequest, ImageRequest

_WORD = re.compile(r"\w+")


class OfflineEmbedder(Embedder):
    """Not a model: a deterministic stand-in, whose vectors of texts with the same words are near each other.

    Attributes:
        model: what it calls itself. dimensions: of its vectors.
        stand_in: (of the class) that nothing is paid for.
    """

    stand_in: ClassVar[bool] = True

    model: str = "stand-in"
    dimensions: PositiveInt = 64

    _known: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return f"offline/{self.model}"

    def prime(self, examples: Iterable[tuple[str | EmbeddingRequest, Any]]) -> None:
        """Learn the answers to a task's own examples; a task calls it when it is loaded."""
        self._known.update((asked if isinstance(asked, str) else asked.texts[0], answer) for asked, answer in examples)

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        return EmbeddingResponse(
            vectors=[self._known.get(text) or hashed_vector(text, self.dimensions) for text in request.texts],
            usage=Usage(input_tokens=sum(map(_count, request.texts))),
            model=self.model_name,
        )


def hashed_vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1: each word, by its digest, adds to one of the dimensions or takes from it.

    The hashing trick (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).
    """
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place, sign = divmod(int.from_bytes(digest, "big"), 2)
        vector[place % dimensions] += 1.0 if sign else -1.0
    length = math.hypot(*vector)
    if not length:  # its words undo each other
        return [1.0, *vector[1:]]
    return [number / length for number in vector]


class OfflineScorer(Scorer):
    """Not a model: a deterministic stand-in, by whose score a candidate is good that has the words of the query.

    Attributes:
        model: what it calls itself.
        stand_in: (of the class) that nothing is paid for.
    """

    stand_in: ClassVar[bool] = True

    model: str = "stand-in"

    _known: dict[Any, Any] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return f"offline/{self.model}"

    def prime(self, examples: Iterable[tuple[Any, Any]]) -> None:
        """Learn the answers to a task's own examples; a task calls it when it is loaded."""
        for asked, scores in examples:
            query, candidates = (asked.query, asked.candidates) if isinstance(asked, ScoreRequest) else asked
            self._known[query, tuple(candidates)] = scores

    async def ascore(self, request: ScoreRequest) -> ScoreResponse:
        known = self._known.get((request.query, tuple(request.candidates)))
        scores = known or [common_words(request.query, candidate) for candidate in request.candidates]
        asked = sum(map(_count, (request.query, *request.candidates)))
        return ScoreResponse(scores=scores, usage=Usage(input_tokens=asked), model=self.model_name)


def common_words(query: str, candidate: str) -> float:
    """The share of the words of a query that a candidate has."""
    words = set(_WORD.findall(query.lower()))
    return len(words & set(_WORD.findall(candidate.lower()))) / len(words) if words else 0.0


class OfflineImageGenerator(ImageGenerator):
    """Not a model: a deterministic stand-in, which draws a few squares of colours that depend on the prompt.

    Attributes:
        model: what it calls itself.
        stand_in: (of the class) that nothing is paid for.
    """

    stand_in: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(native_n=True)

    model: str = "stand-in"

    _known: dict[str, Image] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return f"offline/{self.model}"

    def prime(self, examples: Iterable[tuple[str | ImageRequest, Image]]) -> None:
        """Learn the answers to a task's own examples; a task calls it when it is loaded."""
        self._known.update((asked if isinstance(asked, str) else asked.prompt, image) for asked, image in examples)

    async def adraw(self, request: ImageRequest) -> ImageResponse:
        images = [
            self._known.get(request.prompt) or Image(content=squares(f"{request.prompt} {sample}"))
            for sample in range(request.num_generations)
        ]
        return ImageResponse(images=images, usage=Usage(input_tokens=_count(request.prompt)), model=self.model_name)


def squares(text: str, *, side: int = 4, size: int = 8) -> bytes:
    """A small PNG file: `side` times `side` squares, each `size` pixels wide, in colours from the text's digest."""
    colours = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(3 * side * side)
    lines = []
    for row in range(side):
        pixels = b"".join(colours[3 * (row * side + column) :][:3] * size for column in range(side))
        lines += [b"\0" + pixels] * size
    width = side * size
    header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data)
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _count(text: str) -> int:
    return len(text.split())
