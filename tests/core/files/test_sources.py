"""Sources of files: what is a row, what is none and where it stands, and what is no source at all.

Covers `_files.csv_rows`, `_files.json_rows`, `_files.places` and `_files.texts`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck import get_step, list_steps
from limbeck.errors import ConfigurationError, LimbeckWarning, RowError
from limbeck.steps import (
    LoadDataFromCsv,
    LoadDataFromFiles,
    LoadDataFromJson,
    LoadDataFromJsonl,
    LoadDataFromStdin,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: bytes | str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def rows_of(source: Any) -> list[Any]:
    return [row for chunk in source.process() for row in chunk]


# JSONL


def test_each_line_of_jsonl_is_a_row_with_its_types_and_blank_lines_are_none() -> None:
    write("a.jsonl", '{"n": 1, "of": ["x", null]}\n\n{"n": 2.5}')
    assert rows_of(LoadDataFromJsonl(paths="a.jsonl")) == [{"n": 1, "of": ["x", None]}, {"n": 2.5}]


def test_a_mark_of_utf_8_at_the_start_is_no_part_of_the_first_row() -> None:
    write("a.jsonl", b'\xef\xbb\xbf{"n": 1}\n')
    write("a.csv", b"\xef\xbb\xbfn\n1\n")
    assert rows_of(LoadDataFromJsonl(paths="a.jsonl")) == [{"n": 1}]
    assert rows_of(LoadDataFromCsv(paths="a.csv")) == [{"n": "1"}]


def test_a_broken_line_is_an_error_with_its_place_and_text_between_the_rows_around_it() -> None:
    lines = [f'{{"n": {number}}}' for number in range(1, 11)]
    lines[4] = '{"n": '
    write("ten.jsonl", "\n".join(lines))

    rows = rows_of(LoadDataFromJsonl(paths="ten.jsonl"))

    assert [row["n"] for row in rows if isinstance(row, dict)] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert isinstance(rows[4], RowError)
    assert str(rows[4]) == "ten.jsonl:5:7: this line is not JSON: Expecting value."
    assert rows[4].raw == '{"n": '


def test_a_broken_line_is_raised_where_errors_are_to_be_raised_after_the_rows_before_it() -> None:
    write("a.jsonl", '{"n": 1}\nnone\n{"n": 3}\n')
    chunks = LoadDataFromJsonl(paths="a.jsonl", on_error="raise").process()
    assert next(chunks) == [{"n": 1}]
    with pytest.raises(RowError, match=r"a\.jsonl:2:1: this line is not JSON"):
        next(chunks)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1]", "a.jsonl:1: a row must be a JSON object of columns, not list."),
        (b'{"n": "\xff"}', "a.jsonl:1: this line is not UTF-8: byte 8 is 0xff. If the file is in another encoding"),
        (b"[" * 200_000, "a.jsonl:1: this line cannot be read as JSON"),
    ],
)
def test_what_else_a_line_may_be_is_an_error_of_that_line(line: bytes, message: str) -> None:
    write("a.jsonl", line + b'\n{"n": 2}\n')
    error, row = rows_of(LoadDataFromJsonl(paths="a.jsonl"))
    assert str(error).startswith(message)
    assert row == {"n": 2}


def test_rows_of_an_earlier_runs_failures_come_without_their_errors() -> None:
    write("failed.jsonl", '{"n": 1, "limbeck_error": {"step": "x"}}\n')
    source = LoadDataFromJsonl(paths="failed.jsonl")
    assert (source.outputs, rows_of(source)) == (["n"], [{"n": 1}])


class Counting(io.BytesIO):
    """Counts the bytes that were read."""

    taken = 0

    def __next__(self) -> bytes:
        line = super().__next__()
        self.taken += len(line)
        return line


def test_a_file_is_read_no_further_than_the_rows_that_are_asked_for() -> None:
    file = Counting(b'{"n": 1}\n' * 100_000)
    rows = LoadDataFromJsonl(paths="huge.jsonl").read(file, "huge.jsonl")
    for _ in range(3):
        next(rows)
    assert file.taken < 50


def test_other_encodings_are_read_when_they_are_named() -> None:
    write("a.jsonl", '{"of": "Málaga"}\n{"of": "Łódź"}\n'.encode("utf-16"))
    write("a.csv", "of\nMálaga\n".encode("latin-1"))
    assert rows_of(LoadDataFromJsonl(paths="a.jsonl", encoding="utf-16")) == [{"of": "Málaga"}, {"of": "Łódź"}]
    assert rows_of(LoadDataFromCsv(paths="a.csv", encoding="latin-1")) == [{"of": "Málaga"}]


def test_a_file_that_is_marked_as_another_encoding_is_refused_with_that() -> None:
    write("a.jsonl", '{"n": 1}\n'.encode("utf-16"))
    with pytest.raises(ConfigurationError, match=r"a\.jsonl:1: this file is marked as utf-16.*`encoding='utf-16'`"):
        rows_of(LoadDataFromJsonl(paths="a.jsonl"))


@pytest.mark.parametrize("encoding", ["utf-88", "base64", "gzip", "rot13", "hex", "", "utf-8\0"])
def test_what_is_no_encoding_of_texts_is_refused_when_the_source_is_made(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"There is no encoding {encoding!r}")):
        LoadDataFromJsonl(paths="a.jsonl", encoding=encoding)


# JSON


def test_a_list_of_objects_in_json_is_rows() -> None:
    write("a.json", '[{"n": 1},\n {"n": null}]')
    assert rows_of(LoadDataFromJson(paths="a.json")) == [{"n": 1}, {"n": None}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"n": 1},\n}]', "a.json:2:1: this is not JSON: Expecting value."),
        ('{"n": 1}\n{"n": 2}', "If each line is an object, name the file .jsonl."),
        ('{"n": 1}', "a.json: expected a list of objects, not dict."),
        (b'[{"n": "\xff"}]', "a.json: this is not UTF-8: byte 9 is 0xff."),
    ],
)
def test_a_file_that_is_no_list_in_json_is_refused_with_the_place(content: bytes | str, message: str) -> None:
    write("a.json", content)
    with pytest.raises(ConfigurationError) as caught:
        rows_of(LoadDataFromJson(paths="a.json"))
    assert message in str(caught.value)


def test_an_item_that_is_no_object_is_an_error_in_its_place() -> None:
    write("a.json", '[{"n": 1}, 2]')
    _, error = rows_of(LoadDataFromJson(paths="a.json"))
    assert str(error) == "a.json: item 2: a row must be a JSON object of columns, not int."


# CSV


def test_the_first_record_of_csv_names_the_columns_and_every_value_is_text() -> None:
    write("a.csv", 'id,text\n1,"two\nlines, ""quoted"""\n2,\n')
    assert rows_of(LoadDataFromCsv(paths="a.csv")) == [
        {"id": "1", "text": 'two\nlines, "quoted"'},
        {"id": "2", "text": ""},
    ]


