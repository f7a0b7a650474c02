"""Whatever a conversation is made of, all that reads its turns again comes to the same.

Covers `_engine.stream.retelling`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from limbeck import LLMField, Task, ask, do
from limbeck.errors import BadRequestError, BudgetError, GenerationError
from limbeck.testing import MemoryLedger, ScriptedLLM, replay

if TYPE_CHECKING:
    from limbeck.types import GenerationRequest, Row

PARTS = ("ask", "critic", "refused", "schema", "broken schema", "do", "broken do")
DONE: list[str] = []


class Number(BaseModel):
    number: int


def noted(text: str) -> str:
    DONE.append(text)
    return text[::-1]


def broken(text: str) -> str:
    DONE.append(text)
    raise ValueError(text)


def reply(request: GenerationRequest) -> Any:
    text = str(request.messages[0]["content"])
    if "refused" in text:
        return BadRequestError("It was refused.")
    if "broken schema" in text:
        return '{"number": 3}' if len(request.messages) > 3 else "no number"
    return '{"number": 2}' if "schema" in text else f"to {len(text)}"


class Planned(Task):
    """Does what its rows say: each turn is one part, or several side by side."""

    critic: LLMField

    @property
    def inputs(self) -> list[str]:
        return ["plan"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        said: list[str] = []
        for parts in input["plan"]:
            asked = [self.part(part, "/".join(said)) for part in parts]
            try:
                given = yield (asked if len(asked) != 1 else asked[0])
            except GenerationError as exc:
                said.append(type(exc).__name__)
            else:
                said += map(str, given if isinstance(given, list) else [given])
        last = yield ask(f"last: {'/'.join(said)}")  # behind all failures that it goes past
        return {"a": last.text}

    def part(self, part: str, said: str) -> Any:
        if part.endswith("do"):
            return do(broken if "broken" in part else noted, said, on_error="return")
        schema = Number if "schema" in part else None
        return ask(f"{part}: {said}", llm=self.critic if part == "critic" else None, schema=schema)


def planned(**fields: Any) -> Planned:
    own, critic = ScriptedLLM(script=reply), ScriptedLLM(script=reply, model="critic")
    return Planned(**{"name": "planned", "llm": own, "critic": critic, "repair": 2, **fields})


def requests_of(task: Planned) -> int:
    return len(task.llm.requests) + len(task.critic.requests)


plans = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3), max_size=5)


@given(plans=st.lists(plans, min_size=1, max_size=3), most=st.integers(1, 20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_runs_that_are_resumed_re_read_replayed_or_asked_again_agree(plans: list[Any], most: int) -> None:
    rows: list[Row] = [{"plan": plan} for plan in plans]
    whole = next(planned().process(rows))
    with TemporaryDirectory() as folder:
        run_dir = Path(folder, "run")
        task = planned()
        try:
            stopped = list(task.run(rows, run_dir=run_dir, max_requests=most))
        except BudgetError:
            DONE.clear()
        else:
            assert stopped == whole
        assert list(task.run(rows, run_dir=run_dir)) == whole

        silent = planned()
        DONE.clear()
        assert list(silent.run(rows, run_dir=run_dir)) == whole
        assert list(silent.reparse(rows, run_dir=run_dir)) == whole
        with replay(run_dir):
            assert next(silent.process(rows)) == whole
        again = list(silent.rerun(rows, run_dir=run_dir, where="0"))
        assert [row["a"] for row in again] == [row["a"] for row in whole]
        for id, row in enumerate(rows):
            assert silent.explain(row, run_dir=run_dir, id=id).found
        assert (requests_of(silent), DONE) == (0, [])


@given(plan=plans)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_store_in_memory_gives_back_all_turns(plan: Any) -> None:
    ledger, rows = MemoryLedger(), [{"plan": plan}, {"plan": plan}]
    whole = list(planned().run(rows, ledger=ledger))
    silent = planned()
    DONE.clear()
    assert list(silent.run(rows, ledger=ledger)) == whole
    assert (requests_of(silent), DONE) == (0, [])
