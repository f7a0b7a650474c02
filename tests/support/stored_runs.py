"""Run directories as released formats of the ledger left them, kept in `tests/stored_runs/format_<number>`.

`python -c "from support.stored_runs import write_all; write_all()"` in `tests/`, with a Limbeck of that format
installed, writes them. They are never written anew: what a later version cannot open, resume or report is what a
user loses.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import LLM, Pipeline, Step, Task, register_llm, register_step, register_task
from limbeck.errors import ContentFilteredError
from limbeck.types import Generation, GenerationResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import ChatType, GenerationRequest, Row

STORED = Path(__file__).parents[1] / "stored_runs"
FORMATS = sorted(path.name for path in STORED.glob("format_*"))
ROWS: list[Row] = [{"question": each} for each in ("one", "two", "a long story", "refused", "half \ud83d", "two")]
PRICES = {"recorded": {"input": 1.0, "output": 2.0}}
RECIPE = """
input: rows.jsonl
output: out.jsonl
steps:
  - {step: counted, name: counted}
  - {task: recorded-ask, name: ask, llm: recorded/m}
  - task: recorded-ask
    name: again
    llm: recorded/m
    input_mappings: {question: answer}
    output_mappings: {answer: second}
"""
_LEDGER = "ledger.sqlite"
_DUMP = "ledger.sql"
_FOLDER = "/where-it-was-run"


class RecordedLLM(LLM):
    """Echoes; refuses what is to be refused, and cuts stories short below 100 tokens.

    Attributes:
        asked: the prompts that any of them was asked.
    """

    asked: ClassVar[list[str]] = []

    model: str = "recorded"

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = str(request.messages[-1]["content"])
        self.asked.append(prompt)
        if "refused" in prompt:
            raise ContentFilteredError("The prompt was refused.")
        cut = "story" in prompt and request.parameters.get("max_tokens", 0) < 100
        generation = Generation(text=f"About {prompt}", finish_reason="length" if cut else "stop", reasoning="So.")
        usage = Usage(input_tokens=len(prompt), output_tokens=5)
        return GenerationResponse(generations=[generation], usage=usage, model="recorded-2026")


class RecordedAsk(Task):
    """Asks each row's question."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": str(input["question"])}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": output}


class Counted(Step):
    """Counts letters; its results are stored.

    Attributes:
        counted: the questions that any of them counted.
    """

    stored = True
    counted: ClassVar[list[str]] = []

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["letters"]

    def process(self, rows: list[Row]) -> Iterator[list[Row]]:
        self.counted.extend(row["question"] for row in rows)
        yield [{**row, "letters": len(row["question"])} for row in rows]


def asking(**parameters: Any) -> RecordedAsk:
    """The task whose run is stored."""
    return RecordedAsk(name="ask", llm=RecordedLLM(generation_kwargs={"max_tokens": 10} | parameters))


def cut_short(row: Row) -> bool:
    """Whether an answer ended before its time."""
    return bool(row["finish_reason"] == "length")


def register() -> None:
    """Make known the names that the stored pipeline has; forget what was asked."""
    register_task("recorded-ask", RecordedAsk)
    register_llm("recorded", RecordedLLM)
    register_step("counted", Counted)
    RecordedLLM.asked.clear()
    Counted.counted.clear()


def restore(format: str, name: str, folder: Path) -> None:
    """Lay a stored run directory, `task` or `pipeline`, into `folder`, as that format's program left it."""
    shutil.copytree(STORED / format / name, folder, dirs_exist_ok=True)
    for dump in list(folder.rglob(_DUMP)):
        with closing(sqlite3.connect(dump.with_name(_LEDGER))) as ledger:
            ledger.executescript(dump.read_text(encoding="utf-8"))
        dump.with_name("lock.sqlite").touch()
        dump.unlink()
    _replace_in_notes(folder, _FOLDER, str(folder))


def _replace_in_notes(folder: Path, before: str, now: str) -> None:
    """The note of a run has whole paths."""
    for note in folder.rglob("run.json"):
        note.write_text(note.read_text(encoding="utf-8").replace(before, now), encoding="utf-8")


def write_all() -> None:
    """Write the runs of the installed version; its format is known once there is a ledger."""
    with TemporaryDirectory() as scratch:
        for name, write in (("task", _write_task), ("pipeline", _write_pipeline)):
            folder = Path(scratch, name)
            folder.mkdir()
            os.chdir(folder)
            write()
            format = _dump(Path("run"))
            os.chdir(STORED.parent)
            _replace_in_notes(folder, str(folder), _FOLDER)
            shutil.copytree(folder, STORED / f"format_{format}" / name)


def _write_task() -> None:
    """A run, some of it asked again with other parameters."""
    register()
    list(asking().run(ROWS, run_dir="run", prices=PRICES))
    list(asking().rerun(ROWS, run_dir="run", where=cut_short, parameters={"max_tokens": 200}, prices=PRICES))


def _write_pipeline() -> None:
    register()
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    Pipeline.from_yaml("recipe.yaml").run(run_dir="run", prices=PRICES)


def _dump(run_dir: Path) -> int:
    """Put a text in the place of the ledger; the number of its format."""
    with closing(sqlite3.connect(run_dir / _LEDGER)) as ledger:
        format: int = ledger.execute("PRAGMA user_version").fetchone()[0]
        application = ledger.execute("PRAGMA application_id").fetchone()[0]
        text = "\n".join(ledger.iterdump())
    pragmas = f"PRAGMA user_version = {format};\nPRAGMA application_id = {application};\n"
    (run_dir / _DUMP).write_text(f"{text}\n{pragmas}", encoding="utf-8")
    for left in run_dir.glob("*.sqlite*"):
        left.unlink()
    return format
