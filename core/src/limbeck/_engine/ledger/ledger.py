"""The ledger: every paid answer on disk before anything is made of it.

One SQLite file (WAL) in a run directory, one writer thread, small group commits. A call is
one sample of one row of one step; its key says whether the stored answer still holds. This is
the built-in one of the stores that `limbeck.protocols.LedgerProtocol` describes.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import threading
import time
import warnings
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError, LedgerError, LimbeckWarning, MediaError
from ..calls.changes import changes, config_text
from ..threads.handoff import call_on, settle
from .blobs import Blobs, blob_name
from .file import CLAIMS, FAILED_FILE, FILE, UNREADABLE, connect, lock_folder, make_folder, mark_of, open_file, remedy
from .kept import check_contents, check_files, closed, count_calls, read_kept, write_kept
from .step_ledger import StepLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...types import Durability, MediaPart, StoredRequests

_GROUP = 2048
_NOTED_EVERY = 1.0  # seconds; of looking whether the file is there still, too


class Ledger:
    """The ledger of one run directory; a second process that opens it is refused.

    Args:
        folder: the run directory, made where it is not there.
        durability: what a power cut may cost. requests: whether prompts are stored.

    Raises:
        LedgerError: the file is somebody else's, newer, broken, or in use.
    """

    def __init__(
        self, folder: str | Path, *, durability: Durability = "normal", requests: StoredRequests = "full"
    ) -> None:
        self.folder = Path(folder)
        self.stores_requests = requests == "full"
        self.blobs = Blobs(self.folder, durability=durability)
        self._steps: set[str] = set()
        self._naming = threading.Lock()  # of steps: runs may begin in several threads
        self._failure: LedgerError | None = None
        make_folder(self.folder)
        with ExitStack() as opened:
            self._lock_file = opened.enter_context(closing(lock_folder(self.folder)))
            self._writer = opened.enter_context(closing(self._open(durability)))
            self.reader = opened.enter_context(closing(connect(self.folder / FILE)))
            self.reader.executescript(CLAIMS)
            _forget_failures(self.folder / FAILED_FILE)
            self.blobs.forget_drafts()
            opened.pop_all()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="limbeck-ledger", daemon=True)
        self._thread.start()

    def _open(self, durability: Durability) -> sqlite3.Connection:
        """Open the file, once it is the one that the directory had; noted as open before there is anything of it."""
        path, kept = self.folder / FILE, read_kept(self.folder)
        check_files(kept, path)
        if kept.ledger:
            write_kept(self.folder, replace(kept, closed=False))
        connection = None
        try:
            connection = open_file(path, durability)
            self._kept = check_contents(kept, path, connection)
        except BaseException as exc:
            if connection is not None:
                connection.close()
            if kept.ledger:
                write_kept(self.folder, kept)
            if isinstance(exc, UNREADABLE):
                raise self.unreadable(exc) from exc
            raise
        write_kept(self.folder, self._kept)
        self._noted_at, self._mark = time.monotonic(), mark_of(path)
        return connection

    # Steps

    def step(self, name: str, config: Mapping[str, Any]) -> StepLedger:
        """The part of `name`, for one run at a time; says what changed in its configuration since the last.

        Raises:
            LedgerError: the step is running in this directory already, or the file cannot be read.
        """
        with self._naming:
            if name in self._steps:
                raise LedgerError(
                    f"The step {name!r} is running in {str(self.folder)!r} already. Give it another name, or wait."
                )
            self._steps.add(name)
        try:
            self._note_config(name, config)
            return StepLedger(self, name)
        except UNREADABLE as exc:
            self.release(name)
            raise self.unreadable(exc) from exc
        except BaseException:
            self.release(name)
            raise

    def _note_config(self, name: str, config: Mapping[str, Any]) -> None:
        stored = self.reader.execute("SELECT config FROM steps WHERE name = ?", (name,)).fetchone()
        text = config_text(config)
        if stored is not None and stored[0] != text:
            changed = changes(json.loads(stored[0]), json.loads(text))
            warnings.warn(
                f"The configuration of step {name!r} has changed since {str(self.folder)!r} was written: "
                f"{'; '.join(changed)}. Answers whose requests are still the same are used again.",
                LimbeckWarning,
                stacklevel=2,
            )
        self.submit("INSERT OR REPLACE INTO steps VALUES (?, ?)", [(name, text)])

    def release(self, name: str) -> None:
        """The run of step `name` is over."""
        self._steps.discard(name)

    def unreadable(self, cause: Exception) -> LedgerError:
        """The error to raise when a look-up fails."""
        return LedgerError(
            f"The ledger in {str(self.folder)!r} cannot be read: {cause}. It was left as it is; mend the cause "
            f"({remedy(cause)}), or use another run directory."
        )

    # Writing

    def keep_content(self, part: MediaPart) -> None:
        """Have the writer keep a part's content, before the statements that come after it; unless it is there.

        Raises:
            LedgerError: as `submit`.
        """
        if part.has_content and not self.blobs.has(blob_name(part["sha256"], part["media_type"]), part["size"]):
            self._hand_over(partial(self._put, part))

    def keep_bytes(self, content: bytes, media_type: str) -> None:
        """Have the writer keep a content, as `keep_content` does."""
        self._hand_over(partial(self.blobs.put, content, media_type))

    def _hand_over(self, put: Callable[[], object]) -> None:
        if self._failure is not None:
            raise self._failure
        self._queue.put((put, None, None))

    def _put(self, part: MediaPart) -> None:
        with suppress(MediaError):  # its file was changed meanwhile: what was sent is not there any more
            self.blobs.put(part.content(), part["media_type"])

    def submit(
        self,
        statement: str,
        records: list[tuple[Any, ...]] | Callable[[], list[tuple[Any, ...]]] | None = None,
        done: Any = None,
    ) -> None:
        """Hand a statement to the writer; `done` (a future, or an event) is told when it is committed.

        Records that take long to make, since files are written with them, are given as what makes them.

        Raises:
            LedgerError: an earlier one could not be written.
        """
        if self._failure is not None:
            raise self._failure
        self._queue.put((statement, records, done))

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            group, closing = self._gather(first)
            error = self._commit(group) or self._note_progress()
            _resolve([done for _, _, done in group if done is not None], error)
            if closing:
                return

    def _gather(self, first: Any) -> tuple[list[Any], bool]:
        """Collect the statements that wait, up to a group; and tell whether the end was among them."""
        group = [first]
        while len(group) < _GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _commit(self, group: list[Any]) -> LedgerError | None:
        try:
            self._writer.execute("BEGIN")
            for statement, records, _ in group:
                if callable(statement):
                    statement()
                elif records is None:
                    self._writer.execute(statement)
                else:
                    self._writer.executemany(statement, records() if callable(records) else records)
            self._writer.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it instead of waiting
            self._failure = LedgerError(
                f"The ledger in {str(self.folder)!r} cannot be written: {exc}. The answers committed before are safe; "
                f"mend the cause ({remedy(exc)}) and run again with the same directory."
            )
            self._failure.__cause__ = exc
            with suppress(sqlite3.Error):
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
        return self._failure

    def _note_progress(self) -> LedgerError | None:
        """Note now and then how many calls are committed; a kill leaves it behind what there is."""
        now = time.monotonic()
        if now - self._noted_at < _NOTED_EVERY:
            return None
        self._noted_at = now
        try:
            self.check_there()
        except LedgerError as exc:
            self._failure = exc
        else:
            write_kept(self.folder, replace(self._kept, calls=count_calls(self._writer)))
        return self._failure

    def check_there(self) -> None:
        """See that what is written can be found again: a file that was deleted takes in all that is written to it.

        Raises:
            LedgerError: the file that was opened is not in the run directory any more.
        """
        if mark_of(self.folder / FILE) != self._mark:
            raise LedgerError(
                f"The ledger in {str(self.folder)!r} was deleted, moved or replaced while the run wrote to it. What "
                "this run has bought is lost with it, unless it was moved: put it back, or run again."
            )

    def flush(self) -> None:
        """Wait until all that was handed in is committed.

        Raises:
            LedgerError: it could not be.
        """
        written = threading.Event()
        self._queue.put(("SELECT NULL", None, written))
        written.wait()
        if self._failure is not None:
            raise self._failure

    # Lifetime

    def close(self) -> None:
        """Commit what is left and let go of the directory."""
        self._queue.put(None)
        self._thread.join()
        # Who hands something in after this must not wait for it.
        self._failure = self._failure or LedgerError(f"The ledger in {str(self.folder)!r} is closed.")
        with suppress(sqlite3.Error):
            self._kept = replace(self._kept, calls=max(self._kept.calls, count_calls(self._writer)))
        self.reader.close()
        self._writer.close()
        write_kept(self.folder, closed(self._kept, self.folder / FILE))
        self._lock_file.close()


def _forget_failures(path: Path) -> None:
    """Every row passes again, from the ledger where it is there: failures are written anew."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise LedgerError(f"{str(path)!r} cannot be written anew: {exc}. Move it away.") from exc


