"""Where a model that writes no text is: what the fields of its backend say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.backends import ServerAddress, import_sdk, refuse_secrets
from limbeck.errors import ConfigurationError

from ._parameters import check_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._wire import Wire

_PLACES = ("model_id", "endpoint_name", "base_url")


def check_place(model: Any) -> None:
    """Raise `ConfigurationError` unless the fields of a backend name one place; puts its URL into its plain form."""
    owner = type(model).__name__
    given = [f"`{name}`" for name in _PLACES if getattr(model, name)]
    if len(given) != 1:
        names = ", ".join(f"`{name}`" for name in _PLACES[:-1])
        raise ConfigurationError(
            f"`{owner}` needs exactly one of {names} and `{_PLACES[-1]}`; it has {' and '.join(given) or 'none'}."
        )
    if model.base_url:
        address = ServerAddress.of(model.base_url, name="`base_url`", example="http://localhost:8080")
        if address.query:
            raise ConfigurationError(f"`base_url` of `{owner}` has a query, `?…`, which is not sent. Leave it out.")
        model.base_url = address.url
    needs = {
        "endpoint_namespace": ("endpoint_name", model.endpoint_namespace and not model.endpoint_name),
        "bill_to": ("model_id", model.bill_to and not model.model_id),
        "provider": ("model_id", model.inference_provider != "auto" and not model.model_id),
    }
    for name, (place, is_alone) in needs.items():
        if is_alone:
            raise ConfigurationError(f"`{owner}` can have `{name}` only beside `{place}`, and it has {given[0]}.")


def name_of(model: Any) -> str:
    """The name of a backend's model: its hub id, the endpoint's name or the URL."""
    return str(model.model_id or model.endpoint_name or model.base_url)


def check_kwargs(given: Mapping[str, Any], *, owner: str, method: str, reserved: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` unless a method of the installed SDK's client takes every parameter."""
    import inspect

    require_sdk(owner)
    from huggingface_hub import AsyncInferenceClient

    known = frozenset(inspect.signature(getattr(AsyncInferenceClient, method)).parameters) - {"self"}
    check_names(given, known=known, reserved=reserved, subject=f"`{method}`")
    refuse_secrets(given, owner=owner, remedy="Use the field `api_key`.")


def check_reachable(model: Any, task: str) -> None:
    """Check that the SDK and a key are there. No network.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
        MissingCredentialError: there is no key, and Hugging Face would want one.
        ConfigurationError: there is no such `provider` for the task, or HF_HUB_OFFLINE is set.
    """
    _finder(model, task).check()


def wire_to(model: Any, task: str) -> Wire:
    """The way to a backend's server.

    Args:
        task: what it is asked for, as the Hub names it.
    """
    finder = _finder(model, task)
    from ._wire import Wire

    return Wire(
        finder.find,
        connections=model.max_concurrency,
        timeout=model.timeout,
        max_response_bytes=model.max_response_bytes,
        query="",
    )


def _finder(model: Any, task: str) -> Any:
    owner = type(model).__name__
    require_sdk(owner)
    from ._route import RouteFinder

    return RouteFinder(
        model_id=model.model_id,
        endpoint_name=model.endpoint_name,
        endpoint_namespace=model.endpoint_namespace,
        base_url=model.base_url,
        served_model_name=None,
        tokenizer_id=None,
        provider=model.inference_provider,
        key=model.api_key.get_secret_value() if model.api_key else None,
        query="",
        bill_to=model.bill_to,
        chat=True,
        task=task,
        timeout=model.timeout,
        needed_by=f"`{owner}`",
    )


def require_sdk(owner: str) -> None:
    """Raise `MissingDependencyError` unless huggingface_hub is installed."""
    import_sdk("huggingface_hub", defines="get_token", needed_by=f"`{owner}`", requirement="limbeck-huggingface")
