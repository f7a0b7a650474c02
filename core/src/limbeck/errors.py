"""Every error Limbeck raises, as one tree.

    LimbeckError
    ├── ConfigurationError            a field, file or argument is wrong; nothing has run
    │   ├── MissingDependencyError    an SDK is not installed (also an ImportError)
    │   ├── MissingCredentialError    no API key was given or found
    │   ├── MissingColumnError        no row has a required column
    │   └── UnknownPriceError         a cost cap, and an LLM without a price
    ├── RegistryError                 anything about names and plugins
    │   ├── UnknownNameError          nothing has that name (also a LookupError and an ImportError)
    │   ├── AmbiguousNameError        several distributions offer it (also a LookupError)
    │   ├── RegistrationError         a name cannot be registered
    │   ├── PluginLoadError           a plugin failed to import (also an ImportError)
    │   └── PluginContractError       a plugin's object lacks what its kind must have
    ├── GenerationError               one generation failed; it becomes data in its row
    │   ├── RateLimitError            refused for now; asked again, does not use up an attempt
    │   ├── TransientError            server, network or time-out; asked again
    │   │   └── UnavailableError      nobody is there for now: no connection, or 502, 503, 504, 529
    │   ├── AuthenticationError       the key is refused; stops the run
    │   ├── BadRequestError           the server will never accept this request
    │   │   ├── ContextLengthError    the prompt does not fit the model
    │   │   └── ContentFilteredError  refused by the provider's content policy
    │   ├── SchemaError               the answer breaks the output schema; `raw` keeps it
    │   ├── OutputError               `format_output` raised; `raw` keeps the answer
    │   ├── EffectError               an effect of a conversation failed
    │   ├── ToolError                 a tool cannot be called as asked, failed, or gave what JSON cannot hold
    │   ├── TurnLimitError            a conversation took more turns than are allowed
    │   ├── IncompleteResponseError   fewer answers than asked for, repeatedly
    │   ├── RowError                  the row lacks a column, or `format_input` raised
    │   │   └── MediaError            an image, audio or a document is not there, empty, too large or none
    │   └── BackendError              the backend raised something untyped
    ├── LedgerError                   a run directory cannot be used, or not be written any more
    └── RunStoppedError               the run ended before its rows did
        ├── BreakerError              too many failures in a row
        ├── BudgetError               the next request might pass a cap
        ├── FailureLimitError         more rows failed than `max_failed` allows
        ├── BatchError                a provider batch was refused, failed as a whole, or cannot be reached
        └── RowFailedError            a row failed and its step says `on_error="raise"`

Facts are attributes; the wording lives here. Catch by meaning: the two families most
programs need are `ConfigurationError` (mend and start again) and `GenerationError`
(one answer).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._usage import Quota, Usage

__all__ = [
    "AmbiguousNameError",
    "AuthenticationError",
    "BackendError",
    "BadRequestError",
    "BatchError",
    "BreakerError",
    "BudgetError",
    "ConfigurationError",
    "ContentFilteredError",
    "ContextLengthError",
    "EffectError",
    "FailureLimitError",
    "GenerationError",
    "IncompleteResponseError",
    "LedgerError",
    "LimbeckError",
    "LimbeckWarning",
    "MediaError",
    "MissingColumnError",
    "MissingCredentialError",
    "MissingDependencyError",
    "OutputError",
    "PluginContractError",
    "PluginLoadError",
    "RateLimitError",
    "RegistrationError",
    "RegistryError",
    "RowError",
    "RowFailedError",
    "RunStoppedError",
    "SchemaError",
    "ToolError",
    "TransientError",
    "TurnLimitError",
    "UnavailableError",
    "UnknownNameError",
    "UnknownPriceError",
]


class LimbeckWarning(UserWarning):
    """A fact that a user should know but need not stop for."""


class LimbeckError(Exception):
    """The root of the tree."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors break the default pickling of exceptions; the
        # arguments and the attributes are all there is to one.
        facts = dict(self.__dict__)
        if isinstance(self, ImportError):  # which keeps this one outside of its `__dict__`
            facts["name"] = self.name
        return (_rebuild, (type(self), self.args, facts))


def _rebuild(cls: type[LimbeckError], args: tuple[Any, ...], facts: dict[str, Any]) -> LimbeckError:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in facts.items():
        setattr(error, name, value)
    return error


# Control characters but for tab and newline, what turns the direction of text, and what no encoding has.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]|\r(?!\n)"
)


def printable(text: str) -> str:
    r"""The text as a terminal and a page take it: control characters, whoever wrote them, are spelt out (`\x1b`)."""
    return _UNPRINTABLE.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else f"\\u{ord(found[0]):04x}", text
    )


