"""Conversations in the report: each sample turn by turn, and counted as one."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limbeck import Task, ask, do, task
from limbeck._engine.ledger.file import MIGRATIONS
from limbeck.errors import BudgetError, ContentFilteredError, TransientError
from limbeck.testing import ScriptedLLM
from limbeck.types import ChatType, Generation, GenerationRequest, GenerationResponse, Row, Usage
from limbeck_report import read_run
from limbeck_report.command import app
from limbeck_report.messages import Message, messages_of
from limbeck_report.page import write_page
from limbeck_report.samples import FAILED_NOT_STORED, NOT_STORED, Sample, StepSamples, read_with_samples

from .conversed_runs import answer, converse


class TextGeneration(Task):
    """One call a row, as that of the standard pack, which need not be installed."""

    system_prompt: str | None = None

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def format_input(self, input: Row) -> ChatType:
        chat: ChatType = [{"role": "user", "content": input["instruction"]}]
        return [{"role": "system", "content": self.system_prompt}, *chat] if self.system_prompt else chat

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


def step_of(folder: Path, *, count: int = 20) -> StepSamples:
    (step,) = read_with_samples(str(folder), count=count, seed=0)[1]
    return step


def only(folder: Path) -> Sample:
    step = step_of(folder)
    (sample,) = (*step.failed, *step.answered)
    return sample


def labels(sample: Sample) -> list[str]:
    return [turn.turn for turn in sample.turns]


# Turn by turn


def test_a_sample_is_its_conversation_turn_by_turn(tmp_path: Path) -> None:
    sample = only(converse(tmp_path / "run", ["tea"]))
    assert [(turn.turn, turn.kind) for turn in sample.turns] == [
        ("1", "call"),
        ("2.1", "call"),
        ("2.2", "call"),
        ("3", "effect"),
        ("4", "call"),
    ]
    assert [turn.model for turn in sample.turns] == ["writer", "judge", "judge", None, "writer"]
    assert all(turn.latency is not None for turn in sample.turns)
    assert (sample.text, sample.error) == ('{"number": 7}', None)
    assert sample.output_tokens == sum(turn.output_tokens or 0 for turn in sample.turns) > 0


def test_a_chat_that_grows_is_shown_by_what_is_new(tmp_path: Path) -> None:
    first, judge, _, _, last = only(converse(tmp_path / "run", ["tea"])).turns
    assert (first.continues, first.messages) == (None, [Message("system", "Be brief."), Message("user", "tea")])
    assert (judge.continues, judge.messages) == (None, [Message("user", "first judge: about tea")])
    assert (last.continues, last.messages) == ("1", [Message("user", "Give a number.")])


def test_an_effect_has_its_name_its_arguments_and_its_result(tmp_path: Path) -> None:
    (effect,) = (turn for turn in only(converse(tmp_path / "run", ["tea"])).turns if turn.kind == "effect")
    assert (effect.name, effect.arguments) == ("look_up", '[["tea"], {"lang": "de"}]')
    assert json.loads(effect.result or "") == {"word": "tea", "lang": "de"}


def test_a_repair_is_named_as_one_and_has_the_reason_alone(tmp_path: Path) -> None:
    *_, last, repair = only(converse(tmp_path / "run", ["odd"], repair=1)).turns
    assert (last.turn, last.text, last.became) == ("4", "Seven.", "mended")
    assert (repair.turn, repair.kind, repair.mends, repair.continues) == ("4r1", "repair", "4", "4")
    assert repair.messages is not None
    (message,) = repair.messages
    assert message.text.startswith("That answer cannot be used: ")


def test_a_fallback_is_named_as_one_and_does_not_repeat_the_question(tmp_path: Path) -> None:
    bold = ScriptedLLM(model="bold", script=lambda request: "bold")
    sample = only(converse(tmp_path / "run", ["filtered second"], fallback=[bold]))
    failed, fallback = sample.turns[2:4]
    assert (failed.turn, failed.error, failed.became) == ("2.2", "ContentFilteredError", "mended")
    assert (fallback.turn, fallback.kind, fallback.mends, fallback.model) == ("2.2f1", "fallback", "2.2", "bold")
    assert (fallback.continues, fallback.messages) == ("2.2", [])


def test_a_failure_that_the_conversation_caught_is_shown_as_that(tmp_path: Path) -> None:
    sample = only(converse(tmp_path / "run", ["filtered second"]))
    assert sample.error is None
    (failed,) = (turn for turn in sample.turns if turn.error)
    assert (failed.turn, failed.error, failed.message, failed.became) == (
        "2.2",
        "ContentFilteredError",
        "No verdict.",
        "caught",
    )


def test_an_effect_that_failed_and_was_caught_is_shown_as_that(tmp_path: Path) -> None:
    def broken() -> None:
        raise LookupError("no such word")

    @task(inputs=["topic"], outputs=["answer"])
    def robust(row: Any) -> Any:
        yield do(broken, on_error="return")
        said = yield ask(row["topic"])
        return {"answer": said.text}

    list(robust(name="robust", llm=ScriptedLLM(script=answer)).run([{"topic": "tea"}], run_dir=tmp_path))
    assert failures_of(tmp_path) == {}
    effect, _ = only(tmp_path).turns
    assert (effect.kind, effect.error, effect.became) == ("effect", "EffectError", "caught")


@pytest.mark.parametrize(
    ("topic", "turn", "error"),
    [
        ("filtered draft", "1", "ContentFilteredError"),
        ("broken", "3", "EffectError"),
        ("odd", "4", "SchemaError"),
        ("thrown", "4", "OutputError"),
    ],
)
def test_a_conversation_that_failed_ends_with_its_error_and_the_turn(
    tmp_path: Path, topic: str, turn: str, error: str
) -> None:
    sample = only(converse(tmp_path / "run", [topic]))
    assert (sample.turn, sample.error) == (turn, error)
    assert [each.became for each in sample.turns if each.error] in ([], [None])
    assert labels(sample)[-1].startswith(turn)


def test_the_turns_of_a_failure_that_is_only_in_the_ledger_are_the_same(tmp_path: Path) -> None:
    folder = converse(tmp_path / "run", ["broken"])
    (folder / "failed.jsonl").unlink()
    sample = only(folder)
    assert (sample.turn, sample.error, labels(sample)) == ("3", "EffectError", ["1", "2.1", "2.2", "3"])


def test_a_repair_in_vain_ends_the_conversation(tmp_path: Path) -> None:
    sample = only(converse(tmp_path / "run", ["very odd"], repair=2))
    assert (sample.turn, sample.error, labels(sample)[-3:]) == ("4", "SchemaError", ["4", "4r1", "4r2"])
    assert [turn.became for turn in sample.turns] == [None] * 7


def test_turns_without_stored_prompts_say_so_once(tmp_path: Path) -> None:
    sample = only(converse(tmp_path / "run", ["tea"], run={"ledger_requests": "hash"}))
    assert sample.no_prompt == NOT_STORED
    assert [turn.messages for turn in sample.turns] == [None] * 5
    assert sample.turns[0].text == "about tea"


def test_a_conversation_that_failed_without_stored_prompts_has_its_row(tmp_path: Path) -> None:
    folder = converse(tmp_path / "run", ["broken"], run={"ledger_requests": "hash"})
    sample = only(folder)
    assert (sample.no_prompt, sample.given) == (FAILED_NOT_STORED, {"topic": "broken"})
    assert '  row: {"topic": "broken"}' in printed(str(folder), "--samples", "1").splitlines()
    assert "The row that it was made of" in page_of(folder)


def test_a_row_that_was_never_sent_is_shown_as_the_row(tmp_path: Path) -> None:
    @task(inputs=["topic"], outputs=["answer"])
    def odd(row: Any) -> Any:
        if row["topic"] == "none":
            raise ValueError("nothing to ask")
        answer = yield ask(row["topic"])
        return {"answer": answer.text}

    with odd(llm=ScriptedLLM(script=answer)).run([{"topic": "none"}, {"topic": "tea"}], run_dir=tmp_path) as stream:
        list(stream)
    (sample,) = step_of(tmp_path).failed
    assert (sample.error, sample.turns, sample.given) == ("RowError", [], {"topic": "none"})


def test_an_effect_alone_is_a_conversation_too(tmp_path: Path) -> None:
    @task(inputs=["number"], outputs=["double"])
    def doubled(row: Any) -> Any:
        double = yield do(abs, row["number"])
        return {"double": double}

    with doubled(llm=ScriptedLLM(script=answer)).run([{"number": -3}], run_dir=tmp_path) as stream:
        list(stream)
    step = step_of(tmp_path)
    assert (step.all_answered, [turn.result for turn in step.answered[0].turns]) == (1, ["3"])
    assert [each.rows_in for each in read_run(tmp_path).steps] == [1]


def test_tool_calls_are_a_part_of_the_answer_and_not_repeated_in_the_next_chat(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}

    def script(request: GenerationRequest) -> Any:
        if len(request.messages) > 1:
            return "found"
        return GenerationResponse(generations=[Generation(text=None, tool_calls=[call])], usage=Usage())

    @task(inputs=["topic"], outputs=["answer"])
    def agent(row: Any) -> Any:
        chat: Any = [{"role": "user", "content": row["topic"]}]
        first = yield ask(chat)
        chat += [{"role": "assistant", "content": None, "tool_calls": first.tool_calls}]
        chat += [{"role": "tool", "tool_call_id": "1", "content": "a result"}]
        last = yield ask(chat)
        return {"answer": last.text}

    with agent(llm=ScriptedLLM(script=script)).run([{"topic": "tea"}], run_dir=tmp_path) as stream:
        list(stream)
    first, second = only(tmp_path).turns
    assert '"name": "look_up"' in (first.tool_calls or "")
    assert (second.continues, second.messages) == ("1", [Message("tool", "a result")])


def test_a_raw_prompt_is_shown() -> None:
    request = {"messages": [], "parameters": {"prompt": "Once upon a time"}}
    assert messages_of(json.dumps(request)) == [Message("prompt", "Once upon a time")]


# Plain tasks with repairs and fallbacks


def test_a_plain_call_and_its_fallback_are_a_conversation_and_one_without_is_a_call(tmp_path: Path) -> None:
    def careful(request: GenerationRequest) -> Any:
        return ContentFilteredError("No.") if "bad" in str(request.messages[-1]["content"]) else "well"

    bold = ScriptedLLM(model="bold", script=lambda request: "bold")
    generate = TextGeneration(llm=ScriptedLLM(script=careful), fallback=[bold])
    list(generate.run([{"instruction": "bad"}, {"instruction": "tea"}], run_dir=tmp_path))
    step = step_of(tmp_path)
    assert (step.all_failed, step.all_answered) == (0, 2)
    by_row = {sample.row: sample for sample in step.answered}
    assert [(turn.turn, turn.kind, turn.became) for turn in by_row["0"].turns] == [
        ("", "call", "mended"),
        ("f1", "fallback", None),
    ]
    assert by_row["1"].turns == []
    assert (by_row["1"].text, by_row["1"].prompt) == ("well", [Message("user", "tea")])


def test_a_plain_call_whose_fallback_failed_too_is_a_failure(tmp_path: Path) -> None:
    llms = [ScriptedLLM(model=name, script=lambda request: ContentFilteredError("No.")) for name in "ab"]
    list(TextGeneration(llm=llms[0], fallback=[llms[1]]).run([{"instruction": "bad"}], run_dir=tmp_path))
    step = step_of(tmp_path)
    assert (step.all_failed, step.all_answered) == (1, 0)
    assert labels(step.failed[0]) == ["", "f1"]


# Counts


def test_samples_of_rows_are_counted_and_not_calls(tmp_path: Path) -> None:
    folder = converse(tmp_path / "run", ["tea", "filtered draft", "broken", "filtered second"], num_generations=2)
    step = step_of(folder, count=1)
    assert (step.conversations, step.all_failed, step.all_answered) == (True, 4, 4)
    assert (len(step.failed), len(step.answered)) == (1, 1)


def test_a_conversation_that_failed_is_not_good_though_its_first_turn_was_answered(tmp_path: Path) -> None:
    step = step_of(converse(tmp_path / "run", ["broken", "odd", "thrown"]))
    assert (step.all_failed, step.all_answered, step.answered) == (3, 0, [])


def test_the_report_says_what_is_counted_by_call(tmp_path: Path) -> None:
    run = read_run(converse(tmp_path / "run", ["tea"]))
    assert any("answers, times, lengths and rates are of single calls" in note for note in run.notes)
    assert [(each.model, each.answers) for each in run.spending] == [("writer", 2), ("judge", 2)]
    assert run.timings[0].answers == 4


def test_a_run_without_conversations_says_nothing_of_them(tmp_path: Path) -> None:
    list(TextGeneration(llm=ScriptedLLM(script=answer)).run([{"instruction": "tea"}], run_dir=tmp_path))
    assert not any("single calls" in note for note in read_run(tmp_path).notes)
    assert step_of(tmp_path).conversations is False


# Failures of a turn, and of a row


def failures_of(folder: Path) -> dict[str, int]:
    return {reason.type: reason.count for reason in read_run(folder).reasons}


@pytest.mark.parametrize("topic", ["filtered second", "filtered number"])
def test_a_caught_failure_of_a_turn_is_none_of_the_row(tmp_path: Path, topic: str) -> None:
    folder = converse(tmp_path / "run", [topic, "tea"])
    assert failures_of(folder) == {}
    assert read_run(folder).steps[0].rows_failed == 0


def test_a_failure_caught_by_the_last_turn_is_told_apart_from_one_that_was_not(tmp_path: Path) -> None:
    folder = converse(tmp_path / "run", ["filtered number", "filtered draft", "broken"])
    assert failures_of(folder) == {"ContentFilteredError": 1, "EffectError": 1}
    step = step_of(folder)
    (good,) = step.answered
    assert (good.row, good.turns[-1].error, good.turns[-1].became) == ("0", "ContentFilteredError", "caught")


def test_a_mended_failure_of_a_turn_is_none_of_the_row(tmp_path: Path) -> None:
    bold = ScriptedLLM(model="bold", script=answer)
    bold_number = ScriptedLLM(model="bold", script=lambda request: '{"number": 1}')
    assert failures_of(converse(tmp_path / "a", ["filtered second"], fallback=[bold_number])) == {}
    assert failures_of(converse(tmp_path / "b", ["odd"], fallback=[bold], repair=1)) == {}


def test_a_conversation_that_failed_at_a_turn_and_was_answered_there_later_is_answered(tmp_path: Path) -> None:
    converse(tmp_path / "run", ["filtered draft", "tea"])
    folder = converse(tmp_path / "run", ["filtered draft", "tea"], script=lambda request: '{"number": 1}')
    assert failures_of(folder) == {}
    step = step_of(folder)
    assert (step.all_failed, step.all_answered) == (0, 2)
    assert all(turn.error is None for sample in step.answered for turn in sample.turns)


def test_a_later_turn_that_failed_and_is_answered_in_a_later_run_is_answered(tmp_path: Path) -> None:
    def refusing(request: GenerationRequest) -> Any:
        return ContentFilteredError("Not yet.") if request.messages[-1]["content"] == "third" else "well"

    @task(inputs=["topic"], outputs=["answer"])
    def thrice(row: Any) -> Any:
        for what in ("first", "second", "third"):
            said = yield ask(what)
        return {"answer": said.text}

    seen = []
    for script in (refusing, refusing, answer):
        list(thrice(name="thrice", llm=ScriptedLLM(script=script)).run([{"topic": "tea"}], run_dir=tmp_path))
        seen.append((failures_of(tmp_path), only(tmp_path).turn))
    assert seen == [({"ContentFilteredError": 1}, "3")] * 2 + [({}, None)]


def test_a_failure_of_a_row_that_a_later_run_did_not_come_to_stays(tmp_path: Path) -> None:
    converse(tmp_path / "run", ["tea", "broken", "filtered draft"])
    folder = converse(tmp_path / "run", ["tea"])
    assert failures_of(folder) == {"ContentFilteredError": 1, "EffectError": 1}
    assert {sample.turn for sample in step_of(folder).failed} == {"1", "3"}


@pytest.mark.filterwarnings("ignore:The configuration of step")
def test_the_one_call_about_a_row_is_gone_where_it_became_a_conversation_and_the_other_way(tmp_path: Path) -> None:
    @task(inputs=["instruction"], outputs=["generation"])
    def twice(row: Any) -> Any:
        said = yield ask("first")
        said = yield ask("second")
        return {"generation": said.text}

    row, shown = {"instruction": "tea"}, []
    plain = TextGeneration(name="same", llm=ScriptedLLM(script=answer))
    again = TextGeneration(name="same", llm=ScriptedLLM(script=answer), system_prompt="Be brief.")
    for one in (plain, twice(name="same", llm=ScriptedLLM(script=answer)), again):
        list(one.run([row], run_dir=tmp_path))
        sample = only(tmp_path)
        shown.append((sample.text, labels(sample)))
    assert shown == [("about tea", []), ("about second", ["1", "2"]), ("about tea", [])]


def test_a_sibling_that_was_answered_does_not_answer_for_a_turn_that_failed(tmp_path: Path) -> None:
    def script(request: GenerationRequest) -> Any:
        text = request.messages[-1]["content"]
        return ContentFilteredError("No.") if text == "first" else "well"

    @task(inputs=["topic"], outputs=["answer"])
    def both(row: Any) -> Any:
        answers = yield [ask("first"), ask("second")]
        return {"answer": answers[1].text}

    with both(llm=ScriptedLLM(script=script)).run([{"topic": "tea"}], run_dir=tmp_path) as stream:
        list(stream)
    (tmp_path / "failed.jsonl").unlink()
    assert failures_of(tmp_path) == {"ContentFilteredError": 1}
    assert only(tmp_path).turn == "1.1"


def killed(folder: Path) -> Path:
    """The directory as a run would have left it that was killed: it has noted no end."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        steps = ledger.execute("SELECT DISTINCT step FROM calls").fetchall()
        ledger.executemany("INSERT INTO open_runs VALUES (?, 0)", steps)
        ledger.execute("DELETE FROM step_runs")
        ledger.commit()
    (folder / "failed.jsonl").unlink(missing_ok=True)
    return folder


