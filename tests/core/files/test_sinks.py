"""Sinks of files: what stands in them, when it is there, and what is left when it cannot be.

Covers `_files.drafts`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError
from limbeck.steps import LoadDataFromCsv, SaveToCsv, SaveToFiles, SaveToJson, SaveToJsonl, SaveToStdout
from limbeck.types import audio, document, image
from support.media import PDF, PNG, WAV
from support.packs import environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files() -> list[str]:
    """The names of what is in the working directory."""
    return sorted(path.name for path in Path.cwd().iterdir())


ROWS: list[dict[str, Any]] = [{"n": 1, "of": {"a": [None, "é"]}}, {"n": None}, {"n": 3, "late": "x,\ny"}]


def save(sink: Any, *chunks: list[dict[str, Any]], finished: bool = True) -> Any:
    sink.open(replace=False)
    for chunk in chunks:
        sink.write(chunk)
    sink.close(finished=finished)
    return sink


@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.ndjson", "o.jsonl.gz", "o.json.bz2", "deep/er/o.jsonl.xz"])
def test_what_was_written_as_json_is_read_back_row_for_row(name: str) -> None:
    assert list(save(SaveToFiles(path=name), ROWS[:1], ROWS[1:]).rows()) == ROWS


def test_jsonl_has_a_line_a_row_and_json_one_list() -> None:
    save(SaveToJsonl(path="o.jsonl"), [{"a": "é"}], [{"a": None}])
    save(SaveToJson(path="o.json"), [{"a": "é"}], [{"a": None}])
    assert Path("o.jsonl").read_text(encoding="utf-8") == '{"a": "é"}\n{"a": null}\n'
    assert Path("o.json").read_text(encoding="utf-8") == '[\n{"a": "é"},\n{"a": null}\n]\n'


def test_what_json_does_not_have_is_written_as_text_and_half_a_surrogate_pair_as_an_escape() -> None:
    (row,) = save(
        SaveToJsonl(path="o.jsonl"), [{"set": {1}, "bytes": b"\xff", "path": Path("x"), "half": "\ud800"}]
    ).rows()
    assert row == {"set": [1], "bytes": "\\xff", "path": "x", "half": "\ud800"}


def test_images_audio_and_pdfs_are_written_to_json_so_that_they_can_be_sent_again() -> None:
    (row,) = save(SaveToJsonl(path="o.jsonl"), [{"picture": PNG, "sound": WAV, "of": {"bytes": PDF}}]).rows()
    assert (image(row["picture"]), audio(row["sound"])) == (image(PNG), audio(WAV))
    assert document(row["of"]["bytes"]) == document(PDF)


def refused(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (NAN, None),
        ([1.5, -INFINITY, {"a": INFINITY}], [1.5, None, {"a": None}]),
        ((NAN,), [None]),
        ({"set": {NAN}, "half": "\ud800"}, {"set": [None], "half": "\ud800"}),
    ],
)
@pytest.mark.parametrize("name", ["o.jsonl", "o.json"])
def test_a_number_that_json_has_no_word_for_is_written_as_null(name: str, value: Any, read: Any) -> None:
    save(SaveToFiles(path=name), [{"value": value, "beside": "é"}])
    text = Path(name).read_text(encoding="utf-8")
    (row,) = (
        [json.loads(text, parse_constant=refused)] if name == "o.jsonl" else json.loads(text, parse_constant=refused)
    )
    assert row == {"value": read, "beside": "é"}


def test_a_list_in_a_csv_cell_is_json_too() -> None:
    save(SaveToCsv(path="o.csv"), [{"value": [NAN, 1]}])
    assert Path("o.csv").read_text(encoding="utf-8").splitlines()[1] == '"[null, 1]"'


class Picture:
    """JSON has no form for it: it is written as its text."""


class Unfinished:
    """Has a form in JSON, which cannot be had."""

    def model_dump(self, **_: Any) -> Any:
        raise ValueError("It is not finished.")


KNOT: list[Any] = []
KNOT.append(KNOT)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"n": 1, "bad": {(1, 2): "x"}}, "the column 'bad' holds a dict with keys that are no texts"),
        ({"picture": Picture(), "bad": {(1, 2): 1}}, "the column 'bad' holds a dict with keys that are no texts"),
        ({"n": 1, "bad": {1: "x", "1": "y"}}, "the column 'bad' holds a dict with two keys that are the same as texts"),
        ({"bad": [({"a": {True: 1, "true": 2}},)]}, "the column 'bad' holds a dict with two keys .* texts, 'true'"),
        ({"bad": Counter({None: 1, "null": 2})}, "the column 'bad' holds a dict with two keys .* texts, 'null'"),
        ({"n": [[]], "bad": {"knot": KNOT}}, "the column 'bad' holds a value that holds itself"),
        ({"picture": Picture(), "bad": [Unfinished()]}, r"the column 'bad' holds a value .* \(It is not finished\.\)"),
    ],
)
def test_a_row_that_json_cannot_hold_at_all_stops_the_run_with_the_column_and_the_remedy(row: Any, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Row 1 cannot be written as JSON: {what}.* or drop the column"):
        Pipeline([row], SaveToJsonl(path="out.jsonl")).run(run_dir="kept")


def test_keys_that_are_no_texts_are_written_as_texts_where_they_stay_different() -> None:
    Pipeline([{"of": {1: "x", "2": "y", None: [{1: 2}]}}], SaveToJsonl(path="out.jsonl")).run()
    assert json.loads(Path("out.jsonl").read_text()) == {"of": {"1": "x", "2": "y", "null": [{"1": 2}]}}


def test_csv_has_every_column_that_any_row_has_and_json_in_the_cells_of_nested_values() -> None:
    save(SaveToCsv(path="o.csv"), ROWS[:2], ROWS[2:])
    assert Path("o.csv").read_text(encoding="utf-8") == ('n,of,late\n1,"{""a"": [null, ""é""]}",\n,,\n3,,"x,\ny"\n')


def test_csv_is_compressed_and_parted_by_tabs_as_its_name_says() -> None:
    sink = save(SaveToFiles(path="o.tsv.gz"), [{"a": True}], [{"a": 1.5, "b": "x,y"}])
    assert gzip.decompress(Path("o.tsv.gz").read_bytes()) == b"a\tb\ntrue\t\n1.5\tx,y\n"
    assert list(sink.rows()) == [{"a": "true", "b": ""}, {"a": "1.5", "b": "x,y"}]


def test_no_rows_make_an_empty_file_of_which_none_are_read_back() -> None:
    assert [list(save(SaveToFiles(path=f"o.{each}")).rows()) for each in ("jsonl", "json", "csv")] == [[], [], []]
    assert Path("o.json").read_text() == "[]\n"


# When it is there


def test_a_file_is_there_whole_when_the_run_ends_and_not_before() -> None:
    sink = SaveToJsonl(path="o.jsonl")
    sink.open(replace=False)
    assert files() == []
    sink.write(ROWS)
    assert not Path("o.jsonl").exists()
    sink.close(finished=True)
    assert files() == ["o.jsonl"]


def test_a_run_that_did_not_finish_leaves_the_rows_that_were_done() -> None:
    Path("o.jsonl").write_text("old\n")
    sink = save(SaveToJsonl(path="o.jsonl", overwrite=True), [{"n": 1}], finished=False)
    assert list(sink.rows()) == [{"n": 1}]


def test_a_run_that_failed_before_its_first_row_leaves_an_old_file_as_it_was() -> None:
    Path("o.jsonl").write_text("old\n")
    save(SaveToJsonl(path="o.jsonl", overwrite=True), finished=False)
    assert (Path("o.jsonl").read_text(), files()) == ("old\n", ["o.jsonl"])


def test_a_sink_serves_one_run_after_another() -> None:
    sink = SaveToCsv(path="o.csv", overwrite=True)
    save(sink, [{"a": 1}], [{"b": 2}])
    save(sink, [{"c": 3}])
    assert list(sink.rows()) == [{"c": "3"}]


def test_a_link_goes_on_leading_to_its_file() -> None:
    Path("real.jsonl").write_text("old\n")
    Path("o.jsonl").symlink_to("real.jsonl")
    save(SaveToJsonl(path="o.jsonl", overwrite=True), [{"n": 1}])
    assert Path("o.jsonl").is_symlink()
    assert Path("real.jsonl").read_text() == '{"n": 1}\n'


def test_what_a_killed_run_left_of_its_draft_is_no_part_of_the_next() -> None:
    Path(".o.jsonl.part").write_text("left behind, and long enough to show\n")
    save(SaveToJsonl(path="o.jsonl"), [{"n": 1}])
    assert (Path("o.jsonl").read_text(), files()) == ('{"n": 1}\n', ["o.jsonl"])


def test_two_sinks_cannot_make_the_same_file_at_once() -> None:
    first, second = SaveToJsonl(path="o.jsonl"), SaveToJsonl(path="o.jsonl")
    first.write([{"n": 1}])
    with pytest.raises(ConfigurationError, match=r"The output 'o\.jsonl' is being written already"):
        second.write([{"n": 2}])
    second.close(finished=False)
    first.close(finished=True)
    assert list(first.rows()) == [{"n": 1}]


def test_its_targets_are_absolute_paths_and_urls_as_they_are(folder: Path) -> None:
    assert SaveToJsonl(path="o.jsonl").targets() == [str(folder / "o.jsonl")]
    assert SaveToJsonl(path="s3://bucket/o.jsonl").targets() == ["s3://bucket/o.jsonl"]
    assert SaveToFiles(path="-").targets() == []


# When it cannot be


def test_a_file_that_exists_is_refused_unless_it_may_be_replaced() -> None:
    Path("o.jsonl").write_text("old\n")
    with pytest.raises(ConfigurationError, match=r"The output 'o\.jsonl' exists\. Say `overwrite` to replace it"):
        SaveToFiles(path="o.jsonl").open(replace=False)
    SaveToFiles(path="o.jsonl", overwrite=True).open(replace=False)
    SaveToFiles(path="o.jsonl").open(replace=True)
    assert Path("o.jsonl").read_text() == "old\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "'.' is a folder. Name a file in it."),
        ("file/o.jsonl", "cannot be written: .*/file' is not a folder."),
    ],
)
def test_where_no_file_can_be_is_an_error_before_anything_runs(path: str, message: str) -> None:
    Path("file").write_text("")
    with pytest.raises(ConfigurationError, match=message):
        SaveToJsonl(path=path).open(replace=True)


def test_a_format_that_nothing_writes_is_an_error_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match=r"'o\.docx': nothing installed handles \.docx files"):
        SaveToFiles(path="o.docx").open(replace=False)


_FULL = """
import hashlib, json, resource, sys
from limbeck import get_step
from limbeck.errors import ConfigurationError

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
sink = get_step("save-to-files")(path=sys.argv[1], overwrite=True)
sink.open(replace=False)
told = None
try:
    for number in range(100):
        sink.write([{"n": number, "text": hashlib.sha512(b"%d" % number).hexdigest()}])
    sink.close(finished=True)
