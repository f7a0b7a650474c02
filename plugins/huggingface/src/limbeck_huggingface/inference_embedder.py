"""Embeddings behind Hugging Face's APIs: Inference Providers, Inference Endpoints, Text Embeddings Inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import Embedder
from limbeck.backends import ClientPerLoop, chat_usage
from limbeck.errors import BadRequestError, TransientError
from limbeck.types import EmbeddingResponse

from ._place import check_kwargs, check_place, check_reachable, name_of, wire_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import EmbeddingRequest

    from ._wire import Wire  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_TASK = "feature-extraction"
_RESERVED = {
    "model": "name the model with `model_id`",
    "text": "it is the task's `format_input`",
    "encoding_format": "vectors are read in either form",
}


class InferenceEmbedder(Embedder):
    """A model behind one of Hugging Face's APIs, or behind a server of Text Embeddings Inference.

    One of `model_id`, `endpoint_name` and `base_url` says where it is. It is to give one vector for a text: models for
    sentences do, others give one for each token.

    Attributes:
        model_id: hub id of the model.
        endpoint_name: name of the dedicated endpoint. endpoint_namespace: user or organisation it belongs to; the key's
            own user if None.
        base_url: address of the server, such as Text Embeddings Inference.
        inference_provider: whose servers answer for `model_id`, or "auto" for the first of your account's that has
            it. Given as `provider`.
        api_key: by default HF_TOKEN, else the key that `hf auth login` saved. To a `base_url` outside Hugging Face
            only `api_key` is sent.
        bill_to: organisation that pays for `model_id`'s requests.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its rows.
        batch_size: texts in one request, at most; Text Embeddings Inference takes 32 unless it is told otherwise.
        generation_kwargs: what `AsyncInferenceClient.feature_extraction` takes: `normalize`, `prompt_name`,
            `truncate`, `dimensions`.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset({"bill_to", "max_response_bytes"})

    batch_size: PositiveInt = 32
    model_id: str | None = None
    endpoint_name: str | None = None
    endpoint_namespace: str | None = None
    base_url: str | None = None
    # Not named `provider`: a backend's configuration holds its registered name under that key.
    inference_provider: str = Field(default="auto", alias="provider")
    api_key: SecretStr | None = None
    bill_to: str | None = None
    max_response_bytes: PositiveInt = 256 * 2**20

    model_config = ConfigDict(populate_by_name=True)

    _wires: ClientPerLoop[Wire] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        """Check the fields against each other."""
        check_place(self)
        super().model_post_init(context)

    @property
    def model_name(self) -> str:
        """The hub id; else the endpoint's name or the URL."""
        return name_of(self)

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with the SDK's method."""
        owner = type(self).__name__
        check_kwargs(generation_kwargs, owner=owner, method="feature_extraction", reserved=_RESERVED)

    def load(self) -> None:
        """Check that the SDK and a key are there. No network; raises as `InferenceEndpointsLLM.load`."""
        check_reachable(self, _TASK)

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send one request, once."""
        wire = await self._wires.get(lambda: wire_to(self, _TASK))
        route = await wire.route()
        answer = await wire.post(route, list(request.texts), {**self.generation_kwargs, **request.parameters})
        vectors = route.values(answer.body)
        if not isinstance(vectors, list) or len(vectors) != len(request.texts):
            count = len(vectors) if isinstance(vectors, list) else "no"
            raise TransientError(f"{route.subject} answered with {count} vectors for {len(request.texts)} texts.")
        if vectors and isinstance(vectors[0], list) and vectors[0] and isinstance(vectors[0][0], list):
            raise BadRequestError(
                f"{route.subject} gives a vector for each token, not one for a text. Take a model for sentences."
            )
        usage = answer.body.get("usage") if isinstance(answer.body, dict) else None
        return EmbeddingResponse(vectors=vectors, usage=chat_usage(usage), quota=answer.quota)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._wires.aclose()
