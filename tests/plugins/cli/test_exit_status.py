"""The installed command in a process of its own: its exit status, and what it leaves behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.command import (
    REPOSITORY,
    SCRIPT,
    environment,
    limbeck,
    read_rows,
    rows_of,
    start,
    write_rows,
)
from support.openai_server import OpenAIServer, answer, context_too_long, openai_server, unauthorized
from support.packs import write_pack
from support.provider_server import Asked, Reply, hang

ROWS = [{"instruction": f"question {number}"} for number in range(1, 6)]
ODD = """
import typer
app = typer.Typer()
@app.command()
def odd():
    raise ZeroDivisionError("by nothing")
"""
KEY = {"OPENAI_API_KEY": "sk-test-1234567890"}


def generate(
    tmp_path: Path,
    server: OpenAIServer,
    *arguments: str,
    rows: Sequence[dict[str, str]] = ROWS,
    model: str = "openai/gpt-5-mini",
) -> list[str]:
    source = write_rows(tmp_path / "rows.jsonl", rows)
    return [
        "generate", "--model", model, "--input", source, "--output", str(tmp_path / "out.jsonl"),
        "--set", f"llm.base_url={server.url}", *arguments,
    ]  # fmt: skip


def test_the_first_example_says_that_a_stand_in_answered_and_leaves_nothing_behind(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    done = limbeck("run", "examples/capitals.yaml")
    assert done.returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["examples"]
    assert rows_of(done.stdout)[0]["generation"] == "The capital of Spain is Madrid."
    assert "3 rows in, 3 written to stdout, none failed" in done.stderr
    assert "no model was asked" in done.stderr


def test_a_run_whose_rows_are_all_good_exits_with_0(tmp_path: Path) -> None:
    with openai_server() as server:
        done = limbeck(*generate(tmp_path, server), env=KEY)
    assert done.returncode == 0
    assert [row["generation"] for row in read_rows(tmp_path / "out.jsonl")] == [
        f"echo: question {number}" for number in range(1, 6)
    ]
    assert "5 rows in, 5 written to" in done.stderr
    assert "10 tokens in and 15 out" in done.stderr
    assert "stand-in" not in done.stderr


def test_failed_rows_are_in_the_output_and_exit_with_3(tmp_path: Path) -> None:
    with openai_server(answer(), context_too_long()) as server:
        done = limbeck(*generate(tmp_path, server, "--max-concurrency", "1"), env=KEY)
    assert done.returncode == 3
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["generation"] is None for row in rows] == [False, True, False, False, False]
    assert "1 of them with a failure (1 ContextLengthError)" in done.stderr
    assert "First failure: step 'text-generation', row 1: ContextLengthError:" in done.stderr


def test_an_error_before_any_work_exits_with_1_and_leaves_no_file(tmp_path: Path) -> None:
    with openai_server() as server:
        done = limbeck(*generate(tmp_path, server, rows=[{"text": "no such column"}]), env=KEY)
        assert server.requests == []
    assert done.returncode == 1
    assert "needs the column `instruction`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_missing_key_exits_with_1(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", ROWS)
    done = limbeck("generate", "-m", "openai/gpt-5-mini", "-i", source)
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_a_wrong_command_line_exits_with_2() -> None:
    assert limbeck("generate", "--no-such-option").returncode == 2
    assert limbeck("no-such-command").returncode == 2
    assert limbeck("generate").returncode == 2


def test_a_refused_key_stops_the_run_with_5_and_is_not_shown(tmp_path: Path) -> None:
    with openai_server(answer(), unauthorized) as server:
        done = limbeck(*generate(tmp_path, server, "--max-concurrency", "1"), env=KEY)
        assert len(server.requests) == 2
    assert done.returncode == 5
    assert [row["instruction"] for row in read_rows(tmp_path / "out.jsonl")] == ["question 1"]
    assert KEY["OPENAI_API_KEY"] not in done.stderr
    assert "Stopped: " in done.stderr


def test_too_many_failures_in_a_row_stop_the_run_with_5(tmp_path: Path) -> None:
    with openai_server(*[context_too_long()] * 5) as server:
        arguments = ("--max-concurrency", "1", "--set", "llm.breaker_threshold=2")
        done = limbeck(*generate(tmp_path, server, *arguments), env=KEY)
        assert len(server.requests) == 2
    assert done.returncode == 5
    assert "2 generations in a row failed" in done.stderr
    assert len(read_rows(tmp_path / "out.jsonl")) == 2


def test_a_row_that_must_not_fail_stops_the_run_with_5(tmp_path: Path) -> None:
    with openai_server(answer(), context_too_long()) as server:
        done = limbeck(*generate(tmp_path, server, "--max-concurrency", "1", "--on-error", "raise"), env=KEY)
    assert done.returncode == 5
    assert len(read_rows(tmp_path / "out.jsonl")) == 1


def test_with_strict_a_broken_line_stops_the_run_with_5_once_the_rows_before_it_are_written(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "x"}\n' * 300 + '{"instruction": \n' + '{"instruction": "y"}\n')
    done = limbeck("generate", "-m", "offline", "-i", str(source), "-o", str(tmp_path / "out.jsonl"), "--strict")
    assert done.returncode == 5
    assert len(read_rows(tmp_path / "out.jsonl")) == 300
    assert f"{source}:301:17: this line is not JSON" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_the_rows_that_are_done(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    waiting = threading.Event()

    async def never_answered(asked: Asked) -> Reply:
        waiting.set()
        return await hang(asked)

    with openai_server(answer(), answer(), never_answered) as server:
        process = start(*generate(tmp_path, server, "--max-concurrency", "1"), env=KEY, stderr=subprocess.PIPE)
        assert waiting.wait(60)
        process.send_signal(sent)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert [row["instruction"] for row in read_rows(tmp_path / "out.jsonl")] == ["question 1", "question 2"]
    assert b"Interrupted: 5 rows in, 2 written to" in told
    assert b"To go on from there: limbeck generate" in told
    assert b"Traceback" not in told


def test_an_output_that_cannot_be_written_any_further_stops_the_run_with_5(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", ROWS)
    done = limbeck("generate", "-m", "offline", "-i", source, "-o", "/dev/full")
    assert done.returncode == 5
    assert "error: The output '/dev/full' cannot be written any further: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_command_goes_on_from_its_run_directory_and_buys_nothing_twice(tmp_path: Path) -> None:
    waiting = threading.Event()

    async def never_answered(asked: Asked) -> Reply:
        waiting.set()
        return await hang(asked)

    with openai_server(answer(), answer(), never_answered) as server:
        command = generate(tmp_path, server, "--max-concurrency", "1", "--run-dir", str(tmp_path / "run"))
        process = start(*command, env=KEY, stderr=subprocess.PIPE)
        assert waiting.wait(60)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert f"To go on from there: limbeck {shlex.join(command)}\n".encode() in told
        done = limbeck(*command, env=KEY)
        assert server.answers == 5
    assert done.returncode == 0
    assert "2 answers from the ledger" in done.stderr
    assert [row["instruction"] for row in read_rows(tmp_path / "out.jsonl")] == [row["instruction"] for row in ROWS]


def test_a_stream_that_is_closed_is_an_error_where_rows_go_and_nothing_otherwise(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)

    def run(redirections: str, *more: str) -> subprocess.CompletedProcess[str]:
        line = shlex.join([SCRIPT, "generate", "-m", "offline", "-i", rows, *more])
        return subprocess.run(
            f"{line} {redirections}", shell=True, capture_output=True, text=True, env=environment(), check=False
        )

    to_stdout = run(">&-")
    assert to_stdout.returncode == 5
    assert "error: " in to_stdout.stderr
    assert "Traceback" not in to_stdout.stderr
    assert run(">&- 2>&- <&-", "-o", str(tmp_path / "out.jsonl")).returncode == 0
    assert len(read_rows(tmp_path / "out.jsonl")) == len(ROWS)


def test_ctrl_c_while_stdin_gives_no_rows_ends_the_command(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    waiting = threading.Event()

    async def never_answered(asked: Asked) -> Reply:
        waiting.set()
        return await hang(asked)

    with openai_server(answer(), never_answered) as server:
        arguments = ["generate", "-m", "openai/m", "--set", f"llm.base_url={server.url}", "--max-concurrency", "1"]
        process = start(*arguments, env=KEY, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(reading)
        os.write(writing, b'{"instruction": "a"}\n{"instruction": "b"}\n')  # and the pipe stays open
        assert waiting.wait(60)
        process.send_signal(signal.SIGINT)
        written, told = process.communicate(timeout=60)
        os.close(writing)
    assert process.returncode == 130
    assert [row["instruction"] for row in rows_of(written.decode())] == ["a"]
    assert b"Fatal" not in told


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", ROWS)
    reading, writing = os.pipe()
    os.close(reading)
    process = start("generate", "-m", "offline", "-i", source, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 141
    assert told == b""


def test_rows_pass_from_stdin_to_stdout(tmp_path: Path) -> None:
    with openai_server() as server:
        done = limbeck(
            "generate", "-m", "openai/gpt-5-mini", "--set", f"llm.base_url={server.url}",
            env=KEY, stdin='{"instruction": "one"}\n\n{"instruction": "two"}',
        )  # fmt: skip
    assert done.returncode == 0
    assert [row["generation"] for row in rows_of(done.stdout)] == ["echo: one", "echo: two"]


def test_an_unexpected_error_is_a_sentence_and_the_traceback_is_there_for_the_asking(tmp_path: Path) -> None:
    write_pack(
        tmp_path,
        "acme-odd",
        "[limbeck.commands]\nodd = acme_odd:app\n",
        acme_odd=ODD,
    )
    done = limbeck("odd", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "error: ZeroDivisionError: by nothing" in done.stderr
    assert "--debug" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in limbeck("--debug", "odd", env={"PYTHONPATH": str(tmp_path)}).stderr
