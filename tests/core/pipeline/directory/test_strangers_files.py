"""A sink replaces what this run directory has made, and no other file unless it is told to."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Sink
from limbeck.errors import AuthenticationError, ConfigurationError, LimbeckError
from limbeck.steps import SaveToCsv, SaveToFiles, SaveToJsonl
from limbeck.testing import ScriptedLLM

from ..flows import Mark, SayingLLM, say

if TYPE_CHECKING:
    from limbeck.types import Row

pytestmark = pytest.mark.filterwarnings("ignore:The configuration of step")  # another LLM is in the second run

ROWS: list[Row] = [{"text": "t0"}, {"text": "t1"}]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(name: str = "out.jsonl", *, llm: Any = None, run_dir: str = "kept", **options: Any) -> Any:
    return Pipeline(ROWS, say("a", llm=llm or SayingLLM()), SaveToFiles(path=name)).run(run_dir=run_dir, **options)


def precious(name: str = "out.jsonl") -> Path:
    path = Path(name)
    path.write_text("precious\n")
    return path


def refusing() -> Any:
    return ScriptedLLM(script=lambda _: AuthenticationError("no"))


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.jsonl.gz", "out.json"])
def test_a_file_that_was_put_where_a_failed_run_made_none_is_kept(name: str) -> None:
    with pytest.raises(AuthenticationError):
        run(name, llm=refusing())
    path = precious(name)
    with pytest.raises(ConfigurationError, match=f"'{name}' exists"):
        run(name)
    assert path.read_text() == "precious\n"
    run(name, overwrite=True)
    assert path.read_bytes() != b"precious\n"


def test_what_the_run_directory_made_is_made_again_and_what_took_its_place_is_kept() -> None:
    run()
    made = Path("out.jsonl").read_bytes()
    run()
    assert Path("out.jsonl").read_bytes() == made
    Path("out.jsonl").unlink()
    run()
    assert Path("out.jsonl").read_bytes() == made
    Path("out.jsonl").rename("moved.jsonl")
    path = precious()
    with pytest.raises(ConfigurationError, match="exists"):
        run()
    assert path.read_text() == "precious\n"


def test_what_was_made_and_then_changed_by_hand_is_kept() -> None:
    run()
    with Path("out.jsonl").open("a") as file:
        file.write("a line of mine\n")
    with pytest.raises(ConfigurationError, match="exists"):
        run()
    assert Path("out.jsonl").read_text().endswith("a line of mine\n")


def test_a_file_that_appears_during_the_run_is_kept_and_the_rows_are_not_bought_again() -> None:
    class Appearing(SayingLLM):
        async def agenerate(self, request: Any) -> Any:
            precious()
            return await super().agenerate(request)

    llm = Appearing()
    with pytest.raises(ConfigurationError, match="is another file than when the run began, and is not replaced"):
        run(llm=llm)
    assert Path("out.jsonl").read_text() == "precious\n"
    assert not list(Path().glob(".*.part*"))
    Path("out.jsonl").unlink()
    run(llm=llm)
    assert len(Path("out.jsonl").read_text().splitlines()) == len(llm.asked) == len(ROWS)


def test_what_was_made_here_and_is_changed_during_the_next_run_is_kept() -> None:
    run()

    class Changing(Mark):
        def process(self, inputs: list[Row]) -> Any:
            precious()
            return super().process(inputs)

    with pytest.raises(ConfigurationError, match="is another file than when the run began"):
        Pipeline(ROWS, say("a"), Changing(name="m"), SaveToFiles(path="out.jsonl")).run(run_dir="kept")
    assert Path("out.jsonl").read_text() == "precious\n"


def test_a_link_leads_to_a_file_that_is_kept_as_if_it_were_named() -> None:
    path = precious("target.jsonl")
    Path("out.jsonl").symlink_to(path)
    with pytest.raises(ConfigurationError, match="exists"):
        run()
    path.unlink()
    run()
    assert Path("out.jsonl").is_symlink()
    assert len(path.read_text().splitlines()) == len(ROWS)
    path.unlink()
    precious("target.jsonl")
    with pytest.raises(ConfigurationError, match="exists"):
        run()
    assert path.read_text() == "precious\n"


def test_a_folder_is_never_replaced() -> None:
    Path("out.jsonl").mkdir()
    precious("out.jsonl/shard-0.jsonl")
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match="is a folder"):
            run(overwrite=overwrite)
    assert Path("out.jsonl/shard-0.jsonl").read_text() == "precious\n"


def test_of_two_pipelines_to_one_file_the_second_keeps_what_the_first_has_made() -> None:
    first_is_done, second_has_begun = threading.Event(), threading.Event()

    class Waiting(Mark):
        def process(self, inputs: list[Row]) -> Any:
            second_has_begun.set()
            first_is_done.wait()
            return super().process(inputs)

    errors: list[LimbeckError] = []

    def second() -> None:
        try:
            Pipeline(ROWS, Waiting(name="m"), SaveToFiles(path="out.jsonl")).run(run_dir="second")
        except LimbeckError as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    second_has_begun.wait()
    run(run_dir="first")
    made = Path("out.jsonl").read_bytes()
    first_is_done.set()
    thread.join()
    assert "is another file than when the run began" in str(errors[0])
    assert Path("out.jsonl").read_bytes() == made


def test_a_kill_between_the_note_and_the_file_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    made = Path("out.jsonl").read_bytes()

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("limbeck._files.drafts.Draft._move", killed)
        with pytest.raises(LimbeckError):
            run()
    run()
    assert Path("out.jsonl").read_bytes() == made


def test_outputs_that_an_older_version_noted_are_made_again() -> None:
    run()
    note = Path("kept/run.json")
    noted = json.loads(note.read_text())
    del noted["made"]
    note.write_text(json.dumps(noted))
    os.utime("out.jsonl", (1, 1))
    run()
    run()


def test_a_sink_of_ones_own_may_replace_what_it_made_and_no_other_file() -> None:
    told: list[bool] = []

    class Own(Sink):
        def targets(self) -> list[str]:
            return [str(Path("own.txt").absolute())]

        def open(self, *, replace: bool) -> None:
            told.append(replace)

        def write(self, rows: list[Row]) -> None:
            Path("own.txt").write_text(str(rows))

    for _ in range(2):
        Pipeline(ROWS, Own()).run(run_dir="kept")
    precious("own.txt")
    Pipeline(ROWS, Own()).run(run_dir="kept")
    assert told == [False, True, False]


@pytest.mark.parametrize("sink", [SaveToJsonl, SaveToCsv])
def test_a_sink_without_a_run_keeps_a_file_that_appears_too(sink: Any) -> None:
    made = sink(path="out")
    made.open(replace=False)
    made.write(ROWS)
    precious("out")
    with pytest.raises(ConfigurationError, match="is another file"):
        made.close(finished=True)
    assert Path("out").read_text() == "precious\n"


def test_a_sink_whose_places_nothing_else_knows_is_not_looked_at() -> None:
    class Tracker(Sink):
        def targets(self) -> list[str]:
            return ["tracker://support"]

        def open(self, *, replace: bool) -> None:
            told.append(replace)

        def write(self, rows: list[Row]) -> None: ...

    told: list[bool] = []
    for _ in range(2):
        Pipeline(ROWS, Tracker()).run(run_dir="kept")
    assert told == [False, True]
