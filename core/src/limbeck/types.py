"""The values that tasks, backends and the engine exchange, and what observers of a run are told.

All are plain: rows and messages are dicts, the rest are dataclasses, frozen but for the counters
of a run. What is exchanged is constructed by keyword.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypedDict

from ._media.parts import MAX_BYTES, MediaPart, audio, document, image
from ._usage import Quota, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .errors import GenerationError

__all__ = [
    "MAX_BYTES",
    "METADATA",
    "BatchIntent",
    "BatchLimits",
    "BatchSearch",
    "BatchStatus",
    "Capabilities",
    "ChatMessage",
    "ChatType",
    "Durability",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Example",
    "FailedCall",
    "Generation",
    "GenerationRequest",
    "GenerationResponse",
    "Image",
    "ImageRequest",
    "ImageResponse",
    "JSONSchema",
    "MediaPart",
    "ModelKind",
    "OnError",
    "PaidAnswer",
    "PipelineInfo",
    "Quota",
    "Request",
    "Response",
    "Row",
    "RunInfo",
    "RunReport",
    "RunStats",
    "ScoreRequest",
    "ScoreResponse",
    "StepReport",
    "StoredAnswer",
    "StoredEffect",
    "StoredRequests",
    "Usage",
    "audio",
    "document",
    "image",
    "value_from_json",
    "value_to_json",
]

Row: TypeAlias = dict[str, Any]
"""One row of data: column name to value."""

METADATA = "distilabel_metadata"
"""The column in which tasks keep raw answers, errors and statistics, each under a key with the task's name.

