"""Tools from typed functions: their schemas, and the arguments that a model gives.

Covers `limbeck.tools._tool` and `limbeck.tools._arguments`.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import functools
import pickle
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from limbeck.errors import ConfigurationError
from limbeck.tools import Tool, tool


@tool
def population(city: str, year: int = 2024) -> int:
    """The number of people in a city.

    Counted on the first of January.

    Args:
        city: its name, in English,
            without the country.
        year: of the count.
    """
    return len(city) * year


class Colour(enum.Enum):
    RED = "red"


class Place(BaseModel):
    """A place."""

    name: str
    height: Annotated[int, Field(description="In metres.", ge=0)] = 0


@dataclass
class Size:
    width: int


# The schema


def test_a_function_is_a_tool_with_its_name_its_purpose_and_the_schema_of_its_signature() -> None:
    assert population.name == "population"
    assert population.description == "The number of people in a city.\n\nCounted on the first of January."
    assert population.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "its name, in English, without the country."},
            "year": {"type": "integer", "default": 2024, "description": "of the count."},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_an_annotated_description_comes_before_the_docstrings() -> None:
    def look(place: Annotated[str, Field(description="Where.", min_length=2)]) -> str:
        """Look.

        Args:
            place: something else.
        """
        return place

    assert Tool(look).parameters["properties"]["place"] == {"type": "string", "description": "Where.", "minLength": 2}


def test_a_default_may_be_a_field() -> None:
    def look(limit: int = Field(3, description="At most.", le=9)) -> int:
        return limit

    made = Tool(look)
    assert made.parameters["properties"]["limit"] == {
        "type": "integer",
        "default": 3,
        "description": "At most.",
        "maximum": 9,
    }
    assert made.call({}) == 3


def test_models_enums_literals_and_dates_are_in_the_schema() -> None:
    def look(place: Place, colour: Colour, size: Literal["s", "m"], day: date, options: dict[str, int]) -> str:
        return f"{place.name} {colour.name} {size} {day.year} {sorted(options)}"

    made = Tool(look)
    assert made.parameters["$defs"]["Place"]["properties"]["height"]["description"] == "In metres."
    given = {
        "place": {"name": "K2"},
        "colour": "red",
        "size": "s",
        "day": "2024-02-29",
        "options": {"a": 1},
    }
    assert made.call(given) == "K2 RED s 2024 ['a']"


def test_a_parameter_may_have_a_name_that_pydantic_keeps_for_itself() -> None:
    def look(schema: int, json: int, _hidden: int, model_config: int, a0: int) -> list[int]:
        return [schema, json, _hidden, model_config, a0]

    given = {"schema": 1, "json": 2, "_hidden": 3, "model_config": 4, "a0": 5}
    assert Tool(look).call(given) == [1, 2, 3, 4, 5]
    assert list(Tool(look).parameters["properties"]) == [*given]


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> str:
        return "noon"

    assert Tool(now).parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_default_that_json_has_no_form_for_is_left_out_of_the_schema() -> None:
    def look(place: Place = Place(name="here"), mark: Any = object()) -> str:  # noqa: B008 - on purpose
        return f"{place.name} {type(mark).__name__}"

    assert "default" not in Tool(look).parameters["properties"]["mark"]
    assert Tool(look).call({}) == "here object"


class Library:
    def __init__(self, shelf: str) -> None:
        self.shelf = shelf

    def find(self, title: str) -> str:
        """Find a book."""
        return f"{title} on {self.shelf}"

    async def __call__(self, title: str) -> str:
        return f"{title} from {self.shelf}"


def test_a_method_is_a_tool_without_its_self() -> None:
    found = Tool(Library("A").find)
    assert (found.name, list(found.parameters["properties"])) == ("find", ["title"])
    assert found.call({"title": "Emma"}) == "Emma on A"


def test_an_object_that_is_called_is_a_tool_with_a_name_of_its_own() -> None:
    borrow = Tool(Library("B"), name="borrow")
    assert list(borrow.parameters["properties"]) == ["title"]
    assert asyncio.run(borrow.call({"title": "Emma"})) == "Emma from B"


def test_a_partial_asks_for_the_rest_of_its_arguments() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    assert Tool(functools.partial(add, 1), name="add_one").call({"b": 2}) == 3


def test_a_positional_parameter_is_given_as_one() -> None:
    def add(a: int, /, b: int, *, c: int = 0) -> list[int]:
        return [a, b, c]

    assert Tool(add).call({"a": 1, "b": 2, "c": 3}) == [1, 2, 3]


# Calls


def test_arguments_are_read_as_the_types_say() -> None:
    def area(size: Size, times: int, names: tuple[str, ...] = ()) -> str:
        return f"{size.width * times} {names!r}"

    assert Tool(area).call({"size": {"width": 2}, "times": "3", "names": ["a"]}) == "6 ('a',)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "`city`"),
        ({"city": 5}, "`city`"),
        ({"city": "Rome", "year": "soon"}, "`year`"),
        ({"city": "Rome", "country": "Italy"}, "`country`"),
        ({"city": None}, "`city`"),
        ({"city": "\ud800"}, "the arguments"),
    ],
)
def test_arguments_that_do_not_fit_name_the_parameter(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        population.check(given)


def test_a_coroutine_function_is_awaited() -> None:
    @tool
    async def wait(seconds: float) -> str:
        return f"after {seconds}"

    assert asyncio.run(wait.call({"seconds": 1})) == "after 1.0"


def test_a_tool_is_still_called_as_the_function_that_it_is() -> None:
    assert population("Rome", year=2) == 8
    assert population.__doc__ is not None
    assert population.__name__ == "population"


# What is refused


def test_the_decorator_takes_a_name_a_description_and_bounds() -> None:
    @tool(name="look-up", description="Looks it up.", timeout=5, max_concurrency=2)
    def find(word: str) -> str:
        return word

    assert (find.name, find.description, find.timeout, find.max_concurrency) == ("look-up", "Looks it up.", 5, 2)


@pytest.mark.parametrize("name", ["", "look up", "find.it", "é", "x" * 65, "<lambda>"])
def test_a_name_that_providers_refuse_is_refused_here(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a tool"):
        Tool(lambda: 1, name=name)


def untyped(word) -> str:  # type: ignore[no-untyped-def]  # on purpose
    return str(word)


def starred(*words: str) -> str:
    return " ".join(words)


def open_ended(**words: str) -> str:
    return " ".join(words)


def unknown_type(word: NoSuchType) -> str:  # type: ignore[name-defined]  # noqa: F821 - on purpose
    return str(word)


def without_form(lines: Library) -> str:
    return str(lines)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "`word` has no type"),
        (starred, "Name each parameter"),
        (open_ended, "Name each parameter"),
        (unknown_type, "NoSuchType"),
        (without_form, "Library"),
    ],
)
def test_a_function_that_no_model_can_call_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        _ = Tool(function).parameters
    assert function.__name__ in str(caught.value)


def generated(word: str) -> Any:
    yield word


@pytest.mark.parametrize("made_of", [5, "look_up", Library, generated])
def test_what_is_no_function_of_one_result_is_refused(made_of: Any) -> None:
    with pytest.raises(ConfigurationError):
        Tool(made_of)


@pytest.mark.parametrize("bounds", [{"timeout": 0}, {"timeout": -1}, {"max_concurrency": 0}])
def test_bounds_are_above_zero(bounds: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        Tool(lambda: 1, name="f", **bounds)


# As a value


def plain(word: str) -> str:
    return word


def test_a_decorated_tool_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(population)) is population


def test_a_tool_of_a_function_is_pickled_with_what_it_was_given() -> None:
    made = Tool(plain, name="say", description="Says it.", timeout=3, max_concurrency=1)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert (again.name, again.description, again.timeout, again.max_concurrency) == ("say", "Says it.", 3, 1)


def test_a_deep_copy_of_a_tool_is_the_tool() -> None:
    assert copy.deepcopy(population) is population


def test_tools_of_one_function_with_other_names_differ() -> None:
    assert Tool(plain) == Tool(plain)
    assert Tool(plain) != Tool(plain, name="say")
    assert len({Tool(plain), Tool(plain), Tool(plain, name="say")}) == 2
