"""A budget: what may be spent in all, with a reservation for every request in flight.

A request is sent only if what is spent, what is reserved for those in flight and its own upper
estimate together stay within every cap; when it is answered, what it really took replaces its
reservation. So the caps hold for whatever order the answers come in. Near a cap fewer requests
are in flight, until not one more fits.

The estimate of a request:

- prompt: one token a byte of its text, schema and parameters, and some for each message. No
  byte-level tokeniser makes more. An image counts as a guess, or as its own bytes where its data stand in the
  message; audio and documents as a guess by their size.
- answer: the request's own maximum (`max_tokens` and the like) for each sample. Without one,
  the longest answer so far and a quarter more; before the first, a guess.

With a maximum in the parameters the estimate is a bound, and the caps hold strictly for the
tokens that the provider reports. Without one they hold as far as the longest answer so far
tells. Attempts that brought no answer count as requests, and as tokens only where the provider reports them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._media.parts import MediaPart
from ...errors import BudgetError, ConfigurationError, UnknownPriceError
from ...types import EmbeddingRequest, ScoreRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ...protocols import StepLedgerProtocol
    from ...types import Request, Usage
    from ..calls.jobs import Unit
    from .prices import Pricing

# What a chat template puts around a message.
_TOKENS_A_MESSAGE = 16
# The guesses: an image of which only the address is known, and an answer before any was seen.
_TOKENS_AN_IMAGE = 4096
_TOKENS_AN_ANSWER = 4096
_BYTES_A_TOKEN = {"audio": 64, "document": 4}  # of what is sent densely: 2 kB/s of speech, a PDF of text
_MARGIN = 1.25

_MAXIMA = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens")


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount that was spent, or may be.

    Attributes:
        cost: US dollars, as far as prices are known. tokens: of prompts and answers.
        requests: attempts sent, but those refused for rate.
    """

    cost: float = 0.0
    tokens: int = 0
    requests: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cost + other.cost, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cost - other.cost, self.tokens - other.tokens, self.requests - other.requests)


class Budget:
    """Caps on what is spent, for one run or for all that are given the same object.

    What earlier runs spent in the same run directory, in the same steps, counts: a stopped run
    goes on with a higher cap.

    Args:
        max_cost: US dollars. max_tokens: of prompts and answers. max_requests: attempts, but those refused for rate.
        allow_unknown_price: with `max_cost`, let an LLM that has no price run too; it counts as nothing.

    Raises:
        ConfigurationError: a cap is not above zero.
    """

    def __init__(
        self,
        *,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        max_requests: int | None = None,
        allow_unknown_price: bool = False,
    ) -> None:
        self.max_cost = _amount("max_cost", max_cost)
        self.max_tokens = _count("max_tokens", max_tokens)
        self.max_requests = _count("max_requests", max_requests)
        self.allow_unknown_price = allow_unknown_price
        self._spent: dict[Hashable, Amount] = {}
        self._reserved: dict[Unit, Amount] = {}
        self._in_flight = Amount()  # the sum of what is reserved
        self._waiting: dict[Callable[[], object], None] = {}

    def __repr__(self) -> str:
        caps = ", ".join(f"{name}={cap:g}" for name, cap in self._caps().items())
        return f"Budget({caps})"

    @property
    def capped(self) -> bool:
        """True if there is a cap at all."""
        return bool(self._caps())

    @property
    def spent(self) -> Amount:
        """The amount spent on the answers so far, those of earlier runs in the same directories included."""
        return sum(list(self._spent.values()), Amount())  # a copy: whoever watches is another thread

    @property
    def holds(self) -> bool:
        """True if requests wait for room under a cap."""
        return bool(self._waiting)

    def _caps(self) -> dict[str, float]:
        caps = {"max_cost": self.max_cost, "max_tokens": self.max_tokens, "max_requests": self.max_requests}
        return {name: cap for name, cap in caps.items() if cap is not None}

    # For accounts, on the portal's loop

    def without_room(self, need: Amount) -> str | None:
        """The cap that `need` would pass, beside what is spent and reserved."""
        total = self.spent + self._in_flight + need
        for name, cap in self._caps().items():
            if getattr(total, name.removeprefix("max_")) > cap:
                return name
        return None

    def reserve(self, unit: Unit, need: Amount) -> None:
        """Hold `need` for a request that is about to be sent."""
        self._reserved[unit] = need
        self._in_flight += need

    @property
    def idle(self) -> bool:
        """True if nothing is in flight: no answer will make room."""
        return not self._reserved

    def wait(self, wake: Callable[[], object]) -> None:
        """Call `wake` once, when there may be room."""
        self._waiting[wake] = None

    def release(self, unit: Unit) -> Amount:
        """Give back what was held for a request, and tell those who wait."""
        held = self._reserved.pop(unit, Amount())
        self._in_flight = self._in_flight - held if self._reserved else Amount()  # rounding does not add up
        waiting, self._waiting = self._waiting, {}
        for wake in waiting:
            wake()
        return held

    def charge(self, owner: Hashable, amount: Amount) -> None:
        """Count what `owner` spent."""
        self._spent[owner] = self._spent.get(owner, Amount()) + amount

    def stands_at(self, owner: Hashable, amount: Amount) -> None:
        """Set what `owner` spent in all, from its ledger: this replaces what was counted of it before."""
        self._spent[owner] = amount


