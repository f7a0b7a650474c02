"""A task, a source, a sink and two models under names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from limbeck import LLM, Sink, Step, Task, register_llm, register_step, register_task
from limbeck.testing import registry
from limbeck.types import ChatType, Generation, GenerationRequest, GenerationResponse, Row


class Ask(Task):
    """Asks the question as it stands.

    Attributes:
        style: how to answer. labels: what may be answered.
    """

    style: str = "brief"
    labels: list[str] = Field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": input["question"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": output}


class Upper(Step):
    """Makes a column's text upper-case."""

    column: str
    times: int = 1

    @property
    def inputs(self) -> list[str]:
        return [self.column]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, self.column: row[self.column].upper()} for row in inputs]


class Keep(Sink):
    """Keeps rows in a file that nobody writes."""

    path: str | Path

    def write(self, rows: list[Row]) -> None:
        raise NotImplementedError


class PaidLLM(LLM):
    """Costs something."""

    model: str
    api_key: SecretStr | None = None
    base_url: str = ""

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        return GenerationResponse(generations=[Generation(text="fine")])


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    """`ask`, `upper`, `keep` and `paid`, in a registry of the test's own."""
    with registry():
        register_task("ask", Ask)
        register_step("upper", Upper)
        register_step("keep", Keep)
        register_llm("paid", PaidLLM)
        yield
