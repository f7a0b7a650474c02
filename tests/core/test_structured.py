"""Structured output: what counts as a schema, and the JSON that is found in what a model says."""

from __future__ import annotations

import gc
import json
import re
import sys
from datetime import date, datetime
from enum import IntEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, RootModel, Tag, model_validator

from limbeck.errors import ConfigurationError, SchemaError
from limbeck.structured import conform, json_schema_of


class Verdict(BaseModel):
    score: Annotated[int, Field(ge=1, le=5)]
    label: Literal["good", "bad"] = "good"


VERDICT = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
}
DRAFT_7, DRAFT_2020 = "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"
EITHER = pytest.mark.parametrize("schema", [Verdict, VERDICT, json.dumps(VERDICT)], ids=["model", "schema", "text"])


# What counts as a schema


def test_a_models_schema_is_pydantics() -> None:
    assert json_schema_of(Verdict) == Verdict.model_json_schema()


def test_a_json_schema_is_itself() -> None:
    assert json_schema_of(VERDICT) is VERDICT


def test_the_text_of_a_json_schema_is_read() -> None:
    assert json_schema_of(json.dumps(VERDICT)) == VERDICT


def test_no_schema_is_none() -> None:
    assert json_schema_of(None) is None


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{'single': 'quotes'}", "`output_schema` is text that cannot be read as JSON"),
        ("[1]", "must be a pydantic model or a JSON Schema, not list"),
        (int, "must be a pydantic model or a JSON Schema, not type"),
        (Verdict(score=1), "must be a pydantic model or a JSON Schema, not Verdict"),
        ({"type": "objct"}, "is not a valid JSON Schema: at type: 'objct'"),
        ({"properties": {"a": {"minimum": "1"}}}, "is not a valid JSON Schema: at properties/a/minimum"),
    ],
)
def test_what_is_no_schema_is_refused_saying_where(schema: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        json_schema_of(schema)
    assert message in str(caught.value)


# Finding the JSON


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '{"score": 3}',
        '  \n{"score": 3}\n ',
        '```json\n{"score": 3}\n```',
        '```\n{"score": 3}\n```',
        'Here you are:\n```json\n{"score": 3}\n```\nAnything else?',
        'My verdict is {"score": 3}.',
        '<think>Say {"score": 9}?\n</think>\n{"score": 3}',
        'Say {"score": 9}?\n</think>{"score": 3}',
        '<think>a</think><think>b</think>```json\n{"score": 3}\n```',
    ],
    ids=[
        "bare",
        "with space around",
        "fenced",
        "fenced without a language",
        "fenced in a sentence",
        "in a sentence",
        "after thinking",
        "after thinking whose beginning was in the prompt",
        "fenced after thinking twice",
    ],
)
def test_json_is_found_in_what_models_wrap_it_in(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema))["score"] == 3


def test_the_json_itself_is_never_altered() -> None:
    said = '{ "score":3,\n "label" : "bad", "more": [1, 2.50, "\\u00e9"] }'
    assert conform(said, VERDICT) == said


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_conforms_to_the_empty_schema_bare_and_fenced(value: Any) -> None:
    text = json.dumps(value)
    assert conform(text, {}) == text
    if "```" not in text:
        assert conform(f"Here:\n```json\n{text}\n```", {}) == text


def test_a_list_is_found_in_a_sentence_as_well() -> None:
    assert conform("They are [1, 2] in all.", {"type": "array"}) == "[1, 2]"


@EITHER
@pytest.mark.parametrize("said", [None, "", " \n"])
def test_an_empty_answer_breaks_any_schema(schema: Any, said: str | None) -> None:
    with pytest.raises(SchemaError, match="The answer is empty") as caught:
        conform(said, schema)
    assert caught.value.raw == said


