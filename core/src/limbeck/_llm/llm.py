"""The base class for providers. It holds what every backend is configured by, and no logic of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr

from .._configured import Configured
from ..errors import ConfigurationError
from ..types import Capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping


# How a request travels, never what it answers: left out of `LLM.identity`.
_TRANSPORT_FIELDS = frozenset(
    {"max_concurrency", "rpm", "tpm", "timeout", "deadline", "max_attempts", "breaker_threshold", "generation_kwargs"}
    | {"mode", "batch_fallback", "batch_max_requests", "batch_max_open"}
    | {"batch_gather_seconds", "batch_poll_seconds"}
)


class LLM(Configured):
    """A model behind a provider.

    A subclass writes `model_name` and one of

    - `async def agenerate(self, request: GenerationRequest) -> GenerationResponse`,
    - `def generate(self, request)`, which runs in threads,
    - `def generate_batch(self, requests)`, for weights that answer many at once.

    It sends one request and maps its failures to the types in `limbeck.errors`; the engine
    does the retrying, the waiting and the counting. Clients are made at the first request:
    that happens on the engine's event loop, a constructor never touches the network.

    Attributes:
        generation_kwargs: the provider's own sampling parameters, sent with every request.
        max_concurrency: requests in flight at most; the engine finds what the server bears below it.
        rpm, tpm: requests and tokens a minute at most, where you know your allowance.
        timeout: seconds for one attempt.
        deadline: seconds for one request with all its attempts and waits.
        max_attempts: attempts for one request; refusals for rate do not count.
        breaker_threshold: failures in a row that stop the run.
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
    mode: Literal["online", "batch"] = "online"
    batch_fallback: Literal["online"] | None = None
    batch_max_requests: PositiveInt | None = None
    batch_max_open: PositiveInt = 8
    batch_gather_seconds: PositiveFloat = 5.0
    batch_poll_seconds: PositiveFloat = 60.0

    def model_post_init(self, _context: Any, /) -> None:
        if self.mode == "batch" and not self.capabilities.batches:
            raise ConfigurationError(
                f'`{type(self).__name__}` has no provider batches (`capabilities.batches`): leave `mode` at "online".'
            )
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
        """What identifies the answers: provider, model, and every field that can change one."""
        excluded = _TRANSPORT_FIELDS | self.transport_fields | _secret_fields(self)
        fields = self.model_dump(mode="json", exclude=set(excluded))
        return {
            **fields,
            "provider": f"{type(self).__module__}:{type(self).__qualname__}",
            "model_name": self.model_name,
        }


def _secret_fields(llm: Configured) -> frozenset[str]:
    """Fields that hold a secret or would: whether a key was given or found must not show."""
    return frozenset(
        name
        for name, field in type(llm).model_fields.items()
        if isinstance(getattr(llm, name), SecretStr) or SecretStr in (field.annotation, *get_args(field.annotation))
    )


def config_of(llm: Any) -> dict[str, Any]:
    """The configuration of `llm` as plain JSON: its registered name and the fields that were set, never a secret."""
    from .._registry.registry import default_registry

    name = default_registry().name_of("llm", type(llm)) or f"{type(llm).__module__}:{type(llm).__qualname__}"
    if not isinstance(llm, Configured):
        return {"provider": name}
    return {"provider": name, **llm.model_dump(mode="json", exclude_unset=True, exclude=set(_secret_fields(llm)))}


def resolve_llm(value: Any) -> Any:
    """Turn what a task's `llm` may be given as into a backend.

    Args:
        value: an object with the methods of a backend, a string `"provider/model"`, or the
            mapping that `config_of` makes.

    Raises:
        UnknownNameError: nothing has the provider's name.
        ConfigurationError: the fields do not fit the provider.
        PluginContractError: the object is not a backend.
    """
    from ..protocols import check_llm

    if isinstance(value, str):
        value = _from_string(value)
    elif isinstance(value, dict):
        value = _from_mapping(value)
    if isinstance(value, type):
        raise ConfigurationError(
            f"`llm` was given the class `{value.__name__}`; give it an instance, `{value.__name__}(…)`."
        )
    check_llm(value)
    return value


def _from_string(text: str) -> Any:
    from .._registry.registry import default_registry

    registry = default_registry()
    first, _, rest = text.partition("/")
    second, _, model = rest.partition("/")
    if rest and registry.declares("llm", f"{first}/{second}"):
        name = f"{first}/{second}"
    else:
        name, model = first, rest
    cls = registry.get("llm", name)
    if not model:
        try:
            return cls()
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"The LLM {text!r} names no model; write '{name}/<model>'.") from exc
    build = getattr(cls, "from_model", None)
    return build(model) if build else cls(model=model)


def _from_mapping(config: dict[str, Any]) -> Any:
    from .._registry.registry import default_registry

    fields = dict(config)
    provider = fields.pop("provider", None)
    if not isinstance(provider, str):
        raise ConfigurationError(
            "An `llm` given as a mapping needs the key `provider`, the name of the backend; "
            f"it has {', '.join(map(repr, config)) or 'no keys'}."
        )
    _, slash, model = provider.partition("/")
    if slash and not default_registry().declares("llm", provider):
        built = _from_string(provider)
        given = built.model_dump(exclude_unset=True) if isinstance(built, Configured) else {"model": model}
        return type(built)(**{**given, **fields})
    return default_registry().get("llm", provider)(**fields)
