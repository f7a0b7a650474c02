"""One connection to a server for each event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncGenerator, Callable

    from ._chat import Chat


class Connections:
    """Opens a connection at the first request on an event loop, and closes it with the loop at the latest.

    HTTP clients belong to the loop that they were used on. A backend's value is its fields:
    connections are no part of what is compared, copied or pickled.
    """

    __slots__ = ("_by_loop",)
    __hash__ = None  # type: ignore[assignment]  # equal to all others, and mutable

    def __init__(self) -> None:
        self._by_loop: dict[AbstractEventLoop, tuple[Chat, AsyncGenerator[Chat, None]]] = {}

    async def get(self, connect: Callable[[], Chat]) -> Chat:
        """The running loop's connection; `connect` makes it."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        held = self._by_loop.get(loop)
        if held is not None:
            return held[0]
        self._by_loop = {other: kept for other, kept in self._by_loop.items() if not other.is_closed()}
        lifetime = _lifetime(connect)
        # Runs to the `yield` without giving way: no second caller can come between.
        chat = await anext(lifetime)
        self._by_loop[loop] = (chat, lifetime)
        return chat

    async def aclose(self) -> None:
        """Close the running loop's connection."""
        from asyncio import get_running_loop

        held = self._by_loop.pop(get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connections)

    def __reduce__(self) -> tuple[type[Connections], tuple[()]]:
        return (Connections, ())


async def _lifetime(connect: Callable[[], Chat]) -> AsyncGenerator[Chat, None]:
    # A generator, because a loop that shuts down finishes its own: a program that never
    # calls `aclose` leaves no socket behind.
    chat = connect()
    try:
        yield chat
    finally:
        await chat.aclose()
