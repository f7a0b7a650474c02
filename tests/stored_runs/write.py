"""Writes the runs that `support.stored_runs` reads: `PYTHONPATH=. python stored_runs/write.py`, in `tests/`.

Their format is that of the Limbeck which is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from limbeck import Pipeline
from support.stored_runs import (
    DUMP,
    FOLDER,
    LEDGER,
    PRICES,
    ROWS,
    STORED,
    asking,
    cut_short,
    register,
    replace_in_notes,
)

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
            replace_in_notes(folder, str(folder), FOLDER)
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
    with closing(sqlite3.connect(run_dir / LEDGER)) as ledger:
        format: int = ledger.execute("PRAGMA user_version").fetchone()[0]
        application = ledger.execute("PRAGMA application_id").fetchone()[0]
        text = "\n".join(ledger.iterdump())
    pragmas = f"PRAGMA user_version = {format};\nPRAGMA application_id = {application};\n"
    (run_dir / DUMP).write_text(f"{text}\n{pragmas}", encoding="utf-8")
    for left in run_dir.glob("*.sqlite*"):
        left.unlink()
    return format


if __name__ == "__main__":
    write_all()
