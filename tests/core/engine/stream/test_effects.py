"""Effects of conversations: done side by side, stored, and never done twice for one row, whatever they do.

Covers `_engine.threads.attempts`, too.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import sqlite3
import threading
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import do
from limbeck.errors import BadRequestError, EffectError, GenerationError
from limbeck.testing import EchoLLM
from support.children import said_by
from support.questions import PATIENCE, questions
from support.talking import Talk, fault_of, stored, talking, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

calls: Counter[str] = Counter()
place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


def look_up(text: str) -> str:
    """An effect that is found under its name."""
    calls[text] += 1
    return f"found {text}"


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def wait_through_cancellation() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def plus_one(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def raising(error: BaseException) -> Callable[[], None]:
    def fails() -> None:
        raise error

    return fails


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


class Unhashable:
    """A callable that is equal to its like, and has no hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unhashable)

    __hash__ = None  # type: ignore[assignment]  # which is what it is for

    def __call__(self) -> str:
        return "called"

    def __reduce__(self) -> Any:
        raise TypeError("and cannot be pickled")


def effect_of(function: Any, *arguments: Any, **limits: Any) -> Any:
    """What a conversation is given for one effect, or the error that it fails with."""

    def converse(self: Any) -> Any:
        return {"out": (yield do(function, *arguments, **limits))}

    (row,) = talking(converse, llm=EchoLLM()).run(questions(1))
    return row["out"] if (fault := fault_of(row)) is None else (fault["type"], fault["message"])


def deep() -> Any:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


# What they return


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (len, ("abc",), 3),
        (int, ("3",), 3),
        (functools.partial(int, "ff", base=16), (), 255),
        (plus_one, (1,), 2),
        (functools.partial(plus_one, 1), (), 2),
        (Unhashable(), (), "called"),
        (returning(None), (), None),
        (returning((1, 2)), (), [1, 2]),
        (returning({1: "one"}), (), {"1": "one"}),
        (returning("\ud800 and \0"), (), "\ud800 and \0"),
        (lambda given: given, ("\udc00",), "\udc00"),
        (returning("x" * 10_000_000), (), "x" * 10_000_000),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_conversation_is_given_the_result_as_json_holds_it(function: Any, arguments: Any, result: Any) -> None:
    assert effect_of(function, *arguments) == result


