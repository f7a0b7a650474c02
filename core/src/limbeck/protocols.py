"""The objects that the core accepts: any with the right methods, whatever its class.

A signature is checked once, when the object is first used; `isinstance` would accept a
sync method where an async one is needed.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from .errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence

    from .errors import GenerationError
    from .types import (
        BatchIntent,
        BatchLimits,
        BatchSearch,
        BatchStatus,
        ChatType,
        Durability,
        EmbeddingRequest,
        EmbeddingResponse,
        FailedCall,
        GenerationRequest,
        GenerationResponse,
        ImageRequest,
        ImageResponse,
        JSONSchema,
        ModelKind,
        PaidAnswer,
        Row,
        ScoreRequest,
        ScoreResponse,
        StoredAnswer,
        StoredEffect,
        StoredRequests,
    )

__all__ = [
    "BatchAPIProtocol",
    "BatchLLMProtocol",
    "EmbedderProtocol",
    "ImageGeneratorProtocol",
    "LLMProtocol",
    "LedgerPluginProtocol",
    "LedgerProtocol",
    "ScorerProtocol",
    "StepLedgerProtocol",
    "StepProtocol",
    "SyncEmbedderProtocol",
    "SyncImageGeneratorProtocol",
    "SyncLLMProtocol",
    "SyncScorerProtocol",
    "TaskProtocol",
    "ToolProtocol",
    "ToolSetProtocol",
    "TurnLedgerProtocol",
    "check_batch_api",
    "check_ledger",
    "check_llm",
    "check_model",
    "check_tool",
    "keeps_turns",
]


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


class EmbedderProtocol(Protocol):
    """A backend that turns texts into vectors. A `batch_size` says how many texts a request may hold; else one."""

    @property
    def model_name(self) -> str: ...
    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse: ...


class SyncEmbedderProtocol(Protocol):
    """As `EmbedderProtocol`, where it blocks; the engine runs it in threads."""

    @property
    def model_name(self) -> str: ...
    def embed(self, request: EmbeddingRequest) -> EmbeddingResponse: ...


class ScorerProtocol(Protocol):
    """A backend that scores candidates."""

    @property
    def model_name(self) -> str: ...
    async def ascore(self, request: ScoreRequest) -> ScoreResponse: ...


class SyncScorerProtocol(Protocol):
    """As `ScorerProtocol`, where it blocks; the engine runs it in threads."""

    @property
    def model_name(self) -> str: ...
    def score(self, request: ScoreRequest) -> ScoreResponse: ...


class ImageGeneratorProtocol(Protocol):
    """A backend that draws."""

    @property
    def model_name(self) -> str: ...
    async def adraw(self, request: ImageRequest) -> ImageResponse: ...


class SyncImageGeneratorProtocol(Protocol):
    """As `ImageGeneratorProtocol`, where it blocks; the engine runs it in threads."""

    @property
    def model_name(self) -> str: ...
    def draw(self, request: ImageRequest) -> ImageResponse: ...


class BatchAPIProtocol(Protocol):
    """The methods that a backend has beside its requests when its provider takes batches, for `mode="batch"`.

    Like `agenerate`, none of these waits or tries again: they raise the typed errors, and the
    engine does the rest. An entry is encoded once and counted in bytes; what cannot be encoded
    fails its row, not the batch.

    A backend may also have `batch_group(request)`, which returns a hashable value (a tenant, a model's
    name): one batch then has requests of one group only.
    """

    @property
    def batch_limits(self) -> BatchLimits: ...

    def encode_batch_entry(self, custom_id: str, request: GenerationRequest) -> bytes:
        """One request as it stands in a batch, without a line break; raises `GenerationError`."""
        ...

    async def submit_batch(self, entries: Sequence[bytes], intent: BatchIntent) -> str:
        """Submit encoded entries, in a way that `find_batch` can find; the batch's id at the provider.

        `BadRequestError`, `AuthenticationError` and `RateLimitError` say that it was not accepted. Any other
        error leaves that open, and the batch is looked for.
        """
        ...

    async def find_batch(self, intent: BatchIntent) -> BatchSearch:
        """Look for a batch whose submission was begun, and whose id was not heard."""
        ...

    async def poll_batch(self, id: str) -> BatchStatus:
        """Return the state of the batch."""
        ...

    def fetch_batch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        """The results of a batch that has ended, by custom id and in any order; an entry may have none."""
        ...

    async def cancel_batch(self, id: str) -> None:
        """Ask the provider to end the batch early. What is answered by then can still be fetched."""
        ...


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


class ToolProtocol(Protocol):
    """A tool that a model may call. A typed function is made one by `limbeck.tools.Tool`.

    It may have a `timeout`, in seconds, and a `max_concurrency`, of its calls at once.
    """

    @property
    def name(self) -> str:
        """Letters, digits, `_` and `-`: what the model calls it."""
        ...

    @property
    def description(self) -> str:
        """The purpose of the tool, in words for the model."""
        ...

    @property
    def parameters(self) -> JSONSchema:
        """The JSON Schema of the arguments, an object."""
        ...

    def call(self, arguments: dict[str, Any]) -> Any:
        """The result: text, or what JSON can hold. May be `async def`; a plain `def` runs in a thread.

        What it raises is told to the model.
        """
        ...


class ToolSetProtocol(Protocol):
    """Several tools of one place, which are known only once it is asked (an MCP server).

    `timeout` and `max_concurrency` are as of a `ToolProtocol`; `deadline` goes before the former, where a call may
    have to open something first. A `load()` is called before the first row of a task that has the set in a field.
    """

    async def list_tools(self) -> list[dict[str, Any]]:
        """The tools, each a dict with `name`, `description` and `parameters`, as of a `ToolProtocol`."""
        ...

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        """The result of a call; as of a `ToolProtocol`."""
        ...


class LedgerProtocol(Protocol):
    """A store of answers that were paid for: what is kept in one run is found in the next.

    Whatever a store raises that is no `LimbeckError` ends the run as a `LedgerError` that names it.
    """

    def step(self, name: str, config: Mapping[str, Any]) -> StepLedgerProtocol:
        """The part of the step `name`, at the start of a run of it; `config` is how it is configured.

        Raises:
            LedgerError: a run of the step is going on already.
        """
        ...

    def close(self) -> None:
        """Let go of the store, once what was handed in is safe."""
        ...


class StepLedgerProtocol(Protocol):
    """One step's part of a store, for one run.

    All of it is called on the engine's event loop, so no method but `keep` may wait: what `find`
    needs from a network is read in `LedgerProtocol.step`.
    """

    def find(self, row: str, key: bytes, samples: int) -> Sequence[StoredAnswer | None]:
        """Find earlier runs' answers for samples 0, 1, … of a row whose request has `key`; None for each missing one.

        The answers of the row itself come first, each at its sample; then, where some are missing,
        answers with this key that no row has taken, in row order. What is returned is taken: it is
        returned to no other row in this run. What this run keeps is not returned in it.
        """
        ...

    def keep(self, answer: PaidAnswer) -> Awaitable[None]:
        """Keep an answer; may be `async def`. Done when the answer is safe: its row goes on only then.

        Raises:
            LedgerError: it cannot be kept. The run ends.
        """
        ...

    def keep_failure(self, failure: FailedCall) -> None:
        """Note a call that failed for good, or was paid for and is asked again; `find` never returns it."""
        ...

    def close(self) -> None:
        """The run of the step is over, finished or not."""
        ...


class TurnLedgerProtocol(StepLedgerProtocol, Protocol):
    """One step's part of a store that keeps conversations too; a store without these methods has one-call tasks only.

    `keep` and `keep_failure` get what is of a turn with its `turn`.
    """

    def find_turn(self, row: str, sample: int, turn: str | None, key: bytes) -> StoredAnswer | GenerationError | None:
        """Find an earlier run's answer to a turn whose request has `key`; None for none.

        As with `find`, the row's own comes first, the one at that turn before its others, then one that
        no row has taken. An error is returned where the turn failed and its conversation went on from there:
        the failure is a part of what is stored behind it.
        """
        ...

    def find_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """Find an effect as `find_turn` finds an answer."""
        ...

    def keep_effect(self, effect: StoredEffect) -> Awaitable[None]:
        """Keep the result of an effect, or its failure; as `keep`."""
        ...


class LedgerPluginProtocol(Protocol):
    """A class that `run_dir="scheme://…"` is opened with, under its scheme in the group `limbeck.ledgers`."""

    @classmethod
    def from_url(cls, url: str, *, durability: Durability, requests: StoredRequests) -> LedgerProtocol:
        """The store at `url`, opened."""
        ...


def check_ledger(ledger: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `ledger` can be used as a store of answers."""
    faults = _method_faults(ledger, _LEDGER_METHODS)
    if faults:
        raise PluginContractError(f"{_describe(ledger)} cannot be used as a ledger", faults)