def test_a_killed_run_counts_what_failed_last_in_a_conversation_and_not_what_it_went_past(tmp_path: Path) -> None:
    folder = killed(converse(tmp_path / "run", ["filtered second", "broken", "filtered draft", "tea"]))
    assert failures_of(folder) == {"ContentFilteredError": 1, "EffectError": 1}
    step = step_of(folder)
    assert (step.all_failed, step.all_answered, step.under_way) == (2, 2, True)
    assert "<h4>Good, or not ended <span>2 of 2</span></h4>" in page_of(folder)
    told = "Samples of refine: 2 of 2 failed, 2 of 2 good or not ended, each a conversation"
    assert told in printed(str(folder), "--samples", "9").splitlines()


def test_a_run_that_was_stopped_says_that_some_conversations_may_not_have_ended(tmp_path: Path) -> None:
    with pytest.raises(BudgetError):
        converse(tmp_path / "run", [f"topic {number}" for number in range(20)], run={"max_requests": 30})
    assert step_of(tmp_path / "run").under_way
    assert not step_of(converse(tmp_path / "whole", ["tea"])).under_way


def test_a_conversation_that_was_begun_anew_is_shown_without_what_it_was_before(tmp_path: Path) -> None:
    def run(length: int, first: str) -> None:
        @task(inputs=["topic"], outputs=["answer"])
        def chain(row: Any) -> Any:
            said = yield ask(f"{first} {row['topic']}")
            for number in range(length - 1):
                said = yield ask(f"{first} {number}")
            return {"answer": said.text}

        with chain(name="chain", llm=ScriptedLLM(script=answer)).run([{"topic": "tea"}], run_dir=tmp_path) as stream:
            list(stream)

    run(3, "old")
    run(2, "new")
    assert [(turn.turn, turn.text) for turn in only(tmp_path).turns] == [("1", "about new tea"), ("2", "about new 0")]


