"""Any interleaving of runs that are cut off at any moment, with rows that come, go and change between them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from limbeck._engine.calls.keys import Keyring
from limbeck._engine.calls.policy import Policy
from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.stream.parts import Asking, Receiver, Terms
from limbeck._engine.stream.stream import Stream
from limbeck._engine.threads.handoff import END
from limbeck._registry.registry import default_registry
from limbeck._task.work import TaskWork
from limbeck.errors import BadRequestError
from limbeck.testing import EchoLLM, MemoryLedger
from limbeck.types import PaidAnswer
from support.questions import Ask, prompt_of, response

if TYPE_CHECKING:
    from limbeck._engine.calls.jobs import Unit
    from limbeck.protocols import LedgerProtocol
    from limbeck.types import Row

prompts = st.sampled_from("abc")
places = st.integers(0, 30)

running = precondition(lambda machine: machine.stream is not None)
between_runs = precondition(lambda machine: machine.stream is None)
in_flight = precondition(lambda machine: machine.in_flight)


class Source:
    """The rows of one run."""

    def __init__(self, rows: list[str]) -> None:
        self._rows = iter([{"question": prompt} for prompt in rows])

    def take(self) -> Any:
        return next(self._rows, END)


class AnyStore(RuleBasedStateMachine):
    """One store, runs over changing rows, and what was ever bought: each answer has a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.loop = asyncio.new_event_loop()
        self.opened.callback(self.loop.close)
        self.rows: list[str] = []
        self.kept: Counter[str] = Counter()  # answers that were committed, by prompt
        self.bought = 0
        self.stream: Stream | None = None
        self.in_flight: list[Unit] = []
        self.out: list[Row] = []
        self.failed: set[str] = set()

    def open_store(self) -> LedgerProtocol:
        """The store, as the next run finds it."""
        raise NotImplementedError

    def teardown(self) -> None:
        if self.stream is not None:
            self.cut_off()
        self.opened.close()

    # Between runs

    @between_runs
    @rule(at=places, prompt=prompts, count=st.integers(1, 3))
    def insert_rows(self, at: int, prompt: str, count: int) -> None:
        self.rows[at:at] = [prompt] * count

    @between_runs
    @rule(first=places, last=places)
    def remove_rows(self, first: int, last: int) -> None:
        del self.rows[first:last]

    @between_runs
    @rule(at=places, prompt=prompts)
    def change_a_row(self, at: int, prompt: str) -> None:
        self.rows[at : at + 1] = [prompt]

    @between_runs
    @rule(order=st.randoms(use_true_random=False))
    def shuffle_rows(self, order: Any) -> None:
        order.shuffle(self.rows)

    @between_runs
    @rule(samples=st.integers(1, 2))
    def begin(self, samples: int) -> None:
        self.store = self.open_store()
        self.step = self.store.step("ask", {})
        self.samples = samples
        self.kept_before = self.kept.copy()
        self.asked: Counter[str] = Counter()
        self.out, self.failed = [], set()
        self.stream = Stream(
            Asking(
                TaskWork(Ask(llm=EchoLLM(), num_generations=samples)),
                SimpleNamespace(llm=EchoLLM(), native_n=False, keyring=Keyring({})),  # type: ignore[arg-type]  # a stand-in
                default_registry(),
            ),
            Source(self.rows),
            Receiver(lambda _, rows: self.out.extend(rows), lambda error: None),
            Policy(),
            Terms(self.step),
        )

    # In a run

    @running
    @rule()
    def send_a_request(self) -> None:
        assert self.stream is not None
        unit = self.stream.requests[0].next_unit()
        if unit is not None:
            self.in_flight.append(unit)
            self.asked[prompt_of(unit.request)] += 1
        self.end_if_it_ended()

    @running
    @in_flight
    @rule(which=places)
    def an_answer_comes(self, which: int) -> None:
        assert self.stream is not None
        unit = self.in_flight.pop(which % len(self.in_flight))
        prompt = prompt_of(unit.request)
        self.bought += 1
        answer = response(f"{prompt}#{self.bought}")
        self.loop.run_until_complete(self.commit(unit, answer))
        self.kept[prompt] += 1
        self.stream.requests[0].answered(unit, answer, 0.1)
        self.end_if_it_ended()

    async def commit(self, unit: Unit, answer: Any) -> None:
        await self.step.keep(
            PaidAnswer(
                row=unit.job.id,
                samples=unit.samples,
                key=unit.job.key,
                request=unit.request,
                response=answer,
                latency=0.1,
                attempts=1,
            )
        )

    @running
    @in_flight
    @rule(which=places)
    def a_request_fails(self, which: int) -> None:
        assert self.stream is not None
        unit = self.in_flight.pop(which % len(self.in_flight))
        self.failed.add(prompt_of(unit.request))
        self.stream.requests[0].refused(unit, BadRequestError("no"))
        self.end_if_it_ended()

    @running
    @rule()
    def go_to_the_end(self) -> None:
        while self.stream is not None:
            self.an_answer_comes(0) if self.in_flight else self.send_a_request()

    @running
    @rule()
    def cut_off(self) -> None:
        """What is in flight is lost, whether it was answered or not."""
        assert self.stream is not None
        self.stream.stop()
        self.close_run()

    # What must hold

    def end_if_it_ended(self) -> None:
        assert self.stream is not None
        if self.stream.ended:
            assert [row["question"] for row in self.out] == [
                prompt for prompt in self.rows for _ in range(self.samples)
            ]
            wanted = Counter({prompt: number * self.samples for prompt, number in Counter(self.rows).items()})
            assert self.asked == wanted - self.kept_before  # whatever is there is used, and nothing else is asked for
            self.close_run()

    def close_run(self) -> None:
        answers = [row["answer"] for row in self.out if row["answer"] is not None]
        assert len(set(answers)) == len(answers), "two samples have one answer"
        for row in self.out:
            assert row["answer"] is not None or row["question"] in self.failed or not self.stream_ended_well()
            assert row["answer"] is None or row["answer"].startswith(f"{row['question']}#")
        self.stream = None
        self.in_flight.clear()
        self.store.close()

    def stream_ended_well(self) -> bool:
        """Whether the run came to the end of its rows."""
        assert self.stream is not None
        return self.stream.stats.rows_done == len(self.rows)


class BuiltInStore(AnyStore):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.opened.callback(shutil.rmtree, self.folder)

    def open_store(self) -> LedgerProtocol:
        return Ledger(self.folder)


class StoreInMemory(AnyStore):
    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryLedger()

    def open_store(self) -> LedgerProtocol:
        return self.memory


few = settings(max_examples=40, stateful_step_count=40, deadline=None)


TestTheBuiltInLedgerNeverBuysTwice = BuiltInStore.TestCase
TestTheBuiltInLedgerNeverBuysTwice.settings = few
TestTheLedgerInMemoryNeverBuysTwice = StoreInMemory.TestCase
TestTheLedgerInMemoryNeverBuysTwice.settings = few
