"""StructuredGeneration: a schema for all rows or for each, and values that satisfy it."""

import json
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel, Field, field_validator

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Capabilities, GenerationRequest, GenerationResponse, Row
from limbeck_tasks import StructuredGeneration
from support.loopback import serving

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class City(BaseModel):
    name: str = Field(min_length=1)
    inhabitants: int

    @field_validator("name")
    @classmethod
    def _real(cls, name: str) -> str:
        if name == "Atlantis":
            raise ValueError("no such city")
        if name == "El Dorado":
            raise KeyError(name)
        return name


class NativeLLM(ScriptedLLM):
    capabilities = Capabilities(native_json_schema=True)


class DuckLLM:
    model_name = "duck"

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        raise NotImplementedError


def answered(answer: str | None, columns: Row | None = None, **fields: Any) -> Row:
    task = StructuredGeneration(llm=ScriptedLLM(script=[answer]), **fields)
    (row,) = next(task.process([{"instruction": "Which city?", **(columns or {})}]))
    return row


def error_of(row: Row) -> Any:
    return row["distilabel_metadata"]["error_structured-generation"]


# What comes of a row


def test_the_generation_is_the_answer_as_a_plain_value() -> None:
    assert answered('{"n": 1}', output_schema=SCHEMA) == {
        "instruction": "Which city?",
        "generation": {"n": 1},
        "distilabel_metadata": {"raw_output_structured-generation": '{"n": 1}'},
        "model_name": "scripted",
    }


@pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA)], ids=["dict", "text"])
def test_a_row_may_bring_its_own_schema(schema: Any) -> None:
    row = answered('{"n": 1}', {"output_schema": schema})
    assert row["generation"] == {"n": 1}
    assert row["output_schema"] == schema


def test_the_schemas_column_may_have_another_name() -> None:
    assert answered('{"n": 1}', {"form": SCHEMA}, schema_column="form")["generation"] == {"n": 1}


def test_the_attributes_schema_leaves_a_column_of_that_name_alone() -> None:
    row = answered('{"n": 1}', {"output_schema": "not a schema"}, output_schema=SCHEMA)
    assert row["generation"] == {"n": 1}
    assert row["output_schema"] == "not a schema"


def test_a_pydantic_model_gives_plain_values() -> None:
    row = answered('{"name": "Ávila", "inhabitants": 58000}', output_schema=City)
    assert row["generation"] == {"name": "Ávila", "inhabitants": 58000}


@pytest.mark.parametrize("answer", ["[1, 2]", "[]"])
def test_an_answer_may_be_a_list(answer: str | None) -> None:
    assert answered(answer, output_schema={"type": "array"})["generation"] == json.loads(str(answer))


def test_json_in_a_fence_after_thinking_is_found_and_the_text_is_kept() -> None:
    text = '<think>{"n": 0}?</think>Here:\n```json\n{"n": 1}\n```'
    row = answered(text, output_schema=SCHEMA)
    assert row["generation"] == {"n": 1}
    assert row["distilabel_metadata"]["raw_output_structured-generation"] == text


@pytest.mark.parametrize("grouped", [True, False])
def test_three_generations_come_as_three_rows_or_one_group(grouped: bool) -> None:
    task = StructuredGeneration(
        llm=ScriptedLLM(script=['{"n": 1}', "none", '{"n": 3}']),
        output_schema=SCHEMA,
        num_generations=3,
        group_generations=grouped,
    )
    generations = [row["generation"] for row in next(task.process([{"instruction": "x"}]))]
    expected = [{"n": 1}, None, {"n": 3}]
    assert generations == ([expected] if grouped else expected)


# Answers and rows that fail


