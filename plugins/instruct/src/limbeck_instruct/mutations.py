"""The prompts that evolve instructions and responses, by the names that distilabel has for them.

The operations are those of WizardLM (Xu et al., https://arxiv.org/abs/2304.12244) and, for complexity and
quality, of Deita (Liu et al., https://arxiv.org/abs/2312.15685); the words are this package's own.
`<PROMPT>` stands for the instruction, `<RESPONSE>` for the response to it.
"""

from __future__ import annotations

from typing import Final

FRESH_START: Final = "FRESH_START"

_IN_DEPTH = """\
You make instructions for AI systems a little harder.

Rewrite the instruction below so that a strong model needs more skill for it, while a person still understands it and \
could carry it out. {how}

Keep everything in it that is no prose: tables, code, input data. Add ten to twenty words at most. Do not carry out \
the instruction, and do not let the new one mention the old one.
Reply with nothing but the new instruction.

The instruction:
<PROMPT>"""

_IN_BREADTH = """\
You think of new instructions for AI systems.

Take the instruction below as an inspiration, and write one that is quite different: of the same field, about a rarer \
subject, as long and as hard as this one. A person must understand it and be able to carry it out.
Do not carry out either instruction. Reply with nothing but the new instruction.

The instruction:
<PROMPT>"""

_FRESH = """\
Write one question or request to an AI system that has to do with all of these words: <PROMPT>.
It stands for itself, without any text beside it. Reply with nothing but the question or request."""

_CONSTRAINTS = "Do it by adding one more constraint or requirement."
_DEEPENING = "Do it by asking for more depth and breadth wherever it asks about a matter."
_CONCRETIZING = "Do it by putting something more specific in the place of a general notion."
_REASONING = (
    "Do it, where a few simple steps of thought would be enough, by asking outright for reasoning in several steps."
)
_COMPLICATE = "Do it by giving it a part more, which depends on what it has already."


def _in_depth(how: str) -> str:
    return _IN_DEPTH.replace("{how}", how)


_DEPTHS: Final = {
    "CONSTRAINTS": _in_depth(_CONSTRAINTS),
    "DEEPENING": _in_depth(_DEEPENING),
    "CONCRETIZING": _in_depth(_CONCRETIZING),
    "INCREASED_REASONING_STEPS": _in_depth(_REASONING),
}

COMPLEXITY_MUTATIONS: Final[dict[str, str]] = _DEPTHS
INSTRUCTION_MUTATIONS: Final[dict[str, str]] = {**_DEPTHS, "BREADTH": _IN_BREADTH}

GENERATION_COMPLEXITY_MUTATIONS: Final[dict[str, str]] = {FRESH_START: _FRESH, **_DEPTHS}
GENERATION_MUTATIONS: Final[dict[str, str]] = {
    FRESH_START: _FRESH,
    "COMPLICATE": _in_depth(_COMPLICATE),
    "ADD_CONSTRAINTS": _in_depth(_CONSTRAINTS),
    "DEEPEN": _in_depth(_DEEPENING),
    "CONCRETIZE": _in_depth(_CONCRETIZING),
    "INCREASE_REASONING": _in_depth(_REASONING),
    "SWITCH_TOPIC": _IN_BREADTH,
}

_BETTER = """\
You improve responses to instructions.

Rewrite the response below so that it is {how}. It must still be a response to the instruction, and read well. Add ten \
to twenty words at most, and do not mention that it was rewritten.
Reply with nothing but the new response.

The instruction:
<PROMPT>

The response:
<RESPONSE>"""


def _better(how: str) -> str:
    return _BETTER.replace("{how}", how)


QUALITY_MUTATIONS: Final[dict[str, str]] = {
    "HELPFULNESS": _better("more helpful to whoever asked"),
    "RELEVANCE": _better("closer to what the instruction asks for"),
    "DEEPENING": _better("deeper in what it explains"),
    "CREATIVITY": _better("more creative"),
    "DETAILS": _better("richer in fitting details"),
}