def test_a_response_that_was_asked_for_again_is_no_turn_of_its_own(tmp_path: Path) -> None:
    script = iter([TransientError("It broke off.", retry_after=0.0), "draft"])

    @task(inputs=["topic"], outputs=["answer"])
    def once(row: Any) -> Any:
        said = yield ask(row["topic"])
        return {"answer": said.text}

    llm = ScriptedLLM(script=lambda request: next(script))
    with once(llm=llm).run([{"topic": "tea"}], run_dir=tmp_path) as stream:
        list(stream)
    assert [(turn.turn, turn.text) for turn in only(tmp_path).turns] == [("1", "draft")]


def test_a_long_conversation_is_shown_by_its_beginning_and_its_end(tmp_path: Path) -> None:
    @task(inputs=["topic"], outputs=["answer"])
    def vote(row: Any) -> Any:
        votes = yield [ask(f"vote {number}") for number in range(250)]
        return {"answer": len(votes)}

    with vote(llm=ScriptedLLM(script=answer)).run([{"topic": "tea"}], run_dir=tmp_path) as stream:
        list(stream)
    sample = only(tmp_path)
    assert (len(sample.turns), sample.left_out) == (200, 50)
    assert (labels(sample)[0], labels(sample)[-1]) == ("1.1", "1.250")