@pytest.mark.parametrize(
    ("answer", "schema", "fault"),
    [
        ('{"n": "1"}', SCHEMA, r"at $.n: '1' is not of type 'integer'"),
        ("{}", SCHEMA, "'n' is a required property"),
        ("one", SCHEMA, "holds no JSON"),
        ('{"n": 1', SCHEMA, "holds no JSON"),
        ("", SCHEMA, "is empty"),
        ('{"name": "", "inhabitants": 1}', City, "breaks the schema of `City` at name"),
        ('{"name": "Atlantis", "inhabitants": 1}', City, "no such city"),
        ('{"name": "El Dorado", "inhabitants": 1}', City, "cannot be checked against the schema: KeyError"),
        ("[" * 100_000, SCHEMA, "cannot be checked against the schema"),
    ],
)
def test_an_answer_that_breaks_the_schema_is_a_typed_error_with_its_text_kept(
    answer: str | None, schema: Any, fault: str
) -> None:
    row = answered(answer, output_schema=schema)
    assert row["generation"] is None
    assert row["distilabel_metadata"]["raw_output_structured-generation"] == answer
    assert error_of(row)["type"] == "SchemaError"
    assert fault in error_of(row)["message"]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"output_schema": None}, "The column `output_schema` is null"),
        (
            {"output_schema": "{"},
            "The schema in the column `output_schema` cannot be used.",
        ),
        ({"output_schema": {"type": "objekt"}}, "is not a valid JSON Schema: at type: 'objekt'"),
        ({"output_schema": 3}, "must be a pydantic model or a JSON Schema, not int"),
        ({"output_schema": SCHEMA, "instruction": None}, "The column `instruction` is null"),
        ({"output_schema": SCHEMA, "instruction": ["x"]}, "The column `instruction` must hold text, not list"),
    ],
)
def test_a_row_that_cannot_be_asked_about_fails_alone_and_nothing_is_sent(columns: dict[str, Any], fault: str) -> None:
    llm = ScriptedLLM(script=['{"n": 1}'])
    rows = [{"instruction": "x", **columns}, {"instruction": "x", "output_schema": SCHEMA}]
    bad, good = next(StructuredGeneration(llm=llm).process(rows))
    assert bad["generation"] is None
    assert error_of(bad)["type"] == "RowError"
    assert fault in error_of(bad)["message"]
    assert good["generation"] == {"n": 1}
    assert len(llm.requests) == 1


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/nowhere"}, {"$ref": "#"}])
def test_a_rows_schema_that_leads_nowhere_fails_that_row_alone(schema: Any) -> None:
    llm = ScriptedLLM(script=lambda _: '{"n": 1}')
    rows = [{"instruction": "x", "output_schema": schema}, {"instruction": "x", "output_schema": SCHEMA}]
    bad, good = next(StructuredGeneration(llm=llm).process(rows))
    assert "cannot be checked against the schema" in error_of(bad)["message"]
    assert good["generation"] == {"n": 1}


def test_a_rows_schema_is_not_fetched_from_elsewhere() -> None:
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"type": "object"})

    app = web.Application()
    app.router.add_get("/schema", give)
    with serving(app) as url:
        row = answered('{"n": 1}', {"output_schema": {"$ref": f"{url}/schema"}})
    assert asked == []
    assert "Unresolvable" in error_of(row)["message"]


# What the model is asked


def test_the_schema_goes_with_the_request() -> None:
    llm = ScriptedLLM(script=lambda _: '{"name": "x", "inhabitants": 1}')
    next(StructuredGeneration(llm=llm, output_schema=City).process([{"instruction": "x"}]))
    assert llm.requests[0].output_schema == City.model_json_schema()


def test_a_backend_with_native_schemas_gets_the_instruction_alone() -> None:
    task = StructuredGeneration(llm=NativeLLM(script=[]), output_schema=SCHEMA)
    assert task.format_input({"instruction": "x"}) == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("llm", [ScriptedLLM(script=[]), DuckLLM()], ids=["declares none", "declares nothing"])
def test_for_another_backend_the_schema_is_in_the_system_prompt(llm: Any) -> None:
    task = StructuredGeneration(llm=llm, output_schema=SCHEMA, system_prompt="Be brief.")
    chat: Any = task.format_input({"instruction": "x"})
    system, user = chat
    assert user == {"role": "user", "content": "x"}
    first, rest = system["content"].split("\n\n")
    assert first == "Be brief."
    assert json.loads(rest.split("\n")[1]) == SCHEMA