It is distilabel's name: data sets and scripts made for distilabel keep working.
"""

JSONSchema: TypeAlias = dict[str, Any]
"""A JSON Schema document, draft 2020-12."""

OnError: TypeAlias = Literal["keep", "drop", "raise"]
"""What a task does with a generation that failed."""

Durability: TypeAlias = Literal["normal", "full"]
"""What a power cut may cost: the last group commit ("normal"), or nothing ("full"). A kill costs neither."""

StoredRequests: TypeAlias = Literal["full", "hash"]
"""Whether prompts are stored, or only the digest that identifies them."""


ModelKind: TypeAlias = Literal["llm", "embedder", "scorer", "image_generator"]
"""The kinds of models: what they are asked, and what they answer."""


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
    """One question to a model: a chat, or a raw prompt.

    Attributes:
        messages: the chat; empty where there is a `prompt`. A last message of the assistant is the beginning of the
            answer, which a backend with the capability `prefill` goes on with.
        num_generations: how many answers are wanted. More than one reaches only a backend
            that declares `native_n`.
        parameters: the provider's own sampling parameters.
        output_schema: a JSON Schema the answer's text must satisfy, or None.
        prompt: a text that the model goes on with as it is, without a chat template, where the backend has the
            capability `completions`.

    Raises:
        ConfigurationError: it has both messages and a prompt.
    """

    messages: ChatType = field(default_factory=list)
    num_generations: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output_schema: JSONSchema | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        if self.prompt is not None and self.messages:
            from .errors import ConfigurationError

            raise ConfigurationError("A request has `messages` or a `prompt`, not both.")

    @property
    def asked(self) -> ChatType:
        """What is asked, in the form of a chat: what keys are of, and what is stored and shown."""
        return self.messages if self.prompt is None else _asked(prompt=[self.prompt])

    @property
    def prefill(self) -> str | None:
        """The beginning of the answer, where the last message is the assistant's; else None."""
        if not self.messages or self.messages[-1].get("role") != "assistant":
            return None
        content = self.messages[-1].get("content")
        return content if isinstance(content, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer.

    Attributes:
        text: the answer without its reasoning; None where the model gave none (tool calls).
        finish_reason: the provider's word for why it ended ("stop", "length", …).
        reasoning: the model's thinking, where the provider shows it.
        tool_calls: in OpenAI's form, as dicts.
        logprobs: as the provider gives them, as plain JSON values.
        value: the answer of a model that writes no text: a vector, a list of scores, an `Image`.
        parsed: in a conversation, the value of an answer to which a schema was asked for: a pydantic model's
            instance, or plain JSON.
    """

    text: str | None
    finish_reason: str | None = None
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    logprobs: Any = None
    value: Any = None
    parsed: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResponse:
    """A backend's answer to one request.

    Attributes:
        generations: at most as many as were asked for; the engine asks for the rest.
        usage: tokens of the whole response, or None where the provider does not say.
        model: what the server calls itself, which may be more exact than the name asked for.
        quota: what is left of the caller's allowance, where the provider says so.
        left_out: a word for each part of the answer that could not be read, which a warning tells once a run, as in
            "an event of its stream, number 3".
    """

    generations: Sequence[Generation]
    usage: Usage | None = None
    model: str | None = None
    quota: Quota | None = None
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Texts to turn into vectors, which may be of several rows.

    Attributes:
        texts: at most as many as the embedder's `batch_size`.
        parameters: the provider's own.
    """

    num_generations: ClassVar[int] = 1  # a text has one vector
    output_schema: ClassVar[None] = None

    texts: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> ChatType:
        """The texts in the form of a chat, as of a `GenerationRequest`."""
        return _asked(text=self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResponse:
    """An embedder's answer to one request.

    Attributes:
        vectors: one for each text, in order.
        usage, model, quota: as of a `GenerationResponse`.
    """

    vectors: Sequence[Sequence[float]]
    usage: Usage | None = None
    model: str | None = None
    quota: Quota | None = None

    @property
    def generations(self) -> Sequence[Generation]:
        """The vectors as answers, one each."""
        return [Generation(text=None, value=vector) for vector in self.vectors]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Candidates to score.

    Attributes:
        query: what they are scored for: a question of a reranker, an instruction of a reward model.
        candidates: documents, or answers.
        parameters: the provider's own.
    """

    num_generations: ClassVar[int] = 1
    output_schema: ClassVar[None] = None

    query: str
    candidates: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> ChatType:
        """The query and the candidates in the form of a chat, as of a `GenerationRequest`."""
        return _asked(query=[self.query], candidate=self.candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResponse:
    """A scorer's answer to one request.

    Attributes:
        scores: one for each candidate, in their order; more is better.
        usage, model, quota: as of a `GenerationResponse`.
    """

    scores: Sequence[float]
    usage: Usage | None = None
    model: str | None = None
    quota: Quota | None = None

    @property
    def generations(self) -> Sequence[Generation]:
        """The scores as one answer."""
        return [Generation(text=None, value=self.scores)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture as a file holds it.

    Attributes:
        content: the file's bytes. media_type: `image/png` and the like.
    """

    content: bytes = field(repr=False)
    media_type: str = "image/png"


def value_to_json(value: Any) -> dict[str, Any] | None:
    """The `value` of a `Generation` as plain JSON, for stores that keep that; None for none."""
    import base64
    from array import array

    if value is None:
        return None
    if isinstance(value, Image):
        return {"image": base64.b64encode(value.content).decode(), "media_type": value.media_type}
    if isinstance(value, array):
        return {"vector": base64.b64encode(array("f", value).tobytes()).decode(), "byteorder": sys.byteorder}
    return {"scores": list(value)}


def value_from_json(stored: dict[str, Any] | None) -> Any:
    """The counterpart of `value_to_json`."""
    import base64
    from array import array

    if stored is None or "scores" in stored:
        return None if stored is None else stored["scores"]
    if "image" in stored:
        return Image(content=base64.b64decode(stored["image"]), media_type=stored["media_type"])
    vector = array("f", base64.b64decode(stored["vector"]))
    if stored["byteorder"] != sys.byteorder:
        vector.byteswap()
    return vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """A picture to draw.

    Attributes:
        prompt: what is to be seen.
        num_generations: how many pictures are wanted. More than one reaches only a backend that declares `native_n`.
        parameters: the provider's own.
    """

    output_schema: ClassVar[None] = None

    prompt: str
    num_generations: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> ChatType:
        """The prompt in the form of a chat, as of a `GenerationRequest`."""
        return _asked(prompt=[self.prompt])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResponse:
    """An image generator's answer to one request.

    Attributes:
        images: at most as many as were asked for; the engine asks for the rest.
        usage, model, quota: as of a `GenerationResponse`.
    """

    images: Sequence[Image]
    usage: Usage | None = None
    model: str | None = None
    quota: Quota | None = None

    @property
    def generations(self) -> Sequence[Generation]:
        """The images as answers, one each."""
        return [Generation(text=None, value=image) for image in self.images]


def _asked(**texts: Sequence[str]) -> ChatType:
    """Texts that are no chat, in the form of one: each a message of a role that no chat has."""
    return [{"role": role, "content": text} for role, each in texts.items() for text in each]  # type: ignore[typeddict-item]


Request: TypeAlias = GenerationRequest | EmbeddingRequest | ScoreRequest | ImageRequest
"""A request to a model of any kind."""

Response: TypeAlias = GenerationResponse | EmbeddingResponse | ScoreResponse | ImageResponse
"""The answer of a model of any kind to one request."""


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
        turn: its place in the row's conversation (`3`, `3.1` side by side); None for the one call of a row.
        identity: what identifies the LLM that answered, where it is not the task's own.
    """

    row: str
    samples: Sequence[int]
    key: bytes
    request: Request | None
    response: Response
    latency: float
    attempts: int
    batch: str | None = None
    cost: float | None = None
    origin: str | None = None
    turn: str | None = None
    identity: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """A call that brought no answer, on its way into a ledger, for whoever looks.

    Attributes:
        row, samples, key, turn, identity: what it was to answer, as of a `PaidAnswer`.
        request: what was asked; None where a provider batch of an earlier run refused it before its row came.
        error: why there is no answer; its `usage` and `model` are of a response that was paid for all the same.
        attempts: how often it was sent.
        cost: US dollars for that response, or None where that is unknown.
        retried: whether it is asked again. Such a call is told only where it was paid for.
    """

    row: str
    samples: Sequence[int]
    key: bytes
    request: Request | None
    error: GenerationError
    attempts: int
    cost: float | None = None
    retried: bool = False
    turn: str | None = None
    identity: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEffect:
    """An effect of a conversation, on its way into a ledger or out of it.

    Attributes:
        row, sample, turn: its place, as of a `PaidAnswer`. key: the digest of its name and its arguments.
        name: the function's; "return", with an empty key, is the end of a conversation that went past a failure.
        arguments: as JSON text, as far as JSON holds them.
        result: what it returned, as JSON text; None where it failed. error: why it failed, or None.
        seconds: how long it took.
    """

    row: str
    sample: int
    turn: str
    key: bytes
    name: str
    arguments: str | None = None
    result: str | None = None
    error: str | None = None
    seconds: float = 0.0


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
    """The capabilities of a backend, declared as data.

    Attributes:
        native_n: one request can return several answers.
        native_json_schema: the provider constrains its answer to a JSON Schema.
        tools: tool calls. vision: image parts in messages.
        logprobs: token log-probabilities. batches: a provider-side batch API.
        audio, documents: such parts in messages, as `limbeck.types.audio` and `document` make them.
        completions: a raw `prompt` in place of messages. prefill: it goes on with a last message of the assistant.
    """

    native_n: bool = False
    native_json_schema: bool = False
    tools: bool = False
    vision: bool = False
    logprobs: bool = False
    batches: bool = False
    audio: bool = False
    documents: bool = False
    completions: bool = False
    prefill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The most that one provider batch holds.

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
    """The result of a search for a batch by its intent.

    Attributes:
        id: the batch's id at the provider, or None where it was not found.
        decided: False where one that cannot be told from others yet may be it: look again later.
    """

    id: str | None = None
    decided: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """The state of a batch.

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
        row: an input row. raw_output: what a model might answer: a text, a vector, scores or an `Image`; of a
            conversation, a list of its answers.
        output: the columns that come of it.
    """

    row: Row
    raw_output: Any
    output: Row


@dataclass(slots=True)
class RunStats:
    """Counters of one run, read by whoever watches it.

    Attributes:
        rows_in: rows admitted. rows_done: rows finished, in any order.
        rows_failed: rows with at least one failed generation.
        rows_out: rows that left, after grouping and drops.
        requests: attempts sent. in_flight: attempts without an answer yet.
        reused: generations taken from the ledger.
        retries: attempts repeated after a fault. rate_limited: attempts refused for rate.
        waiting: requests that wait for their next attempt. limited: those of them that were refused for rate.
        away_since, next_try: since when the server does not answer, and when it is tried again (Unix time);
            None while it does.
        batches: provider batches that are open: being submitted, waited for or read.
        in_flight_of: attempts without an answer yet by model, of a task that asks several LLMs; else empty.
        effects: effects of conversations that are under way.
        failures: generations failed, by the name of the error's type.
        repaired, fell_back: rows that an answer asked for again, or of another LLM, has saved.
        repair_calls, fallback_calls: the answers for that, also those in vain and those from the ledger.
        usage: tokens of all answers, and of responses that were paid for and were none.
        cost: US dollars for them, or None while no price was known for any.
    """

    rows_in: int = 0
    rows_done: int = 0
    rows_failed: int = 0
    rows_out: int = 0
    requests: int = 0
    in_flight: int = 0
    reused: int = 0
    retries: int = 0
    rate_limited: int = 0
    waiting: int = 0
    limited: int = 0
    away_since: float | None = None
    next_try: float | None = None
    batches: int = 0
    in_flight_of: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    repair_calls: int = 0
    fell_back: int = 0
    fallback_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None

    @property
    def usage(self) -> Usage:
        """Tokens of all answers so far."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )

    def count_usage(self, usage: Usage) -> None:
        """Add one response's tokens; in place, since it happens for every answer."""
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        self.reasoning_tokens += usage.reasoning_tokens

    def count_cost(self, cost: float | None) -> None:
        """Add what one response cost, where that is known."""
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """The facts about a pipeline's run that observers are given.

    Attributes:
        id: unique to the run. name: the pipeline's.
        steps: the names of its steps, in topological order. edges: from and to, by name.
    """

    id: str
    name: str
    steps: Sequence[str]
    edges: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The facts about a run that its observers are given: a task's run, or that of another step of a pipeline.

    Attributes:
        id: unique to the run. task: the task's or step's name. model_name: the LLM's; None for a step without one.
        kind: "task", or what else it is in a pipeline: "source", "step", "router", "join", "global", "sink".
        stats: its counters, live, to be read. pipeline: the one that it is a part of, or None.
    """

    id: str
    task: str
    model_name: str | None
    kind: str = "task"
    stats: RunStats = field(default_factory=RunStats)
    pipeline: PipelineInfo | None = None


@dataclass(frozen=True, slots=True)
class StepReport:
    """The yield of one step.

    Attributes:
        name, kind: the step's. after: the names of the steps that lead to it.
        rows_in, rows_out, rows_failed: rows. failures: generations or rows failed, by the error's type.
        requests, reused, retries, rate_limited: attempts sent, results taken from the ledger,
            attempts repeated, attempts refused for rate.
        repaired, repair_calls, fell_back, fallback_calls: as of `RunStats`.
        input_tokens, output_tokens, cached_tokens, reasoning_tokens: of all answers.
        cost: in USD, or None where it is not known. seconds: from its beginning to its end.
        model_name: the LLM's, of a task.
    """

    name: str
    kind: str
    rows_in: int = 0
    rows_out: int = 0
    rows_failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    reused: int = 0
    retries: int = 0
    rate_limited: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0
    model_name: str | None = None
    after: list[str] = field(default_factory=list)
    repaired: int = 0
    repair_calls: int = 0
    fell_back: int = 0
    fallback_calls: int = 0

    @property
    def mended(self) -> list[str]:
        """How answers that could not be used were mended, in words."""
        told = (("repaired", self.repaired, self.repair_calls), ("fallback", self.fell_back, self.fallback_calls))
        return [
            f"{how}: {rows:,} of {self.rows_in:,} rows, {calls:,} call{'s' * (calls != 1)}"
            for how, rows, calls in told
            if calls
        ]


@dataclass(frozen=True, slots=True)
class RunReport:
    """The yield of a run.

    Attributes:
        pipeline: its name. started: ISO 8601. seconds: how long it took.
        finished: whether every row came to its end. error: what stopped it, or None.
        steps: in topological order.
    """

    pipeline: str
    started: str
    seconds: float
    finished: bool
    error: str | None
    steps: list[StepReport]

    def __getitem__(self, name: str) -> StepReport:
        """The report of the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def to_dict(self) -> dict[str, Any]:
        """The report as it is written to the run directory."""
        return {"version": 1, **asdict(self)}

    def __str__(self) -> str:
        lines = [f"{self.pipeline}: {'finished' if self.finished else 'not finished'}, {self.seconds:.1f} s"]
        if self.error:
            lines.append(f"  stopped by {self.error}")
        for step in self.steps:
            failed = ", ".join(f"{count} {name}" for name, count in step.failures.items())
            lines.append(
                f"  {step.name} ({step.kind}): {step.rows_in} in, {step.rows_out} out"
                + (f", {step.rows_failed} failed ({failed})" if step.rows_failed else "")
                + (f", {step.requests} requests" if step.requests else "")
                + (f", {step.reused} from the ledger" if step.reused else "")
            )
            lines.extend(f"    {words}" for words in step.mended)
        return "\n".join(lines)
