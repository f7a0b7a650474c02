"""The command, killed at any moment and started again, buys nothing twice that it had on disk."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from support.command import read_rows, start, write_rows
from support.loopback import serving

from .counting_server import PATIENCE, CountingServer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 5_000
WINDOW = 32
KILLS = 10


def committed(folder: Path, scratch: Path) -> set[str]:
    """The prompts whose answers are on disk; what a killed process left is not touched."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch)
    with closing(sqlite3.connect(scratch / "ledger.sqlite")) as ledger:
        return {f"Row {row}" for (row,) in ledger.execute("SELECT row FROM answers")}


def test_a_run_killed_at_ten_moments_ends_with_every_row_and_buys_no_committed_answer_again(tmp_path: Path) -> None:
    rng = random.Random(20)
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"Row {place}"} for place in range(ROWS)))
    folder, output = tmp_path / "run", tmp_path / "out.jsonl"
    server = CountingServer()
    bought: Counter[str] = Counter()
    with serving(server.app()) as url, (tmp_path / "log.txt").open("wb") as log:
        command = [
            *("generate", "-t", "text-generation", "-m", "openai/any", "-i", rows, "-o", str(output), "--quiet"),
            *("--run-dir", str(folder), "--max-concurrency", str(WINDOW)),
        ]
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        on_disk: set[str] = set()
        for kills in range(1, KILLS + 1):
            server.begin(rng.randrange(1, ROWS // KILLS))
            process = start(*command, env=variables, stdout=log, stderr=log)
            server.wait()
            process.kill()
            process.wait()
            assert on_disk.isdisjoint(server.asked)
            bought += server.asked
            on_disk = committed(folder, tmp_path / "copy")
            assert sum(bought.values()) - len(on_disk) <= kills * WINDOW
        server.begin(0)
        assert start(*command, env=variables, stdout=log, stderr=log).wait(PATIENCE) == 0
    assert on_disk.isdisjoint(server.asked)
    bought += server.asked
    assert [(row["instruction"], row["generation"]) for row in read_rows(output)] == [
        (f"Row {place}", f"to Row {place}") for place in range(ROWS)
    ]
    assert len(bought) == ROWS
    assert sum(bought.values()) <= ROWS + KILLS * WINDOW
