"""`generation_kwargs`: which names may stand in them, and where each goes on the wire."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from limbeck.backends import check_headers, refuse_secrets
from limbeck.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import RequestOptions

# Parameters of `messages.create` that Limbeck sets, and what sets each.
_SET_BY = {
    "model": "the field `model`",
    "messages": "the task's prompt",
    "system": "a system message in the chat",
    "stream": "the field `stream`",
    "timeout": "the field `timeout`",
}
# What other providers, or older versions of this SDK, call something that is done otherwise here.
_INSTEAD = {
    "n": "`num_generations` of the task",
    "num_generations": "`num_generations` of the task",
    "response_format": "`output_schema` of the task",
    "output_format": "`output_schema` of the task",
    "reasoning_effort": "`output_config={'effort': ...}`",
    "stop": "`stop_sequences`",
    "max_completion_tokens": "`max_tokens`",
    "max_new_tokens": "`max_tokens`",
    "max_retries": "the field `max_attempts`",
    "parallel_tool_calls": "`tool_choice={'type': 'auto', 'disable_parallel_tool_use': True}`",
}
_FOR_SECRETS = (
    "Pass a key as `api_key=`, another secret header through the variable `ANTHROPIC_CUSTOM_HEADERS`, and a secret "
    "that belongs into the URL as `url_query='token=…'`."
)
_SAMPLING = ("temperature", "top_p", "top_k")
_EXTRAS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}
# Parameters that travel as headers.
_HEADERS = {"user_profile_id": "anthropic-user-profile-id", "workspace_id": "anthropic-workspace-id"}


@lru_cache(maxsize=1)
def sdk_parameters() -> frozenset[str]:
    """The names that the installed SDK's `messages.create` takes."""
    from anthropic.resources.messages import AsyncMessages

    return frozenset(inspect.signature(AsyncMessages.create).parameters) - {"self"}


def check_parameters(parameters: Mapping[str, Any], *, owner: str) -> None:
    """Raise `ConfigurationError` for what the installed SDK does not take, or Limbeck sets itself.

    Args:
        parameters: what would be sent.
        owner: the class to name in messages.
    """
    for name in [*parameters, *(name for name in parameters.get("extra_body") or () if name in _SET_BY)]:
        reason = _refusal(name)
        if reason:
            raise ConfigurationError(f"`{owner}`: `generation_kwargs` cannot hold {name!r}: {reason}")
    _check_values(parameters, owner)


def _refusal(name: str) -> str | None:
    if name in _SET_BY:
        return f"it is set by {_SET_BY[name]}."
    if name in sdk_parameters():
        return None
    if name in _INSTEAD:
        return f"use {_INSTEAD[name]}."
    if name in _SAMPLING:
        return (
            f"`messages.create` of {_sdk()} does not take it, nor do Anthropic's current models. Leave it out; "
            f"for a server that does take it, write `extra_body={{{name!r}: ...}}`."
        )
    allowed = sdk_parameters() - _SET_BY.keys()
    near = did_you_mean(name, allowed)
    return f"`messages.create` of {_sdk()} does not take it.{near} It takes {', '.join(sorted(allowed))}."


def _sdk() -> str:
    import anthropic

    return f"anthropic {anthropic.__version__}"


def _check_values(parameters: Mapping[str, Any], owner: str) -> None:
    max_tokens = parameters.get("max_tokens", 1)
    if not isinstance(max_tokens, int) or max_tokens < 1:
        raise ConfigurationError(f"`{owner}`: `max_tokens` must be a positive whole number, not {max_tokens!r}.")
    output_config = parameters.get("output_config")
    if isinstance(output_config, dict) and "format" in output_config:
        raise ConfigurationError(f"`{owner}`: `output_config` cannot hold 'format': use `output_schema` of the task.")
    check_headers(parameters.get("extra_headers"), owner=owner)
    refuse_secrets(parameters, owner=owner, remedy=_FOR_SECRETS)


def wire_parameters(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], RequestOptions]:
    """Divide parameters into the request's body and the SDK's request options, as `messages.create` does."""
    body: dict[str, Any] = {}
    options: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for name, value in parameters.items():
        if name in _HEADERS:
            headers[_HEADERS[name]] = value
        elif name in _EXTRAS:
            options[_EXTRAS[name]] = value
        else:
            body[name] = value
    if headers:
        options["headers"] = {**headers, **(options.get("headers") or {})}
    given: Any = {name: value for name, value in options.items() if value is not None}
    return body, given