def has_message(error: BaseException) -> bool:
    """Tell whether an exception can be shown: it may be anybody's, and its own methods may raise."""
    try:
        str(error)
    except BaseException:  # noqa: BLE001 - the isolation boundary of an exception's own methods
        return False
    return True


def described(error: BaseException) -> str:
    """`Type: message`, or the type alone of one whose message cannot be had."""
    name = type(error).__name__
    return f"{name}: {error}" if has_message(error) else f"{name} (its message cannot be shown)"


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """` Did you mean ...?` for a near miss, else an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(name, [each for each in known if isinstance(each, str)], n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else ""


class ConfigurationError(LimbeckError):
    """A field, a file or an argument is wrong; nothing has run."""


class MissingDependencyError(ConfigurationError, ImportError):
    """A package that a backend needs is not installed.

    Attributes:
        package: what cannot be imported.
        requirement: what to give to `pip install`.
    """

    def __init__(self, package: str, *, needed_by: str, requirement: str) -> None:
        self.package = package
        self.requirement = requirement
        super().__init__(
            f"{needed_by} needs the package `{package}`, which is not installed. Run: pip install '{requirement}'"
        )


class MissingCredentialError(ConfigurationError):
    """No API key was given and none was found.

    Attributes:
        variable: the environment variable that would have held it.
    """

    def __init__(self, *, needed_by: str, variable: str, field: str = "api_key") -> None:
        self.variable = variable
        super().__init__(
            f"{needed_by} has no credentials. Set the environment variable `{variable}`, or pass `{field}=`."
        )


class MissingColumnError(ConfigurationError):
    """No row has a column that a task requires.

    Attributes:
        columns: the missing columns. present: the columns that the rows do have.
        task: the name of the task or step. path: the steps that lead to it in a pipeline, itself included.
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        task: str,
        present: Sequence[str],
        own_name: str | None = None,
        path: Sequence[str] = (),
    ) -> None:
        self.columns = list(columns)
        self.present = list(present)
        self.task = task
        self.path = list(path)
        one = len(self.columns) == 1
        near = "".join(did_you_mean(column, present) for column in columns)
        way = f" on the way {' -> '.join(path)}" if path else ""
        super().__init__(
            f"{'Step' if path else 'Task'} {task!r} needs the column{'' if one else 's'} {_ticked(columns)}, "
            f"which no row has{way}. "
            f"The columns present are {_ticked(present) or 'none'}.{near} "
            f"Rename a column for the {'step' if path else 'task'} with "
            f"`input_mappings={{{own_name or columns[0]!r}: '<your column>'}}`."
        )