def test_a_ragged_record_is_an_error_with_what_it_has_and_the_others_go_on() -> None:
    write("a.csv", 'id,text\n1,x\n"2\n2"\n3,x,y\n4,x\n')

    first, short, long, last = rows_of(LoadDataFromCsv(paths="a.csv"))

    assert (first, last) == ({"id": "1", "text": "x"}, {"id": "4", "text": "x"})
    assert str(short) == "a.csv:3-4: 1 cell, where the header has 2."
    assert (short.row, short.raw) == ({"id": "2\n2"}, '"2\n2"')
    assert str(long) == "a.csv:5: 3 cells, where the header has 2."


def test_a_record_in_another_encoding_is_an_error_that_shows_the_cell_and_the_others_go_on() -> None:
    write("a.csv", b"id,text\n1,x\n2,caf\xe9\n3,x\n")

    _, error, last = rows_of(LoadDataFromCsv(paths="a.csv"))

    assert str(error) == (
        "a.csv:3: there are bytes that are not UTF-8, in 'caf\\\\xe9'. "
        "If the file is in another encoding, say `encoding`."
    )
    assert error.row == {"id": "2", "text": "caf\\xe9"}
    assert last == {"id": "3", "text": "x"}


def test_a_quote_in_the_wrong_place_costs_its_record_and_one_never_closed_all_that_it_encloses() -> None:
    write("a.csv", 'id,text\n1,"x"y\n2,x\n3,"x\n4,x\n')

    wrong, row, unclosed = rows_of(LoadDataFromCsv(paths="a.csv"))

    assert str(wrong).startswith("a.csv:2: this is not CSV")
    assert row == {"id": "2", "text": "x"}
    assert str(unclosed) == "a.csv:4-5: this is not CSV: a quote is opened and never closed."
    assert unclosed.raw == '3,"x\n4,x'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,text,id\n1,x,2\n", "a.csv:1: the column 'id' is there twice."),
        (b"\n\n", "'a.csv' is empty: it has no rows."),
        (b"id,caf\xe9\n1,2\n", "a.csv:1: the header has bytes that are not UTF-8, in 'caf\\\\xe9'."),
    ],
)
def test_a_header_that_names_no_columns_is_refused(content: bytes, message: str) -> None:
    write("a.csv", content)
    with pytest.raises(ConfigurationError) as caught:
        rows_of(LoadDataFromCsv(paths="a.csv"))
    assert message in str(caught.value)


