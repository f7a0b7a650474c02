"""The calls to look at: drawn with a seed, with their prompts, answers and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.errors import ContentFilteredError, TransientError
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from limbeck_report.messages import Message, messages_of
from limbeck_report.records import open_records
from limbeck_report.samples import FAILED_NOT_STORED, NEVER_SENT, NOT_STORED, StepSamples, draw_samples

from .recorded_runs import answer, record


def draw(folder: Path, *, count: int = 5, seed: int = 0) -> dict[str, StepSamples]:
    with open_records(folder) as records:
        return {each.step: each for each in draw_samples(records, records.calls(), [], count=count, seed=seed)}


def test_a_success_has_its_prompt_by_role_its_answer_and_its_figures(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["tea"]))["ask"].answered
    assert (sample.row, sample.sample, sample.error) == ("0", 0, None)
    assert sample.prompt == [Message("system", "Be brief."), Message("user", "tea")]
    assert (sample.text, sample.length) == ("about tea", 9)
    assert (sample.model, sample.finish_reason, sample.attempts) == ("scripted-2026", "stop", 1)
    assert (sample.input_tokens, sample.output_tokens) == (10, 20)
    assert sample.latency is not None


def test_an_answer_that_could_not_be_read_has_its_prompt_its_text_and_its_figures(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["unreadable tea"]))["ask"].failed
    assert (sample.error, sample.text) == ("OutputError", "unreadable tea")
    assert sample.message == "`format_output` of task 'ask' raised ValueError: no answer in it"
    assert sample.prompt == [Message("system", "Be brief."), Message("user", "unreadable tea")]
    assert (sample.model, sample.output_tokens) == ("scripted-2026", 20)


def test_a_call_that_failed_has_its_prompt_its_parameters_its_attempts_and_its_error(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=answer, generation_kwargs={"temperature": 0.5})
    (sample,) = draw(record(tmp_path / "run", [{"question": "bad", "source": "a.csv"}], llm=llm))["ask"].failed
    assert (sample.error, sample.message, sample.attempts) == ("BadRequestError", "It is bad.", 1)
    assert sample.text is None
    assert sample.prompt == [Message("system", "Be brief."), Message("user", "bad")]
    assert sample.parameters == '{"temperature":0.5}'
    assert sample.given == {"question": "bad", "source": "a.csv"}


def test_an_answer_has_the_parameters_it_was_asked_with(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=answer, generation_kwargs={"temperature": 0.5})
    (sample,) = draw(record(tmp_path / "run", ["tea"], llm=llm))["ask"].answered
    assert sample.parameters == '{"temperature":0.5}'


def test_a_call_that_failed_has_the_row_it_was_made_of_where_only_digests_are_kept(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", [{"question": "bad", "source": "a.csv"}], run={"ledger_requests": "hash"})
    (sample,) = draw(folder)["ask"].failed
    assert (sample.prompt, sample.no_prompt) == (None, FAILED_NOT_STORED)
    assert sample.given == {"question": "bad", "source": "a.csv"}


def paid_refusal(request: GenerationRequest) -> Any:
    return ContentFilteredError("No.", raw="I will not.", usage=Usage(input_tokens=10, output_tokens=3), model="m-1")


def test_a_refusal_that_was_paid_for_has_what_it_took_and_what_came(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["tea"], script=paid_refusal))["ask"].failed
    assert (sample.model, sample.input_tokens, sample.output_tokens) == ("m-1", 10, 3)
    assert sample.text == "I will not."


def test_a_prompt_of_a_failure_is_shown_from_the_ledger_where_its_row_is_gone(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["bad"])
    (folder / "failed.jsonl").unlink()
    (sample,) = draw(folder)["ask"].failed
    assert sample.prompt == [Message("system", "Be brief."), Message("user", "bad")]


def test_a_response_that_was_asked_for_again_is_no_failure(tmp_path: Path) -> None:
    script = iter([TransientError("It broke off.", retry_after=0.0, usage=Usage(input_tokens=10)), "tea"])
    drawn = draw(record(tmp_path / "run", ["tea"], script=lambda request: next(script)))["ask"]
    assert (drawn.all_failed, drawn.all_answered) == (0, 1)


def test_a_row_that_was_never_sent_says_so(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["tea", {"name": "no question"}]))["ask"].failed
    assert (sample.error, sample.no_prompt, sample.given) == ("RowError", NEVER_SENT, {"name": "no question"})


def test_where_only_digests_are_kept_the_prompt_is_said_not_to_be_stored(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"], run={"ledger_requests": "hash"})
    (sample,) = draw(folder)["ask"].answered
    assert (sample.prompt, sample.no_prompt) == (None, NOT_STORED)


def test_a_failed_answer_is_not_among_the_successes(tmp_path: Path) -> None:
    drawn = draw(record(tmp_path / "run", ["unreadable", "tea", "bad", "salt"]), count=50)["ask"]
    assert {sample.text for sample in drawn.answered} == {"about tea", "about salt"}
    assert (drawn.all_answered, drawn.all_failed) == (2, 2)


def test_the_same_seed_draws_the_same_and_another_seed_others(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", [f"q{number}" for number in range(200)])
    rows = [[sample.row for sample in draw(folder, seed=seed)["ask"].answered] for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    assert len(set(rows[0])) == 5


def test_one_failure_of_each_kind_comes_before_a_second_of_any(tmp_path: Path) -> None:
    questions = [*(f"bad {number}" for number in range(40)), "filtered", "unreadable"]
    drawn = draw(record(tmp_path / "run", questions), count=3)["ask"]
    assert {sample.error for sample in drawn.failed} == {"BadRequestError", "ContentFilteredError", "OutputError"}


def test_each_step_has_its_own_samples(tmp_path: Path) -> None:
    record(tmp_path / "run", ["tea"], name="first")
    record(tmp_path / "run", ["salt"], name="second")
    drawn = draw(tmp_path / "run")
    assert {step: each.answered[0].text for step, each in drawn.items()} == {
        "first": "about tea",
        "second": "about salt",
    }


def test_every_sample_of_a_response_with_several_has_the_prompt(tmp_path: Path) -> None:
    drawn = draw(record(tmp_path / "run", ["tea"], num_generations=3))["ask"].answered
    assert {sample.sample for sample in drawn} == {0, 1, 2}
    assert all(sample.prompt is not None for sample in drawn)


def test_the_reasoning_stands_beside_the_answer(tmp_path: Path) -> None:
    def script(request: GenerationRequest) -> Any:
        generations = [Generation(text="4", reasoning="2 and 2")]
        return GenerationResponse(generations=generations, usage=Usage())

    (sample,) = draw(record(tmp_path / "run", ["2 + 2?"], script=script))["ask"].answered
    assert (sample.text, sample.reasoning) == ("4", "2 and 2")


def test_a_text_with_a_lone_surrogate_is_read_back(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["tea"], script=lambda request: "half \ud83d"))["ask"].answered
    assert sample.text == "half \ud83d"


def test_only_the_beginning_of_a_huge_answer_is_read(tmp_path: Path) -> None:
    (sample,) = draw(record(tmp_path / "run", ["tea"], script=lambda request: "x" * 1_000_000))["ask"].answered
    assert sample.length == 1_000_000
    assert sample.text is not None and len(sample.text) == 200_000


def test_a_failure_whose_row_is_gone_is_shown_from_the_ledger(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["bad", "tea"])
    (folder / "failed.jsonl").unlink()
    (sample,) = draw(folder)["ask"].failed
    assert (sample.error, sample.message, sample.given) == ("BadRequestError", "It is bad.", None)


def test_parts_of_a_message_that_are_no_text_are_named_and_cut() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 5_000}"}}
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]}
    (message,) = messages_of(json.dumps(request))
    assert message.text.startswith("What is it?\n[image_url, 5,069 characters: ")
    assert len(message.text) < 300


def test_calls_of_tools_are_a_part_of_their_message() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    (message,) = messages_of(json.dumps({"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}))
    assert '"name": "look_up"' in message.text


def test_a_request_of_an_unknown_form_is_shown_as_it_stands() -> None:
    for request in ("{", "[]", '{"messages": 3}'):
        assert messages_of(request) == [Message("request", request)]
