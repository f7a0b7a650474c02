"""The prices of models, from the table that the package `genai-prices` carries; nothing is fetched.

That package is imported at the first price that is asked for, not by this module.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from limbeck import hookimpl

if TYPE_CHECKING:
    from limbeck.types import Usage

__all__ = ["limbeck_price"]

# How the table calls the makers of Limbeck's own backends, for those that say no address.
_PROVIDERS = {"anthropic": "anthropic", "openai": "openai", "azure-openai": "azure"}


@hookimpl
def limbeck_price(model: str, provider: str, base_url: str | None, usage: Usage) -> float | None:
    """US dollars for one response at today's list prices, or None where the table lacks the server or the model.

    The address decides: the same model costs something else, or nothing, at another server. A
    backend that says none is looked up by its own name. A server on this machine or in a private
    network is in nobody's list.
    """
    if not _may_be_listed(provider, base_url):
        return None
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    cached = min(usage.cached_tokens, usage.input_tokens)  # a server may miscount; more is refused
    tokens = Tokens(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=cached)
    try:
        if base_url:
            price = calc_price(tokens, model, provider_api_url=base_url)
        else:
            price = calc_price(tokens, model, provider_id=_PROVIDERS[provider])
    except LookupError:
        return None
    return float(price.total_price)


def _may_be_listed(provider: str, base_url: str | None) -> bool:
    return not _is_private(base_url) if base_url else provider in _PROVIDERS


def _is_private(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:  # a name
        return host == "localhost"
