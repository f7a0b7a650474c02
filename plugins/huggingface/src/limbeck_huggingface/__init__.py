"""Hugging Face backends for Limbeck: Inference Endpoints and Providers, TGI, TEI, and weights in this process.

Each class is imported when it is first used, and imports its SDK when that is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inference_embedder import InferenceEmbedder
    from .inference_endpoints import InferenceEndpointsLLM
    from .inference_image_generator import InferenceImageGenerator
    from .inference_scorer import InferenceScorer
    from .sentence_transformers import CrossEncoderScorer, SentenceTransformersEmbedder
    from .transformers import TransformersLLM

__version__ = "0.1.0"

__all__ = [
    "CrossEncoderScorer",
    "InferenceEmbedder",
    "InferenceEndpointsLLM",
    "InferenceImageGenerator",
    "InferenceScorer",
    "SentenceTransformersEmbedder",
    "TransformersLLM",
]

_HOME = {
    "CrossEncoderScorer": ".sentence_transformers",
    "InferenceEmbedder": ".inference_embedder",
    "InferenceEndpointsLLM": ".inference_endpoints",
    "InferenceImageGenerator": ".inference_image_generator",
    "InferenceScorer": ".inference_scorer",
    "SentenceTransformersEmbedder": ".sentence_transformers",
    "TransformersLLM": ".transformers",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home, __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
