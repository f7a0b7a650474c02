"""Tasks that write instruction data. Every name here is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attribute_grid import AttributeGrid
    from .clair import CLAIR
    from .conversation_simulation import ConversationSimulation
    from .evol_complexity import EvolComplexity
    from .evol_complexity_generator import EvolComplexityGenerator
    from .evol_instruct import EvolInstruct
    from .evol_instruct_generator import EvolInstructGenerator
    from .evol_quality import EvolQuality
    from .format_prm import FormatPRM
    from .genstruct import Genstruct
    from .math_shepherd_completer import MathShepherdCompleter
    from .math_shepherd_generator import MathShepherdGenerator
    from .persona_generator import PersonaGenerator
    from .self_instruct import SelfInstruct
    from .urial import URIAL

__all__ = [
    "CLAIR",
    "URIAL",
    "AttributeGrid",
    "ConversationSimulation",
    "EvolComplexity",
    "EvolComplexityGenerator",
    "EvolInstruct",
    "EvolInstructGenerator",
    "EvolQuality",
    "FormatPRM",
    "Genstruct",
    "MathShepherdCompleter",
    "MathShepherdGenerator",
    "PersonaGenerator",
    "SelfInstruct",
]

_HOME = {
    "AttributeGrid": ".attribute_grid",
    "CLAIR": ".clair",
    "ConversationSimulation": ".conversation_simulation",
    "EvolComplexity": ".evol_complexity",
    "EvolComplexityGenerator": ".evol_complexity_generator",
    "EvolInstruct": ".evol_instruct",
    "EvolInstructGenerator": ".evol_instruct_generator",
    "EvolQuality": ".evol_quality",
    "FormatPRM": ".format_prm",
    "Genstruct": ".genstruct",
    "MathShepherdCompleter": ".math_shepherd_completer",
    "MathShepherdGenerator": ".math_shepherd_generator",
    "PersonaGenerator": ".persona_generator",
    "SelfInstruct": ".self_instruct",
    "URIAL": ".urial",
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
