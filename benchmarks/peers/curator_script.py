"""Curator's LLM on the rows of a JSONL file, with its limits set out of the way.

Through litellm, because its own OpenAI backend downloads a tokenizer before the first call.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bespokelabs import curator
from datasets import Dataset

from benchmarks.floors.window import add_arguments


class Answerer(curator.LLM):  # type: ignore[misc]  # curator is not installed where types are checked
    def prompt(self, input: dict[str, Any]) -> str:
        return str(input["instruction"])

    def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
        return {**input, "generation": response, "model_name": "bench"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    limits = {"max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 10_000_000_000}
    backend = {"base_url": options.url, "max_concurrent_requests": options.window, **limits}
    llm = Answerer(model_name="openai/bench", backend="litellm", backend_params=backend)
    rows = [json.loads(line) for line in options.input.read_text(encoding="utf-8").splitlines()]
    answers = llm(Dataset.from_list(rows), working_dir=str(Path.cwd() / "cache"))
    with options.output.open("w", encoding="utf-8") as out:
        for row in answers.dataset:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
