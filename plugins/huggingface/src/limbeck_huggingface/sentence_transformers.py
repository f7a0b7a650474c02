"""Models of sentence-transformers, run in this process: embeddings, and cross-encoders that score."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveFloat, PositiveInt, PrivateAttr

from limbeck import Embedder, Scorer
from limbeck.errors import ConfigurationError
from limbeck.types import EmbeddingResponse, ScoreResponse

from ._parameters import check_names
from ._prompts import first_line, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import EmbeddingRequest, ScoreRequest

# Weights are large: two backends that are used at once load one after the other.
_LOADING = threading.Lock()
_SET_BY_LIMBECK = {
    "sentences": "they are the task's `format_input`",
    "inputs": "they are the task's `format_input`",
    "batch_size": "use the field `device_batch_size`",
    "show_progress_bar": "there is none",
    "output_value": "one vector is wanted for a text",
    "precision": "vectors are kept as 32-bit floats",
    "convert_to_numpy": "the numbers are read either way",
    "convert_to_tensor": "the numbers are read either way",
    "device": "use the field `device`",
}


class SentenceTransformersEmbedder(Embedder):
    """A model of sentence-transformers, run here. Needs `limbeck-huggingface[sentence-transformers]`.

    Attributes:
        model_id: hub id or local folder.
        revision: branch, tag or commit on the Hub.
        device: as torch names it ("cuda:1", "cpu"); None takes the first GPU, else the CPU.
        prompt_name: of a prompt in the model's configuration ("query", "document"), which stands before each text.
        truncate_dim: dimensions of the vectors, where the model was trained for fewer (Matryoshka).
        normalize: vectors of length 1.
        batch_size: texts that the model is given together. device_batch_size: those that go through it at once.
        trust_remote_code: run code that comes with the model.
        generation_kwargs: what `SentenceTransformer.encode` takes beside these.
        max_concurrency: requests under way at once; more than 1 share the same device.
        timeout: seconds for one request.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset({"device", "device_batch_size"})

    model_id: str
    revision: str | None = None
    device: str | None = None
    prompt_name: str | None = None
    truncate_dim: PositiveInt | None = None
    normalize: bool = False
    device_batch_size: PositiveInt = 32
    trust_remote_code: bool = False
    max_concurrency: PositiveInt = 1
    timeout: PositiveFloat = 6 * 3600.0

    _loaded: Any = PrivateAttr(default=None)

    @property
    def model_name(self) -> str:
        """The hub id or the folder."""
        return self.model_id

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with those that the installed `SentenceTransformer.encode` takes."""
        check_names(
            generation_kwargs,
            known=_parameters("SentenceTransformer", "encode"),
            reserved={
                **_SET_BY_LIMBECK,
                "prompt_name": "use the field `prompt_name`",
                "truncate_dim": "use the field `truncate_dim`",
                "normalize_embeddings": "use the field `normalize`",
            },
            subject="`SentenceTransformer.encode`",
        )

    def load(self) -> None:
        """Load the weights, from the folder, the cache or the Hub.

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            ConfigurationError: the model cannot be loaded.
        """
        self._model()

    def _model(self) -> Any:
        with _LOADING:
            if self._loaded is None:
                self._loaded = _loaded(
                    "SentenceTransformer",
                    self.model_id,
                    owner=type(self).__name__,
                    revision=self.revision,
                    device=self.device,
                    truncate_dim=self.truncate_dim,
                    trust_remote_code=self.trust_remote_code,
                )
            return self._loaded

    def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Embed texts; blocks."""
        vectors = self._model().encode(
            list(request.texts),
            prompt_name=self.prompt_name,
            batch_size=self.device_batch_size,
            normalize_embeddings=self.normalize,
            show_progress_bar=False,
            **{**self.generation_kwargs, **request.parameters},
        )
        return EmbeddingResponse(vectors=[*vectors])


class CrossEncoderScorer(Scorer):
    """A cross-encoder of sentence-transformers, run here: it reads the query and each candidate together.

    Needs `limbeck-huggingface[sentence-transformers]`.

    Attributes:
        model_id: hub id or local folder.
        revision: branch, tag or commit on the Hub.
        device: as torch names it ("cuda:1", "cpu"); None takes the first GPU, else the CPU.
        max_length: tokens of a query and a candidate together, at most; by default what the model takes.
        device_batch_size: candidates that go through the model at once.
        trust_remote_code: run code that comes with the model.
        generation_kwargs: what `CrossEncoder.predict` takes beside these.
        max_concurrency: requests under way at once; more than 1 share the same device.
        timeout: seconds for one request.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset({"device", "device_batch_size"})

    model_id: str
    revision: str | None = None
    device: str | None = None
    max_length: PositiveInt | None = None
    device_batch_size: PositiveInt = 32
    trust_remote_code: bool = False
    max_concurrency: PositiveInt = 1
    timeout: PositiveFloat = 6 * 3600.0

    _loaded: Any = PrivateAttr(default=None)

    @property
    def model_name(self) -> str:
        """The hub id or the folder."""
        return self.model_id

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with those that the installed `CrossEncoder.predict` takes."""
        known = _parameters("CrossEncoder", "predict")
        check_names(generation_kwargs, known=known, reserved=_SET_BY_LIMBECK, subject="`CrossEncoder.predict`")

    def load(self) -> None:
        """Load the weights; raises as `SentenceTransformersEmbedder.load`."""
        self._model()

    def _model(self) -> Any:
        with _LOADING:
            if self._loaded is None:
                self._loaded = _loaded(
                    "CrossEncoder",
                    self.model_id,
                    owner=type(self).__name__,
                    revision=self.revision,
                    device=self.device,
                    max_length=self.max_length,
                    trust_remote_code=self.trust_remote_code,
                )
            return self._loaded

    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Score candidates; blocks."""
        scores = self._model().predict(
            [(request.query, candidate) for candidate in request.candidates],
            batch_size=self.device_batch_size,
            show_progress_bar=False,
            **{**self.generation_kwargs, **request.parameters},
        )
        return ScoreResponse(scores=[float(score) for score in scores])


def _loaded(kind: str, model_id: str, *, owner: str, **options: Any) -> Any:
    require("sentence_transformers", needed_by=f"`{owner}`", extra="sentence-transformers")
    import sentence_transformers

    try:
        return getattr(sentence_transformers, kind)(model_id, **options)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"There is no model to be had from {model_id!r}: {first_line(exc)}") from None


@lru_cache(maxsize=2)
def _parameters(kind: str, method: str) -> frozenset[str]:
    import inspect

    require("sentence_transformers", needed_by=f"`generation_kwargs` of a `{kind}`", extra="sentence-transformers")
    import sentence_transformers

    found = getattr(getattr(sentence_transformers, kind), method)
    return frozenset(inspect.signature(found).parameters) - {"self"}
