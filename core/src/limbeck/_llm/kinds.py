"""The base classes of backends that write no text: embedders, scorers and image generators."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from .model import Model


class Embedder(Model):
    """A model behind a provider that turns texts into vectors.

    A subclass writes `model_name` and one of

    - `async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse`,
    - `def embed(self, request)`, which runs in threads.

    A request holds the texts of up to `batch_size` rows. Where it is refused with a `BadRequestError`, it is
    asked again in halves, until the rows that cannot be embedded fail alone.

    Attributes:
        batch_size: texts in one request, at most.
    """

    _kind_of_class: ClassVar[str] = "embedder"

    batch_size: PositiveInt = 256


class Scorer(Model):
    """A model behind a provider that scores candidates: a reranker, or a reward model.

    A subclass writes `model_name` and one of

    - `async def ascore(self, request: ScoreRequest) -> ScoreResponse`,
    - `def score(self, request)`, which runs in threads.
    """

    _kind_of_class: ClassVar[str] = "scorer"


class ImageGenerator(Model):
    """A model behind a provider that draws.

    A subclass writes `model_name` and one of

    - `async def adraw(self, request: ImageRequest) -> ImageResponse`,
    - `def draw(self, request)`, which runs in threads.
    """

    _kind_of_class: ClassVar[str] = "image_generator"
