"""The harness, with a few rows: every contender does all of the work, and what is wrong with an output is counted."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import contenders
from benchmarks.contenders import Contender, Delivered, Job, delivered, write_rows
from benchmarks.ledger import ledger
from benchmarks.loopback import loopback
from benchmarks.measure import run
from benchmarks.overhead import measured
from benchmarks.race import new_job, race, rotated, run_once
from benchmarks.races import PEAK, RACES, Race
from benchmarks.report import Section, markdown, write
from benchmarks.resume import resume
from benchmarks.server import Behaviour, answer_to

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20
LIMIT = 60.0
STUCK_LIMIT = 10.0  # who is stuck takes all of it, and who is not must have started and ended in it on a busy machine
FLOORS = [contenders.BARE_AIOHTTP, contenders.BARE_SDK, contenders.BARE_SDK_DEFAULT]
LIMBECK = [contenders.LIMBECK, contenders.LIMBECK_LEDGER, contenders.LIMBECK_PYTHON]
IDLE = Contender(name="does nothing", command=lambda _job: [sys.executable, "-c", "pass"])

# Answers without asking anybody, and, when told to, does not end once there are more rows than in a warm-up.
_ANSWERS = """
import json, sys, time
rows = [json.loads(line) for line in open(sys.argv[1])]
answered = [{**row, "generation": "An answer to: " + row["instruction"]} for row in rows]
open(sys.argv[2], "w").writelines(json.dumps(row) + chr(10) for row in answered)
time.sleep(600 if sys.argv[3:] and len(rows) > 8 else 0)
"""


def _answers(job: Job, *options: str) -> list[str]:
    return [sys.executable, "-c", _ANSWERS, str(job.source), str(job.target), *options]


QUICK = Contender(name="quick", command=_answers)
STUCK = Contender(name="stuck", command=lambda job: _answers(job, "stay"))


@pytest.mark.parametrize("contender", [*FLOORS, *LIMBECK], ids=lambda contender: contender.name)
def test_a_contender_delivers_the_right_answer_for_every_row_and_buys_none_twice(contender: Contender) -> None:
    with loopback(Behaviour()) as server:
        result = run_once(contender, server, rows=ROWS, window=4, limit=LIMIT)
    assert result.delivered == Delivered(right=ROWS), result.spent.said
    assert (result.stats["paid"], result.stats["paid_twice"]) == (ROWS, 0)
    assert result.stats["most_in_flight"] <= 4


@pytest.mark.parametrize("contender", FLOORS, ids=lambda contender: contender.name)
def test_a_floor_keeps_a_row_whose_call_failed_as_null(contender: Contender) -> None:
    with loopback(Behaviour(error_rate=1.0)) as server:
        result = run_once(contender, server, rows=ROWS, window=4, limit=LIMIT)
    assert result.delivered == Delivered(null=ROWS)


def test_the_retrying_floor_waits_a_refusal_out() -> None:
    with loopback(Behaviour(rate=1000.0, burst=5, retry_after=0.01)) as server:
        result = run_once(contenders.BARE_AIOHTTP_RETRYING, server, rows=ROWS, window=ROWS, limit=LIMIT)
    assert result.delivered == Delivered(right=ROWS)
    assert result.stats["refused"] > 0


@pytest.mark.parametrize("contender", FLOORS, ids=lambda contender: contender.name)
def test_a_floor_that_is_run_again_asks_only_for_what_is_missing(contender: Contender, tmp_path: Path) -> None:
    with loopback(Behaviour()) as server:
        job = new_job(tmp_path, server.url, rows=ROWS, window=4)
        prompts = [json.loads(line)["instruction"] for line in job.source.read_text().splitlines()]
        kept = [json.dumps({"instruction": prompt, "generation": answer_to(prompt)}) for prompt in prompts[:5]]
        job.target.write_text("\n".join(kept) + '\n{"instruction": "torn')
        run(contender.command(job), tmp_path / "log", contender.environment_for(job), limit=60)
        assert server.stats()["asked"] == ROWS - 5


def test_faults_of_an_output_are_told_apart(tmp_path: Path) -> None:
    job = Job(url="", source=tmp_path / "in.jsonl", target=tmp_path / "out.jsonl", window=1)
    write_rows(job.source, 5)
    prompts = [json.loads(line)["instruction"] for line in job.source.read_text().splitlines()]
    answers = [answer_to(prompts[0]), answer_to(prompts[0]), None, answer_to(prompts[1])]
    rows = zip([prompts[0], prompts[0], prompts[1], prompts[2]], answers, strict=True)
    lines = [json.dumps({"instruction": prompt, "generation": answer}) for prompt, answer in rows]
    job.target.write_text("\n".join(lines) + "\n")
    assert delivered(job) == Delivered(right=1, null=1, wrong=2, lost=2)


def test_a_contender_that_delivers_nothing_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = race(Behaviour(), [contenders.BARE_AIOHTTP, IDLE], rows=2, window=2, rounds=1, limit=LIMIT)
    assert [results.name for results in found] == ["bare aiohttp"]
    assert "skipped does nothing: " in capsys.readouterr().err


def test_a_process_that_does_not_end_is_killed_at_its_limit(tmp_path: Path) -> None:
    spent = run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", {}, limit=0.01)
    assert not spent.ended
    assert spent.exit_code < 0


def test_a_contender_that_has_not_ended_in_time_does_not_run_again() -> None:
    found = race(Behaviour(), [QUICK, STUCK], rows=ROWS, window=4, rounds=2, limit=STUCK_LIMIT)
    assert {results.name: len(results.runs) for results in found} == {"quick": 2, "stuck": 1}
    assert [results.ended for results in found] == [True, False]


def test_a_contender_that_has_not_ended_in_time_is_shown_with_the_rows_it_delivered() -> None:
    settings = Race(title="S", conditions="", behaviour=Behaviour(), contenders=[QUICK, STUCK], columns=[PEAK])
    section = settings.run("s", rows=ROWS, window=4, rounds=1, peers=[], limit=STUCK_LIMIT)
    assert section.rows[1] == ["stuck", "not ended after 10", "", "", str(ROWS)]
    assert [*section.bars] == ["quick"]


def test_a_reference_that_has_not_ended_in_time_leaves_nothing_to_compare_with() -> None:
    with pytest.raises(RuntimeError, match=r"stuck had not ended after 0\.1 s"):
        race(Behaviour(), [STUCK], rows=ROWS, window=4, rounds=1, limit=0.1)


def test_a_contender_that_is_stuck_when_it_is_run_again_is_shown_as_not_ended() -> None:
    section = resume(rows=ROWS, window=4, rounds=1, peers=[STUCK], limit=1.0)
    line = dict(zip(section.header, section.rows[-1], strict=True))
    assert line["seconds of the second run"] == "not ended after 1"
    assert "stuck" not in section.bars


def test_the_order_moves_on_each_round() -> None:
    items = [*FLOORS]
    assert [rotated(items, turn)[0] for turn in range(4)] == [items[0], items[1], items[2], items[0]]


def test_a_race_gives_ratios_to_the_first_contender_of_each_round() -> None:
    settings = RACES["throughput"]
    short = Race(
        title="Short",
        conditions="at once",
        behaviour=Behaviour(),
        contenders=[contenders.BARE_AIOHTTP, contenders.BARE_SDK],
        columns=settings.columns,
    )
    section = short.run("short", rows=ROWS, window=4, rounds=2, peers=[], limit=LIMIT)
    assert [line[0] for line in section.rows] == ["bare aiohttp", "bare SDK"]
    assert section.rows[0][section.header.index("× bare aiohttp")] == "1.00 (1.00–1.00)"
    assert [line[-1] for line in section.rows] == [str(ROWS), str(ROWS)]
    assert [len(values) for values in section.bars.values()] == [2, 2]


def test_a_killed_floor_buys_again_at_most_what_was_in_flight() -> None:
    section = resume(rows=40, window=4, rounds=1, peers=[], limit=LIMIT)
    line = dict(zip(section.header, section.rows[0], strict=True))
    assert line["rows right in the end"] == "40"
    assert section.bars["bare SDK"][0] <= 4


def test_each_way_in_process_gives_every_row() -> None:
    figures = measured(["list", "stream", "process", "run", "ledger"], rows=500, rounds=1)
    assert {way: runs[0]["rows"] for way, runs in figures.items()} == dict.fromkeys(figures, 500)


def test_a_row_with_a_ledger_is_measured_for_each_size_beside_one_by_hand() -> None:
    section = ledger(sizes=[20, 40], rounds=1)
    lines = [dict(zip(section.header, line, strict=True)) for line in section.rows]
    assert [line["rows"] for line in lines] == ["20", "40"]
    assert lines[0]["MB more than at 20"] == "+0.0"
    assert all(float(line["ledger bytes a row"]) > 0 for line in lines)
    assert [len(values) for values in section.bars.values()] == [1, 1]


# The document


def section(name: str, cell: str) -> Section:
    return Section(name=name, title=name.title(), conditions="None.", header=["", "x"], rows=[["a", cell]], unit="x")


def test_a_section_replaces_its_own_table_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    write(document, [section("tail", "1"), section("memory", "2")])
    prose = document.read_text().replace("## Tail\n", "## Tail\n\nWhy it matters.\n")
    document.write_text(prose)
    write(document, [section("tail", "3")])
    text = document.read_text()
    assert "Why it matters." in text
    assert text.count("| a | 3 |") == text.count("| a | 2 |") == 1
    assert "| a | 1 |" not in text
    assert set(json.loads((tmp_path / "benchmarks.json").read_text())) == {"tail", "memory"}


def test_a_table_has_a_row_a_contender() -> None:
    assert markdown(section("tail", "1")).splitlines()[:3] == ["|  | x |", "| --- | ---: |", "| a | 1 |"]
