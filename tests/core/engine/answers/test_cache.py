"""The response cache: answers of other runs, by key, each once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import LedgerError
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation
from support.priced import CountingLLM, prices_of
from support.questions import Ask, new_model, prompt_of, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row


def counting() -> CountingLLM:
    return CountingLLM(model=new_model())


def stored(run_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()


def test_an_answer_of_another_run_is_taken_copied_marked_and_costs_nothing(tmp_path: Path) -> None:
    llm = counting()
    first, second = tmp_path / "first", tmp_path / "second"
    rows = list(Ask(name="a", llm=llm, output_mappings={}).run(questions(3), run_dir=first))

    stream = Ask(name="b", llm=llm).run(questions(4), run_dir=second, cache=first, prices=prices_of(llm.model))
    made = list(stream)

    assert [row["answer"] for row in made[:3]] == [row["answer"] for row in rows]
    assert (stream.stats.requests, stream.stats.reused) == (1, 3)
    assert stored(second, "SELECT DISTINCT origin, cost, input_tokens FROM calls WHERE origin IS NOT NULL") == [
        (str(first), 0.0, None)
    ]
    assert stored(second, "SELECT answers FROM costs") == [(1,)]


def test_the_copy_is_the_runs_own_from_then_on(tmp_path: Path) -> None:
    llm = counting()
    list(Ask(llm=llm).run(questions(3), run_dir=tmp_path / "first"))
    list(Ask(llm=llm).run(questions(3), run_dir=tmp_path / "second", cache=tmp_path / "first"))

    stream = Ask(llm=llm).run(questions(3), run_dir=tmp_path / "second")

    assert len(list(stream)) == 3
    assert stream.stats.requests == 0


def test_a_folder_of_runs_is_a_cache_and_the_runs_own_directory_is_left_out(tmp_path: Path) -> None:
    llm = counting()
    list(Ask(llm=llm).run(questions(2), run_dir=tmp_path / "one"))
    list(Ask(llm=llm).run(questions(4)[2:], run_dir=tmp_path / "two"))
    llm.requests.clear()

    list(Ask(llm=llm).run(questions(5), run_dir=tmp_path / "three", cache=tmp_path))
    list(Ask(llm=llm).run(questions(5), run_dir=tmp_path / "three", cache=[tmp_path]))

    assert llm.asked == ["4"]


def test_a_run_without_a_directory_can_use_one(tmp_path: Path) -> None:
    llm = counting()
    list(Ask(llm=llm).run(questions(3), run_dir=tmp_path))
    stream = Ask(llm=llm).run(questions(3), cache=tmp_path)
    assert len(list(stream)) == 3
    assert stream.stats.requests == 0


def test_each_stored_answer_is_given_out_once_so_equal_prompts_stay_different_samples(tmp_path: Path) -> None:
    llm = counting()
    list(Ask(llm=llm).run(questions(1), run_dir=tmp_path / "one"))
    llm.requests.clear()

    list(Ask(llm=llm, num_generations=2).run([{"question": "0"}] * 2, cache=tmp_path / "one"))

    assert llm.asked == ["0"] * 3


def test_a_copy_is_no_other_sample_than_what_it_was_copied_from(tmp_path: Path) -> None:
    llm = counting()
    list(Ask(llm=llm).run(questions(1), run_dir=tmp_path / "one"))
    list(Ask(llm=llm).run(questions(1), run_dir=tmp_path / "two", cache=tmp_path / "one"))
    llm.requests.clear()

    list(Ask(llm=llm).run([{"question": "0"}] * 2, cache=tmp_path))

    assert llm.asked == ["0"]


@pytest.mark.parametrize("reason", ["content_filter", "refusal"])
def test_filtered_answers_and_failures_are_never_taken(tmp_path: Path, reason: str) -> None:
    def answer(request: GenerationRequest) -> Any:
        if prompt_of(request) == "0":
            return ValueError("broken")
        return Generation(text="…", finish_reason=reason if prompt_of(request) == "1" else "stop")

    llm = ScriptedLLM(script=answer, model=new_model())
    list(Ask(llm=llm).run(questions(3), run_dir=tmp_path))

    stream = Ask(llm=llm).run(questions(3), cache=tmp_path)

    assert len(list(stream)) == 3
    assert (stream.stats.requests, stream.stats.reused) == (2, 1)


def changed(model: str, **fields: Any) -> Ask:
    return Ask(llm=CountingLLM(model=model, **fields))


def test_another_model_or_other_parameters_are_another_request(tmp_path: Path) -> None:
    model = new_model()
    list(changed(model).run(questions(1), run_dir=tmp_path))
    for task in (changed(new_model()), changed(model, generation_kwargs={"seed": 1})):
        stream = task.run(questions(1), cache=tmp_path)
        list(stream)
        assert stream.stats.requests == 1


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"There is no directory .*nowhere' to take answers from"):
        Ask(llm=counting()).run(questions(1), cache=tmp_path / "nowhere")


def test_a_folder_without_runs_is_an_empty_cache(tmp_path: Path) -> None:
    rows: list[Row] = list(Ask(llm=counting()).run(questions(1), cache=tmp_path))
    assert len(rows) == 1


def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("no database", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"The cache .* cannot be read"):
        Ask(llm=counting()).run(questions(1), cache=tmp_path)
