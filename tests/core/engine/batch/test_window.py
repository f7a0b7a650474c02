"""Provider batches: how requests become batches, and what becomes of their entries, in virtual time."""

from __future__ import annotations

import sqlite3
from collections import deque
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck._engine.calls.keys import identity_of
from limbeck._engine.ledger.file import FILE
from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    BatchError,
    ConfigurationError,
    LedgerError,
    PluginContractError,
    RateLimitError,
    TransientError,
)
from limbeck.testing import EchoLLM
from limbeck.types import BatchSearch
from support.batch_llm import BatchLLM

from ..batch_scene import Run, run_batches

if TYPE_CHECKING:
    from limbeck.types import GenerationRequest
    from support.batch_desk import Fate


def batch_llm(**fields: Any) -> BatchLLM:
    """A backend in batch mode, that looks after a minute, and submits what no row came to for five seconds."""
    return BatchLLM(**{"mode": "batch", "batch_poll_seconds": 60, "batch_gather_seconds": 5, **fields})


def prompts(number: int) -> list[str]:
    return [f"p{place}" for place in range(number)]


def echoes(number: int) -> dict[str, str]:
    return {prompt: f"echo: {prompt}" for prompt in prompts(number)}


def stored(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What the ledger holds."""
    connection = sqlite3.connect(folder / FILE)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def assert_bought_once(llm: BatchLLM, number: int) -> None:
    """Fail unless each prompt was handed in once and answered once."""
    assert llm.script.desk.submitted == dict.fromkeys(prompts(number), 1)
    assert +llm.script.desk.answered == dict.fromkeys(prompts(number), 1)


# From rows to batches


def test_all_rows_of_a_source_that_ends_are_one_batch_and_its_shuffled_results_reach_their_rows(tmp_path: Path) -> None:
    llm = batch_llm()
    run = run_batches(llm, prompts(7), tmp_path)
    assert [row["q"] for row in run.rows] == prompts(7)
    assert (run.error, run.answers) == (None, echoes(7))
    assert [len(filed.entries) for filed in llm.script.desk.filed] == [7]


def test_a_batch_is_closed_when_it_holds_as_many_requests_as_it_may(tmp_path: Path) -> None:
    llm = batch_llm(batch_max_requests=10)
    run = run_batches(llm, prompts(25), tmp_path)
    assert run.answers == echoes(25)
    assert [len(filed.entries) for filed in llm.script.desk.filed] == [10, 10, 5]


def test_a_batch_is_closed_before_it_has_more_bytes_than_the_provider_takes(tmp_path: Path) -> None:
    llm = batch_llm()
    run = run_batches(llm, [f"{place}{'x' * 80_000}" for place in range(4)], tmp_path)
    assert len(run.answers) == 4
    assert [len(filed.entries) for filed in llm.script.desk.filed] == [2, 2]


def test_a_request_larger_than_a_whole_batch_fails_alone(tmp_path: Path) -> None:
    run = run_batches(batch_llm(), ["p0", "x" * 200_000], tmp_path)
    assert run.answers == echoes(1)
    assert run.rows[1]["error"].startswith("BadRequestError: The request is larger than a whole batch may be")


def test_a_request_that_cannot_be_encoded_fails_alone(tmp_path: Path) -> None:
    run = run_batches(batch_llm(), ["p0", "unsendable"], tmp_path)
    assert run.answers == echoes(1)
    assert run.rows[1]["error"] == "BadRequestError: It cannot be written."


def test_a_batch_that_is_not_full_is_submitted_when_no_row_has_come_for_a_while(tmp_path: Path) -> None:
    llm = batch_llm(batch_poll_seconds=1)
    run = run_batches(llm, ["p0", 4.0, "p1", 6.0, "p2"], tmp_path)
    assert run.answers == echoes(3)
    assert [filed.prompts for filed in llm.script.desk.filed] == [["p0", "p1"], ["p2"]]


def test_no_more_batches_are_open_than_are_allowed(tmp_path: Path) -> None:
    llm = batch_llm(batch_max_requests=1, batch_max_open=2)
    run = run_batches(llm, prompts(7), tmp_path)
    assert run.answers == echoes(7)
    assert llm.script.most_open == 2


def test_several_samples_of_a_row_are_one_entry_where_the_backend_can(tmp_path: Path) -> None:
    llm = batch_llm()
    run = run_batches(llm, ["p0"], tmp_path, n=3)
    assert [row["a"] for row in run.rows] == ["echo: p0", "echo: p0 #1", "echo: p0 #2"]
    assert len(llm.script.desk.filed[0].entries) == 1


def test_the_looks_at_a_batch_grow_rarer_up_to_ten_times_the_first_interval(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.desk.polls_needed = 9
    run_batches(llm, prompts(1), tmp_path)
    times = [0.0, *llm.script.polled]
    waits = [round(later - earlier) for earlier, later in pairwise(times)]
    assert waits == [60, 90, 135, 202, 304, 456, 600, 600, 600, 600]


class TenantLLM(BatchLLM):
    """A backend whose batches are of one tenant each: the first letter of a prompt."""

    def batch_group(self, request: GenerationRequest) -> Any:
        tenant = str(request.messages[0]["content"])[0]
        if tenant == "!":
            raise BadRequestError("It is of no tenant.")
        return [tenant] if tenant == "?" else tenant


def tenants(*texts: str, tmp_path: Path, **fields: Any) -> tuple[TenantLLM, Run]:
    llm = TenantLLM(**{"mode": "batch", "batch_poll_seconds": 60, "batch_gather_seconds": 5, **fields})
    return llm, run_batches(llm, list(texts), tmp_path)


def test_a_batch_holds_requests_of_one_group_only(tmp_path: Path) -> None:
    llm, run = tenants("a0", "b0", "a1", "c0", "b1", "a2", tmp_path=tmp_path)
    assert [row["a"] for row in run.rows] == [f"echo: {text}" for text in ("a0", "b0", "a1", "c0", "b1", "a2")]
    assert sorted(filed.prompts for filed in llm.script.desk.filed) == [["a0", "a1", "a2"], ["b0", "b1"], ["c0"]]


def test_each_group_fills_a_batch_of_its_own(tmp_path: Path) -> None:
    llm, run = tenants("a0", "b0", "a1", "a2", "b1", tmp_path=tmp_path, batch_max_requests=2, batch_max_open=1)
    assert len(run.answers) == 5
    assert [filed.prompts for filed in llm.script.desk.filed] == [["a0", "a1"], ["b0", "b1"], ["a2"]]


def test_each_group_is_counted_in_bytes_of_its_own(tmp_path: Path) -> None:
    llm, run = tenants(*(f"{letter}{'x' * 80_000}" for letter in "abaab"), tmp_path=tmp_path)
    assert len(run.answers) == 2  # of five rows, by their texts
    assert sorted((filed.prompts[0][0], len(filed.prompts)) for filed in llm.script.desk.filed) == [
        *(("a", 1), ("a", 2), ("b", 2)),
    ]


def test_a_request_whose_group_cannot_be_told_fails_alone(tmp_path: Path) -> None:
    _, run = tenants("a0", "!0", "?0", "a1", tmp_path=tmp_path)
    assert [row.get("error") for row in run.rows] == [
        *(None, "BadRequestError: It is of no tenant."),
        *("BackendError: TypeError: unhashable type: 'list'", None),
    ]


def test_groups_that_wait_for_rows_are_submitted_together_after_a_while(tmp_path: Path) -> None:
    llm = TenantLLM(mode="batch", batch_poll_seconds=1, batch_gather_seconds=5)
    run = run_batches(llm, ["a0", "b0", 6.0, "a1"], tmp_path)
    assert len(run.answers) == 3
    assert [filed.prompts for filed in llm.script.desk.filed] == [["a0"], ["b0"], ["a1"]]


def test_a_group_that_is_asked_for_in_the_wrong_form_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    class AsyncGroupLLM(BatchLLM):
        async def batch_group(self, request: GenerationRequest) -> str:
            return "a"

    with pytest.raises(PluginContractError, match="`batch_group` must be a plain"):
        run_batches(AsyncGroupLLM(mode="batch"), ["p0"], tmp_path)


# What becomes of entries


@pytest.mark.parametrize("fate", ["faulty", "expired", "missing"])
def test_an_entry_without_an_answer_is_submitted_again(fate: Any, tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.desk.fates = {"p1": [fate]}
    run = run_batches(llm, prompts(3), tmp_path)
    assert run.answers == echoes(3)
    assert [filed.prompts for filed in llm.script.desk.filed] == [prompts(3), ["p1"]]
    assert run.stream.stats.retries == 1


def test_an_entry_fails_its_row_when_its_attempts_are_used_up(tmp_path: Path) -> None:
    llm = batch_llm(max_attempts=2)
    llm.script.desk.fates = {"p1": ["expired", "expired"]}
    run = run_batches(llm, prompts(3), tmp_path)
    assert run.rows[1] == {"q": "p1", "error": "TransientError: It has expired."}
    assert sorted(run.answers) == ["p0", "p2"]
    assert llm.script.desk.submitted["p1"] == 2


@pytest.mark.parametrize("fate", ["refused", "cancelled"])
def test_what_the_provider_refused_or_somebody_cancelled_fails_its_row_at_once(fate: Any, tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.desk.fates = {"p1": [fate]}
    run = run_batches(llm, prompts(3), tmp_path)
    assert run.rows[1]["error"].endswith(f"It was {fate}.")
    assert llm.script.desk.submitted["p1"] == 1


def test_stragglers_are_asked_one_by_one_with_an_online_fallback(tmp_path: Path) -> None:
    llm = batch_llm(batch_fallback="online")
    llm.script.desk.fates = {"p1": ["expired"], "p2": ["missing"], "p0": ["refused"]}
    run = run_batches(llm, prompts(4), tmp_path)
    assert sorted(run.answers) == ["p1", "p2", "p3"]
    assert llm.script.online == {"p1": 1, "p2": 1}
    assert len(llm.script.desk.filed) == 1


def test_missing_entries_are_looked_for_in_a_second_reading_first(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.desk.fates = {"p1": ["missing"]}
    run_batches(llm, prompts(2), tmp_path)
    assert llm.script.readings == 3


def test_a_reading_that_breaks_off_begins_again_and_takes_no_answer_twice(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"line": deque([None, None, TransientError("The connection broke.")])}
    run = run_batches(llm, prompts(4), tmp_path)
    assert run.answers == echoes(4)
    assert_bought_once(llm, 4)
    assert stored(tmp_path, "SELECT count(*), count(DISTINCT batch) FROM calls") == [(4, 4)]


def test_a_reading_that_always_breaks_off_at_the_same_line_ends_the_run_and_what_was_read_is_kept(
    tmp_path: Path,
) -> None:
    llm = batch_llm()
    llm.script.trouble = {"line": deque([*[None] * 600, TransientError("The connection broke.")] * 20)}
    error = failed_run(llm, 700, tmp_path)
    assert (error.reason, error.batch) == ("unreachable", "batch_1")
    llm.script.trouble = {}
    assert run_batches(llm, prompts(700), tmp_path).answers == echoes(700)
    assert_bought_once(llm, 700)


def test_each_answer_is_an_ordinary_call_of_the_ledger_that_names_its_entry(tmp_path: Path) -> None:
    run_batches(batch_llm(), prompts(2), tmp_path)
    ((token, batch, status),) = stored(tmp_path, "SELECT token, batch, status FROM batches")
    assert (batch, status) == ("batch_1", "collected")
    assert stored(tmp_path, "SELECT count(*) FROM batch_entries") == [(0,)]
    calls = stored(tmp_path, "SELECT row, text, batch, attempts, input_tokens FROM calls ORDER BY row")
    assert calls == [("0", "echo: p0", f"{token}-0", 1, 1), ("1", "echo: p1", f"{token}-1", 1, 1)]


def test_counters_tell_what_was_sent_and_what_is_open(tmp_path: Path) -> None:
    stats = run_batches(batch_llm(batch_max_requests=2), prompts(5), tmp_path).stream.stats
    assert (stats.requests, stats.in_flight, stats.batches, stats.rows_done) == (5, 0, 0, 5)


# Batches that go wrong as a whole


def failed_run(llm: BatchLLM, number: int, folder: Path) -> BatchError:
    """The error that stops a run of so many prompts."""
    run = run_batches(llm, prompts(number), folder)
    assert isinstance(run.error, BatchError)
    return run.error


def test_a_batch_that_fails_as_a_whole_stops_the_run_with_the_providers_reason_and_the_rest_is_kept(
    tmp_path: Path,
) -> None:
    llm = batch_llm(batch_max_requests=2)
    llm.script.failing = {"batch_2": BadRequestError("line 1: no such model.")}
    error = failed_run(llm, 4, tmp_path)
    assert (error.reason, error.batch, error.requests) == ("failed", "batch_2", 2)
    assert "line 1: no such model." in str(error)
    llm.script.failing = {}
    assert run_batches(llm, prompts(4), tmp_path).answers == echoes(4)
    assert +llm.script.desk.answered == dict.fromkeys(prompts(4), 1)
    assert [filed.prompts for filed in llm.script.desk.filed] == [["p0", "p1"], ["p2", "p3"], ["p2", "p3"]]


def test_a_batch_that_is_not_accepted_stops_the_run_and_nothing_is_noted_as_open(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"submit": deque([BadRequestError("There is no batch API here.")])}
    error = failed_run(llm, 2, tmp_path)
    assert (error.reason, error.batch) == ("refused", None)
    assert "There is no batch API here." in str(error)
    assert 'set `mode="online"`' in str(error)
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_run_that_was_refused_a_batch_can_go_on_online(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"submit": deque([BadRequestError("There is no batch API here.")])}
    failed_run(llm, 2, tmp_path)
    assert run_batches(BatchLLM(), prompts(2), tmp_path).answers == echoes(2)


def test_a_full_queue_at_the_provider_is_waited_for_while_other_batches_are_open(tmp_path: Path) -> None:
    llm = batch_llm(batch_max_requests=2)
    llm.script.desk.polls_needed = 1
    llm.script.failing = {"batch_2": RateLimitError("Too much in the queue.")}
    run = run_batches(llm, prompts(4), tmp_path)
    assert run.answers == echoes(4)
    assert +llm.script.desk.answered == dict.fromkeys(prompts(4), 1)


def test_a_batch_that_alone_overfills_the_queue_stops_the_run(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.failing = {"batch_1": RateLimitError("Too much in the queue.")}
    assert failed_run(llm, 2, tmp_path).reason == "failed"


def test_a_refusal_for_rate_is_waited_out_before_the_batch_is_submitted_again(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"submit": deque([RateLimitError("Slow down.", retry_after=500)])}
    run = run_batches(llm, prompts(2), tmp_path)
    assert run.answers == echoes(2)
    assert llm.script.polled == [560]


def test_a_submission_whose_reply_is_lost_is_found_and_not_made_twice(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"accepted": deque([TransientError("The connection broke.")])}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_submission_that_did_not_arrive_is_made_again_after_two_searches(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"submit": deque([TransientError("No connection.")])}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_submission_that_fails_in_some_other_way_is_looked_for_before_it_is_given_up(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"accepted": deque([ValueError("the reply is no JSON")])}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_batch_that_shows_late_in_the_providers_list_is_not_submitted_twice(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"accepted": deque([TransientError("The connection broke.")])}
    llm.script.searches = deque([BatchSearch()])
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_search_that_cannot_tell_yet_is_repeated_until_it_can(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"accepted": deque([TransientError("The connection broke.")])}
    llm.script.searches = deque([BatchSearch(decided=False)] * 100)
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_faults_of_looks_are_waited_out(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"poll": deque([TransientError("502"), RateLimitError("429"), TimeoutError()])}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)


def test_a_provider_that_cannot_be_reached_for_the_deadline_stops_the_run_and_the_batch_can_be_picked_up(
    tmp_path: Path,
) -> None:
    llm = batch_llm(deadline=1000)
    llm.script.trouble = {"poll": deque([TransientError("502")] * 7)}
    error = failed_run(llm, 2, tmp_path)
    assert (error.reason, error.batch) == ("unreachable", "batch_1")
    llm.script.trouble = {}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_refused_key_stops_the_run(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"poll": deque([AuthenticationError("The key is refused.")])}
    assert isinstance(run_batches(llm, prompts(2), tmp_path).error, AuthenticationError)


def test_a_key_that_is_refused_while_a_lost_batch_is_looked_for_leaves_the_batch_to_be_found(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {
        "accepted": deque([TransientError("The connection broke.")]),
        "find": deque([AuthenticationError("The key is refused.")]),
    }
    assert isinstance(run_batches(llm, prompts(2), tmp_path).error, AuthenticationError)
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_what_a_backend_raises_beside_the_typed_errors_stops_the_run_with_its_words(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"poll": deque([KeyError("status")])}
    assert "KeyError: 'status'" in str(failed_run(llm, 2, tmp_path))


# Runs that are picked up again


def killed(llm: BatchLLM, rows: list[str], folder: Path, *, at: float, n: int = 1) -> Run:
    """A run that ends in its middle, without a word to the provider."""
    return run_batches(llm, rows, folder, kill_at=at, n=n)


def test_a_run_that_was_killed_between_two_looks_picks_its_batch_up(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.desk.polls_needed = 1
    assert killed(llm, prompts(3), tmp_path, at=100).rows == []
    run = run_batches(llm, prompts(3), tmp_path)
    assert run.answers == echoes(3)
    assert run.seconds == 0  # the first look is not waited for
    assert_bought_once(llm, 3)


def test_rows_that_no_open_batch_has_go_into_a_new_one(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, prompts(2), tmp_path, at=30)
    assert run_batches(llm, prompts(4), tmp_path).answers == echoes(4)
    assert_bought_once(llm, 4)


def test_answers_that_come_before_their_rows_are_kept_and_found(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, prompts(2), tmp_path, at=30)
    assert run_batches(llm, [50.0, *prompts(2)], tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_rows_that_have_moved_wait_for_their_own_entries(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, prompts(3), tmp_path, at=30)
    run = run_batches(llm, ["new", "p2", "p0", "p1"], tmp_path)
    assert run.answers == {**echoes(3), "new": "echo: new"}
    assert llm.script.desk.submitted == {"p0": 1, "p1": 1, "p2": 1, "new": 1}


def test_equal_prompts_in_different_rows_stay_different_entries(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, ["p0", "p0"], tmp_path, at=30)
    assert len(run_batches(llm, ["p0", "p0", "p0"], tmp_path).rows) == 3
    assert llm.script.desk.submitted == {"p0": 3}


def test_more_answers_for_each_row_than_before_buy_the_further_ones_only(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, ["p0"], tmp_path, at=30, n=2)
    run = run_batches(llm, ["p0"], tmp_path, n=3)
    assert len(run.rows) == 3
    assert [body["n"] for filed in llm.script.desk.filed for body in filed.entries.values()] == [2, 1]


def test_fewer_answers_for_each_row_than_before_buy_nothing_and_all_are_kept(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, ["p0"], tmp_path, at=30, n=3)
    assert len(run_batches(llm, ["p0"], tmp_path, n=2).rows) == 2
    assert len(llm.script.desk.filed) == 1
    assert stored(tmp_path, "SELECT count(*) FROM calls") == [(3,)]


def test_a_batch_that_was_accepted_just_before_a_kill_is_found_by_its_mark(tmp_path: Path) -> None:
    llm = batch_llm(max_attempts=1)
    llm.script.trouble = {"accepted": deque([TransientError("lost")]), "find": deque([TransientError("lost")] * 99)}
    killed(llm, prompts(2), tmp_path, at=10)
    assert stored(tmp_path, "SELECT status, batch FROM batches") == [("intended", None)]
    llm.script.trouble = {}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)


def test_a_batch_that_was_only_meant_when_the_run_was_killed_is_submitted_anew(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"submit": deque([TransientError("lost")]), "find": deque([TransientError("lost")] * 99)}
    killed(llm, prompts(2), tmp_path, at=10)
    llm.script.trouble = {}
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert_bought_once(llm, 2)
    assert stored(tmp_path, "SELECT status FROM batches ORDER BY at") == [("lost",), ("collected",)]


def test_a_run_that_was_killed_while_results_were_read_takes_the_rest(tmp_path: Path) -> None:
    llm = batch_llm()
    llm.script.trouble = {"line": deque([*[None] * 700, TransientError("broken")])}
    first = killed(llm, prompts(800), tmp_path, at=70)
    assert len(first.stream.stats.failures) == 0
    assert stored(tmp_path, "SELECT count(*) FROM calls") == [(512,)]
    run = run_batches(llm, prompts(800), tmp_path)
    assert run.answers == echoes(800)
    assert run.stream.stats.reused >= 512
    assert_bought_once(llm, 800)
    assert stored(tmp_path, "SELECT count(*), count(DISTINCT batch) FROM calls") == [(800, 800)]


def test_a_batch_whose_answers_are_all_in_the_ledger_is_not_asked_about_again(tmp_path: Path) -> None:
    llm = batch_llm()
    run_batches(llm, prompts(2), tmp_path)
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("UPDATE batches SET status = 'submitted', ended_at = NULL")
    connection.commit()
    connection.close()
    looks = len(llm.script.polled)
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert len(llm.script.polled) == looks
    assert stored(tmp_path, "SELECT status FROM batches") == [("collected",)]


def test_an_entry_that_was_left_unanswered_and_submitted_again_before_a_kill_is_not_submitted_a_third_time(
    tmp_path: Path,
) -> None:
    llm = batch_llm()
    llm.script.desk.fates = {"p1": ["expired"]}
    killed(llm, prompts(2), tmp_path, at=100)
    assert [filed.prompts for filed in llm.script.desk.filed] == [["p0", "p1"], ["p1"]]
    assert run_batches(llm, prompts(2), tmp_path).answers == echoes(2)
    assert len(llm.script.desk.filed) == 2


def test_batches_of_another_model_are_left_alone(tmp_path: Path) -> None:
    llm, other = batch_llm(), batch_llm(model="other")
    other.script.desk = llm.script.desk
    killed(llm, prompts(2), tmp_path, at=30)
    assert run_batches(other, prompts(2), tmp_path).answers == echoes(2)
    assert llm.script.desk.submitted == {"p0": 2, "p1": 2}
    statuses = stored(tmp_path, "SELECT batch, status FROM batches ORDER BY batch")
    assert statuses == [("batch_1", "submitted"), ("batch_2", "collected")]


def test_asking_one_by_one_is_refused_while_batches_are_open_that_would_be_bought_twice(tmp_path: Path) -> None:
    llm = batch_llm()
    killed(llm, prompts(2), tmp_path, at=30)
    online = BatchLLM()
    run = run_batches(online, prompts(2), tmp_path)
    assert isinstance(run.error, LedgerError)
    assert "'batch_1'" in str(run.error)
    assert 'mode="batch"' in str(run.error)
    assert not online.script.online


def test_stored_answers_can_be_read_while_batches_are_open(tmp_path: Path) -> None:
    llm = batch_llm(batch_max_requests=1, batch_max_open=1)
    llm.script.desk.polls_needed = 0
    killed(llm, prompts(2), tmp_path, at=90)
    run = run_batches(batch_llm(), prompts(2), tmp_path, ask=False)
    assert run.answers == echoes(1)
    assert run.rows[1]["error"].startswith("RowError: The ledger has no answer")


_FATES = st.lists(st.sampled_from(["faulty", "expired", "missing"]), max_size=2)
_FAULTS = st.lists(st.sampled_from([None, TransientError("lost"), RateLimitError("slow down")]), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 9),
    size=st.integers(1, 4),
    polls=st.integers(0, 3),
    kills=st.lists(st.floats(0, 700), max_size=4),
    fates=st.dictionaries(st.integers(0, 8), _FATES),
    faults=st.fixed_dictionaries(dict.fromkeys(("submit", "find", "poll", "line"), _FAULTS)),
    lost=st.lists(st.sampled_from([None, TransientError("lost")]), max_size=4),
)
def test_whenever_it_is_killed_and_whatever_fails_for_now_every_row_is_answered_once(
    number: int,
    size: int,
    polls: int,
    kills: list[float],
    fates: dict[int, list[Fate]],
    faults: dict[str, list[Exception | None]],
    lost: list[Exception | None],
) -> None:
    llm = batch_llm(batch_max_requests=size, batch_max_open=2, max_attempts=9)
    llm.script.desk.polls_needed = polls
    unanswered = {f"p{place}": len(waiting) for place, waiting in fates.items()}
    llm.script.desk.fates = {f"p{place}": list(waiting) for place, waiting in fates.items()}
    llm.script.trouble = {method: deque(waiting) for method, waiting in {**faults, "accepted": lost}.items()}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for kill in kills:
            run_batches(llm, prompts(number), folder, kill_at=kill)
        run = run_batches(llm, prompts(number), folder)
        assert (run.error, run.answers) == (None, echoes(number))
        assert +llm.script.desk.answered == dict.fromkeys(prompts(number), 1)
        expected = {prompt: 1 + unanswered.get(prompt, 0) for prompt in prompts(number)}
        assert llm.script.desk.submitted == expected
        assert stored(folder, "SELECT count(*), count(DISTINCT row) FROM calls") == [(number, number)]
        assert stored(folder, "SELECT count(*) FROM batches WHERE ended_at IS NULL") == [(0,)]


# What it needs, and what it does not change


def test_a_batch_without_a_run_directory_is_refused() -> None:
    llm = batch_llm()
    run = run_batches(llm, prompts(2), None)
    assert isinstance(run.error, ConfigurationError)
    assert "`run_dir=`" in str(run.error)
    assert not llm.script.desk.filed


def test_batch_mode_is_refused_for_a_backend_whose_provider_has_no_batches() -> None:
    with pytest.raises(ConfigurationError, match=r"`EchoLLM` has no provider batches"):
        EchoLLM(mode="batch")


def test_a_class_of_its_own_that_lacks_methods_of_the_batch_api_is_refused_with_their_names(tmp_path: Path) -> None:
    class Gateway:
        model_name = "m"
        mode = "batch"

        async def agenerate(self, request: Any) -> Any: ...

        def submit_batch(self, entries: Any, intent: Any) -> Any: ...

    with pytest.raises(PluginContractError) as caught:
        run_batches(Gateway(), prompts(1), tmp_path)  # type: ignore[arg-type]  # a class of somebody's own
    assert "`submit_batch` must be `async def`" in caught.value.faults
    assert "it must define `poll_batch(self, id)`" in caught.value.faults
    assert "it must have `batch_limits`" in caught.value.faults


def test_the_mode_is_no_part_of_what_identifies_an_answer(tmp_path: Path) -> None:
    llm = batch_llm(batch_fallback="online", batch_max_requests=3, batch_max_open=2)
    assert identity_of(llm) == identity_of(BatchLLM())
    run_batches(llm, prompts(2), tmp_path)
    online = BatchLLM()
    assert run_batches(online, prompts(2), tmp_path).answers == echoes(2)
    assert not online.script.online