@EITHER
@pytest.mark.parametrize("said", ["I cannot.", "{score: 3}", '{"score": 3', '{"score": NaN}', "<think>forever"])
def test_an_answer_without_json_breaks_any_schema(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match="holds no JSON") as caught:
        conform(said, schema)
    assert caught.value.raw == said


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ('{"score": 6}', "score"),
        ('{"score": "x"}', "score"),
        ('{"scor": 3}', "score"),
        ("[3]", "its root"),
        ("3", "its root"),
    ],
)
def test_an_answer_that_breaks_a_models_schema_says_where(said: str, place: str) -> None:
    with pytest.raises(SchemaError, match=f"breaks the schema of `Verdict` at {place}: ") as caught:
        conform(said, Verdict)
    assert caught.value.raw == said


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ('{"score": 6}', r"\$.score"),
        ('{"score": "3"}', r"\$.score"),
        ('{"scor": 3}', r"\$"),
        ("[3]", r"\$"),
        ("3", r"\$"),
    ],
)
def test_an_answer_that_breaks_a_json_schema_says_where(said: str, place: str) -> None:
    with pytest.raises(SchemaError, match=f"breaks the schema at {place}: ") as caught:
        conform(said, VERDICT)
    assert caught.value.raw == said


def test_a_models_own_validators_count() -> None:
    def even(number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return number

    class Even(BaseModel):
        number: Annotated[int, AfterValidator(even)]

    assert conform('{"number": 2}', Even) == '{"number": 2}'
    with pytest.raises(SchemaError, match="at number: Value error, must be even"):
        conform('{"number": 3}', Even)


def test_a_models_validator_that_breaks_costs_only_the_answer() -> None:
    def broken(number: int) -> int:
        raise RuntimeError("a defect")

    class Broken(BaseModel):
        number: Annotated[int, AfterValidator(broken)]

    with pytest.raises(SchemaError, match="cannot be checked against the schema: RuntimeError: a defect"):
        conform('{"number": 3}', Broken)


@pytest.mark.parametrize("said", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000])
@EITHER
def test_an_answer_of_a_model_caught_in_a_loop_breaks_the_schema(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        conform(said, schema)
    assert caught.value.raw == said


@pytest.mark.parametrize("said", ["[" * 3_000, '{"a":' * 3_000, '{"a": [' * 2_000, '[ "]" , ' * 3_000])
def test_the_finalizers_of_the_program_have_room_while_such_an_answer_is_read(said: str) -> None:
    failed: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", failed.append)
        before = gc.get_threshold()
        for spare in range(60, 400):  # so that a collection falls on each of the last depths
            gc.collect(0)
            gc.set_threshold(1100)
            Kept()
            filling: list[list[Any]] = [[] for _ in range(spare)]
            with pytest.raises(SchemaError):
                conform(said, {"type": "array"})
            del filling
            gc.set_threshold(*before)
    assert failed == []


class Kept:
    """Holds itself, so that only the collector of garbage ends it; its end takes a few calls."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        self._end(3)

    def _end(self, calls: int) -> None:
        if calls:
            self._end(calls - 1)


@pytest.mark.parametrize("depth", [1, 3, 200, 400])
def test_what_is_nested_within_reason_is_read(depth: int) -> None:
    for said in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        assert conform(said, {}) == said


@pytest.mark.parametrize("part", ["[]", '"[[[[{{{{"', '"\\\\\\"[[[[["', '{"a": "]]"}'])
def test_many_brackets_side_by_side_or_in_texts_are_not_deep(part: str) -> None:
    said = "[" + ", ".join([part] * 2_000) + "]"
    assert conform(said, {"type": "array"}) == said


def test_a_text_without_an_end_takes_no_longer_than_its_length() -> None:
    with pytest.raises(SchemaError):
        conform("[" * 600 + '"' + '\\"' * 200_000, {"type": "array"})


def test_a_reference_to_elsewhere_is_not_fetched() -> None:
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    with pytest.raises(SchemaError, match="cannot be checked against the schema"):
        conform("{}", schema)


def test_references_inside_a_schema_are_followed() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    assert conform("[1]", schema) == "[1]"
    with pytest.raises(SchemaError, match=r"at \$\[0\]"):
        conform('["a"]', schema)


@pytest.mark.parametrize(
    ("number", "step", "fits"),
    [
        ("19.99", 0.01, True),
        ("0.3", 0.1, True),
        ("-4.35", 0.01, True),
        ("1e300", 0.01, True),
        ("3", 1.5, True),
        ("123456789012345678901234567890", 0.1, True),
        ("5.0", 5, True),
        ("0", 0.1, True),
        ("0.305", 0.01, False),
        ("0.30000000000000004", 0.1, False),
        ("1e-300", 0.01, False),
        ("123456789012345678901234567891", 10, False),
    ],
)
def test_a_multiple_is_one_of_the_decimal_numbers_that_are_written(number: str, step: float, fits: bool) -> None:
    schema = {"type": "object", "properties": {"n": {"multipleOf": step}}}
    said = f'{{"n": {number}}}'
    if fits:
        assert conform(said, schema) == said
    else:
        with pytest.raises(SchemaError, match=r"at \$\.n: .* is not a multiple of"):
            conform(said, schema)


@pytest.mark.parametrize("said", ['"0.305"', "true", "null", "[0.305]"])
def test_what_is_no_number_need_be_no_multiple(said: str) -> None:
    assert conform(said, {"multipleOf": 0.01}) == said


@pytest.mark.parametrize(
    ("said", "unique"),
    [
        ("[]", True),
        ("[1, true, [1], [true], 0, false, null, {}]", True),
        ('[{"a": 1}, {"a": "1"}, {"b": 1}, "a"]', True),
        ("[1, 2, 1.0]", False),
        ("[true, 1, true]", False),
        ('[{"a": [1], "b": 2}, 0, {"b": 2.0, "a": [1.0]}]', False),
        (json.dumps([{"a": {"n": n % 2999}} for n in range(3000)]), False),
        (json.dumps([{"a": {"n": n}} for n in range(3000)]), True),
        ('{"no": "list"}', True),
    ],
)
def test_items_are_unique_where_no_two_are_the_same_value(said: str, unique: bool) -> None:
    if unique:
        assert conform(said, {"uniqueItems": True}) == said
    else:
        with pytest.raises(SchemaError, match="has non-unique elements"):
            conform(said, {"uniqueItems": True})
        assert conform(said, {"uniqueItems": False}) == said


def either_way(reference: dict[str, Any], *keywords: str) -> dict[str, Any]:
    """A schema whose alternatives, under each keyword, differ in all but what is nested in them."""
    nested = {"type": "object", "properties": {"c": reference}}
    alternatives = [{**nested, "required": ["c", "d"]}, {**nested, "required": ["c"]}, {"type": "integer"}]
    node = {"$dynamicAnchor": "node", **dict.fromkeys(keywords, alternatives)}
    return {"$schema": DRAFT_2020, "$defs": {"node": node}, "$ref": "#/$defs/node"}


def nested(depth: int, innermost: str) -> str:
    return '{"c":' * depth + innermost + "}" * depth


def nested_schema(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"c": schema}}
    return schema


@pytest.mark.parametrize("keywords", [["anyOf"], ["oneOf"], ["anyOf", "oneOf"]])
def test_alternatives_that_share_what_is_nested_take_no_longer_than_it_is_deep(keywords: list[str]) -> None:
    schema = either_way({"$ref": "#/$defs/node"}, *keywords)
    assert conform(nested(25, "1"), schema) == nested(25, "1")
    with pytest.raises(SchemaError, match=r"breaks the schema at \$: "):
        conform(nested(25, '"x"'), schema)


def test_a_check_that_would_not_end_is_given_up() -> None:
    schema = either_way({"$dynamicRef": "#node"}, "anyOf")
    assert conform(nested(5, "1"), schema) == nested(5, "1")
    with pytest.raises(SchemaError, match="cannot be checked against the schema in bounded time"):
        conform(nested(25, '"x"') + " or " + nested(30, "2"), schema)


# Unions, of which pydantic tries each member


class Sum(BaseModel):
    c: "Term"


class Product(BaseModel):
    c: "Term"


Term = int | Sum | Product


class Plus(BaseModel):
    kind: Literal["plus"]
    c: "Tagged"


class Minus(BaseModel):
    kind: Literal["minus"]
    c: "Tagged"


class End(BaseModel):
    kind: Literal["end"]


Tagged = Annotated[Plus | Minus | End, Field(discriminator="kind")]


def named(value: Any) -> str:
    return "end" if (value.get("c") if isinstance(value, dict) else getattr(value, "c", None)) is None else "more"


class More(BaseModel):
    c: "Chosen"


Chosen = Annotated[Annotated[End, Tag("end")] | Annotated[More, Tag("more")], Discriminator(named)]


class Chain(BaseModel):
    n: int
    next: "Chain | None" = None


class Forest(BaseModel):
    c: "dict[str, Forest | Sum] | list[Forest | Product] | None"


@pytest.mark.parametrize("model", [Sum, RootModel[Term], RootModel[list[Product | Sum]]])
@pytest.mark.parametrize("leaf", ["1", '"x"', "null"])
def test_a_recursive_union_of_models_is_refused_where_reading_it_would_not_end(model: Any, leaf: str) -> None:
    said = f"[{nested(60, leaf)}]" if "list" in model.__name__ else nested(60, leaf)
    with pytest.raises(SchemaError, match=r"cannot be checked against the model in bounded time.*discriminator"):
        conform(said, model)


def test_a_recursive_union_is_read_where_it_is_not_deep() -> None:
    assert json.loads(conform(nested(8, "1"), Sum)) == json.loads(nested(8, "1"))
    with pytest.raises(SchemaError, match="breaks the schema of `Sum` at"):
        conform(nested(8, '"x"'), Sum)


def test_the_readings_of_all_that_an_answer_tries_are_counted_together() -> None:
    said = " or ".join(nested(depth, '"x"') for depth in range(12, 19))
    with pytest.raises(SchemaError, match="in bounded time"):
        conform(said, Sum)


def test_a_union_with_a_discriminator_is_read_however_deep() -> None:
    said = '{"kind":"minus","c":{"kind":"plus","c":' * 40 + '{"kind":"end"}' + "}}" * 40
    assert json.loads(conform(said, Minus)) == json.loads(said)
    with pytest.raises(SchemaError, match="breaks the schema of `Minus`"):
        conform(said.replace("end", "none"), Minus)
    said = nested(80, '{"kind":"end"}')
    assert json.loads(conform(said, More)) == json.loads(said)


def test_what_has_one_member_that_goes_on_is_read_however_deep_and_long() -> None:
    chain = "null"
    for n in range(80):
        chain = f'{{"n":{n},"next":{chain}}}'
    assert json.loads(conform(chain, Chain)) == json.loads(chain)
    forest = '{"c":{"k":' * 40 + '{"c":null}' + "}}" * 40
    assert json.loads(conform(forest, Forest)) == json.loads(forest)
    flat = json.dumps([{"c": n} for n in range(20_000)])
    assert conform(flat, RootModel[list[Sum | Product]])


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (nested_schema(2_000), "`output_schema` cannot be read: RecursionError"),
        ('{"properties":{"c":' * 5_000, "`output_schema` is text that cannot be read as JSON"),
        ({"enum": [{1}]}, "`output_schema` cannot be read: TypeError: .* set"),
        ({"properties": {(1, 2): {}}}, "`output_schema` cannot be read: TypeError: keys must be"),
    ],
    ids=["deep", "deep text", "set", "keys"],
)
def test_a_schema_that_json_cannot_hold_is_told(schema: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        json_schema_of(schema)


def test_a_long_answer_is_given_the_steps_that_it_needs() -> None:
    said = json.dumps([{"a": n, "b": [n]} for n in range(20_000)])
    item = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}, "b": {"type": "array"}}}
    assert conform(said, {"type": "array", "items": {**item, "required": ["a"]}}) == said


def test_two_schemas_in_turn_are_each_checked_by_their_own() -> None:
    for _ in range(2):
        assert conform("1", {"type": "integer"}) == "1"
        assert conform('"a"', {"type": "string"}) == '"a"'
        with pytest.raises(SchemaError):
            conform("1", {"type": "string"})


def test_a_schema_that_was_changed_in_place_counts_as_it_is_now() -> None:
    schema: dict[str, Any] = {"const": 1}
    assert conform("1", schema) == "1"
    schema["const"] = 2
    with pytest.raises(SchemaError, match="2 was expected"):
        conform("1", schema)
    assert conform("2", schema) == "2"


# What a model reads, and what comes of it


class Part(BaseModel):
    n: int


class Level(IntEnum):
    LOW = 1


class Everything(BaseModel):
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    text: str = ""
    day: date | None = None
    when: datetime | None = None
    kind: Literal["a", "b"] = "a"
    level: Level | None = None
    id: UUID | None = None
    parts: list[Part] = []
    named: dict[str, int] = {}


@pytest.mark.parametrize(
    "said",
    [
        *('{"whole": "5"}', '{"whole": true}', '{"whole": 5.5}', '{"number": "5"}', '{"number": true}'),
        *('{"flag": 1}', '{"flag": "yes"}', '{"text": 5}', '{"text": null}', '{"day": 5}', '{"day": "tomorrow"}'),
        *('{"when": 5}', '{"when": "2024-01-01"}', '{"kind": "c"}', '{"level": "1"}', '{"level": 2}', '{"id": "x"}'),
        *('{"parts": {"n": 1}}', '{"parts": [{"n": "1"}]}', '{"named": {"x": "1"}}', "[]"),
    ],
)
def test_a_model_refuses_what_its_json_schema_refuses(said: str) -> None:
    for schema in (Everything, Everything.model_json_schema()):
        with pytest.raises(SchemaError):
            conform(said, schema)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('{"whole": 5.0}', {"whole": 5}),
        ('{"number": 5}', {"number": 5.0}),
        ('{"day": "2024-01-01"}', {"day": "2024-01-01"}),
        ('{"when": "2024-01-01T10:00:00Z"}', {"when": "2024-01-01T10:00:00Z"}),
        ('{"level": 1}', {"level": 1}),
        ('{"id": "00000000-0000-4000-8000-000000000000"}', {"id": "00000000-0000-4000-8000-000000000000"}),
        ('{"parts": [{"n": 1.0}]}', {"parts": [{"n": 1}]}),
        ('{"named": {"x": 1}}', {"named": {"x": 1}}),
    ],
)
def test_a_model_takes_what_its_json_schema_takes_and_gives_values_of_its_types(said: str, read: Any) -> None:
    conform(said, Everything.model_json_schema())
    (name,) = read
    value = json.loads(conform(said, Everything))[name]
    assert (value, type(value)) == (read[name], type(read[name]))


def test_what_defaults_and_validators_make_of_an_answer_comes_out() -> None:
    class Tidy(BaseModel):
        name: Annotated[str, AfterValidator(str.strip)]
        tags: list[str] = Field(default_factory=lambda: ["none"])

        @model_validator(mode="after")
        def _named(self) -> Self:
            self.tags = [*self.tags, self.name]
            return self

    assert json.loads(conform('{"name": " Ada ", "extra": 1}', Tidy)) == {"name": "Ada", "tags": ["none", "Ada"]}


def test_a_validator_before_reads_what_it_says() -> None:
    class Graded(BaseModel):
        grade: Annotated[int, BeforeValidator({"good": 1, "bad": 5}.get)]

    assert json.loads(conform('{"grade": "bad"}', Graded)) == {"grade": 5}


def test_a_model_that_says_it_is_not_strict_is_not() -> None:
    class Lax(BaseModel, strict=False):
        n: int

    assert json.loads(conform('{"n": "5"}', Lax)) == {"n": 5}


def test_names_are_those_of_the_schema() -> None:
    class Named(BaseModel):
        n: int = Field(alias="N")

    class ReadAs(BaseModel):
        n: int = Field(validation_alias="N")

    assert [json.loads(conform('{"N": 1}', model)) for model in (Named, ReadAs)] == [{"N": 1}, {"N": 1}]


def test_a_number_that_a_validator_makes_and_json_lacks_is_refused() -> None:
    class Endless(BaseModel):
        n: Annotated[float, AfterValidator(lambda n: n * 1e308)]

    with pytest.raises(SchemaError, match="cannot be checked"):
        conform('{"n": 1e10}', Endless)


# Patterns

ENDLESS = "^(a+)+$"
LOOKING = "^(?!x)(a|aa)+$"
AS = "a" * 40 + "!"


def on_text(pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}


def on_names(pattern: str) -> dict[str, Any]:
    return {"type": "object", "patternProperties": {pattern: {}}, "additionalProperties": False}


class Patterned(BaseModel):
    a: str = Field(pattern=ENDLESS)


class PatternedForPython(BaseModel, regex_engine="python-re"):
    a: str | None = Field(pattern=ENDLESS)


class PatternedInside(BaseModel):
    of: list[PatternedForPython]


class Compiled(BaseModel):
    a: str = Field(pattern=re.compile(ENDLESS))


class Flagged(BaseModel):
    a: str = Field(pattern=re.compile(ENDLESS, re.IGNORECASE))


class FlaggedForPython(BaseModel):
    a: str = Field(pattern=re.compile("^ ( [a b]+ )+ $  # or none", re.ASCII | re.IGNORECASE | re.VERBOSE))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Patterned, {"a": AS}),
        (PatternedForPython, {"a": AS}),
        (PatternedInside, {"of": [{"a": AS}]}),
        (Compiled, {"a": AS}),
        (Flagged, {"a": AS}),
        (FlaggedForPython, {"a": AS}),
        (Patterned.model_json_schema(), {"a": AS}),
        (on_text(ENDLESS), {"a": AS}),
        (on_names(ENDLESS), {AS: 1}),
        ({"propertyNames": {"pattern": ENDLESS}}, {AS: 1}),
        (
            {"$schema": DRAFT_7, "anyOf": [{"$ref": "#/definitions/x"}], "definitions": {"x": on_text(ENDLESS)}},
            {"a": AS},
        ),
        ({"$schema": DRAFT_2020, "properties": {"x": {"$ref": "#"}, "a": {"pattern": ENDLESS}}}, {"x": {"a": AS}}),
        ({"properties": {"x": {"$schema": DRAFT_7, **on_text(ENDLESS)}}}, {"x": {"a": AS}}),
    ],
)
def test_a_pattern_that_backtracks_for_ever_ends(schema: Any, said: Any) -> None:
    with pytest.raises(SchemaError, match=r"match|unexpected|not valid under"):
        conform(json.dumps(said), schema)


def test_a_pattern_that_only_backtracking_can_read_is_stopped() -> None:
    pytest.importorskip("regex")
    assert conform('{"a": "aaa"}', on_text(LOOKING)) == '{"a": "aaa"}'
    with pytest.raises(SchemaError, match="more than a second"):
        conform(json.dumps({"a": "a" * 200 + "!"}), on_text(LOOKING))


@pytest.mark.parametrize("model", [Patterned, PatternedForPython, Compiled, Flagged, FlaggedForPython])
def test_a_models_pattern_lets_through_what_fits(model: Any) -> None:
    assert conform('{"a": "aaa"}', model) == '{"a": "aaa"}'


@pytest.mark.parametrize(("model", "said"), [(Flagged, '{"a": "aA"}'), (FlaggedForPython, '{"a": "a A"}')])
def test_the_flags_of_a_models_pattern_count(model: Any, said: str) -> None:
    assert conform(said, model) == said


def test_patterns_hold_as_they_are_meant() -> None:
    schema = {"patternProperties": {"^x_": {"type": "integer"}}, "properties": {"y": {}}, "additionalProperties": False}
    assert conform('{"x_1": 1, "y": "z"}', schema)
    for said, why in (('{"x_1": "1"}', "'1' is not of type"), ('{"z": 1}', "'z' was unexpected")):
        with pytest.raises(SchemaError, match=why):
            conform(said, schema)
    assert conform('{"a": "Ünï"}', on_text(r"^\p{L}+$"))
    with pytest.raises(SchemaError, match="does not match"):
        conform('{"a": "1"}', on_text(r"^\p{L}+$"))


@pytest.mark.parametrize("schema", [on_text("("), on_names("[")])
def test_what_is_no_pattern_is_no_schema(schema: Any) -> None:
    pytest.importorskip("regex")
    with pytest.raises(ConfigurationError, match="is not a valid JSON Schema: at p"):
        json_schema_of(schema)


def test_a_pair_of_keywords_that_cannot_be_bounded_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be checked together in bounded time"):
        json_schema_of({**on_names("^a"), "unevaluatedProperties": False})
