"""A user's own program, as `mypy --strict` must take it: it is type-checked by a test, and run by another."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from limbeck import (
    LLM,
    Step,
    Task,
    get_llm,
    get_task,
    hookimpl,
    list_tasks,
    register_llm,
    register_plugin,
    register_task,
    task,
)
from limbeck.errors import ConfigurationError, GenerationError, RateLimitError, UnknownNameError
from limbeck.testing import EchoLLM, LLMContract, ScriptedLLM, TaskContract, registry
from limbeck.types import (
    Capabilities,
    ChatMessage,
    Example,
    Generation,
    GenerationRequest,
    GenerationResponse,
    Usage,
)
from limbeck_tasks import ChatGeneration, StructuredGeneration, TextClassification, TextGeneration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from limbeck.protocols import LLMProtocol, StepProtocol, TaskProtocol
    from limbeck.types import ChatType, Row


# A backend of one's own, on the base class


@register_llm("acme")
class AcmeLLM(LLM):
    """An in-house gateway."""

    capabilities = Capabilities(native_n=True)

    model: str
    region: str = "eu"

    @property
    def model_name(self) -> str:
        return f"{self.model}@{self.region}"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        await asyncio.sleep(0)
        if request.num_generations > 8:
            raise RateLimitError("one at a time", retry_after=1.0)
        asked = request.messages[-1].get("content")
        answer = Generation(text=f"{self.model} heard {asked}", finish_reason="stop")
        return GenerationResponse(generations=[answer] * request.num_generations, usage=Usage(output_tokens=3))


# A backend that knows nothing of the base class


class Duck:
    """Merely has the right methods."""

    model_name = "duck"

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        return GenerationResponse(generations=[Generation(text="quack")])


# Tasks of one's own


class Summary(Task):
    """Summarises a text."""

    words: int = 20

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> Mapping[str, bool]:
        return {"summary": True, "model_name": True}

    def format_input(self, input: Row) -> ChatType:
        message: ChatMessage = {"role": "user", "content": f"In {self.words} words: {input['text']}"}
        return [message]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"summary": output}

    def examples(self) -> Sequence[Example]:
        return [Example({"text": "A long story."}, "A story.", {"summary": "A story."})]


@task(inputs=["text"], outputs=["shouted"])
def shout(row: Row) -> str:
    """Shouts."""
    return f"Shout: {row['text']}"


def _read_score(text: str | None, row: Row) -> Row:
    return {"score": len(text or ""), "of": row["text"]}


@task(inputs={"text": True, "context": False}, outputs=["score", "of"], parse=_read_score)
def score(row: Row) -> ChatType:
    return [{"role": "system", "content": "Score it."}, {"role": "user", "content": str(row["text"])}]


class Upper(Step):
    """A step without a model."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, "text": str(row["text"]).upper()} for row in inputs]


# An observer


class Counter:
    """Counts requests."""

    def __init__(self) -> None:
        self.requests = 0

    @hookimpl
    def limbeck_request_started(self, request: GenerationRequest) -> None:
        self.requests += 1


# Suites that a third party subclasses


class SummarySuite(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return Summary(llm=llm, **fields)


class AcmeSuite(LLMContract):
    def make_llm(self) -> AcmeLLM:
        return AcmeLLM(model="suite")


def as_protocols() -> tuple[LLMProtocol, StepProtocol, TaskProtocol]:
    """What the core accepts, as type checkers see it."""
    return AcmeLLM(model="m"), Upper(), Summary(llm="acme/m")


async def stream(rows: list[Row]) -> list[Row]:
    """The native form."""
    step = Summary(llm=AcmeLLM(model="m", generation_kwargs={}), num_generations=2, group_generations=True)
    done = await step.aprocess(rows)
    return done + [row async for row in step.arun(rows)]


def main() -> list[Row]:
    """Everything above, once."""
    rows: list[Row] = [{"text": "hello"}]
    counter = Counter()
    with registry():
        register_llm("acme", AcmeLLM)
        register_task("summary", Summary)
        register_plugin(counter)
        summarise = get_task("summary")(llm="acme/gate-1", words=3)
        out: list[Row] = next(summarise.process(rows))
        out += next(shout(llm=Duck()).process(rows))
        out += score(llm=get_llm("acme")(model="x"), name="scorer").run(rows)
        out += next(Upper().process(rows))
        out += next(TextGeneration(llm=EchoLLM(), template="{{ text }}", columns="text").process(rows))
        out += asyncio.run(stream(rows))
        unknown: list[tuple[str, str]] = []
        try:
            get_task("there-is-none")
        except UnknownNameError as exc:
            unknown.append((exc.kind, exc.name))
        assert unknown == [("task", "there-is-none")]
        assert "summary" in list_tasks()
        with suppress(ConfigurationError):
            ScriptedLLM(script=["a"], colour="red")  # type: ignore[call-arg]  # a misspelt field is a type error
        assert counter.requests > 0
    assert [ChatGeneration, StructuredGeneration, TextClassification]
    assert issubclass(RateLimitError, GenerationError)
    return out


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in main())
