"""`evol-complexity`: instructions that are made more complex, round by round."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .evol_instruct import EvolInstruct
from .mutations import COMPLEXITY_MUTATIONS
from .papers import DEITA


class EvolComplexity(EvolInstruct):
    """Make an instruction more complex in several rounds: `EvolInstruct` with other mutations.

    None of its mutations changes the subject. Columns and attributes are those of `EvolInstruct`.

    Source: Liu et al., Deita (https://arxiv.org/abs/2312.15685).
    """

    citation: ClassVar[str] = DEITA

    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(COMPLEXITY_MUTATIONS))
