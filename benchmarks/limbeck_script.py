"""Limbeck's Python API on the rows of a JSONL file: what `limbeck generate` does, without the command's own cost."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from benchmarks.floors.window import add_arguments
from limbeck import get_llm, get_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    llm = get_llm("openai")(model="bench", base_url=options.url, api_key="bench", max_concurrency=options.window)
    task = get_task("text-generation")(llm=llm)
    with options.output.open("w", encoding="utf-8") as out:
        for row in task.run(rows_of(options.input), ordered=False):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
