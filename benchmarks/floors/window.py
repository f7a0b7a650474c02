"""What the hand-written scripts share: a window of workers over the rows of a JSONL file, into another.

A row is written, and flushed, as soon as it is answered, so a second run asks only for what is missing.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every script takes."""
    parser.add_argument("--url", required=True, help="base URL of an OpenAI-compatible server")
    parser.add_argument("-i", "--input", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--window", type=int, default=256)


async def answer_rows(ask: Callable[[str], Awaitable[str]], source: Path, target: Path, window: int) -> None:
    """Ask about each row's `instruction`; a row whose call failed is written with its error."""
    rows = _missing(source, target)
    with target.open("a", encoding="utf-8") as out:

        async def work() -> None:
            for row in rows:
                out.write(json.dumps(await _answered(ask, row), ensure_ascii=False) + "\n")
                out.flush()

        await asyncio.gather(*(work() for _ in range(window)))


async def _answered(ask: Callable[[str], Awaitable[str]], row: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**row, "generation": await ask(row["instruction"]), "model_name": "bench"}
    except Exception as exc:  # noqa: BLE001 - one failed row must not end the script
        return {**row, "generation": None, "model_name": "bench", "error": f"{type(exc).__name__}: {exc}"}


def _missing(source: Path, target: Path) -> Iterator[dict[str, Any]]:
    done = set()
    if target.exists():
        with target.open(encoding="utf-8") as lines:
            done = {json.loads(line)["instruction"] for line in lines if line.endswith("\n")}
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["instruction"] not in done:
                yield row
