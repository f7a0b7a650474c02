"""A pipeline's file and its settings, for programs that read, change, check and build pipelines.

    from limbeck.recipes import build_pipeline, check_pipeline, recipe_of_file

    recipe = recipe_of_file("pipeline.yaml", ["steps.answer.llm.temperature=0"])
    recipe.read_from("questions.jsonl", "--input")
    pipeline = build_pipeline(recipe)
    check_pipeline(pipeline, recipe)

A recipe is what was asked for, before any class is known; every error says where it was written. Who only wants the
pipeline of a file has `Pipeline.from_yaml`.

- `recipe_of_file`, `recipe_of_dict`, `recipe_of_task`: a `Recipe`, with `--set` arguments on top.
- `build_pipeline`, `check_pipeline`, `build_one`, `sources_of`: what is made of it.
- `RunSettings`: how it is run. `amount_of`, `max_failed_of`: what is typed for some of them.
- `file_schema`, `describe_fields`: what a file may hold. `is_secret`: what is not to be repeated anywhere.
- `compile_expression`, `expression_columns`: conditions and values that a file holds in place of code.

Each name is imported when it is first used; `RunSettings` needs neither pydantic nor YAML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_names

if TYPE_CHECKING:
    from ._pipeline.config.build import build_one, check_pipeline, sources_of
    from ._pipeline.config.docstrings import FieldDescription, describe_fields
    from ._pipeline.config.load import recipe_of_dict, recipe_of_file
    from ._pipeline.config.recipe import Recipe, recipe_of_task
    from ._pipeline.config.run_settings import RunSettings, amount_of, max_failed_of
    from ._pipeline.config.schema import file_schema
    from ._pipeline.config.settings import is_secret
    from ._pipeline.pipeline import build_pipeline
    from ._pipeline.steps.expressions import compile_expression, expression_columns

_HOMES = {
    "FieldDescription": "._pipeline.config.docstrings",
    "Recipe": "._pipeline.config.recipe",
    "RunSettings": "._pipeline.config.run_settings",
    "amount_of": "._pipeline.config.run_settings",
    "build_one": "._pipeline.config.build",
    "build_pipeline": "._pipeline.pipeline",
    "check_pipeline": "._pipeline.config.build",
    "compile_expression": "._pipeline.steps.expressions",
    "describe_fields": "._pipeline.config.docstrings",
    "expression_columns": "._pipeline.steps.expressions",
    "file_schema": "._pipeline.config.schema",
    "is_secret": "._pipeline.config.settings",
    "max_failed_of": "._pipeline.config.run_settings",
    "recipe_of_dict": "._pipeline.config.load",
    "recipe_of_file": "._pipeline.config.load",
    "recipe_of_task": "._pipeline.config.recipe",
    "sources_of": "._pipeline.config.build",
}

__all__ = [
    "FieldDescription",
    "Recipe",
    "RunSettings",
    "amount_of",
    "build_one",
    "build_pipeline",
    "check_pipeline",
    "compile_expression",
    "describe_fields",
    "expression_columns",
    "file_schema",
    "is_secret",
    "max_failed_of",
    "recipe_of_dict",
    "recipe_of_file",
    "recipe_of_task",
    "sources_of",
]

if not TYPE_CHECKING:  # or a type checker would take every misspelt name for one of these
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
