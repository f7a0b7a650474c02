"""URLs and zstd, which the core's sources and sinks open where fsspec and pyarrow are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from limbeck.errors import ConfigurationError
from limbeck.steps import LoadDataFromFiles, SaveToFiles

from .rows import rows_of, save

ROWS: list[dict[str, Any]] = [{"n": 1}, {"n": 2}]


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.json", "o.parquet", "o.arrow", "o.jsonl.zst"])
def test_what_is_saved_at_a_url_is_loaded_from_there(name: str, memory: Any) -> None:
    sink = SaveToFiles(path=f"memory://bucket/{name}")
    sink.open(replace=False)
    sink.write(ROWS)
    assert not memory.exists(f"/bucket/{name}")
    sink.close(finished=True)
    assert rows_of(LoadDataFromFiles(paths=f"memory://bucket/{name}")) == ROWS


@pytest.mark.parametrize("name", ["o.parquet.gz", "o.pq.zst", "o.arrow.xz", "o.feather.bz2"])
@pytest.mark.parametrize("folder", ["", "memory://bucket/"])
def test_a_name_of_a_compressed_file_is_refused_by_a_format_that_is_not_compressed_as_a_whole(
    name: str, folder: str
) -> None:
    suffix = Path(name).suffix
    with pytest.raises(
        ConfigurationError, match=rf"'{folder}{name}' would not be compressed.* Leave out the '{suffix}'"
    ):
        SaveToFiles(path=folder + name).open(replace=False)


def test_a_pattern_in_a_url_names_files_of_any_format(memory: Any) -> None:
    save(SaveToFiles(path="memory://bucket/1.jsonl"), ROWS[:1])
    save(SaveToFiles(path="memory://bucket/2.parquet"), ROWS[1:])
    assert rows_of(LoadDataFromFiles(paths="memory://bucket/*")) == ROWS


def test_what_exists_at_a_url_is_refused_unless_it_may_be_replaced(memory: Any) -> None:
    save(SaveToFiles(path="memory://bucket/o.jsonl"), ROWS)
    with pytest.raises(ConfigurationError, match=r"The output 'memory://bucket/o\.jsonl' exists"):
        SaveToFiles(path="memory://bucket/o.jsonl").open(replace=False)
    SaveToFiles(path="memory://bucket/o.jsonl", overwrite=True).open(replace=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/none.jsonl", "'memory://bucket/none.jsonl' cannot be read: there is no such file."),
        ("memory://bucket/*.jsonl", "No file matches the pattern 'memory://bucket/*.jsonl'."),
        ("nothing://bucket/a.jsonl", "'nothing://bucket/a.jsonl' cannot be opened: fsspec knows no 'nothing'"),
    ],
)
def test_a_url_that_leads_nowhere_is_an_error_that_names_it(url: str, message: str, memory: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rows_of(LoadDataFromFiles(paths=url))
    assert str(caught.value).startswith(message)


def test_no_message_and_no_target_shows_the_password_or_the_signature_in_a_url() -> None:
    url = "nothing://user:secret@host/a.csv?signature=secret"
    with pytest.raises(ConfigurationError, match=r"'nothing://host/a\.csv' cannot be opened") as caught:
        rows_of(LoadDataFromFiles(paths=url))
    assert "secret" not in str(caught.value)
    assert SaveToFiles(path=url).targets() == ["nothing://host/a.csv"]


def test_zstd_is_read_and_written_as_the_name_says() -> None:
    sink = save(SaveToFiles(path="o.jsonl.zst"), ROWS[:1], ROWS[1:])
    assert list(sink.rows()) == ROWS
    assert Path("o.jsonl.zst").read_bytes().startswith(b"\x28\xb5\x2f\xfd")