class Account:
    """One stream's dealings with a budget.

    Args:
        pricing: of the stream's LLM.
        owner: whose spending it is: the run directory and the step, or anything unique.
        earlier: what the ledger says was spent there.
    """

    def __init__(self, budget: Budget, pricing: Pricing, *, owner: Hashable, earlier: Amount) -> None:
        self._budget = budget
        self._pricing = pricing
        self._owner = owner
        self._held: set[Unit] = set()
        self._longest = 0
        self._understated = 1.0
        self._shared: dict[int, tuple[Any, int]] = {}
        budget.stands_at(owner, earlier)

    def reserve(self, unit: Unit, wake: Callable[[], object]) -> bool:
        """Reserve room for `unit`, to be sent now; if there is none (False), any thread calls `wake` when there may be.

        Raises:
            BudgetError: it does not fit, and nothing is in flight that could make room.
        """
        if unit in self._held:
            return True
        budget, need = self._budget, self._estimate(unit, self._answer_bound(unit.request))
        cap = budget.without_room(need)
        if cap is not None:
            if not budget.idle:
                budget.wait(wake)
                return False
            need = self._probe(unit, cap, need)
        budget.reserve(unit, need)
        self._held.add(unit)
        return True

    def _probe(self, unit: Unit, cap: str, need: Amount) -> Amount:
        """The amount to hold for a first request that goes alone, where only a guess forbids it."""
        budget = self._budget
        if self._longest or _maximum(unit.request) is not None:
            raise _stopped(budget, cap, need)
        least = self._estimate(unit, 0)
        if budget.without_room(least) is not None:
            raise _stopped(budget, cap, least)
        return least

    def answered(self, unit: Unit, usage: Usage | None, cost: float | None) -> None:
        """Count what a response took; one that does not say counts as what was held for it."""
        if unit not in self._held:  # the stream is over, and it has been counted
            return
        held = self._release(unit)
        if usage is None:
            self._budget.charge(self._owner, held)
            return
        self._learn(unit, usage)
        tokens = usage.input_tokens + usage.output_tokens
        self._budget.charge(self._owner, Amount(cost or 0.0, tokens, 1))

    def unanswered(self, unit: Unit, usage: Usage | None, cost: float | None, *, refused: bool) -> None:
        """An attempt brought no answer; one that was refused for rate is no request. Once for each attempt.

        Args:
            usage, cost: of a response that was paid for all the same.
        """
        if unit not in self._held:
            return
        self._release(unit)
        tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
        self._budget.charge(self._owner, Amount(cost or 0.0, tokens, 0 if refused else 1))

    def charge(self, usage: Usage, cost: float | None) -> None:
        """Count a response that nothing was held for."""
        self._budget.charge(self._owner, Amount(cost or 0.0, usage.input_tokens + usage.output_tokens, 1))

    def close(self) -> None:
        """The stream is over. What is still in flight may be billed: it counts as spent."""
        for unit in list(self._held):
            self._budget.charge(self._owner, self._release(unit))

    def _release(self, unit: Unit) -> Amount:
        self._held.discard(unit)
        return self._budget.release(unit)

    # Estimates

    def _estimate(self, unit: Unit, output_bound: int) -> Amount:
        request = unit.request
        prompt = math.ceil(self._prompt_bound(request) * self._understated)
        output = output_bound * len(unit.samples)
        return Amount(self._pricing.bound(prompt, output) or 0.0, prompt + output, 1)

    def _prompt_bound(self, request: Request) -> int:
        fixed = self._size_of(request.parameters) + self._size_of(request.output_schema)
        return fixed + sum(_message_bound(message) for message in request.asked)

    def _size_of(self, shared: Any) -> int:
        """The bytes of what many requests have in common, computed once."""
        if not shared:
            return 0
        known = self._shared.get(id(shared))
        if known is None or known[0] is not shared:
            if len(self._shared) > 1024:  # a schema for each row
                self._shared.clear()
            plain = dict(shared)
            known = self._shared[id(shared)] = (shared, len(json.dumps(plain, default=str)))
        return known[1]

    def _answer_bound(self, request: Request) -> int:
        if isinstance(request, EmbeddingRequest | ScoreRequest):
            return 0  # it writes nothing
        maximum = _maximum(request)
        if maximum is not None:
            return maximum
        return math.ceil(self._longest * _MARGIN) if self._longest else _TOKENS_AN_ANSWER

    def _learn(self, unit: Unit, usage: Usage) -> None:
        self._longest = max(self._longest, math.ceil(usage.output_tokens / len(unit.samples)))
        bound = self._prompt_bound(unit.request)
        if usage.input_tokens > bound * self._understated:
            self._understated = usage.input_tokens / bound * _MARGIN