class UnknownPriceError(ConfigurationError):
    """There is a cap on the cost, and nothing knows what the model costs.

    Attributes:
        model: its name.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"`max_cost` is set, and nothing knows what {model!r} costs; nothing was sent. Give its price, in US "
            f"dollars for a million tokens, with `prices={{{model!r}: {{'input': …, 'output': …}}}}`, "
            "install `limbeck-prices`, cap the tokens with `max_tokens` instead, "
            "or let it run uncounted with `allow_unknown_price`."
        )


def _ticked(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class RegistryError(LimbeckError):
    """Anything about names and plugins."""


class UnknownNameError(RegistryError, LookupError, ImportError):
    """Nothing installed or registered has that name.

    Attributes:
        kind: "task", "llm", "step" or "tool". name: what was asked for.
    """

    name: str

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        known: Sequence[str] = (),
        suspects: Sequence[str] = (),
        install: str | None = None,
        disabled_by: str | None = None,
        instead: str | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        parts = [f"There is no {kind} named {name!r}.{did_you_mean(name, known)}"]
        if instead and not install:
            parts.append(instead)
        if disabled_by:
            parts.append(f"It is disabled by {disabled_by}.")
        if install:
            parts.append(f"It comes with `{install}`. Run: pip install {install}")
        if suspects:
            parts.append(
                f"These plugins failed to load and might have had it: {'; '.join(suspects)}. "
                "For more: limbeck plugins check."
            )
        if known and not install:
            parts.append(f"Known: {', '.join(sorted(known))}.")
        super().__init__(" ".join(parts))


class AmbiguousNameError(RegistryError, LookupError):
    """Several distributions offer the name, and none has precedence.

    Attributes:
        kind, name: what was asked for. candidates: the qualified names that are unambiguous.
    """

    def __init__(self, kind: str, name: str, *, candidates: Sequence[tuple[str, str, str]]) -> None:
        self.kind = kind
        self.name = name
        self.candidates = [qualified for qualified, _, _ in candidates]
        offered = "; ".join(f"{dist} {version} (`{qualified}`)" for qualified, dist, version in candidates)
        pin = f'LIMBECK_PIN="{name}={candidates[0][1]}"'
        super().__init__(
            f"Several distributions offer the {kind} {name!r}: {offered}. "
            f"Use a qualified name, or choose one for good with {pin}."
        )


class RegistrationError(RegistryError):
    """A name is malformed or taken."""


class PluginLoadError(RegistryError, ImportError):
    """A plugin could not be imported; the fault is attributed to its distribution.

    Attributes:
        distribution, version: whose fault it is. target: the `module:object` that failed.
        cause: what it raised, as `Type: message`.
    """

    def __init__(self, *, distribution: str, version: str, target: str, cause: str, hint: str | None = None) -> None:
        self.distribution = distribution
        self.version = version
        self.target = target
        self.cause = cause
        extra = f" {hint}" if hint else ""
        super().__init__(
            f"The plugin {distribution} {version} failed to load `{target}`: {cause}.{extra} "
            f'To run without it, set LIMBECK_DISABLE_PLUGINS="{distribution}" or: pip uninstall {distribution}'
        )


class PluginContractError(RegistryError, TypeError):
    """An object lacks what its kind must have, or has it with the wrong signature.

    Attributes:
        faults: one sentence for each thing that is missing or wrong.
    """

    def __init__(self, subject: str, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__(f"{subject}: {'; '.join(faults)}.")


class GenerationError(LimbeckError):
    """One generation failed; it becomes data in its row.

    Attributes:
        raw: the text of the answer, where there was one.
        usage: tokens of a response that came and was no answer, set by a backend: they are counted as an answer's.
        model: what the server called itself in that response.
        attempts: how often the request was sent, set by the engine.
        turn: the place in its row's conversation, set by the engine; None for the one call of a row.
        quota: what the provider says is left of the caller's allowance, set by a backend.
    """

    raw: str | None = None
    usage: Usage | None = None
    model: str | None = None
    attempts: int = 0
    turn: str | None = None
    quota: Quota | None = None

    def __init__(
        self, message: str = "", *, raw: str | None = None, usage: Usage | None = None, model: str | None = None
    ) -> None:
        self.raw = raw
        self.usage = usage
        self.model = model
        super().__init__(message or type(self).__name__)


class RateLimitError(GenerationError):
    """The provider refuses for now.

    Attributes:
        retry_after: seconds the provider asks to wait, or None.
    """

    retry_after: float | None = None  # also for a subclass that does not call this constructor

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TransientError(GenerationError):
    """A server fault, a dropped connection or a time-out; worth another attempt.

    Attributes:
        retry_after: seconds the provider asks to wait, or None.
    """

    retry_after: float | None = None  # also for a subclass that does not call this constructor

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        usage: Usage | None = None,
        model: str | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(message, usage=usage, model=model)


class UnavailableError(TransientError):
    """Nobody is there for now: connections are refused or dropped, or the status is 502, 503, 504 or 529
    (or one of Cloudflare's, 520 to 527 and 530).

    From a server that has answered before they count as no attempts, and several in a row mean that it is
    away: until it is back, or a row's `deadline` has passed. A request that finds nobody ten times while
    others are answered uses up attempts from then on.
    """


class AuthenticationError(GenerationError):
    """The provider refuses the credentials; every further call would fail too."""


class BadRequestError(GenerationError):
    """The provider will never accept this request."""


class ContextLengthError(BadRequestError):
    """The prompt does not fit the model's context."""


class ContentFilteredError(BadRequestError):
    """The provider's content policy refused the prompt or the answer."""


class SchemaError(GenerationError):
    """The answer breaks the output schema; `raw` keeps its text."""


class OutputError(GenerationError):
    """`format_output` could not read the answer; `raw` keeps its text."""


class EffectError(GenerationError):
    """An effect of a conversation failed: what it called raised, took too long, or returned what JSON cannot hold."""


class ToolError(GenerationError):
    """A tool cannot be called as the model asks, failed, or gave what JSON cannot hold.

    Attributes:
        tool: its name; None where several or none are meant.
    """

    tool: str | None = None  # also for a subclass that does not call this constructor

    def __init__(self, message: str = "", *, tool: str | None = None, raw: str | None = None) -> None:
        self.tool = tool
        super().__init__(message, raw=raw)


class TurnLimitError(GenerationError):
    """A conversation took more turns than are allowed.

    Attributes:
        turns: how many it took. messages: of tools, the chat so far, with the calls that were not run.
    """

    turns: int = 0
    messages: Sequence[Any] = ()

    def __init__(
        self, message: str = "", *, turns: int = 0, messages: Sequence[Any] = (), raw: str | None = None
    ) -> None:
        self.turns = turns
        self.messages = list(messages)
        super().__init__(message, raw=raw)


class IncompleteResponseError(GenerationError):
    """The server gave fewer answers than asked for, and asking again did not help."""


class RowError(GenerationError):
    """The row lacks a required column or cannot be read, or `format_input` raised; nothing was sent.

    Attributes:
        row: of a row that a source could not read, the columns that it could; else None.
    """

    row: dict[str, Any] | None = None  # also for a subclass that does not call this constructor

    def __init__(self, message: str = "", *, raw: str | None = None, row: dict[str, Any] | None = None) -> None:
        self.row = row
        super().__init__(message, raw=raw)


class MediaError(RowError):
    """What is to be sent as an image, audio or a document is not there, empty, too large, or none; nothing was sent.

    Attributes:
        value: what the row holds of it; None once the column is named, which is in the message.
    """

    value: Any = None

    def __init__(self, message: str = "", *, value: Any = None) -> None:
        self.value = value
        super().__init__(message)

    def in_column(self, column: str) -> MediaError:
        """The same error, saying in which column the value is."""
        return type(self)(f"The column `{column}`: {self}")


class BackendError(GenerationError):
    """The backend raised something that is not one of these types; it is not asked again."""


class LedgerError(LimbeckError):
    """A run directory cannot be used, or its ledger cannot be written any more; what it holds is safe."""


class RunStoppedError(LimbeckError):
    """The run ended before its rows did; the rows already yielded are good."""


class BreakerError(RunStoppedError):
    """Too many generations failed one after another; the first cause is chained.

    Attributes:
        failures: how many failed in a row.
    """

    def __init__(self, failures: int, first: GenerationError) -> None:
        self.failures = failures
        super().__init__(
            f"{failures} generations in a row failed, so the run was stopped. The first cause was "
            f"{type(first).__name__}: {first}. Mend it and run again; `breaker_threshold` on the LLM sets the limit."
        )


class BudgetError(RunStoppedError):
    """The next request might have passed a cap, so it was not sent.

    Attributes:
        cap: "max_cost", "max_tokens" or "max_requests". limit: its value.
        spent: what has been spent of it. needed: what the next request may need at most.
    """

    def __init__(self, cap: str, *, limit: float, spent: float, needed: float) -> None:
        self.cap = cap
        self.limit = limit
        self.spent = spent
        self.needed = needed
        sign, form = ("$", ".6g") if cap == "max_cost" else ("", ",.0f")
        super().__init__(
            f"The budget is used up: of `{cap}={limit:g}`, {sign}{spent:{form}} is spent, and the next request "
            f"may need {sign}{needed:{form}}. What is done is kept; run again with a higher cap to go on."
        )


class FailureLimitError(RunStoppedError):
    """More rows failed than the run's `max_failed` allows.

    Attributes:
        failed: rows that failed. done: rows finished by then.
    """

    def __init__(self, *, failed: int, done: int, max_failed: float, last: GenerationError) -> None:
        self.failed = failed
        self.done = done
        super().__init__(
            f"{failed} of {done} rows failed, more than `max_failed={max_failed:g}` allows, so the run was stopped. "
            f"The last cause was {type(last).__name__}: {last}"
        )


class BatchError(RunStoppedError):
    """A provider batch was refused, failed as a whole, or cannot be reached; the cause is chained.

    Attributes:
        reason: which of the three. step: whose batch it is. batch: its id at the provider, where it has one.
        requests: how many entries it has.
    """

    def __init__(
        self,
        reason: Literal["refused", "failed", "unreachable"],
        *,
        step: str,
        batch: str | None,
        requests: int,
        cause: GenerationError,
    ) -> None:
        self.reason = reason
        self.step = step
        self.batch = batch
        self.requests = requests
        name = f"The batch {batch!r}" if batch else "A batch"
        fate = _BATCH_WORDS[reason].format(cause=str(cause).rstrip("."))
        super().__init__(f"{name} of {requests} requests of step {step!r} {fate}")


_BATCH_WORDS = {
    "refused": (
        'was not accepted: {cause}. Nothing of it was bought. Mend the cause, or set `mode="online"`, and run again '
        "with the same run directory."
    ),
    "failed": (
        "failed as a whole, and none of them was answered: {cause}. Mend the cause and run again with the same run "
        "directory: answers that are there are kept, and only the rest is asked for."
    ),
    "unreachable": (
        "cannot be asked about: {cause}. It stays noted in the run directory: run again with the same directory, "
        "server and account to pick it up."
    ),
}


class RowFailedError(RunStoppedError):
    """A row failed, and the task or step says `on_error="raise"`; the cause is chained.

    Attributes:
        task: the name of the task or step. kind: "task", or what else it is: "step", "router", "join".
        index: of the row, in its source.
    """

    def __init__(self, *, task: str, index: int, error: GenerationError, kind: str = "task") -> None:
        self.task = task
        self.index = index
        self.kind = kind
        super().__init__(f"{kind.capitalize()} {task!r} failed on row {index}: {type(error).__name__}: {error}")
