"""One tree of errors: as drawn, as exported, and the same after pickling."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from limbeck import errors
from limbeck.errors import (
    AmbiguousNameError,
    BackendError,
    BatchError,
    BreakerError,
    BudgetError,
    ConfigurationError,
    FailureLimitError,
    GenerationError,
    LimbeckError,
    MissingColumnError,
    MissingCredentialError,
    MissingDependencyError,
    PluginContractError,
    PluginLoadError,
    RateLimitError,
    RegistryError,
    RowFailedError,
    RunStoppedError,
    TransientError,
    UnknownNameError,
    UnknownPriceError,
    did_you_mean,
)

CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, LimbeckError)]

# One of each error whose constructor takes more than a message.
BUILT: list[LimbeckError] = [
    MissingDependencyError("openai", needed_by="OpenAILLM", requirement="limbeck-openai"),
    MissingCredentialError(needed_by="OpenAILLM", variable="OPENAI_API_KEY"),
    MissingColumnError(["instruction"], task="answer", present=["instructions"]),
    UnknownNameError("task", "juge", known=["judge"], suspects=["bad 1.0"], disabled_by="LIMBECK_ONLY_PLUGINS"),
    AmbiguousNameError("task", "judge", candidates=[("acme/judge", "acme", "1.0"), ("zenith/judge", "zenith", "2.0")]),
    PluginLoadError(distribution="bad", version="1.0", target="bad:Judge", cause="KeyError: 1", hint="A hint."),
    PluginContractError("The task 'judge'", ["it must be a class"]),
    RateLimitError("slow down", retry_after=2.5),
    TransientError("down", retry_after=0.5),
    GenerationError("odd", raw="the text"),
    BreakerError(50, BackendError("first")),
    BudgetError("max_cost", limit=1, spent=0.9, needed=0.2),
    UnknownPriceError("gpt-5-mini"),
    FailureLimitError(failed=3, done=10, max_failed=0.2, last=BackendError("last")),
    BatchError("failed", step="ask", batch="batch_1", requests=2, cause=BackendError("no such model")),
    RowFailedError(task="answer", index=7, error=BackendError("why")),
    RowFailedError(task="by-length", index=7, error=BackendError("why"), kind="router"),
]
EVERY = BUILT + [cls("a message") for cls in CLASSES if cls not in {type(error) for error in BUILT}]


def drawn_tree() -> dict[str, str]:
    """Class to parent, as the module's docstring draws them."""
    tree: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│ ├└─]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            tree[match[2]] = path[depth - 1] if depth else "Exception"
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert drawn_tree() == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_what_the_tree_says_an_error_also_is_it_is() -> None:
    also = dict(re.findall(r"(\w+Error) .*\(also (.*)\)", errors.__doc__ or ""))

    assert {name: re.findall(r"\w+Error", text) for name, text in also.items()} == {
        cls.__name__: [base.__name__ for base in cls.__bases__[1:]]
        for cls in CLASSES
        if len(cls.__bases__) > 1 and cls is not PluginContractError
    }
    assert issubclass(PluginContractError, TypeError)


def test_every_error_is_exported() -> None:
    assert {cls.__name__ for cls in CLASSES} | {"LimbeckWarning"} == set(errors.__all__)


def facts(error: LimbeckError) -> dict[str, Any]:
    return {"name": getattr(error, "name", None), **vars(error)}


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling(error: LimbeckError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.args, facts(again)) == (type(error), str(error), error.args, facts(error))


@pytest.mark.parametrize("error", BUILT, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied(error: LimbeckError) -> None:
    again = copy.copy(error)

    assert (type(again), str(again), facts(again)) == (type(error), str(error), facts(error))


def test_what_the_engine_sets_on_an_error_is_pickled_too() -> None:
    error = TransientError("down")
    error.attempts = 3
    error.__notes__ = ["a note"]

    again = pickle.loads(pickle.dumps(error))

    assert (again.attempts, again.__notes__) == (3, ["a note"])


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_never_shows_an_empty_message(error: LimbeckError) -> None:
    assert str(error).strip()


@pytest.mark.parametrize(
    "cls", [cls for cls in CLASSES if issubclass(cls, GenerationError)], ids=lambda cls: cls.__name__
)
def test_a_generation_error_without_a_message_is_called_by_its_type(cls: type[GenerationError]) -> None:
    assert str(cls()) == cls.__name__


def test_a_missing_column_tells_what_is_there_and_how_to_rename() -> None:
    error = MissingColumnError(["instruction"], task="answer", present=["id", "instructions"])

    assert str(error) == (
        "Task 'answer' needs the column `instruction`, which no row has. The columns present are `id`, `instructions`. "
        "Did you mean `instructions`? "
        "Rename a column for the task with `input_mappings={'instruction': '<your column>'}`."
    )


def test_an_unknown_name_with_a_pip_line_lists_no_other_names() -> None:
    error = UnknownNameError("task", "text-generation", known=["judge"], install="limbeck-tasks")

    assert str(error) == (
        "There is no task named 'text-generation'. It comes with `limbeck-tasks`. Run: pip install limbeck-tasks"
    )


def test_errors_are_caught_by_meaning() -> None:
    assert isinstance(BUILT[0], ConfigurationError | ImportError)
    assert issubclass(UnknownNameError, LookupError)
    assert issubclass(AmbiguousNameError, LookupError)
    assert issubclass(PluginLoadError, ImportError)
    assert issubclass(RegistryError, LimbeckError)
    assert issubclass(BreakerError, RunStoppedError)


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("openay", ["openai", "anthropic"], " Did you mean `openai`?"),
        ("judge", ["judge-1", "judge-2"], " Did you mean `judge-2` or `judge-1`?"),
        ("zzz", ["openai"], ""),
        ("zzz", [], ""),
    ],
)
def test_a_near_miss_is_guessed(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said
