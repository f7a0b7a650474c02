"""Hugging Face backends for Limbeck: Inference Endpoints, Inference Providers, TGI, and local transformers weights.

Each class is imported when it is first used, and imports its SDK when that is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inference_endpoints import InferenceEndpointsLLM
    from .transformers import TransformersLLM

__version__ = "0.1.0"

__all__ = ["InferenceEndpointsLLM", "TransformersLLM"]

_HOME = {"InferenceEndpointsLLM": ".inference_endpoints", "TransformersLLM": ".transformers"}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home, __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
