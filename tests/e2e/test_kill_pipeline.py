"""A pipeline with fan-out, router and fan-in, killed at any moment and resumed, gives what an undisturbed one gives."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from support.command import start, write_rows
from support.loopback import serving

from .counting_server import PATIENCE, CountingServer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 600
WINDOW = 16
KILLS = 10

PIPELINE = """
name: branched
input: rows.jsonl
max_concurrency: {window}
steps:
  - task: text-generation
    name: draft
    llm: openai/any
    num_generations: 2
  - router: {{even: "number % 2 == 0", odd: null}}
  - task: text-generation
    name: even
    after: router
    llm: openai/any
    input_mappings: {{instruction: generation}}
    output_mappings: {{generation: even}}
  - task: text-generation
    name: odd
    after: router
    llm: openai/any
    input_mappings: {{instruction: generation}}
    output_mappings: {{generation: odd}}
  - join: {{}}
    after: [even, odd]
  - task: text-generation
    name: last
    llm: openai/any
    input_mappings: {{instruction: generation}}
    output_mappings: {{generation: last}}
output: {output}
"""


def committed(folder: Path) -> Counter[tuple[str, str]]:
    """The calls that are on disk, by step and row, read as anybody may read them while nobody writes."""
    with closing(sqlite3.connect(f"{(folder / 'ledger.sqlite').as_uri()}?mode=ro", uri=True)) as ledger:
        return Counter(ledger.execute("SELECT step, row || '#' || sample FROM answers").fetchall())


def test_a_pipeline_killed_at_ten_moments_gives_the_undisturbed_output_and_buys_nothing_twice(tmp_path: Path) -> None:
    rng = random.Random(4)
    rows = ({"number": place, "instruction": f"Row {place}"} for place in range(ROWS))
    write_rows(tmp_path / "rows.jsonl", rows)
    for name in ("whole", "killed"):
        text = PIPELINE.format(window=WINDOW, output=f"{name}.jsonl")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    server = CountingServer()
    with serving(server.app()) as url, (tmp_path / "log.txt").open("wb") as log:
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}

        def limbeck(name: str) -> list[str]:
            return ["run", str(tmp_path / f"{name}.yaml"), "--run-dir", str(tmp_path / name), "--quiet"]

        server.begin(0)
        assert start(*limbeck("whole"), env=variables, stdout=log, stderr=log).wait(PATIENCE) == 0
        needed = server.asked.copy()
        bought: Counter[str] = Counter()
        for _ in range(KILLS):
            server.begin(rng.randrange(1, needed.total() // KILLS))
            process = start(*limbeck("killed"), env=variables, stdout=log, stderr=log)
            server.wait()
            process.kill()
            process.wait()
            bought += server.asked
        on_disk = committed(tmp_path / "killed")
        server.begin(0)
        assert start(*limbeck("killed"), env=variables, stdout=log, stderr=log).wait(PATIENCE) == 0
        bought += server.asked
    assert server.asked.total() == needed.total() - on_disk.total()
    assert bought.total() <= needed.total() + KILLS * WINDOW
    assert set(committed(tmp_path / "killed").values()) == {1}
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
