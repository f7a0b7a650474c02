"""Keys: where they are found, and how they are kept out of what is shown or stored.

A server may echo the key it refuses, whole or in part, and SDKs put a server's message into their exceptions.
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REDACTED = "[redacted]"
# Keys that are not ours to know: the forms of OpenAI (its own half-masked ones too), Anthropic and Hugging Face, and
# whatever stands behind `Bearer`.
_KEY_LIKE = re.compile(
    r"\bsk-[\w*.\-]{6,}|\b(?:hf|api_org)_[A-Za-z0-9_]{8,}|(?<=\bBearer )(?!\[redacted\])\S+", re.IGNORECASE
)
# A secret of somebody else's in a URL, or a part of one of ours: what stands behind the name.
_IN_URL = re.compile(r"(?<=[?&;])([\w.\-]+)=([^\s&\"'<>]+)")
_SHORTEST = 8  # a shorter one may be a part of any word
_NEVER_QUOTED = frozenset("-._~")
# The marks of quoting, which may be quoted themselves.
_PERCENT = "(?:%|&(?:amp;)*(?:#37|#x25|percnt);)(?:25)*"
_AMPERSAND = f"(?:&|{_PERCENT}26)(?:amp(?:;|{_PERCENT}3[Bb]))*"
_HASH, _SEMICOLON, _BACKSLASH = f"(?:#|{_PERCENT}23)", f"(?:;|{_PERCENT}3[Bb])", rf"(?:\\|{_PERCENT}5[Cc])"

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
    """The values that no text may show, in whatever way they are quoted: for a URL, HTML, JSON or Python.

    Args:
        values: keys, tokens. Whatever has the form of a known provider's key is hidden too, and so are the values in a
            URL's query that have a secret's name.
    """

    __slots__ = ("__weakref__", "_values")

    def __init__(self, *values: str) -> None:
        # Longest first: one secret may begin with another.
        self._values = [_pattern(value) for value in sorted(set(values), key=len, reverse=True) if value]

    def redact(self, text: str) -> str:
        """`text` without secrets. Shorten it afterwards: a secret that is cut in two would not be found."""
        text = _KEY_LIKE.sub(_REDACTED, self.hide(text))
        return _IN_URL.sub(_without_value, text)

    def hide(self, text: str) -> str:
        """`text` without these values; what only looks like a secret stays."""
        for value in self._values:
            text = value.sub(_REDACTED, text)
        return text

    def show_in(self, exc: BaseException) -> bool:
        """Tell whether a traceback of `exc`, its causes included, would print a secret."""
        return any(self.redact(text) != text for text in map(str, _chain(exc)))

    def __bool__(self) -> bool:
        return bool(self._values)


class _Hiding(logging.Filter):
    """Takes secrets out of what is logged, for as long as somebody holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: WeakSet[Secrets] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        for secrets in list(self.hidden):
            record.msg, record.args = secrets.hide(record.getMessage()), ()
        return True


_hiding = _Hiding()
# These log what comes from the network, headers and all, below any place where it could be changed.
_WIRE_LOGGERS = [f"{name}.{part}" for name in ("httpcore", "httpcore2") for part in ("http11", "http2", "proxy")]


def hide_from_logs(secrets: Secrets) -> None:
    """Take secrets out of what HTTP libraries log of the bytes on the wire. A log without secrets stays as it was."""
    _hiding.hidden.add(secrets)
    for name in _WIRE_LOGGERS:
        logging.getLogger(name).addFilter(_hiding)


def _without_value(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}={_REDACTED}" if is_secret_name(name) else match[0]


def _pattern(value: str) -> re.Pattern[str]:
    text = "".join(map(_written, value))
    return re.compile(text if len(value) >= _SHORTEST else rf"(?<!\w){text}(?!\w)")


def _written(character: str) -> str:
    """A pattern of the ways to write a character: as it is, or quoted, in several ways at once too."""
    if character.isascii() and character.isalnum():
        return character
    if character in _NEVER_QUOTED:
        return re.escape(character)
    same = " +" if character in " +" else character  # in a query a space is written so
    return f"(?:{'|'.join(map(_quoted, same))})"


def _quoted(character: str) -> str:
    from html.entities import html5  # a large table, which few need

    point = ord(character)
    names = [re.escape(name[:-1]) for name, value in html5.items() if value == character and name.endswith(";")]
    entity = "|".join([f"{_HASH}(?i:0*{point}|x0*{point:x})", *names])
    octets = character.encode("utf-8", "surrogateescape")
    percent = "".join(f"{_PERCENT}(?i:{octet:02x})" for octet in octets)
    escaped = "".join(f"{_BACKSLASH}+(?i:x{octet:02x})" for octet in octets)  # as Python shows bytes
    units = character.encode("utf-16-be", "surrogatepass").hex()
    unicode = "".join(f"{_BACKSLASH}+(?i:u{units[at : at + 4]})" for at in range(0, len(units), 4))
    plain = "|".join(map(re.escape, {character: 0, octets.decode("latin-1"): 0}))
    return (
        f"{_BACKSLASH}*(?:{plain}|{percent}|{_AMPERSAND}(?:{entity}){_SEMICOLON})"
        f"|{unicode}|{escaped}|{_BACKSLASH}+(?i:x{point:02x})"
    )


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
    """Tell whether a header, parameter or field of this name would hold a secret (`X-Api-Key`, `access_token`, …)."""
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
