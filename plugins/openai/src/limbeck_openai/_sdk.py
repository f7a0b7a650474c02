"""The door to the SDK: opened at the first request, not at import."""

from __future__ import annotations

from limbeck.backends import find_key
from limbeck.backends import import_sdk as imported_sdk
from limbeck.errors import MissingDependencyError

NEEDED_BY = "limbeck-openai"
CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"  # the variable that the SDK's clients read


def account(organization: str | None = None, project: str | None = None) -> tuple[str | None, str | None]:
    """The organization and the project, which travel as headers: those given, else those of the environment.

    Raises:
        ConfigurationError: one of them cannot be sent.
    """
    return (
        find_key(organization, "OPENAI_ORG_ID", field="organization"),
        find_key(project, "OPENAI_PROJECT_ID", field="project"),
    )


def import_sdk() -> None:
    """Import `limbeck_openai._chat`, and the SDK with it.

    Raises:
        MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
        ConfigurationError: something else by the SDK's name hides it.
    """
    imported_sdk("openai", defines="AsyncOpenAI", needed_by=NEEDED_BY, requirement=NEEDED_BY)
    try:
        from . import _chat  # noqa: F401
    except ImportError as exc:
        package = (exc.name or "openai").partition(".")[0]
        raise MissingDependencyError(package, needed_by=NEEDED_BY, requirement=NEEDED_BY) from exc
