"""The floor of every model: what one is configured by, whatever it answers, and no logic of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr

from .._configured import Configured
from ..errors import ConfigurationError
from ..types import Capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping


# How a request travels, never what it answers: left out of `Model.identity`.
_TRANSPORT_FIELDS = frozenset(
    {"max_concurrency", "rpm", "tpm", "timeout", "deadline", "max_attempts", "breaker_threshold", "generation_kwargs"}
    | {"mode", "batch_fallback", "batch_max_requests", "batch_max_open"}
    | {"batch_gather_seconds", "batch_poll_seconds", "batch_size"}
)


class Model(Configured):
    """A model behind a provider; `LLM`, `Embedder`, `Scorer` and `ImageGenerator` say what it is asked.

    A backend sends one request and maps its failures to the types in `limbeck.errors`; the engine
    does the retrying, the waiting and the counting. Clients are made at the first request:
    that happens on the engine's event loop, a constructor never touches the network.

    Attributes:
        generation_kwargs: the provider's own parameters, sent with every request.
        max_concurrency: requests in flight at most; the engine finds what the server bears below it.
        rpm, tpm: requests and tokens a minute at most, where you know your allowance.
        timeout: seconds for one attempt.
        deadline: seconds for one request with all its attempts and waits.
        max_attempts: attempts for one request; refusals for rate do not count.
        breaker_threshold: failures in a row that stop the run.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    transport_fields: ClassVar[frozenset[str]] = frozenset()
    """Further fields that cannot change an answer (a region, a proxy)."""

    generation_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_concurrency: PositiveInt = 64
    rpm: PositiveFloat | None = None
    tpm: PositiveFloat | None = None
    timeout: PositiveFloat = 600.0
    deadline: PositiveFloat = 3600.0
    max_attempts: PositiveInt = 5
    breaker_threshold: PositiveInt = 50

    def model_post_init(self, _context: Any, /) -> None:
        if self.generation_kwargs:
            self.check_generation_kwargs(self.generation_kwargs)

    @property
    def model_name(self) -> str:
        """The model's name, as it stands in the `model_name` column. Every backend defines it."""
        raise ConfigurationError(f"`{type(self).__name__}` must define the property `model_name`.")

    @classmethod
    def from_model(cls, model: str) -> Self:
        """Build it from the part of `"provider/model"` after the first slash."""
        for field in ("model", "model_id"):
            if field in cls.model_fields:
                return cls.model_validate({field: model})
        raise ConfigurationError(
            f"`{cls.__name__}` cannot be built from the model name {model!r}: it has neither a field `model` "
            "nor `model_id`. Pass an instance."
        )

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for a parameter that the provider's SDK does not take."""

    def load(self) -> None:
        """Check that the SDK and the credentials are there. No network. Called once, before the first row."""

    async def aclose(self) -> None:
        """Close clients. Called on the loop that made them."""

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that identify the answers: provider, model, and every field that can change an answer."""
        excluded = _TRANSPORT_FIELDS | self.transport_fields | secret_fields(self)
        fields = self.model_dump(mode="json", exclude=set(excluded))
        return {
            **fields,
            "provider": f"{type(self).__module__}:{type(self).__qualname__}",
            "model_name": self.model_name,
        }


def secret_fields(model: Configured) -> frozenset[str]:
    """Fields that hold a secret or would: whether a key was given or found must not show."""
    return frozenset(
        name
        for name, field in type(model).model_fields.items()
        if isinstance(getattr(model, name), SecretStr) or SecretStr in (field.annotation, *get_args(field.annotation))
    )
