"""Explanations: what a row's key is of, and what a miss differs in.

Covers `_task.explaining`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, PrivateAttr, SecretStr

from limbeck import LLM, Task
from limbeck.errors import BadRequestError, LedgerError, LimbeckWarning, RowError
from limbeck.types import Capabilities, Generation, GenerationRequest, GenerationResponse

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck._engine.answers.explain import Explanation
    from limbeck.types import ChatType, Row


class Verdict(BaseModel):
    """An output schema."""

    good: bool


class Longer(BaseModel):
    """Another one."""

    good: bool
    why: str = ""


class PlacedLLM(LLM):
    """Answers with JSON, and has all the fields that a provider has."""

    model: str = "placed"
    base_url: str = "https://one.example/v1"
    api_key: SecretStr = SecretStr("first")
    broken: bool = False
    _asked: int = PrivateAttr(default=0)
    transport_fields = frozenset({"broken"})

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self._asked += 1
        if self.broken:
            raise BadRequestError("No.")
        return GenerationResponse(generations=[Generation(text='{"good": true}')])


class Judge(Task):
    """Asks with a system prompt, a template and a schema."""

    system_prompt: str = "Be strict."
    template: str = "Judge: {text}"
    schema_name: str = "verdict"

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["good"]

    @property
    def output_schema(self) -> type[BaseModel]:
        return Verdict if self.schema_name == "verdict" else Longer

    def format_input(self, input: Row) -> ChatType:
        asked = self.template.format(text=input["text"])
        return [{"role": "system", "content": self.system_prompt}, {"role": "user", "content": asked}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"good": output}


ROWS = [{"text": "one"}, {"text": "two"}]


@pytest.fixture(params=["full", "hash"])
def run_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run of `Judge` over `ROWS`, with the prompts or without."""
    assert len(list(Judge(llm=PlacedLLM()).run(ROWS, run_dir=tmp_path, ledger_requests=request.param))) == 2
    return tmp_path


def explained(run_dir: Path, *, row: Row | None = None, id: int = 1, llm: Any = None, **task: Any) -> Explanation:
    return Judge(llm=PlacedLLM(**(llm or {})), **task).explain(row or ROWS[1], run_dir=run_dir, id=id)


def asked_again(run_dir: Path, *, llm: Any = None, **task: Any) -> int:
    """How many requests the run makes with such changes."""
    with pytest.warns() if llm or task else _nothing():
        stream = Judge(llm=PlacedLLM(**(llm or {})), **task).run(ROWS, run_dir=run_dir)
        list(stream)
    return stream.stats.requests


class _nothing:
    def __enter__(self) -> None:
        """Expect no warning."""

    def __exit__(self, *_: object) -> None:
        """As above."""


@pytest.mark.parametrize(
    ("change", "part", "cause"),
    [
        ({"system_prompt": "Be kind."}, "messages", "system_prompt"),
        ({"template": "Rate: {text}"}, "messages", "template"),
        ({"llm": {"base_url": "https://two.example/v1"}}, "identity.base_url", None),
        ({"llm": {"model": "other"}}, "identity.model", None),
        ({"llm": {"generation_kwargs": {"temperature": 0}}}, "parameters.temperature", None),
        ({"schema_name": "longer"}, "output_schema", "schema_name"),
    ],
    ids=["system prompt", "template", "base URL", "model", "parameter", "schema"],
)
def test_what_can_change_an_answer_misses_and_is_named(
    run_dir: Path, change: dict[str, Any], part: str, cause: str | None
) -> None:
    explanation = explained(run_dir, **change)

    assert not explanation.found
    assert explanation.differs
    assert all(difference.startswith((part, "identity.model_name")) for difference in explanation.differs)
    assert [line.partition(":")[0] for line in explanation.because] == ([cause] if cause else [])
    assert asked_again(run_dir, **change) == 2


@pytest.mark.parametrize(
    "change",
    [{"timeout": 5.0}, {"max_concurrency": 3}, {"api_key": "second"}, {"max_attempts": 1}],
    ids=["time-out", "concurrency", "key", "attempts"],
)
def test_what_concerns_transport_does_not(run_dir: Path, change: dict[str, Any]) -> None:
    explanation = explained(run_dir, llm=change)
    assert explanation.found and explanation.differs == []


def test_a_found_answer_says_which(run_dir: Path) -> None:
    text = str(explained(run_dir))
    assert "Found: this row's call 2 has the same key. Its answer is used again." in text
    assert 'identity.base_url: "https://one.example/v1"' in text
    assert 'messages[1].content: "Judge: two"' in text


def test_a_row_that_moved_finds_the_other_rows_answer(run_dir: Path) -> None:
    assert "Found: row 1's call 2 has the same key." in str(explained(run_dir, id=7))


