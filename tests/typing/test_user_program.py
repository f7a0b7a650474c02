"""A user's program type-checks as it stands, runs, and has its mistakes told by the type checker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.packs import environment

PROGRAM = Path(__file__).with_name("user_program.py")


def mypy(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`mypy --strict` as a user has it: installed packages, no settings of this repository."""
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(source)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_users_program_passes_mypy_in_strict_mode(tmp_path: Path) -> None:
    done = mypy(PROGRAM, tmp_path)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_same_program_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "'summary': 'gate-1 heard In 3 words: hello'" in done.stdout


MISTAKES = """
from limbeck import LLM, Taks, Task
from limbeck.testing import EchoLLM
from limbeck.types import GenerationRequest, GenerationResponse
from limbeck_tasks import TextGeneration

class Blocking(LLM):
    def agenerate(self, request: GenerationRequest) -> str: ...

TextGeneration(llm=EchoLLM(), num_generation=3)
TextGeneration(llm=EchoLLM(), on_error="ignore")
EchoLLM().modle_name
GenerationRequest([])
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("mistakes")
    source = folder / "mistakes.py"
    source.write_text(MISTAKES)
    return mypy(source, folder).stdout


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (2, "attr-defined"),
        (10, "call-arg"),
        (11, "arg-type"),
        (12, "attr-defined"),
        (13, "call-arg"),
    ],
)
def test_a_users_mistake_is_a_type_error(told: str, line: int, code: str) -> None:
    assert any(f"mistakes.py:{line}: error:" in each and f"[{code}]" in each for each in told.splitlines()), told
