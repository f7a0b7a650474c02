"""The price of tokens: the user's own table first, then what plugins know. Unknown is unknown, never zero."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from ...errors import ConfigurationError, MissingDependencyError, did_you_mean
from ...types import ModelKind, Usage
from ..calls.keys import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..._registry.registry import Registry

PriceSource: TypeAlias = "str | Path | Mapping[str, Any] | PriceTable | None"
"""A price table, or what one is made of: a mapping, or the path of a YAML, JSON or TOML file."""

_MILLION = 1_000_000
_EXAMPLE = "`gpt-5-mini: {input: 0.25, cached: 0.025, output: 2}`"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens.

    Attributes:
        input: of the prompt. output: of the answer, reasoning included.
        cached: of the part of the prompt that the provider read from its cache.
    """

    input: float
    output: float
    cached: float

    def cost(self, usage: Usage) -> float:
        """Dollars for one response."""
        fresh = max(usage.input_tokens - usage.cached_tokens, 0)
        dollars = fresh * self.input + usage.cached_tokens * self.cached + usage.output_tokens * self.output
        return dollars / _MILLION


class PriceTable:
    """A user's own prices: by a model's name, by `provider/name`, or by a pattern of either (`acme-*`).

    An exact name goes before a pattern, and an earlier pattern before a later one.

    Args:
        prices: model to `{"input": …, "output": …, "cached": …}`, US dollars for a million tokens;
            `cached` may be left out, and is then the price of input.
        where: begins the sentences of errors.

    Raises:
        ConfigurationError: an entry is not of that form; the message names it and what belongs there.

    Example:
        >>> table = PriceTable({"acme-*": {"input": 1, "output": 4}})
        >>> table.price("acme-large").output
        4.0
    """

    def __init__(self, prices: Mapping[str, Any], *, where: str = "prices") -> None:
        if not isinstance(prices, dict):
            raise ConfigurationError(
                f"{where}: expected a mapping of models to prices, such as {_EXAMPLE}, not {_named(prices)}."
            )
        self._exact = {model: _price(model, entry, where) for model, entry in prices.items()}

    def price(self, *names: str) -> Price | None:
        """The price of a model that has these names, the first of them first; None where the table has none."""
        for name in names:
            if name in self._exact:
                return self._exact[name]
        for pattern, price in self._exact.items():
            if any(fnmatchcase(name, pattern) for name in names):
                return price
        return None


def price_table(source: PriceSource) -> PriceTable | None:
    """The table that `source` says, read where it is a path.

    Raises:
        ConfigurationError: the file cannot be read, or an entry is not a price.
    """
    if source is None or isinstance(source, PriceTable):
        return source
    if isinstance(source, str | Path):
        path = Path(source)
        return PriceTable(_read(path), where=str(path))
    return PriceTable(source)


def _read(path: Path) -> Any:
    readers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads,
        ".toml": _read_toml,
        ".yaml": _read_yaml,
        ".yml": _read_yaml,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ConfigurationError(f"{path}: a price table is a .yaml, .json or .toml file.")
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path}: the price table cannot be read: {exc.strerror or exc}.") from exc
    except RecursionError:
        raise ConfigurationError(
            f"{path}: the price table cannot be read: it is nested too deeply. Expected {_EXAMPLE} for each model."
        ) from None
    except ValueError as exc:  # of all three readers, and of what is not UTF-8
        raise ConfigurationError(f"{path}: the price table cannot be read: {exc}") from exc


def _read_toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _read_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as exc:
        raise MissingDependencyError("yaml", needed_by="A price table in YAML", requirement="pyyaml") from exc
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc


_FIELDS = ("input", "output", "cached")


def _price(model: Any, entry: Any, where: str) -> Price:
    place = f"{where}: {model}"
    if not isinstance(model, str):
        raise ConfigurationError(f"{place}: a model's name must be text, not {_named(model)}. Put it in quotes.")
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place}: expected a mapping such as {_EXAMPLE}, not {_named(entry)}.")
    for name, value in entry.items():
        if name not in _FIELDS:
            dots = " In TOML a name with dots stands in quotes." if isinstance(value, dict) else ""
            raise ConfigurationError(
                f"{place}: there is no price {name!r}.{did_you_mean(str(name), _FIELDS)} "
                f"The prices are `input`, `output` and `cached`.{dots}"
            )
        _check_amount(value, f"{place}.{name}")
    for name in ("input", "output"):
        if name not in entry:
            raise ConfigurationError(f"{place}: the price `{name}` is missing: US dollars for a million tokens.")
    amounts: dict[str, float] = {"cached": entry["input"], **entry}
    return Price(**{name: float(amounts[name]) for name in _FIELDS})


def _check_amount(value: Any, place: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ConfigurationError(
            f"{place}: expected a number, 0 or more, of US dollars for a million tokens, not {_named(value)}."
        )


def _named(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})" if isinstance(value, str | int | float) else type(value).__name__


class Pricing:
    """The price of the answers of one LLM.

    Args:
        llm: whose. table: the user's own prices. registry: whose plugins are asked where the table has none.

    Attributes:
        model: its name. known: whether there is a price.
    """

    def __init__(self, llm: Any, *, table: PriceTable | None, registry: Registry) -> None:
        identity = identity_of(llm)
        self.model = str(llm.model_name)
        names = (registry.name_of(kind, type(llm)) for kind in get_args(ModelKind))
        provider = next(filter(None, names), None) or str(identity.get("provider"))
        self._price = table.price(self.model, f"{provider}/{self.model}") if table is not None else None
        self._ask = registry.hooks.asker("limbeck_price", check=_check_cost)
        self._facts = {"model": self.model, "provider": provider, "base_url": identity.get("base_url")}
        self._bounds: dict[tuple[int, int], float | None] = {}
        self.known = True  # until it is asked
        # Here and not at the first answer: a plugin may read its prices now, and that takes time.
        self.known = self.cost(Usage(input_tokens=1, output_tokens=1)) is not None

    def cost(self, usage: Usage | None) -> float | None:
        """US dollars for one response, or None where the price or the tokens are unknown."""
        if usage is None:
            return None
        if self._price is not None:
            return self._price.cost(usage)
        if self._ask is None or not self.known:
            return None
        cost: float | None = self._ask(**self._facts, usage=usage)
        return cost

    def bound(self, input_tokens: int, output_tokens: int) -> float | None:
        """Dollars for so many tokens at most, or None; rounded up a little, so that few prices are looked up."""
        place = (_rounded_up(input_tokens), _rounded_up(output_tokens))
        if place not in self._bounds:
            self._bounds[place] = self.cost(Usage(input_tokens=place[0], output_tokens=place[1]))
        return self._bounds[place]


def _rounded_up(tokens: int) -> int:
    """The next number with at most five significant bits: at most 1/16 more."""
    low = max(tokens.bit_length() - 5, 0)
    return -(-tokens >> low) << low


def _check_cost(cost: Any) -> None:
    """Raise unless a plugin's answer is an amount of money."""
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost < math.inf:
        raise TypeError(f"a price must be a number of US dollars, 0 or more, or None, not {cost!r}")
