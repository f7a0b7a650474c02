"""A source of texts: a row for each file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from pydantic import Field, field_validator

from limbeck.errors import RowError
from limbeck.files import FileSource, check_encoding, expanded, is_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row

_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst")


class LoadDataFromTextFiles(FileSource):
    """Rows from text and Markdown files: a row a file, with the columns `path` and `text`.

    `paths` may name folders too: of those, the .txt, .text, .md, .markdown and .rst files at any
    depth are read, in the order of their paths.

    Attributes:
        encoding: of the files.
    """

    encoding: str = "utf-8"
    batch_size: int = Field(default=16, ge=1)  # documents are longer than rows

    empty_files: ClassVar[bool] = True

    _known = field_validator("encoding")(check_encoding)

    @property
    def outputs(self) -> list[str]:
        return ["path", "text"]

    def places(self) -> list[str]:
        paths = self.paths if isinstance(self.paths, list) else [self.paths]
        return [place for path in paths for place in self._below(str(path))]

    def _below(self, path: str) -> list[str]:
        if is_url(path) or not Path(path).is_dir():
            return self._named(path)
        found = sorted(
            str(each) for each in Path(path).rglob("*") if each.suffix.lower() in _SUFFIXES and each.is_file()
        )
        return found or self._named(path + "/*.txt")

    def _named(self, path: str) -> list[str]:
        return expanded([path])

    def columns_of(self, place: str) -> list[str]:  # noqa: ARG002 - the same of each
        return self.outputs

    def count_of(self, place: str) -> int:  # noqa: ARG002 - one row a file
        return 1

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        data = file.read()
        try:
            text = data.decode("utf-8-sig" if self.encoding == "utf-8" else self.encoding)
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
            raw = data.decode(self.encoding, "backslashreplace")
            yield RowError(
                f"{name}:{line}: this text is not {self.encoding}: byte {exc.start + 1} is 0x{data[exc.start]:02x}. "
                "If the file is in another encoding, say `encoding`.",
                raw=raw,
                row={"path": name, "text": None},
            )
            return
        yield {"path": name, "text": text.replace("\r\n", "\n")}
