"""What a judge is asked to say of a text: a number of a scale, yes or no, or a label."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from limbeck.types import JSONSchema

Value: TypeAlias = int | bool | str
"""What is said of a text under one criterion."""

_MOST_STEPS = 100


class Criterion(BaseModel):
    """One criterion, and the values that it is judged with.

    Attributes:
        description: what is judged, in a sentence or more.
        values: the ends of a scale of whole numbers, the higher the better; a list of labels; or "yes-no", where yes is
            good, which gives true or false.
        weight: of its value in a score of several criteria.
    """

    # `defer_build`: fetching a task by name must not pay for it.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    description: str
    values: tuple[int, int] | list[str] | Literal["yes-no"] = (1, 5)
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)

    @field_validator("values")
    @classmethod
    def _have_a_choice(cls, values: Any) -> Any:
        if isinstance(values, tuple) and not 0 < values[1] - values[0] <= _MOST_STEPS:
            raise ValueError(f"a scale goes up, by {_MOST_STEPS} steps at the most; {list(values)!r} does not")
        if isinstance(values, list) and (len(set(values)) < max(2, len(values)) or not all(map(str.strip, values))):
            raise ValueError(f"labels are two or more, different and not blank; {values!r} are not")
        return values

    @property
    def schema_of_value(self) -> JSONSchema:
        """The JSON Schema of a value."""
        if isinstance(self.values, tuple):
            return {"type": "integer", "enum": [*range(self.values[0], self.values[1] + 1)]}
        if isinstance(self.values, list):
            return {"type": "string", "enum": self.values}
        return {"type": "boolean"}

    @property
    def in_words(self) -> str:
        """The values as they are told to the judge."""
        if isinstance(self.values, tuple):
            return f"a whole number from {self.values[0]} (worst) to {self.values[1]} (best)"
        if isinstance(self.values, list):
            return f"one of {json.dumps(self.values, ensure_ascii=False)}"
        return "true for yes, false for no"

    def read(self, value: Any) -> Value:
        """A value that satisfies the schema, as its type: JSON may write 4 as 4.0."""
        read: Value = int(value) if isinstance(self.values, tuple) else value
        return read

    def share(self, value: Value) -> float | None:
        """How good a value is, from 0 to 1; None of a label."""
        if isinstance(self.values, tuple):
            low, high = self.values
            return (int(value) - low) / (high - low)
        return None if isinstance(self.values, list) else float(value)

    def example(self) -> Value:
        """A value, for examples."""
        if isinstance(self.values, tuple):
            return self.values[1]
        return self.values[0] if isinstance(self.values, list) else True


def schema_of_judgement(criterion: Criterion) -> JSONSchema:
    """The JSON Schema of a value and the reason in front of it."""
    return {
        "type": "object",
        "properties": {"rationale": {"type": "string"}, "value": criterion.schema_of_value},
        "required": ["rationale", "value"],
        "additionalProperties": False,
    }


def _whole(value: Criterion | str) -> Criterion:
    return Criterion(description=value) if isinstance(value, str) else value


CriterionField: TypeAlias = Annotated[Criterion | str, AfterValidator(_whole)]
"""The type of a field that holds a criterion; its description alone will do."""
