"""The door to the SDK: opened at the first request, not at import."""

from __future__ import annotations

from limbeck.errors import MissingDependencyError


def import_sdk() -> None:
    """Import `limbeck_openai._chat`, and the SDK with it.

    Raises:
        MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
    """
    try:
        from . import _chat  # noqa: F401
    except ImportError as exc:
        package = (exc.name or "openai").partition(".")[0]
        raise MissingDependencyError(package, needed_by="limbeck-openai", requirement="limbeck-openai") from exc
