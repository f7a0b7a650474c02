"""What a task accepts as its LLM: anything with the right methods, whatever its class."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import LLM
from limbeck.errors import BadRequestError, PluginContractError
from limbeck.types import Capabilities, GenerationRequest, GenerationResponse
from support.questions import (
    PATIENCE,
    Ask,
    GatedLLM,
    answered,
    failed,
    processed,
    prompt_of,
    questions,
    response,
    run_in_thread,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Async:
    """The least of an asynchronous backend."""

    model_name = "duck"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        return response(prompt_of(request).upper())


class Blocking:
    """The least of a blocking backend."""

    model_name = "duck"

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        return response(prompt_of(request).upper())


class Batching:
    """A backend that answers many requests at once; the prompt "x" fails alone."""

    model_name = "duck"
    batch_size = 3

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResponse | Exception]:
        prompts = [prompt_of(request) for request in requests]
        self.batches.append(prompts)
        return [BadRequestError("not x") if prompt == "x" else response(prompt.upper()) for prompt in prompts]


class Subclass(LLM):
    """A blocking backend on the base class."""

    model: str = "duck"

    @property
    def model_name(self) -> str:
        return self.model

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        return response(prompt_of(request).upper())


@pytest.mark.parametrize("make", [Async, Blocking, Batching, Subclass], ids=lambda cls: cls.__name__)
def test_every_form_of_backend_answers_every_row_in_order(make: Any) -> None:
    rows = [{"question": letter} for letter in "abcdefgh"]
    assert processed(Ask(llm=make()), rows) == [answered(letter, letter.upper(), model="duck") for letter in "abcdefgh"]


@pytest.mark.parametrize("make", [Async, Blocking, Batching], ids=lambda cls: cls.__name__)
def test_every_form_of_backend_answers_several_times(make: Any) -> None:
    (row,) = processed(Ask(llm=make(), num_generations=3, group_generations=True), [{"question": "a"}])
    assert row["answer"] == ["A", "A", "A"]


def test_a_blocking_backend_runs_in_threads_side_by_side() -> None:
    together = threading.Barrier(4, timeout=PATIENCE)

    class Meeting(Blocking):
        def generate(self, request: GenerationRequest) -> GenerationResponse:
            together.wait()  # goes on only once four are here
            return super().generate(request)

    rows = processed(Ask(llm=Meeting()), questions(8))
    assert [row["answer"] for row in rows] == [str(place) for place in range(8)]


def test_a_blocking_backend_may_raise_typed_and_untyped_errors() -> None:
    class Moody(Blocking):
        def generate(self, request: GenerationRequest) -> GenerationResponse:
            if prompt_of(request) == "0":
                raise BadRequestError("no")
            raise ValueError("what?")

    assert processed(Ask(llm=Moody()), questions(2)) == [
        failed("0", "BadRequestError", "no", attempts=1, model="duck"),
        failed("1", "BackendError", "ValueError: what?", attempts=1, model="duck"),
    ]


def test_the_engine_forms_the_batches_of_a_batching_backend() -> None:
    llm = Batching()
    processed(Ask(llm=llm), questions(7))
    assert sorted(prompt for batch in llm.batches for prompt in batch) == [str(place) for place in range(7)]
    assert [len(batch) for batch in llm.batches] == [3, 3, 1]


def test_one_request_of_a_batch_may_fail_alone() -> None:
    rows = [{"question": "a"}, {"question": "x"}, {"question": "c"}]
    assert processed(Ask(llm=Batching()), rows) == [
        answered("a", "A", model="duck"),
        failed("x", "BadRequestError", "not x", attempts=1, model="duck"),
        answered("c", "C", model="duck"),
    ]


def test_a_batch_that_raises_fails_each_of_its_rows() -> None:
    class Broken(Batching):
        def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResponse | Exception]:
            raise MemoryError("no room")

    assert processed(Ask(llm=Broken()), questions(2)) == [
        failed(question, "BackendError", "MemoryError: no room", attempts=1, model="duck") for question in "01"
    ]


def test_a_batch_with_too_few_results_fails_each_of_its_rows_instead_of_shifting_answers() -> None:
    class Short(Batching):
        def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResponse | Exception]:
            return super().generate_batch(requests)[1:]

    message = "`generate_batch` returned 2 results for 3 requests."
    assert processed(Ask(llm=Short()), questions(3)) == [
        failed(question, "BackendError", message, attempts=1, model="duck") for question in "012"
    ]


def test_what_a_backend_declares_counts_without_the_base_class() -> None:
    class Native(Async):
        capabilities = Capabilities(native_n=True)

        def __init__(self) -> None:
            self.asked: list[int] = []

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            self.asked.append(request.num_generations)
            return response(*"abc"[: request.num_generations])

    llm = Native()
    rows = processed(Ask(llm=llm, num_generations=3), [{"question": "q"}])
    assert ([row["answer"] for row in rows], llm.asked) == (["a", "b", "c"], [3])


def test_no_more_requests_are_in_flight_than_the_backend_allows() -> None:
    llm = GatedLLM(max_concurrency=3, expect=3)

    def let_go() -> None:
        llm.wait_until_asked()
        llm.release()

    releasing = run_in_thread(let_go)
    rows = processed(Ask(llm=llm), questions(20))
    releasing.join(PATIENCE)
    assert ([row["answer"] for row in rows], llm.most) == ([str(place) for place in range(20)], 3)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"model_name": "m"}, "it must define `agenerate`, `generate` or `generate_batch`"),
        ({"model_name": "m", "agenerate": lambda self, request: None}, "`agenerate` must be `async def`"),
        ({"model_name": "m", "generate": lambda self: None}, "`generate` must accept one argument, `request`"),
        ({"generate": lambda self, request: None}, "`model_name` must be a property that returns a string"),
    ],
    ids=["no method", "agenerate that is not async", "no argument", "no name"],
)
def test_what_is_no_backend_is_refused_when_the_task_is_made_saying_why(members: dict[str, Any], fault: str) -> None:
    with pytest.raises(PluginContractError) as caught:
        Ask(llm=type("Duck", (), members)())
    assert fault in str(caught.value)
    assert "Duck` cannot be used as an LLM" in str(caught.value)
