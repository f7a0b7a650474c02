"""The parts of an evolution: its prompts, and the instructions that are found in answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError, OutputError

from .places import check_places
from .texts import whole_text

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from limbeck.types import Generation

# What models write before an instruction: "New instruction:" at the beginning of their answer, or a label in the form
# of WizardLM's prompts, "#Rewritten Prompt#:", also behind a repeated "#Given Prompt#:".
_NAME = r"(?:the )?(?:new|rewritten|created|evolved) (?:prompt|instruction|question|response)"
_LABEL = re.compile(rf"\A[ \t#*]*{_NAME}[ \t#*]*:[ \t*]*|#[ \t]*{_NAME}[ \t]*#[ \t]*:", re.IGNORECASE)


def check_templates(templates: Mapping[str, str], places: Sequence[str], *, owner: str) -> None:
    """See that there are templates, and that each has the places for a row's texts.

    Raises:
        ConfigurationError: there are none, or one lacks a place.
    """
    if not templates:
        raise ConfigurationError(f"`mutation_templates` of {owner!r} are empty. Give one at least.")
    for name, template in templates.items():
        check_places(template, places, what=f"The template {name!r} in `mutation_templates` of {owner!r}")


def drawn(templates: Mapping[str, str], rng: random.Random) -> str:
    """One of the templates, at random."""
    return rng.choice([*templates.values()])


def rewritten(generation: Generation) -> str:
    """The text that an answer consists of, without a label before it.

    Raises:
        OutputError: there is none, or it was cut off.
    """
    text = whole_text(generation)
    *_, last = [0, *(label.end() for label in _LABEL.finditer(text))]
    if not text[last:].strip():
        raise OutputError("The answer is a label with nothing behind it.", raw=generation.text)
    return text[last:].strip()
