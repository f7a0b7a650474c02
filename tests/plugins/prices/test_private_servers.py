"""A server of one's own has no list price."""

from __future__ import annotations

import pytest

from limbeck.types import Usage
from limbeck_prices import limbeck_price

TOKENS = Usage(input_tokens=1000, output_tokens=100)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:11434", "192.168.1.7", "[::1]:80", "10.0.0.4:8000"])
def test_a_server_on_this_machine_or_in_a_private_network_has_no_price(host: str) -> None:
    assert limbeck_price(model="gpt-5-mini", provider="openai", base_url=f"http://{host}/v1", usage=TOKENS) is None


def test_a_public_server_is_looked_up_by_its_address() -> None:
    price = limbeck_price(model="gpt-5-mini", provider="x", base_url="https://api.openai.com/v1", usage=TOKENS)
    assert price is not None
    assert price > 0
