"""Images in rows, written to Parquet and Arrow files: as bytes, which are images again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from limbeck.errors import ConfigurationError
from limbeck.types import Row, image
from limbeck_data import SaveToArrow, SaveToParquet
from support.media import PNG

if TYPE_CHECKING:
    from pathlib import Path


def saved(sink: Any, rows: list[Row]) -> list[Row]:
    """Rows, written and read back."""
    sink.open(replace=False)
    sink.write(rows)
    sink.close(finished=True)
    return list(sink.rows())


def sinks(folder: Path) -> list[Any]:
    return [SaveToParquet(path=str(folder / "o.parquet")), SaveToArrow(path=str(folder / "o.arrow"))]


def test_images_are_stored_as_bytes_which_are_images_again(tmp_path: Path) -> None:
    for sink in sinks(tmp_path):
        rows = saved(sink, [{"picture": Image.new("CMYK", (2, 2))}, {"picture": PNG}, {"picture": None}])
        assert rows[1:] == [{"picture": PNG}, {"picture": None}]
        assert image(rows[0]["picture"])["media_type"] == "image/png"


def test_an_image_that_cannot_be_written_is_told_with_its_column(tmp_path: Path) -> None:
    for sink in sinks(tmp_path):
        with pytest.raises(ConfigurationError, match=r"the column 'picture': Pillow cannot write it"):
            saved(sink, [{"picture": Image.new("RGB", (0, 0))}])
