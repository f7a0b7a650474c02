"""What becomes of rows that fail, and of a run that is stopped.

Covers `_pipeline.run.nodes.node`, `_pipeline.run.nodes.step` and `_pipeline.run.nodes.task`.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck import LLM, GeneratorStep, Pipeline, join, step
from limbeck._pipeline.run.options import PipelineOptions
from limbeck._pipeline.run.streaming import PipelineStream
from limbeck._pipeline.steps.routing import Join, Router
from limbeck.errors import (
    AuthenticationError,
    BreakerError,
    ConfigurationError,
    FailureLimitError,
    LedgerError,
    RowError,
    RowFailedError,
)
from limbeck.testing import ScriptedLLM

from ..flows import Collect, Fail, Mark, Reverse, SayingLLM, column, load, say, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from limbeck.types import GenerationRequest, GenerationResponse, Row


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Rows


def test_a_row_on_which_a_step_raises_is_kept_with_nulls_and_its_error() -> None:
    result = Pipeline(texts(3), Fail(name="f", on=["t1"]), Mark(name="m")).run()
    rows = result.to_list()
    assert column(rows, "fine") == [True, None, True]
    assert rows[1]["distilabel_metadata"]["error_f"] == {
        "type": "RowError",
        "message": "Step 'f' raised ValueError: cannot stand 't1'",
        "attempts": 0,
    }
    assert (result.report["f"].rows_failed, result.report["f"].failures) == (1, {"RowError": 1})


def test_a_row_that_failed_is_written_down_in_a_form_that_can_be_fed_back() -> None:
    result = Pipeline(texts(3), Fail(name="f", on=["t1"])).run()
    (failed,) = result.failed
    told = failed.pop("limbeck_error")
    assert failed == {"text": "t1"}
    assert (told["step"], told["row"], told["errors"][0]["type"]) == ("f", "1", "RowError")


def test_failed_rows_are_dropped_where_the_step_says_so() -> None:
    result = Pipeline(texts(3), Fail(name="f", on=["t1"], on_error="drop")).run()
    assert column(result, "text") == ["t0", "t2"]
    assert len(result.failed) == 1


def test_a_failed_row_stops_the_run_where_the_step_says_so() -> None:
    with pytest.raises(
        RowFailedError, match="Step 'f' failed on row 1: RowError: Step 'f' raised ValueError"
    ) as caught:
        Pipeline(texts(3), Fail(name="f", on=["t1"], on_error="raise")).run(run_dir="kept")
    assert caught.value.__notes__ == ["What is done is kept in 'kept': run again with that `run_dir`."]


def test_the_error_of_a_failed_row_says_what_failed() -> None:
    def fail(row: Row) -> str:
        raise ValueError(row["text"])

    with Pipeline("routed") as pipeline:
        texts(1) >> Router(function=fail, name="by-length", on_error="raise") >> [Mark(name="m"), Mark(name="n")]
    with pytest.raises(RowFailedError, match="Router 'by-length' failed on row 0: RowError: Router 'by-l") as caught:
        pipeline.run()
    assert (caught.value.kind, caught.value.task) == ("router", "by-length")


def test_a_row_with_a_picture_passes_a_task_that_does_not_read_it() -> None:
    class Picture:
        """JSON has no form for it."""

    @step(dropped=["picture"])
    def look(row: Row) -> Row:
        return {"said": row["said"], "kind": type(row["picture"]).__name__}

    def run(llm: SayingLLM) -> list[Row]:
        rows = [{"text": "t0", "picture": Picture()}]
        return Pipeline(rows, say("ask", llm=llm, to="said"), look(name="look")).run(run_dir="kept").to_list()

    first, second = SayingLLM(), SayingLLM()
    assert run(first) == run(second) == [{"said": "said(t0)", "kind": "Picture"}]
    assert (first.asked, second.asked) == (["t0"], [])


def test_a_row_that_lacks_a_column_fails_as_data() -> None:
    @step(inputs=["n"], outputs=["twice"])
    def double(row: Row) -> Row:
        return {**row, "twice": 2 * row["n"]}

    rows = Pipeline(iter([{"n": 1}, {"m": 1}]), double(name="double")).run().to_list()
    assert column(rows, "twice") == [2, None]
    assert rows[1]["distilabel_metadata"]["error_double"]["message"] == (
        "The row lacks the column `n`, which step 'double' needs."
    )


def test_what_is_no_row_fails_as_data() -> None:
    result = Pipeline(iter([{"text": "t0"}, "t1", {"text": "t2"}]), Mark(name="m")).run()
    assert column(result, "text") == ["t0", "t2"]
    assert result.failed[0]["row"] == "t1"
    assert result.report["rows"].failures == {"RowError": 1}


def test_a_source_may_report_a_row_that_it_could_not_read() -> None:
    class Torn(GeneratorStep):
        def process(self, inputs: list[Row] | None = None) -> Iterator[list[Any]]:
            yield [{"text": "t0"}, RowError("rows.jsonl:2: this line is not JSON"), {"text": "t2"}]

    result = Pipeline(Torn(name="torn"), Mark(name="m")).run()
    assert column(result, "text") == ["t0", "t2"]
    assert result.failed[0]["limbeck_error"]["errors"][0]["message"] == "rows.jsonl:2: this line is not JSON"


def test_a_step_that_yields_no_rows_but_something_else_fails_its_row() -> None:
    @step()
    def wrong(row: Row) -> Any:
        return ["text"]

    (row,) = Pipeline(texts(1), wrong(name="w")).run()
    assert "yielded str where a row, a dict, is expected" in row["distilabel_metadata"]["error_w"]["message"]


def test_too_many_failed_rows_stop_the_run() -> None:
    with pytest.raises(FailureLimitError, match=r"3 of .* rows failed"):
        Pipeline(texts(50), Fail(name="f", on=[f"t{n}" for n in range(50)])).run(max_failed=2)


def test_a_failed_generation_goes_on_as_a_row_with_its_error() -> None:
    llm = ScriptedLLM(script=["fine", ValueError("broken")], max_concurrency=1)
    rows = Pipeline(texts(2), say("a", llm=llm), Mark(name="m")).run().to_list()
    assert column(rows, "by_a") == ["fine", None]
    assert rows[1]["distilabel_metadata"]["error_a"]["type"] == "BackendError"
    assert column(rows, "marks") == [["m"], ["m"]]


def test_a_join_that_calls_sys_exit_fails_its_row_and_not_the_program() -> None:
    class Exits(Join):
        def joined(self, origin: Row, branches: Sequence[Sequence[Row]]) -> Row:
            sys.exit(3)

    def run(at: Join) -> list[Row]:
        with Pipeline("p") as p:
            load(texts(1)) >> [say("a"), say("b")] >> at
        return p.run().to_list()

    (row,) = run(Exits(name="j"))
    assert row["distilabel_metadata"]["error_j"]["message"] == "Join 'j': SystemExit: 3."
    assert column(run(Join(name="j")), "by_b") == ["b(t0)"]


# Runs


def test_an_error_of_the_source_comes_after_the_rows_before_it() -> None:
    def torn() -> Iterator[Row]:
        yield from texts(3)
        raise OSError("the disk went away")

    sink = Collect(name="out")
    with pytest.raises(OSError, match="the disk went away"):
        Pipeline(torn(), say("a"), sink).run()
    assert column(sink.written, "by_a") == ["a(t0)", "a(t1)", "a(t2)"]
    assert sink.events[-2:] == ["close finished=False", "unload"]


def test_a_refused_key_stops_the_run_and_what_went_past_it_finishes() -> None:
    llm = ScriptedLLM(script=[*["fine"] * 5, AuthenticationError("wrong key")], max_concurrency=1)
    seen: list[str] = []
    with (
        Pipeline(texts(100), say("a"), say("b", llm=llm), Mark(name="m")).stream() as stream,
        pytest.raises(AuthenticationError, match="wrong key"),
    ):
        seen.extend(row["by_b"] for row in stream)
    assert seen == ["fine"] * 5


def test_a_breaker_stops_the_run() -> None:
    llm = ScriptedLLM(script=lambda _request: ValueError("no"), breaker_threshold=3)
    with pytest.raises(BreakerError):
        Pipeline(texts(50), say("a", llm=llm)).run()


def test_a_step_over_all_rows_is_not_given_some_of_them() -> None:
    def torn() -> Iterator[Row]:
        yield from texts(3)
        raise OSError("gone")

    sink = Collect()
    with pytest.raises(OSError, match="gone"):
        Pipeline(torn(), Reverse(), sink).run()
    assert sink.written == []


def test_an_error_of_a_step_over_all_rows_stops_the_run() -> None:
    @step(all_rows=True)
    def broken(rows: list[Row]) -> list[Row]:
        raise ValueError("cannot sort")

    with pytest.raises(ConfigurationError, match="Step 'broken' raised ValueError: cannot sort"):
        Pipeline(texts(3), broken(name="broken")).run()


def test_a_sink_that_cannot_write_stops_the_run() -> None:
    class Full(Collect):
        def write(self, rows: list[Row]) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(ConfigurationError, match="'full' cannot write any further: No space left on device"):
        Pipeline(({"text": "t"} for _ in range(50_000)), Full()).run()


class ExitingSink(Collect):
    """Calls `sys.exit` in one of its methods.

    Attributes:
        method: which.
    """

    method: str

    def _exit_in(self, method: str) -> None:
        if method == self.method:
            sys.exit(3)

    def write(self, rows: list[Row]) -> None:
        self._exit_in("write")

    def close(self, *, finished: bool) -> None:
        super().close(finished=finished)
        self._exit_in("close")

    def unload(self) -> None:
        super().unload()
        self._exit_in("unload")


@pytest.mark.parametrize("method", ["write", "close", "unload"])
def test_a_sink_that_calls_sys_exit_stops_the_run_and_not_the_program(method: str) -> None:
    sink = ExitingSink(name="out", method=method)
    with pytest.raises(ConfigurationError, match="SystemExit: 3"):
        Pipeline(texts(3), sink).run(run_dir="kept")
    assert [event.split()[0] for event in sink.events] == ["open", "load", "close", "unload"]
    assert column(Pipeline(texts(3), Mark()).run(run_dir="kept"), "text") == ["t0", "t1", "t2"]


def test_two_sinks_of_one_target_are_refused() -> None:
    class To(Collect):
        def targets(self) -> list[str]:
            return ["/somewhere/out.jsonl"]

    with Pipeline("p") as p:
        load(texts(1)) >> [To(name="a"), To(name="b")]
    with pytest.raises(ConfigurationError, match=r"The sinks 'a' and 'b' both write '/somewhere/out\.jsonl'"):
        p.run()


def test_two_runs_in_one_directory_are_refused() -> None:
    held = threading.Event()

    def waiting() -> Iterator[Row]:
        yield {"text": "t0"}
        held.wait()

    p = Pipeline(waiting(), say("a"))
    with p.stream(run_dir="kept") as stream:
        next(stream)
        with pytest.raises(LedgerError, match="running in"):
            Pipeline(texts(1), say("a")).run(run_dir="kept")
        held.set()


class _HangingLLM(LLM):
    """Answers nothing; says when it was asked."""

    _asked: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def model_name(self) -> str:
        return "hanging"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        import asyncio

        self._asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")


def test_a_stream_that_is_closed_cancels_what_is_in_flight_and_closes_everything() -> None:
    llm, sink = _HangingLLM(), Collect()
    stream = Pipeline(texts(1000), Mark(name="m"), say("a", llm=llm), sink).stream()
    assert llm._asked.wait(10)
    stream.close()
    assert sink.events == ["open replace=False", "load", "close finished=False", "unload"]
    assert list(stream) == []


def test_rows_that_are_done_leave_when_a_run_is_stopped() -> None:
    def answers(request: GenerationRequest) -> Any:
        return "done"

    with Pipeline("p") as p:
        hanging = _HangingLLM()
        quick, slow = say("quick", llm=ScriptedLLM(script=answers)), say("slow", llm=hanging)
        first = load(texts(10))
        first >> [quick, slow] >> Mark(name="m")
    stream = p.stream(ordered=False)
    assert hanging._asked.wait(10)
    taken = [next(stream) for _ in range(10)]
    stream.stop()
    assert [row["by_quick"] for row in [*taken, *stream]] == ["done"] * 10


def test_a_stream_that_nobody_holds_ends() -> None:
    import gc

    llm = _HangingLLM()
    sink = Collect()
    stream = Pipeline(texts(10), say("a", llm=llm), sink).stream()
    assert llm._asked.wait(10)
    closed = stream._closed
    del stream
    gc.collect()
    assert closed.wait(10)
    assert sink.events[-1] == "unload"


def test_a_stream_of_a_sink_that_nobody_holds_ends_though_nobody_takes_its_rows() -> None:
    import gc

    sink = Collect()
    stream = Pipeline(({"text": "t"} for _ in range(50_000)), Mark(name="m"), sink).stream(ordered=False)
    next(stream)
    closed = stream._closed
    del stream
    gc.collect()
    assert closed.wait(10)
    assert sink.events[-1] == "unload"


def test_a_join_joins_nothing_of_a_row_that_was_given_up() -> None:
    with Pipeline("p") as p:
        hanging = _HangingLLM()
        first = load(texts(3))
        first >> [say("quick"), say("slow", llm=hanging)] >> join()
    stream = p.stream()
    assert hanging._asked.wait(10)
    stream.stop()
    assert list(stream) == []


def test_a_fast_branch_goes_on_while_a_slow_one_lags() -> None:
    with Pipeline("p") as p:
        fast, slow = Collect(name="fast"), _HangingLLM(max_concurrency=1)
        load(texts(5000)) >> [fast, say("slow", llm=slow)]
    finished = threading.Event()
    stream = PipelineStream(p, None, PipelineOptions(run_dir="kept", ordered=False), whole=True)
    try:
        while len(fast.written) < 5000:
            assert not finished.wait(0.01)
    finally:
        stream.close()
