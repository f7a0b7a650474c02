"""`generate-images`: a picture of a prompt."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck import ImageTask
from limbeck.types import Example, Image

from .texts import text_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row

# The smallest picture that there is: one pixel.
_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class GenerateImages(ImageTask):
    """Ask an image generator to draw a prompt.

    Input column: `prompt`. Output columns: `image`, a text; `model_name`. The text is a `data:` URL, which holds the
    whole picture and can stand in a message as it is; with a `folder`, it is the path of a file there.

    A run with a directory keeps each picture in its `blobs/` in any case, before a row is made of it.

    Attributes:
        folder: where pictures are written, under names made of their content; made where it is not there.
    """

    folder: Path | None = None

    @property
    def inputs(self) -> list[str]:
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        return ["image", "model_name"]

    def format_input(self, input: Row) -> str:
        return text_in(input, "prompt")

    def format_output(self, output: Image, input: Row) -> Row:  # noqa: ARG002 - the picture is the answer
        return {"image": _data_url(output) if self.folder is None else str(_written(output, self.folder))}

    def examples(self) -> Sequence[Example]:
        dot = Image(content=_DOT)
        return [Example({"prompt": "A dot."}, dot, {"image": _data_url(dot)})] if self.folder is None else []


def _data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.content).decode()}"


def _written(image: Image, folder: Path) -> Path:
    """The file of a picture, written where it is not there: whole, or not at all."""
    suffix = mimetypes.guess_extension(image.media_type) or ".bin"
    path = folder / f"{hashlib.sha256(image.content).hexdigest()}{suffix}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_bytes(image.content)
        draft.replace(path)
    return path
