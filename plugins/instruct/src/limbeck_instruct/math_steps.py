"""Solutions of mathematical problems as lists of steps, and whether two answers are the same number."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from limbeck.errors import OutputError

from .texts import without_thinking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from limbeck.types import Generation, Row

ANSWER = "The answer is:"
_BEGINNING = re.compile(rf"(?=\bStep \d{{1,4}}:|\b{ANSWER})")
_STEP = re.compile(r"Step \d{1,4}:")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_DECORATION = re.compile(r"[\s,$€£%*]|\\[,;!]")
_NUMBER = re.compile(r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:/\d{1,30})?")

RULES = """\
Rules:
- Show every calculation in <<>>, with its result behind it: <<5*10=50>>50.
- Write * for times, / for divided by, + for plus and - for minus.
"""


def steps_in(text: str | None) -> list[str]:
    """The steps of a solution, `Step 1: …` and so on, and its answer, `The answer is: …`, as the last one.

    Raises:
        OutputError: it has no step, or no answer at its end.
    """
    parts = [part.strip() for part in _BEGINNING.split(without_thinking(text))]
    steps = [part for part in parts if _STEP.match(part)]
    answers = [part for part in parts if part.startswith(ANSWER)]
    if not steps or not answers or parts[-1] != answers[-1] or not value_of(answers[-1]):
        raise OutputError(f"The answer is no solution in steps (`Step 1: …`) with `{ANSWER} …` at its end.", raw=text)
    return [*steps, f"{ANSWER} {answers[-1].removeprefix(ANSWER).strip().splitlines()[0]}"]


def readable(answers: Iterable[Generation]) -> list[list[str]]:
    """The solutions among some answers, each as its steps.

    Raises:
        OutputError: there is none.
    """
    solutions: list[list[str]] = []
    fault: OutputError | None = None
    for answer in answers:
        try:
            solutions.append(steps_in(answer.text))
        except OutputError as exc:
            fault = exc
    if fault is not None and not solutions:
        raise fault
    return solutions


def value_of(answer: str) -> str:
    """What an answer says, without `The answer is:` and a full stop."""
    lines = answer.removeprefix(ANSWER).strip().splitlines()
    return lines[0].strip().rstrip(".").strip() if lines else ""


def same_answer(one: str, other: str) -> bool:
    """Tell whether two answers are the same number (18, $18.00, 36/2), or else the same text."""
    first, second = value_of(one), value_of(other)
    numbers = _number(first), _number(second)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return first.casefold() == second.casefold()


def _number(text: str) -> Fraction | None:
    boxed = _BOXED.search(text)
    plain = _DECORATION.sub("", boxed[1] if boxed else text)
    if not _NUMBER.fullmatch(plain):
        return None
    over, _, under = plain.partition("/")
    if not under:
        return Fraction(over)
    return Fraction(over) / int(under) if int(under) else None


def solution_of(input: Row, column: str) -> list[str]:
    """The solution in a column, or in the JSON text that is there: a list of texts, the last of them its answer.

    Raises:
        ValueError: it is none.
    """
    return _solution(_decoded(input[column]), column)


def solutions_of(input: Row, column: str) -> list[list[str]]:
    """The solutions in a column, or in the JSON text that is there.

    Raises:
        ValueError: there is none, or one that is none.
    """
    value = _decoded(input[column])
    if not isinstance(value, list) or not value:
        raise ValueError(f"The column `{column}` must hold a list of solutions, one at least.")
    return [_solution(each, column) for each in value]


def _solution(value: Any, column: str) -> list[str]:
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(step, str) and step for step in value):
        raise ValueError(f"A solution in `{column}` must be a list of texts, the last one the answer.")
    return value


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def system_prompt_of(prompt: str | None, extra_rules: str | None, few_shots: str | None) -> str | None:
    """A system prompt with its rules and examples behind it."""
    parts = [part.strip() for part in (prompt, extra_rules, few_shots) if part and part.strip()]
    return "\n\n".join(parts) if prompt else None
