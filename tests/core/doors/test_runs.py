"""`limbeck.runs`, as a program uses it that lists, reads, resumes, explains, cancels and begins runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from limbeck import Pipeline, hookimpl, register_llm, runs
from limbeck._registry.registry import default_registry
from limbeck.errors import BadRequestError, ConfigurationError, LedgerError, LimbeckError, LimbeckWarning
from limbeck.recipes import RunSettings
from limbeck.runs import Rerun, Run, find_run, fresh_path, list_runs, start, task_of
from limbeck.testing import EchoLLM
from limbeck.types import GenerationRequest, GenerationResponse

FILE = """
name: capitals
input:
- {question: Spain}
- {question: bad Peru}
steps:
- {task: ask, llm: paid/m}
"""


class PaidLLM(EchoLLM):
    """Echoes, and counts what it is asked; refuses what begins with `bad` until it is mended."""

    asked: ClassVar[list[str]] = []
    mended: ClassVar[bool] = False

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        text = str(request.messages[-1].get("content"))
        self.asked.append(text)
        if text.startswith("bad") and not self.mended:
            raise BadRequestError("The question was refused.")
        return await super().agenerate(request)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory, a model and a task."""
    from limbeck import register_task, task

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_registry(), "_local", {})
    monkeypatch.setattr(PaidLLM, "asked", [])

    @task(inputs=["question"], outputs=["answer"])
    def ask(row: dict[str, Any]) -> str:
        return str(row["question"])

    register_task("ask", ask)
    register_llm("paid", PaidLLM)


def run_once(run_dir: str = "runs/first") -> Run:
    Pipeline.from_yaml(FILE).run(run_dir=run_dir)
    return Run(run_dir)


# Listing and finding


def test_the_runs_of_a_folder_are_listed_the_latest_first() -> None:
    run_once()
    (summary,) = list_runs()
    assert (summary.run, summary.pipeline, summary.state) == ("runs/first", "capitals", "finished")
    assert (summary.rows, summary.failed, summary.answers) == (2, 1, None)
    assert find_run("first").summary() == summary


def test_a_folder_without_runs_has_none() -> None:
    Path("runs/empty").mkdir(parents=True)
    Path("runs/a-file").write_text("", encoding="utf-8")
    assert (list_runs(), list_runs("nowhere")) == ([], [])


@pytest.mark.parametrize("named", ["first", "runs/first", Path("runs/first")])
def test_a_run_is_found_by_its_path_and_by_its_name(named: str | Path) -> None:
    run_once()
    assert find_run(named).path == Path("runs/first")


def test_what_is_no_run_is_an_error_that_says_what_was_looked_for() -> None:
    Path("runs/empty").mkdir(parents=True)
    with pytest.raises(
        ConfigurationError, match="There is no run directory 'nowhere', and none of that name in 'runs'"
    ):
        find_run("nowhere")
    with pytest.raises(ConfigurationError, match="There is no run in 'empty'"):
        find_run("empty")


@pytest.mark.parametrize("path", ["", "  ", "redis://host/1"])
def test_what_can_be_no_directory_is_refused_before_anything_is_read(path: str) -> None:
    with pytest.raises(ConfigurationError, match="`run_dir` is"):
        Run(path)


def test_a_fresh_path_is_below_the_working_directory_and_nobody_elses() -> None:
    first, second = fresh_path("My run/2"), fresh_path("My run/2")
    assert Path(first).parent == Path("runs")
    assert first != second
    assert not Path("runs").exists()


# Reading


def test_what_a_run_noted_and_yielded_can_be_read() -> None:
    run = run_once()
    assert run.note()["name"] == "capitals"
    assert [step["rows_failed"] for step in run.report()["steps"]] == [0, 1]
    assert run.state().state == "finished"
    assert run.ledger.is_file()
    assert run.failed_rows.is_file()


def test_of_a_directory_that_is_not_there_nothing_is_known() -> None:
    run = Run("nowhere")
    assert (run.note(), run.report(), run.state().state) == ({}, {}, "unfinished")
    assert not run.failed_rows.exists()
    with pytest.raises(ConfigurationError, match=r"'nowhere' is no run directory: it has no run\.json"):
        run.config()
    with pytest.raises(LedgerError, match="There is no ledger in 'nowhere'"):
        list(run.cancel())


def test_a_note_that_cannot_be_read_hides_nothing_but_itself() -> None:
    run = run_once()
    (run.path / "run.json").write_text("{", encoding="utf-8")
    assert (run.note(), run.state().state) == ({}, "finished")
    with pytest.raises(ConfigurationError, match=r"'runs/first/run\.json' cannot be read"):
        run.pipeline()


def test_a_run_from_python_has_no_configuration_and_says_how_to_go_on() -> None:
    from limbeck.testing import ScriptedLLM

    pipeline = Pipeline.from_yaml(FILE)
    Pipeline([{"question": "?"}], type(pipeline.steps["ask"])(llm=ScriptedLLM(script=["yes"]))).run(run_dir="kept")
    with pytest.raises(ConfigurationError, match="run the same pipeline with `run_dir='kept'`"):
        Run("kept").config()


# Going on


