"""Run directories as released formats of the ledger left them, kept in `tests/stored_runs/format_<number>`.

`tests/stored_runs/write.py` writes them. They are never written anew: what a later version cannot open, resume or
report is what a user loses. They name `support.stored_runs:RecordedLLM`, which stays where it is for that.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import LLM, Step, register_llm, register_step, register_task
from limbeck.errors import ContentFilteredError
from limbeck.types import Generation, GenerationResponse, Usage
from support.questions import Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import GenerationRequest, Row

STORED = Path(__file__).parents[1] / "stored_runs"
FORMATS = sorted(path.name for path in STORED.glob("format_*"))
ROWS: list[Row] = [{"question": each} for each in ("one", "two", "a long story", "refused", "half \ud83d", "two")]
PRICES = {"recorded": {"input": 1.0, "output": 2.0}}
LEDGER = "ledger.sqlite"
DUMP = "ledger.sql"
FOLDER = "/where-it-was-run"


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


def asking(**parameters: Any) -> Ask:
    """The task whose run is stored."""
    return Ask(name="ask", llm=RecordedLLM(generation_kwargs={"max_tokens": 10} | parameters))


def cut_short(row: Row) -> bool:
    """Whether an answer ended before its time."""
    return bool(row["finish_reason"] == "length")


def register() -> None:
    """Make known the names that the stored pipeline has; forget what was asked."""
    register_task("recorded-ask", Ask)
    register_llm("recorded", RecordedLLM)
    register_step("counted", Counted)
    RecordedLLM.asked.clear()
    Counted.counted.clear()


def restore(format: str, name: str, folder: Path) -> None:
    """Lay a stored run directory, `task` or `pipeline`, into `folder`, as that format's program left it."""
    shutil.copytree(STORED / format / name, folder, dirs_exist_ok=True)
    for dump in list(folder.rglob(DUMP)):
        with closing(sqlite3.connect(dump.with_name(LEDGER))) as ledger:
            ledger.executescript(dump.read_text(encoding="utf-8"))
        dump.with_name("lock.sqlite").touch()
        dump.unlink()
    replace_in_notes(folder, FOLDER, str(folder))


def replace_in_notes(folder: Path, before: str, now: str) -> None:
    """The note of a run has whole paths."""
    for note in folder.rglob("run.json"):
        note.write_text(note.read_text(encoding="utf-8").replace(before, now), encoding="utf-8")