# Ledgers of earlier versions


def test_a_ledger_without_turns_and_effects_is_read_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    list(TextGeneration(llm=ScriptedLLM(script=answer)).run([{"instruction": "tea"}], run_dir=folder))
    old = sum("turn TEXT" not in script for script in MIGRATIONS)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.execute("DROP TABLE effects")
        for table in ("calls", "batch_entries"):
            ledger.execute(f"ALTER TABLE {table} DROP COLUMN turn")
        ledger.execute(f"PRAGMA user_version = {old}")
        ledger.commit()
    step = step_of(folder)
    assert (step.all_answered, step.answered[0].text, step.answered[0].turns) == (1, "about tea", [])


# The three forms


def printed(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80", "FORCE_COLOR": ""}).invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which two conversations failed, and two did not."""
    return converse(tmp_path / "run", ["tea", "filtered second", "odd", "broken"], repair=0)


def test_json_has_the_turns_of_each_sample(folder: Path) -> None:
    document = json.loads(printed(str(folder), "--json"))
    (step,) = document["samples"]
    assert (step["step"], step["all_failed"], step["all_answered"], step["conversations"]) == ("refine", 2, 2, True)
    turns = {sample["row"]: sample["turns"] for sample in (*step["failed"], *step["answered"])}
    assert [turn["turn"] for turn in turns["3"]] == ["1", "2.1", "2.2", "3"]
    (message,) = turns["0"][4]["messages"]
    assert (message["role"], message["text"]) == ("user", "Give a number.")
    assert turns["0"][3]["name"] == "look_up"
    assert turns["1"][2]["became"] == "caught"


def test_json_has_no_samples_where_none_are_asked_for(folder: Path) -> None:
    assert json.loads(printed(str(folder), "--json", "--samples", "0"))["samples"] == []


def test_the_text_has_samples_where_they_are_asked_for(folder: Path) -> None:
    assert "Samples of" not in printed(str(folder))
    lines = printed(str(folder), "--samples", "9").splitlines()
    assert "Samples of refine: 2 of 2 failed, 2 of 2 good, each a conversation" in lines
    begin = lines.index("Row 3: EffectError")
    shown = lines[begin : lines.index("", begin)]
    assert [line.strip() for line in shown if re.match(r"  \S", line)][:5] == [
        "Turn 1",
        "Turn 2.1",
        "Turn 2.2",
        "Effect 3",
        "Failed at turn 3: EffectError: `look_up` raised LookupError: no such word",
    ]
    assert '    look_up("broken", lang="de")' in shown
    assert "    The conversation caught this failure, and went on." in lines


def test_the_text_has_the_samples_of_plain_calls_too(tmp_path: Path) -> None:
    list(TextGeneration(llm=ScriptedLLM(script=answer)).run([{"instruction": "tea"}], run_dir=tmp_path))
    lines = printed(str(tmp_path), "--samples", "1").splitlines()
    assert lines[lines.index("Row 0: good") + 2 :][:2] == ["  user: tea", "  answer: about tea"]


def page_of(folder: Path) -> str:
    target = folder.parent / "report.html"
    write_page(str(folder), target, count=20, seed=0)
    return target.read_text(encoding="utf-8")


def card_of(page: str, row: str) -> str:
    cards = re.findall(r'<article class="sample.*?</article>', page, re.DOTALL)
    card: str
    (card,) = (card for card in cards if f"Row <bdi>{row}</bdi>" in card)
    return card


def test_the_page_has_the_turns_of_each_sample_in_their_order(folder: Path) -> None:
    page = page_of(folder)
    names = re.findall(r"<h6><bdi>(.*?)</bdi></h6>", card_of(page, "0"))
    assert names == ["Turn 1", "Turn 2.1", "Turn 2.2", "Effect 3", "Turn 4"]
    assert "It goes on from the chat of turn 1:" in card_of(page, "0")
    assert "The conversation caught this failure" in card_of(page, "1")
    assert 'class="error end" dir="auto">Failed at turn 4: SchemaError: ' in card_of(page, "2")
    assert 'class="error end" dir="auto">Failed at turn 3: EffectError: ' in card_of(page, "3")
    assert "Each is one conversation, and is counted as one" in page
    assert "2 of 2" in page


def test_the_page_names_repairs_and_fallbacks(tmp_path: Path) -> None:
    number = ScriptedLLM(model="bold", script=lambda request: '{"number": 1}')
    page = page_of(converse(tmp_path / "run", ["odd", "filtered second"], repair=1, fallback=[number]))
    assert "Repair 4r1 of turn 4" in card_of(page, "0")
    assert "Fallback 2.2f1 for turn 2.2" in card_of(page, "1")
    assert "The same messages as at turn 2.2." in card_of(page, "1")


Reading = Callable[[Path], object]


def test_a_finish_reason_with_a_lone_surrogate_stands_in_json_and_on_the_page(tmp_path: Path) -> None:
    def script(request: GenerationRequest) -> Any:
        generation = Generation(text="well", finish_reason="half \ud83d")
        return GenerationResponse(generations=[generation], usage=Usage(), model="m \ud83d")

    list(TextGeneration(llm=ScriptedLLM(script=script)).run([{"instruction": "tea"}], run_dir=tmp_path / "plain"))
    number = ScriptedLLM(script=script)
    folders = [tmp_path / "plain", converse(tmp_path / "run", ["tea"], judge=number, llm=number)]
    for folder in folders:
        assert "half \\ud83d" in printed(str(folder), "--json")
        assert "finish: half" in page_of(folder)


@pytest.mark.parametrize("reading", [page_of, lambda folder: printed(str(folder), "--json", "--samples", "9")])
def test_hostile_turns_do_no_harm(tmp_path: Path, reading: Reading) -> None:
    hostile = "</pre></details><script>alert(1)</script>\x00\x1b[31m\ud800"

    def echo(text: str) -> str:
        return text

    @task(inputs=["topic"], outputs=["answer"])
    def odd(row: Any) -> Any:
        yield do(echo, hostile)
        said = yield ask(hostile)
        return {"answer": said.text}

    with odd(llm=ScriptedLLM(script=lambda request: hostile)).run(
        [{"topic": "tea"}], run_dir=tmp_path / "run"
    ) as stream:
        list(stream)
    shown = str(reading(tmp_path / "run"))
    assert "<script>alert(1)" not in shown or shown.startswith("{")
    assert "\x1b" not in shown
    assert FAILED_NOT_STORED not in shown
