"""Run directories: no paid answer is lost, and the same command goes on."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

from support.command import invoke, limbeck, read_rows, write_rows

from .conftest import Asked

ROWS = [{"instruction": f"question {number}"} for number in range(3)]
ECHOES = [f"echo: question {number}" for number in range(3)]
MODEL = ["generate", "-m", "paid/m"]


def generate(*arguments: str, rows: list[dict[str, str]] = ROWS) -> Result:
    """Ask about the rows of `rows.jsonl`, into `out.jsonl`."""
    write_rows(Path("rows.jsonl"), rows)
    return invoke(*MODEL, "-i", "rows.jsonl", "-o", "out.jsonl", *arguments)


def answers(path: str = "out.jsonl") -> list[str]:
    return [row["generation"] for row in read_rows(Path(path))]


def the_directory() -> Path:
    (directory,) = Path("runs").iterdir()
    return directory


def told_command(result: Result) -> list[str]:
    """The words behind `limbeck` in the line that says how to go on."""
    (command,) = re.findall(r"^Every answer is kept in .*: (limbeck .*)$", result.stderr, re.MULTILINE)
    return shlex.split(command)[1:]


# The default directory


@pytest.mark.usefixtures("asked")
def test_a_run_gets_a_directory_below_the_working_directory_and_says_how_to_go_on_from_it() -> None:
    result = generate()
    assert result.exit_code == 0
    assert re.fullmatch(r"runs/text-generation-\d{8}-\d{6}-[0-9a-f]{6}", str(the_directory()))
    command = f"limbeck generate -m paid/m -i rows.jsonl -o out.jsonl --run-dir {the_directory()}"
    assert result.stderr.endswith(f"Every answer is kept in {the_directory()}. To go on from there: {command}\n")


def test_the_command_that_is_told_makes_the_same_output_and_asks_nothing(asked: Asked) -> None:
    first = generate()
    written = Path("out.jsonl").read_bytes()
    result = invoke(*told_command(first))
    assert result.exit_code == 0
    assert Path("out.jsonl").read_bytes() == written
    assert len(asked.prompts) == 3
    assert "3 answers from the ledger" in result.stderr
    assert told_command(result) == told_command(first)


def test_an_output_that_was_changed_by_hand_is_made_again_only_where_that_is_said(asked: Asked) -> None:
    first = generate()
    Path("out.jsonl").write_bytes(Path("out.jsonl").read_bytes()[:100])
    assert invoke(*told_command(first)).exit_code == 1
    assert invoke(*told_command(first), "--overwrite").exit_code == 0
    assert answers() == ECHOES
    assert len(asked.prompts) == 3


def test_only_what_is_missing_is_asked(asked: Asked) -> None:
    generate("--run-dir", "run", "--limit", "2")
    assert generate("--run-dir", "run").exit_code == 0
    assert asked.prompts == ["question 0", "question 1", "question 2"]
    assert answers() == ECHOES


@pytest.mark.usefixtures("asked")
def test_a_name_that_is_no_folder_s_name_is_made_one() -> None:
    Path("recipe.yaml").write_text(
        "name: '../What? Now'\ninput: [{instruction: a}]\ntasks: [{task: text-generation, llm: paid/m}]\n"
    )
    assert invoke("run", "recipe.yaml").exit_code == 0
    assert the_directory().name.startswith("What-Now-")


@pytest.mark.usefixtures("asked")
def test_the_line_that_goes_on_stands_before_a_double_dash() -> None:
    Path("-odd.yaml").write_text("input: [{instruction: a}]\ntasks: [{task: text-generation, llm: paid/m}]\n")
    first = invoke("run", "--", "-odd.yaml")
    assert told_command(first) == ["run", "--run-dir", str(the_directory()), "--", "-odd.yaml"]
    assert invoke(*told_command(first)).exit_code == 0


@pytest.mark.usefixtures("asked")
def test_a_quiet_run_that_goes_well_does_not_speak_of_its_directory() -> None:
    assert generate("--quiet").stderr == ""
    assert (the_directory() / "ledger.sqlite").is_file()


@pytest.mark.usefixtures("asked")
def test_a_quiet_run_that_does_not_go_well_does() -> None:
    assert "To go on from there: limbeck" in generate("--quiet", rows=[{"instruction": "bad"}]).stderr


@pytest.mark.usefixtures("asked")
def test_rows_from_stdin_must_come_again() -> None:
    result = invoke(*MODEL, stdin=json.dumps(ROWS[0]))
    assert "To go on from there, with the same rows on stdin: limbeck generate -m paid/m --run-dir" in result.stderr


@pytest.mark.usefixtures("asked")
def test_no_ledger_means_no_directory() -> None:
    result = generate("--no-ledger")
    assert result.exit_code == 0
    assert not Path("runs").exists()
    assert "Every answer is kept" not in result.stderr


def test_the_stand_in_alone_gets_no_directory_but_the_one_that_is_named() -> None:
    write_rows(Path("rows.jsonl"), ROWS)
    command = ["generate", "-m", "offline", "-i", "rows.jsonl"]
    assert invoke(*command).exit_code == 0
    assert not Path("runs").exists()
    assert invoke(*command, "--run-dir", "mine").exit_code == 0
    assert "3 answers from the ledger" in invoke(*command, "--run-dir", "mine").stderr


@pytest.mark.usefixtures("asked")
def test_the_stand_in_beside_a_model_gets_one() -> None:
    Path("recipe.yaml").write_text(
        "input: [{instruction: a}]\ntasks:\n- {task: text-generation, llm: offline}\n"
        "- {name: second, task: text-generation, llm: paid/m, output_mappings: {generation: more}}\n"
    )
    assert invoke("run", "recipe.yaml").exit_code == 0
    assert the_directory().name.startswith("recipe-")


# What is left where nothing was asked


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_asks_nothing_leaves_no_directory(before: bool) -> None:
    if before:
        Path("runs").mkdir()
    result = invoke(*MODEL, stdin='{"text": "no such column"}')
    assert result.exit_code == 1
    assert "Nothing was done" in result.stderr
    assert "Every answer is kept" not in result.stderr
    assert Path("runs").exists() == before
    assert list(Path().glob("runs/*")) == []


@pytest.mark.usefixtures("asked")
def test_a_directory_that_was_named_is_not_taken_away() -> None:
    generate("--run-dir", "run")
    assert invoke(*MODEL, "--run-dir", "run", stdin='{"text": "no such column"}').exit_code == 1
    assert Path("run", "ledger.sqlite").is_file()


@pytest.mark.usefixtures("asked")
def test_a_refused_key_leaves_the_directory_to_go_on_from() -> None:
    result = generate(rows=[{"instruction": "who?"}])
    assert result.exit_code == 5
    assert told_command(result)[-2:] == ["--run-dir", str(the_directory())]


@pytest.mark.usefixtures("asked")
def test_a_directory_that_cannot_be_made_is_told_with_the_ways_out() -> None:
    Path("runs").write_text("a file")
    result = generate()
    assert result.exit_code == 1
    assert "cannot be made" in result.stderr
    assert "Name one with --run-dir, or keep no answers with --no-ledger." in result.stderr


# The output


@pytest.mark.usefixtures("asked")
def test_an_output_that_the_directory_did_not_make_is_refused_and_kept() -> None:
    generate("--run-dir", "run")
    Path("other.jsonl").write_text("old\n")
    result = invoke(*MODEL, "-i", "rows.jsonl", "-o", "other.jsonl", "--run-dir", "run")
    assert result.exit_code == 1
    assert "exists, and is not as the run directory 'run' made it. Give --overwrite" in result.stderr
    assert Path("other.jsonl").read_text() == "old\n"


@pytest.mark.usefixtures("asked")
def test_a_new_directory_does_not_replace_an_output() -> None:
    Path("out.jsonl").write_text("old\n")
    result = generate()
    assert result.exit_code == 1
    assert "The output 'out.jsonl' exists. Give --overwrite" in result.stderr
    assert not Path("runs").exists()


@pytest.mark.usefixtures("asked")
def test_a_directory_knows_every_output_that_was_made_from_it(tmp_path: Path) -> None:
    generate("--run-dir", "run")
    second = [*MODEL, "-i", "rows.jsonl", "-o", "second.jsonl", "--run-dir", "run"]
    assert invoke(*second).exit_code == 0
    note = json.loads(Path("run", "run.json").read_text())
    assert note["command"] == shlex.join(["limbeck", *second])
    assert note["outputs"] == [str(tmp_path / "out.jsonl"), str(tmp_path / "second.jsonl")]
    assert note["config"]["output"] == str(tmp_path / "second.jsonl")
    assert generate("--run-dir", "run").exit_code == 0
    assert invoke(*second).exit_code == 0


def test_an_output_is_known_by_its_place_whatever_it_is_called(asked: Asked, tmp_path: Path) -> None:
    generate("--run-dir", "run")
    output = str(tmp_path / "." / "out.jsonl")
    assert invoke(*MODEL, "-i", "rows.jsonl", "-o", output, "--run-dir", str(tmp_path / "run")).exit_code == 0
    assert len(asked.prompts) == 3


@pytest.mark.usefixtures("asked")
def test_a_note_that_cannot_be_read_is_told() -> None:
    generate("--run-dir", "run")
    Path("run", "run.json").write_text("{")
    result = generate("--run-dir", "run")
    assert result.exit_code == 1
    assert "'run/run.json', which says what was made from the run, cannot be read" in result.stderr


# Secrets


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (["--set", "llm.api_key=sk-secret"], ["--set", "llm.api_key=…"]),
        (["--set=llm.api_key=sk-secret"], ["--set=llm.api_key=…"]),
        (["--set", "llm.base_url=http://me:sk-secret@host/v1"], ["--set", "llm.base_url=…"]),
        (["--set", "llm.base_url=http://host/v1"], ["--set", "llm.base_url=http://host/v1"]),
        (["--set", "llm.max_tokens=3"], ["--set", "llm.max_tokens=3"]),
    ],
)
def test_a_secret_is_left_out_of_the_command_that_goes_on(setting: list[str], told: list[str]) -> None:
    result = generate(*setting)
    words = told_command(result)
    assert words[-2 - len(told) : -2] == told
    assert "sk-secret" not in result.stderr
    assert "sk-secret" not in (the_directory() / "run.json").read_text()


# Failed rows


def test_the_file_of_the_failed_rows_is_named_and_can_be_fed_back(asked: Asked) -> None:
    result = generate("--run-dir", "run", rows=[{"instruction": "good"}, {"instruction": "bad"}])
    assert result.exit_code == 3
    assert "The rows that failed, to mend or to feed back: run/failed.jsonl\n" in result.stderr
    (row,) = read_rows(Path("run", "failed.jsonl"))
    row["instruction"] = "better"
    assert "limbeck_error" in row
    for name, text in (
        ("again.jsonl", json.dumps(row)),
        ("again.json", json.dumps([row])),
        ("again.csv", "instruction,limbeck_error\nbetter,{}\n"),
    ):
        Path(name).write_text(text)
        assert invoke(*MODEL, "-i", name, "-o", "again-out.jsonl", "--overwrite").exit_code == 0
        (made,) = read_rows(Path("again-out.jsonl"))
        assert list(made) == ["instruction", "generation", "distilabel_metadata", "model_name"]
    assert asked.prompts[2:] == ["better"] * 3


@pytest.mark.usefixtures("asked")
def test_a_good_run_names_no_failed_rows() -> None:
    generate("--run-dir", "run", rows=[{"instruction": "bad"}])
    assert "failed.jsonl" not in generate("--run-dir", "run").stderr


@pytest.mark.usefixtures("asked")
def test_the_failed_rows_of_a_directory_are_no_input_or_output_of_a_run_in_it() -> None:
    generate("--run-dir", "run", rows=[{"instruction": "bad"}])
    result = invoke(*MODEL, "-i", "run/failed.jsonl", "--run-dir", "run")
    assert result.exit_code == 1
    assert "The input 'run/failed.jsonl' belongs to the run directory" in result.stderr
    result = invoke(*MODEL, "-i", "rows.jsonl", "-o", "run/failed.jsonl", "--run-dir", "run", "--overwrite")
    assert result.exit_code == 1
    assert "The output 'run/failed.jsonl' belongs to the run directory" in result.stderr
    assert len(read_rows(Path("run", "failed.jsonl"))) == 1


# The ledger


def test_a_changed_configuration_is_listed_in_a_plain_line() -> None:
    write_rows(Path("rows.jsonl"), ROWS)
    command = ["generate", "-m", "offline", "-i", "rows.jsonl", "--run-dir", "run"]
    assert limbeck(*command).returncode == 0
    done = limbeck(*command, "-n", "2", "--set", "task.add_raw_output=false")
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "warning" in line]
    assert line.startswith("warning: The configuration of step 'text-generation' has changed since ")
    assert "num_generations: 1 -> 2" in line
    assert "add_raw_output: true -> false" in line


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("PRAGMA application_id = 1", "is a database of another program"),
        ("PRAGMA user_version = 1000", "was written by a newer Limbeck"),
    ],
)
def test_a_ledger_that_cannot_be_used_exits_with_1_and_nothing_is_touched(statement: str, told: str) -> None:
    generate("--run-dir", "run")
    with closing(sqlite3.connect("run/ledger.sqlite")) as ledger:
        ledger.execute(statement)
    written = Path("out.jsonl").read_bytes()
    result = generate("--run-dir", "run")
    assert result.exit_code == 1
    assert told in result.stderr
    assert Path("out.jsonl").read_bytes() == written


@pytest.mark.usefixtures("asked")
def test_an_empty_name_of_a_directory_is_refused_and_not_taken_for_the_working_directory() -> None:
    result = generate("--run-dir", "")
    assert result.exit_code == 1
    assert "`run_dir` is '', which names no directory" in result.stderr
    assert not Path("ledger.sqlite").exists()


@pytest.mark.usefixtures("asked")
def test_what_is_no_directory_is_told_also_where_the_output_exists() -> None:
    Path("plain").write_text("mine", encoding="utf-8")
    Path("out.jsonl").write_text("mine", encoding="utf-8")
    result = generate("--run-dir", "plain", "--overwrite")
    assert result.exit_code == 1
    assert "plain' is a file" in result.stderr
    assert [Path(name).read_text(encoding="utf-8") for name in ("plain", "out.jsonl")] == ["mine", "mine"]
