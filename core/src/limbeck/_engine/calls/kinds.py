"""The kinds of models that write no text: what they are asked by, and what their answers are made into.

A kind is a request type, a response type, the methods that answer, and how the response to a request that several
rows share is parted among them. What each row gets is a response of its own with one answer, as if it had been asked
alone, so nothing behind it knows of kinds.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...errors import BackendError
from ...types import (
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

    from ...types import ModelKind, Request, Response


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model.

    Attributes:
        name: the registry's. native, blocking: the names of the methods that answer.
        response: the type of its responses.
        parted: the response for each of the requests that share one, or a fault in place of one that cannot be read;
            raises `BackendError` where nothing can.
        joined: one request of several, which differ in nothing else; None where each goes alone.
    """

    name: ModelKind
    native: str
    blocking: str
    response: type[Response]
    parted: Callable[[Any, Sequence[Any]], list[Response | BackendError]]
    joined: Callable[[Sequence[Any]], Request] | None = None


# Embeddings


def _joined_texts(requests: Sequence[EmbeddingRequest]) -> EmbeddingRequest:
    if len(requests) == 1:
        return requests[0]
    texts = [text for request in requests for text in request.texts]
    return EmbeddingRequest(texts=texts, parameters=requests[0].parameters)


def _parted_vectors(response: EmbeddingResponse, requests: Sequence[EmbeddingRequest]) -> list[Response | BackendError]:
    texts = [text for request in requests for text in request.texts]
    vectors = _listed(response.vectors, "vectors", len(texts))
    parts: list[Response | BackendError] = []
    for vector, usage in zip(vectors, shares(response.usage, list(map(len, texts))), strict=True):
        try:
            floats = float32(vector)
        except (TypeError, ValueError, OverflowError) as exc:
            fault = f"The backend gave what is no vector of finite numbers for a text: {exc}."
            parts.append(BackendError(fault, usage=usage))
        else:
            parts.append(EmbeddingResponse(vectors=[floats], usage=usage, model=response.model, quota=response.quota))
    return parts


def float32(vector: Any) -> array[float]:
    """A vector as it is kept: of 32-bit floats, so that it is the same when it is read again.

    Raises:
        TypeError, ValueError: it is none, is empty, or holds what is not finite.
    """
    floats: array[float] = vector if type(vector) is array and vector.typecode == "f" else _floats(vector)
    if not len(floats):
        raise ValueError("it is empty")
    if not math.isfinite(sum(floats)):
        raise ValueError("a number of it is not finite")
    return floats


def _floats(vector: Any) -> array[float]:
    if isinstance(vector, str | bytes | bytearray):
        raise TypeError(f"it is {type(vector).__name__}")
    tolist = getattr(vector, "tolist", None)  # of numpy and torch
    return array("f", vector if tolist is None else tolist())


# Scores


def _scores(response: ScoreResponse, requests: Sequence[ScoreRequest]) -> list[Response | BackendError]:
    (request,) = requests
    scores = [float(score) for score in _listed(response.scores, "scores", len(request.candidates))]
    if not all(map(math.isfinite, scores)):
        raise BackendError("The backend gave a score that is not finite.", usage=response.usage)
    return [replace(response, scores=scores)]


# Images


def _images(response: ImageResponse, requests: Sequence[ImageRequest]) -> list[Response | BackendError]:  # noqa: ARG001
    given: Any = response.images
    images: Sequence[Any] = _listed(given, "images", None)
    for image in images:
        if not isinstance(image, Image) or type(image.content) is not bytes or not image.content:
            what = "an `Image` without bytes" if isinstance(image, Image) else type(image).__name__
            raise BackendError(f"The backend's `images` hold {what}.", usage=response.usage)
    return [response]


def _listed(given: Any, name: str, count: int | None) -> Sequence[Any]:
    """The answers of a response, which has one for each that was asked for."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        tolist = getattr(given, "tolist", None)
        given = None if tolist is None else tolist()
    if not isinstance(given, Sequence):
        raise BackendError(f"The backend's response has no list as its `{name}`.")
    if count is not None and len(given) != count:
        raise BackendError(f"The backend gave {len(given)} `{name}` where {count} were asked for.")
    return given


def shares(usage: Usage | None, sizes: Sequence[int]) -> list[Usage | None]:
    """The tokens of one response, parted by the sizes of what was asked: whole tokens, whose sum is what was billed."""
    if usage is None or len(sizes) == 1:
        return [usage] * len(sizes)
    total = sum(sizes)
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + (size if total else 1))
    whole = bounds[-1]
    if usage.output_tokens == usage.cached_tokens == usage.reasoning_tokens == 0:  # the usual case, in a hurry
        return [Usage(input_tokens=read) for read in _differences(usage.input_tokens, bounds, whole)]
    columns = [
        _differences(tokens, bounds, whole)
        for tokens in (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    ]
    return [
        Usage(input_tokens=read, output_tokens=written, cached_tokens=cached, reasoning_tokens=reasoned)
        for read, written, cached, reasoned in zip(*columns, strict=True)
    ]


def _differences(tokens: int, bounds: Sequence[int], whole: int) -> list[int]:
    if not tokens:
        return [0] * (len(bounds) - 1)
    until = [tokens * bound // whole for bound in bounds]
    return [after - before for before, after in pairwise(until)]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("embedder", "aembed", "embed", EmbeddingResponse, _parted_vectors, _joined_texts),
        Kind("scorer", "ascore", "score", ScoreResponse, _scores),
        Kind("image_generator", "adraw", "draw", ImageResponse, _images),
    )
}
