"""A server's JSON, as a `GenerationResponse`.

The SDK would build nested dataclasses of it first, which are dicts too and copy themselves at every
level: 10 ms for a text of 500 tokens with its details, where reading the JSON takes 0.25 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.backends import (
    chat_calls,
    chat_usage,
    events_in,
    is_unreadable,
    messages_in,
    reasoning_in,
    text_in,
    unreadable_events,
)
from limbeck.errors import ContentFilteredError, TransientError
from limbeck.types import Generation, GenerationResponse, Usage

if TYPE_CHECKING:
    from limbeck.types import Quota


def read_chat(body: Any, *, quota: Quota | None, model_name: str) -> GenerationResponse:
    """The answer of a chat-completions API.

    Args:
        body: the JSON value that came.
        quota: what its headers say. model_name: the LLM's.

    Raises:
        TransientError: there is no answer in it.
        ContentFilteredError: the answer was withheld.
            Both have the tokens that the server counted all the same.
    """
    fields = body if isinstance(body, dict) else {}
    usage, model = chat_usage(fields.get("usage")), _model(fields.get("model"))
    messages = messages_in(fields)
    if not messages:
        raise TransientError("The server's answer has no choices with a message.", usage=usage, model=model)
    choice, message = messages[0]
    content = message.get("content")
    text = text_in(content)
    finish_reason = choice.get("finish_reason")
    if not text and (finish_reason == "content_filter" or message.get("refusal")):
        fault = f"The model's answer was withheld: {message.get('refusal') or finish_reason}."
        raise ContentFilteredError(fault, usage=usage, model=model)
    reasoning = reasoning_in(message.get("reasoning"), message.get("reasoning_content"), content=content)
    tool_calls = chat_calls(message, model=model_name) or None
    if text is None and tool_calls is None and reasoning is None:
        fault = f"The server's answer has no content; finish_reason is {finish_reason!r}."
        raise TransientError(fault, usage=usage, model=model)
    generation = Generation(
        text=text,
        finish_reason=finish_reason,
        reasoning=reasoning,
        tool_calls=tool_calls,
        logprobs=choice.get("logprobs"),
    )
    return GenerationResponse(generations=[generation], usage=usage, model=model, quota=quota)


def _model(model: Any) -> str | None:
    return model if isinstance(model, str) else None


def text_of_events(content: bytes, left_out: list[str]) -> Any:
    """The answer that the events of TGI's text generation build, in the form of one that came whole.

    The last event has the whole text; where that one cannot be read, the tokens of the others are it.

    Args:
        content: the body. left_out: is given a word for events that cannot be read, where text is missed.

    Raises:
        TransientError: the events end before the answer does.
    """
    lost, tokens, ended = [], [], False
    for number, event in enumerate(events_in(content), 1):
        if isinstance(event, dict) and (event.get("error") or event.get("generated_text") is not None):
            return event
        if isinstance(event, dict):
            tokens.append(_token_text(event.get("token")))
        elif is_unreadable(event):
            lost.append(number)
        ended = ended or event == "[DONE]"
    if ended and any(tokens):
        unreadable_events(lost, left_out)
        return {"generated_text": "".join(tokens)}
    raise TransientError("The server's stream ended before the answer did.")


def _token_text(token: Any) -> str:
    shown = isinstance(token, dict) and not token.get("special")
    return (text_in(token.get("text")) or "") if shown else ""


def read_text(body: Any, *, quota: Quota | None, input_tokens: int, keep_tokens: bool) -> GenerationResponse:
    """The answer of a text-generation API, once the SDK's helper has brought it to TGI's form.

    Args:
        body: `{"generated_text": …, "details": …}`.
        quota: what its headers say.
        input_tokens: tokens of the prompt, which the server does not say.
        keep_tokens: whether each token with its log-probability goes into `logprobs`.

    Raises:
        TransientError: there is no text in it.
    """
    text = text_in(body.get("generated_text")) if isinstance(body, dict) else None
    if text is None:
        raise TransientError("The server's answer has no generated text.")
    details = body.get("details")
    if not isinstance(details, dict):
        return GenerationResponse(generations=[Generation(text=text)], quota=quota)
    logprobs = {key: details[key] for key in ("prefill", "tokens", "top_tokens") if details.get(key)}
    generation = Generation(
        text=text, finish_reason=details.get("finish_reason"), logprobs=(logprobs or None) if keep_tokens else None
    )
    generated = details.get("generated_tokens")
    usage = None if generated is None else Usage(input_tokens=input_tokens, output_tokens=generated)
    return GenerationResponse(generations=[generation], usage=usage, quota=quota)
