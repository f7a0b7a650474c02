"""What every task, step and LLM has from its pydantic base."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from limbeck._configured import Configured
from limbeck.errors import ConfigurationError
from limbeck.testing import EchoLLM


def test_a_field_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        ConfigurationError, match=r"`EchoLLM` has no field 'modle'\. Did you mean .*`model`.*Its fields are .*latency"
    ):
        EchoLLM(modle="x")  # type: ignore[call-arg]  # what is tested


def test_a_class_is_built_when_it_is_first_used() -> None:
    class Settings(Configured):
        number: int = 1

    assert not Settings.__pydantic_complete__
    assert Settings(number="2").number == 2  # type: ignore[arg-type]  # pydantic converts
    assert Settings.__pydantic_complete__


def test_a_type_that_is_local_to_a_function_is_found() -> None:
    class Inner(BaseModel):
        number: int

    class Outer(Configured):
        inner: Inner

    assert Outer.model_validate({"inner": {"number": 3}}).inner.number == 3


def test_a_type_that_is_defined_later_is_found_where_the_class_is_rebuilt() -> None:
    class Outer(Configured):
        inner: Inner

    class Inner(BaseModel):
        number: int

    assert Outer.model_rebuild() is True
    assert Outer.model_validate({"inner": {"number": 3}}).inner.number == 3
    assert Outer.model_rebuild() is None


def test_a_value_that_does_not_fit_is_pydantics_own_error() -> None:
    with pytest.raises(ValueError, match=r"latency\n  Input should be a valid number"):
        EchoLLM(latency="soon")  # type: ignore[arg-type]  # what is tested
