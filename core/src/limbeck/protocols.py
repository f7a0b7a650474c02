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


def check_llm(llm: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `llm` can be used as a backend."""
    faults = _backend_faults(llm)
    if not isinstance(getattr(llm, "model_name", None), str):
        faults.append("`model_name` must be a property that returns a string")
    if faults:
        raise PluginContractError(f"{_describe(llm)} cannot be used as an LLM", faults)


def class_faults(kind: str, cls: type) -> list[str]:
    """What `cls` lacks to be a class of `kind` ("task", "llm", "step"), one sentence each."""
    return _backend_faults(cls) if kind == "llm" else _step_faults(cls, _METHODS[kind])


_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "task": {"format_input": ("input",), "format_output": ("output", "input")},
    "step": {"process": ("inputs",)},
}
_BACKEND_METHODS = {"agenerate": "request", "generate": "request", "generate_batch": "requests"}


def _backend_faults(holder: object) -> list[str]:
    """What is wrong with the methods of a backend, or of its class."""
    offered = [name for name in _BACKEND_METHODS if callable(getattr(holder, name, None))]
    if not offered:
        return ["it must define `agenerate`, `generate` or `generate_batch`"]
    faults = []
    for name in offered:
        if not _accepts(holder, name, 1):
            faults.append(f"`{name}` must accept one argument, `{_BACKEND_METHODS[name]}`")
        if _is_async(getattr(holder, name)) != (name == "agenerate"):
            faults.append(
                "`agenerate` must be `async def` (a blocking method is named `generate`)"
                if name == "agenerate"
                else f"`{name}` must be a plain `def`; it runs in a thread"
            )
    return faults


def _step_faults(cls: type, methods: Mapping[str, tuple[str, ...]]) -> list[str]:
    abstract: frozenset[str] = getattr(cls, "__abstractmethods__", frozenset())
    faults = [
        f"it must define `{name}({', '.join(('self', *arguments))})`"
        for name, arguments in methods.items()
        if name in abstract or not callable(getattr(cls, name, None)) or not _accepts(cls, name, len(arguments))
    ]
    return faults + [
        f"`{name}` must be a property that returns a list of column names"
        for name in ("inputs", "outputs")
        if getattr(cls, name, None) is None
    ]


def _accepts(holder: object, name: str, positional: int) -> bool:
    """Whether the method, called on an instance, takes that many arguments."""
    if isinstance(holder, type) and _binds(inspect.getattr_static(holder, name)):
        positional += 1  # `self`
    try:
        signature = inspect.signature(getattr(holder, name))
    except (TypeError, ValueError):
        return True  # built without a readable signature: the call itself will tell
    try:
        signature.bind(*([None] * positional))
    except TypeError:
        return False
    return True


def _binds(attribute: object) -> bool:
    return hasattr(attribute, "__get__") and not isinstance(attribute, staticmethod | classmethod)


def _is_async(method: Any) -> bool:
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(getattr(method, "__call__", None))  # noqa: B004


def _describe(instance: object) -> str:
    cls = type(instance)
    return f"`{cls.__module__}.{cls.__qualname__}`"
