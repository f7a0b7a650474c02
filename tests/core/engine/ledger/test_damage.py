"""A ledger that the disk, or somebody, has changed: what is damaged is told and asked again, and never given out."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Step
from limbeck._engine.ledger.file import FILE
from limbeck.errors import BadRequestError, LedgerError, LimbeckWarning
from limbeck.testing import EchoLLM, ScriptedLLM, replay
from limbeck.types import Generation, GenerationResponse, Usage
from support.questions import Ask, questions, response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from limbeck.types import Row

ANSWERS = ["the dose is 10 mg", "two", "three"]


def paid(text: str) -> GenerationResponse:
    generation = Generation(text=text, finish_reason="stop", reasoning="So.")
    return GenerationResponse(generations=[generation], usage=Usage(input_tokens=7, output_tokens=5), model="m-2026")


def model(*script: Any) -> ScriptedLLM:
    return ScriptedLLM(script=list(script), max_concurrency=1)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of three rows."""
    folder, prices = tmp_path / "run", {"scripted": {"input": 1.0, "output": 1.0}}
    list(Ask(llm=model(*map(paid, ANSWERS))).run(questions(3), run_dir=folder, prices=prices))
    return folder


def change(run_dir: Path, statement: str) -> None:
    """Change the ledger behind its writer's back."""
    with closing(sqlite3.connect(run_dir / FILE)) as vandal:
        vandal.execute(statement)
        vandal.commit()


def flip(run_dir: Path, found: bytes, place: int, bit: int) -> None:
    """Flip one bit of the first such bytes in the ledger's file."""
    data = bytearray((run_dir / FILE).read_bytes())
    data[data.index(found) + place] ^= 1 << bit
    (run_dir / FILE).write_bytes(data)


