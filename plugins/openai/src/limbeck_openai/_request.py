"""From a `GenerationRequest` to the body of a chat-completions call, and the check of its parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from limbeck.backends import chat_messages, check_headers, refuse_secrets
from limbeck.errors import BadRequestError, ConfigurationError, did_you_mean

from ._sdk import import_sdk
from ._strict import response_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from limbeck.types import GenerationRequest

# What Limbeck sets itself, and what to use instead.
_SET_BY_LIMBECK = {
    "model": "Use the field `model`.",
    "messages": "They come from the task's `format_input`.",
    "n": "Use the task's `num_generations`.",
    "stream": "Limbeck reads whole answers.",
    "stream_options": "Limbeck reads whole answers.",
    "timeout": "Use the field `timeout`.",
}
# The SDK's own way to send what its signature lacks: our name, its name.
_TRANSPORT = {"extra_body": "extra_json", "extra_headers": "headers", "extra_query": "params"}
COMPLETIONS: Final = "/v1/chat/completions"  # as batches call it, whatever the server's own path
_FOR_SECRETS = (
    "Use the field `api_key`; `url_query` is for a secret that belongs into the URL, as in `url_query='token=…'`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuery:
    """One call.

    Attributes:
        body: the JSON body. options: the SDK's options for one request. asked: choices asked for.
    """

    body: dict[str, Any]
    options: dict[str, Any]
    asked: int

    @property
    def model(self) -> str:
        return str(self.body["model"])


def chat_query(
    request: GenerationRequest, *, model: str, generation_kwargs: Mapping[str, Any], max_choices: int
) -> ChatQuery:
    """Build the call. The request's parameters come before those of the backend.

    Raises:
        BadRequestError: an output schema and a `response_format` were both given.
    """
    body = {**generation_kwargs, **request.parameters}
    options = {theirs: body.pop(ours) for ours, theirs in _TRANSPORT.items() if ours in body}
    body |= {"model": model, "messages": chat_messages(request.messages, model=model)}
    asked = min(request.num_generations, max_choices)
    if asked > 1:
        body["n"] = asked
    if request.output_schema is not None:
        if "response_format" in body:
            raise BadRequestError(
                "Both an output schema and the parameter `response_format` were given; remove the latter."
            )
        body["response_format"] = response_format(request.output_schema)
    return ChatQuery(body=body, options=options, asked=asked)


def batch_entry(custom_id: str, query: ChatQuery) -> bytes:
    """A call as a line of a batch's input file, less the line break.

    Raises:
        BadRequestError: JSON cannot hold it.
    """
    # As the SDK does it: what it calls extra JSON goes over the body.
    entry = {
        "custom_id": custom_id,
        "method": "POST",
        "url": COMPLETIONS,
        "body": {**query.body, **query.options.get("extra_json", {})},
    }
    try:
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # JSON may hold these as they are, and whoever splits the file by Unicode's line breaks would cut it there.
        return line.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085").encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadRequestError(f"The request could not be written: {exc}.") from exc


def check_parameters(generation_kwargs: Mapping[str, Any], *, owner: str) -> None:
    """Raise `ConfigurationError` unless the installed SDK's chat completions take every parameter.

    Args:
        generation_kwargs: the parameters.
        owner: the class they were given to, for the message.
    """
    known = sdk_parameters()
    for name, value in generation_kwargs.items():
        _refuse_what_is_set(name, owner)
        if name not in known:
            raise ConfigurationError(
                f"`generation_kwargs` of `{owner}`: the openai SDK's chat completions take no parameter {name!r}."
                f"{did_you_mean(name, known - _SET_BY_LIMBECK.keys())} "
                f"A parameter that only your server knows goes into `extra_body={{{name!r}: …}}`."
            )
        _check_value(name, value, owner)
    check_headers(generation_kwargs.get("extra_headers"), owner=owner)
    refuse_secrets(generation_kwargs, owner=owner, remedy=_FOR_SECRETS)


def _refuse_what_is_set(name: str, owner: str) -> None:
    if name in _SET_BY_LIMBECK:
        raise ConfigurationError(f"`generation_kwargs` of `{owner}` may not hold {name!r}. {_SET_BY_LIMBECK[name]}")


def _check_value(name: str, value: Any, owner: str) -> None:
    if name == "response_format" and isinstance(value, dict) and value.get("type") == "json_schema":
        raise ConfigurationError(
            f"`generation_kwargs` of `{owner}` holds a JSON Schema in `response_format`. "
            "Use the task's `output_schema`, which is checked against the answers too."
        )
    if name in _TRANSPORT:
        for key in _keys(value, name, owner):
            if name == "extra_body":
                _refuse_what_is_set(key, owner)


def _keys(value: Any, name: str, owner: str) -> Iterable[str]:
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"`generation_kwargs` of `{owner}`: {name!r} must be a dict, not {type(value).__name__}."
        )
    return map(str, value)


@lru_cache(maxsize=1)
def sdk_parameters() -> frozenset[str]:
    """The keyword arguments of the installed SDK's `chat.completions.create`."""
    import inspect

    import_sdk()
    from openai.resources.chat.completions import AsyncCompletions

    return frozenset(inspect.signature(AsyncCompletions.create).parameters) - {"self"}
