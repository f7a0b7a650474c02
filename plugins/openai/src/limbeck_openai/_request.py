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
_SET_BY_LIMBECK: Mapping[str, str] = {
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

    @property
    def path(self) -> str:
        """The place of the call at the server."""
        return "/completions" if "prompt" in self.body else "/chat/completions"


def chat_query(
    request: GenerationRequest, *, model: str, generation_kwargs: Mapping[str, Any], max_choices: int
) -> ChatQuery:
    """Build the call. The request's parameters come before those of the backend.

    Raises:
        BadRequestError: an output schema and a `response_format` were both given.
    """
    body, options = split_options({**generation_kwargs, **request.parameters})
    if request.prompt is None:
        asks: dict[str, Any] = {"messages": chat_messages(request.messages, model=model)}
    else:
        asks = {"prompt": request.prompt}
    body |= {"model": model, **asks}
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
        BadRequestError: JSON cannot hold it, or it is a raw prompt: a batch is of one endpoint, and this is another's.
    """
    if "prompt" in query.body:
        raise BadRequestError('A raw `prompt` goes into no provider batch. Leave the `mode` of its LLM at "online".')
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method of the SDK that a backend calls.

    Attributes:
        name: what it is called in messages. place: `module:class.method`.
        set_by_limbeck: its parameters that a user may not give, each with what to use instead.
    """

    name: str
    place: str
    set_by_limbeck: Mapping[str, str]


CHAT = Method(
    name="chat completions",
    place="openai.resources.chat.completions:AsyncCompletions.create",
    set_by_limbeck=_SET_BY_LIMBECK,
)


def check_parameters(generation_kwargs: Mapping[str, Any], *, owner: str, method: Method = CHAT) -> None:
    """Raise `ConfigurationError` unless the installed SDK's method takes every parameter.

    Args:
        generation_kwargs: the parameters.
        owner: the class they were given to, for the message.
        method: by default that of chat completions.
    """
    known = sdk_parameters(method.place)
    for name, value in generation_kwargs.items():
        _refuse_what_is_set(name, owner, method)
        if name not in known:
            raise ConfigurationError(
                f"`generation_kwargs` of `{owner}`: the openai SDK's {method.name} take no parameter {name!r}."
                f"{did_you_mean(name, known - method.set_by_limbeck.keys())} "
                f"A parameter that only your server knows goes into `extra_body={{{name!r}: …}}`."
            )
        _check_value(name, value, owner, method)
    check_headers(generation_kwargs.get("extra_headers"), owner=owner)
    refuse_secrets(generation_kwargs, owner=owner, remedy=_FOR_SECRETS)


def _refuse_what_is_set(name: str, owner: str, method: Method) -> None:
    if name in method.set_by_limbeck:
        remedy = method.set_by_limbeck[name]
        raise ConfigurationError(f"`generation_kwargs` of `{owner}` may not hold {name!r}. {remedy}")


def _check_value(name: str, value: Any, owner: str, method: Method) -> None:
    if name == "response_format" and isinstance(value, dict) and value.get("type") == "json_schema":
        raise ConfigurationError(
            f"`generation_kwargs` of `{owner}` holds a JSON Schema in `response_format`. "
            "Use the task's `output_schema`, which is checked against the answers too."
        )
    if name in _TRANSPORT:
        for key in _keys(value, name, owner):
            if name == "extra_body":
                _refuse_what_is_set(key, owner, method)


def _keys(value: Any, name: str, owner: str) -> Iterable[str]:
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"`generation_kwargs` of `{owner}`: {name!r} must be a dict, not {type(value).__name__}."
        )
    return map(str, value)


@lru_cache(maxsize=8)
def sdk_parameters(place: str = CHAT.place) -> frozenset[str]:
    """The keyword arguments of a method of the installed SDK."""
    import inspect
    from importlib import import_module

    import_sdk()
    module, _, path = place.partition(":")
    method: Any = import_module(module)
    for name in path.split("."):
        method = getattr(method, name)
    return frozenset(inspect.signature(method).parameters) - {"self"}


def split_options(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters as a body and the SDK's options for one request."""
    body = dict(parameters)
    return body, {theirs: body.pop(ours) for ours, theirs in _TRANSPORT.items() if ours in body}
