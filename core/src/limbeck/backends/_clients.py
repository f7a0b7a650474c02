"""One client to a server for each event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Closable(Protocol):
    """What has connections to close."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Closable)


class ClientPerLoop(Generic[C]):
    """Makes a client at the first request on an event loop, and closes it with the loop at the latest.

    HTTP clients belong to the loop that they were used on, and the engine's and a caller's own may be in use at once.
    A backend's value is its fields: clients are no part of what is compared, copied deeply or pickled. Keep it in a
    private attribute: `_clients: ClientPerLoop[Client] = PrivateAttr(default_factory=ClientPerLoop)`.
    """

    __slots__ = ("_by_loop",)
    __hash__ = None  # type: ignore[assignment]  # equal to all others, and mutable

    def __init__(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[C, None]]] = {}

    async def get(self, connect: Callable[[], C]) -> C:
        """The running loop's client; `connect` makes it."""
        loop = asyncio.get_running_loop()
        held = self._by_loop.get(loop)
        if held is not None:
            return held[0]
        self._by_loop = {other: kept for other, kept in self._by_loop.items() if not other.is_closed()}
        lifetime = _lifetime(connect)
        # Runs to the `yield` without giving way: no second caller can come between.
        client = await anext(lifetime)
        self._by_loop[loop] = (client, lifetime)
        return client

    async def aclose(self) -> None:
        """Close the running loop's client; a later request makes a new one."""
        held = self._by_loop.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientPerLoop)

    def __reduce__(self) -> tuple[type[ClientPerLoop[Any]], tuple[()]]:
        return (ClientPerLoop, ())


async def _lifetime(connect: Callable[[], C]) -> AsyncGenerator[C, None]:
    # A generator, because a loop that shuts down finishes its own: a program that never
    # calls `aclose` leaves no socket behind.
    client = connect()
    try:
        yield client
    finally:
        await client.aclose()
