"""Batch runs that are killed at their worst moments, and what the provider is asked for after that."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.anthropic_batches import anthropic_batch_server
from support.command import limbeck, read_rows, start, write_rows
from support.openai_batches import openai_batch_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.batch_desk import BatchDesk

pytestmark = pytest.mark.workspace

TESTS = Path(__file__).parents[1]
ROWS = 700  # more than are committed together
PATIENCE = 60

PROGRAM = """
import json, sys
from limbeck import get_llm
from support.questions import Ask, questions

provider, url, folder, number, fields = sys.argv[1:]
fields = {"mode": "batch", "batch_poll_seconds": 0.02, **json.loads(fields)}
step = fields.pop("step", "ask")
llm = get_llm(provider)(model="m", base_url=url, api_key="k", **fields)
for row in Ask(name=step, llm=llm).run(questions(int(number)), run_dir=folder):
    print(json.dumps(row))
"""


@dataclass
class Scene:
    """A provider, its batches, and a run directory."""

    provider: str
    url: str
    desk: BatchDesk
    folder: Path

    def start(self, **fields: Any) -> subprocess.Popen[str]:
        """Start the run, in a process of its own. `fields` are the LLM's, and `step`, the task's name."""
        command = [sys.executable, "-c", PROGRAM, self.provider, self.url, str(self.folder), str(ROWS)]
        return subprocess.Popen(
            [*command, json.dumps(fields)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )

    def rows(self, **fields: Any) -> list[dict[str, Any]]:
        """What a whole run gives."""
        process = self.start(**fields)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]

    @contextmanager
    def killed(self, **fields: Any) -> Iterator[None]:
        """A run that is killed when the block ends."""
        process = self.start(**fields)
        try:
            yield
            assert process.poll() is None, process.communicate()
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=PATIENCE)

    def calls(self) -> tuple[int, int]:
        """Answers in the ledger, and different rows among them."""
        connection = sqlite3.connect(self.folder / "ledger.sqlite")
        try:
            return tuple(connection.execute("SELECT count(*), count(DISTINCT row) FROM answers").fetchone())
        finally:
            connection.close()


@pytest.fixture(params=["openai", "anthropic"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """Each provider in turn."""
    serve: Any = openai_batch_server if request.param == "openai" else anthropic_batch_server
    with serve() as (server, desk):
        yield Scene(request.param, server.url, desk, tmp_path / "run")


def assert_all_were_bought_once(scene: Scene, rows: list[dict[str, Any]]) -> None:
    """Fail unless each row has its own answer, and was submitted, answered and stored once."""
    assert [(row["question"], row["answer"]) for row in rows] == [(str(n), f"echo: {n}") for n in range(ROWS)]
    assert len(scene.desk.filed) == 1
    assert set(scene.desk.submitted.values()) == {1}
    assert +scene.desk.answered == dict.fromkeys(map(str, range(ROWS)), 1)
    assert scene.calls() == (ROWS, ROWS)


def test_a_run_killed_after_its_batch_was_accepted_and_before_it_heard_so_finds_the_batch(scene: Scene) -> None:
    scene.desk.holds_reply = True
    with scene.killed():
        scene.desk.wait_until(lambda: len(scene.desk.filed) == 1)
    scene.desk.holds_reply = False
    assert_all_were_bought_once(scene, scene.rows())


def test_a_run_killed_between_two_looks_at_its_batch_picks_it_up(scene: Scene) -> None:
    scene.desk.polls_needed = 1_000_000
    with scene.killed():
        scene.desk.wait_until(lambda: scene.desk.polls >= 2)
    scene.desk.polls_needed = 0
    assert_all_were_bought_once(scene, scene.rows())


def test_a_run_killed_while_results_are_read_takes_the_rest(scene: Scene) -> None:
    scene.desk.holds_results_after = 600
    with scene.killed():
        scene.desk.wait_until(lambda: scene.desk.lines_sent >= 600)
    scene.desk.holds_results_after = None
    assert_all_were_bought_once(scene, scene.rows())


def test_a_run_killed_three_times_at_all_these_moments_buys_once(scene: Scene) -> None:
    desk = scene.desk
    desk.holds_reply, desk.polls_needed, desk.holds_results_after = True, 1_000_000, 600
    with scene.killed():
        desk.wait_until(lambda: len(desk.filed) == 1)
    desk.holds_reply = False
    seen = desk.polls
    with scene.killed():
        desk.wait_until(lambda: desk.polls >= seen + 2)
    desk.polls_needed = 0
    with scene.killed():
        desk.wait_until(lambda: desk.lines_sent >= 600)
    desk.holds_results_after = None
    assert_all_were_bought_once(scene, scene.rows())


def test_shuffled_results_with_failed_expired_and_missing_lines_reach_the_right_rows_through_a_kill(
    scene: Scene,
) -> None:
    desk = scene.desk
    desk.fates = {"3": ["faulty"], "5": ["expired"], "7": ["missing"], "11": ["refused"] * 2}
    desk.holds_results_after = 600
    with scene.killed():
        desk.wait_until(lambda: desk.lines_sent >= 600)
    desk.holds_results_after = None
    rows = scene.rows()
    answers = {row["question"]: row["answer"] for row in rows}
    assert [row["question"] for row in rows] == [str(number) for number in range(ROWS)]
    assert answers.pop("11") is None
    assert answers == {question: f"echo: {question}" for question in answers}
    assert set((+desk.answered).values()) == {1}
    again = {prompt for prompt, times in desk.submitted.items() if times > 1}
    assert again == {"3", "5", "7"}


@pytest.mark.parametrize("scene", ["openai"], indirect=True)  # Anthropic knows no such end
def test_a_batch_that_fails_as_a_whole_ends_the_run_with_the_reason_and_the_next_run_goes_on(scene: Scene) -> None:
    scene.desk.fails_whole = ("invalid_model", "The model `m` is not there for batches.")
    process = scene.start()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "BatchError: The batch 'batch_2' of 700 requests of step 'ask' failed as a whole" in err
    assert "The model `m` is not there for batches." in err
    scene.desk.fails_whole = None
    scene.desk.filed.clear()
    assert_all_were_bought_once(scene, scene.rows())


@pytest.mark.parametrize("scene", ["anthropic"], indirect=True)  # where a batch ends with what became of each entry
def test_a_batch_of_which_nothing_is_accepted_stops_the_run_with_the_reason_and_the_next_run_goes_on(
    scene: Scene,
) -> None:
    scene.desk.fates = {str(number): ["refused"] for number in range(ROWS)}
    process = scene.start()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "BreakerError: 50 generations in a row failed" in err
    assert "This request is refused" in err
    assert scene.calls() == (0, 0)
    scene.desk.filed.clear()
    assert_all_were_bought_once(scene, scene.rows())


def keys(scene: Scene) -> dict[str, str]:
    """The variables in which the provider's key is looked for."""
    return {f"{scene.provider.upper()}_API_KEY": "k"}


