"""The kinds of models: what the response to a request that rows share is parted into."""

from __future__ import annotations

import math
from array import array
from typing import Any

import pytest

from limbeck._engine.calls.kinds import KINDS, float32, shares
from limbeck.errors import BackendError
from limbeck.types import (
    EmbeddingRequest,
    EmbeddingResponse,
    Image,
    ImageRequest,
    ImageResponse,
    ScoreRequest,
    ScoreResponse,
    Usage,
)

EMBEDDER, SCORER, DRAWER = KINDS["embedder"], KINDS["scorer"], KINDS["image_generator"]


def texts(*each: str) -> list[EmbeddingRequest]:
    return [EmbeddingRequest(texts=[text]) for text in each]


def parted(vectors: Any, *each: str, **facts: Any) -> list[Any]:
    return EMBEDDER.parted(EmbeddingResponse(vectors=vectors, **facts), texts(*each))


def test_the_texts_of_several_rows_become_one_request_in_their_order() -> None:
    assert EMBEDDER.joined is not None
    joined = EMBEDDER.joined(texts("a", "b", "c"))
    assert isinstance(joined, EmbeddingRequest)
    assert joined.texts == ["a", "b", "c"]


def test_each_row_gets_its_own_vector_and_the_model_that_made_it() -> None:
    first, second = parted([[1.0], [2.0]], "a", "b", model="m-2026")
    assert [list(first.vectors[0]), list(second.vectors[0])] == [[1.0], [2.0]]
    assert (first.model, second.model) == ("m-2026", "m-2026")


@pytest.mark.parametrize(
    "vector",
    [[0.5, -1.0], (0.5, -1.0), array("d", [0.5, -1.0]), array("f", [0.5, -1.0])],
    ids=lambda v: type(v).__name__,
)
def test_a_vector_of_any_form_becomes_one_of_32_bits(vector: Any) -> None:
    assert float32(vector) == array("f", [0.5, -1.0])


def test_an_array_of_another_library_is_a_vector() -> None:
    class Tensor:
        def tolist(self) -> list[float]:
            return [0.25]

    assert float32(Tensor()) == array("f", [0.25])


@pytest.mark.parametrize(
    "vector", [None, "0.5", b"0000", [], [math.nan], [math.inf], [1e300], ["a"], [[1.0]], 7], ids=repr
)
def test_what_is_no_vector_fails_its_row_alone(vector: Any) -> None:
    good, bad = parted([[1.0], vector], "a", "b", usage=Usage(input_tokens=4))
    assert isinstance(good, EmbeddingResponse)
    assert isinstance(bad, BackendError)
    assert bad.usage == Usage(input_tokens=2)


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0]] * 3, None, "ab", 7], ids=repr)
def test_another_number_of_vectors_than_texts_fails_all_of_them(vectors: Any) -> None:
    with pytest.raises(BackendError):
        parted(vectors, "a", "b")


@pytest.mark.parametrize("tokens", [0, 1, 2, 7, 1000, 999_983])
@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [0, 0], [5, 0, 1], [10**6, 1], list(range(256))], ids=len)
def test_the_shares_of_the_tokens_sum_up_to_what_was_billed(tokens: int, sizes: list[int]) -> None:
    billed = Usage(input_tokens=tokens, output_tokens=tokens // 3)
    parts = shares(billed, sizes)
    assert len(parts) == len(sizes)
    assert sum((part for part in parts if part is not None), Usage()) == billed


def test_a_longer_text_has_a_larger_share_of_the_tokens() -> None:
    assert [part and part.input_tokens for part in shares(Usage(input_tokens=10), [8, 2])] == [8, 2]


def test_tokens_that_are_not_known_are_known_of_no_row() -> None:
    assert shares(None, [1, 2]) == [None, None]


def test_scores_are_one_answer_of_numbers() -> None:
    request = ScoreRequest(query="q", candidates=["a", "b"])
    (part,) = SCORER.parted(ScoreResponse(scores=(1, 0.5)), [request])
    assert isinstance(part, ScoreResponse)
    assert part.generations[0].value == [1.0, 0.5]


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], None], ids=repr)
def test_scores_that_are_not_one_a_candidate_are_a_fault_of_the_backend(scores: Any) -> None:
    with pytest.raises(BackendError):
        SCORER.parted(ScoreResponse(scores=scores), [ScoreRequest(query="q", candidates=["a", "b"])])


@pytest.mark.parametrize("images", [["a path"], [Image(content=b"")], [Image(content="text")], None], ids=repr)  # type: ignore[arg-type]  # wrong on purpose
def test_what_is_no_image_is_a_fault_of_the_backend(images: Any) -> None:
    with pytest.raises(BackendError):
        DRAWER.parted(ImageResponse(images=images), [ImageRequest(prompt="p")])
