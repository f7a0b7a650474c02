"""`limbeck resume RUN` goes on from what the run's directory says, and `limbeck runs` lists the directories."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from limbeck import Pipeline
from limbeck._engine.ledger.ledger import release_ledger, shared_ledger
from limbeck.errors import FailureLimitError
from limbeck.tasks import TextGeneration
from limbeck.testing import EchoLLM
from support.command import environment, invoke, limbeck, read_rows, start, write_rows
from support.openai_server import answer, openai_server
from support.provider_server import Asked as Request
from support.provider_server import Reply, hang
from support.questions import Ask, questions

from .conftest import Asked

FILE = """
name: kept
input: rows.jsonl
output: out.jsonl
steps:
  - {task: text-generation, name: first, llm: paid/m}
  - {task: text-generation, name: second, llm: paid/m, output_mappings: {generation: more}}
"""


def begin(text: str = FILE, *, rows: int = 3, prompt: str = "question") -> None:
    Path("p.yaml").write_text(text)
    write_rows(Path("rows.jsonl"), [{"instruction": f"{prompt} {number}"} for number in range(rows)])
    invoke("run", "p.yaml", "--run-dir", "run")


def note() -> dict[str, object]:
    noted = json.loads(Path("run", "run.json").read_text())
    assert isinstance(noted, dict)
    return noted


# Resume


def test_a_run_is_resumed_from_its_directory_alone_and_nothing_is_asked_again(asked: Asked) -> None:
    begin()
    written = Path("out.jsonl").read_bytes()
    Path("p.yaml").unlink()
    Path("out.jsonl").unlink()
    result = invoke("resume", "run")
    assert result.exit_code == 0
    assert Path("out.jsonl").read_bytes() == written
    assert len(asked.prompts) == 6
    assert "6 answers from the ledger" in result.stderr
    assert "To go on from there: limbeck resume run\n" in result.stderr


def test_it_may_be_resumed_from_anywhere(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert invoke("resume", str(tmp_path / "run")).exit_code == 0
    assert len(asked.prompts) == 6
    assert list(elsewhere.iterdir()) == []


def test_what_is_set_on_top_is_asked_anew_and_stays_set(asked: Asked) -> None:
    begin()
    asked.prompts.clear()
    with pytest.warns(UserWarning, match="has changed since"):
        result = invoke("resume", "run", "--set", "steps.second.llm.model=other")
    assert result.exit_code == 0
    assert len(asked.prompts) == 3
    assert "model: other" in Pipeline.from_dict(note()["config"]).to_yaml()  # type: ignore[arg-type]  # a mapping


@pytest.mark.usefixtures("asked")
def test_a_run_in_runs_is_resumed_by_its_name() -> None:
    Path("p.yaml").write_text(FILE)
    write_rows(Path("rows.jsonl"), [{"instruction": "a"}])
    assert invoke("run", "p.yaml").exit_code == 0
    (directory,) = Path("runs").iterdir()
    result = invoke("resume", directory.name)
    assert "2 answers from the ledger" in result.stderr
    assert f"To go on from there: limbeck resume {directory.name}\n" in result.stderr
    assert list(Path("runs").iterdir()) == [directory]


@pytest.mark.usefixtures("asked")
def test_the_command_that_began_it_stays_noted() -> None:
    begin()
    before = note()["command"]
    invoke("resume", "run")
    assert note()["command"] == before == "limbeck run p.yaml --run-dir run"


@pytest.mark.usefixtures("asked")
def test_a_run_of_generate_can_be_resumed_too() -> None:
    write_rows(Path("rows.jsonl"), [{"instruction": "a"}])
    assert invoke("generate", "-m", "paid/m", "-i", "rows.jsonl", "-o", "o.jsonl", "--run-dir", "run").exit_code == 0
    assert "1 answer from the ledger" in invoke("resume", "run").stderr


def test_a_value_from_the_environment_is_not_in_the_directory_and_is_looked_up_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    begin(FILE.replace("llm: paid/m,", "llm: {provider: paid/m, api_key: '${env:MY_KEY}'},", 1))
    for path in Path("run").glob("*.json"):
        assert "sk-very-secret" not in path.read_text()
    assert invoke("resume", "run").exit_code == 0
    assert [llm.api_key for llm in asked.built if llm.api_key] == [SecretStr("sk-very-secret")] * 2
    monkeypatch.delenv("MY_KEY")
    result = invoke("resume", "run")
    assert result.exit_code == 1
    assert "the environment variable `MY_KEY` is not set" in result.stderr


@pytest.mark.usefixtures("asked")
def test_a_secret_in_the_file_leaves_no_configuration_and_the_command_is_told_instead() -> None:
    begin(FILE.replace("llm: paid/m,", "llm: {provider: paid/m, base_url: 'http://me:sk-secret@host'},", 1))
    assert "sk-secret" not in Path("run", "run.json").read_text()
    result = invoke("resume", "run")
    assert result.exit_code == 1
    assert "has no configuration to go on from; run its command again: limbeck run p.yaml" in result.stderr


def test_a_run_that_was_started_from_python_is_resumed_there() -> None:
    Pipeline([{"instruction": "a"}], TextGeneration(llm="offline")).run(run_dir="run")
    result = invoke("resume", "run")
    assert result.exit_code == 1
    assert "it was started from Python, so go on there: run the same pipeline with `run_dir='run'`" in result.stderr


def test_what_is_no_run_directory_is_told() -> None:
    result = invoke("resume", "none")
    assert result.exit_code == 1
    assert "'none' is no run directory: it has no run.json. `limbeck runs` lists those that there are." in result.stderr


def test_an_interrupted_run_is_resumed_and_buys_nothing_twice(tmp_path: Path) -> None:
    waiting = threading.Event()

    async def never_answered(asked: Request) -> Reply:
        waiting.set()
        return await hang(asked)

    with openai_server(answer(), answer(), never_answered) as server:
        llm = f"{{provider: openai/m, base_url: '{server.url}', max_concurrency: 1, api_key: '${{env:MY_KEY}}'}}"
        Path("p.yaml").write_text(FILE.replace("paid/m", llm))
        write_rows(Path("rows.jsonl"), [{"instruction": f"question {number}"} for number in range(3)])
        process = start("run", "p.yaml", "--run-dir", "run", env={"MY_KEY": "sk-x"}, stderr=subprocess.PIPE)
        assert waiting.wait(60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert "unfinished" in limbeck("runs", ".").stdout
        done = limbeck("resume", "run", env={"MY_KEY": "sk-x"})
        assert server.answers == 6
    assert done.returncode == 0
    assert [row["instruction"] for row in read_rows(tmp_path / "out.jsonl")] == [f"question {n}" for n in range(3)]


# The list


@pytest.mark.usefixtures("asked")
def test_runs_are_listed_with_their_state_their_rows_and_their_failures() -> None:
    write_rows(Path("rows.jsonl"), [{"instruction": "good"}, {"instruction": "bad"}])
    arguments = ["generate", "-m", "paid/m", "-i", "rows.jsonl"]
    assert invoke(*arguments, "-o", "a.jsonl", "--run-dir", "runs/a").exit_code == 3
    assert invoke(*arguments, "-o", "b.jsonl", "--run-dir", "runs/b", "--max-failed", "0").exit_code == 5
    listed = {each["run"]: each for each in json.loads(invoke("runs", "--json").stdout)}
    assert listed["runs/a"] == {
        "run": "runs/a", "pipeline": "text-generation", "state": "finished", "rows": 2, "failed": 1,
        "answers": None, "started": listed["runs/a"]["started"],
    }  # fmt: skip
    assert (listed["runs/b"]["state"], listed["runs/b"]["failed"]) == ("stopped", 1)
    shown = invoke("runs").stdout
    assert re.search(r"^runs/a +text-generation +finished +2 +1 +20\d\d-", shown, re.MULTILINE)


KILLED = """
import os, signal, sys
from limbeck import Pipeline
from support.questions import Ask, GatedLLM, prompt_of, questions, response

