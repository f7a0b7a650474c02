"""The base classes of embedders, scorers and image generators, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

import limbeck
from limbeck import Embedder, ImageGenerator, Scorer
from limbeck.errors import ConfigurationError, PluginContractError, RegistrationError, UnknownNameError
from limbeck.plugins import GROUPS
from limbeck.protocols import check_model
from limbeck.testing import (
    EmbedderContract,
    HashEmbedder,
    ImageGeneratorContract,
    ScorerContract,
    ScriptedEmbedder,
    fake_distribution,
    registry,
)
from limbeck.types import EmbeddingRequest, EmbeddingResponse

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import ModelKind

KINDS: list[ModelKind] = ["embedder", "scorer", "image_generator"]


class Acme(Embedder):
    """A company's own."""

    model: str
    region: str = "eu"
    api_key: SecretStr | None = None
    transport_fields = frozenset({"region"})

    @property
    def model_name(self) -> str:
        return self.model

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        return EmbeddingResponse(vectors=[[1.0]] * len(request.texts))


class TestHashEmbedder(EmbedderContract):
    def make_model(self) -> Any:
        return HashEmbedder()


class TestOfflineEmbedder(EmbedderContract):
    def make_model(self) -> Any:
        return limbeck.get_embedder("offline")()


class TestOfflineScorer(ScorerContract):
    def make_model(self) -> Any:
        return limbeck.get_scorer("offline")()


class TestOfflineImageGenerator(ImageGeneratorContract):
    def make_model(self) -> Any:
        return limbeck.get_image_generator("offline")()


def test_what_identifies_a_model_leaves_out_how_its_requests_travel() -> None:
    embedder = Acme(model="a-1", region="us", api_key=SecretStr("s"), batch_size=8, rpm=5, max_concurrency=2)
    assert embedder.identity == {
        "model": "a-1",
        "model_name": "a-1",
        "provider": f"{Acme.__module__}:Acme",
    }


@pytest.mark.parametrize("base", [Embedder, Scorer, ImageGenerator])
def test_every_kind_has_the_limits_that_an_llm_has(base: Any) -> None:
    assert {"max_concurrency", "rpm", "tpm", "timeout", "deadline", "max_attempts"} <= set(base.model_fields)
    assert "mode" not in base.model_fields


def test_a_field_that_a_kind_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"`Acme` has no field 'modle'\. Did you mean "):
        Acme(modle="a")  # type: ignore[call-arg]  # wrong on purpose


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_the_method_of_its_kind_is_told_which(kind: ModelKind) -> None:
    class Nothing:
        model_name = "nothing"

    native = {"embedder": "aembed", "scorer": "ascore", "image_generator": "adraw"}[kind]
    with pytest.raises(PluginContractError, match=f"it must define `{native}` or `{native[1:]}`"):
        check_model(kind, Nothing())


def test_a_coroutine_that_is_none_is_told() -> None:
    class Sync:
        model_name = "sync"

        def aembed(self, request: Any) -> None: ...

    with pytest.raises(PluginContractError, match="`aembed` must be `async def`"):
        check_model("embedder", Sync())


# Names


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_registered_and_found_by_name(kind: str) -> None:
    base: Any = {"embedder": "aembed", "scorer": "ascore", "image_generator": "adraw"}

    async def answer(self: Any, request: Any) -> Any: ...

    cls = type("Mine", (), {"model_name": "m", base[kind]: answer})
    with registry():
        getattr(limbeck, f"register_{kind}")("mine", cls)
        assert getattr(limbeck, f"get_{kind}")("mine") is cls
        assert "mine" in getattr(limbeck, f"list_{kind}s")()
        with pytest.raises(UnknownNameError):
            limbeck.get_llm("mine")


def test_a_class_without_the_method_is_not_registered() -> None:
    with registry(), pytest.raises((PluginContractError, RegistrationError), match="aembed"):
        limbeck.register_embedder("mine", object)


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_declares_models_in_the_group_of_their_kind(kind: Any, tmp_path: Path) -> None:
    method = {"embedder": "embed", "scorer": "score", "image_generator": "draw"}[kind]
    source = f"class Mine:\n    model_name = 'm'\n    def {method}(self, request): ...\n"
    module = f"acme_{method}"
    with fake_distribution(
        tmp_path, "acme-models", entry_points={GROUPS[kind]: {"mine": f"{module}:Mine"}}, modules={module: source}
    ):
        assert getattr(limbeck, f"get_{kind}")("acme-models/mine").__name__ == "Mine"
        namespace = __import__(f"limbeck.{kind}s", fromlist=["Mine"])
        assert namespace.Mine.__module__ == module


def test_the_class_of_an_embedder_is_had_by_its_own_name() -> None:
    from limbeck.embedders import OfflineEmbedder

    assert OfflineEmbedder is limbeck.get_embedder("offline")


def test_a_scripted_embedder_answers_as_told() -> None:
    with pytest.raises(AssertionError, match="no answer left"):
        _run(ScriptedEmbedder(script=[]))


def _run(embedder: Any) -> Any:
    import asyncio

    return asyncio.run(embedder.aembed(EmbeddingRequest(texts=["a"])))
