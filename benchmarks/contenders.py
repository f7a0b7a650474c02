"""Who runs: hand-written scripts and Limbeck's command. The peers are in `benchmarks.peers`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .server import answer_to

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a contender is to do: ask the server about each row's `instruction`, and write `generation` beside it.

    Attributes:
        url: the server's base URL. source: a JSONL file. target: the JSONL file to write.
        window: requests in flight. again: whether a run before this one was killed.
    """

    url: str
    source: Path
    target: Path
    window: int
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A program that does a job.

    Attributes:
        name: as it stands in the tables. command: the command line for a job.
        environment: the environment variables for a job's server.
    """

    name: str
    command: Callable[[Job], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def environment_for(self, job: Job) -> dict[str, str]:
        """The key and the address that an OpenAI client reads, a home without caches, and its own variables."""
        home = str(job.target.parent)
        return {"OPENAI_BASE_URL": job.url, "OPENAI_API_KEY": "bench", "HOME": home, **self.environment}


def _script(module: str, *options: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        files = ["-i", str(job.source), "-o", str(job.target)]
        return [sys.executable, "-m", module, "--url", job.url, *files, f"--window={job.window}", *options]

    return command


def _limbeck_generate(job: Job) -> list[str]:
    program = Path(sys.executable).parent / "limbeck"
    files = ["-i", str(job.source), "-o", str(job.target)]
    window = ["--max-concurrency", str(job.window)]
    again = ["--overwrite"] if job.again else []
    return [str(program), "generate", "-t", "text-generation", "-m", "openai/bench", *files, *window, "--quiet", *again]


def _limbeck_generate_with_a_ledger(job: Job) -> list[str]:
    return [*_limbeck_generate(job), "--run-dir", str(job.target.parent / "run")]


BARE_AIOHTTP = Contender(name="bare aiohttp", command=_script("benchmarks.floors.bare_aiohttp"))
BARE_AIOHTTP_RETRYING = Contender(
    name="bare aiohttp, retrying", command=_script("benchmarks.floors.bare_aiohttp", "--retry")
)
BARE_SDK = Contender(name="bare SDK", command=_script("benchmarks.floors.bare_sdk"))
BARE_SDK_RETRYING = Contender(
    name="bare SDK, its own 2 retries", command=_script("benchmarks.floors.bare_sdk", "--max-retries=2")
)
BARE_SDK_DEFAULT = Contender(
    name="bare SDK, default transport", command=_script("benchmarks.floors.bare_sdk", "--transport=default")
)
LIMBECK = Contender(name="`limbeck generate`", command=_limbeck_generate)
LIMBECK_LEDGER = Contender(name="`limbeck generate --run-dir`", command=_limbeck_generate_with_a_ledger)
LIMBECK_PYTHON = Contender(name="Limbeck from Python", command=_script("benchmarks.limbeck_script"))


# The work


def write_rows(path: Path, count: int) -> None:
    """A JSONL file of `count` rows, whose prompts are all different."""
    question = "which river runs through the capital of country number {0}, and what is that city known for?"
    with path.open("w", encoding="utf-8") as out:
        for index in range(count):
            prompt = f"Row {index}: {question.format(index)} Answer in one paragraph."
            out.write(json.dumps({"instruction": prompt}) + "\n")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a contender's output file holds.

    Attributes:
        right: rows with the answer to their own prompt. null: rows without an answer.
        wrong: rows with another's. lost: rows that are not there.
    """

    right: int = 0
    null: int = 0
    wrong: int = 0
    lost: int = 0


def delivered(job: Job) -> Delivered:
    """Compare a job's output with its input; a row that is there twice counts as wrong."""
    with job.source.open(encoding="utf-8") as lines:
        prompts = {json.loads(line)["instruction"] for line in lines}
    kinds: Counter[str] = Counter()
    for row in _rows(job.target):
        kinds[_kind(row, prompts)] += 1
        prompts.discard(row.get("instruction"))
    return Delivered(kinds["right"], kinds["null"], kinds["wrong"], len(prompts))


def _kind(row: dict[str, Any], prompts: set[str]) -> str:
    if row.get("instruction") not in prompts:
        return "wrong"
    if not isinstance(row.get("generation"), str):  # pandas writes what is missing as NaN
        return "null"
    return "right" if row["generation"].startswith(answer_to(row["instruction"])) else "wrong"


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]
