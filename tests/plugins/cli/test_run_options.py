"""How rows are run: the same on the command line and in a YAML file."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

from limbeck import Pipeline
from limbeck.recipes import RunSettings, max_failed_of
from support.command import invoke, read_rows, rows_of, write_rows

from .conftest import Asked

TASK = "tasks: [{task: text-generation, llm: paid/m}]\n"
INPUT = "input: [{instruction: a}]\n"


def run(text: str, *arguments: str) -> Result:
    Path("recipe.yaml").write_text(text)
    return invoke("run", "recipe.yaml", *arguments)


def generate(*arguments: str, prompts: list[str], model: str = "paid/m") -> Result:
    write_rows(Path("rows.jsonl"), [{"instruction": prompt} for prompt in prompts])
    return invoke("generate", "-m", model, "-i", "rows.jsonl", *arguments)


# Failures


@pytest.mark.parametrize(
    ("given", "value"),
    [("20", 20), ("0", 0), ("1", 1), ("0.05", 0.05), ("5%", 0.05), ("0.5%", 0.005), ("100%", math.inf), (3, 3)],
)
def test_failures_are_a_count_or_a_fraction(given: object, value: float) -> None:
    assert max_failed_of(given) == value


@pytest.mark.parametrize("given", ["many", "-1", "1.5", "150%", "nan", "inf", "", True, [1]])
def test_anything_else_is_neither(given: object) -> None:
    with pytest.raises(ValueError, match=r"expected a count \(20\) or a fraction \(0.05, or 5%\), not"):
        max_failed_of(given)


def test_more_failures_than_are_allowed_stop_the_run_with_5(asked: Asked) -> None:
    prompts = ["bad 1", "good", "bad 2", "never asked"]
    result = generate("--max-failed", "1", "--max-concurrency", "1", prompts=prompts)
    assert result.exit_code == 5
    assert asked.prompts == prompts[:3]
    assert "2 of 3 rows failed, more than `max_failed=1` allows" in result.stderr
    assert "Stopped: " in result.stderr


@pytest.mark.usefixtures("asked")
def test_as_many_as_are_allowed_do_not() -> None:
    assert generate("--max-failed", "2", prompts=["bad 1", "good", "bad 2"]).exit_code == 3


@pytest.mark.usefixtures("asked")
def test_the_file_says_so_too_and_the_command_line_goes_first() -> None:
    text = "input: [{instruction: bad 1}, {instruction: bad 2}]\nmax_failed: 1\n" + TASK
    assert run(text).exit_code == 5
    assert run(text, "--max-failed", "100%").exit_code == 3


# Limits


def limits_of(text: str) -> list[tuple[float | None, ...]]:
    """What the LLMs of a file are limited to."""
    tasks = [step for step in Pipeline.from_yaml(text).steps.values() if hasattr(step, "llm")]
    return [(task.llm.max_concurrency, task.llm.rpm, task.llm.tpm) for task in tasks]


@pytest.mark.usefixtures("asked")
def test_a_limit_of_the_file_is_that_of_every_llm_that_has_none_of_its_own() -> None:
    own = "{provider: paid/m, rpm: 9}"
    text = f"max_concurrency: 3\nrpm: 60\ntpm: 1.5e3\n{INPUT}tasks: [{{task: text-generation, llm: paid/m}}, "
    text += f"{{name: b, task: text-generation, llm: {own}}}]\n"
    assert limits_of(text) == [(3, 60, 1500), (3, 9, 1500)]


def test_a_limit_on_the_command_line_goes_before_the_file_and_a_setting_before_it(asked: Asked) -> None:
    text = f"max_concurrency: 3\n{INPUT}tasks: [{{task: text-generation, llm: {{provider: paid/m, rpm: 9}}}}]\n"
    options = ("--max-concurrency", "5", "--rpm", "600", "--tpm", "6e4", "--set", "tasks.text-generation.llm.tpm=100")
    assert run(text, *options).exit_code == 0
    llm = asked.built[-1]
    assert (llm.max_concurrency, llm.rpm, llm.tpm) == (5, 600, 100)


def test_generate_takes_limits_too(asked: Asked) -> None:
    assert generate("--max-concurrency", "5", "--rpm", "600", "--tpm", "60000", prompts=["a"]).exit_code == 0
    llm = asked.built[-1]
    assert (llm.max_concurrency, llm.rpm, llm.tpm) == (5, 600, 60000)


@pytest.mark.parametrize("limit", ["rpm", "tpm"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_a_limit_is_a_number_above_0(limit: str, value: str) -> None:
    result = invoke("generate", "-m", "offline", f"--{limit}", value)
    assert result.exit_code == 2
    assert "expected a number above 0" in " ".join(result.stderr.split())


# The ledger and the order


def stored_requests(run_dir: str) -> list[str | None]:
    with closing(sqlite3.connect(f"{run_dir}/ledger.sqlite")) as ledger:
        return [request for (request,) in ledger.execute("SELECT request FROM calls")]


@pytest.mark.usefixtures("asked")
def test_prompts_are_kept_unless_only_their_digests_are_asked_for() -> None:
    generate("--run-dir", "full", prompts=["a"])
    generate("--run-dir", "hash", "--ledger-requests", "hash", prompts=["a"])
    assert [request is None for request in stored_requests("full") + stored_requests("hash")] == [False, True]
    assert run(f"run_dir: file\nledger_requests: hash\n{INPUT}{TASK}").exit_code == 0
    assert stored_requests("file") == [None]


@pytest.mark.usefixtures("asked")
def test_rows_leave_in_order_unless_that_is_not_asked_for() -> None:
    def order(result: Result) -> list[str]:
        return [row["instruction"] for row in rows_of(result.stdout)]

    wide = "paid/wide"  # a model that no other test has asked one request at a time
    prompts = ["slow", "fast"]
    assert order(generate(prompts=prompts, model=wide)) == ["slow", "fast"]
    assert order(generate("--unordered", prompts=prompts, model=wide)) == ["fast", "slow"]
    text = f"unordered: true\ninput: [{{instruction: slow}}, {{instruction: fast}}]\n{TASK.replace('paid/m', wide)}"
    assert order(run(text)) == ["fast", "slow"]
    assert order(run(text, "--ordered")) == ["slow", "fast"]


def test_what_was_said_is_handed_to_the_task_and_nothing_else() -> None:
    assert RunSettings(rpm=3, run_dir="x").arguments() == {}
    assert RunSettings(max_failed=0, durability="full", ledger_requests="hash", unordered=True).arguments() == {
        "max_failed": 0,
        "durability": "full",
        "ledger_requests": "hash",
        "ordered": False,
    }


@pytest.mark.usefixtures("asked")
def test_durability_is_a_choice_of_two() -> None:
    assert generate("--durability", "full", prompts=["a"]).exit_code == 0
    assert generate("--durability", "normal", prompts=["a"]).exit_code == 0
    assert generate("--durability", "none", prompts=["a"]).exit_code == 2


# The directory in a file


@pytest.mark.usefixtures("asked")
def test_a_directory_in_the_file_is_meant_from_the_file_s_folder_and_the_same_command_goes_on() -> None:
    Path("below").mkdir()
    Path("below", "recipe.yaml").write_text(f"run_dir: kept\noutput: out.jsonl\n{INPUT}{TASK}")
    result = invoke("run", "below/recipe.yaml")
    assert result.exit_code == 0
    assert "Every answer is kept in below/kept. To go on from there: limbeck run below/recipe.yaml\n" in result.stderr
    assert "1 answer from the ledger" in invoke("run", "below/recipe.yaml").stderr
    assert len(read_rows(Path("below", "out.jsonl"))) == 1


@pytest.mark.usefixtures("asked")
def test_the_command_line_chooses_another_directory_or_none() -> None:
    text = f"run_dir: kept\n{INPUT}{TASK}"
    assert run(text, "--no-ledger").exit_code == 0
    assert run(text, "--run-dir", "other").exit_code == 0
    assert not Path("kept").exists()
    assert Path("other", "ledger.sqlite").is_file()
    assert run(f"no_ledger: true\n{INPUT}{TASK}").exit_code == 0
    assert run(f"no_ledger: true\n{INPUT}{TASK}", "--run-dir", "third").exit_code == 0
    assert Path("third", "ledger.sqlite").is_file()
    assert not Path("runs").exists()


def test_a_directory_and_no_directory_are_not_both_asked_for() -> None:
    result = invoke("generate", "-m", "offline", "--run-dir", "x", "--no-ledger")
    assert result.exit_code == 2
    assert "--run-dir and --no-ledger exclude each other" in result.stderr
    result = run(f"run_dir: x\nno_ledger: true\n{INPUT}{TASK}")
    assert result.exit_code == 1
    assert "recipe.yaml:2: `no_ledger` and `run_dir` exclude each other." in result.stderr


# Mistakes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run_dir: 3", "recipe.yaml:2: `run_dir`: expected a path, not 3."),
        ("no_ledger: 1", "recipe.yaml:2: `no_ledger`: expected true or false, not 1."),
        (
            "max_failed: lots",
            "recipe.yaml:2: `max_failed`: expected a count (20) or a fraction (0.05, or 5%), not 'lots'.",
        ),
        ("max_concurrency: 0", "recipe.yaml:2: `max_concurrency`: expected a whole number above 0, not 0."),
        ("max_concurrency: 1.5", "recipe.yaml:2: `max_concurrency`: expected a whole number above 0, not 1.5."),
        ("rpm: fast", "recipe.yaml:2: `rpm`: expected a number above 0, not 'fast'."),
        ("tpm: -1", "recipe.yaml:2: `tpm`: expected a number above 0, not -1."),
        ("durability: some", "recipe.yaml:2: `durability`: expected `normal` or `full`, not 'some'."),
        ("ledger_requests: none", "recipe.yaml:2: `ledger_requests`: expected `full` or `hash`, not 'none'."),
        ("unordered: maybe", "recipe.yaml:2: `unordered`: expected true or false, not 'maybe'."),
        ("max_faild: 3", "recipe.yaml:2: there is no key 'max_faild' here. Did you mean `max_failed`?"),
    ],
)
def test_a_mistake_in_the_file_is_told_by_line_and_key(line: str, told: str) -> None:
    result = run(f"{INPUT}{line}\n{TASK}")
    assert result.exit_code == 1
    assert told in result.stderr


def test_a_mistake_on_the_command_line_exits_with_2() -> None:
    result = invoke("generate", "-m", "offline", "--max-failed", "lots")
    assert result.exit_code == 2
    assert "expected a count (20) or a fraction (0.05, or 5%), not 'lots'" in " ".join(result.stderr.split())


def test_what_has_an_option_of_its_own_is_not_set() -> None:
    result = run(f"{INPUT}{TASK}", "--set", "max_failed=3")
    assert result.exit_code == 1
    assert "--set max_failed: this has an option of its own, `--max-failed`." in result.stderr


def test_a_limit_that_a_backend_does_not_know_is_told_with_where_it_was_said(tmp_path: Path) -> None:
    from limbeck import register_llm
    from limbeck.testing import registry

    class PlainLLM:
        def __init__(self, model: str) -> None:
            self.model_name = model

        def generate(self, request: object) -> object:
            raise NotImplementedError

    with registry():
        register_llm("plain", PlainLLM)
        file = run(f"rpm: 3\n{INPUT}tasks: [{{task: text-generation, llm: plain/m}}]\n")
        typed = invoke("generate", "-m", "plain/m", "--rpm", "3", stdin='{"instruction": "a"}')
    assert "recipe.yaml:1: the LLM 'plain/m' has no field 'rpm'" in file.stderr
    assert "--rpm: the LLM 'plain/m' has no field 'rpm'" in typed.stderr
