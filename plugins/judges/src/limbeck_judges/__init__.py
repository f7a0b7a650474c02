"""Tasks of Limbeck that judge. Every name here is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .complexity_scorer import ComplexityScorer
    from .criteria import Criterion
    from .instruction_backtranslation import InstructionBacktranslation
    from .pairwise_comparison import PairwiseComparison
    from .panel_of_judges import PanelOfJudges
    from .prometheus_eval import PrometheusEval
    from .quality_scorer import QualityScorer
    from .rubric_scorer import RubricScorer
    from .ultrafeedback import UltraFeedback

__all__ = [
    "ComplexityScorer",
    "Criterion",
    "InstructionBacktranslation",
    "PairwiseComparison",
    "PanelOfJudges",
    "PrometheusEval",
    "QualityScorer",
    "RubricScorer",
    "UltraFeedback",
]

_HOME = {
    "ComplexityScorer": ".complexity_scorer",
    "Criterion": ".criteria",
    "InstructionBacktranslation": ".instruction_backtranslation",
    "PairwiseComparison": ".pairwise_comparison",
    "PanelOfJudges": ".panel_of_judges",
    "PrometheusEval": ".prometheus_eval",
    "QualityScorer": ".quality_scorer",
    "RubricScorer": ".rubric_scorer",
    "UltraFeedback": ".ultrafeedback",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
