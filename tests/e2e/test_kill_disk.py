"""A run directory on a disk that is full, and one that another process is in: a clear error, and nothing lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from limbeck_cli.exits import ExitCode
from support.command import limbeck, read_rows, start, write_rows
from support.loopback import serving

from .counting_server import PATIENCE, CountingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 400
WINDOW = 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") is not None and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here (it takes root)")
    yield place
    subprocess.run(["umount", place], check=True)


def answered(ledger: Path) -> set[str]:
    """The prompts whose answers are on disk."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as reader:
        return {f"Row {row}" for (row,) in reader.execute("SELECT row FROM answers")}


def test_a_full_disk_ends_the_run_and_with_more_room_it_goes_on_from_there(small_disk: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"Row {place}"} for place in range(ROWS)))
    output, folder = tmp_path / "out.jsonl", small_disk / "run"
    server = CountingServer(filler="x" * 10_000)
    with serving(server.app()) as url:
        command = [
            *("generate", "-t", "text-generation", "-m", "openai/any", "-i", rows, "-o", str(output), "--quiet"),
            *("--run-dir", str(folder), "--max-concurrency", str(WINDOW)),
        ]
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        server.begin(0)
        first = limbeck(*command, env=variables)
        bought = server.asked
        on_disk = answered(folder / "ledger.sqlite")
        assert "cannot be written: database or disk is full" in first.stderr
        assert "run again with the same directory" in first.stderr
        assert first.returncode == ExitCode.STOPPED
        assert 0 < len(on_disk) < ROWS
        assert len(bought) - len(on_disk) <= WINDOW
        assert not output.exists()  # there is no room to note that it is this run's
        subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
        server.begin(0)
        assert limbeck(*command, env=variables).returncode == ExitCode.GOOD
    assert on_disk.isdisjoint(server.asked)
    assert [row["instruction"] for row in read_rows(output)] == [f"Row {place}" for place in range(ROWS)]


def test_a_second_command_in_the_directory_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"Row {place}"} for place in range(ROWS)))
    folder = tmp_path / "run"
    server = CountingServer(hold_from=100)
    with serving(server.app()) as url:
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        command = ["generate", "-t", "text-generation", "-m", "openai/any", "-i", rows, "--run-dir", str(folder)]
        server.begin(100)
        with start(*command, "--quiet", "-o", str(tmp_path / "first.jsonl"), env=variables) as first:
            server.wait()
            second = limbeck(*command, "-o", str(tmp_path / "second.jsonl"), env=variables)
            on_disk = answered(folder / "ledger.sqlite")
            server.release()
            assert first.wait(PATIENCE) == ExitCode.GOOD
    assert "Another process is running in" in second.stderr
    assert second.returncode == ExitCode.ERROR  # nothing was asked, nothing was written
    assert not (tmp_path / "second.jsonl").exists()
    assert server.asked.total() == ROWS
    assert 0 < len(on_disk) <= 100
    assert len(answered(folder / "ledger.sqlite")) == ROWS
    assert len(read_rows(tmp_path / "first.jsonl")) == ROWS