@pytest.mark.parametrize(("llm", "shown"), [(NativeLLM(script=[]), True), (ScriptedLLM(script=[]), False)])
def test_schema_in_prompt_decides_otherwise(llm: Any, shown: bool) -> None:
    task = StructuredGeneration(llm=llm, schema_in_prompt=shown)
    chat = task.format_input({"instruction": "x", "output_schema": SCHEMA})
    assert [message["role"] for message in chat] == (["system", "user"] if shown else ["user"])


@pytest.mark.parametrize(("own", "used"), [("Mine.", "Mine."), ("", "Theirs."), (None, "Theirs.")])
def test_a_rows_own_system_prompt_wins_where_it_is_not_empty(own: str | None, used: str) -> None:
    task = StructuredGeneration(llm=NativeLLM(script=[]), output_schema=SCHEMA, system_prompt="Theirs.")
    chat = task.format_input({"instruction": "x", "system_prompt": own})
    assert chat[0] == {"role": "system", "content": used}


@pytest.mark.parametrize("text", ["", "half \ud83d", "数" * 10_000_000], ids=["empty", "surrogate", "30 MB"])
def test_any_text_is_an_instruction(text: Any) -> None:
    assert answered('{"n": 1}', {"instruction": text}, output_schema=SCHEMA)["generation"] == {"n": 1}


# What it is built with


def test_inputs_have_the_schemas_column_only_where_it_is_read() -> None:
    assert StructuredGeneration(llm="offline").inputs == {
        "instruction": True,
        "system_prompt": False,
        "output_schema": True,
    }
    assert StructuredGeneration(llm="offline", output_schema=SCHEMA).inputs == {
        "instruction": True,
        "system_prompt": False,
    }


class Opaque(BaseModel, arbitrary_types_allowed=True):
    part: slice


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "objekt"}, "not a valid JSON Schema: at type: 'objekt'"),
        ('{"type": "object"', "text that cannot be read as JSON"),
        (["n"], "must be a pydantic model or a JSON Schema, not list"),
        (int, "must be a pydantic model or a JSON Schema, not type"),
        (Opaque, "`Opaque` has no JSON Schema"),
    ],
)
def test_a_schema_that_is_none_is_refused_when_the_task_is_built(schema: Any, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        StructuredGeneration(llm="offline", output_schema=schema)


def test_the_schemas_column_cannot_be_one_of_the_others() -> None:
    with pytest.raises(ConfigurationError, match="`schema_column` of 'structured-generation' is 'instruction'"):
        StructuredGeneration(llm="offline", schema_column="instruction")


@pytest.mark.parametrize("exclude_unset", [True, False])
@pytest.mark.parametrize(
    ("schema", "saved"),
    [(None, None), (SCHEMA, SCHEMA), (json.dumps(SCHEMA), SCHEMA), (City, City.model_json_schema())],
    ids=["none", "dict", "text", "model"],
)
def test_the_configuration_survives_with_a_model_as_its_json_schema(
    schema: Any, saved: Any, exclude_unset: bool
) -> None:
    task = StructuredGeneration(llm="offline", output_schema=schema, system_prompt="Be brief.")
    config = json.loads(task.model_dump_json(exclude_unset=exclude_unset))
    again = StructuredGeneration.model_validate(config)
    assert config["output_schema"] == saved
    assert again.model_dump() == task.model_dump()
    assert again.schema_for({"output_schema": SCHEMA}) == (saved or SCHEMA)


def test_a_schema_with_examples_gives_the_task_its_example() -> None:
    task = StructuredGeneration(llm="offline", output_schema={**SCHEMA, "examples": [{"n": 1}, {"n": 2}]})
    (example,) = task.examples()
    assert (json.loads(example.raw_output), example.output) == ({"n": 1}, {"generation": {"n": 1}})
    assert StructuredGeneration(llm="offline", output_schema=SCHEMA).examples() == []


def test_the_offline_stand_in_satisfies_a_schema() -> None:
    task = StructuredGeneration(llm="offline", output_schema=City)
    (row,) = next(task.process([{"instruction": "Which city?"}]))
    assert City(**row["generation"]).name
