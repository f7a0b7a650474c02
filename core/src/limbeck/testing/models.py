"""Models that write no text, without a provider."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import Field, PositiveInt, PrivateAttr

from .._llm.kinds import Embedder, ImageGenerator, Scorer
from .._llm.offline_kinds import hashed_vector
from ..types import (
    EmbeddingRequest,
    EmbeddingResponse,
    Image,
    ImageRequest,
    ImageResponse,
    ScoreRequest,
    ScoreResponse,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Asked = TypeVar("Asked")


class _Script(Generic[Asked]):
    """Answers in order, or a function of what is asked."""

    def __init__(self, script: Any) -> None:
        self._function: Callable[[Asked], Any] | None = script if callable(script) else None
        self._left: deque[Any] = deque() if callable(script) else deque(script)

    def answer(self, asked: Asked) -> Any:
        """The next answer, or the error that stands in its place, raised."""
        if self._function is None and not self._left:
            raise AssertionError(f"The script has no answer left, and it was asked for one more: {asked!r}")
        found = self._left.popleft() if self._function is None else self._function(asked)
        if isinstance(found, BaseException):
            raise found
        return found


class HashEmbedder(Embedder):
    """Embeds by the digests of words: equal texts have equal vectors, and those with common words near ones.

    Attributes:
        model: what it calls itself. dimensions: of its vectors. latency: seconds each answer takes.
    """

    model: str = "hash"
    dimensions: PositiveInt = 16
    latency: float = Field(default=0.0, ge=0)

    _requests: list[EmbeddingRequest] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def requests(self) -> list[EmbeddingRequest]:
        """Every request so far, in the order they were sent."""
        return self._requests

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self._requests.append(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        usage = Usage(input_tokens=sum(len(text.split()) for text in request.texts))
        return EmbeddingResponse(vectors=[hashed_vector(text, self.dimensions) for text in request.texts], usage=usage)


class ScriptedEmbedder(Embedder):
    """Embeds as told.

        ScriptedEmbedder(script=[[1.0, 0.0], [0.0, 1.0]])
        ScriptedEmbedder(script=lambda text: [len(text)] if text else BadRequestError("An empty text."))

    Attributes:
        script: vectors in the order of the texts, or a function of a text. An error in place of a vector fails the
            request that the text is in, as a provider does.
        model: what it calls itself.
    """

    script: Any = Field(exclude=True)
    model: str = "scripted"

    _script: _Script[str] | None = PrivateAttr(default=None)
    _requests: list[EmbeddingRequest] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def requests(self) -> list[EmbeddingRequest]:
        """Every request so far, in the order they were sent."""
        return self._requests

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self._requests.append(request)
        self._script = self._script or _Script(self.script)
        vectors = [self._script.answer(text) for text in request.texts]
        return EmbeddingResponse(vectors=vectors, usage=Usage(input_tokens=sum(map(len, request.texts))))


class ScriptedScorer(Scorer):
    """Scores as told.

        ScriptedScorer(script=[[0.9, 0.1], RateLimitError(retry_after=1)])
        ScriptedScorer(script=lambda request: [len(text) for text in request.candidates])

    Attributes:
        script: the scores for each request in order, or a function of a request; a whole response, or an error, too.
        model: what it calls itself.
    """

    script: Any = Field(exclude=True)
    model: str = "scripted"

    _script: _Script[ScoreRequest] | None = PrivateAttr(default=None)
    _requests: list[ScoreRequest] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def requests(self) -> list[ScoreRequest]:
        """Every request so far, in the order they were sent."""
        return self._requests

    async def ascore(self, request: ScoreRequest) -> ScoreResponse:
        self._requests.append(request)
        self._script = self._script or _Script(self.script)
        answer = self._script.answer(request)
        if isinstance(answer, ScoreResponse):
            return answer
        return ScoreResponse(scores=answer, usage=Usage(input_tokens=len(request.candidates)))


class ScriptedImageGenerator(ImageGenerator):
    """Draws as told.

        ScriptedImageGenerator(script=[Image(content=png), ContentFilteredError("No.")])
        ScriptedImageGenerator(script=lambda request: request.prompt.encode())

    Attributes:
        script: for each request in order, or as a function of it: an `Image`, its bytes, a whole response, or an error.
        model: what it calls itself.
    """

    script: Any = Field(exclude=True)
    model: str = "scripted"

    _script: _Script[ImageRequest] | None = PrivateAttr(default=None)
    _requests: list[ImageRequest] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def requests(self) -> list[ImageRequest]:
        """Every request so far, in the order they were sent."""
        return self._requests

    async def adraw(self, request: ImageRequest) -> ImageResponse:
        self._requests.append(request)
        self._script = self._script or _Script(self.script)
        answer = self._script.answer(request)
        if isinstance(answer, ImageResponse):
            return answer
        image = answer if isinstance(answer, Image) else Image(content=answer)
        return ImageResponse(images=[image])
