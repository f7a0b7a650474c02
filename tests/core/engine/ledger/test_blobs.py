"""The files beside a ledger: kept once, whole or not at all, and checked when they are read."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from limbeck._engine.ledger.blobs import Blobs, blob_name
from limbeck.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"\x89PNG\r\n\x1a\n and so on"
NAME = hashlib.sha256(CONTENT).hexdigest() + ".png"


def test_a_file_lies_under_the_digest_of_its_content_and_the_suffix_of_its_type(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert blobs.put(CONTENT, "image/png") == NAME
    assert (tmp_path / "blobs" / NAME).read_bytes() == CONTENT
    assert blobs.get(NAME) == CONTENT


def test_a_type_that_is_not_known_gets_a_suffix_that_nothing_runs() -> None:
    assert blob_name("a" * 64, "text/html").endswith(".bin")
    assert blob_name("a" * 64, "image/svg+xml").endswith(".bin")


def test_nothing_is_made_before_there_is_a_file(tmp_path: Path) -> None:
    assert not Blobs(tmp_path).has(NAME, len(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put(CONTENT, "image/png")
    before = blobs.path(name).stat().st_ino
    assert Blobs(tmp_path).put(bytes(bytearray(CONTENT)), "image/png") == name
    assert blobs.path(name).stat().st_ino == before
    assert [path.name for path in blobs.folder.iterdir()] == [name]


def test_a_torn_file_is_no_file_and_is_written_anew(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put(CONTENT, "image/png")
    for torn in (b"", CONTENT[:5], bytes(len(CONTENT))):
        blobs.path(name).write_bytes(torn)
        with pytest.raises(LedgerError, match="is damaged"):
            blobs.get(name)
        blobs.put(CONTENT, "image/png")
        assert blobs.get(name) == CONTENT


def test_a_flipped_bit_is_told_when_the_file_is_read(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put(CONTENT, "image/png")
    blobs.path(name).write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])
    with pytest.raises(LedgerError, match="Look after the disk"):
        blobs.get(name)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        Blobs(tmp_path).get(NAME)


@pytest.mark.parametrize("name", ["../ledger.sqlite", "/etc/passwd", "", "A" * 64 + ".png", "a" * 64, f"{NAME}\n"])
def test_what_is_no_name_of_a_file_leads_nowhere(tmp_path: Path, name: str) -> None:
    blobs = Blobs(tmp_path)
    with pytest.raises(LedgerError, match="is no name"):
        blobs.get(name)
    with pytest.raises(LedgerError, match="is no name"):
        blobs.has(name, 0)


def test_a_write_that_fails_leaves_no_part_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        Blobs(tmp_path, durability="full").put(CONTENT, "image/png")
    assert [path.name for path in tmp_path.rglob("*")] == ["blobs"]


def test_what_a_kill_left_half_written_is_forgotten(tmp_path: Path) -> None:
    name = Blobs(tmp_path).put(CONTENT, "image/png")
    tmp_path.joinpath(".blob-0123.part").write_bytes(CONTENT[:3])
    Blobs(tmp_path).forget_drafts()
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["blobs", name])


def test_with_full_durability_a_file_and_its_name_are_synced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    Blobs(tmp_path).put(CONTENT, "image/png")
    assert synced == []
    Blobs(tmp_path, durability="full").put(CONTENT + b"!", "image/png")
    assert len(synced) == 3  # the file, `blobs/`, and the run directory


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")
    with pytest.raises(LedgerError, match="cannot be written"):
        Blobs(tmp_path).put(CONTENT, "image/png")
