"""The parts of messages that are images, audio and documents.

A part is a dict, and what it holds as one is what is stored of it, what the key of a request is
made of, and what observers and reports see: the digest of the content, its type and size. The
content goes with the object, and reaches the backend in the form of OpenAI's chat API. A row's
own value is left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from ..errors import MediaError
from .kinds import NOUNS, Kind, is_of, media_type_of, named_type, suffix_of, usual
from .reading import Found, found_in, image_bytes, read_file, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAX_BYTES = 50_000_000
"""Bytes of one content at most, unless a part is made with another bound."""

_FORMATS = {"audio/mpeg": "mp3", "audio/mp4": "m4a"}  # where OpenAI's word for it is not the second half of the type


class MediaPart(dict[str, Any]):
    """A part of a message: a content with its digest, or the URL of one.

    Attributes:
        kind: "image", "audio" or "document".
    """

    __module__ = "limbeck.types"  # where it is public
    __slots__ = ("_content", "_path", "kind")

    def __init__(
        self, kind: Kind, stored: dict[str, Any], *, content: bytes | None = None, path: str | None = None
    ) -> None:
        super().__init__(stored)
        self.kind = kind
        self._content = content
        self._path = path  # which is read again when it is sent, so that a window of rows is not held in memory

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.kind, dict(self), self._content, self._path)

    def __copy__(self) -> Self:
        return type(self)(self.kind, dict(self), content=self._content, path=self._path)

    @property
    def has_content(self) -> bool:
        """True unless it is a URL."""
        return self._content is not None or self._path is not None

    def content(self) -> bytes:
        """The content, which is the one that the digest is of.

        Raises:
            MediaError: its file is gone, or has another content by now.
        """
        if self._content is not None:
            return self._content
        assert self._path is not None  # or it is a URL, which has none
        try:
            content = read_file(self._path, self["size"])
        except OSError as exc:
            refuse(self._path, self.kind, f"it was there when its row was read, and now is not ({exc})", exc)
        except ValueError:
            content = b""  # it is no file any more, or a larger one
        if _digest(content) != self["sha256"]:
            refuse(self._path, self.kind, "the file has changed since its row was read")
        return content

    def sent(self) -> dict[str, Any]:
        """The part as OpenAI's chat API takes it.

        Raises:
            MediaError: as `content`.
        """
        if not self.has_content:
            return dict(self)
        from base64 import b64encode

        media_type, data = self["media_type"], b64encode(self.content()).decode()
        if self.kind == "audio":
            form = _FORMATS.get(media_type, media_type.partition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        url = f"data:{media_type};base64,{data}"
        if self.kind == "image":
            detail = {"detail": self["detail"]} if "detail" in self else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        return {
            "type": "file",
            "file": {"filename": self.get("name") or f"document{suffix_of(media_type)}", "file_data": url},
        }


def image(
    value: Any,
    *,
    detail: Literal["low", "high", "auto", "original"] | None = None,
    media_type: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> MediaPart:
    """An image as a part of a message's `content`.

    Args:
        value: a path, bytes, a PIL image, an http(s) or `data:` URL, or an `Image` value of `datasets`. What is
            behind a URL is fetched by the provider; a PIL image is sent as PNG.
        detail: how closely a model of OpenAI's looks at it.
        media_type: of a content that does not show it. max_bytes: of the content.

    Raises:
        MediaError: it is not there, empty, too large, or no image. As data, in its row.
    """
    if isinstance(value, MediaPart):
        return _checked(value, "image")
    found = found_in(value, "image", max_bytes=max_bytes)
    extra = {} if detail is None else {"detail": detail}
    if found.url is not None:
        return MediaPart("image", {"type": "image_url", "image_url": {"url": found.url, **extra}})
    return _part("image", value, found, media_type, extra)


def audio(value: Any, *, media_type: str | None = None, max_bytes: int = MAX_BYTES) -> MediaPart:
    """Audio as a part of a message's `content`.

    Args:
        value: a path, bytes, a `data:` URL, or an undecoded `Audio` value of `datasets`.
        media_type, max_bytes: as of `image`.

    Raises:
        MediaError: as `image`; or it is an http(s) URL, which no provider fetches.
    """
    if isinstance(value, MediaPart):
        return _checked(value, "audio")
    found = found_in(value, "audio", max_bytes=max_bytes)
    if found.url is not None:
        refuse(value, "audio", "providers fetch no audio. Download it, and give the path or the bytes")
    return _part("audio", value, found, media_type, {})


def document(
    value: Any, *, name: str | None = None, media_type: str | None = None, max_bytes: int = MAX_BYTES
) -> MediaPart:
    """A document, a PDF mostly, as a part of a message's `content`.

    Args:
        value: a path, bytes, or an http(s) or `data:` URL. A file that does not show its type is taken by its suffix
            (`.txt`, `.md`, `.docx`), and nothing else is.
        name: what the model sees as its name; it is a part of what was asked, as the content is.
        media_type, max_bytes: as of `image`.

    Raises:
        MediaError: as `image`.
    """
    if isinstance(value, MediaPart):
        return _checked(value, "document")
    found = found_in(value, "document", max_bytes=max_bytes)
    extra = {} if name is None else {"name": name}
    if found.url is not None:
        shown = {"filename": name} if name is not None else {}
        return MediaPart("document", {"type": "file", "file": {**shown, "file_data": found.url}})
    return _part("document", value, found, media_type, extra)


for _made in (image, audio, document):
    _made.__module__ = "limbeck.types"  # where they are public


def media_in(messages: Sequence[Any]) -> Iterator[MediaPart]:
    """The media parts of messages, those in parts that have parts (results of tools) too."""
    for holder in messages:
        content = holder.get("content") if isinstance(holder, dict) else None
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, MediaPart))
            yield from media_in(content)


def holds_media(value: Any) -> bool:
    """Tell whether there is a media part in a value, at any depth; as JSON it would have no content."""
    if isinstance(value, MediaPart):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(map(holds_media, parts))


def sent_messages(messages: list[Any]) -> list[Any]:
    """Messages whose parts are in the form of OpenAI's chat API; the same object where there are only texts.

    Raises:
        MediaError: the content of a part is not there.
    """
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            return [_changed(each, _sent) for each in messages]
    return messages


def noted(messages: Any) -> Any:
    """Messages as they are stored: the digests of media parts, without the contents."""
    if not isinstance(messages, list) or next(media_in(messages), None) is None:
        return messages
    return [_changed(message, lambda part: dict(part) if isinstance(part, MediaPart) else part) for message in messages]


def _changed(holder: Any, change: Callable[[Any], Any]) -> Any:
    """A message, or a part that has parts, in which each part is changed."""
    content = holder.get("content") if isinstance(holder, dict) else None
    if not isinstance(content, list):
        return holder
    return {**holder, "content": [_changed(change(part), change) for part in content]}


def _sent(part: Any) -> Any:
    if isinstance(part, MediaPart):
        return part.sent()
    if isinstance(part, dict) and "sha256" in part and "media_type" in part:  # it has been through JSON
        raise MediaError(
            f"A part of the messages is {part['media_type']} of which only the digest is there. Make the part of the "
            "row's own value, and give it on as it is: a copy of its keys has no content."
        )
    return part


def data_url(value: Any) -> str | None:
    """A PIL image, or bytes that are media by their first, as a `data:` URL; None of anything else."""
    content = value if isinstance(value, bytes) else image_bytes(value)
    media_type = None if content is None else media_type_of(content)
    if content is None or media_type is None:
        return None
    from base64 import b64encode

    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _checked(part: MediaPart, kind: Kind) -> MediaPart:
    if part.kind != kind:
        raise MediaError(f"A part that is {NOUNS[part.kind]} cannot be sent as {NOUNS[kind]}.", value=part)
    return part


def _part(kind: Kind, value: Any, found: Found, given: str | None, extra: dict[str, Any]) -> MediaPart:
    content = found.content
    assert content is not None  # the URLs are parts already
    media_type = _media_type(kind, value, found, given)
    stored = {"type": kind, "media_type": media_type, "sha256": _digest(content), "size": len(content), **extra}
    kept = content if found.path is None else None
    return MediaPart(kind, stored, content=kept, path=found.path)


def _media_type(kind: Kind, value: Any, found: Found, given: str | None) -> str:
    """The type that was given, else the one that the content shows, else that of a document's name."""
    assert found.content is not None  # as above
    if given is not None:
        return usual(given)
    shown = media_type_of(found.content)
    if shown is None and kind == "document":
        shown = _said_type(found)
    if shown is None:
        refuse(value, kind, "its first bytes are of no type that is known. If it is one, say `media_type`")
    if not is_of(shown, kind):
        refuse(value, kind, f"it is {shown}{_way_in(shown, kind)}")
    return shown


def _way_in(shown: str, kind: Kind) -> str:
    family, _, form = shown.partition("/")
    if family == "video" and kind == "audio":  # the same containers hold both
        return f". If there is nothing but sound in it, say `media_type='audio/{form}'`"
    return next((f". Use `{other}`" for other in NOUNS if is_of(shown, other)), "")


def _said_type(found: Found) -> str | None:
    """The type of a document that shows none: of its `data:` URL, or by the suffix of its file."""
    if found.media_type is not None:
        return usual(found.media_type)
    return None if found.path is None else named_type(found.path)


def _digest(content: bytes) -> str:
    from hashlib import sha256

    return sha256(content).hexdigest()


def _restored(kind: Kind, stored: dict[str, Any], content: bytes | None, path: str | None) -> MediaPart:
    return MediaPart(kind, stored, content=content, path=path)