def test_cells_are_parted_by_tabs_in_tsv_files_and_by_what_is_asked_for() -> None:
    write("a.tsv", "id\ttext\n1\tx,y\n")
    write("a.csv", "id;text\n1;x,y\n")
    assert rows_of(LoadDataFromCsv(paths="a.tsv")) == [{"id": "1", "text": "x,y"}]
    assert rows_of(LoadDataFromCsv(paths="a.csv", delimiter=";")) == [{"id": "1", "text": "x,y"}]


# Which files


def test_files_are_read_in_the_order_given_and_those_of_a_pattern_by_name() -> None:
    for name in ("b/2.jsonl", "b/1.jsonl", "a.jsonl"):
        write(name, f'{{"from": "{name}"}}\n')
    source = LoadDataFromFiles(paths=["b/*.jsonl", Path("a.jsonl")])
    assert [row["from"] for row in rows_of(source)] == ["b/1.jsonl", "b/2.jsonl", "a.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file() -> None:
    write("a[1].jsonl", '{"n": 1}')
    assert rows_of(LoadDataFromJsonl(paths="a[1].jsonl")) == [{"n": 1}]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("none.jsonl", "'none.jsonl' cannot be read: No such file or directory."),
        ("*.jsonl", "No file matches the pattern '*.jsonl'."),
        (".", "'.' is a folder. Name its files with a pattern, such as './*.jsonl'."),
    ],
)
def test_what_names_no_file_is_an_error_before_a_row_is_read(paths: str, message: str) -> None:
    source = LoadDataFromJsonl(paths=paths)
    with pytest.raises(ConfigurationError) as caught:
        source.outputs  # noqa: B018 - a pipeline asks before it starts
    assert str(caught.value) == message


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`paths` names no file"):
        LoadDataFromJsonl(paths=[])


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_an_empty_file_is_an_error_that_says_so(name: str) -> None:
    write(name, "")
    with pytest.raises(ConfigurationError, match=f"'{name}' is empty: it has no rows."):
        LoadDataFromFiles(paths=name).outputs  # noqa: B018 - as above


def test_an_empty_file_among_others_is_passed_over_with_a_warning() -> None:
    write("1.jsonl", "")
    write("2.jsonl", '{"n": 2}\n')
    with pytest.warns(LimbeckWarning, match=r"'1\.jsonl' is empty, and is passed over"):
        assert rows_of(LoadDataFromJsonl(paths="*.jsonl")) == [{"n": 2}]


def test_making_a_source_opens_nothing() -> None:
    assert LoadDataFromJsonl(paths="not/there.jsonl").name == "load-data-from-jsonl"


