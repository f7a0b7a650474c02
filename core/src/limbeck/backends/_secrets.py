"""Keys: where they are found, and how they are kept out of what is shown or stored.

A server may echo the key it refuses, whole or in part, and SDKs put a server's message into their exceptions.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REDACTED = "[redacted]"
# Keys that are not ours to know: the forms of OpenAI (its own half-masked ones too), Anthropic and Hugging Face, and
# whatever stands behind `Bearer`.
_KEY_LIKE = re.compile(
    r"\bsk-[\w*.\-]{6,}|\b(?:hf|api_org)_[A-Za-z0-9_]{8,}|(?<=\bBearer )(?!\[redacted\])\S+", re.IGNORECASE
)
_SHORTEST = 8  # a shorter one may be a part of any word

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SECRET_WORDS = frozenset(
    {"auth", "authorization", "authentication", "secret", "password", "passwd", "pwd", "passphrase", "cookie"}
    | {"credential", "credentials", "apikey", "signature", "sig", "bearer", "jwt"}
)
_LAST_WORDS = frozenset({"token", "key"})
# Before `token` or `key`: what makes a setting of it.
_PLAIN_BEFORE = frozenset(
    {"bos", "eos", "pad", "unk", "sep", "cls", "mask", "stop", "end", "start", "max", "min", "new", "special", "image"}
    | {"per", "each", "first", "last", "next", "cache", "idempotency", "sort", "primary", "partition", "foreign"}
)


class Secrets:
    """The values that no text may show.

    Args:
        values: keys, tokens. Whatever has the form of a known provider's key is hidden too.
    """

    __slots__ = ("_values",)

    def __init__(self, *values: str) -> None:
        # Longest first: one secret may begin with another.
        self._values = [_pattern(value) for value in sorted(set(values), key=len, reverse=True) if value]

    def redact(self, text: str) -> str:
        """`text` without secrets. Shorten it afterwards: a secret that is cut in two would not be found."""
        for value in self._values:
            text = value.sub(_REDACTED, text)
        return _KEY_LIKE.sub(_REDACTED, text)

    def show_in(self, exc: BaseException) -> bool:
        """Whether a traceback of `exc`, its causes included, would print one."""
        return any(self.redact(text) != text for text in map(str, _chain(exc)))


def _pattern(value: str) -> re.Pattern[str]:
    text = re.escape(value)
    return re.compile(text if len(value) >= _SHORTEST else rf"(?<!\w){text}(?!\w)")


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def find_key(given: str | None, *variables: str, field: str = "api_key") -> str | None:
    """The key that was given, else that of the first environment variable that has one; None where there is none.

    White space around it, such as the line end of a file, is no part of it.

    Args:
        given: what the backend's field holds, as text. variables: environment variables. field: the field's name.

    Raises:
        ConfigurationError: it holds what no header can; the message names the field or the variable.
    """
    for name, value in ((field, given), *((variable, os.environ.get(variable)) for variable in variables)):
        if value and (key := value.strip()):
            return _sendable(key, name)
    return None


def _sendable(key: str, name: str) -> str:
    for place, character in enumerate(key):
        if not "!" <= character <= "~":
            what = unicodedata.name(character, f"U+{ord(character):04X}").lower()
            raise ConfigurationError(
                f"The key in `{name}` holds a character that no key has and no header can hold ({what}, at place "
                f"{place + 1} of {len(key)}). Copy the key again, alone and on one line."
            )
    return key


def check_headers(headers: Any, *, owner: str) -> None:
    """Raise where `extra_headers` of `generation_kwargs` cannot be sent as headers.

    Raises:
        ConfigurationError: a name or a value holds a line end or a letter that no header can hold.
    """
    for name, value in headers.items() if isinstance(headers, Mapping) else ():
        odd = next((each for each in f"{name}{value}" if not (" " <= each <= "~" or each == "\t")), None)
        if odd is not None:
            what = unicodedata.name(odd, f"U+{ord(odd):04X}").lower()
            raise ConfigurationError(
                f"`extra_headers` in `generation_kwargs` of `{owner}`: {str(name)!r} or its value holds a character "
                f"that no header can hold ({what})."
            )


def is_secret_name(name: str) -> bool:
    """Whether a header, a parameter or a field by this name would hold a secret (`X-Api-Key`, `access_token`, …)."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or _SECRET_WORDS.isdisjoint(words) is False:
        return bool(words)
    return words[-1] in _LAST_WORDS and not (len(words) > 1 and words[-2] in _PLAIN_BEFORE)


def refuse_secrets(parameters: Mapping[str, Any], *, owner: str, remedy: str) -> None:
    """Raise where `extra_headers`, `extra_query` or `extra_body` holds a secret: parameters are stored with a run.

    Args:
        parameters: `generation_kwargs`. owner: the class they were given to. remedy: where the secret belongs instead.

    Raises:
        ConfigurationError: the message names the parameter, and not its value.
    """
    for name in ("extra_headers", "extra_query", "extra_body"):
        found = next(_secret_places(parameters.get(name)), None)
        if found is not None:
            raise ConfigurationError(
                f"`generation_kwargs` of `{owner}` cannot hold {found!r} in {name!r}: it looks like a secret, and "
                f"parameters are stored with a run, in clear. {remedy}"
            )


def _secret_places(value: Any) -> Iterator[str]:
    """The names, however deep, under which a secret stands."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _secret_places(item)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            # A schema may well have a property by such a name: what is a text may be a secret.
            if isinstance(inner, str) and inner and (is_secret_name(str(name)) or _KEY_LIKE.search(inner)):
                yield str(name)
            yield from _secret_places(inner)
