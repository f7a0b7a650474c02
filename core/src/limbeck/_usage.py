"""The tokens of a response, and what is left of an allowance: values of `limbeck.types` that errors carry too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one whole response.

    Attributes:
        input_tokens: tokens of the prompt, cached ones included.
        output_tokens: tokens generated, reasoning included.
        cached_tokens: the part of `input_tokens` read from the provider's cache.
        reasoning_tokens: the part of `output_tokens` spent on reasoning.
    """

    __module__ = "limbeck.types"  # where it is public

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The caller's remaining allowance, as the provider states it.

    Attributes:
        requests_remaining, tokens_remaining: what may still be spent, or None where it is not said.
        requests_reset, tokens_reset: seconds until that allowance is full again.
    """

    __module__ = "limbeck.types"

    requests_remaining: int | None = None
    requests_reset: float | None = None
    tokens_remaining: int | None = None
    tokens_reset: float | None = None