def leave_open(scene: Scene, **fields: Any) -> None:
    """Kill a run that waits for its batch, which does not end."""
    scene.desk.polls_needed = 1_000_000
    with scene.killed(**fields):
        scene.desk.wait_until(lambda: scene.desk.polls >= 2)


def test_the_command_cancels_what_a_run_left_open_and_the_next_runs_read_it_and_ask_again(scene: Scene) -> None:
    leave_open(scene)
    done = limbeck("cancel", str(scene.folder), env=keys(scene))
    assert (done.returncode, done.stdout) == (
        0,
        f"ask: {scene.desk.filed[0].id} of 700 requests: its end was asked for\n",
    )
    assert "The rows that were cancelled fail then" in done.stderr
    assert scene.desk.filed[0].cancelled
    _, err = scene.start().communicate(timeout=PATIENCE)
    assert "BreakerError: 50 generations in a row failed" in err
    scene.desk.polls_needed = 0
    scene.desk.filed.clear()
    assert "No batch is open in" in limbeck("cancel", str(scene.folder), env=keys(scene)).stderr
    assert_all_were_bought_once(scene, scene.rows())


def test_a_batch_that_cannot_be_cancelled_is_told_with_the_reason(scene: Scene) -> None:
    leave_open(scene)
    scene.desk.closed = True
    done = limbeck("cancel", str(scene.folder), env=keys(scene))
    assert done.returncode == 1
    assert f"ask: {scene.desk.filed[0].id} of 700 requests: not cancelled: " in done.stdout