def check_tool(tool: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `tool` is a tool or a set of tools."""
    faults = tool_faults(tool)
    if faults:
        raise PluginContractError(f"{_describe(tool)} cannot be used as a tool", faults)


def tool_faults(tool: object) -> list[str]:
    """The faults of an object, or of a class, as a tool or a set of tools, one sentence each."""
    if hasattr(tool, "list_tools"):
        faults = _method_faults(tool, _TOOL_SET_METHODS)
        return faults + [
            f"`{name}` must be `async def`"
            for name in _TOOL_SET_METHODS
            if not faults and not _is_async(getattr(tool, name))
        ]
    kinds = {"name": "a name", "description": "a text", "parameters": "a JSON Schema"}
    lacking = [f"it must have `{name}`, {what}" for name, what in kinds.items() if not hasattr(tool, name)]
    return ([] if isinstance(tool, type) else lacking) + _method_faults(tool, {"call": ("arguments",)})


_TOOL_SET_METHODS: dict[str, tuple[str, ...]] = {"list_tools": (), "call_tool": ("name", "arguments")}


def keeps_turns(step: object) -> bool:
    """Tell whether a step's part of a store has the methods of `TurnLedgerProtocol`, which conversations need."""
    return all(callable(getattr(step, name, None)) for name in ("find_turn", "find_effect", "keep_effect"))


def check_llm(llm: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `llm` can be used as a backend."""
    check_model("llm", llm)


def check_model(kind: ModelKind, model: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `model` can be used as a backend of `kind`."""
    faults = _backend_faults(kind, model)
    if not isinstance(getattr(model, "model_name", None), str):
        faults.append("`model_name` must be a property that returns a string")
    if faults:
        raise PluginContractError(f"{_describe(model)} cannot be used as {_IN_WORDS[kind]}", faults)


def check_batch_api(llm: object) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `llm` has the methods of `BatchAPIProtocol`."""
    faults = []
    for name, (arguments, is_async) in _BATCH_METHODS.items():
        if not callable(getattr(llm, name, None)) or not _accepts(llm, name, len(arguments)):
            faults.append(f"it must define `{name}({', '.join(('self', *arguments))})`")
        elif _is_async(getattr(llm, name)) != is_async:
            form = "`async def`" if is_async else "a plain `def`, or an async generator"
            faults.append(f"`{name}` must be {form}")
    if hasattr(llm, "batch_group") and (not _accepts(llm, "batch_group", 1) or _is_async(llm.batch_group)):
        faults.append("`batch_group` must be a plain `def batch_group(self, request)`")
    if not hasattr(llm, "batch_limits"):
        faults.append("it must have `batch_limits`")
    if faults:
        raise PluginContractError(f'{_describe(llm)} cannot be used with `mode="batch"`', faults)


_BATCH_METHODS: dict[str, tuple[tuple[str, ...], bool]] = {
    "encode_batch_entry": (("custom_id", "request"), False),
    "submit_batch": (("entries", "intent"), True),
    "find_batch": (("intent",), True),
    "poll_batch": (("id",), True),
    "fetch_batch": (("id",), False),
    "cancel_batch": (("id",), True),
}


def class_faults(kind: str, cls: type) -> list[str]:
    """The faults of `cls` as a class of `kind` ("task", "llm", "step", "tool", …), one sentence each."""
    if kind in _MODEL_METHODS:
        return _backend_faults(kind, cls)
    if kind == "tool":
        return tool_faults(cls)
    return _method_faults(cls, _METHODS[kind]) + ([] if kind == "ledger" else _column_faults(cls))


_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "task": {"format_input": ("input",), "format_output": ("output", "input")},
    "step": {"process": ("inputs",)},
    "ledger": {"from_url": ("url",), "step": ("name", "config"), "close": ()},
}
_OPTIONS = {"from_url": ("durability", "requests")}  # which a method must take by keyword
_LEDGER_METHODS: dict[str, tuple[str, ...]] = {"step": ("name", "config"), "close": ()}
# The methods that answer, of which a backend has one: the first is `async def`, the others run in threads.
_MODEL_METHODS: dict[str, dict[str, str]] = {
    "llm": {"agenerate": "request", "generate": "request", "generate_batch": "requests"},
    "embedder": {"aembed": "request", "embed": "request"},
    "scorer": {"ascore": "request", "score": "request"},
    "image_generator": {"adraw": "request", "draw": "request"},
}
_IN_WORDS = {
    "llm": "an LLM",
    "embedder": "an embedder",
    "scorer": "a scorer",
    "image_generator": "an image generator",
}


def _backend_faults(kind: str, holder: object) -> list[str]:
    """The faults in the methods of a backend, or of its class."""
    methods = _MODEL_METHODS[kind]
    native, blocking, *_ = methods
    offered = [name for name in methods if callable(getattr(holder, name, None))]
    if not offered:
        *others, last = methods
        return [f"it must define {', '.join(f'`{name}`' for name in others)} or `{last}`"]
    faults = []
    for name in offered:
        if not _accepts(holder, name, 1):
            faults.append(f"`{name}` must accept one argument, `{methods[name]}`")
        if _is_async(getattr(holder, name)) != (name == native):
            faults.append(
                f"`{native}` must be `async def` (a blocking method is named `{blocking}`)"
                if name == native
                else f"`{name}` must be a plain `def`; it runs in a thread"
            )
    return faults


def _method_faults(holder: object, methods: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The faults in the methods that an object, or a class, must have."""
    abstract: frozenset[str] = getattr(holder, "__abstractmethods__", frozenset())
    return [
        f"it must define `{name}({', '.join(('self', *arguments))})`"
        for name, arguments in methods.items()
        if name in abstract or not callable(getattr(holder, name, None)) or not _accepts(holder, name, len(arguments))
    ]


def _column_faults(cls: type) -> list[str]:
    return [
        f"`{name}` must be a property that returns a list of column names"
        for name in ("inputs", "outputs")
        if getattr(cls, name, None) is None
    ]


def _accepts(holder: object, name: str, positional: int) -> bool:
    """Tell whether the method, called on an instance, takes that many arguments, and its options."""
    if isinstance(holder, type) and _binds(inspect.getattr_static(holder, name)):
        positional += 1  # `self`
    try:
        signature = inspect.signature(getattr(holder, name))
    except (TypeError, ValueError):
        return True  # built without a readable signature: the call itself will tell
    try:
        signature.bind(*([None] * positional), **dict.fromkeys(_OPTIONS.get(name, ())))
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
