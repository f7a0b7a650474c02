"""Images of OpenAI, and of every server that speaks its API for them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import ImageGenerator
from limbeck.backends import ClientPerLoop, media_type_of
from limbeck.errors import BadRequestError, TransientError
from limbeck.types import Capabilities, Image, ImageResponse, Usage

from ._request import Method, check_parameters, split_options
from ._server import Server, place_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import ImageRequest

    from ._chat import Chat  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_WHOLE = "Limbeck reads whole images."
_METHOD = Method(
    name="images",
    place="openai.resources.images:AsyncImages.generate",
    set_by_limbeck={
        "model": "Use the field `model`.",
        "prompt": "It comes from the task's `format_input`.",
        "n": "Use the task's `num_generations`.",
        "stream": _WHOLE,
        "partial_images": _WHOLE,
        "timeout": "Use the field `timeout`.",
    },
)


class OpenAIImageGenerator(ImageGenerator):
    """A model behind OpenAI's images API, at OpenAI or at a compatible server.

    Size, quality, format and the like go into `generation_kwargs`. Models that answer with an address by default
    (`dall-e-3`) need `generation_kwargs={"response_format": "b64_json"}`.

    Example:
        >>> OpenAIImageGenerator(model="gpt-image-1", generation_kwargs={"size": "1024x1024"}).model_name
        'gpt-image-1'

    Attributes:
        model: the model's name at the server.
        max_choices: images asked for in one request at most; the engine asks for the rest.
        base_url: the server, up to and with its `/v1`; by default the environment variable
            `OPENAI_BASE_URL`, else OpenAI.
        api_key: by default the environment variable `OPENAI_API_KEY`. A server other than
            OpenAI's is called without one if there is none.
        organization: by default the environment variable `OPENAI_ORG_ID`.
        project: by default the environment variable `OPENAI_PROJECT_ID`.
        url_query: the query of every request's URL; what stands behind the `?` of `base_url` is put here.
            It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its row.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(native_n=True)
    transport_fields: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "organization", "project", "max_choices", "max_response_bytes"}
    )

    model: str = Field(min_length=1)
    max_choices: PositiveInt = 10
    base_url: str | None = None
    api_key: SecretStr | None = None
    organization: str | None = None
    project: str | None = None
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 512 * 2**20
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
        """Raise `ConfigurationError` for a parameter that the installed SDK's images do not take."""
        check_parameters(generation_kwargs, owner=type(self).__name__, method=_METHOD)

    def load(self) -> None:
        """Check that the SDK and a key are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is no key, and the server is OpenAI's.
        """
        Server.of(self).check()

    async def adraw(self, request: ImageRequest) -> ImageResponse:
        """Send one request, once."""
        chat = await self._connections.get(self._connect)
        body, options = split_options({**self.generation_kwargs, **request.parameters})
        body |= {"model": self.model, "prompt": request.prompt}
        asked = min(request.num_generations, self.max_choices)
        if asked > 1:
            body["n"] = asked
        payload, quota = await chat.ask("/images/generations", body, options, answer="data")
        images = [_image(item) for item in payload["data"][:asked]]
        if not images:
            raise TransientError(f"{chat.server} answered without any image.", usage=_usage(payload))
        return ImageResponse(images=images, usage=_usage(payload), model=self.model, quota=quota)

    async def aclose(self) -> None:
        """Close the running event loop's client; a later request makes a new one."""
        await self._connections.aclose()

    def _connect(self) -> Chat:
        return Server.of(self).connect(
            connections=self.max_concurrency, timeout=self.timeout, max_response_bytes=self.max_response_bytes
        )


def _image(item: Any) -> Image:
    encoded = item.get("b64_json") if isinstance(item, dict) else None
    if isinstance(encoded, str):
        try:
            content = base64.b64decode(encoded)
        except binascii.Error as exc:
            raise TransientError(f"The server answered with an image that is no base64: {exc}.") from exc
        return Image(content=content, media_type=media_type_of(content))
    if isinstance(item, dict) and item.get("url"):
        raise BadRequestError(
            "The server answered with the address of an image, which expires. Have it send the image itself: "
            '`generation_kwargs={"response_format": "b64_json"}`.'
        )
    raise TransientError("The server answered with something that is no image.")


def _usage(payload: Mapping[str, Any]) -> Usage | None:
    """The tokens; those of images count as tokens of the answer. Models that are paid by the image say none."""
    usage = payload.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(input_tokens=usage.get("input_tokens") or 0, output_tokens=usage.get("output_tokens") or 0)
