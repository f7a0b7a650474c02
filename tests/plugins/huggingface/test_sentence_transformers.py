"""Models of sentence-transformers in this process: with the real package where it is installed, else with a stand-in.

The stand-in has the signatures of sentence-transformers 6.2, and refuses what those would.
"""

from __future__ import annotations

import sys
import types
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import get_embedder, get_scorer
from limbeck.errors import ConfigurationError, MissingDependencyError
from limbeck.testing import EmbedderContract, ScorerContract
from limbeck_huggingface import CrossEncoderScorer, SentenceTransformersEmbedder
from limbeck_huggingface import sentence_transformers as module
from support.tei_server import similarity, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INSTALLED = find_spec("sentence_transformers") is not None


class Array(list[Any]):
    """As much of an array as is read."""

    def tolist(self) -> list[Any]:
        return list(self)


class SentenceTransformer:
    """The stand-in for the class of that name."""

    def __init__(
        self,
        model_name_or_path: str,
        *,
        device: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        if model_name_or_path == "nowhere":
            raise OSError("nowhere is not a local folder and is not a valid model identifier\nand so on")
        self.asked: list[dict[str, Any]] = []
        self.options = {"device": device, "revision": revision, "trust_remote_code": trust_remote_code}
        self.truncate_dim = truncate_dim

    def encode(
        self,
        inputs: Sequence[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        chunk_size: int | None = None,
    ) -> list[Array]:
        assert isinstance(inputs, list)
        assert show_progress_bar is False
        self.asked.append({"inputs": inputs, "batch_size": batch_size, "prompt_name": prompt_name})
        return [Array(vector_of(text)[: self.truncate_dim]) for text in inputs]


class CrossEncoder:
    """The stand-in for the class of that name."""

    def __init__(
        self,
        model_name_or_path: str,
        *,
        device: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        max_length: int | None = None,
    ) -> None:
        self.max_length = max_length

    def predict(
        self,
        inputs: Sequence[tuple[str, str]],
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        apply_softmax: bool | None = False,
    ) -> Array:
        assert show_progress_bar is False
        return Array(similarity(query, candidate) for query, candidate in inputs)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package: Any = types.ModuleType("sentence_transformers")
    package.SentenceTransformer, package.CrossEncoder = SentenceTransformer, CrossEncoder
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    monkeypatch.setattr(module, "require", lambda *_args, **_options: None)
    module._parameters.cache_clear()
    yield
    module._parameters.cache_clear()


class TestSentenceTransformersEmbedder(EmbedderContract):
    def make_model(self) -> Any:
        return SentenceTransformersEmbedder(model_id="org/model")


class TestCrossEncoderScorer(ScorerContract):
    def make_model(self) -> Any:
        return CrossEncoderScorer(model_id="org/model")


def ask(embedder: SentenceTransformersEmbedder, *texts: str) -> Any:
    from limbeck.types import EmbeddingRequest

    return embedder.embed(EmbeddingRequest(texts=list(texts))).vectors


def test_texts_go_through_the_model_together() -> None:
    embedder = SentenceTransformersEmbedder(
        model_id="m", prompt_name="query", device_batch_size=2, truncate_dim=3, device="cpu", revision="r"
    )
    assert [list(vector) for vector in ask(embedder, "a", "b")] == [vector_of("a")[:3], vector_of("b")[:3]]
    model = embedder._loaded
    assert model.asked == [{"inputs": ["a", "b"], "batch_size": 2, "prompt_name": "query"}]
    assert model.options == {"device": "cpu", "revision": "r", "trust_remote_code": False}


def test_the_weights_are_loaded_once() -> None:
    embedder = SentenceTransformersEmbedder(model_id="m")
    embedder.load()
    model = embedder._loaded
    ask(embedder, "a")
    assert embedder._loaded is model


def test_a_model_that_is_not_to_be_had_is_told_in_one_line() -> None:
    with pytest.raises(ConfigurationError, match="no model to be had from 'nowhere'") as caught:
        SentenceTransformersEmbedder(model_id="nowhere").load()
    assert "and so on" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SentenceTransformersEmbedder(model_id="m", generation_kwargs={"chunks": 3}), "no parameter 'chunks'"),
        (lambda: SentenceTransformersEmbedder(model_id="m", generation_kwargs={"batch_size": 3}), "device_batch_size"),
        (lambda: CrossEncoderScorer(model_id="m", generation_kwargs={"inputs": []}), "`format_input`"),
    ],
)
def test_parameters_are_compared_with_those_of_the_installed_package(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_where_weights_lie_and_how_many_texts_go_through_at_once_changes_no_key() -> None:
    one = SentenceTransformersEmbedder(model_id="m", device="cpu", device_batch_size=1)
    assert one.identity == SentenceTransformersEmbedder(model_id="m").identity
    assert one.identity != SentenceTransformersEmbedder(model_id="m", normalize=True).identity


def test_names_find_the_classes() -> None:
    assert get_embedder("sentence-transformers") is SentenceTransformersEmbedder
    assert get_scorer("sentence-transformers") is CrossEncoderScorer


@pytest.mark.skipif(INSTALLED, reason="sentence-transformers is installed")
def test_the_extra_is_named_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(MissingDependencyError, match=r"limbeck-huggingface\[sentence-transformers\]"):
        SentenceTransformersEmbedder(model_id="m").load()


@pytest.mark.skipif(not INSTALLED, reason="sentence-transformers is not installed")
def test_the_stand_in_takes_nothing_that_the_package_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect

    monkeypatch.undo()
    import sentence_transformers

    for name, method in (("SentenceTransformer", "encode"), ("CrossEncoder", "predict")):
        real = inspect.signature(getattr(getattr(sentence_transformers, name), method)).parameters
        assert inspect.signature(getattr(globals()[name], method)).parameters.keys() <= real.keys()