def _resolve(waiting: list[Any], error: LedgerError | None) -> None:
    """Tell those who wait, with one call to their loop for the whole group."""
    futures = [one for one in waiting if isinstance(one, asyncio.Future)]
    for one in waiting:
        if isinstance(one, threading.Event):
            one.set()
    if futures:
        call_on(futures[0].get_loop(), _settle_all, futures, error)


def _settle_all(futures: list[asyncio.Future[None]], error: LedgerError | None) -> None:
    for future in futures:
        settle(future, error)


@dataclass(slots=True)
class _Shared:
    ledger: Ledger
    options: tuple[Durability, StoredRequests]
    process: int
    users: int = 0


_shared: dict[Path, _Shared] = {}
_sharing = threading.Lock()


def shared_ledger(
    folder: str | Path, *, durability: Durability = "normal", requests: StoredRequests = "full"
) -> Ledger:
    """The process's one ledger of `folder`, for all steps of a chain. Give it back with `release_ledger`.

    Raises:
        ConfigurationError: it is open with other options. LedgerError: as `Ledger`.
    """
    path = Path(folder).resolve()
    with _sharing:
        shared = _shared.get(path)
        if shared is None or shared.process != os.getpid():  # a fork has none of its parent's threads and locks
            ledger = Ledger(path, durability=durability, requests=requests)
            shared = _shared[path] = _Shared(ledger, (durability, requests), os.getpid())
        elif shared.options != (durability, requests):
            raise ConfigurationError(
                f"The run directory {str(path)!r} is open with {_in_words(*shared.options)}, and now asked for with "
                f"{_in_words(durability, requests)}. All steps of a chain share it: say the same to each."
            )
        shared.users += 1
        return shared.ledger


def _in_words(durability: Durability, requests: StoredRequests) -> str:
    return f"durability={durability!r}, ledger_requests={requests!r}"


def release_ledger(ledger: Ledger) -> None:
    """The counterpart of `shared_ledger`; the last one closes it."""
    with _sharing:
        shared = _shared[ledger.folder]
        shared.users -= 1
        if not shared.users:
            del _shared[ledger.folder]
            ledger.close()
