"""The types of images and audio that OpenAI's own models take, checked before anything is sent.

https://platform.openai.com/docs/guides/images-vision and https://platform.openai.com/docs/guides/audio. Servers that
are compatible with OpenAI's take others; what they do not take they say themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.backends import Media, media_of
from limbeck.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {
    "image": ("image/png", "image/jpeg", "image/webp", "image/gif"),
    "audio": ("audio/wav", "audio/mpeg"),
}


def check_media(messages: Any) -> None:
    """Raise `BadRequestError` for media that OpenAI's chat completions do not take. Nothing was sent."""
    for place, media in _media_in(messages):
        taken = _TYPES.get(media.kind)
        if media.kind == "document" and media.url is not None:
            raise BadRequestError(
                f"Message {place}: OpenAI's chat completions fetch no documents. Download it, and give the path or the "
                "bytes."
            )
        if taken is not None and media.url is None and media.media_type not in taken:
            raise BadRequestError(
                f"Message {place}: OpenAI takes {media.kind} content as {', '.join(taken)}, not as {media.media_type}. "
                "Convert it first."
            )


def _media_in(messages: Any) -> Iterator[tuple[int, Media]]:
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if (media := media_of(part)) is not None:
                yield place, media
