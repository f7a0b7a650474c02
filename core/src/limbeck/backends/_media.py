"""Images, audio and documents on their way to a provider: the capability for them, and each as data or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from .._media.parts import media_in, sent_messages
from ..errors import BadRequestError, ConfigurationError, did_you_mean
from ..types import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..types import GenerationRequest

_CAPABILITIES = {"image": "vision", "audio": "audio", "document": "documents"}
_PLURALS = {"image": "images", "audio": "audio", "document": "documents"}
_DATA_URL = re.compile(r"data:(?P<media_type>[\w.+/-]+)(?:;[\w.=+-]+)*;base64,(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_AUDIO_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A part of a message that is an image, audio or a document.

    Attributes:
        kind: which of them. url: where the provider is to fetch it, or None where it is sent as data.
        media_type, data: its type, and its content in base64. name: a document's, as the model sees it.
        detail: how closely to look at an image, where that was said.
    """

    kind: Literal["image", "audio", "document"]
    url: str | None = None
    media_type: str | None = None
    data: str = ""
    name: str | None = None
    detail: str | None = None


def media_of(part: Any) -> Media | None:
    """The medium in a part of OpenAI's form (`image_url`, `input_audio`, `file`); None in any other part.

    Raises:
        BadRequestError: it is such a part, and has neither a URL nor data in it.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, dict) else {"url": image}
        return _at(kind, "image", image.get("url"), detail=image.get("detail"))
    if kind == "input_audio":
        sound = part.get("input_audio")
        if not isinstance(sound, dict) or not isinstance(sound.get("data"), str):
            raise BadRequestError("An `input_audio` part must have `data` and `format`.")
        form = str(sound.get("format"))
        return Media(kind="audio", media_type=_AUDIO_TYPES.get(form, f"audio/{form}"), data=sound["data"])
    if kind == "file":
        file = part.get("file")
        if isinstance(file, dict) and "file_data" in file:  # else it was uploaded before, and has an id
            return _at(kind, "document", file["file_data"], name=file.get("filename"))
    return None


def _at(form: str, kind: Literal["image", "document"], url: Any, **more: Any) -> Media:
    if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
        return Media(kind=kind, url=url, **more)
    match = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise BadRequestError(f"`{form}` must be an http(s) URL or a base64 `data:` URL; it begins {str(url)[:40]!r}.")
    media_type = match["media_type"].lower().replace("image/jpg", "image/jpeg")
    return Media(kind=kind, media_type=media_type, data=match["data"], **more)


def sendable(request: GenerationRequest, llm: Any) -> GenerationRequest:
    """The request with its media in OpenAI's form, as a backend is given it; the same object where it has none.

    The engine does this for every attempt, so that contents are in memory only while they are sent. Who calls a
    backend without the engine does it too.

    Raises:
        BadRequestError: `llm` does not declare that it takes such media. Nothing is sent.
        MediaError: a content is not there any more.
    """
    messages: Any = request.messages
    for part in media_in(messages):
        if not _declares(llm, _CAPABILITIES[part.kind]):
            raise BadRequestError(f"{_lack(llm, _CAPABILITIES[part.kind])} Nothing was sent.")
    messages = sent_messages(messages)
    return request if messages is request.messages else replace(request, messages=messages)


def check_capabilities(llm: Any, needed: str | Iterable[str], *, needed_by: str) -> None:
    """Raise unless an LLM declares all that is needed of it.

    Args:
        needed: names of `Capabilities`. needed_by: for the message.

    Raises:
        ConfigurationError: it does not, or there is no such capability; nothing was sent.
    """
    known = [field.name for field in fields(Capabilities)]
    for capability in [needed] if isinstance(needed, str) else needed:
        if capability not in known:
            raise ConfigurationError(
                f"{needed_by} needs {capability!r}, which is no capability.{did_you_mean(capability, known)} "
                f"There are {', '.join(known)}."
            )
        if not _declares(llm, capability):
            raise ConfigurationError(f"{_lack(llm, capability)} {needed_by} needs it; nothing was sent.")


def _declares(llm: Any, capability: str) -> bool:
    declared = getattr(llm, "capabilities", None)
    return isinstance(declared, Capabilities) and bool(getattr(declared, capability))


def _lack(llm: Any, capability: str) -> str:
    what = next((f"takes no {_PLURALS[kind]}" for kind, name in _CAPABILITIES.items() if name == capability), None)
    return (
        f"`{type(llm).__name__}` {what or f'has no {capability}'}, as its `capabilities` say. Use another LLM; or, if "
        f"its server can, declare `capabilities = Capabilities({capability}=True)` in a subclass."
    )
