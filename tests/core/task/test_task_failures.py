"""What becomes of a generation that fails: data beside the rows that did not, or the end of the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    GenerationError,
    RateLimitError,
    RowFailedError,
    TransientError,
)
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import Capabilities, Generation, GenerationResponse
from support.questions import METADATA, Ask, answered, failed, new_model, processed, prompt_of, questions, response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import ChatType, GenerationRequest, OnError, Row


class Native(ScriptedLLM):
    """A scripted backend that gives several answers to one request."""

    capabilities = Capabilities(native_n=True)


def failing_on(*prompts: str, error: Exception | None = None) -> Any:
    """A script that echoes, but fails for these prompts."""

    def script(request: GenerationRequest) -> Any:
        prompt = prompt_of(request)
        return (error or BadRequestError(f"cannot {prompt}")) if prompt in prompts else prompt

    return script


# What a backend raises


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("the server will not"),
        ContextLengthError("the prompt is too long"),
        ContentFilteredError("refused by the policy"),
        GenerationError("something else"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refused_request_is_a_row_of_nulls_with_the_typed_error_beside_it(error: GenerationError) -> None:
    rows = processed(Ask(llm=ScriptedLLM(script=[error])), [{"question": "q"}])
    assert rows == [failed("q", type(error).__name__, str(error), attempts=1, model="scripted")]
    assert list(rows[0]) == ["question", "answer", METADATA, "model_name"]
    assert list(rows[0][METADATA]) == ["raw_output_ask", "error_ask"]


def test_a_refusal_that_came_with_text_keeps_the_text() -> None:
    error = ContentFilteredError("refused half-way", raw="The first half of")
    rows = processed(Ask(llm=ScriptedLLM(script=[error])), [{"question": "q"}])
    assert rows == [
        failed("q", "ContentFilteredError", "refused half-way", attempts=1, raw="The first half of", model="scripted")
    ]


def test_an_untyped_error_fails_its_row_unretried_with_its_type_and_message_kept() -> None:
    llm = ScriptedLLM(script=failing_on("1", error=ValueError("cannot parse the reply")))
    assert processed(Ask(llm=llm), questions(3)) == [
        answered("0", "0", model="scripted"),
        failed("1", "BackendError", "ValueError: cannot parse the reply", attempts=1, model="scripted"),
        answered("2", "2", model="scripted"),
    ]
    assert len(llm.requests) == 3


def test_an_error_type_of_a_backends_own_is_named_and_costs_only_its_row() -> None:
    class QuotaOfTheDay(BadRequestError):
        def __init__(self, code: int) -> None:
            self.code = code
            Exception.__init__(self, f"code {code}")  # without the constructor of the tree

    rows = processed(Ask(llm=ScriptedLLM(script=[QuotaOfTheDay(7)])), [{"question": "q"}])
    assert rows == [failed("q", "QuotaOfTheDay", "code 7", attempts=1, model="scripted")]


def test_what_is_no_response_is_an_error_that_says_what_came() -> None:
    class Sloppy:
        model_name = "sloppy"

        async def agenerate(self, request: GenerationRequest) -> Any:
            return "just text"

    rows = processed(Ask(llm=Sloppy()), [{"question": "q"}])
    message = "The backend returned str, not a GenerationResponse."
    assert rows == [failed("q", "BackendError", message, attempts=1, model="sloppy")]


def test_a_fault_is_asked_again_and_the_answer_counts() -> None:
    llm = ScriptedLLM(script=[TransientError("503"), "at last"], model=new_model())
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [answered("q", "at last", model=llm.model)]


def test_a_fault_that_lasts_fails_the_row_after_all_attempts() -> None:
    llm = ScriptedLLM(script=[TransientError("503"), TransientError("504")], max_attempts=2, model=new_model())
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [
        failed("q", "TransientError", "504", attempts=2, model=llm.model)
    ]


def test_a_backend_that_gives_no_answer_in_time_has_a_transient_fault() -> None:
    llm = EchoLLM(latency=60.0, timeout=0.01, max_attempts=1, model=new_model())
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [
        failed("q", "TransientError", "No answer within 0.01 seconds.", attempts=1, model=llm.model)
    ]


def test_refusals_for_rate_do_not_use_up_attempts() -> None:
    refusals = [RateLimitError("429", retry_after=0.0)] * 3
    llm = ScriptedLLM(script=[*refusals, BadRequestError("no")], max_attempts=1, model=new_model())
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [
        failed("q", "BadRequestError", "no", attempts=1, model=llm.model)
    ]


def test_refusals_for_rate_past_the_deadline_fail_the_row() -> None:
    llm = ScriptedLLM(script=[RateLimitError("429", retry_after=60.0)], deadline=1.0, model=new_model())
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [
        failed("q", "RateLimitError", "429", attempts=0, model=llm.model)
    ]


def test_an_authentication_error_stops_the_run_after_the_first_answer() -> None:
    llm = ScriptedLLM(script=lambda request: AuthenticationError("bad key"), max_concurrency=1, model=new_model())
    with pytest.raises(AuthenticationError, match="bad key"):
        processed(Ask(llm=llm), questions(50))
    assert len(llm.requests) == 1


def test_an_authentication_error_stops_the_run_whatever_on_error_says() -> None:
    llm = ScriptedLLM(script=lambda request: AuthenticationError("bad key"))
    with pytest.raises(AuthenticationError, match="bad key"):
        processed(Ask(llm=llm, on_error="drop"), questions(3))


def test_the_same_task_can_be_used_after_a_run_was_stopped() -> None:
    key_is_good: list[bool] = []

    def script(request: GenerationRequest) -> Any:
        return "fine" if key_is_good else AuthenticationError("bad key")

    task = Ask(llm=ScriptedLLM(script=script))
    with pytest.raises(AuthenticationError):
        processed(task, questions(3))
    key_is_good.append(True)
    assert processed(task, [{"question": "q"}]) == [answered("q", "fine", model="scripted")]


# Fewer answers than asked for


def test_an_answer_without_generations_is_asked_for_again_and_then_a_failure() -> None:
    llm = ScriptedLLM(script=[response(), response(), response()])
    message = "The server gave 0 of 1 generations and then none, three times."
    assert processed(Ask(llm=llm), [{"question": "q"}]) == [
        failed("q", "IncompleteResponseError", message, attempts=3, model="scripted")
    ]


def test_a_group_is_never_shorter_than_asked_for() -> None:
    llm = Native(script=[response("a", "b"), response(), response(), response()])
    (row,) = processed(Ask(llm=llm, num_generations=3, group_generations=True), [{"question": "q"}])
    message = "The server gave 2 of 3 generations and then none, three times."
    assert row == {
        "question": "q",
        "answer": ["a", "b", None],
        METADATA: [
            {"raw_output_ask": "a"},
            {"raw_output_ask": "b"},
            {
                "raw_output_ask": None,
                "error_ask": {"type": "IncompleteResponseError", "message": message, "attempts": 4},
            },
        ],
        "model_name": "scripted",
    }


# What a task's own methods raise


def test_format_input_that_raises_fails_its_row_and_nothing_is_sent() -> None:
    class Picky(Ask):
        def format_input(self, input: Row) -> ChatType:
            return [{"role": "user", "content": {"a": "A"}[input["question"]]}]

    llm = ScriptedLLM(script=failing_on())
    message = "`format_input` of task 'ask' raised KeyError: 'b'"
    assert processed(Picky(name="ask", llm=llm), [{"question": "a"}, {"question": "b"}]) == [
        answered("a", "A", model="scripted"),
        failed("b", "RowError", message, attempts=0, model="scripted"),
    ]
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("chat", "what"), [("text", "str"), (None, "NoneType"), ([], "an empty list"), ({"role": "user"}, "dict")]
)
def test_a_chat_that_is_no_list_of_messages_fails_its_row_and_nothing_is_sent(chat: Any, what: str) -> None:
    class Wrong(Ask):
        def format_input(self, input: Row) -> ChatType:
            return chat  # type: ignore[no-any-return]  # the mistake

    llm = ScriptedLLM(script=[])
    message = f"`format_input` of task 'ask' returned {what}, not a list of messages."
    assert processed(Wrong(name="ask", llm=llm), [{"question": "q"}]) == [
        failed("q", "RowError", message, attempts=0, model="scripted")
    ]
    assert llm.requests == []


def test_schema_for_that_raises_fails_its_row_and_is_named() -> None:
    class ByRow(Ask):
        def schema_for(self, input: Row) -> Any:
            return input["schema"]

    message = "`schema_for` of task 'ask' raised KeyError: 'schema'"
    assert processed(ByRow(name="ask", llm=EchoLLM()), [{"question": "q"}]) == [
        failed("q", "RowError", message, attempts=0, model="echo")
    ]


def test_format_output_that_raises_gives_nulls_and_keeps_the_raw_text() -> None:
    class Number(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": int(output or "")}

    rows = processed(Number(name="ask", llm=EchoLLM()), [{"question": "7"}, {"question": "seven"}])
    message = "`format_output` of task 'ask' raised ValueError: invalid literal for int() with base 10: 'seven'"
    assert rows == [
        {"question": "7", "answer": 7, METADATA: {"raw_output_ask": "7"}, "model_name": "echo"},
        failed("seven", "OutputError", message, attempts=1, raw="seven", model="echo"),
    ]


def test_an_error_of_the_tree_raised_by_format_output_keeps_its_type() -> None:
    class Refusals(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            raise ContentFilteredError("The model declined.")

    assert processed(Refusals(name="ask", llm=EchoLLM()), [{"question": "q"}]) == [
        failed("q", "ContentFilteredError", "The model declined.", attempts=1, raw="q", model="echo")
    ]


@pytest.mark.parametrize("method", ["format_input", "format_output"])
def test_a_task_that_calls_sys_exit_fails_its_row_and_not_the_program(method: str) -> None:
    class Exits(Ask):
        def format_input(self, input: Row) -> ChatType:
            return sys.exit(3) if method == "format_input" else super().format_input(input)

        def format_output(self, output: str | None, input: Row) -> Row:
            sys.exit(3)

    (row,) = processed(Exits(name="ask", llm=EchoLLM()), [{"question": "q"}])
    assert row["answer"] is None
    assert row[METADATA]["error_ask"]["message"] == f"`{method}` of task 'ask' raised SystemExit: 3"
    assert processed(Ask(llm=EchoLLM()), [{"question": "q"}]) == [answered("q", "q", model="echo")]


class Pair(Ask):
    """Two outputs, the second of which may be left out."""

    @property
    def outputs(self) -> Mapping[str, bool]:  # type: ignore[override]  # the other form
        return {"answer": True, "note": False}

    def format_output(self, output: str | None, input: Row) -> Row:
        columns: Row = eval(output or "")  # the test's own words
        return columns


def test_an_output_that_is_not_required_may_be_left_out_and_is_null() -> None:
    (row,) = processed(Pair(llm=ScriptedLLM(script=["{'answer': 1}"])), [{"question": "q"}])
    assert (row["answer"], row["note"]) == (1, None)
    assert list(row) == ["question", "answer", "note", METADATA, "model_name"]


@pytest.mark.parametrize(
    ("returned", "fault"),
    [
        ("{'note': 1}", "did not return `answer`, which is among its outputs."),
        ("{'answer': 1, 'nota': 2}", "returned `nota`, which is not among its outputs."),
        (
            "{'answr': 1}",
            "did not return `answer`, which is among its outputs; returned `answr`, which is not among its outputs.",
        ),
        ("{}", "did not return `answer`, which is among its outputs."),
        ("'answer'", "returned str, not a dict of columns."),
        ("['answer', 'note']", "returned list, not a dict of columns."),
        ("None", "returned NoneType, not a dict of columns."),
    ],
)
def test_the_wrong_columns_from_format_output_fail_the_row_naming_them(returned: str, fault: str) -> None:
    rows = processed(Pair(name="ask", llm=ScriptedLLM(script=[returned])), [{"question": "q"}])
    message = f"`format_output` of task 'ask' {fault}"
    assert rows == [
        {
            "question": "q",
            "answer": None,
            "note": None,
            METADATA: {
                "raw_output_ask": returned,
                "error_ask": {"type": "OutputError", "message": message, "attempts": 1},
            },
            "model_name": "scripted",
        }
    ]


class Verdict(BaseModel):
    verdict: int


class Structured(Ask):
    """A task with a schema on it."""

    output_schema = Verdict


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"verdict": "none"}', "The answer breaks the schema of `Verdict` at verdict"),
        ("I would rather not.", "The answer holds no JSON, and a schema was asked for."),
        ("", "The answer is empty, and a schema was asked for."),
        ("[" * 100_000, "The answer cannot be checked against the schema: RecursionError"),
    ],
    ids=["wrong type", "no JSON", "empty", "a model caught in a loop"],
)
def test_an_answer_that_breaks_the_schema_is_a_row_of_nulls_with_the_raw_text(said: str, message: str) -> None:
    (row,) = processed(Structured(name="ask", llm=ScriptedLLM(script=[said])), [{"question": "q"}])
    error = row[METADATA]["error_ask"]
    assert error["message"].startswith(message)
    assert row == failed("q", "SchemaError", error["message"], attempts=1, raw=said, model="scripted")


# Groups and policies


def test_one_failed_generation_leaves_its_place_in_the_group_to_null_and_the_error() -> None:
    llm = ScriptedLLM(script=["a", BadRequestError("no"), "c"], max_concurrency=1)
    (row,) = processed(Ask(llm=llm, num_generations=3, group_generations=True), [{"question": "q"}])
    assert row == {
        "question": "q",
        "answer": ["a", None, "c"],
        METADATA: [
            {"raw_output_ask": "a"},
            {"raw_output_ask": None, "error_ask": {"type": "BadRequestError", "message": "no", "attempts": 1}},
            {"raw_output_ask": "c"},
        ],
        "model_name": "scripted",
    }


def test_an_error_in_a_group_is_kept_even_where_raw_outputs_are_not() -> None:
    llm = ScriptedLLM(script=["a", BadRequestError("no")], max_concurrency=1)
    task = Ask(llm=llm, num_generations=2, group_generations=True, add_raw_output=False)
    (row,) = processed(task, [{"question": "q"}])
    assert row[METADATA] == [{}, {"error_ask": {"type": "BadRequestError", "message": "no", "attempts": 1}}]


def test_a_failed_row_has_all_that_was_asked_to_stand_beside_it() -> None:
    llm = ScriptedLLM(script=[BadRequestError("no")])
    (row,) = processed(Ask(llm=llm, add_raw_input=True, add_statistics=True), [{"question": "q"}])
    assert row[METADATA] == {
        "raw_output_ask": None,
        "raw_input_ask": [{"role": "user", "content": "q"}],
        "statistics_ask": {
            "input_tokens": None,
            "output_tokens": None,
            "cached_tokens": None,
            "reasoning_tokens": None,
            "latency": None,
            "finish_reason": None,
        },
        "error_ask": {"type": "BadRequestError", "message": "no", "attempts": 1},
    }


def test_a_row_for_which_no_chat_could_be_made_has_no_raw_input() -> None:
    (row, _) = processed(Ask(llm=EchoLLM(), add_raw_input=True), [{}, {"question": "q"}])
    assert row[METADATA]["raw_input_ask"] is None


def outcome(on_error: OnError, *, grouped: bool, script: list[Any]) -> list[Any]:
    """The answers of a row of three generations, one a row or grouped."""
    llm = ScriptedLLM(script=script, max_concurrency=1)
    task = Ask(llm=llm, num_generations=3, group_generations=grouped, on_error=on_error)
    return [row["answer"] for row in processed(task, [{"question": "q"}])]


@pytest.mark.parametrize(
    ("on_error", "grouped", "failures", "expected"),
    [
        ("keep", False, 1, ["a", None, "c"]),
        ("keep", False, 3, [None, None, None]),
        ("keep", True, 1, [["a", None, "c"]]),
        ("keep", True, 3, [[None, None, None]]),
        ("drop", False, 1, ["a", "c"]),
        ("drop", False, 3, []),
        ("drop", True, 1, [["a", None, "c"]]),
        ("drop", True, 3, []),
    ],
)
def test_keep_keeps_every_failure_and_drop_leaves_out_a_group_only_when_all_of_it_failed(
    on_error: OnError, grouped: bool, failures: int, expected: list[Any]
) -> None:
    error = BadRequestError("no")
    script = [error] * 3 if failures == 3 else ["a", error, "c"]
    assert outcome(on_error, grouped=grouped, script=script) == expected


def test_keep_is_the_default() -> None:
    assert Ask(llm=EchoLLM()).on_error == "keep"


def test_drop_drops_answers_that_cannot_be_read_too() -> None:
    class Number(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": int(output or "")}

    rows = processed(Number(llm=EchoLLM(), on_error="drop"), [{"question": "1"}, {"question": "x"}, {"question": "3"}])
    assert [row["answer"] for row in rows] == [1, 3]


def test_drop_drops_rows_without_a_required_column() -> None:
    rows: list[Row] = [{"question": "1"}, {}, {"question": "3"}]
    assert [row["answer"] for row in processed(Ask(llm=EchoLLM(), on_error="drop"), rows)] == ["1", "3"]


def test_raise_stops_at_a_failed_row_naming_the_task_the_row_and_the_cause() -> None:
    llm = ScriptedLLM(script=failing_on("2"), max_concurrency=1, model=new_model())
    with pytest.raises(RowFailedError) as caught:
        processed(Ask(name="asker", llm=llm, on_error="raise"), questions(50))
    assert str(caught.value) == "Task 'asker' failed on row 2: BadRequestError: cannot 2"
    assert (caught.value.task, caught.value.index) == ("asker", 2)
    assert isinstance(caught.value.__cause__, BadRequestError)
    assert len(llm.requests) == 3


def test_raise_stops_at_a_generation_of_a_group_too() -> None:
    with pytest.raises(RowFailedError, match="BadRequestError: no"):
        outcome("raise", grouped=True, script=["a", BadRequestError("no"), "c"])


def test_raise_stops_at_an_answer_that_cannot_be_read() -> None:
    class Number(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": int(output or "")}

    with pytest.raises(RowFailedError, match="OutputError: `format_output` of task 'number' raised ValueError"):
        processed(Number(llm=EchoLLM(), on_error="raise"), [{"question": "x"}])


def test_raise_leaves_rows_that_did_not_fail_alone() -> None:
    assert processed(Ask(llm=EchoLLM(), on_error="raise"), questions(1)) == [answered("0", "0", model="echo")]


def test_process_runs_all_rows_however_many_fail() -> None:
    llm = ScriptedLLM(script=lambda request: BadRequestError("no"), breaker_threshold=2)
    rows = processed(Ask(llm=llm), questions(20))
    assert [row["answer"] for row in rows] == [None] * 20


def test_a_failure_of_a_native_request_is_that_of_each_of_its_samples() -> None:
    llm = Native(script=[BadRequestError("no")])
    rows = processed(Ask(llm=llm, num_generations=2), [{"question": "q"}])
    assert rows == [failed("q", "BadRequestError", "no", attempts=1, model="scripted")] * 2
    assert rows[0][METADATA] is not rows[1][METADATA]


def test_one_of_several_native_answers_that_cannot_be_read_fails_alone() -> None:
    class Number(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": int(output or "")}

    answer = GenerationResponse(generations=[Generation(text="1"), Generation(text="x"), Generation(text="3")])
    rows = processed(Number(llm=Native(script=[answer]), num_generations=3), [{"question": "q"}])
    assert [row["answer"] for row in rows] == [1, None, 3]
    assert [row[METADATA]["raw_output_number"] for row in rows] == ["1", "x", "3"]
