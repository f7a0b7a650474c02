"""Environment variables that HTTP clients read: found out before the first row, not at the first request."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMES = ("http", "https", "socks5", "socks5h")
_HOST = re.compile(r"[\w.:%\-]+")
_HEADER_NAME = re.compile(r"[\w!#$%&'*+\-.^`|~]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t -~]*")


def check_environment(server: str, *, headers: str | None = None, socks: str | None = None) -> None:
    """Raise where a variable that the HTTP client of a backend reads cannot be used.

    Looks at `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` (in small letters too), `SSL_CERT_FILE`, `SSL_CERT_DIR` and
    `REQUESTS_CA_BUNDLE`.

    Args:
        server: the URL that is asked. headers: a variable with headers, a line each, as SDKs take them.
        socks: the package that the client needs for a SOCKS proxy; None where it can use none.

    Raises:
        ConfigurationError: the message names the variable, and not a proxy's password.
    """
    for variable, proxy in _proxies():
        _check_proxy(variable, proxy)
        if urlsplit(proxy).scheme.startswith("socks") and (socks or _goes_through(variable, server)):
            _check_socks(variable, socks)
    _check_certificates()
    if headers is not None:
        _check_headers(headers)


def _proxies() -> Iterator[tuple[str, str]]:
    """The variables that name a proxy, with its URL."""
    from urllib.request import getproxies_environment  # it costs the import of much else

    proxies = getproxies_environment()
    if "*" in [host.strip() for host in proxies.get("no", "").split(",")]:
        return
    for scheme in ("http", "https", "all"):
        if proxy := proxies.get(scheme):
            name = f"{scheme}_proxy"
            yield name if name in os.environ else name.upper(), proxy if "://" in proxy else f"http://{proxy}"


def _check_proxy(variable: str, proxy: str) -> None:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SCHEMES and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:
        usable = None
    if not usable:
        raise ConfigurationError(
            f"The environment variable `{variable}` holds no URL of a proxy, such as 'http://proxy.example.com:3128'. "
            "Set it to one, or unset it."
        )


def _goes_through(variable: str, server: str) -> bool:
    from urllib.request import proxy_bypass

    address = urlsplit(server)
    scheme = variable.lower().removesuffix("_proxy")
    return scheme in ("all", address.scheme) and not proxy_bypass(address.netloc)


def _check_socks(variable: str, package: str | None) -> None:
    if package is None:
        raise ConfigurationError(
            f"The environment variable `{variable}` names a SOCKS proxy, and the HTTP client of this backend can use "
            "none. Set it to an HTTP proxy, unset it, or name the server in `NO_PROXY`."
        )
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"The environment variable `{variable}` names a SOCKS proxy, which needs the package `{package}`. "
            f"Run: pip install {package}, or unset it."
        )


def _check_certificates() -> None:
    file, folder, bundle = (os.environ.get(n) for n in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"))
    if file:
        import ssl

        try:
            ssl.create_default_context(cafile=file)
        except OSError as exc:  # `SSLError` is one
            raise _no_certificates("SSL_CERT_FILE", file) from exc
    elif folder and not Path(folder).is_dir():
        raise _no_certificates("SSL_CERT_DIR", folder)
    if bundle and not Path(bundle).exists():
        raise _no_certificates("REQUESTS_CA_BUNDLE", bundle)


def _no_certificates(variable: str, path: str) -> ConfigurationError:
    what = "a folder" if variable == "SSL_CERT_DIR" else "a file"
    return ConfigurationError(
        f"The environment variable `{variable}` names {path!r}, which is not {what} of certificates that can be read. "
        "Set it to one, or unset it."
    )


def _check_headers(variable: str) -> None:
    lines = os.environ.get(variable, "").split("\n")
    for number, line in enumerate(lines, 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        sendable = colon and _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)
        if line.strip() and not sendable:
            raise ConfigurationError(
                f"Line {number} of the environment variable `{variable}` is no header that can be sent. Each line is "
                "`Name: value`, in ASCII; correct it, or unset the variable."
            )