except ConfigurationError as exc:
    told = str(exc)
sink.close(finished=False)
print(json.dumps({"told": told, "at": number}))
"""


def full_disk(target: str) -> dict[str, Any]:
    """What a sink says for whose file there is no room beyond 2,000 bytes, and at which row."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, target], env=environment(), capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_disk_that_fills_leaves_the_whole_rows_that_went_into_it() -> None:
    said = full_disk("o.jsonl")
    assert "The output 'o.jsonl' cannot be written any further: File too large." in said["told"]
    assert "run again with the same run directory" in said["told"]
    rows = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == list(range(said["at"]))
    assert files() == ["o.jsonl"]


def test_a_disk_that_fills_leaves_an_old_file_where_the_new_one_cannot_be_whole() -> None:
    Path("o.jsonl.gz").write_bytes(b"old")
    assert "cannot be written any further: File too large" in full_disk("o.jsonl.gz")["told"]
    assert (Path("o.jsonl.gz").read_bytes(), files()) == (b"old", ["o.jsonl.gz"])


def test_a_device_is_written_to_as_it_is() -> None:
    sink = SaveToJsonl(path="/dev/full")
    with pytest.raises(ConfigurationError, match="cannot be written any further: No space left on device"):
        sink.write([{"n": 1}])
    sink.close(finished=False)
    save(SaveToJsonl(path="/dev/null"), [{"n": 1}])


