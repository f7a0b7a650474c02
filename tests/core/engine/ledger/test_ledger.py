"""The built-in ledger: what is on disk, who may open it, and what is found in it again.

Covers `_engine.ledger.step_ledger`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections import Counter
from contextlib import closing
from datetime import date
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Task
from limbeck._engine.ledger import ledger as ledger_module
from limbeck._engine.ledger.file import FILE, MIGRATIONS
from limbeck._engine.ledger.ledger import Ledger, release_ledger, shared_ledger
from limbeck.errors import BadRequestError, ConfigurationError, LedgerError, LimbeckWarning
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import Generation, GenerationResponse, RunStats, Usage
from support.questions import METADATA, PATIENCE, Ask, GatedLLM, prompt_of, questions, response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row


class NumberedLLM:
    """Answers each prompt with itself and how often it was asked.

    Attributes:
        asked: how often each prompt was.
    """

    def __init__(self, model: str = "numbered") -> None:
        self.model_name = model
        self.asked: Counter[str] = Counter()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        self.asked[prompt] += 1
        return response(f"{prompt}#{self.asked[prompt]}")


def answers(rows: Iterable[Row]) -> list[Any]:
    """The answers in rows that came of `Ask`."""
    return [row["answer"] for row in rows]


def ask(llm: Any, prompts: Sequence[str], folder: Path, **fields: Any) -> list[Any]:
    """The answers of a run in a directory."""
    return answers(Ask(llm=llm, **fields).run([{"question": prompt} for prompt in prompts], run_dir=folder))


def select(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What a reader sees in a ledger."""
    with closing(sqlite3.connect(f"{(folder / FILE).as_uri()}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


# What is on disk


def test_every_answer_is_kept_with_what_it_answers_and_what_it_cost(tmp_path: Path) -> None:
    usage = Usage(input_tokens=7, output_tokens=5, cached_tokens=3, reasoning_tokens=2)
    generation = Generation(text="Madrid", finish_reason="stop", reasoning="It is Spain's.")
    llm = ScriptedLLM(script=[GenerationResponse(generations=[generation], usage=usage, model="m-2026")])
    ask(llm, ["Spain?"], tmp_path)
    assert select(
        tmp_path,
        "SELECT step, row, sample, text, finish_reason, detail, model, input_tokens, output_tokens, cached_tokens,"
        " reasoning_tokens, attempts, error FROM calls",
    ) == [("ask", "0", 0, "Madrid", "stop", '{"reasoning": "It is Spain\'s."}', "m-2026", 7, 5, 3, 2, 1, None)]
    ((request,),) = select(tmp_path, "SELECT request FROM calls")
    assert json.loads(request)["messages"] == [{"role": "user", "content": "Spain?"}]


def test_a_failure_is_kept_apart_from_the_answers(tmp_path: Path) -> None:
    ask(ScriptedLLM(script=[BadRequestError("no", raw="half")]), ["q"], tmp_path)
    assert select(tmp_path, "SELECT step, row, sample, error, message, attempts FROM failures") == [
        ("ask", "0", 0, "BadRequestError", "no", 1)
    ]
    assert select(tmp_path, "SELECT * FROM answers") == []


def test_only_the_digests_of_prompts_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    task = Ask(llm=EchoLLM())
    list(task.run([{"question": "a secret"}], run_dir=tmp_path, ledger_requests="hash"))
    assert select(tmp_path, "SELECT request, length(key) FROM calls") == [(None, 16)]


def test_an_answer_is_on_disk_before_it_is_parsed(tmp_path: Path) -> None:
    seen = []

    class Looking(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            seen.append(select(tmp_path, "SELECT text FROM answers"))
            raise ValueError("the parser fails")

    list(Looking(llm=ScriptedLLM(script=["paid for"])).run(questions(1), run_dir=tmp_path))
    assert seen == [[("paid for",)]]


def test_anyone_can_read_while_a_run_goes_on(tmp_path: Path) -> None:
    llm = GatedLLM(expect=1, max_concurrency=1)

    class FirstAtOnce:
        model_name = "first-at-once"
        max_concurrency = 1

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response("first") if prompt_of(request) == "0" else await llm.agenerate(request)

    with Ask(llm=FirstAtOnce()).run(questions(3), run_dir=tmp_path) as stream:
        llm.wait_until_asked()  # the one request that may be in flight: the answer before it is committed
        read = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT text FROM answers').fetchall())"
        printed = subprocess.run([sys.executable, "-c", read, tmp_path / FILE], capture_output=True, check=True)
        llm.release()
        assert printed.stdout.decode().strip() == "[('first',)]"
        assert answers(stream) == ["first", "1", "2"]


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
def test_durability_says_whether_each_commit_waits_for_the_disk(tmp_path: Path, durability: Any, level: int) -> None:
    with closing(Ledger(tmp_path, durability=durability)) as ledger:
        assert ledger._writer.execute("PRAGMA synchronous").fetchone() == (level,)  # what no file tells
        assert ledger._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_waits_to_be_written_is_committed_as_one_group(tmp_path: Path) -> None:
    held, holding = threading.Event(), threading.Event()

    def hold() -> int:
        holding.set()
        assert held.wait(PATIENCE)
        return 0

    with closing(Ledger(tmp_path)) as ledger:
        ledger._writer.create_function("hold", 0, hold)  # stands for a disk that takes its time
        statements: list[str] = []
        ledger._writer.set_trace_callback(statements.append)
        ledger.submit("SELECT hold()")
        assert holding.wait(PATIENCE)
        for number in range(100):
            ledger.submit("INSERT INTO steps VALUES (?, ?)", [(f"step {number}", "{}")])
        held.set()
        ledger.flush()
    assert select(tmp_path, "SELECT count(*) FROM steps") == [(100,)]
    assert statements.count("COMMIT") <= 3  # what held the writer, what gathered meanwhile, and perhaps the flush


# Old, foreign, broken and newer files


def test_a_file_of_the_first_version_is_brought_up_to_date_and_its_answers_are_used(tmp_path: Path) -> None:
    ask(ScriptedLLM(script=["paid for"]), ["q"], tmp_path)
    columns = (
        "id, step, row, sample, key, text, finish_reason, detail, request, model, input_tokens, output_tokens,"
        " cached_tokens, reasoning_tokens, latency, attempts, error, message, at"
    )
    calls = select(tmp_path, f"SELECT {columns} FROM calls")
    (tmp_path / FILE).unlink()
    (tmp_path / "kept.json").unlink()  # which that version did not write
    with closing(sqlite3.connect(tmp_path / FILE)) as old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1; PRAGMA application_id = {0x4C4D424B};")
        old.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * len(calls[0]))})", calls)
        old.execute("CREATE INDEX calls_by_key ON calls (step, key)")
        old.commit()
    assert ask(ScriptedLLM(script=[]), ["q"], tmp_path) == ["paid for"]
    assert select(tmp_path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert select(tmp_path, "SELECT text FROM answers") == [("paid for",)]
    assert ("calls_by_key",) not in select(tmp_path, "SELECT name FROM sqlite_master")


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE precious (value)")


def newer_ledger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as newer:
        newer.executescript(f"CREATE TABLE calls (x); PRAGMA application_id = {0x4C4D424B}; PRAGMA user_version = 999;")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign_database, "is a database of another program"),
        (newer_ledger, "written by a newer Limbeck (format 999"),
        (lambda path: path.write_text("my notes\n" * 100, encoding="utf-8"), "file is not a database"),
    ],
    ids=["another program's", "a newer version's", "no database"],
)
def test_a_file_that_is_no_ledger_of_ours_is_refused_and_left_as_it_is(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / FILE)
    (tmp_path / "failed.jsonl").write_text("kept\n", encoding="utf-8")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LedgerError) as caught:
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path)
    assert words in str(caught.value)
    assert (tmp_path / FILE).read_bytes() == before
    assert (tmp_path / "failed.jsonl").read_text(encoding="utf-8") == "kept\n"