def budget_of(
    budget: Budget | None,
    *,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    max_requests: int | None = None,
    allow_unknown_price: bool = False,
) -> Budget | None:
    """The budget of a run that was given one, or caps, or neither.

    Raises:
        ConfigurationError: it was given both, or a cap is not above zero.
    """
    own = Budget(
        max_cost=max_cost, max_tokens=max_tokens, max_requests=max_requests, allow_unknown_price=allow_unknown_price
    )
    if budget is None:
        return own if own.capped else None
    if own.capped:
        raise ConfigurationError("`budget` holds the caps; give it, or `max_cost`, `max_tokens`, `max_requests`.")
    return budget


def check_priced(budget: Budget | None, pricing: Pricing) -> None:
    """Raise unless a cap on the cost can be kept.

    Raises:
        UnknownPriceError: the LLM has no price, and the budget does not allow that.
    """
    if budget is None or budget.max_cost is None or budget.allow_unknown_price:
        return
    if not pricing.known:
        raise UnknownPriceError(pricing.model)


def open_account(
    budget: Budget | None,
    pricing: Pricing,
    *,
    owner: Hashable,
    ledger: StepLedgerProtocol | None,
) -> Account | None:
    """A stream's account with one LLM, and what its ledger says was spent before.

    Args:
        owner: whose spending it is; all accounts of a stream have the same.
    """
    if budget is None or not budget.capped:
        return None
    spent = getattr(ledger, "spent", None)
    earlier = Amount() if spent is None else Amount(*spent(pricing.cost))
    return Account(budget, pricing, owner=owner, earlier=earlier)


def prompt_size(request: Request) -> int:
    """The length of a prompt as it is known before it is sent: bytes of text, and a guess for images."""
    return sum(_message_bound(message) for message in request.asked)


def _message_bound(message: Any) -> int:
    content = message.get("content")
    calls = message.get("tool_calls")
    size = _TOKENS_A_MESSAGE + (len(json.dumps(calls, default=str)) if calls else 0)
    if isinstance(content, list):
        return size + sum(map(_part_bound, content))
    return size + _bytes(content)


def _part_bound(part: Any) -> int:
    if isinstance(part, dict) and part.get("type") == "text":
        return _bytes(part.get("text"))
    if isinstance(part, MediaPart) and part.kind in _BYTES_A_TOKEN:
        return max(_TOKENS_AN_IMAGE, int(part.get("size", 0)) // _BYTES_A_TOKEN[part.kind])
    return max(_TOKENS_AN_IMAGE, len(json.dumps(part, default=str)))


def _bytes(text: Any) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _maximum(request: Request) -> int | None:
    for name in _MAXIMA:
        value = request.parameters.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _stopped(budget: Budget, cap: str, need: Amount) -> BudgetError:
    quantity = cap.removeprefix("max_")
    return BudgetError(
        cap, limit=getattr(budget, cap), spent=getattr(budget.spent, quantity), needed=getattr(need, quantity)
    )


def _amount(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ConfigurationError(
            f"`{name}` must be a number above 0, not {value!r}. Leave it out for a run without that cap."
        )
    return value


def _count(name: str, value: Any) -> int | None:
    amount = _amount(name, value)
    if amount is not None and amount != int(amount):
        raise ConfigurationError(f"`{name}` must be a whole number, not {value!r}.")
    return None if amount is None else int(amount)
