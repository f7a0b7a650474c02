"""One client for each event loop."""

from __future__ import annotations

import asyncio
import copy
import pickle

from limbeck.backends import ClientPerLoop


class Client:
    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


def test_requests_on_one_loop_share_a_client_and_another_loop_has_its_own() -> None:
    clients: ClientPerLoop[Client] = ClientPerLoop()

    async def twice() -> tuple[Client, Client]:
        return await clients.get(Client), await clients.get(Client)

    (one, same), (other, _) = asyncio.run(twice()), asyncio.run(twice())
    assert one is same
    assert one is not other


def test_a_client_is_closed_with_its_loop_where_nobody_closes_it() -> None:
    clients: ClientPerLoop[Client] = ClientPerLoop()

    async def once() -> Client:
        return await clients.get(Client)

    assert asyncio.run(once()).closed == 1


def test_a_client_that_was_closed_is_made_anew() -> None:
    clients: ClientPerLoop[Client] = ClientPerLoop()

    async def app() -> tuple[Client, Client]:
        first = await clients.get(Client)
        await clients.aclose()
        await clients.aclose()
        return first, await clients.get(Client)

    first, second = asyncio.run(app())
    assert (first.closed, first is second) == (1, False)


def test_clients_are_no_part_of_what_is_compared_copied_or_pickled() -> None:
    clients: ClientPerLoop[Client] = ClientPerLoop()

    async def app() -> None:
        client = await clients.get(Client)
        for other in (copy.deepcopy(clients), pickle.loads(pickle.dumps(clients))):
            assert other == clients
            assert await other.get(Client) is not client

    asyncio.run(app())
