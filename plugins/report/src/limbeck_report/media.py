"""The images, audio and documents of prompts: a small picture of an image, and a link to what the run kept."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import LedgerError

if TYPE_CHECKING:
    from limbeck.runs import Run

MOST_PIXELS = 50_000_000
"""Of an image that is made small for the page; of a larger one there is only the link."""

_WIDEST = 320  # pixels, and the highest
_DEEPEST = 3  # of what stands in a part of a provider's form


@dataclass(frozen=True, slots=True)
class Shown:
    """A medium as the page shows it.

    Attributes:
        caption: its type and size, in words. picture: a `data:` URL of a small picture, or None.
        file: the address of the file that the run kept, or None where there is none.
    """

    caption: str
    picture: str | None = None
    file: str | None = None


def shown_of(part: Any, run: Run | None) -> Shown | None:
    """A part of a stored message as it is shown; None of one that is no medium.

    Args:
        run: that kept its content.
    """
    noted = _noted(part)
    if noted is None:
        return None
    size, media_type = noted.get("size"), str(noted.get("media_type"))
    words = [media_type, f"{size:,} bytes" if isinstance(size, int) else "", str(noted.get("name", ""))]
    caption = ", ".join(word for word in words if word)
    try:
        content, file = (None, None) if run is None else (run.content_of(noted), run.path_of(noted).resolve().as_uri())
    except LedgerError:  # not kept, or damaged
        return Shown(f"{caption}; the run does not have it")
    picture = _small(content) if content is not None and media_type.startswith("image/") else None
    return Shown(caption, picture, file)


def _noted(part: Any, depth: int = 0) -> dict[str, Any] | None:
    """The digest, the type and the size of a content: the part itself, or what stands in it in place of base64."""
    if not isinstance(part, dict) or depth > _DEEPEST:
        return None
    if isinstance(part.get("sha256"), str) and isinstance(part.get("media_type"), str):
        return part
    return next((found for value in part.values() if (found := _noted(value, depth + 1)) is not None), None)


def _small(content: bytes) -> str | None:
    """A small PNG of an image, made anew so that nothing of a stranger's file is in the page; None where it is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            small = image.convert("RGBA" if "transparency" in image.info or image.mode.endswith("A") else "RGB")
        small.thumbnail((_WIDEST, _WIDEST))
        file = io.BytesIO()
        small.save(file, format="PNG", optimize=True)
    except Exception:  # noqa: BLE001 - the boundary of Pillow, which raises anything
        return None
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
