"""Selective re-runs: only what is meant is asked for; everything comes out.

Covers `_task.rerunning`.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Budget
from limbeck.errors import BadRequestError, BudgetError, ConfigurationError, TransientError
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation
from support.priced import CountingLLM
from support.questions import METADATA, Ask, new_model, prompt_of, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row

CUT = "finish_reason = 'length'"


def is_cut(prompt: str, parameters: Any) -> str:
    """Of 2,000 answers 120 need 150 tokens, the others less than 100."""
    return "length" if int(prompt) % 50 in (3, 14, 47) and parameters["max_tokens"] < 150 else "stop"


def model(finish: Any = is_cut) -> CountingLLM:
    return CountingLLM(model=new_model(), max_concurrency=64, finish=finish, generation_kwargs={"max_tokens": 100})


def lineage(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row[METADATA]["lineage_ask"]
    return found


def stored(run_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Ask, list[Row], Path]:
    """A run of 2,000 rows of which 120 were cut short."""
    llm, rows = model(), questions(2000)
    task = Ask(llm=llm)
    assert len(list(task.run(rows, run_dir=tmp_path))) == 2000
    llm.requests.clear()
    return task, rows, tmp_path


def again(task: Ask, rows: list[Row], run_dir: Path, **how: Any) -> tuple[list[Row], CountingLLM]:
    """A re-run with a larger maximum; what comes out, and who was asked."""
    bigger = task.llm.model_copy(update={"generation_kwargs": {"max_tokens": 400}})
    bigger.requests.clear()
    return list(task.rerun(rows, run_dir=run_dir, llm=bigger, **{"where": CUT, **how})), bigger


def test_of_2000_rows_the_120_that_were_cut_short_are_bought_again_and_all_come_out(
    cut: tuple[Ask, list[Row], Path],
) -> None:
    task, rows, run_dir = cut

    made, bigger = again(task, rows, run_dir)

    assert len(bigger.asked) == 120
    assert [row["question"] for row in made] == [row["question"] for row in rows]
    new = [row for row in made if lineage(row)["new"]]
    assert len(new) == 120
    assert {row["question"] for row in new} == set(bigger.asked)
    assert all(lineage(row)["parameters"] == {"max_tokens": 400} for row in new)
    assert all(lineage(row)["parameters"] == {"max_tokens": 100} for row in made if not lineage(row)["new"])
    query = "SELECT parameters, count(*) FROM lineage GROUP BY 1 ORDER BY 1"
    assert stored(run_dir, query) == [('{"max_tokens":100}', 2000), ('{"max_tokens":400}', 120)]


def test_the_same_command_again_asks_for_nothing(cut: tuple[Ask, list[Row], Path]) -> None:
    task, rows, run_dir = cut
    first, _ = again(task, rows, run_dir)

    second, bigger = again(task, rows, run_dir)

    assert bigger.asked == []
    assert [row["answer"] for row in second] == [row["answer"] for row in first]


def test_a_re_run_that_was_stopped_goes_on_where_it_stood(cut: tuple[Ask, list[Row], Path]) -> None:
    task, rows, run_dir = cut
    with pytest.raises(BudgetError):
        again(task, rows, run_dir, budget=Budget(max_requests=2050))

    made, bigger = again(task, rows, run_dir)

    assert len(bigger.asked) == 70
    assert len(made) == 2000
    assert stored(run_dir, "SELECT count(*) FROM answers") == [(2120,)]


def test_the_earlier_answers_stay_and_the_run_as_it_was_still_has_them(cut: tuple[Ask, list[Row], Path]) -> None:
    task, rows, run_dir = cut
    again(task, rows, run_dir)

    stream = task.run(rows, run_dir=run_dir)

    assert len(list(stream)) == 2000
    assert stream.stats.requests == 0


def test_a_further_re_run_begins_where_this_one_ended(tmp_path: Path) -> None:
    def finish(prompt: str, parameters: Any) -> str:
        needed = {"3": 150, "4": 150, "5": 300}.get(prompt, 10)
        return "length" if needed > parameters["max_tokens"] else "stop"

    task, rows = Ask(llm=model(finish)), questions(200)
    list(task.run(rows, run_dir=tmp_path))
    second = task.rerun(rows, run_dir=tmp_path, where=CUT, parameters={"max_tokens": 200})
    list(second)

    third = task.rerun(rows, run_dir=tmp_path, where=CUT, parameters={"max_tokens": 400})
    made = list(third)

    assert (second.stats.requests, third.stats.requests) == (3, 1)
    parameters = [lineage(row)["parameters"]["max_tokens"] for row in made]
    assert (parameters.count(100), parameters.count(200), parameters.count(400)) == (197, 2, 1)


def test_parameters_are_changed_one_by_one_and_none_takes_one_out(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=lambda request: "yes", model=new_model(), generation_kwargs={"top_p": 1, "seed": 3})
    task = Ask(llm=llm)
    list(task.run(questions(1), run_dir=tmp_path))

    (row,) = task.rerun(questions(1), run_dir=tmp_path, where="1", parameters={"top_p": None, "temperature": 0})

    assert lineage(row)["parameters"] == {"seed": 3, "temperature": 0}


def test_another_llm_may_be_asked_and_each_row_says_who_made_it(tmp_path: Path) -> None:
    weak, strong = "weak" + new_model(), "strong" + new_model()
    task = Ask(llm=ScriptedLLM(script=lambda request: prompt_of(request) * 2, model=weak))
    list(task.run(questions(4), run_dir=tmp_path))

    other = ScriptedLLM(script=lambda request: "better", model=strong)
    made = list(task.rerun(questions(4), run_dir=tmp_path, where="answer IN ('11', '22')", llm=other))

    assert [row["answer"] for row in made] == ["00", "better", "better", "33"]
    assert [row["model_name"] for row in made] == [weak, strong, strong, weak]
    assert len(other.requests) == 2


def test_where_nothing_changes_what_is_meant_is_asked_once_more(tmp_path: Path) -> None:
    llm = CountingLLM(model=new_model())
    task = Ask(llm=llm)
    list(task.run(questions(3), run_dir=tmp_path))

    list(task.rerun(questions(3), run_dir=tmp_path, where="question = '1'"))

    assert llm.asked[3:] == ["1"]


def test_rows_that_failed_or_were_never_asked_can_be_meant(tmp_path: Path) -> None:
    def answer(request: GenerationRequest) -> Any:
        return BadRequestError("No.") if prompt_of(request) == "1" and not mended else f"answer {prompt_of(request)}"

    mended = False
    task = Ask(llm=ScriptedLLM(script=answer, model=new_model()))
    list(task.run(questions(3), run_dir=tmp_path))
    mended = True

    kept = list(task.rerun(questions(4), run_dir=tmp_path, where="0"))
    stream = task.rerun(questions(4), run_dir=tmp_path, where="failed")
    made = list(stream)

    assert kept[1][METADATA]["error_ask"] == {"type": "BadRequestError", "message": "No.", "attempts": 1}
    assert kept[3][METADATA]["error_ask"]["type"] == "RowError"
    assert [row["answer"] for row in made] == ["answer 0", "answer 1", "answer 2", "answer 3"]
    assert stream.stats.requests == 2


def test_answers_that_could_not_be_read_can_be_meant(tmp_path: Path) -> None:
    class Number(Ask):
        """Reads a number."""

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": int(output or "")}

    answers = iter(["1", "two", "3", "2"])
    task = Number(
        name="ask", llm=ScriptedLLM(script=lambda request: next(answers), model=new_model(), max_concurrency=1)
    )
    list(task.run(questions(3), run_dir=tmp_path))

    stream = task.rerun(questions(3), run_dir=tmp_path, where="parse_failed AND error = 'OutputError'")

    assert [row["answer"] for row in stream] == [1, 2, 3]
    assert stream.stats.requests == 1


def test_a_judges_column_in_the_rows_can_be_meant(tmp_path: Path) -> None:
    task = Ask(llm=CountingLLM(model=new_model()))
    list(task.run(questions(3), run_dir=tmp_path))
    judged = [{**row, "score": score} for row, score in zip(questions(3), [5, 1, 4], strict=True)]

    stream = task.rerun(judged, run_dir=tmp_path, where="score < 3")

    assert [lineage(row)["new"] for row in stream] == [False, True, False]


def test_of_several_samples_only_those_that_are_meant_are_asked_again(tmp_path: Path) -> None:
    texts = iter(["good", "bad", "good", "better"])
    llm = ScriptedLLM(script=lambda request: next(texts), model=new_model(), max_concurrency=1)
    task = Ask(llm=llm, num_generations=3, group_generations=True)
    list(task.run(questions(1), run_dir=tmp_path))

    (row,) = task.rerun(questions(1), run_dir=tmp_path, where="answer = 'bad'")

    assert row["answer"] == ["good", "better", "good"]
    assert [metadata["lineage_ask"]["new"] for metadata in row[METADATA]] == [False, True, False]


def test_a_row_whose_prompt_has_changed_since_has_no_answer_here(tmp_path: Path) -> None:
    task = Ask(llm=CountingLLM(model=new_model()))
    list(task.run(questions(2), run_dir=tmp_path))

    made = list(task.rerun([{"question": "0"}, {"question": "other"}], run_dir=tmp_path, where="0"))

    assert made[0]["answer"] == "echo: 0"
    assert made[1][METADATA]["error_ask"]["type"] == "RowError"


def test_a_question_that_fails_again_leaves_the_answer_that_was_there_to_the_next_re_run(tmp_path: Path) -> None:
    down = False

    def answer(request: GenerationRequest) -> Any:
        return TransientError("503") if down else Generation(text="cut", finish_reason="length")

    task = Ask(llm=ScriptedLLM(script=answer, model=new_model(), max_attempts=1))
    list(task.run(questions(1), run_dir=tmp_path))
    down = True
    (failed,) = task.rerun(questions(1), run_dir=tmp_path, where=CUT, parameters={"max_tokens": 9})
    down = False
    stream = task.rerun(questions(1), run_dir=tmp_path, where=CUT, parameters={"max_tokens": 9})

    assert failed[METADATA]["error_ask"]["type"] == "TransientError"
    assert [row["answer"] for row in stream] == ["cut"]
    assert stream.stats.requests == 1


def test_many_failures_that_are_left_as_they_are_do_not_stop_a_re_run(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=lambda request: BadRequestError("No."), model=new_model(), breaker_threshold=100)
    task = Ask(llm=llm)
    list(task.run(questions(60), run_dir=tmp_path))

    other = ScriptedLLM(script=lambda request: "yes", model=new_model(), breaker_threshold=10)

    assert len(list(task.rerun(questions(60), run_dir=tmp_path, where="question = '59'", llm=other))) == 60


def test_the_configuration_of_the_run_stays_what_it_was(cut: tuple[Ask, list[Row], Path]) -> None:
    task, rows, run_dir = cut
    before = stored(run_dir, "SELECT config FROM steps")
    again(task, rows, run_dir)
    assert stored(run_dir, "SELECT config FROM steps") == before


def test_a_condition_that_cannot_be_read_stops_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Ask(llm=model()).rerun(questions(1), run_dir=tmp_path / "run", where="finish_reason = =")
    assert not (tmp_path / "run").exists()


def test_a_column_that_no_row_has_stops_it_before_a_call(cut: tuple[Ask, list[Row], Path]) -> None:
    task, rows, run_dir = cut
    with pytest.raises(ConfigurationError, match="no such column: scor"):
        again(task, rows, run_dir, where="scor < 3")
    assert task.llm.asked == []


def test_a_directory_without_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no run of 'ask' here to ask rows of again"):
        Ask(llm=model()).rerun(questions(1), run_dir=tmp_path, where="failed")


def test_a_condition_that_calls_sys_exit_ends_the_re_run_and_no_other(tmp_path: Path) -> None:
    task = Ask(llm=model())
    (row,) = task.run(questions(1), run_dir=tmp_path)
    with pytest.raises(SystemExit):
        list(task.rerun(questions(1), run_dir=tmp_path, where=lambda _row: sys.exit(3)))
    assert [each["answer"] for each in task.rerun(questions(1), run_dir=tmp_path, where="0")] == [row["answer"]]