class Partly(GatedLLM):
    async def agenerate(self, request):
        return response("x") if int(prompt_of(request)) < 7 else await super().agenerate(request)

folder, kind = sys.argv[1:]
task = Ask(llm=Partly())
if kind == "task":
    stream = task.run(questions(12), run_dir=folder)
else:
    stream = Pipeline(questions(12), task, name="asked").stream(run_dir=folder)
for _ in range(7):
    next(stream)  # a row is given once its answer is on disk
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("kind", "pipeline"), [("task", None), ("pipeline", "asked")])
def test_a_run_that_was_killed_is_listed_as_unfinished_with_the_answers_that_it_has(
    kind: str, pipeline: str | None
) -> None:
    tests = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "runs/killed", kind],
        env=environment(PYTHONPATH=tests),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (listed,) = json.loads(invoke("runs", "--json").stdout)
    assert (listed["pipeline"], listed["state"], listed["answers"]) == (pipeline, "unfinished", 7)


def test_a_tasks_own_run_is_listed_with_how_it_ended() -> None:
    list(Ask(llm=EchoLLM()).run([*questions(3), {}], run_dir="runs/done"))
    with pytest.raises(FailureLimitError):
        list(Ask(llm=EchoLLM()).run([{}, *questions(3)], run_dir="runs/stopped", max_failed=0))
    listed = {each["run"]: each for each in json.loads(invoke("runs", "--json").stdout)}
    assert [(each["state"], each["rows"], each["failed"]) for _, each in sorted(listed.items())] == [
        ("finished", 4, 1),
        ("stopped", 1, 1),
    ]


