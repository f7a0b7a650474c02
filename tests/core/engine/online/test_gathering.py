"""The time that rows have to come together, and what is done when a request of several is refused or fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import EmbeddingTask
from limbeck.errors import BadRequestError, ContentFilteredError, RateLimitError, TransientError
from limbeck.testing import HashEmbedder, ScriptedEmbedder
from limbeck.types import Row, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator


class Embed(EmbeddingTask):
    """Embeds a column."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding"]

    def format_input(self, input: Row) -> str:
        return str(input["text"])

    def format_output(self, output: list[float], input: Row) -> Row:
        return {"embedding": output}


def rows(count: int, *, bad: tuple[int, ...] = ()) -> list[Row]:
    return [{"text": f"bad {place}" if place in bad else f"text {place}"} for place in range(count)]


def sizes(embedder: Any) -> list[int]:
    return [len(request.texts) for request in embedder.requests]


def refusing(text: str) -> Any:
    return BadRequestError(f"It is refused: {text}.") if text.startswith("bad") else [float(len(text))]


def test_rows_of_a_list_share_requests_of_up_to_the_batch_size() -> None:
    embedder = HashEmbedder(batch_size=100)
    next(Embed(embedder=embedder).process(rows(250)))
    assert sizes(embedder) == [100, 100, 50]


def test_rows_that_are_read_one_by_one_come_together() -> None:
    embedder = HashEmbedder(batch_size=64)
    assert len(list(Embed(embedder=embedder).run(iter(rows(640))))) == 640
    assert 1 < max(sizes(embedder)) <= 64
    assert len(sizes(embedder)) < 640


def test_a_row_that_none_follows_for_now_is_sent_without_it() -> None:
    answered = threading.Event()

    def one_by_one() -> Iterator[Row]:
        for row in rows(3):
            yield row
            assert answered.wait(10)
            answered.clear()

    embedder = HashEmbedder(batch_size=64)
    for _ in Embed(embedder=embedder).run(one_by_one()):
        answered.set()
    assert sizes(embedder) == [1, 1, 1]


def test_an_embedder_that_takes_one_text_a_request_gets_one() -> None:
    class OneByOne:
        model_name = "one-by-one"

        def __init__(self) -> None:
            self.requests: list[Any] = []

        async def aembed(self, request: Any) -> Any:
            self.requests.append(request)
            return await HashEmbedder().aembed(request)

    embedder = OneByOne()
    next(Embed(embedder=embedder).process(rows(3)))
    assert sizes(embedder) == [1, 1, 1]


@pytest.mark.parametrize("bad", [(0,), (255,), (7, 8), (0, 100, 255), tuple(range(0, 256, 16))], ids=len)
def test_only_the_rows_that_are_refused_fail(bad: tuple[int, ...]) -> None:
    embedder = ScriptedEmbedder(script=refusing)
    made = next(Embed(embedder=embedder).process(rows(256, bad=bad)))
    assert [place for place, row in enumerate(made) if row["embedding"] is None] == list(bad)
    for place in bad:
        error = made[place]["distilabel_metadata"]["error_embed"]
        assert error == {"type": "BadRequestError", "message": f"It is refused: bad {place}.", "attempts": 1}


def test_one_refused_text_costs_requests_by_the_logarithm_of_those_that_it_was_among() -> None:
    embedder = ScriptedEmbedder(script=refusing)
    next(Embed(embedder=embedder).process(rows(256, bad=(77,))))
    assert len(embedder.requests) == 1 + 2 * 8


def test_a_text_that_a_filter_refuses_fails_alone_with_its_own_type() -> None:
    embedder = ScriptedEmbedder(script=lambda text: ContentFilteredError("No.") if text == "text 2" else [1.0])
    made = next(Embed(embedder=embedder).process(rows(4)))
    assert [row["embedding"] for row in made] == [[1.0], [1.0], None, [1.0]]
    assert made[2]["distilabel_metadata"]["error_embed"]["type"] == "ContentFilteredError"


def test_a_refusal_that_was_paid_for_is_counted_once_and_divided_too() -> None:
    def answer(text: str) -> Any:
        return BadRequestError("No.", usage=Usage(input_tokens=5)) if text == "text 1" else [1.0]

    stream = Embed(embedder=ScriptedEmbedder(script=answer)).run(rows(4))
    assert [row["embedding"] is not None for row in stream] == [True, False, True, True]
    # Three refusals of 5 tokens, and the lengths of the three texts that were embedded.
    assert stream.stats.usage.input_tokens == 3 * 5 + 3 * len("text 1")


def test_a_request_that_is_refused_whatever_it_holds_ends_the_run_after_few_attempts() -> None:
    embedder = ScriptedEmbedder(script=lambda _: BadRequestError("There is no such model."), breaker_threshold=5)
    stream = Embed(embedder=embedder).run(rows(4096))
    with pytest.raises(Exception, match="There is no such model"):
        list(stream)
    assert len(embedder.requests) < 1000


@pytest.mark.parametrize("error", [TransientError("Later."), RateLimitError(retry_after=0.01)], ids=repr)
def test_what_failed_together_for_now_is_asked_again_together(error: Exception) -> None:
    answers: list[Any] = [error, *[[1.0]] * 100]
    embedder = ScriptedEmbedder(script=answers)
    made = next(Embed(embedder=embedder).process(rows(100)))
    assert all(row["embedding"] == [1.0] for row in made)
    assert sizes(embedder) == [100, 100]


def test_a_vector_that_is_none_fails_its_row_and_no_other() -> None:
    embedder = ScriptedEmbedder(script=[[1.0], None, [3.0]])
    made = next(Embed(embedder=embedder).process(rows(3)))
    assert [row["embedding"] for row in made] == [[1.0], None, [3.0]]
