"""From the body of a chat completion to a `GenerationResponse`. No I/O, no SDK.

Read by hand, since building the SDK's response models costs more than all the rest of a
call; and since compatible servers send fields that those models do not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.backends import chat_calls, chat_usage, messages_in, reasoning_in, text_in
from limbeck.errors import ContentFilteredError, TransientError
from limbeck.types import Generation, GenerationResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import Quota

# Ends that are the server's fault (OpenRouter, DeepSeek): what there is of an answer is no answer.
_BROKEN_OFF = {"error", "insufficient_system_resource"}


def read_completion(
    payload: Any, *, asked: int, server: str, quota: Quota | None = None, asked_model: str = ""
) -> GenerationResponse:
    """Read the answers, at most `asked` of them; `asked_model` is the model's name in the request.

    A choice that was refused, or cut off by the server's fault, is left out when others are
    good: the engine asks for what is missing.

    Raises:
        TransientError: there are no choices, or none that can be read.
        ContentFilteredError: the model refused, or a filter left nothing; `raw` is the refusal.
            Both have the tokens that the server counted all the same.
    """
    fields = payload if isinstance(payload, dict) else {}
    choices, usage, model = fields.get("choices"), chat_usage(fields.get("usage")), model_in(fields)
    if not choices:
        raise TransientError(f"{server} answered without any choices.", usage=usage, model=model)
    messages = [(choice, message) for choice, message in messages_in(fields) if not _is_broken_off(choice)]
    if not messages:
        raise TransientError(f"{server} answered with choices that hold no message.", usage=usage, model=model)
    generations = [
        _generation(choice, message, asked_model) for choice, message in messages if not _is_refused(choice, message)
    ]
    if not generations:
        choice, message = messages[0]
        fault = _refusal_text(choice, message, server)
        raise ContentFilteredError(fault, raw=text_in(message.get("refusal")), usage=usage, model=model)
    return GenerationResponse(generations=generations[:asked], usage=usage, model=model, quota=quota)


def _is_broken_off(choice: Mapping[str, Any]) -> bool:
    reason = choice.get("finish_reason")
    return isinstance(reason, str) and reason in _BROKEN_OFF


def _is_refused(choice: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    filtered = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
    return filtered and not message.get("content") and not message.get("tool_calls")


def _refusal_text(choice: Mapping[str, Any], message: Mapping[str, Any], server: str) -> str:
    if message.get("refusal"):
        return f"The model refused: {message['refusal']}"
    return f"{server} withheld the answer (finish reason {choice.get('finish_reason')!r})."


def _generation(choice: Mapping[str, Any], message: Mapping[str, Any], model: str) -> Generation:
    content = message.get("content")
    return Generation(
        text=text_in(content),
        finish_reason=choice.get("finish_reason"),
        # vLLM and DeepSeek, then OpenRouter and newer vLLM, then content in parts.
        reasoning=reasoning_in(message.get("reasoning_content"), message.get("reasoning"), content=content),
        tool_calls=_tool_calls(message, model),
        logprobs=choice.get("logprobs"),
    )


def _tool_calls(message: Mapping[str, Any], model: str) -> Any:
    """The calls as they came, odd ones too: the engine leaves those out, and says so."""
    calls = chat_calls(message, model=model)
    if calls:
        return calls
    function = message.get("function_call")  # the form before tools
    return [{"type": "function", "function": function}] if function else None


def model_in(payload: Mapping[str, Any]) -> str | None:
    """The name that the server gives for its model."""
    model = payload.get("model")
    return model if isinstance(model, str) else None
