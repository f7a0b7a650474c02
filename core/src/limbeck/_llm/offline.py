"""The embedded stand-in: answers without a model, a key or a network, and says so."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from .._media.parts import sent_messages
from ..types import Capabilities, Generation, GenerationResponse, Usage
from .llm import LLM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..types import ChatType, GenerationRequest, JSONSchema


class OfflineLLM(LLM):
    """Not a model: a deterministic stand-in for first runs, demonstrations and tests.

    It answers a task's own example with that example's output, a request with a schema with
    the plainest value that satisfies it, and anything else with a sentence that says that no
    model was asked. It calls no tools. Tokens are counted as words.

    Attributes:
        model: what it calls itself.
        stand_in: (of the class) that nothing is paid for: the command line makes no run directory, and says so.
    """

    stand_in: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(
        native_n=True,
        native_json_schema=True,
        tools=True,
        vision=True,
        audio=True,
        documents=True,
        completions=True,
        prefill=True,
    )

    model: str = "stand-in"

    _known: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return f"offline/{self.model}"

    def prime(self, examples: Iterable[tuple[ChatType, str]]) -> None:
        """Learn the answers to a task's own examples; a task calls it when it is loaded."""
        self._known.update(
            (_digest(sent_messages(getattr(asked, "asked", asked))), answer) for asked, answer in examples
        )

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        digest = _digest(request.asked)
        texts = [self._answer(request, digest, sample) for sample in range(request.num_generations)]
        asked = sum(_words(message.get("content")) for message in request.asked)
        return GenerationResponse(
            generations=[Generation(text=text, finish_reason="stop") for text in texts],
            usage=Usage(input_tokens=asked, output_tokens=sum(map(_words, texts))),
            model=self.model_name,
        )

    def _answer(self, request: GenerationRequest, digest: str, sample: int) -> str:
        if digest in self._known:
            return self._known[digest]
        if request.output_schema is not None:
            return json.dumps(plainest(request.output_schema), ensure_ascii=False)
        which = f", sample {sample + 1} of {request.num_generations}" if request.num_generations > 1 else ""
        return f"[offline stand-in: no model was asked{which}] prompt {digest[:8]}"


def _digest(messages: ChatType) -> str:
    text = json.dumps(messages, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _words(content: Any) -> int:
    return len(content.split()) if isinstance(content, str) else 0


def plainest(schema: JSONSchema, root: JSONSchema | None = None, depth: int = 0) -> Any:
    """The plainest value that satisfies a JSON Schema: what it requires, at its lowest bounds.

    Patterns and `not` are not solved; the answer is then refused as any wrong answer is.
    """
    if depth > 32 or not isinstance(schema, dict):  # a schema that contains itself, or `true`: anything will do
        return None
    root = schema if root is None else root
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return plainest(_referred(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return plainest({**_without(schema, key), **schema[key][0]}, root, depth + 1)
    return _plainest_of_type(schema, root, depth)


def _plainest_of_type(schema: JSONSchema, root: JSONSchema, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: plainest(properties.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        first = schema.get("prefixItems", [])[: schema.get("minItems", 0)]
        rest = [schema.get("items", {})] * (schema.get("minItems", 0) - len(first))
        return [plainest(each, root, depth + 1) for each in [*first, *rest]]
    if kind in ("integer", "number"):
        return _lowest_number(schema, kind)
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "offline stand-in".ljust(schema.get("minLength", 0), "."))[
            : schema.get("maxLength")
        ]
    return {"boolean": False, "null": None}.get(kind)


_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "offline@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "duration": "P1D",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}


def _lowest_number(schema: JSONSchema, kind: str) -> float:
    whole = kind == "integer"
    margin = 1 if whole else _margin(schema)
    low = schema["exclusiveMinimum"] + margin if "exclusiveMinimum" in schema else schema.get("minimum", 0)
    high = schema["exclusiveMaximum"] - margin if "exclusiveMaximum" in schema else schema.get("maximum", low)
    value: float = min(low, high)
    step: float | None = schema.get("multipleOf")
    if step:
        value = -(-value // step) * step
    return math.ceil(value) if whole else value


def _margin(schema: JSONSchema) -> float:
    """The distance to keep from an exclusive bound, so that there is room before the other one."""
    low: Any = schema.get("exclusiveMinimum", schema.get("minimum", -math.inf))
    high: Any = schema.get("exclusiveMaximum", schema.get("maximum", math.inf))
    return float(min(0.5, (high - low) / 2))


def _referred(reference: str, root: JSONSchema) -> JSONSchema:
    place: Any = root
    for part in reference.removeprefix("#/").split("/"):
        place = place.get(part.replace("~1", "/").replace("~0", "~"), {})
    return place  # type: ignore[no-any-return]  # a schema inside a schema


def _without(schema: JSONSchema, key: str) -> JSONSchema:
    return {name: value for name, value in schema.items() if name != key}