# Standard output


class Stdout:
    """What stands for the interpreter's standard output."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("sink", [SaveToStdout(), SaveToFiles(path="-")])
def test_rows_go_to_standard_output_as_they_come(sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout()
    monkeypatch.setattr("sys.stdout", stdout)
    sink.open(replace=False)
    sink.write([{"n": 1}])
    assert stdout.buffer.getvalue() == b'{"n": 1}\n'
    sink.close(finished=True)
    with pytest.raises(ConfigurationError, match="cannot be read back"):
        sink.rows()


@pytest.mark.parametrize(
    ("terminal", "written"), [(True, b'{"a": "\\u009b\\u007f\xc3\x9b"}\n'), (False, b'{"a": "\xc2\x9b\x7f\xc3\x9b"}\n')]
)
def test_rows_on_a_terminal_have_their_control_characters_escaped(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, written: bytes
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stdout", stream)
    SaveToStdout().write([{"a": "\x9b\x7f\u00db"}])
    assert stream.buffer.getvalue() == written
    assert json.loads(written) == {"a": "\x9b\x7f\u00db"}


# Values


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize("name", ["o.jsonl", "o.json"])
def test_numbers_that_json_has_no_words_for_are_null_however_deep(name: str) -> None:
    nan, endless = float("nan"), float("inf")
    row = {"score": nan, "deep": {"of": [1.5, -endless, (nan,)]}, "set": {endless}, "text": "NaN", "half": "\ud83d"}
    save(SaveToFiles(path=name), [row])
    made = json.loads(Path(name).read_text(encoding="utf-8"), parse_constant=refuse)
    expected = {"score": None, "deep": {"of": [1.5, None, [None]]}, "set": [None], "text": "NaN", "half": "\ud83d"}
    assert made in (expected, [expected])


def test_numbers_and_times_of_numpy_and_pandas_are_written_as_pythons_are() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    row = {
        "n": np.int64(3),
        "all": np.arange(2_000),
        "part": np.float32("nan"),
        "when": np.datetime64("2024-05-01T12:00", "ns"),
        "at": pd.Timestamp("2024-05-01"),
        "gone": pd.NA,
    }
    (made,) = save(SaveToJsonl(path="o.jsonl"), [row]).rows()
    times = {"when": "2024-05-01T12:00:00", "at": "2024-05-01T00:00:00"}
    assert made == {"n": 3, "all": list(range(2_000)), "part": None, **times, "gone": None}
    (cells,) = save(SaveToCsv(path="o.csv"), [row]).rows()
    assert cells == {"n": "3", "all": json.dumps(list(range(2_000))), "part": "nan", **times, "gone": ""}


@pytest.mark.parametrize(
    "text", ["a\rb", "\r", "a\r\nb", "\n", '"', "", " x ", "\ufeffx", "\x00", "a,b\tc;d", "\u2028\x85"]
)
@pytest.mark.parametrize("name", ["o.csv", "o.tsv"])
def test_any_text_in_a_cell_or_a_header_is_read_back_by_us_and_by_python(name: str, text: str) -> None:
    rows: list[dict[str, Any]] = [
        {text: text, "b": text},
        {text: "x", "b": text},
        {text: text, "b": text, "late\r": text},
    ]
    expected = [{"late\r": "", **row} for row in rows]
    assert list(save(SaveToFiles(path=name), rows[:1], rows[1:]).rows()) == expected
    with Path(name).open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file, delimiter="\t" if name == "o.tsv" else ",")) == expected


def test_a_csv_of_one_column_keeps_its_empty_cells_and_rows_without_columns_before_it() -> None:
    assert list(save(SaveToCsv(path="o.csv"), [{}], [{"a": ""}, {}, {"a": "x"}]).rows()) == [
        {"a": ""},
        {"a": ""},
        {"a": ""},
        {"a": "x"},
    ]
    with pytest.raises(ConfigurationError, match=r"n\.csv: the rows have no columns"):
        save(SaveToCsv(path="n.csv"), [{}])


def test_half_a_surrogate_pair_is_refused_in_csv_with_row_and_column_and_the_rows_before_are_kept() -> None:
    rows = [{"a": "é"}, {"a": "x"}, {"a": "half \ud83d"}, {"a": "y"}]
    result = Pipeline(rows, SaveToCsv(path="o.csv"))
    with pytest.raises(ConfigurationError, match=r"o\.csv: row 3: the column 'a' holds half a surrogate pair"):
        result.run(run_dir="kept")
    assert Path("o.csv").read_text(encoding="utf-8") == "a\né\nx\n"


@pytest.mark.parametrize("delimiter", ["\n", "\r", '"'])
def test_what_cannot_stand_between_cells_is_refused(delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot stand between the cells"):
        SaveToCsv(path="o.csv", delimiter=delimiter)
    with pytest.raises(ConfigurationError, match="cannot stand between the cells"):
        LoadDataFromCsv(paths="o.csv", delimiter=delimiter)


@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.csv"])
@pytest.mark.parametrize("column", [0, None, (1, "a"), 1.5])
def test_a_column_whose_name_is_no_text_is_refused_by_every_sink(name: str, column: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: row 2: A column is named .*, which is no text"):
        save(SaveToFiles(path=name), [{"a": 1}, {"a": 1, column: 2}])


def test_members_of_enumerations_are_written_by_their_values() -> None:
    class Level(int, Enum):
        HIGH = 3

    class Kind(str, Enum):  # noqa: UP042 - as people write it
        GOOD = "good"

    save(SaveToCsv(path="o.csv"), [{"level": Level.HIGH, "kind": Kind.GOOD}])
    assert Path("o.csv").read_text(encoding="utf-8") == "level,kind\n3,good\n"
