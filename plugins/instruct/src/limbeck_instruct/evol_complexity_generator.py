"""`evol-complexity-generator`: instructions written from nothing, and made more complex until they are long enough."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .evol_instruct_generator import EvolInstructGenerator
from .mutations import GENERATION_COMPLEXITY_MUTATIONS


class EvolComplexityGenerator(EvolInstructGenerator):
    """Write instructions, and make them more complex: `EvolInstructGenerator` with other mutations.

    Columns and attributes are those of `EvolInstructGenerator`.

    Source: Liu et al., Deita (https://arxiv.org/abs/2312.15685).
    """

    citation: ClassVar[str] = """\
@misc{liu2024deita,
    title={What Makes Good Data for Alignment? A Comprehensive Study of Automatic Data Selection in Instruction Tuning},
    author={Wei Liu and Weihao Zeng and Keqing He and Yong Jiang and Junxian He},
    year={2024},
    eprint={2312.15685},
    archivePrefix={arXiv},
}"""

    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(GENERATION_COMPLEXITY_MUTATIONS))
