"""The values that tasks, backends and the engine exchange.

All are plain: rows and messages are dicts, the rest are frozen dataclasses that are
constructed by keyword.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from ._usage import Quota, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .errors import GenerationError

__all__ = [
    "BatchIntent",
    "BatchLimits",
    "BatchSearch",
    "BatchStatus",
    "Capabilities",
    "ChatMessage",
    "ChatType",
    "Durability",
    "Example",
    "FailedCall",
    "Generation",
    "GenerationRequest",
    "GenerationResponse",
    "JSONSchema",
    "OnError",
    "PaidAnswer",
    "Quota",
    "Row",
    "StoredAnswer",
    "StoredRequests",
    "Usage",
]

Row: TypeAlias = dict[str, Any]
"""One row of data: column name to value."""

JSONSchema: TypeAlias = dict[str, Any]
"""A JSON Schema document, draft 2020-12."""

OnError: TypeAlias = Literal["keep", "drop", "raise"]
"""What a task does with a generation that failed."""

Durability: TypeAlias = Literal["normal", "full"]
"""What a power cut may cost: the last group commit ("normal"), or nothing ("full"). A kill costs neither."""

StoredRequests: TypeAlias = Literal["full", "hash"]
"""Whether prompts are stored, or only the digest that identifies them."""


class ChatMessage(TypedDict, total=False):
    """One message of a chat, in the form of OpenAI's chat-completions API."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None
    name: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str


ChatType: TypeAlias = list[ChatMessage]
"""A chat: messages in order, the last one normally the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One question to a model.

    Attributes:
        messages: the chat.
        num_generations: how many answers are wanted. More than one reaches only a backend
            that declares `native_n`.
        parameters: the provider's own sampling parameters.
        output_schema: a JSON Schema the answer's text must satisfy, or None.
    """

    messages: ChatType
    num_generations: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output_schema: JSONSchema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer.

    Attributes:
        text: the answer without its reasoning; None where the model gave none (tool calls).
        finish_reason: the provider's word for why it ended ("stop", "length", …).
        reasoning: the model's thinking, where the provider shows it.
        tool_calls: in OpenAI's form, as dicts.
        logprobs: as the provider gives them, as plain JSON values.
    """

    text: str | None
    finish_reason: str | None = None
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    logprobs: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResponse:
    """A backend's answer to one request.

    Attributes:
        generations: at most as many as were asked for; the engine asks for the rest.
        usage: tokens of the whole response, or None where the provider does not say.
        model: what the server calls itself, which may be more exact than the name asked for.
        quota: what is left of the caller's allowance, where the provider says so.
    """

    generations: Sequence[Generation]
    usage: Usage | None = None
    model: str | None = None
    quota: Quota | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAnswer:
    """An answer on its way into a ledger, which must be safe there before anything is made of it.

    Attributes:
        row: the row's id: its position in the source, then the path of samples (`17`, `17.2`).
        samples: which samples of the row it answers: the first of them has the first generation.
        key: the digest of all that can change the answer.
        request: what was asked; None where an answer came back from a provider batch of an earlier run before
            its row did. response: what came back, perhaps with fewer generations than samples.
        latency: seconds of the attempt that answered. attempts: how often it was sent.
        batch: the entry of a provider batch that it answers, or None.
        cost: US dollars for the whole response, or None where that is unknown.
        origin: the run directory it was copied from, or None for what was bought in this run.
    """

    row: str
    samples: Sequence[int]
    key: bytes
    request: GenerationRequest | None
    response: GenerationResponse
    latency: float
    attempts: int
    batch: str | None = None
    cost: float | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """A call that brought no answer, on its way into a ledger, for whoever looks.

    Attributes:
        row, samples, key: what it was to answer, as of a `PaidAnswer`.
        request: what was asked; None where a provider batch of an earlier run refused it before its row came.
        error: why there is no answer; its `usage` and `model` are of a response that was paid for all the same.
        attempts: how often it was sent.
        cost: US dollars for that response, or None where that is unknown.
        retried: whether it is asked again. Such a call is told only where it was paid for.
    """

    row: str
    samples: Sequence[int]
    key: bytes
    request: GenerationRequest | None
    error: GenerationError
    attempts: int
    cost: float | None = None
    retried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """One sample's answer out of a ledger.

    Attributes:
        usage: tokens of its whole response, on the first sample it answered; None on the others, so
            that a sum over samples is what was billed.
        model: what the server called itself.
        latency: seconds of the attempt that answered. attempts: how often it was sent.
    """

    generation: Generation
    usage: Usage | None = None
    model: str | None = None
    latency: float | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, declared as data.

    Attributes:
        native_n: one request can return several answers.
        native_json_schema: the provider constrains its answer to a JSON Schema.
        tools: tool calls. vision: image parts in messages.
        logprobs: token log-probabilities. batches: a provider-side batch API.
    """

    native_n: bool = False
    native_json_schema: bool = False
    tools: bool = False
    vision: bool = False
    logprobs: bool = False
    batches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """What one provider batch holds at most.

    Attributes:
        requests: entries. bytes: the entries' own, as they are encoded.
        price_share: what an answer costs, as a share of what it costs online.
    """

    requests: int
    bytes: int
    price_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchIntent:
    """A batch that is about to be submitted, or was when the process ended: what it can be found by.

    Attributes:
        token: 32 hexadecimal digits, the batch's alone. Every entry's custom id is `<token>-<number>`.
        requests: how many entries it has.
        at: when it was first meant to be submitted, in seconds of Unix time by this machine's clock.
        known: ids of batches that are known to be others.
    """

    token: str
    requests: int
    at: float
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSearch:
    """What a search for a batch by its intent came to.

    Attributes:
        id: the batch's id at the provider, or None where it was not found.
        decided: False where one that cannot be told from others yet may be it: look again later.
    """

    id: str | None = None
    decided: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """Where a batch stands.

    Attributes:
        state: "running"; "ended", with results to fetch, if perhaps not for every entry; or
            "failed" as a whole, with none.
        done: entries that have a result, where the provider says so before the end.
        error: why it failed. A `RateLimitError` says that the account has too much in its queue.
    """

    state: Literal["running", "ended", "failed"]
    done: int | None = None
    error: GenerationError | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example of a task: for the docs, the contract suite and the offline model.

    Attributes:
        row: an input row. raw_output: what a model might answer.
        output: what `format_output` makes of it.
    """

    row: Row
    raw_output: str
    output: Row