@pytest.mark.parametrize(
    "make", [foreign_database, newer_ledger, lambda path: path.write_text("my notes\n" * 100, encoding="utf-8")]
)
def test_a_file_that_is_refused_is_not_held_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    make(tmp_path / FILE)
    connect, opened = sqlite3.connect, list[sqlite3.Connection]()

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    with pytest.raises(LedgerError):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path)
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_ledger_that_is_damaged_inside_is_an_error_before_any_call(tmp_path: Path) -> None:
    ask(EchoLLM(), [str(place) for place in range(500)], tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    llm = NumberedLLM()
    with pytest.raises(LedgerError, match=r"cannot be (read|opened as a ledger|written)"):
        ask(llm, ["0"], tmp_path)
    assert llm.asked == {}


def test_a_path_that_can_be_no_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"The run directory '.*file' is a file. It was left as it is; name another"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path / "file")
    with pytest.raises(LedgerError, match=r"The run directory '.*below' cannot be made: .* Name another"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path / "file" / "below")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE steps SET config = '{half'",
        "PRAGMA user_version = -1",
    ],
)
def test_a_damaged_value_that_sqlite_does_not_notice_is_an_error_before_any_call(damage: str, tmp_path: Path) -> None:
    ask(NumberedLLM(), ["0", "1"], tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as vandal:
        vandal.execute(damage)
        vandal.commit()
    llm = NumberedLLM()
    with pytest.raises(LedgerError, match="damaged"):
        ask(llm, ["0", "1"], tmp_path)
    assert llm.asked == {}


def test_the_place_of_the_failed_rows_may_be_taken_which_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "failed.jsonl").mkdir()
    with pytest.raises(LedgerError, match=r"failed.jsonl' cannot be written anew: .* Move it away"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path)


