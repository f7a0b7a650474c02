"""distilabel's pipeline on the rows of a JSONL file, in batches as large as the window, which suits it best."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

from benchmarks.floors.window import add_arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.input.read_text(encoding="utf-8").splitlines()]
    with Pipeline(name="bench", cache_dir=Path.cwd() / "cache") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=options.window)
        llm = OpenAILLM(model="bench", base_url=options.url, api_key="bench")
        load >> TextGeneration(llm=llm, input_batch_size=options.window)
    distiset = pipeline.run()
    with options.output.open("w", encoding="utf-8") as out:
        for row in distiset["default"]["train"]:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
