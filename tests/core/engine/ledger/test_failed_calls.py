"""Calls that brought no answer: in the ledger with what was asked, and counted where they were paid for.

Covers `_engine.ledger.failed_rows` and `_engine.ledger.stored_failures`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from limbeck import Budget
from limbeck._engine.ledger.file import FILE, MIGRATIONS
from limbeck._engine.ledger.stored_failures import latest_failure
from limbeck._engine.ledger.views import FAILURES_MIGRATION
from limbeck.errors import (
    BadRequestError,
    BudgetError,
    ContentFilteredError,
    GenerationError,
    LimbeckWarning,
    TransientError,
)
from limbeck.testing import MemoryLedger, ScriptedLLM
from limbeck.types import Capabilities, GenerationResponse, Usage
from support.batch_llm import BatchLLM
from support.priced import cost_of, prices_of
from support.questions import METADATA, Ask, new_model, prompt_of, questions

from ..batch_scene import run_batches
from .older_ledgers import older_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


USAGE = Usage(input_tokens=100, output_tokens=5, cached_tokens=40, reasoning_tokens=2)
PAID = USAGE.input_tokens + USAGE.output_tokens


def refused(**facts: Any) -> ContentFilteredError:
    """A refusal that was paid for."""
    return ContentFilteredError("The model refused.", **{"raw": "I will not.", "usage": USAGE, "model": "m-1", **facts})


def scripted(*script: Any, **fields: Any) -> ScriptedLLM:
    return ScriptedLLM(script=script, **{"model": new_model(), "max_concurrency": 1, **fields})


def selected(run_dir: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(run_dir / FILE)) as ledger:
        ledger.row_factory = sqlite3.Row
        return [dict(record) for record in ledger.execute(query)]


# What was asked


def test_a_failed_call_is_kept_with_its_prompt_its_parameters_its_attempts_and_its_error(tmp_path: Path) -> None:
    fault = TransientError("Busy.", retry_after=0.0)
    llm = scripted(fault, BadRequestError("No.", raw="half"), generation_kwargs={"temperature": 0.5})
    list(Ask(llm=llm).run([{"question": "Why?"}], run_dir=tmp_path))
    (failure,) = selected(tmp_path, "SELECT * FROM failures")
    assert json.loads(failure["request"]) == {
        "messages": [{"role": "user", "content": "Why?"}],
        "parameters": {"temperature": 0.5},
        "output_schema": None,
    }
    assert (failure["error"], failure["message"], failure["text"]) == ("BadRequestError", "No.", "half")
    assert (failure["attempts"], failure["model"]) == (2, llm.model)
    assert json.loads(failure["parameters"]) == {"temperature": 0.5}


def test_of_the_prompt_only_the_digest_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    llm = scripted(BadRequestError("No."), generation_kwargs={"temperature": 0.5})
    list(Ask(llm=llm).run([{"question": "a secret"}], run_dir=tmp_path, ledger_requests="hash"))
    (failure,) = selected(tmp_path, "SELECT * FROM failures")
    assert (failure["request"], json.loads(failure["parameters"])) == (None, {"temperature": 0.5})
    assert selected(tmp_path, "SELECT length(key) AS length FROM calls") == [{"length": 16}]
    assert b"a secret" not in (tmp_path / FILE).read_bytes()


def test_samples_of_one_request_have_its_prompt_and_its_tokens_on_the_first(tmp_path: Path) -> None:
    class Many(ScriptedLLM):
        capabilities = Capabilities(native_n=True)

    llm = Many(script=[refused()], model=new_model())
    rows = list(Ask(llm=llm, num_generations=3, add_statistics=True).run(questions(1), run_dir=tmp_path))
    failures = selected(tmp_path, "SELECT sample, request IS NULL AS bare, input_tokens FROM failures ORDER BY id")
    assert failures == [{"sample": n, "bare": n > 0, "input_tokens": None if n else 100} for n in range(3)]
    assert sum(row[METADATA]["statistics_ask"]["input_tokens"] or 0 for row in rows) == 100


def test_a_prompt_with_half_a_surrogate_pair_is_kept_of_a_failure_too(tmp_path: Path) -> None:
    list(Ask(llm=scripted(BadRequestError("No."))).run([{"question": "\ud83d"}], run_dir=tmp_path))
    (failure,) = selected(tmp_path, "SELECT request FROM failures")
    assert json.loads(failure["request"])["messages"][0]["content"] == "\ud83d"


def test_a_store_of_somebody_elses_is_given_the_whole_call() -> None:
    ledger, llm = MemoryLedger(), scripted(refused())
    list(Ask(llm=llm).run(questions(1), ledger=ledger, prices=prices_of(llm.model)))
    ((step, call),) = ledger.failures
    assert call.request is not None
    assert (step, call.row, list(call.samples), prompt_of(call.request)) == ("ask", "0", [0], "0")
    assert (call.error.usage, call.attempts, call.cost, call.retried) == (USAGE, 1, cost_of(USAGE), False)


# What was paid for


def test_a_refusal_that_was_paid_for_counts_in_the_run_the_ledger_and_the_budget(tmp_path: Path) -> None:
    llm, budget = scripted("yes", refused()), Budget(max_tokens=100_000)
    stream = Ask(llm=llm).run(questions(2), run_dir=tmp_path, prices=prices_of(llm.model), budget=budget)
    list(stream)
    paid = cost_of(USAGE) + cost_of(Usage(output_tokens=1))
    assert stream.stats.usage == USAGE + Usage(output_tokens=1)
    assert stream.stats.cost == pytest.approx(paid)
    assert budget.spent.tokens == PAID + 1
    assert budget.spent.cost == pytest.approx(paid)
    (cost,) = selected(tmp_path, "SELECT * FROM costs")
    assert (cost["answers"], cost["rows"], cost["failed"], cost["unpriced"]) == (1, 1, 1, 0)
    assert (cost["input_tokens"], cost["output_tokens"], cost["cost"]) == (100, 6, pytest.approx(paid))
    (failure,) = selected(tmp_path, "SELECT input_tokens, cached_tokens, reasoning_tokens, cost FROM failures")
    assert failure == {"input_tokens": 100, "cached_tokens": 40, "reasoning_tokens": 2, "cost": cost_of(USAGE)}
    assert selected(tmp_path, "SELECT model FROM calls WHERE error IS NOT NULL") == [{"model": "m-1"}]


def test_a_refusal_that_cost_nothing_is_no_cost(tmp_path: Path) -> None:
    stream = Ask(llm=scripted("yes", BadRequestError("No."))).run(questions(2), run_dir=tmp_path)
    list(stream)
    (cost,) = selected(tmp_path, "SELECT answers, failed, output_tokens, unpriced FROM costs")
    assert cost == {"answers": 1, "failed": 0, "output_tokens": 1, "unpriced": 1}


def test_what_refusals_took_in_earlier_runs_counts_against_the_cap(tmp_path: Path) -> None:
    llm = scripted(refused(), refused(), refused(), generation_kwargs={"max_tokens": 10})
    task = Ask(llm=llm)
    list(task.run(questions(2), run_dir=tmp_path))
    with pytest.raises(BudgetError) as caught:
        list(task.run(questions(2), run_dir=tmp_path, max_tokens=2 * PAID + 10))
    assert caught.value.spent == 2 * PAID


def test_a_response_that_was_paid_for_and_asked_for_again_is_kept_apart_from_what_failed(tmp_path: Path) -> None:
    broken = TransientError("It broke off.", retry_after=0.0, usage=USAGE, model="m-1")
    llm = scripted(broken, "yes")
    stream = Ask(llm=llm).run(questions(1), run_dir=tmp_path, prices=prices_of(llm.model), max_tokens=100_000)
    assert [row["answer"] for row in stream] == ["yes"]
    assert stream.stats.usage == USAGE + Usage(output_tokens=1)
    assert selected(tmp_path, "SELECT * FROM failures") == []
    (cost,) = selected(tmp_path, "SELECT answers, failed, input_tokens, output_tokens FROM costs")
    assert cost == {"answers": 1, "failed": 1, "input_tokens": 100, "output_tokens": 6}
    (call,) = selected(tmp_path, "SELECT error, retried, attempts FROM calls WHERE error IS NOT NULL")
    assert call == {"error": "TransientError", "retried": 1, "attempts": 1}


def test_attempts_of_earlier_runs_are_counted_once_as_requests(tmp_path: Path) -> None:
    llm = scripted(TransientError("It broke off.", retry_after=0.0, usage=USAGE), "a", "b", "c")
    task = Ask(llm=llm)
    list(task.run(questions(1), run_dir=tmp_path))
    with pytest.raises(BudgetError) as caught:
        list(task.run(questions(4), run_dir=tmp_path, max_requests=3))
    assert caught.value.spent == 3  # two of the first run, and one more
    assert len(llm.requests) == 3


def test_a_fault_that_cost_nothing_leaves_nothing_in_the_ledger(tmp_path: Path) -> None:
    list(Ask(llm=scripted(TransientError("Busy.", retry_after=0.0), "yes")).run(questions(1), run_dir=tmp_path))
    assert selected(tmp_path, "SELECT error FROM calls") == [{"error": None}]


def test_responses_without_a_generation_are_paid_for_too(tmp_path: Path) -> None:
    llm = scripted(*[GenerationResponse(generations=[], usage=USAGE, model="m-1")] * 3)
    stream = Ask(llm=llm).run(questions(1), run_dir=tmp_path, prices=prices_of(llm.model), max_tokens=100_000)
    (row,) = stream
    assert row[METADATA]["error_ask"] == {
        "type": "IncompleteResponseError",
        "message": "The server gave 0 of 1 generations and then none, three times.",
        "attempts": 3,
    }
    assert stream.stats.usage == USAGE + USAGE + USAGE
    (cost,) = selected(tmp_path, "SELECT failed, input_tokens, cost FROM costs")
    assert cost == {"failed": 3, "input_tokens": 300, "cost": pytest.approx(3 * cost_of(USAGE))}
    assert selected(tmp_path, "SELECT count(*) AS failures FROM failures") == [{"failures": 1}]


class Verdict(BaseModel):
    """An output schema."""

    good: bool


class Judge(Ask):
    """Asks for a verdict."""

    @property
    def output_schema(self) -> type[BaseModel]:
        return Verdict


def test_an_answer_that_breaks_the_schema_is_paid_for_once(tmp_path: Path) -> None:
    llm = scripted("It is good.")
    stream = Judge(name="ask", llm=llm).run(questions(1), run_dir=tmp_path, prices=prices_of(llm.model))
    assert [row["answer"] for row in stream] == [None]
    assert dict(stream.stats.failures) == {"SchemaError": 1}
    usage = Usage(output_tokens=3)
    assert stream.stats.usage == usage
    assert stream.stats.cost == pytest.approx(cost_of(usage))
    (cost,) = selected(tmp_path, "SELECT answers, output_tokens, cost FROM costs")
    assert cost == {"answers": 1, "output_tokens": 3, "cost": pytest.approx(cost_of(usage))}


def test_tokens_that_are_none_of_ours_are_left_out_of_an_error_and_it_stays_what_it_is() -> None:
    wrong: Any = ["3 tokens"]
    with pytest.warns(LimbeckWarning, match="with `usage`, which is a list"):
        failed, good = Ask(llm=scripted(refused(usage=wrong), "yes")).run(questions(2))
    error = failed[METADATA]["error_ask"]
    assert (error["type"], good["answer"]) == ("ContentFilteredError", "yes")


# In provider batches


class BillingLLM(BatchLLM):
    """What its provider refuses costs a token."""

    async def fetch_batch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        async for custom_id, result in super().fetch_batch(id):
            if isinstance(result, BadRequestError):
                yield custom_id, BadRequestError(str(result), usage=Usage(input_tokens=1))
            else:
                yield custom_id, result


def billing_llm() -> BillingLLM:
    llm = BillingLLM(mode="batch", batch_poll_seconds=60, batch_gather_seconds=5)
    llm.script.desk.fates = {"p1": ["refused"]}
    return llm


def test_an_entry_that_was_refused_and_paid_for_is_kept_with_its_prompt(tmp_path: Path) -> None:
    run = run_batches(billing_llm(), ["p0", "p1"], tmp_path)
    assert run.stream.stats.input_tokens == 2
    (failure,) = selected(tmp_path, "SELECT request, input_tokens FROM failures")
    assert json.loads(failure["request"])["messages"][0]["content"] == "p1"
    assert failure["input_tokens"] == 1


def test_an_entry_that_was_refused_before_its_row_came_is_paid_for_and_asked_again(tmp_path: Path) -> None:
    llm = billing_llm()
    run_batches(llm, ["p0", "p1"], tmp_path, kill_at=30)
    run = run_batches(llm, [50.0, "p0", "p1"], tmp_path)
    assert sorted(run.answers) == ["p0", "p1"]
    assert run.stream.stats.input_tokens == 3
    (call,) = selected(tmp_path, "SELECT row, request, retried, input_tokens FROM calls WHERE error IS NOT NULL")
    assert call == {"row": "1", "request": None, "retried": 1, "input_tokens": 1}


def test_an_entry_that_was_refused_before_its_row_came_is_no_failure_that_could_be_explained(tmp_path: Path) -> None:
    llm = billing_llm()
    run_batches(llm, ["p0", "p1"], tmp_path, kill_at=30)
    run_batches(llm, [50.0, "p0", "p1"], tmp_path, kill_at=40)
    assert selected(tmp_path, "SELECT row, retried FROM calls WHERE error IS NOT NULL") == [{"row": "1", "retried": 1}]
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:
        assert latest_failure(ledger, {}, step="ask", row="1") is None


# Older files


def test_a_failure_of_an_older_ledger_is_explained_as_it_is(tmp_path: Path) -> None:
    older_ledger(tmp_path, before=FAILURES_MIGRATION)
    explanation = Ask(llm=scripted()).explain({"question": "0"}, run_dir=tmp_path, id=0)
    assert explanation.failure is not None
    assert (explanation.failure.error, explanation.failure.message) == ("BadRequestError", "No.")


def test_failures_of_an_older_ledger_are_there_when_it_is_brought_up_to_date(tmp_path: Path) -> None:
    older_ledger(tmp_path, before=FAILURES_MIGRATION)
    list(Ask(llm=scripted(BadRequestError("No again."), "yes")).run(questions(2), run_dir=tmp_path))
    failures = selected(tmp_path, "SELECT message, request IS NULL AS bare FROM failures ORDER BY id")
    assert failures == [{"message": "No.", "bare": 1}, {"message": "No again.", "bare": 0}]
    assert selected(tmp_path, "PRAGMA user_version") == [{"user_version": len(MIGRATIONS)}]


# Re-runs


def test_a_failure_of_a_re_run_with_other_parameters_is_known_to_the_next_one(tmp_path: Path) -> None:
    script = {None: BadRequestError("No."), 0.1: refused(), 0.2: "yes"}
    task = Ask(llm=ScriptedLLM(script=lambda request: script[request.parameters.get("temperature")]))
    list(task.run(questions(1), run_dir=tmp_path))
    list(task.rerun(questions(1), run_dir=tmp_path, where="failed", parameters={"temperature": 0.1}))
    where = "error = 'ContentFilteredError' AND input_tokens = 100"
    rows = list(task.rerun(questions(1), run_dir=tmp_path, where=where, parameters={"temperature": 0.2}))
    assert [row["answer"] for row in rows] == ["yes"]
