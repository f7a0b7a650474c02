"""Images behind Hugging Face's APIs: Inference Providers, Inference Endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import ImageGenerator
from limbeck.backends import ClientPerLoop, media_type_of
from limbeck.types import Image, ImageResponse

from ._place import check_kwargs, check_place, check_reachable, name_of, wire_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import ImageRequest

    from ._wire import Wire  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_TASK = "text-to-image"
_RESERVED = {"model": "name the model with `model_id`", "prompt": "it is the task's `format_input`"}


class InferenceImageGenerator(ImageGenerator):
    """A model behind one of Hugging Face's APIs.

    One of `model_id`, `endpoint_name` and `base_url` says where it is.

    Attributes:
        model_id: hub id of the model.
        endpoint_name: name of the dedicated endpoint. endpoint_namespace: user or organisation it belongs to; the key's
            own user if None.
        base_url: address of the server, which answers as an Inference Endpoint does.
        inference_provider: whose servers answer for `model_id`, or "auto" for the first of your account's that has
            it. Given as `provider`.
        api_key: by default HF_TOKEN, else the key that `hf auth login` saved. To a `base_url` outside Hugging Face
            only `api_key` is sent.
        bill_to: organisation that pays for `model_id`'s requests.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its rows.
        generation_kwargs: what `AsyncInferenceClient.text_to_image` takes: `width`, `height`, `num_inference_steps`,
            `guidance_scale`, `negative_prompt`, `seed`; `extra_body` for what a provider has beyond them.
    """

    transport_fields: ClassVar[frozenset[str]] = frozenset({"bill_to", "max_response_bytes"})

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
        check_kwargs(generation_kwargs, owner=owner, method="text_to_image", reserved=_RESERVED)

    def load(self) -> None:
        """Check that the SDK and a key are there. No network; raises as `InferenceEndpointsLLM.load`."""
        check_reachable(self, _TASK)

    async def adraw(self, request: ImageRequest) -> ImageResponse:
        """Send one request, once."""
        wire = await self._wires.get(lambda: wire_to(self, _TASK))
        route = await wire.route()
        parameters = {**self.generation_kwargs, **request.parameters}
        parameters.update(parameters.pop("extra_body", None) or {})
        content = await wire.fetch(route, request.prompt, parameters)
        return ImageResponse(images=[Image(content=content, media_type=media_type_of(content))])

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._wires.aclose()