@pytest.mark.parametrize(
    "value",
    [{1}, math.nan, [math.inf], b"bytes", {(1, 2): 3}, 10**5000, object()],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_json_cannot_hold_fails_with_the_reason(value: Any) -> None:
    kind, message = effect_of(returning(value))
    assert (kind, "returned what JSON cannot hold: " in message) == ("EffectError", True)


def test_a_result_that_is_nested_too_deep_fails_with_the_reason() -> None:
    assert effect_of(deep)[0] == "EffectError"


# How they fail


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(1),
        KeyboardInterrupt("stop"),
        StopIteration(1),
        GeneratorExit("out"),
        asyncio.CancelledError("not now"),
        TimeoutError("of its own"),
        BadRequestError("not the row's"),
        BaseException("bare"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_an_effect_raises_is_an_error_in_the_conversation(error: BaseException) -> None:
    kind, message = effect_of(raising(error))
    assert (kind, message) == ("EffectError", f"`raising.<locals>.fails` raised {type(error).__name__}: {error}")


@pytest.mark.parametrize("function", [wait_for_ever, wait_through_cancellation, threading.Event().wait])
def test_an_effect_that_does_not_return_has_failed_when_its_time_is_over(function: Any) -> None:
    kind, message = effect_of(function, timeout=0.05)
    assert (kind, message.endswith("did not return within 0.05 seconds.")) == ("EffectError", True)


def test_an_effect_that_cancels_its_own_task_has_failed() -> None:
    assert effect_of(cancel_itself) == ("EffectError", "`cancel_itself` raised CancelledError: ")


def test_effects_that_never_return_keep_nobody_elses_place() -> None:
    never = threading.Event()

    def converse(self: Any) -> Any:
        yield do(never.wait, timeout=0.05, on_error="return")
        return {"out": (yield do(len, "abc"))}

    rows = talking(converse, llm=EchoLLM()).run(questions(24))
    assert told(list(rows)) == [3] * 24


def test_a_conversation_may_go_on_from_an_effect_that_failed() -> None:
    def converse(self: Any, input: Any) -> Any:
        try:
            yield do(raising(ValueError("no")))
        except EffectError as exc:
            return {"out": f"turn {exc.turn}: {exc}"}

    rows = list(talking(converse, llm=EchoLLM()).run(questions(1)))
    assert told(rows) == ["turn 1: `raising.<locals>.fails` raised ValueError: no"]


def test_the_first_error_of_a_list_is_raised_once_all_of_it_is_there() -> None:
    done: list[str] = []

    def converse(self: Any) -> Any:
        try:
            yield [do(done.append, "first"), do(raising(ValueError("one"))), do(done.append, "last")]
        except GenerationError as exc:
            return {"out": (exc.turn, sorted(done))}

    assert told(list(talking(converse, llm=EchoLLM()).run(questions(1)))) == [("1.2", ["first", "last"])]


# How many at once


class Busy:
    """Counts how many calls go on at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def work(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.002)
        with self.lock:
            self.now -= 1


class Equal:
    """Made anew for each call, and equal to all that stand for the same."""

    def __init__(self, busy: Busy) -> None:
        self.busy = busy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and self.busy is other.busy

    def __hash__(self) -> int:
        return hash(id(self.busy))

    def __call__(self) -> None:
        self.busy.work()


@pytest.mark.parametrize(
    "made",
    [
        lambda busy: busy.work,
        lambda busy: lambda: busy.work() or None,
        lambda busy: functools.partial(busy.work),
        Equal,
    ],
    ids=["method", "lambda", "partial", "equal object"],
)
def test_as_many_calls_of_a_function_go_on_as_it_says_whatever_makes_it_anew(made: Any) -> None:
    busy = Busy()

    def converse(self: Any) -> Any:
        yield [do(made(busy), max_concurrency=1), do(made(busy), max_concurrency=1)]
        return {"out": 1}

    assert told(list(talking(converse, llm=EchoLLM()).run(questions(6)))) == [1] * 6
    assert busy.most == 1


def test_what_is_made_anew_for_each_row_is_not_kept() -> None:
    class Kept:
        alive = 0

        def __init__(self) -> None:
            Kept.alive += 1

        def __del__(self) -> None:
            Kept.alive -= 1

        def __call__(self) -> int:
            return Kept.alive

    def converse(self: Any) -> Any:
        return {"out": (yield do(Kept()))}

    alive = told(list(talking(converse, llm=EchoLLM()).run(questions(1200))))
    assert max(alive) < 900  # as many conversations as are under way at once, and no more


# What a resumed run does again


def test_a_resumed_run_does_nothing_again(tmp_path: Path) -> None:
    calls.clear()

    def converse(self: Any, input: Any) -> Any:
        return {"out": (yield do(look_up, input["question"]))}

    for _ in range(2):
        rows = list(talking(converse, llm=EchoLLM()).run(questions(5), run_dir=tmp_path))
        assert told(rows) == [f"found {number}" for number in range(5)]
    assert calls == dict.fromkeys("01234", 1)


def test_an_effect_that_failed_its_row_is_done_again_and_one_that_was_caught_is_not(tmp_path: Path) -> None:
    done: Counter[str] = Counter()

    def fails(why: str) -> None:
        done[why] += 1
        raise ValueError(why)

    def converse(self: Any, input: Any) -> Any:
        yield do(fails, "caught", on_error="return")
        yield do(len, "")
        yield do(fails, "raised")

    for _ in range(2):
        assert told(list(talking(converse, llm=EchoLLM()).run(questions(1), run_dir=tmp_path))) == ["EffectError"]
    assert done == {"caught": 1, "raised": 2}


def test_a_row_that_has_moved_takes_along_what_its_name_and_arguments_tell(tmp_path: Path) -> None:
    calls.clear()

    def converse(self: Any, input: Any) -> Any:
        return {"out": (yield do(look_up, input["question"]))}

    list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path))
    moved = [{"question": text} for text in ("new", "2", "1", "0")]
    assert told(list(talking(converse, llm=EchoLLM()).run(moved, run_dir=tmp_path))) == [
        f"found {text}" for text in ("new", "2", "1", "0")
    ]
    assert calls == {"0": 1, "1": 1, "2": 1, "new": 1}


class Finder:
    """Has a state that no name tells."""

    def __init__(self, text: str) -> None:
        self.text = text

    def find(self) -> str:
        return f"found {self.text}"

    def __call__(self) -> str:
        return self.find()


def given(finder: Finder) -> str:
    return finder.find()


@pytest.mark.parametrize(
    "made",
    [
        lambda text: do(lambda: f"found {text}"),
        lambda text: do(functools.partial(look_up, text)),
        lambda text: do(Finder(text).find),
        lambda text: do(Finder(text)),
        lambda text: do(given, Finder(text)),
        lambda text: do(look_up, text=text),
    ],
    ids=["lambda", "partial", "method", "object", "argument", "named"],
)
def test_no_row_is_given_the_result_of_another_whose_effect_looks_the_same(made: Any, tmp_path: Path) -> None:
    def converse(self: Any, input: Any) -> Any:
        return {"out": (yield made(input["question"]))}

    list(talking(converse, llm=EchoLLM()).run(questions(3), run_dir=tmp_path))
    moved = [{"question": text} for text in ("new", "2", "1", "0")]
    for rows in (moved, questions(4)):
        again = list(talking(converse, llm=EchoLLM()).run(rows, run_dir=tmp_path))
        assert told(again) == [f"found {row['question']}" for row in rows]


def test_effects_side_by_side_that_look_the_same_keep_their_places(tmp_path: Path) -> None:
    def converse(self: Any, input: Any) -> Any:
        return {"out": (yield [do(lambda: "first"), do(lambda: "second")])}

    list(talking(converse, llm=EchoLLM()).run(questions(1), run_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:  # as a kill between them leaves it
        ledger.execute("DELETE FROM effects WHERE turn = '1.1'")
        ledger.commit()
    again = list(talking(converse, llm=EchoLLM()).run(questions(1), run_dir=tmp_path))
    assert told(again) == [["first", "second"]]


class Searching(Talk):
    """An effect that is the task's own method."""

    def search(self, text: str) -> str:
        return look_up(text)

    def converse(self, input: Any) -> Any:
        return {"out": (yield do(self.search, input["question"]))}


def test_a_method_of_the_task_is_known_by_its_name(tmp_path: Path) -> None:
    calls.clear()
    list(Searching(name="talk", llm=EchoLLM()).run(questions(2), run_dir=tmp_path))
    list(Searching(name="talk", llm=EchoLLM()).run([{"question": "1"}], run_dir=tmp_path))
    assert calls == {"0": 1, "1": 1}
    assert stored(tmp_path, "SELECT name, arguments FROM effects ORDER BY id LIMIT 1") == [
        ("Searching.search", '[["0"], {}]')
    ]


# Whose context variables they see


def test_effects_see_their_callers_context_variables_and_nobody_elses() -> None:
    seen: list[tuple[str, str]] = []

    def look(who: str) -> None:
        seen.append((who, place.get()))
        place.set(f"an effect of {who}")

    async def look_on_the_loop(who: str) -> None:
        look(who)

    def converse(self: Any, input: Any) -> Any:
        who = input["question"]
        yield [do(look, who), do(look_on_the_loop, who)]
        yield do(look, who)
        return {"out": place.get()}

    def run_in(who: str) -> list[Any]:
        place.set(who)
        return told(list(talking(converse, llm=EchoLLM()).run([{"question": who}])))

    results: list[Any] = []
    threads = [threading.Thread(target=lambda who=who: results.extend(run_in(who))) for who in ("here", "there")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == ["here", "there"]
    assert sorted(seen) == [("here", "here")] * 3 + [("there", "there")] * 3


def test_a_program_ends_though_an_effect_of_its_run_never_returns(tmp_path: Path) -> None:
    program = """
        import threading
        from limbeck import do
        from limbeck.testing import EchoLLM
        from support.talking import talking, told

        def converse(self):
            return {"out": (yield do(threading.Event().wait, timeout=0.05))}

        print(told(list(talking(converse, llm=EchoLLM()).run([{"question": "q"}]))))
    """
    assert said_by(program, tmp_path) == "['EffectError']\n"
