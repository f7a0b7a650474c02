"""What the core accepts: any object with the right methods, whatever its class.

A signature is checked once, when the object is first used; `isinstance` would accept a
sync method where an async one is needed.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from .errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .types import ChatType, GenerationRequest, GenerationResponse, Row

__all__ = ["BatchLLMProtocol", "LLMProtocol", "StepProtocol", "SyncLLMProtocol", "TaskProtocol", "check_llm"]


class LLMProtocol(Protocol):
    """A backend that answers one request at a time, concurrently."""

    @property
    def model_name(self) -> str: ...
    async def agenerate(self, request: GenerationRequest) -> GenerationResponse: ...


class SyncLLMProtocol(Protocol):
    """A backend that blocks; the engine runs it in threads."""

    @property
    def model_name(self) -> str: ...
    def generate(self, request: GenerationRequest) -> GenerationResponse: ...


class BatchLLMProtocol(Protocol):
    """A backend that answers many requests at once (local weights); it blocks, so it runs in a thread.

    The result has one entry a request, in order; an entry may be an exception, which fails
    that request alone.
    """

    @property
    def model_name(self) -> str: ...
    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[GenerationResponse | Exception]: ...


class StepProtocol(Protocol):
    """Anything that turns rows into rows."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Sequence[str] | Mapping[str, bool]: ...
    @property
    def outputs(self) -> Sequence[str] | Mapping[str, bool]: ...
    def process(self, inputs: list[Row]) -> Iterator[list[Row]]: ...


class TaskProtocol(StepProtocol, Protocol):
    """A step that asks a model."""

    llm: Any

    def format_input(self, input: Row) -> ChatType: ...
    def format_output(self, output: str | None, input: Row) -> Row: ...


def _accepts(method: Any, *, positional: int) -> bool:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return True  # built without a readable signature: the call itself will tell
    try:
        signature.bind(*([None] * positional))
    except TypeError:
        return False
    return True


def _is_async(method: Any) -> bool:
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(getattr(method, "__call__", None))  # noqa: B004


def check_llm(llm: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `llm` can be used as a backend."""
    faults: list[str] = []
    agenerate = getattr(llm, "agenerate", None)
    methods = {name: getattr(llm, name, None) for name in ("agenerate", "generate", "generate_batch")}
    offered = {name: method for name, method in methods.items() if callable(method)}
    if not offered:
        faults.append("it has none of `agenerate`, `generate` and `generate_batch`")
    if callable(agenerate) and not _is_async(agenerate):
        faults.append("`agenerate` must be `async def` (a blocking method is named `generate`)")
    faults += [
        f"`{name}` must accept one argument, `{'requests' if name == 'generate_batch' else 'request'}`"
        for name, method in offered.items()
        if not _accepts(method, positional=1)
    ]
    faults += [
        f"`{name}` must be a plain `def`; it runs in a thread"
        for name in ("generate", "generate_batch")
        if name in offered and _is_async(offered[name])
    ]
    if not isinstance(getattr(llm, "model_name", None), str):
        faults.append("`model_name` must be a property that returns a string")
    if faults:
        raise PluginContractError(f"{_describe(llm)} cannot be used as an LLM", faults)


def class_faults(kind: str, cls: type) -> list[str]:
    """What `cls` lacks to be a class of `kind` ("task", "llm", "step"), one sentence each."""
    if kind == "llm":
        offered = any(callable(getattr(cls, name, None)) for name in ("agenerate", "generate", "generate_batch"))
        return [] if offered else ["it must define `agenerate`, `generate` or `generate_batch`"]
    faults = [
        f"it must define `{name}({', '.join(arguments)})`"
        for name, arguments in _METHODS[kind]
        if not callable(getattr(cls, name, None)) or not _accepts(getattr(cls, name), positional=len(arguments))
    ]
    return faults + [
        f"`{name}` must be a property that returns a list of column names"
        for name in ("inputs", "outputs")
        if getattr(cls, name, None) is None
    ]


_METHODS = {
    "task": (("format_input", ("self", "input")), ("format_output", ("self", "output", "input"))),
    "step": (("process", ()),),
}


def _describe(instance: object) -> str:
    cls = type(instance)
    return f"`{cls.__module__}.{cls.__qualname__}`"
