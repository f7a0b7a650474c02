"""Data Designer's text column over the rows of a JSONL file as its seed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner

from benchmarks.floors.window import add_arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    rows = pd.read_json(options.input, lines=True)
    provider = dd.ModelProvider(name="loopback", endpoint=options.url, api_key="bench")
    parameters = dd.ChatCompletionInferenceParams(max_parallel_requests=options.window)
    model = dd.ModelConfig(
        alias="bench", model="bench", provider="loopback", inference_parameters=parameters, skip_health_check=True
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    config.with_seed_dataset(dd.DataFrameSeedSource(df=rows))
    config.add_column(dd.LLMTextColumnConfig(name="generation", prompt="{{ instruction }}", model_alias="bench"))
    designer = DataDesigner(artifact_path=Path.cwd() / "artifacts", model_providers=[provider])
    made = designer.create(config, num_records=len(rows), resume=dd.ResumeMode.IF_POSSIBLE).load_dataset()
    with options.output.open("w", encoding="utf-8") as out:
        for row in made.to_dict("records"):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
