"""`structured-generation`: an answer that satisfies a JSON Schema, as a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer
from pydantic.errors import PydanticUserError

from limbeck import Task
from limbeck.errors import ConfigurationError
from limbeck.structured import json_schema_of
from limbeck.types import Example

from .nulls import schema_without_nulls
from .prompts import chat, null_column, system_prompt_for, text_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row

_EXAMPLE_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


def _read_schema(value: Any) -> Any:
    """A pydantic model stays one, so that its own validators run; anything else becomes a JSON Schema."""
    try:
        schema = json_schema_of(value)
    except PydanticUserError as exc:
        raise ConfigurationError(f"`output_schema`: `{value.__name__}` has no JSON Schema: {exc.message}") from exc
    return value if isinstance(value, type) else schema


OutputSchema = Annotated[Any, BeforeValidator(_read_schema), PlainSerializer(json_schema_of, return_type=Any)]


class StructuredGeneration(Task):
    """Ask the model with an instruction, for an answer that satisfies a schema.

    Input columns: `instruction`; `system_prompt` (optional), which wins over the attribute
    where it is not empty; without `output_schema`, the column `schema_column`. Output
    columns: `generation`, the answer as plain Python values (a dict for an object), once
    it satisfies the schema; `model_name`. The model's text is in the metadata.

    An answer that breaks the schema, or holds no JSON, is a failed generation
    (`SchemaError`) with its text kept.

    Attributes:
        output_schema: a pydantic model, a JSON Schema, or the JSON text of one, for all rows. A
            saved configuration holds a model's JSON Schema, without validators written in Python.
        schema_column: where each row has its own schema, a JSON Schema or the JSON text of
            one; read only without `output_schema`. Keys that are null, which Arrow tables put in
            where schemas differ, are left out.
        system_prompt: for every row that has none of its own.
        schema_in_prompt: write the schema into the system prompt as well. By default only
            for a backend that does not declare `native_json_schema`.
    """

    output_schema: OutputSchema = None  # type: ignore[misc]  # a field, which `Task` provides for
    schema_column: str = "output_schema"
    system_prompt: str | None = None
    schema_in_prompt: bool | None = None

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self.schema_column in ("instruction", "system_prompt"):
            raise ConfigurationError(
                f"`schema_column` of {self.name!r} is {self.schema_column!r}, which is a column of the task already."
            )

    @property
    def inputs(self) -> dict[str, bool]:
        columns = {"instruction": True, "system_prompt": False}
        return columns if self.output_schema is not None else {**columns, self.schema_column: True}

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def schema_for(self, input: Row) -> Any:
        if self.output_schema is not None:
            return self.output_schema
        schema = input[self.schema_column]
        if schema is None:
            raise null_column(self.schema_column)
        try:
            return json_schema_of(schema_without_nulls(schema))
        except ConfigurationError as exc:
            raise ValueError(f"The schema in the column `{self.schema_column}` cannot be used. {exc}") from exc

    def format_input(self, input: Row) -> ChatType:
        system_prompt = system_prompt_for(input, self.system_prompt)
        if self._schema_in_prompt():
            system_prompt = f"{system_prompt}\n\n{self._demand(input)}" if system_prompt else self._demand(input)
        return chat(text_column(input, "instruction"), system_prompt)

    def _schema_in_prompt(self) -> bool:
        if self.schema_in_prompt is not None:
            return self.schema_in_prompt
        return not getattr(getattr(self.llm, "capabilities", None), "native_json_schema", False)

    def _demand(self, input: Row) -> str:
        schema = json.dumps(json_schema_of(self.schema_for(input)), ensure_ascii=False)
        return f"Reply with nothing but JSON that is valid against this JSON Schema:\n{schema}"

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        return {"generation": json.loads(output or "")}

    def examples(self) -> Sequence[Example]:
        """One, where the schema comes with the row; of a schema of yours, the first of its own `examples`."""
        if self.output_schema is None:
            schema, values = {self.schema_column: _EXAMPLE_SCHEMA}, [{"city": "Madrid", "country": "Spain"}]
        else:
            schema, values = {}, (json_schema_of(self.output_schema) or {}).get("examples", [])
        row = {"instruction": "Which city is the capital of Spain?", **schema}
        return [Example(row, json.dumps(value, ensure_ascii=False), {"generation": value}) for value in values[:1]]