def again(run_dir: Path, *script: Any) -> tuple[list[str], list[str], int]:
    """The answers of a further run, what was warned of, and how often a model was asked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Ask(llm=model(*script)).run(questions(3), run_dir=run_dir) as stream:
            answers = [row["answer"] for row in stream]
    told = [str(each.message) for each in caught if issubclass(each.category, LimbeckWarning)]
    return answers, told, stream.stats.requests


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_that_flips_in_an_answer_is_told_once_and_that_row_alone_is_asked_again(run_dir: Path, bit: int) -> None:
    flip(run_dir, b"dose is 10 mg", 8, bit)
    answers, (warning,), asked = again(run_dir, "bought anew")
    assert (answers, asked) == (["bought anew", "two", "three"], 1)
    assert f"row 0 of step 'ask' in {str(run_dir)!r}" in warning
    assert again(run_dir) == (answers, [], 0)


@pytest.mark.parametrize(
    "damage",
    [
        "detail = '{half'",
        """detail = '{"unheard-of": 1}'""",
        "text = x'ff00'",
        "text = NULL",
        "text = CAST(x'ff41' AS TEXT)",
        "finish_reason = 'length'",
        "model = 'n-2026'",
        "sample = 'first'",
        "sample = 4",
        "row = '7'",
        "key = x'00'",
        "input_tokens = 8",
        "reasoning_tokens = NULL",
        "latency = latency + 64",
        "attempts = 3",
        "cost = cost * 2",
        "digest = digest + 1",
    ],
)
def test_whatever_of_a_call_is_damaged_is_not_taken_for_an_answer(run_dir: Path, damage: str) -> None:
    change(run_dir, f"UPDATE calls SET {damage} WHERE row = '0'")
    answers, told, asked = again(run_dir, "bought anew")
    assert (answers, asked) == (["bought anew", "two", "three"], 1)
    assert len(told) == 1


def test_an_answer_that_moved_is_looked_at_too(run_dir: Path) -> None:
    flip(run_dir, b"dose is 10 mg", 8, 3)
    rows = [{"question": "new"}, *questions(3)]
    with pytest.warns(LimbeckWarning, match="row 0 of step 'ask'"):
        made = [row["answer"] for row in Ask(llm=model("a", "b")).run(rows, run_dir=run_dir)]
    assert made == ["a", "b", "two", "three"]


def test_a_damaged_answer_of_an_earlier_format_is_told_as_far_as_it_shows(run_dir: Path) -> None:
    change(run_dir, "UPDATE calls SET digest = NULL, text = CAST(x'ff41' AS TEXT) WHERE row = '0'")
    answers, told, asked = again(run_dir, "bought anew")
    assert (answers, len(told), asked) == (["bought anew", "two", "three"], 1, 1)


def test_texts_and_numbers_of_every_kind_hold(tmp_path: Path) -> None:
    texts = ["", "half \ud83d", "\x00\x1f", "ä\u200b\U0001f600", None]
    odd = GenerationResponse(generations=[Generation(text="n")], usage=Usage(input_tokens=True, output_tokens=2**60))
    script = [*(response(text) for text in texts), odd]
    first = list(Ask(llm=model(*script)).run(questions(6), run_dir=tmp_path))
    assert list(Ask(llm=model()).run(questions(6), run_dir=tmp_path)) == first


def test_a_damaged_failure_is_asked_again_as_any(tmp_path: Path) -> None:
    list(Ask(llm=model(BadRequestError("no", raw="half"))).run(questions(1), run_dir=tmp_path))
    change(tmp_path, "UPDATE calls SET text = 'hale'")
    task = Ask(llm=model("yes"))
    with pytest.warns(LimbeckWarning, match="row 0"):
        rows = list(task.rerun(questions(1), run_dir=tmp_path, where="failed"))
    assert [row["answer"] for row in rows] == ["yes"]


def test_a_re_run_takes_a_damaged_answer_for_none(run_dir: Path) -> None:
    flip(run_dir, b"dose is 10 mg", 8, 3)
    task = Ask(llm=model("bought anew"))
    with pytest.warns(LimbeckWarning, match="row 0"):
        rows = list(task.rerun(questions(3), run_dir=run_dir, where="failed"))
    assert [row["answer"] for row in rows] == ["bought anew", "two", "three"]


def test_a_damaged_note_of_who_answered_stops_a_re_run_and_is_mended_by_a_run(run_dir: Path) -> None:
    change(run_dir, "UPDATE makers SET identity = replace(identity, 'scripted', 'scripteD')")
    with pytest.raises(LedgerError, match="who answered step 'ask'"):
        list(Ask(llm=model()).rerun(questions(3), run_dir=run_dir, where="failed"))
    list(Ask(llm=model("four")).run(questions(4), run_dir=run_dir))
    list(Ask(llm=model()).rerun(questions(3), run_dir=run_dir, where="failed"))


def test_a_damaged_answer_of_a_cache_is_not_taken(run_dir: Path, tmp_path: Path) -> None:
    flip(run_dir, b"dose is 10 mg", 8, 3)
    task = Ask(llm=model("bought anew"))
    with pytest.warns(LimbeckWarning, match="An answer in the cache"):
        rows = list(task.run(questions(3), run_dir=tmp_path / "other", cache=run_dir))
    assert [row["answer"] for row in rows] == ["bought anew", "two", "three"]


def test_a_damaged_answer_is_not_replayed(run_dir: Path) -> None:
    flip(run_dir, b"dose is 10 mg", 8, 3)
    with replay(run_dir), pytest.raises(LedgerError, match="the answer of call 1 is damaged"):
        list(Ask(llm=model()).run(questions(1)))


def test_explain_says_that_an_answer_is_damaged(run_dir: Path) -> None:
    flip(run_dir, b"dose is 10 mg", 8, 3)
    explanation = Ask(llm=model()).explain({"question": "0"}, run_dir=run_dir, id=0)
    assert not explanation.found
    assert "the answer of call 1 is damaged" in str(explanation)


class Shouting(Step):
    """Shouts; its results are stored."""

    stored = True

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["loud"]

    def process(self, rows: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, "loud": f"number {row['question']}!"} for row in rows]


def test_a_damaged_result_of_a_stored_step_is_told_and_made_again(tmp_path: Path) -> None:
    def run() -> list[Row]:
        with Pipeline("loud") as pipeline:
            questions(2) >> Shouting(name="shout")
        return pipeline.run(run_dir=tmp_path).to_list()

    before = run()
    flip(tmp_path, b"number 1!", 7, 0)
    with pytest.warns(LimbeckWarning, match="result of row 1 at step 'shout'"):
        assert run() == before


def torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 2048] + b"\x00" * 2048)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def another_log(path: Path) -> None:
    """Lay the log of another ledger, whose process was killed, beside this one."""
    other = path.parent / "other"
    list(Ask(name="other", llm=EchoLLM()).run(questions(300), run_dir=other))
    with closing(sqlite3.connect(other / FILE)) as writer:
        writer.execute("UPDATE calls SET text = 'of another run'")
        writer.commit()
        log = (other / f"{FILE}-wal").read_bytes()
    path.with_name(f"{FILE}-wal").write_bytes(log)


@pytest.mark.parametrize("damage", [torn, truncated, another_log])
def test_pages_of_another_making_are_told_and_never_given_as_answers(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    before = [row["answer"] for row in Ask(llm=EchoLLM()).run(questions(200), run_dir=tmp_path)]
    damage(tmp_path / FILE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            stream = Ask(llm=EchoLLM()).run(questions(200), run_dir=tmp_path)
            assert [row["answer"] for row in stream] == before
        except LedgerError:
            return
    told = any("damaged" in str(each.message) for each in caught)
    assert told or not stream.stats.requests  # a torn page of an index also hides what is whole
