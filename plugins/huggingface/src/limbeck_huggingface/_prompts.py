"""Chats as text, by a tokenizer's chat template; and how many tokens a text has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.backends import Secrets, media_of
from limbeck.errors import BadRequestError, ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from limbeck.types import ChatType


def require(package: str, *, needed_by: str, extra: str) -> None:
    """Raise `MissingDependencyError`, with the pip line, unless `package` is installed; imports nothing."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependencyError(package, needed_by=needed_by, requirement=f"limbeck-huggingface[{extra}]")


def load_tokenizer(source: str, *, chat_template: str | None = None, **options: Any) -> Any:
    """The tokenizer of a hub id or a local folder, with a chat template.

    Args:
        source: the hub id or the folder.
        chat_template: used in place of the tokenizer's own.
        options: for `AutoTokenizer.from_pretrained`.

    Raises:
        ConfigurationError: there is none at `source`, or it has no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"There is no tokenizer to be had from {source!r}: {first_line(exc)}") from None
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    if tokenizer.chat_template is None:
        raise ConfigurationError(
            f"The tokenizer of {source!r} has no chat template, so a chat cannot be put to its model. "
            "It is probably a base model: take its instruction-tuned version, or give it a `chat_template`."
        )
    return tokenizer


def first_line(exc: Exception) -> str:
    """The first line of an error's message; transformers' go on for paragraphs."""
    return Secrets().redact(str(exc).strip().split("\n", 1)[0])


def render(tokenizer: Any, messages: ChatType) -> str:
    """The prompt that `messages` are, ready for the model's answer, or for the rest of one that they end with.

    Raises:
        BadRequestError: the template refuses them (a role it does not know, two turns of one role, images).
    """
    if any(map(_holds_media, messages)):  # a template would write them out, or leave them out
        raise BadRequestError("A prompt that is sent as text takes no images, audio or documents; send chats instead.")
    begun = bool(messages) and messages[-1].get("role") == "assistant"
    how = {"continue_final_message": True} if begun else {"add_generation_prompt": True}
    try:
        prompt = tokenizer.apply_chat_template([_plain(message) for message in messages], tokenize=False, **how)
    except Exception as exc:
        raise BadRequestError(f"The chat template of the tokenizer refuses the messages: {exc}") from exc
    return str(prompt)


def _holds_media(message: Any) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(media_of(part) is not None for part in content)


def _plain(message: Any) -> Any:
    """`message` with parts that are all text joined: the templates of text models take only a string."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return {**message, "content": "".join(part.get("text", "") for part in content)}
    return message


class Prompter:
    """Makes prompts for a server that adds special tokens itself, and counts as it counts."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        bos, first = tokenizer.bos_token, tokenizer("")["input_ids"][:1]
        # Templates begin with the token that begins a text, and the server puts one there too: one must go.
        self._doubled = bos if bos and first == [tokenizer.bos_token_id] else ""

    def prompt(self, messages: ChatType) -> str:
        """The prompt to send; raises `BadRequestError` as `render` does."""
        return render(self._tokenizer, messages).removeprefix(self._doubled)

    def count(self, prompt: str) -> int:
        """Tokens of `prompt` as the server sees it."""
        return len(self._tokenizer(prompt)["input_ids"])
