"""The backend for local weights keeps the promises of `limbeck.testing.LLMContract`, through the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.testing import LLMContract
from limbeck_huggingface import TransformersLLM

from .tiny_model import save_model


class TestTransformersLLM(LLMContract):
    batch_size = 8

    @pytest.fixture(autouse=True)
    def _save(self, tmp_path: Path) -> None:
        self.folder = str(tmp_path)
        save_model(tmp_path)

    def make_llm(self) -> TransformersLLM:
        return TransformersLLM(model_id=self.folder, max_new_tokens=3, batch_size=self.batch_size)


class TestTransformersLLMOneByOne(TestTransformersLLM):
    batch_size = 1
