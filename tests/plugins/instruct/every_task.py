"""Every task of the pack, and its variants, for the tests that hold for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import limbeck_instruct as pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from limbeck import Task
    from limbeck.types import Example

EVERY: dict[str, Callable[[Any], Task]] = {
    "evol-instruct": lambda llm: pack.EvolInstruct(llm=llm, num_evolutions=3),
    "evol-instruct, all kept and answered": lambda llm: pack.EvolInstruct(
        llm=llm, num_evolutions=2, store_evolutions=True, generate_answers=True
    ),
    "evol-complexity": lambda llm: pack.EvolComplexity(llm=llm, num_evolutions=2, generate_answers=True),
    "evol-quality": lambda llm: pack.EvolQuality(llm=llm, num_evolutions=2),
    "evol-instruct-generator": lambda llm: pack.EvolInstructGenerator(llm=llm, num_instructions=1, max_evolutions=3),
    "evol-complexity-generator": lambda llm: pack.EvolComplexityGenerator(
        llm=llm, num_instructions=1, generate_answers=True, max_evolutions=3
    ),
    "self-instruct": lambda llm: pack.SelfInstruct(llm=llm),
    "genstruct": lambda llm: pack.Genstruct(llm=llm),
    "clair": lambda llm: pack.CLAIR(llm=llm),
    "urial": lambda llm: pack.URIAL(llm=llm),
    "math-shepherd-generator, golden": lambda llm: pack.MathShepherdGenerator(llm=llm),
    "math-shepherd-generator": lambda llm: pack.MathShepherdGenerator(llm=llm, M=3),
    "math-shepherd-completer": lambda llm: pack.MathShepherdCompleter(llm=llm, N=2),
    "persona-generator": lambda llm: pack.PersonaGenerator(llm=llm, attributes={"job": ["baker", "pilot"]}),
    "conversation-simulation": lambda llm: pack.ConversationSimulation(llm=llm, n_turns=2),
}


def answers_of(example: Example) -> Sequence[str]:
    """The answers of a model in an example, one a call."""
    return [example.raw_output] if isinstance(example.raw_output, str) else example.raw_output