def test_two_runs_that_began_at_one_time_by_the_clock_are_both_noted(tmp_path: Path) -> None:
    stats = RunStats(rows_in=1, rows_failed=1)
    stats.failures["BadRequestError"] = 1
    ledger = Ledger(tmp_path)
    with closing(ledger), closing(ledger.step("ask", {})) as step:
        step.note_run(stats, 7.0, None)
        step.note_run(stats, 7.0, None)
        ledger.flush()
    assert select(tmp_path, "SELECT count(*) FROM step_runs") == [(2,)]


# Who may open it


def test_a_second_process_is_refused_while_a_run_goes_on_and_let_in_after_it(tmp_path: Path) -> None:
    program = (
        "import sys; from limbeck._engine.ledger.ledger import Ledger; from limbeck.errors import LedgerError\n"
        "try: Ledger(sys.argv[1]).close()\n"
        "except LedgerError as exc: print(exc)\n"
    )

    def second() -> str:
        done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, check=True)
        return done.stdout.decode()

    with closing(Ledger(tmp_path)):
        assert "Another process is running in" in second()
    assert second() == ""


def test_two_runs_of_one_task_in_one_directory_at_once_are_refused(tmp_path: Path) -> None:
    llm = GatedLLM()
    with Ask(llm=llm).run(questions(1), run_dir=tmp_path):
        llm.wait_until_asked()
        with pytest.raises(LedgerError, match=r"The step 'ask' is running in .* already. Give it another name"):
            Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path)


