"""A folder of texts: a row for each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.errors import ConfigurationError, RowError
from limbeck.steps import LoadDataFromFiles
from limbeck_data import LoadDataFromTextFiles

from .rows import rows_of


def write(name: str, content: bytes) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_texts_of_a_folder_come_at_any_depth_in_the_order_of_their_paths() -> None:
    write("docs/b.md", b"# B\r\n")
    write("docs/a/x.txt", "é".encode())
    write("docs/a/data.json", b"{}")
    source = LoadDataFromTextFiles(paths="docs")
    assert rows_of(source) == [{"path": "docs/a/x.txt", "text": "é"}, {"path": "docs/b.md", "text": "# B\n"}]
    assert (source.outputs, source.count()) == (["path", "text"], 2)


def test_an_empty_text_is_a_text() -> None:
    write("a.txt", b"")
    assert rows_of(LoadDataFromFiles(paths="a.txt")) == [{"path": "a.txt", "text": ""}]


def test_a_text_in_another_encoding_is_an_error_with_its_line_and_the_others_go_on() -> None:
    write("a.txt", b"one\ncaf\xe9\n")
    write("b.txt", b"two")
    error, row = rows_of(LoadDataFromTextFiles(paths="*.txt"))
    assert isinstance(error, RowError)
    assert str(error).startswith("a.txt:2: this text is not utf-8: byte 8 is 0xe9.")
    assert error.row == {"path": "a.txt", "text": None}
    assert row == {"path": "b.txt", "text": "two"}
    assert rows_of(LoadDataFromTextFiles(paths="a.txt", encoding="latin-1"))[0]["text"] == "one\ncafé\n"


def test_a_folder_without_texts_is_an_error() -> None:
    Path("docs").mkdir()
    with pytest.raises(ConfigurationError, match=r"No file matches the pattern 'docs/\*\.txt'"):
        rows_of(LoadDataFromTextFiles(paths="docs"))
