"""The choice of a window: an endpoint's own, or provider batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..calls.parties import RequestWindow
    from ..online.backend import Backend


def window_of(backend: Backend) -> RequestWindow:
    """The window that sends a backend's requests, by its `mode`."""
    if not backend.in_batches:
        return backend.online
    if backend.batches is None:
        from .window import BatchWindow

        backend.batches = BatchWindow(backend.home)
    return backend.batches
