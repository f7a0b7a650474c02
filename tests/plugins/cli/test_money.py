"""Prices, caps, estimates, answers of other runs, answers asked for again, and explanations, on the command line."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from limbeck import LLM, register_llm
from limbeck.errors import ContentFilteredError, LimbeckWarning
from limbeck.testing import registry
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from limbeck_cli.money import dollars
from support.command import invoke, read_rows, write_rows

# Each answer takes 20 tokens in and 10 out: 0.0002 US dollars at these prices.
PRICES = "cutting-*: {input: 4, output: 12}\n"
COST = 0.0002
FILE = """
name: kept
input: rows.jsonl
output: out.jsonl
steps:
  - task: text-generation
    name: answer
    llm: {provider: cutting/cutting-1, generation_kwargs: {max_tokens: 10}}
"""


class CuttingLLM(LLM):
    """Cuts the answers to numbers that end in 7 short, unless 100 tokens are allowed; refuses what begins with that."""

    asked: ClassVar[list[str]] = []

    model: str
    base_url: str = "https://one.example"

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = str(request.messages[-1].get("content"))
        self.asked.append(prompt)
        if prompt.startswith("refuse"):
            raise ContentFilteredError("It was refused.", usage=Usage(input_tokens=2_000))
        cut = prompt.endswith("7") and request.parameters.get("max_tokens", 0) < 100
        text, reason = ("cut", "length") if cut else (f"whole, by {self.model}", "stop")
        usage = Usage(input_tokens=20, output_tokens=10)
        return GenerationResponse(generations=[Generation(text=text, finish_reason=reason)], usage=usage)


@pytest.fixture(autouse=True)
def asked() -> Iterator[list[str]]:
    """The prompts that `cutting` is asked; 40 rows, a file that asks about them, and the prices."""
    CuttingLLM.asked.clear()
    Path("p.yaml").write_text(FILE)
    Path("prices.yaml").write_text(PRICES)
    write_rows(Path("rows.jsonl"), [{"instruction": f"question {number}"} for number in range(40)])
    with registry():
        register_llm("cutting", CuttingLLM)
        yield CuttingLLM.asked


def run(*words: str, code: int = 0) -> Any:
    result = invoke("run", "p.yaml", "--run-dir", "run", *words)
    assert result.exit_code == code, result.output
    return result


def written() -> list[dict[str, Any]]:
    return read_rows(Path("out.jsonl"))


# Budgets


def test_a_run_says_what_it_cost() -> None:
    assert "$0.008" in run("--prices", "prices.yaml").stderr


def test_a_cap_on_the_cost_stops_with_status_4_and_a_higher_one_buys_the_rest(asked: list[str]) -> None:
    stopped = run("--prices", "prices.yaml", "--max-cost", f"{20 * COST}", code=4)
    bought = len(asked)

    assert 0 < bought <= 20
    assert len(written()) == bought
    assert "The budget is used up: of `max_cost=0.004`" in stopped.stderr
    assert "Stopped by the budget:" in stopped.stderr

    run("--prices", "prices.yaml", "--max-cost", "1")

    assert len(asked) == 40
    assert len(written()) == 40


def test_resume_takes_a_higher_cap(asked: list[str]) -> None:
    run("--max-requests", "15", code=4)
    assert invoke("resume", "run").exit_code == 4
    assert invoke("resume", "run", "--max-requests", "100").exit_code == 0
    assert len(asked) == 40


def test_an_unknown_price_stops_before_the_first_call_unless_it_is_allowed(asked: list[str]) -> None:
    refused = run("--max-cost", "1", code=1)
    assert "nothing knows what 'cutting-1' costs; nothing was sent" in refused.stderr
    assert asked == []
    run("--max-cost", "1", "--allow-unknown-price")
    assert len(asked) == 40


@pytest.mark.parametrize(
    "words", [("--max-cost", "0"), ("--max-cost", "much"), ("--max-tokens", "0"), ("--max-requests", "-1")]
)
def test_a_cap_that_is_not_above_zero_is_a_wrong_command_line(words: tuple[str, str], asked: list[str]) -> None:
    assert words[0] in run(*words, code=2).stderr
    assert asked == []


def test_a_price_table_that_is_wrong_is_told_with_its_place(asked: list[str]) -> None:
    Path("prices.yaml").write_text("cutting-1: {input: cheap, output: 2}\n")
    result = run("--prices", "prices.yaml", code=1)
    assert "prices.yaml: cutting-1.input: expected a number, 0 or more" in result.stderr
    assert asked == []


def test_the_file_can_say_it_and_the_command_line_goes_first(asked: list[str]) -> None:
    Path("p.yaml").write_text(f"{FILE}prices: prices.yaml\nmax_cost: {10 * COST}\n")
    run(code=4)
    assert 0 < len(asked) <= 10
    run("--max-cost", "1")
    assert len(asked) == 40


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("max_cost: 0", "`max_cost`: expected a number above 0, not 0"),
        ("max_tokens: many", "`max_tokens`: expected a whole number above 0, not 'many'"),
        ("cache: [1]", "`cache`: expected a path, or a list of paths"),
        ("allow_unknown_price: 3", "`allow_unknown_price`: expected true or false"),
    ],
)
def test_what_the_file_says_wrong_is_told_with_its_line(key: str, told: str) -> None:
    Path("p.yaml").write_text(f"{FILE}{key}\n")
    result = run(code=1)
    assert told in result.stderr and "p.yaml:9" in result.stderr


def test_generate_takes_them_too(asked: list[str]) -> None:
    words = ["generate", "-m", "cutting/cutting-1", "-i", "rows.jsonl", "-o", "out.jsonl", "--run-dir", "run"]
    result = invoke(*words, "--prices", "prices.yaml", "--max-requests", "5")
    assert result.exit_code == 4
    assert len(asked) == 5


# Estimates


def test_an_estimate_runs_some_rows_writes_no_output_and_its_answers_are_not_bought_again(asked: list[str]) -> None:
    result = run("--prices", "prices.yaml", "--estimate", "10")

    assert len(asked) == 10
    assert not Path("out.jsonl").exists()
    assert "Estimated from 10 of 40 rows; 95% intervals:" in result.stdout
    assert "cost          $0.008 ($0.008 to $0.008)" in result.stdout
    assert "To run the rest: limbeck run p.yaml --run-dir run --prices prices.yaml\n" in result.stderr

    run("--prices", "prices.yaml")

    assert len(asked) == 40
    assert len(written()) == 40


def test_an_estimate_without_a_directory_makes_one(asked: list[str]) -> None:
    result = invoke("run", "p.yaml", "--estimate", "5")
    folder = re.search(r"limbeck run p.yaml --run-dir (runs/\S+)", result.stderr)
    assert folder is not None
    assert invoke("run", "p.yaml", "--run-dir", folder[1]).exit_code == 0
    assert len(asked) == 40


def test_one_row_is_no_sample() -> None:
    assert "--estimate" in run("--estimate", "1", code=2).stderr


# Answers of other runs


def test_answers_of_other_runs_are_taken(asked: list[str]) -> None:
    run()
    result = invoke("run", "p.yaml", "--run-dir", "other", "--cache", "run", "--overwrite")
    assert result.exit_code == 0
    assert "40 answers from the ledger" in result.stderr
    assert len(asked) == 40


# Asking again


def test_retry_asks_only_for_what_is_meant_and_writes_all_rows_anew(asked: list[str]) -> None:
    run()
    before = written()
    asked.clear()

    result = invoke("retry", "run", "--where", "finish_reason = 'length'", "--set", "llm.max_tokens=200")

    assert result.exit_code == 0, result.output
    assert sorted(asked) == ["question 17", "question 27", "question 37", "question 7"]
    rows = written()
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in before]
    new = [row["instruction"] for row in rows if row["distilabel_metadata"]["lineage_answer"]["new"]]
    assert new == ["question 7", "question 17", "question 27", "question 37"]
    assert {row["generation"] for row in rows} == {"whole, by cutting-1"}

    asked.clear()
    again = invoke("retry", "run", "--where", "finish_reason = 'length'", "--set", "llm.max_tokens=200")
    assert again.exit_code == 0
    assert asked == []
    assert written()[7]["generation"] == "whole, by cutting-1"


def test_retry_with_another_model(asked: list[str]) -> None:
    run()
    asked.clear()
    result = invoke(
        "retry", "run", "--where", "generation = 'cut'", "-m", "cutting/cutting-2", "--set", "llm.max_tokens=100"
    )
    assert result.exit_code == 0, result.output
    assert len(asked) == 4
    assert written()[7]["generation"] == "whole, by cutting-2"
    assert written()[7]["model_name"] == "cutting-2"
    assert written()[8]["model_name"] == "cutting-1"


def test_a_retry_has_a_budget_too(asked: list[str]) -> None:
    run()
    result = invoke(
        "retry", "run", "--where", "finish_reason = 'length'", "--set", "llm.max_tokens=200", "--max-requests", "42"
    )
    assert result.exit_code == 4
    assert len(asked) == 42


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--where", "finish_reason = = 1"], "finish_reason = = 1\n                  ^"),
        (["--where", "scor < 3"], "no such column: scor"),
        (["--where", "failed", "--step", "anwser"], "has no task 'anwser'. Did you mean `answer`"),
        (["--where", "failed", "--set", "task.system_prompt=x"], "a retry changes how the model is asked"),
    ],
)
def test_a_retry_that_is_wrong_asks_nothing(words: list[str], told: str, asked: list[str]) -> None:
    run()
    asked.clear()
    before = Path("out.jsonl").read_bytes()
    result = invoke("retry", "run", *words)
    assert result.exit_code in (1, 5)
    assert told in result.stderr
    assert asked == []
    assert Path("out.jsonl").read_bytes() == before or result.exit_code == 5


def test_a_retry_of_damaged_answers_is_told_as_that() -> None:
    run()
    with closing(sqlite3.connect(Path("run", "ledger.sqlite"))) as vandal:
        vandal.execute("UPDATE calls SET detail = '{half'")
        vandal.commit()
    with pytest.warns(LimbeckWarning, match="The stored answer to row"):
        result = invoke("retry", "run", "--where", "failed")
    assert result.exit_code == 0
    assert "This was not expected" not in result.stderr


def test_the_command_that_began_the_run_stays_noted() -> None:
    run()
    command = json.loads(Path("run", "run.json").read_text())["command"]
    invoke("retry", "run", "--where", "failed")
    assert json.loads(Path("run", "run.json").read_text())["command"] == command


# Explanations


def test_explain_says_that_a_rows_answer_is_found() -> None:
    run()
    result = invoke("explain", "run", "7")
    assert result.exit_code == 0, result.output
    assert "Row 7 of step 'answer'" in result.stdout
    assert "Found: this row's call" in result.stdout
    assert 'identity.model: "cutting-1"' in result.stdout


def test_explain_names_what_a_change_would_miss_by() -> None:
    run()
    result = invoke("explain", "run", "7", "--set", "steps.answer.llm.base_url=https://two.example")
    assert 'identity.base_url: "https://one.example" -> "https://two.example"' in result.stdout
    prompt = invoke("explain", "run", "7", "--set", "steps.answer.system_prompt=Be brief.")
    assert 'system_prompt: null -> "Be brief."' in prompt.stdout


def test_a_row_that_made_its_way_through_other_tasks_is_explained_by_its_stored_prompt() -> None:
    second = "  - {task: text-generation, name: more, llm: cutting/cutting-1, output_mappings: {generation: more}}\n"
    Path("p.yaml").write_text(FILE + second)
    run()
    result = invoke("explain", "run", "7", "--step", "more")
    assert "Row 7 of step 'more'" in result.stdout
    assert "Found: this row's call" in result.stdout
    assert "name the step" in invoke("explain", "run", "7").stderr


def test_explain_shows_the_prompt_that_was_refused_and_how_it_was_asked() -> None:
    write_rows(Path("rows.jsonl"), [{"instruction": "refuse this"}])
    refused = invoke("run", "p.yaml", "--run-dir", "run", "--prices", "prices.yaml")
    assert "$0.008" in refused.stderr
    told = invoke("explain", "run", "0").stdout
    assert "failed at its one attempt: ContentFilteredError: It was refused." in told
    assert 'parameters: {"max_tokens": 10}' in told
    assert "(user): refuse this" in told
    assert "tokens: 2000 in, 0 out" in told


def test_a_row_that_is_not_there_is_told() -> None:
    run()
    assert "has no row '99'" in invoke("explain", "run", "99").stderr
    assert "is no run directory" in invoke("explain", "nowhere", "0").stderr


@pytest.mark.parametrize(
    ("amount", "told"), [(0, "$0"), (9e-06, "$0.000009"), (0.04912, "$0.04912"), (1.5, "$1.5"), (12345.6, "$12,350")]
)
def test_dollars_have_no_exponent(amount: float, told: str) -> None:
    assert dollars(amount) == told