def test_a_run_is_resumed_and_only_what_failed_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_once()
    monkeypatch.setattr(PaidLLM, "mended", True)
    result = run.resume()
    assert [row["answer"] for row in result.to_list()] == ["Spain", "bad Peru"]
    assert PaidLLM.asked == ["Spain", "bad Peru", "bad Peru"]


def test_a_run_is_resumed_with_settings_and_observers() -> None:
    seen = []

    class Watcher:
        @hookimpl
        def limbeck_run_finished(self, run: Any) -> None:
            seen.append(run.task)

    run = run_once()
    with pytest.warns(LimbeckWarning, match="num_generations: 1 -> 2"):
        result = run.resume(["steps.ask.num_generations=2"], observers=[Watcher()])
    assert len(result.to_list()) == 4
    assert "ask" in seen


def test_the_pipeline_of_a_run_is_made_again_with_settings_on_top() -> None:
    pipeline = run_once().pipeline(["steps.ask.num_generations=3"])
    assert task_of(pipeline).num_generations == 3
    with pytest.raises(ConfigurationError, match="no task 'asl'"):
        task_of(pipeline, "asl")


def test_a_row_is_explained_with_what_settings_would_change() -> None:
    run = run_once()
    assert run.explain("0").found
    assert "temperature" in str(run.explain("0", settings=["steps.ask.llm.temperature=1"]))
    refused = run.explain("1")
    assert not refused.found or refused.failure is not None
    with pytest.raises(LimbeckError, match="has no row '7'"):
        run.explain("7")


def test_without_open_batches_nobody_is_asked_to_end_one() -> None:
    assert list(run_once().cancel()) == []


# Beginning, and running something in it


def test_a_run_begins_with_a_handle_and_takes_stored_answers_only_where_it_is_told_to() -> None:
    run = run_once()
    Path("twice.yaml").write_text(FILE.replace("- {question: bad Peru}\n", ""), encoding="utf-8")
    pipeline = Pipeline.from_yaml("twice.yaml")
    with start(pipeline, run_dir=run.path, ask=False) as stream:
        assert [row["answer"] for row in stream.wait().to_list()] == ["Spain"]
    assert PaidLLM.asked == ["Spain", "bad Peru"]


def test_a_run_that_begins_without_a_directory_keeps_none() -> None:
    pipeline = Pipeline.from_yaml(FILE + "- {step: save-to-jsonl, path: out.jsonl}\n")
    with start(pipeline, settings=RunSettings(max_failed=5)) as stream:
        stream.wait()
    assert [path.name for path in Path().iterdir()] == ["out.jsonl"]


def test_rows_that_would_go_nowhere_are_told_before_anything_is_asked() -> None:
    with pytest.raises(ConfigurationError, match="Nothing takes the rows of 'ask', and there is no run directory"):
        start(Pipeline.from_yaml(FILE))
    assert PaidLLM.asked == []


def test_a_run_that_is_stopped_ends_and_goes_on_from_its_directory() -> None:
    with start(Pipeline.from_yaml(FILE), run_dir="kept") as stream:
        stream.stop()
        stream.wait()
    assert len(Run("kept").resume().to_list()) == 2


def test_some_answers_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_once()
    monkeypatch.setattr(PaidLLM, "mended", True)
    with start(run.pipeline(), run_dir=run.path, rerun=Rerun("failed")) as stream:
        assert [row["answer"] for row in stream.wait().to_list()] == ["Spain", "bad Peru"]


def test_a_directory_that_is_held_is_running_for_everybody_else() -> None:
    run = Run("kept")
    with run.hold():
        run.note_command("limbeck run capitals.yaml")
        program = "from limbeck.runs import Run; run = Run('kept'); print(run.state().state)\nwith run.hold(): pass"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "running"
        assert "Another process is running in" in done.stderr
    assert run.note()["command"] == "limbeck run capitals.yaml"


def test_what_a_run_made_that_did_nothing_is_discarded_and_what_others_put_there_is_kept() -> None:
    for name in ("empty", "used"):
        with Run(name).hold():
            pass
    Path("used/notes.txt").write_text("mine", encoding="utf-8")
    Run("empty").discard()
    Run("used").discard()
    assert [path.as_posix() for path in sorted(Path().rglob("*"))] == ["used", "used/notes.txt"]


def test_an_output_is_known_by_the_run_that_made_it() -> None:
    text = FILE + "- {step: save-to-jsonl, path: out.jsonl}\n"
    Pipeline.from_yaml(text).run(run_dir="kept")
    assert Run("kept").made(str(Path("out.jsonl").absolute()))
    assert not Run("kept").made(str(Path("other.jsonl").absolute()))


# The door


def test_reading_runs_needs_neither_pydantic_nor_asyncio() -> None:
    run_once()
    program = (
        "import sys; from limbeck.runs import find_run, list_runs; list_runs();"
        "print(find_run('first').state().state, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    state, *modules = done.stdout.split()
    assert state == "finished"
    assert set(modules).isdisjoint({"pydantic", "asyncio", "yaml", "limbeck._engine.ledger.ledger"})


def test_every_name_of_the_door_is_there() -> None:
    assert [name for name in runs.__all__ if not hasattr(runs, name)] == []
    assert set(runs.__all__) <= set(dir(runs))
