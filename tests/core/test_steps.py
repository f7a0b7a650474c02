"""Steps: rows in, rows out, and what their configuration must say.

Covers `_pipeline.steps.function_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from limbeck import GeneratorStep, GlobalStep, Step, get_step
from limbeck.errors import ConfigurationError, PluginContractError
from limbeck.steps import LoadDataFromDicts
from limbeck.testing import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class Shorten(Step):
    """Cuts texts.

    Attributes:
        length: characters to keep.
    """

    length: int = 3

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["short", "was_long"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            yield [{**row, "short": row["text"][: self.length], "was_long": len(row["text"]) > self.length}]


def test_a_step_turns_rows_into_rows() -> None:
    assert list(Shorten(length=2).process([{"text": "abc"}, {"text": "d"}])) == [
        [{"text": "abc", "short": "ab", "was_long": True}],
        [{"text": "d", "short": "d", "was_long": False}],
    ]


def test_a_steps_default_name_is_its_class_name_in_kebab_case() -> None:
    class KeepHTMLRows2Deep(Shorten):
        pass

    assert (Shorten().name, KeepHTMLRows2Deep().name) == ("shorten", "keep-html-rows2-deep")


def test_a_steps_default_name_is_its_registered_name_where_it_has_one() -> None:
    with registry() as names:
        names.register("step", "cut", Shorten)
        assert Shorten().name == "cut"
    assert LoadDataFromDicts(data=[]).name == "load-data-from-dicts"


def test_a_default_name_is_not_among_the_fields_that_were_set() -> None:
    assert Shorten(length=2).model_dump(exclude_unset=True) == {"length": 2}
    assert Shorten(name="mine").model_dump(exclude_unset=True) == {"name": "mine"}


def test_a_step_reads_and_adds_nothing_unless_it_says_so() -> None:
    class Idle(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield inputs

    assert (Idle().inputs, Idle().outputs) == ([], [])


@pytest.mark.parametrize("base", [Step, GlobalStep, GeneratorStep])
def test_a_step_without_process_cannot_be_made(base: Any) -> None:
    with pytest.raises(TypeError, match="process"):
        type("Half", (base,), {"__module__": __name__})()


def test_an_unknown_field_is_refused_with_what_is_near() -> None:
    with pytest.raises(ConfigurationError, match=r"`Shorten` has no field 'lenght'\. Did you mean `length`"):
        Shorten(lenght=2)  # type: ignore[call-arg]  # the mistake


@pytest.mark.parametrize("attribute", ["inputs", "outputs"])
def test_a_list_of_columns_in_the_class_body_is_answered_with_the_property_to_write(attribute: str) -> None:
    with pytest.raises(PluginContractError) as caught:
        type("Listed", (Shorten,), {attribute: ["a"], "__module__": "acme.steps"})
    assert str(caught.value) == (
        f"`acme.steps.Listed`: `{attribute} = ['a']` must be a property: "
        f"`@property` above `def {attribute}(self): return ['a']`."
    )


@pytest.mark.parametrize(("columns", "what"), [("text", "'text'"), (3, "a int"), (None, "a NoneType")])
def test_what_is_no_list_of_columns_is_refused_when_the_step_is_made(columns: Any, what: str) -> None:
    class Wrong(Shorten):
        @property
        def outputs(self) -> Any:
            return columns

    with pytest.raises(PluginContractError, match=f"`outputs` must be .*, and is {what}: return a list"):
        Wrong()


def test_a_mapping_of_a_column_that_the_step_does_not_have_is_refused_naming_those_it_has() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Shorten(input_mappings={"txt": "body"})
    assert "`input_mappings` of 'shorten' renames the column 'txt'" in str(caught.value)
    assert "its columns are `text`" in str(caught.value)


def test_two_outputs_in_one_column_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="puts both `short` and `was_long` into the column `was_long`"):
        Shorten(output_mappings={"short": "was_long"})


def test_columns_may_depend_on_the_fields() -> None:
    class Rename(Step):
        to: str

        @property
        def outputs(self) -> list[str]:
            return [self.to]

        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield [{self.to: row} for row in inputs]

    assert Rename(to="x", output_mappings={"x": "y"}).outputs == ["x"]


# The source of rows in memory


def test_rows_in_memory_come_in_lists_of_the_batch_size() -> None:
    source = LoadDataFromDicts(data=[{"n": place} for place in range(5)], batch_size=2)
    assert list(source.process()) == [[{"n": 0}, {"n": 1}], [{"n": 2}, {"n": 3}], [{"n": 4}]]


def test_rows_in_memory_are_copied_on_their_way_out() -> None:
    data = [{"n": 0}]
    (rows,) = LoadDataFromDicts(data=data).process()
    rows[0]["n"] = "changed"
    assert data == [{"n": 0}]


def test_the_columns_of_rows_in_memory_are_those_of_the_first() -> None:
    assert LoadDataFromDicts(data=[{"a": 1, "b": 2}, {"a": 3}]).outputs == ["a", "b"]
    assert LoadDataFromDicts(data=[]).outputs == []
    assert list(LoadDataFromDicts(data=[]).process()) == []


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="batch_size"):
        LoadDataFromDicts(data=[], batch_size=0)


def test_the_source_is_found_by_name() -> None:
    assert get_step("load-data-from-dicts") is LoadDataFromDicts
