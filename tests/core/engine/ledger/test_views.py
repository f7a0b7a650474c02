"""The views of money, yield and lineage, and bringing an older ledger up to them."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.ledger.file import FILE, MIGRATIONS, open_file
from limbeck._engine.ledger.views import MIGRATION, YIELDS_MIGRATION
from limbeck.errors import BadRequestError, TransientError
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import Generation, GenerationResponse, Usage
from support.priced import CountingLLM, cost_of, prices_of
from support.questions import PATIENCE, Ask, new_model, prompt_of, questions

from .older_ledgers import older_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row

USAGE = Usage(input_tokens=100, output_tokens=50, cached_tokens=40, reasoning_tokens=20)

MENDED = ("repaired", "repair_calls", "fell_back", "fallback_calls")


def queried(run_dir: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        ledger.row_factory = sqlite3.Row
        return [dict(row) for row in ledger.execute(query)]


def forget_end(run_dir: Path) -> None:
    """Leave the ledger as a kill leaves it: no run has noted its end."""
    with closing(sqlite3.connect(run_dir / FILE)) as ledger:
        ledger.execute("DELETE FROM step_runs")
        ledger.commit()


def answering(request: GenerationRequest) -> Any:
    """Fails for "1", cannot be read for "2"."""
    if prompt_of(request) == "1":
        return BadRequestError("No.")
    text = "unreadable" if prompt_of(request) == "2" else "5"
    return GenerationResponse(generations=[Generation(text=text, finish_reason="stop")], usage=USAGE)


class Number(Ask):
    """Reads a number, and drops what has none."""

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": int(output or "")}


def number(name: str = "number", **fields: Any) -> Number:
    return Number(name=name, llm=ScriptedLLM(script=answering, model=new_model()), **fields)


def test_costs_are_by_step_and_model_with_all_kinds_of_tokens(tmp_path: Path) -> None:
    small, large = number("small"), number("large", num_generations=2)
    for task in (small, large):
        list(task.run(questions(4), run_dir=tmp_path, prices={large.llm.model: {"input": 1, "output": 2}}))

    costs = queried(tmp_path, "SELECT * FROM costs ORDER BY step")

    assert costs == [
        {
            "step": name,
            "model": task.llm.model,
            "answers": 3 * samples,
            "rows": 3,
            "input_tokens": 300.0 * samples,
            "cached_tokens": 120.0 * samples,
            "output_tokens": 150.0 * samples,
            "reasoning_tokens": 60.0 * samples,
            "cost": cost,
            "unpriced": unpriced,
            "failed": 0,
        }
        for name, task, samples, cost, unpriced in [
            ("large", large, 2, pytest.approx(6 * (100 + 50 * 2) / 1e6), 0),
            ("small", small, 1, None, 3),
        ]
    ]


def test_the_sum_of_costs_is_what_was_paid(tmp_path: Path) -> None:
    llm = CountingLLM(model=new_model())
    list(Ask(llm=llm).run(questions(50), run_dir=tmp_path, prices=prices_of(llm.model)))

    (total,) = queried(tmp_path, "SELECT sum(cost) AS cost FROM costs")

    assert total["cost"] == pytest.approx(sum(cost_of(llm.usage(str(row))) for row in range(50)))


def test_yields_say_rows_in_out_and_failed_by_reason(tmp_path: Path) -> None:
    list(number(on_error="drop").run([*questions(5), {"other": 1}], run_dir=tmp_path))

    (step,) = queried(tmp_path, "SELECT * FROM yields")

    assert step.pop("seconds") >= 0
    assert json.loads(step.pop("failures")) == {"BadRequestError": 1, "OutputError": 1, "RowError": 1}
    assert step == {
        "step": "number",
        "rows_in": 6,
        "rows_out": 3,
        "rows_failed": 3,
        "rows_open": 0,
        "requests": 5,
        "reused": 0,
        "retries": 0,
        "rate_limited": 0,
        "error": None,
        **dict.fromkeys(MENDED, 0),
    }


def test_the_yield_is_that_of_the_latest_run_of_a_step(tmp_path: Path) -> None:
    for rows in (2, 3):
        list(Ask(llm=CountingLLM()).run(questions(rows), run_dir=tmp_path))
    (step,) = queried(tmp_path, "SELECT rows_in, rows_out, requests, reused FROM yields")
    assert step == {"rows_in": 3, "rows_out": 3, "requests": 1, "reused": 2}


def test_a_run_that_was_stopped_says_why(tmp_path: Path) -> None:
    stream = Ask(llm=CountingLLM(model=new_model())).run(questions(9), run_dir=tmp_path, max_requests=4)
    with pytest.raises(Exception, match="budget"):
        list(stream)
    (step,) = queried(tmp_path, "SELECT rows_out, error FROM yields")
    assert step == {"rows_out": 4, "error": "BudgetError"}


def test_a_run_that_did_not_come_to_its_end_yields_what_it_left(tmp_path: Path) -> None:
    list(number().run(questions(2), run_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:  # as a kill leaves it
        ledger.execute("INSERT INTO open_runs VALUES ('number', 0)")
        ledger.commit()
    (step,) = queried(tmp_path, "SELECT * FROM yields")
    assert step.pop("seconds") >= 0
    assert json.loads(step.pop("failures")) == {"BadRequestError": 1}
    assert step == {
        "step": "number",
        "rows_in": 2,
        "rows_failed": 1,
        "error": "Unfinished",
        **dict.fromkeys(("rows_out", "rows_open", "requests", "reused", "retries", "rate_limited", *MENDED)),
    }


def test_while_a_run_is_at_work_its_yield_is_of_its_own_calls_and_then_how_it_ended(tmp_path: Path) -> None:
    over = threading.Event()

    def rows() -> Iterator[Row]:
        yield from questions(2)
        assert over.wait(PATIENCE)

    list(Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path))
    with Ask(llm=EchoLLM()).run(rows(), run_dir=tmp_path) as stream:
        assert [next(stream)["answer"] for _ in range(2)] == ["0", "1"]  # each is on disk by then
        (step,) = queried(tmp_path, "SELECT rows_in, error FROM yields")
        assert step == {"rows_in": 1, "error": "Unfinished"}
        over.set()
        assert list(stream) == []
    (step,) = queried(tmp_path, "SELECT rows_in, error FROM yields")
    assert step == {"rows_in": 2, "error": None}


def test_a_call_that_was_in_flight_when_its_run_ended_changes_nothing_of_how_it_did(tmp_path: Path) -> None:
    list(Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:
        ledger.execute(
            "INSERT INTO calls (step, row, sample, key, attempts, at) SELECT step, '1', 0, key, 1, at + 9 FROM calls"
        )
        ledger.commit()
    (step,) = queried(tmp_path, "SELECT rows_in, error FROM yields")
    assert step == {"rows_in": 1, "error": None}


def test_a_first_run_that_was_killed_has_a_yield_too(tmp_path: Path) -> None:
    list(number().run(questions(1), run_dir=tmp_path))
    forget_end(tmp_path)
    (step,) = queried(tmp_path, "SELECT step, rows_in, rows_failed, error FROM yields")
    assert step == {"step": "number", "rows_in": 1, "rows_failed": 0, "error": "Unfinished"}


def test_a_call_that_was_paid_for_and_asked_again_is_no_failure_of_a_run_that_was_killed(tmp_path: Path) -> None:
    broken = TransientError("It broke off.", retry_after=0.0, usage=USAGE)
    list(Ask(llm=ScriptedLLM(script=[broken, "yes"], model=new_model())).run(questions(1), run_dir=tmp_path))
    forget_end(tmp_path)
    (step,) = queried(tmp_path, "SELECT rows_in, rows_failed, failures, error FROM yields")
    assert step == {"rows_in": 1, "rows_failed": 0, "failures": "{}", "error": "Unfinished"}


def test_a_ledger_of_the_version_before_gets_the_view_that_knows_of_kills(tmp_path: Path) -> None:
    older_ledger(tmp_path, before=YIELDS_MIGRATION)
    assert queried(tmp_path, "SELECT * FROM yields") == []
    open_file(tmp_path / FILE, "normal").close()
    (step,) = queried(tmp_path, "SELECT step, rows_in, rows_failed, error FROM yields")
    assert step == {"step": "ask", "rows_in": 1, "rows_failed": 1, "error": "Unfinished"}


def test_lineage_says_what_made_each_answer(tmp_path: Path) -> None:
    model = new_model()
    for seed, rows in ((1, 2), (2, 3)):
        llm = CountingLLM(model=model, generation_kwargs={"seed": seed})
        with pytest.warns() if seed == 2 else closing(sqlite3.connect(":memory:")):
            list(Ask(llm=llm).run(questions(rows), run_dir=tmp_path))

    made = queried(tmp_path, "SELECT row, model, parameters FROM lineage ORDER BY parameters, row")

    assert made == [
        {"row": row, "model": model, "parameters": f'{{"seed":{seed}}}'}
        for seed, rows in ((1, "01"), (2, "012"))
        for row in rows
    ]


def test_an_older_ledger_is_brought_up_to_date_and_its_answers_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = MIGRATIONS.index(MIGRATION)
    llm = CountingLLM(model=new_model())
    path = tmp_path / "ledger.sqlite"
    list(Ask(llm=llm).run(questions(3), run_dir=tmp_path))
    (tmp_path / "kept.json").unlink()
    with closing(sqlite3.connect(path)) as old:  # as it was before: without columns, tables and views
        views = [name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
        for name in views:
            old.execute(f"DROP VIEW {name}")
        for table in ("identity", "makers", "step_runs", "step_failures", "open_runs", "effects"):
            old.execute(f"DROP TABLE {table}")
        for column in ("cost", "origin", "maker", "retried", "digest", "turn", "value"):
            old.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        old.execute("ALTER TABLE results DROP COLUMN digest")
        old.execute("ALTER TABLE batch_entries DROP COLUMN turn")
        old.executescript(MIGRATIONS[1])
        old.execute(f"PRAGMA user_version = {version}")

    stream = Ask(llm=llm).run(questions(4), run_dir=tmp_path, prices=prices_of(llm.model))

    assert len(list(stream)) == 4
    assert (stream.stats.requests, stream.stats.reused) == (1, 3)
    (cost,) = queried(tmp_path, "SELECT sum(answers) AS answers, sum(unpriced) AS unpriced FROM costs")
    assert cost == {"answers": 4, "unpriced": 3}
    (answer,) = queried(tmp_path, "SELECT count(cost) AS priced FROM answers")
    assert answer == {"priced": 1}
