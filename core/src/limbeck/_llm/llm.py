"""The base class of backends that write text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from ..errors import ConfigurationError
from .model import Model
from .resolving import config_of, resolve_model


class LLM(Model):
    """A model behind a provider that goes on with a chat or a prompt.

    A subclass writes `model_name` and one of

    - `async def agenerate(self, request: GenerationRequest) -> GenerationResponse`,
    - `def generate(self, request)`, which runs in threads,
    - `def generate_batch(self, requests)`, for weights that answer many at once.

    Attributes:
        generation_kwargs: the provider's own sampling parameters, sent with every request.
        mode: "batch" sends requests through the provider's batch API, where it has one: about half
            the price, and up to a day's wait. It needs a run directory.
        batch_fallback: "online" asks one by one for what a batch leaves unanswered, instead of
            putting it into another batch.
        batch_max_requests: requests in one batch at most; by default what the provider allows.
        batch_max_open: batches at the provider at once, at most.
        batch_gather_seconds: a batch that is not full is submitted when no row came for so long.
        batch_poll_seconds: time to the first look at a batch; it grows to ten times that.
    """

    _kind_of_class: ClassVar[str] = "llm"

    mode: Literal["online", "batch"] = "online"
    batch_fallback: Literal["online"] | None = None
    batch_max_requests: PositiveInt | None = None
    batch_max_open: PositiveInt = 8
    batch_gather_seconds: PositiveFloat = 5.0
    batch_poll_seconds: PositiveFloat = 60.0

    def model_post_init(self, context: Any, /) -> None:
        if self.mode == "batch" and not self.capabilities.batches:
            raise ConfigurationError(
                f'`{type(self).__name__}` has no provider batches (`capabilities.batches`): leave `mode` at "online".'
            )
        super().model_post_init(context)


def resolve_llm(value: Any) -> Any:
    """Turn what a task's `llm` may be given as into a backend; see `resolve_model`."""
    return resolve_model("llm", value)


__all__ = ["LLM", "config_of", "resolve_llm"]
