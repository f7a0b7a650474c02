"""The `limbeck` command for tests: the installed script in a process of its own, or the same in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from limbeck_cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typer.testing import Result

SCRIPT = str(Path(sys.executable).with_name("limbeck"))
REPOSITORY = Path(__file__).parents[2]

# What a developer may have set must not change a test; what the command sets must not outlive it.
_OWN_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "LIMBECK_DEBUG",
    "LIMBECK_DISABLE_PLUGINS",
    "LIMBECK_MODEL",
    "LIMBECK_ONLY_PLUGINS",
    "LIMBECK_PIN",
    "LIMBECK_STRICT_PLUGINS",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "PYDANTIC_DISABLE_PLUGINS",
)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the variables of Limbeck, OpenAI and Anthropic, and with these."""
    kept = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    if "PYTHONPATH" in variables and "PYTHONPATH" in kept:
        variables["PYTHONPATH"] += os.pathsep + kept["PYTHONPATH"]
    return {**kept, "COLUMNS": "200", **variables}


def limbeck(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: str | bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the installed command to its end."""
    sent = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [SCRIPT, *arguments],
        input=sent,
        capture_output=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def start(*arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start the installed command."""
    return subprocess.Popen([SCRIPT, *arguments], env=environment(**(env or {})), **options)


def invoke(*arguments: str, stdin: str | bytes | None = None, **variables: str) -> Result:
    """Run the command in this process."""
    env: dict[str, str | None] = {**dict.fromkeys(_OWN_VARIABLES), "COLUMNS": "200", **variables}
    return CliRunner(env=env).invoke(app, list(arguments), input=stdin, prog_name="limbeck")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Write a JSONL file; gives its path as text."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return rows_of(path.read_text(encoding="utf-8"))


def rows_of(text: str) -> list[dict[str, Any]]:
    """The rows of JSONL text."""
    return [json.loads(line) for line in text.splitlines()]
