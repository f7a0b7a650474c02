"""The standard task pack of Limbeck. Every name here is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chat_generation import ChatGeneration
    from .generate_embeddings import GenerateEmbeddings
    from .generate_images import GenerateImages
    from .rank import Rank
    from .score import Score
    from .structured_generation import StructuredGeneration
    from .text_classification import TextClassification
    from .text_generation import TextGeneration
    from .text_generation_with_image import TextGenerationWithImage

__all__ = [
    "ChatGeneration",
    "GenerateEmbeddings",
    "GenerateImages",
    "Rank",
    "Score",
    "StructuredGeneration",
    "TextClassification",
    "TextGeneration",
    "TextGenerationWithImage",
]

_HOME = {
    "ChatGeneration": ".chat_generation",
    "GenerateEmbeddings": ".generate_embeddings",
    "GenerateImages": ".generate_images",
    "Rank": ".rank",
    "Score": ".score",
    "StructuredGeneration": ".structured_generation",
    "TextClassification": ".text_classification",
    "TextGeneration": ".text_generation",
    "TextGenerationWithImage": ".text_generation_with_image",
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