def test_a_changed_row_differs_in_its_message(tmp_path: Path) -> None:
    list(Judge(llm=PlacedLLM()).run(ROWS, run_dir=tmp_path))
    explanation = explained(tmp_path, row={"text": "three"})
    assert explanation.differs == ['messages[1] (user).content: "Judge: two" -> "Judge: three"']
    assert explanation.because == []
    assert "Not found. The nearest is this row's call 2, from which it differs in:" in str(explanation)


def test_without_the_prompts_it_says_that_the_messages_differ(tmp_path: Path) -> None:
    list(Judge(llm=PlacedLLM()).run(ROWS, run_dir=tmp_path, ledger_requests="hash"))
    explanation = explained(tmp_path, row={"text": "three"})
    assert explanation.differs == ["messages (the prompts themselves are not stored with this call)"]


def test_the_second_sample_of_a_response_does_not_hide_the_prompt(tmp_path: Path) -> None:
    class NativeLLM(PlacedLLM):
        capabilities = Capabilities(native_n=True)

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return GenerationResponse(generations=[Generation(text="{}")] * request.num_generations)

    task = Judge(llm=NativeLLM(), num_generations=2)
    list(task.run(ROWS, run_dir=tmp_path))
    explanation = task.explain({"text": "three"}, run_dir=tmp_path, id=1)
    assert explanation.differs == ['messages[1] (user).content: "Judge: two" -> "Judge: three"']


def test_a_row_that_was_never_asked_is_compared_with_the_latest_call(run_dir: Path) -> None:
    text = str(explained(run_dir, id=9, row={"text": "nine"}))
    assert "Not found. The nearest is row 1's call 2" in text


def test_a_failure_is_not_used_again(tmp_path: Path) -> None:
    list(Judge(llm=PlacedLLM(broken=True)).run(ROWS[:1], run_dir=tmp_path))
    explanation = Judge(llm=PlacedLLM()).explain(ROWS[0], run_dir=tmp_path, id=0)
    assert explanation.differs == ["that call failed (BadRequestError), and failures are not used again"]


def test_a_failed_row_is_told_with_its_prompt_its_parameters_its_attempts_and_its_error(tmp_path: Path) -> None:
    llm = PlacedLLM(broken=True, generation_kwargs={"temperature": 0.5})
    list(Judge(llm=llm).run([{"text": "one\ntwo"}], run_dir=tmp_path))
    explanation = Judge(llm=llm).explain(None, run_dir=tmp_path, id=0)
    assert explanation.failure is not None
    assert explanation.failure.request is not None
    assert explanation.failure.request["messages"][1] == {"role": "user", "content": "Judge: one\ntwo"}
    assert str(explanation).splitlines()[3:10] == [
        "  Its call 1 (sample 0) failed at its one attempt: BadRequestError: No.",
        "    model: placed",
        '    parameters: {"temperature": 0.5}',
        "    messages[0] (system): Be strict.",
        "    messages[1] (user): Judge: one",
        "      two",
        "Its key is of:",
    ]


def test_of_a_failed_row_whose_prompt_is_not_stored_the_rest_is_told(tmp_path: Path) -> None:
    task = Judge(llm=PlacedLLM(broken=True))
    list(task.run(ROWS[:1], run_dir=tmp_path, ledger_requests="hash"))
    explanation = task.explain(ROWS[0], run_dir=tmp_path, id=0)
    assert explanation.failure is not None and explanation.failure.request is None
    assert 'Its prompt is not stored (`ledger_requests="hash"`).' in str(explanation)
    other = Judge(llm=PlacedLLM(broken=True), template="Rate: {text}").explain(ROWS[0], run_dir=tmp_path, id=0)
    assert "messages (the prompts themselves are not stored with this call)" in other.differs


def test_a_failure_that_was_answered_since_is_not_told(tmp_path: Path) -> None:
    list(Judge(llm=PlacedLLM(broken=True)).run(ROWS[:1], run_dir=tmp_path))
    with pytest.warns(LimbeckWarning, match="broken"):
        list(Judge(llm=PlacedLLM()).run(ROWS[:1], run_dir=tmp_path))
    explanation = Judge(llm=PlacedLLM()).explain(ROWS[0], run_dir=tmp_path, id=0)
    assert (explanation.found, explanation.failure) == (True, None)


def test_a_step_without_calls_says_so(run_dir: Path) -> None:
    assert "Not found: no call of this step is stored." in str(explained(run_dir, name="other"))


def test_a_directory_without_a_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger in"):
        explained(tmp_path)


def test_a_row_of_which_no_request_can_be_made_is_an_error(run_dir: Path) -> None:
    with pytest.raises(RowError, match="lacks the column `text`"):
        explained(run_dir, row={"other": 1})
