"""Embeddings of OpenAI, and of every server that speaks its API for them."""

from __future__ import annotations

import binascii
from array import array
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import Embedder
from limbeck.backends import ClientPerLoop, chat_usage
from limbeck.types import EmbeddingResponse

from ._request import Method, check_parameters, split_options
from ._server import Server, place_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from limbeck.types import EmbeddingRequest

    from ._chat import Chat  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_METHOD = Method(
    name="embeddings",
    place="openai.resources.embeddings:AsyncEmbeddings.create",
    set_by_limbeck={
        "model": "Use the field `model`.",
        "input": "It comes from the task's `format_input`.",
        "dimensions": "Use the field `dimensions`.",
        "encoding_format": "Use the field `encoding_format`.",
        "timeout": "Use the field `timeout`.",
    },
)


class OpenAIEmbedder(Embedder):
    """A model behind OpenAI's embeddings API, at OpenAI or at a compatible server.

    Example:
        >>> OpenAIEmbedder(model="text-embedding-3-small", dimensions=256).model_name
        'text-embedding-3-small'

    Attributes:
        model: the model's name at the server.
        dimensions: of the vectors, where the model can shorten them; by default all it has.
        encoding_format: how vectors travel: "base64" is a quarter of the bytes, and a tenth of the work. A server
            that does not know it gives numbers all the same.
        batch_size: texts in one request, at most. OpenAI takes 2048, of 300,000 tokens in all.
        base_url: the server, up to and with its `/v1`; by default the environment variable
            `OPENAI_BASE_URL`, else OpenAI.
        api_key: by default the environment variable `OPENAI_API_KEY`. A server other than
            OpenAI's is called without one if there is none.
        organization: by default the environment variable `OPENAI_ORG_ID`.
        project: by default the environment variable `OPENAI_PROJECT_ID`.
        url_query: the query of every request's URL; what stands behind the `?` of `base_url` is put here.
            It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its rows.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "organization", "project", "max_response_bytes", "encoding_format"}
    )

    model: str = Field(min_length=1)
    dimensions: PositiveInt | None = None
    encoding_format: Literal["base64", "float"] = "base64"
    base_url: str | None = None
    api_key: SecretStr | None = None
    organization: str | None = None
    project: str | None = None
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 256 * 2**20
    _connections: ClientPerLoop[Chat] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        place_query(self)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        return {**super().identity, **Server.of(self).identity}

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for a parameter that the installed SDK's embeddings do not take."""
        check_parameters(generation_kwargs, owner=type(self).__name__, method=_METHOD)

    def load(self) -> None:
        """Check that the SDK and a key are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is no key, and the server is OpenAI's.
        """
        Server.of(self).check()

    async def aembed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send one request, once."""
        chat = await self._connections.get(self._connect)
        body, options = split_options({**self.generation_kwargs, **request.parameters})
        body |= {"model": self.model, "input": list(request.texts), "encoding_format": self.encoding_format}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        payload, quota = await chat.ask("/embeddings", body, options, answer="data")
        model = payload.get("model")
        return EmbeddingResponse(
            vectors=_vectors(payload["data"], len(request.texts)),
            usage=chat_usage(payload.get("usage")),
            model=model if isinstance(model, str) else None,
            quota=quota,
        )

    async def aclose(self) -> None:
        """Close the running event loop's client; a later request makes a new one."""
        await self._connections.aclose()

    def _connect(self) -> Chat:
        return Server.of(self).connect(
            connections=self.max_concurrency, timeout=self.timeout, max_response_bytes=self.max_response_bytes
        )


def _vectors(data: Sequence[Any], count: int) -> list[Any]:
    """The vectors by their `index`; None for a text that has none, which fails alone."""
    vectors: list[Any] = [None] * count
    for place, item in enumerate(data):
        if not isinstance(item, dict):
            continue
        index = item.get("index", place)
        if isinstance(index, int) and 0 <= index < count:
            vectors[index] = _vector(item.get("embedding"))
    return vectors


def _vector(embedding: Any) -> Any:
    """A vector as it came, or out of base64: 32-bit floats, the least significant byte first."""
    if not isinstance(embedding, str):
        return embedding
    try:
        vector = array("f")
        vector.frombytes(binascii.a2b_base64(embedding, strict_mode=True))
    except (binascii.Error, ValueError):
        return None
    if _BIG_ENDIAN:
        vector.byteswap()
    return vector


_BIG_ENDIAN = array("H", [1]).tobytes()[0] == 0