def test_of_threads_that_begin_the_same_step_at_once_one_is_let_in(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    together = threading.Barrier(8)
    refused = []

    def begin() -> None:
        together.wait(PATIENCE)
        try:
            ledger.step("ask", {})
        except LedgerError as exc:
            refused.append(str(exc))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    ledger.close()
    assert len(refused) == 7
    assert "is running in" in refused[0]


def test_tasks_of_other_names_share_the_directory_and_keep_apart(tmp_path: Path) -> None:
    first = Ask(name="first", llm=EchoLLM())
    second = Ask(name="second", llm=NumberedLLM(), output_mappings={"answer": "again"})
    for _ in range(2):
        stream = second.run(first.run(questions(3), run_dir=tmp_path), run_dir=tmp_path)
        assert [row["again"] for row in stream] == ["0#1", "1#1", "2#1"]
    assert select(tmp_path, "SELECT step, count(*) FROM answers GROUP BY step") == [("first", 3), ("second", 3)]


def test_the_directory_is_free_again_when_a_run_is_over(tmp_path: Path) -> None:
    ask(EchoLLM(), ["q"], tmp_path)
    with closing(Ledger(tmp_path)):
        pass


def test_one_process_has_one_ledger_of_a_directory_until_its_last_user_is_done(tmp_path: Path) -> None:
    first, second = shared_ledger(tmp_path), shared_ledger(tmp_path / "." / "")
    assert first is second
    release_ledger(first)
    first.flush()  # it is still open
    release_ledger(second)
    with closing(Ledger(tmp_path)):
        pass


# What is used again


def test_the_same_run_again_asks_nothing(tmp_path: Path) -> None:
    llm = NumberedLLM()
    first = ask(llm, ["a", "b", "c"], tmp_path, num_generations=2)
    assert ask(llm, ["a", "b", "c"], tmp_path, num_generations=2) == first
    assert llm.asked == {"a": 2, "b": 2, "c": 2}


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    llm = NumberedLLM()
    ask(llm, ["a", "b"], tmp_path)
    with pytest.warns(LimbeckWarning, match="num_generations: 1 -> 2"):
        assert ask(llm, ["a", "b", "c"], tmp_path, num_generations=2) == ["a#1", "a#2", "b#1", "b#2", "c#1", "c#2"]
    assert llm.asked == {"a": 2, "b": 2, "c": 2}


def test_failures_are_asked_again(tmp_path: Path) -> None:
    assert ask(ScriptedLLM(script=[BadRequestError("no")]), ["q"], tmp_path) == [None]
    assert ask(ScriptedLLM(script=["yes"]), ["q"], tmp_path) == ["yes"]


def test_rows_that_moved_keep_their_answers(tmp_path: Path) -> None:
    llm = NumberedLLM()
    ask(llm, ["a", "b", "c", "d"], tmp_path)
    assert ask(llm, ["new", "d", "c", "a", "b"], tmp_path) == ["new#1", "d#1", "c#1", "a#1", "b#1"]
    assert llm.asked == {"a": 1, "b": 1, "c": 1, "d": 1, "new": 1}


def test_equal_prompts_in_moved_rows_take_the_answers_in_row_order(tmp_path: Path) -> None:
    llm = NumberedLLM()
    first = ask(llm, ["x"] * 12, tmp_path)
    assert ask(llm, ["0", "1", *["x"] * 12], tmp_path)[2:] == [*first[2:], *first[:2]]


def test_equal_prompts_in_different_rows_stay_different_samples(tmp_path: Path) -> None:
    llm = NumberedLLM()
    first = ask(llm, ["x"] * 5, tmp_path)
    assert sorted(first) == [f"x#{number}" for number in range(1, 6)]
    assert ask(llm, ["x"] * 8, tmp_path) == [*first, "x#6", "x#7", "x#8"]


def test_what_a_resumed_run_buys_answers_one_row_of_it(tmp_path: Path) -> None:
    llm = NumberedLLM()
    llm.max_concurrency = 1  # type: ignore[attr-defined]  # each answer is committed before the next row comes
    ask(llm, ["first"], tmp_path)
    assert ask(llm, ["first", "x", "x", "x"], tmp_path) == ["first#1", "x#1", "x#2", "x#3"]


def test_another_model_finds_nothing_and_the_old_answers_stay(tmp_path: Path) -> None:
    ask(NumberedLLM("one"), ["q"], tmp_path)
    other = NumberedLLM("other")
    ask(other, ["q"], tmp_path)
    assert other.asked == {"q": 1}
    back = NumberedLLM("one")
    assert ask(back, ["q"], tmp_path) == ["q#1"]
    assert back.asked == {}


def test_a_changed_configuration_is_listed_and_what_still_holds_is_used(tmp_path: Path) -> None:
    llm = EchoLLM()
    ask(llm, ["q"], tmp_path)
    with pytest.warns(LimbeckWarning) as caught:
        ask(llm, ["q"], tmp_path, num_generations=2, group_generations=True)
    (warning,) = caught
    assert "The configuration of step 'ask' has changed" in str(warning.message)
    assert "group_generations: false -> true; num_generations: 1 -> 2" in str(warning.message)
    assert select(tmp_path, "SELECT count(*) FROM answers") == [(2,)]


def test_an_unchanged_configuration_says_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            ask(EchoLLM(), ["q"], tmp_path)
    assert caught == []


# Texts of every kind


@pytest.mark.parametrize("text", ["", "half of \ud83d", "\x00", "ä" * 1000, None])
def test_any_text_is_kept_as_it_is(tmp_path: Path, text: str | None) -> None:
    ask(ScriptedLLM(script=[response(text)]), ["q"], tmp_path)
    assert ask(ScriptedLLM(script=[]), ["q"], tmp_path) == [text]


def test_prompts_with_half_a_surrogate_pair_are_asked_once(tmp_path: Path) -> None:
    llm = NumberedLLM()
    for _ in range(2):
        assert ask(llm, ["\ud83d", "\ude00"], tmp_path) == ["\ud83d#1", "\ude00#1"]


def test_what_a_server_says_of_itself_may_be_any_text(tmp_path: Path) -> None:
    generation = Generation(text="x", finish_reason="\ud83d")
    whole = GenerationResponse(generations=[generation], model="\ude00")
    for script in ([whole], []):
        (row,) = Ask(llm=ScriptedLLM(script=script), add_statistics=True).run(questions(1), run_dir=tmp_path)
        assert row[METADATA]["statistics_ask"]["finish_reason"] == "\ud83d"


def test_a_prompt_of_ten_megabytes_is_asked_once(tmp_path: Path) -> None:
    llm, prompt = NumberedLLM(), "ä" * 5_000_000
    for _ in range(2):
        assert ask(llm, [prompt], tmp_path) == [f"{prompt}#1"]


def test_a_hundred_thousand_equal_rows_take_what_is_there_also_where_all_of_it_moved(tmp_path: Path) -> None:
    number = 100_000
    task = Ask(llm=EchoLLM(), add_raw_output=False)
    ask(EchoLLM(), ["same"], tmp_path, add_raw_output=False)
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:
        ledger.execute(
            "WITH RECURSIVE place(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < ?)"
            " INSERT INTO calls (step, row, sample, key, text, attempts, at)"
            " SELECT step, ? + n, 0, key, text, 1, at FROM calls, place",
            (number - 1_001, number),
        )
        ledger.commit()
    stream = task.run([{"question": "same"}] * number, run_dir=tmp_path)
    assert sum(1 for _ in stream) == number
    assert (stream.stats.reused, stream.stats.requests) == (number - 1_000, 1_000)


# A parser that changed


class Loud(Task):
    """As `Ask`, with another parser."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["loud"]

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": str(input["question"])}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"loud": str(output).upper()}


def test_reparse_makes_the_columns_anew_and_asks_nothing(tmp_path: Path) -> None:
    ask(ScriptedLLM(script=["madrid"], model="m"), ["q"], tmp_path)
    llm = ScriptedLLM(script=[], model="m")
    rows = list(Loud(name="ask", llm=llm).reparse([{"question": "q"}], run_dir=tmp_path))
    assert [row["loud"] for row in rows] == ["MADRID"]
    assert llm.requests == []


def test_reparse_fails_a_row_without_an_answer_as_data(tmp_path: Path) -> None:
    ask(EchoLLM(), ["known"], tmp_path)
    known, unknown = Ask(llm=EchoLLM()).reparse([{"question": "known"}, {"question": "unknown"}], run_dir=tmp_path)
    assert (known["answer"], unknown["answer"]) == ("known", None)
    assert unknown[METADATA]["error_ask"]["type"] == "RowError"


def test_reparse_must_be_told_where_the_answers_are() -> None:
    with pytest.raises(ConfigurationError, match="give `run_dir` or `ledger`"):
        Ask(llm=EchoLLM()).reparse([])


# Rows that cannot be written down


def test_a_list_with_a_value_that_json_cannot_hold_is_an_error_before_any_call(tmp_path: Path) -> None:
    llm = NumberedLLM()
    rows: list[Row] = [*questions(300), {"question": [{"deep": object()}]}]
    with pytest.raises(ConfigurationError) as caught:
        Ask(llm=llm).run(rows, run_dir=tmp_path)
    assert "Row 300 has a value of the type `object` in the column `question`" in str(caught.value)
    assert "No model was asked" in str(caught.value)
    assert llm.asked == {}


def test_the_first_row_of_any_source_is_looked_at_before_any_call(tmp_path: Path) -> None:
    llm = NumberedLLM()
    source = iter([{"question": object()}, *questions(10)])
    with pytest.raises(ConfigurationError, match="Row 0 has a value of the type `object` in the column `question`"):
        list(Ask(llm=llm).run(source, run_dir=tmp_path))
    assert llm.asked == {}


def test_a_later_row_that_cannot_be_written_down_fails_as_data_and_is_never_sent(tmp_path: Path) -> None:
    llm = NumberedLLM()
    rows = list(Ask(llm=llm).run(iter([*questions(2), {"question": print, "note": "2"}]), run_dir=tmp_path))
    error = rows[2][METADATA]["error_ask"]
    assert error["type"] == "RowError"
    assert error["message"].startswith(
        "Row 2 has a value of the type `builtin_function_or_method` in the column `question`"
    )
    assert llm.asked == {"0": 1, "1": 1}
    (line,) = (tmp_path / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["note"] == "2"


def test_a_column_that_the_task_does_not_read_may_hold_anything_and_goes_through(tmp_path: Path) -> None:
    class Picture:
        """JSON has no form for it."""

    picture = Picture()
    rows = [{"question": str(number), "picture": picture} for number in range(3)]
    for asked in ({"0": 1, "1": 1, "2": 1}, {}):
        llm = NumberedLLM()
        made = list(Ask(llm=llm).run(rows, run_dir=tmp_path))
        assert all(row["picture"] is picture for row in made)
        assert llm.asked == asked


def test_a_row_that_failed_with_such_a_column_is_written_down_as_far_as_it_can_be(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=[BadRequestError("no")])
    list(Ask(llm=llm).run([{"question": "q", "picture": object(), "n": 1}], run_dir=tmp_path))
    (line,) = (tmp_path / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert (row["question"], row["n"], row["picture"][:7]) == ("q", 1, "<object")


def test_a_row_that_failed_is_written_down_with_the_model_that_was_asked(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=[BadRequestError("no")], model="small")
    list(Ask(llm=llm).run(questions(1), run_dir=tmp_path))
    (line,) = (tmp_path / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["limbeck_error"] == {
        "step": "ask",
        "row": "0",
        "errors": [
            {
                "sample": 0,
                "type": "BadRequestError",
                "message": "no",
                "attempts": 1,
                "raw": None,
                "model_name": "small",
            }
        ],
    }


def test_values_that_have_a_form_in_json_pass_and_are_fed_back_in_it(tmp_path: Path) -> None:
    row = {"question": "q", "when": date(2026, 11, 24), "tags": {"a"}, "raw": b"\x00", "nan": float("nan")}
    llm = ScriptedLLM(script=[BadRequestError("no")])
    list(Ask(llm=llm).run([row], run_dir=tmp_path))
    (line,) = (tmp_path / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    assert {name: json.loads(line)[name] for name in ("when", "tags", "raw", "nan")} == {
        "when": "2026-11-24",
        "tags": ["a"],
        "raw": "\x00",
        "nan": None,
    }


def test_without_a_ledger_a_row_may_hold_anything() -> None:
    anything = object()
    (row,) = Ask(llm=EchoLLM()).run([{"question": "q", "extra": anything}])
    assert row["extra"] is anything


def test_a_row_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(ConfigurationError, match="a value that holds itself"):
        Ask(llm=EchoLLM()).run([{"question": knot}], run_dir=tmp_path)


# A disk that does not take it


def test_a_commit_that_fails_ends_the_run_and_what_was_committed_is_used_again(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:
        ledger.execute(
            "CREATE TRIGGER full BEFORE INSERT ON calls WHEN NEW.row = '3' BEGIN SELECT RAISE(FAIL, 'no room'); END"
        )
    llm = NumberedLLM()
    llm.max_concurrency = 1  # type: ignore[attr-defined]  # one answer a commit
    taken: list[Row] = []
    with pytest.raises(LedgerError, match=r"cannot be written: no room\. The answers committed before are safe"):
        taken.extend(Ask(llm=llm).run(questions(10), run_dir=tmp_path))
    assert answers(taken) == ["0#1", "1#1", "2#1"]
    with closing(sqlite3.connect(tmp_path / FILE)) as ledger:
        ledger.execute("DROP TRIGGER full")
    assert ask(llm, [row["question"] for row in questions(10)], tmp_path)[:4] == ["0#1", "1#1", "2#1", "3#2"]
    assert llm.asked == {**{str(place): 1 for place in range(10)}, "3": 2}


def test_a_look_up_that_fails_ends_the_run_instead_of_leaving_it_waiting(tmp_path: Path) -> None:
    ask(EchoLLM(), ["0"], tmp_path)
    ledger = shared_ledger(tmp_path)
    try:
        ledger.reader.execute("ALTER TABLE temp.claimed RENAME TO gone")
        ledger.reader.execute("CREATE TEMP VIEW claimed AS SELECT * FROM gone")
        with pytest.raises(LedgerError, match="cannot be read: cannot modify claimed because it is a view"):
            ask(EchoLLM(), ["0"], tmp_path)
    finally:
        release_ledger(ledger)


def test_a_ledger_that_is_closed_says_so_to_who_comes_late_instead_of_making_them_wait(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.submit("SELECT NULL")


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def move(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def replace(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).touch()


def questions_until(act: Callable[[Path], None], folder: Path) -> Iterator[Row]:
    yield from questions(3)
    act(folder)
    yield from questions(3)


@pytest.mark.parametrize("act", [delete, move, replace])
def test_a_run_whose_directory_goes_under_it_says_so_in_the_end(act: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(LedgerError, match="deleted, moved or replaced while the run wrote to it"):
        list(Ask(llm=EchoLLM()).run(questions_until(act, folder), run_dir=folder))


def test_a_run_whose_directory_is_deleted_does_not_go_on_for_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ledger_module, "_NOTED_EVERY", 0.0)
    folder = tmp_path / "run"

    def endless() -> Iterator[Row]:
        yield from questions_until(delete, folder)
        yield from ({"question": str(number)} for number in count())

    with pytest.raises(LedgerError, match="deleted, moved or replaced"):
        for _ in Ask(llm=EchoLLM()).run(endless(), run_dir=folder):
            pass


def test_a_pipeline_whose_directory_is_deleted_fails(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(LedgerError, match="deleted, moved or replaced"):
        Pipeline(questions_until(delete, folder), Ask(llm=EchoLLM())).run(run_dir=folder).to_list()
