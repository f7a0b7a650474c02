"""`limbeck.files`, as the author of a format uses it: sources, sinks, drafts and places."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pytest

from limbeck import Pipeline, files, register_step
from limbeck._registry.registry import default_registry
from limbeck.errors import ConfigurationError, LimbeckError, RowError
from limbeck.files import Draft, FileSink, FileSource, as_json, check_encoding, expanded, opened, plain, shown
from limbeck.steps import LoadDataFromFiles, SaveToFiles
from limbeck.types import Row


class LoadDataFromPairs(FileSource):
    """Rows from lines of `key=value`."""

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        for number, line in enumerate(file, 1):
            key, equals, value = line.decode().strip().partition("=")
            yield {"key": key, "value": value} if equals else RowError(f"{name}:{number}: this line has no `=`.")


class SaveToPairs(FileSink):
    """Rows into lines of `key=value`."""

    reader: ClassVar[Any] = LoadDataFromPairs

    def append(self, draft: Draft, rows: list[Row]) -> None:
        draft.append("".join(f"{row['key']}={row['value']}\n" for row in rows).encode())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory; the format is registered for one test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_registry(), "_local", {})
    register_step("load-data-from-pairs", LoadDataFromPairs)
    register_step("save-to-pairs", SaveToPairs)


ROWS = [{"key": "spain", "value": "madrid"}, {"key": "peru", "value": "lima"}]


def test_a_format_of_ones_own_is_read_and_written_wherever_a_file_is_named_by_its_suffix() -> None:
    Path("in.pairs").write_text("spain=madrid\nperu=lima\n", encoding="utf-8")
    result = Pipeline(LoadDataFromFiles(paths="*.pairs"), SaveToFiles(path="out.pairs")).run()
    assert result.to_list() == ROWS
    assert Path("out.pairs").read_text(encoding="utf-8") == "spain=madrid\nperu=lima\n"


def test_a_format_of_ones_own_has_compression_and_columns_without_a_line_for_them() -> None:
    Path("in.pairs.gz").write_bytes(gzip.compress(b"spain=madrid\n"))
    source = LoadDataFromPairs(paths="in.pairs.gz")
    assert source.outputs == ["key", "value"]
    assert [row for rows in source.process() for row in rows] == ROWS[:1]


def test_a_record_that_is_no_row_stands_in_its_place_with_its_line() -> None:
    Path("in.pairs").write_text("spain=madrid\nperu\n", encoding="utf-8")
    good, bad = (row for rows in LoadDataFromPairs(paths="in.pairs").process() for row in rows)
    assert good == ROWS[0]
    assert str(bad) == "in.pairs:2: this line has no `=`."


def test_a_sink_that_is_not_closed_has_touched_nothing() -> None:
    Path("out.pairs").write_text("old", encoding="utf-8")
    sink = SaveToPairs(path="out.pairs", overwrite=True)
    sink.open(replace=False)
    sink.write(ROWS)
    assert Path("out.pairs").read_text(encoding="utf-8") == "old"
    sink.close(finished=True)
    assert list(sink.rows()) == ROWS


def test_a_draft_takes_its_targets_place_whole_or_leaves_nothing() -> None:
    for publish in (False, True):
        draft = Draft("out.bin")
        draft.append(b"whole")
        if publish:
            draft.publish()
        draft.discard()
    assert [(path.name, path.read_bytes()) for path in Path().iterdir()] == [("out.bin", b"whole")]


def test_places_are_opened_whatever_they_are_compressed_with() -> None:
    Path("a.txt.gz").write_bytes(gzip.compress(b"hello"))
    with opened("a.txt.gz") as file:
        assert file.read() == b"hello"


@pytest.mark.parametrize("use", [lambda: expanded(["*.absent"]), lambda: opened("absent").__enter__()])
def test_a_place_that_is_not_there_is_an_error_that_names_it(use: Any) -> None:
    with pytest.raises(ConfigurationError, match="absent"):
        use()


def test_a_place_is_shown_without_what_may_be_secret_in_it() -> None:
    assert shown("s3://key:secret@bucket/a.csv?signature=x") == "s3://bucket/a.csv"
    assert shown("data/a.csv") == "data/a.csv"


def test_values_that_a_format_lacks_have_the_form_that_json_outputs_give_them() -> None:
    assert as_json({"of": {1}}) == '{"of": [1]}'
    assert plain(Path("a")) == "a"


def test_an_encoding_that_there_is_none_of_is_an_error() -> None:
    assert check_encoding("latin-1") == "latin-1"
    with pytest.raises(LimbeckError, match="no encoding 'latin-99'"):
        check_encoding("latin-99")


def test_every_name_of_the_door_is_there() -> None:
    assert [name for name in files.__all__ if not hasattr(files, name)] == []
    assert files.__all__ == sorted(files.__all__)