def test_a_provider_that_lacks_its_key_keeps_no_other_from_ending_its_batches(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with anthropic_batch_server() as (anthropic, lacking), openai_batch_server() as (openai, having):
        leave_open(Scene("anthropic", anthropic.url, lacking, folder), step="first")
        leave_open(Scene("openai", openai.url, having, folder), step="second")
        done = limbeck("cancel", str(folder), env={"OPENAI_API_KEY": "k"})
    first, second = done.stdout.splitlines()
    assert (done.returncode, lacking.filed[0].cancelled, having.filed[0].cancelled) == (1, False, True)
    assert re.fullmatch(r"first: \S+ of 700 requests: not cancelled: .*`ANTHROPIC_API_KEY`.*", first)
    assert second == f"second: {having.filed[0].id} of 700 requests: its end was asked for"


def test_stragglers_are_finished_online(scene: Scene) -> None:
    scene.desk.fates = {"5": ["expired"], "7": ["missing"]}
    rows = scene.rows(batch_fallback="online")
    assert all(row["answer"] is not None for row in rows)
    assert len(scene.desk.filed) == 1


def test_a_server_without_a_batch_api_ends_the_run_with_the_remedy_and_it_goes_on_online(scene: Scene) -> None:
    scene.desk.closed = True
    process = scene.start()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "answered 404" in err
    assert 'set `mode="online"`' in err
    scene.desk.closed = False
    assert_all_were_bought_once(scene, scene.rows())


def test_the_command_asks_in_batches_where_it_is_told_to(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"{number}"} for number in range(20)))
    command = ["generate", "-m", "openai/m", "--batch", "--set", "llm.batch_poll_seconds=0.02", "-i", rows, "--quiet"]
    with openai_batch_server() as (server, desk):
        variables = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "k"}
        kept = ["--run-dir", str(tmp_path / "run"), "-o", str(tmp_path / "out.jsonl")]
        assert start(*command, *kept, env=variables).wait(PATIENCE) == 0
    assert [row["generation"] for row in read_rows(tmp_path / "out.jsonl")] == [
        f"echo: {number}" for number in range(20)
    ]
    assert (len(desk.filed), desk.submitted.total()) == (1, 20)


def test_a_run_of_the_command_is_cancelled_by_its_name_as_its_own_configuration_says(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"{number}"} for number in range(20)))
    command = ["generate", "-m", "openai/m", "--batch", "--set", "llm.batch_poll_seconds=0.02", "-i", rows, "--quiet"]
    with openai_batch_server() as (server, desk):
        variables = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "k"}
        desk.polls_needed = 1_000_000
        run = start(*command, "--run-dir", "runs/squares", "-o", "out.jsonl", env=variables, cwd=tmp_path)
        desk.wait_until(lambda: desk.polls >= 2)
        run.kill()
        run.wait()
        Path(rows).unlink()  # what is read there is all one
        elsewhere = limbeck("cancel", "squares", env={"OPENAI_API_KEY": "k"}, cwd=tmp_path)
        assert (elsewhere.returncode, desk.filed[0].cancelled) == (1, False)
        assert f"it is of 'm' at {server.url}" in elsewhere.stdout
        assert limbeck("cancel", "squares", env=variables, cwd=tmp_path).returncode == 0
    assert desk.filed[0].cancelled


def test_cancelling_where_there_is_no_run_says_so(tmp_path: Path) -> None:
    done = limbeck("cancel", "nowhere", cwd=tmp_path)
    assert (done.returncode, "There is no ledger in 'nowhere'." in done.stderr) == (1, True)


def test_a_backend_without_batches_says_so() -> None:
    done = limbeck("generate", "-m", "offline", "--batch", stdin='{"instruction": "Why?"}\n')
    assert done.returncode == 1
    assert "`OfflineLLM` has no provider batches" in done.stderr
