"""The portal: one background event loop thread per process, on which every request runs.

Synchronous callers, whatever thread or running loop they are in, submit coroutines to it and
wait; a backend's client is made there and stays there, so connections outlive a call.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

T = TypeVar("T")

# Seconds that what runs is given to end when it is cancelled, before what it uses is closed; and for all of that.
_PATIENCE = 2.0
_SHUTDOWN_SECONDS = 5.0


class Portal:
    """An event loop on a daemon thread.

    Attributes:
        closing: whether it is about to end: nothing new may be begun on it.
    """

    def __init__(self) -> None:
        self.closing = False
        self._stopped = False
        self._pid = os.getpid()
        self._closers: dict[int, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="limbeck-portal", daemon=True)
        self._thread.start()
        atexit.register(self.shutdown)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._stopped:
            # What a task that a backend made for itself exits with leaves the loop as well: it is that task's alone.
            with suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()

    @property
    def usable(self) -> bool:
        """False after a fork or a shutdown: the thread did not come along."""
        return self._pid == os.getpid() and self._thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; an interrupt cancels it.

        Raises:
            ConfigurationError: called on the loop itself, which would wait for ever.
        """
        self.refuse_own_thread(coroutine)
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException as exc:
            future.cancel()
            if self.closing and isinstance(exc, CancelledError):
                raise SystemExit from exc  # the interpreter ends, and only daemons are left: this one goes quietly
            raise

    def refuse_own_thread(self, coroutine: Coroutine[Any, Any, Any] | None = None) -> None:
        """Raise if the caller is on the loop's own thread."""
        if threading.current_thread() is self._thread:
            if coroutine is not None:
                coroutine.close()
            raise ConfigurationError(
                "A blocking call (`process`, `run`) was made inside a backend's coroutine, where it would wait "
                "for itself. Use `aprocess` or `arun` there."
            )

    def on_shutdown(self, key: int, closer: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Remember (or, with None, forget) what to await before the loop ends."""
        if closer is None:
            self._closers.pop(key, None)
        else:
            self._closers[key] = closer

    def shutdown(self) -> None:
        """Close what is open and stop the loop; for the end of the process.

        A loop that a backend blocks is left as it is: its thread ends with the process.
        """
        atexit.unregister(self.shutdown)
        if not self.usable:
            return
        until = time.monotonic() + _SHUTDOWN_SECONDS
        closing = self.submit(self._close_all())
        try:
            closing.result(_SHUTDOWN_SECONDS)
        except TimeoutError:
            closing.cancel()
        self.loop.call_soon_threadsafe(self._stop)
        self._thread.join(max(0.5, until - time.monotonic()))
        self.loop.set_exception_handler(lambda *_: None)  # of what did not end it would say so, task by task
        if not self._thread.is_alive():
            self.loop.close()

    def _stop(self) -> None:
        self._stopped = True
        self.loop.stop()

    async def _close_all(self) -> None:
        self.closing = True  # or those that are cancelled would make room for others
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_PATIENCE)
        await asyncio.gather(*(close() for close in self._closers.values()), return_exceptions=True)
        await self.loop.shutdown_asyncgens()


_portal: Portal | None = None
_lock = threading.Lock()


def portal() -> Portal:
    """The process's portal; a forked child gets its own."""
    global _portal  # noqa: PLW0603 - a loop thread is a resource of the process
    with _lock:
        if _portal is None or not _portal.usable:
            _portal = Portal()
        return _portal
