"""`evol-complexity-generator`: instructions written from nothing, and made more complex until they are long enough."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .evol_instruct_generator import EvolInstructGenerator
from .mutations import GENERATION_COMPLEXITY_MUTATIONS
from .papers import DEITA


class EvolComplexityGenerator(EvolInstructGenerator):
    """Write instructions, and make them more complex: `EvolInstructGenerator` with other mutations.

    Columns and attributes are those of `EvolInstructGenerator`.

    Source: Liu et al., Deita (https://arxiv.org/abs/2312.15685).
    """

    citation: ClassVar[str] = DEITA

    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(GENERATION_COMPLEXITY_MUTATIONS))