def test_a_source_has_no_columns_that_could_be_renamed_on_their_way_in() -> None:
    with pytest.raises(ConfigurationError, match="is a source: it has no columns for `input_mappings`"):
        LoadDataFromJsonl(paths="a.jsonl", input_mappings={"a": "b"})


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_files_are_told_by_their_last_suffix(suffix: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    packed = pack[suffix](b'{"n": 1}\n{"n": 2}\n')
    source = LoadDataFromFiles(paths=write(f"a.jsonl{suffix}", packed))
    assert (source.outputs, source.count(), rows_of(source)) == (["n"], None, [{"n": 1}, {"n": 2}])


@pytest.mark.parametrize("content", [b"not packed", gzip.compress(b'{"n": 1}\n' * 1000, mtime=0)[:-20]])
def test_a_file_that_is_not_compressed_as_its_name_says_or_is_cut_short_is_an_error(content: bytes) -> None:
    write("a.jsonl.gz", content)
    with pytest.raises(ConfigurationError, match=r"'a\.jsonl\.gz' cannot be read: "):
        rows_of(LoadDataFromJsonl(paths="a.jsonl.gz"))


# What is known beforehand


def test_the_columns_are_those_of_the_first_rows_of_each_file_whatever_is_broken_among_them() -> None:
    write("1.jsonl", 'none\n{"a": 1}\n{"b": 2}\n')
    write("2.csv", "c,a\n")
    assert LoadDataFromFiles(paths=["1.jsonl", "2.csv"]).outputs == ["a", "b", "c"]


def test_rows_are_counted_without_being_made() -> None:
    write("1.jsonl", '{"n": 1}\n{"n": 2}')
    write("2.csv", 'n\n"1\n1"\n2\n')
    assert LoadDataFromFiles(paths=["1.jsonl", "2.csv"]).count() == 4


def test_rows_come_in_lists_of_the_batch_size() -> None:
    write("a.jsonl", '{"n": 1}\n' * 5)
    assert [len(chunk) for chunk in LoadDataFromJsonl(paths="a.jsonl", batch_size=2).process()] == [2, 2, 1]


def test_a_named_pipe_is_read_once_and_not_looked_into() -> None:
    os.mkfifo("pipe.jsonl")
    source = LoadDataFromFiles(paths="pipe.jsonl")
    assert (source.outputs, source.count()) == ([], None)
    writer = threading.Thread(target=lambda: Path("pipe.jsonl").write_text('{"n": 1}\n'))
    writer.start()
    assert rows_of(source) == [{"n": 1}]
    writer.join()


# Any format


def test_a_file_of_a_format_that_nothing_handles_is_an_error_with_the_formats_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        rows_of(LoadDataFromFiles(paths=write("a.sas7bdat", "x")))
    assert "'a.sas7bdat': nothing installed handles .sas7bdat files." in str(caught.value)
    assert "csv" in str(caught.value)
    assert "jsonl" in str(caught.value)


def test_a_file_without_a_suffix_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'rows' has no suffix that says what it holds"):
        rows_of(LoadDataFromFiles(paths=write("rows", "x")))


def test_the_options_and_the_policy_reach_the_formats_own_step() -> None:
    write("a.csv", "id;text\n1;x\n2\n")
    source = LoadDataFromFiles(paths="a.csv", options={"delimiter": ";"}, on_error="raise")
    with pytest.raises(RowError, match=r"a\.csv:3: 1 cell"):
        rows_of(source)


def test_an_option_that_the_format_does_not_have_is_refused() -> None:
    write("a.csv", "id\n1\n")
    with pytest.raises(ConfigurationError, match=r"no field 'delimeter'\. Did you mean `delimiter`"):
        rows_of(LoadDataFromFiles(paths="a.csv", options={"delimeter": ";"}))


def test_the_sources_and_sinks_of_the_core_are_found_by_name() -> None:
    names = [name for name in list_steps() if name.startswith(("load-data-from-", "save-to-"))]
    formats = {
        f"{prefix}-{each}" for prefix in ("load-data-from", "save-to") for each in ("csv", "json", "jsonl", "files")
    }
    assert formats | {"load-data-from-stdin", "load-data-from-dicts", "save-to-stdout"} <= set(names)
    assert get_step("load-data-from-jsonl") is LoadDataFromJsonl


@pytest.mark.parametrize("name", ["load-data-from-files", "load-data-from-csv", "save-to-files", "save-to-csv"])
def test_a_step_has_a_json_schema_for_editors(name: str) -> None:
    assert {"paths", "path"} & set(get_step(name).model_json_schema()["properties"])


# Standard input


class Stdin:
    """What stands for the interpreter's standard input."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(content)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        raise OSError("no descriptor")


@pytest.mark.parametrize("source", [LoadDataFromStdin(), LoadDataFromFiles(paths="-")])
def test_each_line_of_standard_input_is_on_its_way_by_itself(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b'{"n": 1}\n\nnone\n{"n": 2}'))
    chunks = list(source.process())
    assert (chunks[0], chunks[2]) == ([{"n": 1}], [{"n": 2}])
    assert str(chunks[1][0]) == "stdin:3:1: this line is not JSON: Expecting value."
    assert source.outputs == []


def test_a_terminal_is_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"", terminal=True))
    with pytest.raises(ConfigurationError, match="Standard input is a terminal"):
        LoadDataFromStdin().process()


# What is no JSON Lines, under its name


@pytest.mark.parametrize(
    "content",
    [
        '[{"n": 1}, {"n": 2}]',
        '[\n  {\n    "n": 1\n  },\n  {"n": 2}\n]\n',
        '\n[{"n": 1},\n\n{"n": 2}]\n\n',
        '\ufeff[{"n": 1}, {"n": 2}]',
    ],
)
def test_a_list_of_objects_is_read_as_one_whatever_the_file_is_called(content: str) -> None:
    source = LoadDataFromFiles(paths=write("a.jsonl", content))
    assert (source.outputs, source.count(), rows_of(source)) == (["n"], None, [{"n": 1}, {"n": 2}])


@pytest.mark.parametrize("content", ["[]", "[ ]\n", "[\n]\n", "\n\ufeff[]\n\n", "[\n\n\n]"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_an_empty_list_has_no_rows_whatever_the_file_is_called(content: str, pack: Callable[[bytes], bytes]) -> None:
    source = LoadDataFromFiles(paths=write("a.jsonl", pack(content.encode())))
    assert (source.outputs, rows_of(source)) == ([], [])


def test_an_empty_list_in_another_encoding_or_on_standard_input_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_of(LoadDataFromJsonl(paths=write("a.jsonl", "[]\n".encode("utf-16")), encoding="utf-16")) == []
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[]\n")))
    assert rows_of(LoadDataFromStdin()) == []


def test_an_empty_list_among_lines_of_objects_is_no_row() -> None:
    first, second = rows_of(LoadDataFromJsonl(paths=write("a.jsonl", '[]\n{"n": 1}\n')))
    assert "a row must be a JSON object of columns, not list" in str(first)
    assert second == {"n": 1}


@pytest.mark.parametrize("content", ['{\n  "n": 1\n}\n', '{\n"n": 1}\n{\n"n": 2}\n', '\n{"of": [\n1, 2\n]}'])
def test_objects_over_several_lines_are_told_with_the_remedy(content: str) -> None:
    write("a.jsonl", content)
    with pytest.raises(
        ConfigurationError, match=r"a\.jsonl:[12]: this is JSON whose objects go over several lines.*jq"
    ):
        rows_of(LoadDataFromJsonl(paths="a.jsonl"))


def test_a_list_that_is_broken_is_told_with_its_place() -> None:
    write("a.jsonl", '[{"n": 1},\n{"n": 2},\n{"n" 3}]\n')
    with pytest.raises(ConfigurationError, match=r"a\.jsonl:3:6: this is not JSON"):
        rows_of(LoadDataFromJsonl(paths="a.jsonl"))


@pytest.mark.parametrize("first", ['{"n": ', "[1]", '[{"n": 1}]', "[", "{"])
def test_a_broken_first_line_costs_no_other(first: str) -> None:
    write("a.jsonl", first + '\n{"n": 2}\n{"n": 3}\n')
    error, *rows = rows_of(LoadDataFromJsonl(paths="a.jsonl"))
    assert str(error).startswith("a.jsonl:1")
    assert rows == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read_whatever_it_is_called(name: str, pack: Callable[[bytes], bytes]) -> None:
    content = {"a.jsonl": b'{"n": "1"}\n', "a.json": b'[{"n": "1"}]'}.get(name, b"n\n1\n")
    source = LoadDataFromFiles(paths=write(name, pack(content)))
    assert (source.outputs, source.count(), rows_of(source)) == (["n"], None, [{"n": "1"}])


BLANK = [b" \n\n", b"\xef\xbb\xbf\n", gzip.compress(b"", mtime=0), gzip.compress(b"\n \n", mtime=0)]


@pytest.mark.parametrize("content", BLANK, ids=["lines", "a mark", "packed", "packed lines"])
def test_a_file_of_blank_lines_is_empty_too(content: bytes) -> None:
    write("1.jsonl", content)
    with pytest.raises(ConfigurationError, match=r"'1\.jsonl' is empty: it has no rows"):
        rows_of(LoadDataFromJsonl(paths="1.jsonl"))
    write("2.jsonl", '{"n": 2}\n')
    with pytest.warns(LimbeckWarning, match=r"'1\.jsonl' is empty, and is passed over"):
        assert rows_of(LoadDataFromJsonl(paths="*.jsonl")) == [{"n": 2}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"n": 1}\n'.encode("utf-16-le"), "looks like utf-16-le, not UTF-8. Say `encoding='utf-16-le'`"),
        ('{"n": 1}\n'.encode("utf-16-be"), "looks like utf-16-be, not UTF-8. Say `encoding='utf-16-be'`"),
        (b"PK\x03\x04\x14\x00\x00\x00", "is a ZIP archive. Unpack it"),
    ],
)
def test_another_encoding_without_a_mark_and_an_archive_are_told(content: bytes, message: str) -> None:
    for name in ("a.jsonl", "a.csv"):
        write(name, content)
        with pytest.raises(ConfigurationError) as caught:
            rows_of(LoadDataFromFiles(paths=name))
        assert message in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_list_in_json_is_read_in_each_encoding_that_json_knows(encoding: str) -> None:
    write("a.json", '[{"n": "é"}]'.encode(encoding))
    assert rows_of(LoadDataFromJson(paths="a.json")) == [{"n": "é"}]


def test_marks_of_files_that_were_put_together_are_no_part_of_a_row() -> None:
    write("a.jsonl", b'\xef\xbb\xbf{"n": 1}\n\xef\xbb\xbf{"n": 2}\n')
    assert rows_of(LoadDataFromJsonl(paths="a.jsonl")) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(("line", "key"), [('{"n": 1, "n": 2}', "n"), ('{"of": [{"k": 1, "k": 1}]}', "k")])
def test_a_key_that_is_given_twice_fails_its_row(line: str, key: str) -> None:
    write("a.jsonl", f'{line}\n{{"n": 2}}\n')
    error, row = rows_of(LoadDataFromJsonl(paths="a.jsonl"))
    assert str(error) == f"a.jsonl:1: this line cannot be read as JSON: the key {key!r} is given twice."
    assert row == {"n": 2}
    for name in ("a.json", "b.jsonl"):
        write(name, f'[{line},\n {{"n": 2}} , {line}]')
        first, row, last = rows_of(LoadDataFromFiles(paths=name))
        assert str(first) == f"{name}: item 1: this cannot be read as JSON: the key {key!r} is given twice."
        assert (first.raw, row, type(last)) == (line, {"n": 2}, RowError)


def test_one_object_that_gives_a_key_twice_is_still_no_list() -> None:
    write("a.json", '{"n": 1, "n": 2}')
    with pytest.raises(ConfigurationError, match="the key 'n' is given twice"):
        rows_of(LoadDataFromJson(paths="a.json"))
