"""Scores behind Hugging Face's APIs: similarity of sentences, and rerankers of Text Embeddings Inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import Scorer
from limbeck.backends import ClientPerLoop
from limbeck.errors import ConfigurationError, TransientError
from limbeck.types import ScoreResponse

from ._parameters import check_names
from ._place import check_place, check_reachable, name_of, wire_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import ScoreRequest

    from ._wire import Wire  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_TASK = "sentence-similarity"
# https://huggingface.github.io/text-embeddings-inference/, /rerank
_OF_RERANK = frozenset({"raw_scores", "truncate", "truncation_direction"})


class InferenceScorer(Scorer):
    """A model behind one of Hugging Face's APIs, or a reranker behind a server of Text Embeddings Inference.

    One of `model_id`, `endpoint_name` and `base_url` says where it is.

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
        method: "similarity" asks for how near the candidates' vectors are to the query's (`sentence_similarity`);
            "rerank" has a reranker read both together, at the server's `/rerank`. None: "similarity" for a `model_id`,
            else "rerank".
        generation_kwargs: of "rerank": `raw_scores`, `truncate`, `truncation_direction`; "similarity" takes none.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset({"bill_to", "max_response_bytes"})

    method: Literal["similarity", "rerank"] | None = None
    model_id: str | None = None
    endpoint_name: str | None = None
    endpoint_namespace: str | None = None
    base_url: str | None = None
    # Not named `provider`: a backend's configuration holds its registered name under that key.
    inference_provider: str = Field(default="auto", alias="provider")
    api_key: SecretStr | None = None
    bill_to: str | None = None
    max_response_bytes: PositiveInt = 32 * 2**20

    model_config = ConfigDict(populate_by_name=True)

    _wires: ClientPerLoop[Wire] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        """Check the fields against each other."""
        check_place(self)
        if self.model_id and self.method == "rerank":
            raise ConfigurationError(
                '`InferenceScorer` has `method="rerank"` and `model_id`, but Inference Providers have no rerankers. '
                "Name a server of Text Embeddings Inference with `base_url`, or a dedicated endpoint."
            )
        super().model_post_init(context)

    @property
    def model_name(self) -> str:
        """The hub id; else the endpoint's name or the URL."""
        return name_of(self)

    @property
    def identity(self) -> dict[str, Any]:
        """The identity that every scorer has, with the method that is in effect."""
        return {**super().identity, "method": self._method}

    @property
    def _method(self) -> str:
        return self.method or ("similarity" if self.model_id else "rerank")

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with what the method takes."""
        known = _OF_RERANK if self._method == "rerank" else frozenset[str]()
        check_names(generation_kwargs, known=known, reserved={}, subject=f"`InferenceScorer` by {self._method!r}")

    def load(self) -> None:
        """Check that the SDK and a key are there. No network; raises as `InferenceEndpointsLLM.load`."""
        check_reachable(self, _TASK)

    async def ascore(self, request: ScoreRequest) -> ScoreResponse:
        """Send one request, once."""
        wire = await self._wires.get(lambda: wire_to(self, _TASK))
        route = await wire.route()
        candidates = list(request.candidates)
        if self._method == "similarity":
            inputs = {"source_sentence": request.query, "sentences": candidates}
            answer = await wire.post(route, inputs, {})
            scores = answer.body
        else:
            parameters = {**self.generation_kwargs, **request.parameters}
            body = {"query": request.query, "texts": candidates, **parameters}
            answer = await wire.post_to(route, f"{route.root}/rerank", body)
            scores = _by_index(answer.body, len(candidates))
        if not isinstance(scores, list) or len(scores) != len(candidates) or None in scores:
            raise TransientError(f"{route.subject} sent an answer without a score for each candidate.")
        return ScoreResponse(scores=scores, quota=answer.quota)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._wires.aclose()


def _by_index(ranked: Any, count: int) -> list[Any]:
    """The scores of candidates in their order, out of a ranking; None for those that have none."""
    scores: list[Any] = [None] * count
    for item in ranked if isinstance(ranked, list) else ():
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, int) and 0 <= index < count:
            scores[index] = item.get("score")
    return scores