def test_a_run_on_a_read_only_disk_is_listed_as_it_stands() -> None:
    list(Ask(llm=EchoLLM()).run(questions(3), run_dir="runs/done"))
    Path("runs/done/ledger.sqlite-shm").mkdir()  # so that root too can make no file there
    (listed,) = json.loads(invoke("runs", "--json").stdout)
    assert (listed["state"], listed["rows"], listed["failed"]) == ("finished", 3, 0)


@pytest.mark.usefixtures("asked")
def test_a_directory_in_which_a_process_runs_is_listed_as_running() -> None:
    begin()
    ledger = shared_ledger("run")
    try:
        assert limbeck("runs", ".", "--json").stdout.count('"state": "running"') == 1
    finally:
        release_ledger(ledger)
    assert '"state": "finished"' in limbeck("runs", ".", "--json").stdout


@pytest.mark.usefixtures("asked")
def test_a_directory_that_cannot_be_read_does_not_hide_the_others() -> None:
    begin()
    Path("broken").mkdir()
    Path("broken", "run.json").write_text("{")
    listed = {each["run"]: each["state"] for each in json.loads(invoke("runs", ".", "--json").stdout)}
    assert listed == {"run": "finished", "broken": "unfinished"}


def test_that_there_are_none_is_said() -> None:
    result = invoke("runs")
    assert result.exit_code == 0
    assert "There are no run directories in 'runs'." in result.stderr
    assert json.loads(invoke("runs", "--json").stdout) == []


# Provider batches


def test_a_change_of_a_run_that_has_no_configuration_is_refused_where_its_batches_are_cancelled() -> None:
    list(Ask(llm=EchoLLM()).run(questions(1), run_dir="run"))
    result = invoke("cancel", "run", "--set", "steps.ask.llm.base_url=http://other")
    assert result.exit_code == 1
    assert "`--set` changes a run's configuration, and 'run' has none. Leave it out" in result.stderr


@pytest.mark.parametrize("text", ["[" * 5_000 + "]" * 5_000, '{"config": ' * 5_000, "\0", "[[1]]"])
def test_a_note_that_cannot_be_read_is_told_with_its_path(text: str) -> None:
    Path("R").mkdir()
    Path("R/run.json").write_text(text)
    write_rows(Path("rows.jsonl"), [{"instruction": "a"}])
    for command in (["resume", "R"], ["cancel", "R"], ["explain", "R", "0"]):
        result = invoke(*command)
        assert result.exit_code == 1
        assert "error: " in result.stderr
        assert "not expected" not in result.stderr
        assert "R/run.json" in result.stderr or command[0] == "cancel"
    told = invoke("generate", "-m", "offline", "-i", "rows.jsonl", "--run-dir", "R").stderr
    assert "has had a ledger" in told  # which is told before what else is wrong there
