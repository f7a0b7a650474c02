"""The backend for servers keeps the promises of `limbeck.testing.LLMContract`, through the engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limbeck.testing import LLMContract
from limbeck_huggingface import InferenceEndpointsLLM

from .server import huggingface_server


class TestInferenceEndpointsLLM(LLMContract):
    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        with huggingface_server() as server:
            self.url = server.url
            yield

    def make_llm(self) -> InferenceEndpointsLLM:
        return InferenceEndpointsLLM(base_url=self.url)
