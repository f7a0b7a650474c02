"""Fakes and suites for the tests of tasks, backends, stores and the apps that use them.

Everything here goes through the same scan, checks and engine as the real thing.
"""

from __future__ import annotations

from .contracts import BatchContract, LedgerContract, LLMContract, TaskContract
from .distributions import check_distribution, fake_distribution, registry
from .kind_contracts import (
    EmbedderContract,
    EmbeddingTaskContract,
    ImageGeneratorContract,
    ImageTaskContract,
    ScorerContract,
    ScoringTaskContract,
)
from .ledgers import MemoryLedger
from .llms import EchoLLM, ScriptedLLM
from .models import HashEmbedder, ScriptedEmbedder, ScriptedImageGenerator, ScriptedScorer
from .recordings import replay

__all__ = [
    "BatchContract",
    "EchoLLM",
    "EmbedderContract",
    "EmbeddingTaskContract",
    "HashEmbedder",
    "ImageGeneratorContract",
    "ImageTaskContract",
    "LLMContract",
    "LedgerContract",
    "MemoryLedger",
    "ScorerContract",
    "ScoringTaskContract",
    "ScriptedEmbedder",
    "ScriptedImageGenerator",
    "ScriptedLLM",
    "ScriptedScorer",
    "TaskContract",
    "check_distribution",
    "fake_distribution",
    "registry",
    "replay",
]
