"""Which schemas are sent in strict mode, in which form, and that the form keeps what the schema promises."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter

from limbeck_openai._strict import response_format, strict_form
from support.json_instances import minimal_instance
from support.openai_rules import complaint_about


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = Field(ge=1, le=999)


class Person(BaseModel):
    """One of us."""

    name: str = Field(pattern="^[a-z]*$")
    nickname: str | None = None
    born: datetime
    colours: list[Colour] = Field(default_factory=list, max_length=3)
    kind: Literal["person"] = "person"
    home: Address = Field(description="Where they live.")
    homes: list[Address] = []


class Node(BaseModel):
    name: str
    children: list["Node"] = []
    parent: "Node | None" = Field(None, description="The node above.")


class Described(BaseModel):
    node: Node = Field(description="The first.")
    other: "Described | None" = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Tagged(BaseModel):
    pet: Cat | Dog


class Discriminated(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Untagged(BaseModel):
    place: Address | Person | None


class SameFirst(BaseModel):
    class Left(BaseModel):
        name: str
        left: int

    class Right(BaseModel):
        name: str
        right: int

    side: Left | Right


class Free(BaseModel):
    anything: Any


class Mapped(BaseModel):
    counts: dict[str, int]


class Long(BaseModel):
    text: str = Field(min_length=3)


class Pair(BaseModel):
    pair: tuple[int, str]


class Unique(BaseModel):
    names: set[str]


STRICT = [Person, Node, Described, Tagged, Untagged, Address]
NOT_STRICT = [Discriminated, SameFirst, Free, Mapped, Long, Pair, Unique]


def form_of(model: type[BaseModel]) -> dict[str, Any]:
    form = strict_form(model.model_json_schema())
    assert form is not None
    return form


@pytest.mark.parametrize("model", STRICT)
def test_a_model_of_plain_fields_has_a_strict_form_that_the_service_accepts(model: type[BaseModel]) -> None:
    wanted = response_format(model.model_json_schema())
    assert wanted["json_schema"]["strict"] is True
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": wanted}
    assert complaint_about(body) is None


@pytest.mark.parametrize("model", STRICT)
def test_what_satisfies_the_strict_form_satisfies_the_schema_and_the_model(model: type[BaseModel]) -> None:
    instance = minimal_instance(form_of(model))
    Draft202012Validator(form_of(model)).validate(instance)
    Draft202012Validator(model.model_json_schema()).validate(instance)
    model.model_validate(instance)


@pytest.mark.parametrize("model", NOT_STRICT)
def test_a_model_that_strict_mode_cannot_express_is_sent_unchanged_and_not_strict(model: type[BaseModel]) -> None:
    wanted = response_format(model.model_json_schema())["json_schema"]
    assert wanted == {"name": model.__name__, "schema": model.model_json_schema(), "strict": False}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object", "properties": {}}]},
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {}, "required": ["x"]},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": ["object", "null"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}},
        {"type": "object", "properties": {"a": {"$ref": "other.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}},
        {"$ref": "#/$defs/A", "properties": {"b": {}}, "$defs": {"A": {"type": "object", "properties": {}}}},
        {"$ref": "#/$defs/A", "minProperties": 1, "$defs": {"A": {"type": "object", "properties": {}}}},
    ],
    ids=json.dumps,
)
def test_a_schema_outside_of_the_subset_has_no_strict_form(schema: dict[str, Any]) -> None:
    assert strict_form(schema) is None


def test_every_object_is_closed_and_every_property_required() -> None:
    assert form_of(Address) == {
        "title": "Address",
        "type": "object",
        "properties": {
            "street": {"title": "Street", "type": "string"},
            "number": {"title": "Number", "type": "integer", "minimum": 1, "maximum": 999},
        },
        "required": ["street", "number"],
        "additionalProperties": False,
    }


def test_the_order_of_properties_is_kept_since_the_model_writes_them_in_it() -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("z", "a", "m")}}
    assert list(response_format(schema)["json_schema"]["schema"]["properties"]) == ["z", "a", "m"]


def test_a_reference_with_a_description_is_written_out_with_it() -> None:
    home = form_of(Person)["properties"]["home"]
    assert (home["description"], home["type"], list(home["properties"])) == (
        "Where they live.",
        "object",
        ["street", "number"],
    )


def test_a_reference_to_what_is_being_written_out_stays_a_reference() -> None:
    children = form_of(Node)["properties"]["children"]
    assert children["items"] == {"$ref": "#/$defs/Node"}


def test_a_recursive_model_has_an_object_at_its_root() -> None:
    assert form_of(Node)["type"] == "object"


def test_a_schema_is_named_after_its_title_in_the_letters_the_service_takes() -> None:
    schema = {"title": "A título / with: spaces", "type": "object", "properties": {}}
    assert response_format(schema)["json_schema"]["name"] == "A_t_tulo_with_spaces"


def test_a_schema_given_is_not_changed() -> None:
    schema = Person.model_json_schema()
    before = json.dumps(schema)
    response_format(schema)
    assert json.dumps(schema) == before


def test_the_schema_of_a_list_is_sent_for_servers_that_take_it() -> None:
    schema = TypeAdapter(list[int]).json_schema()
    assert response_format(schema)["json_schema"] == {"name": "answer", "schema": schema, "strict": False}
