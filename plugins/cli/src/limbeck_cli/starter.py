"""Files to start from: a commented pipeline, and the schema by which editors check one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from limbeck.errors import ConfigurationError

from .exits import say
from .pydantic_guard import make_pydantic_usable

STARTER = """\
# A pipeline: rows come in, go through the steps one after another, and are written.
#   limbeck validate {file}     checks it without asking a model
#   limbeck run {file}          runs it; what it says at the end resumes it
#   limbeck schema -o limbeck.schema.json   lets editors complete and check it:
# yaml-language-server: $schema=limbeck.schema.json
name: {name}

# Rows, or a file beside this one (.jsonl, .json, .csv), or "-" for standard input.
input:
  - {{instruction: "What's the capital of Spain?"}}
  - {{instruction: "What's the capital of Peru?"}}

# A file beside this one, or "-" for standard output.
output: "-"

# What may go wrong before the run stops: so many rows, or a part of them (5%).
max_failed: 20

steps:
  # `limbeck tasks` and `limbeck steps` list what there is; `limbeck show task text-generation` has its fields.
  - task: text-generation
    name: answer
    # The offline stand-in needs no key and asks no model. For a real one, write provider/model:
    #   llm: openai/gpt-5-mini
    # or, with its fields (a key comes from the environment, never from a file):
    #   llm: {{provider: openai/gpt-5-mini, api_key: "${{env:OPENAI_API_KEY}}", generation_kwargs: {{temperature: 0}}}}
    llm: offline
    system_prompt: Answer in one sentence.

  # Takes the rows of the step before it; `after: NAME` takes those of another, so that steps branch and meet.
  - task: text-classification
    name: check
    llm: offline
    labels: [right, wrong]
    input_mappings: {{text: generation}}
"""


def write_starter(file: str) -> None:
    """Write a pipeline's file to start from.

    Raises:
        ConfigurationError: it exists, or cannot be written.
    """
    path = Path(file)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigurationError(f"{file!r}: the file to start from is YAML; name it .yaml.")
    text = STARTER.format(file=path.name, name=json.dumps(path.stem))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{file!r} exists, and is not replaced. Name another file.") from None
    except OSError as exc:
        raise ConfigurationError(f"{file!r} cannot be written: {exc.strerror or exc}.") from exc
    say(f"{file} is written. Try it: limbeck run {file}")


def write_schema(output: str) -> None:
    """Write the JSON Schema of a pipeline's file.

    Raises:
        ConfigurationError: it cannot be written.
    """
    make_pydantic_usable()
    from limbeck.recipes import file_schema

    text = json.dumps(file_schema(), indent=2, ensure_ascii=False) + "\n"
    if output == "-":
        typer.echo(text, nl=False)
        sys.stdout.flush()
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"{output!r} cannot be written: {exc.strerror or exc}.") from exc
