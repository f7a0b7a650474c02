"""The choice of a window for what a stream asks: an endpoint's own, or provider batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..calls.parties import RequestWindow
    from ..online.backend import Backend
    from ..stream.stream import Stream


def window_of(backend: Backend) -> RequestWindow:
    """The window that sends a backend's requests, by its `mode`."""
    if not backend.in_batches:
        return backend.online
    if backend.batches is None:
        from .window import BatchWindow

        backend.batches = BatchWindow(backend.home)
    return backend.batches


def attach(stream: Stream) -> None:
    """Give a stream's requests to the windows of those it asks; those that take rows last, for then it begins."""
    for requests in reversed(stream.requests):
        if not stream.ended:
            window_of(requests.backend).attach(requests)


def wake(stream: Stream) -> None:
    """Have those windows look for what there is to send, or see that the stream is over."""
    for requests in stream.requests:
        window_of(requests.backend).wake()
