"""What the core accepts: the right methods, whatever the class."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import LLM, Task
from limbeck.errors import PluginContractError
from limbeck.protocols import check_llm, class_faults
from limbeck.testing import EchoLLM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, GenerationRequest, GenerationResponse, Row


class InHouse:
    """A company's own class, which knows nothing of Limbeck."""

    model_name = "in-house"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        raise NotImplementedError


class Blocking:
    model_name = "blocking"

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        raise NotImplementedError


class Weights:
    model_name = "weights"

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[GenerationResponse]:
        raise NotImplementedError


class WithMore(InHouse):
    async def agenerate(
        self, request: GenerationRequest, priority: int = 0, *extra: Any, **more: Any
    ) -> GenerationResponse:
        raise NotImplementedError


class Static:
    model_name = "static"

    @staticmethod
    async def agenerate(request: Any) -> Any: ...

    @classmethod
    def generate(cls, request: Any) -> Any: ...


class Callable_:
    async def __call__(self, request: Any) -> Any: ...


class Delegating:
    """Its method is an object that can be called."""

    model_name = "delegating"
    agenerate = Callable_()


@pytest.mark.parametrize("cls", [InHouse, Blocking, Weights, WithMore, Static, Delegating, EchoLLM])
def test_an_object_with_the_methods_of_a_backend_is_one(cls: Any) -> None:
    check_llm(cls())
    assert class_faults("llm", cls) == []


def test_a_method_given_to_an_instance_counts() -> None:
    llm: Any = Blocking()
    llm.agenerate = functools.partial(InHouse.agenerate, llm)

    check_llm(llm)


class Nothing:
    model_name = "nothing"


class SyncAgenerate:
    model_name = "wrong"

    def agenerate(self, request: Any) -> Any: ...


class AsyncGenerate:
    model_name = "wrong"

    async def generate(self, request: Any) -> Any: ...


class AsyncBatch:
    model_name = "wrong"

    async def generate_batch(self, requests: Any) -> Any: ...


class NoArgument:
    model_name = "wrong"

    async def agenerate(self) -> Any: ...


class TwoArguments:
    model_name = "wrong"

    def generate_batch(self, requests: Any, more: Any) -> Any: ...


WRONG = [
    (Nothing, "it must define `agenerate`, `generate` or `generate_batch`"),
    (SyncAgenerate, "`agenerate` must be `async def` (a blocking method is named `generate`)"),
    (AsyncGenerate, "`generate` must be a plain `def`; it runs in a thread"),
    (AsyncBatch, "`generate_batch` must be a plain `def`; it runs in a thread"),
    (NoArgument, "`agenerate` must accept one argument, `request`"),
    (TwoArguments, "`generate_batch` must accept one argument, `requests`"),
]


@pytest.mark.parametrize(("cls", "fault"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_a_backend_with_a_wrong_method_is_refused_with_the_fault(cls: type, fault: str) -> None:
    with pytest.raises(PluginContractError) as caught:
        check_llm(cls())

    assert caught.value.faults == [fault]
    assert str(caught.value).startswith(f"`{__name__}.{cls.__name__}` cannot be used as an LLM: ")


@pytest.mark.parametrize(("cls", "fault"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_class_of_such_a_backend_is_refused_with_the_same_fault(cls: type, fault: str) -> None:
    assert class_faults("llm", cls) == [fault]


def test_all_faults_are_told_at_once() -> None:
    class Wrong:
        model_name = 7

        def agenerate(self) -> Any: ...

    with pytest.raises(PluginContractError) as caught:
        check_llm(Wrong())
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("model_name", [None, 7])
def test_a_model_name_must_be_text(model_name: object) -> None:
    llm = InHouse()
    llm.model_name = model_name  # type: ignore[assignment]  # what is tested

    with pytest.raises(PluginContractError, match="`model_name` must be a property that returns a string"):
        check_llm(llm)


def test_a_subclass_of_the_base_class_without_a_method_is_refused() -> None:
    class Empty(LLM):
        pass

    assert class_faults("llm", Empty) == ["it must define `agenerate`, `generate` or `generate_batch`"]


class Half(Task):
    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return []


def test_a_task_that_leaves_a_method_abstract_lacks_it() -> None:
    assert class_faults("task", Half) == ["it must define `format_output(self, output, input)`"]


class Whole(Half):
    def format_output(self, output: str | None, input: Row) -> Row:
        return {}


def test_a_task_with_its_methods_is_one() -> None:
    assert class_faults("task", Whole) == []


class InHouseTask:
    inputs = outputs = property(lambda self: ["text"])

    def format_input(self, input: Row) -> ChatType:
        return []

    def format_output(self, output: str | None, input: Row) -> Row:
        return {}


def test_a_task_of_ones_own_making_is_one() -> None:
    assert class_faults("task", InHouseTask) == []


def test_a_task_whose_methods_take_too_little_or_whose_columns_are_missing_is_refused() -> None:
    class Wrong:
        inputs = property(lambda self: ["text"])

        def format_input(self) -> Any: ...
        def format_output(self, output: Any) -> Any: ...

    assert class_faults("task", Wrong) == [
        "it must define `format_input(self, input)`",
        "it must define `format_output(self, output, input)`",
        "`outputs` must be a property that returns a list of column names",
    ]


class InHouseStep:
    inputs = outputs = ()

    def process(self, inputs: Any) -> Any: ...


class InHouseSource:
    inputs = outputs = ()

    def process(self, inputs: Any = None) -> Any: ...


@pytest.mark.parametrize("cls", [InHouseStep, InHouseSource])
def test_a_step_with_process_is_one(cls: type) -> None:
    assert class_faults("step", cls) == []
