"""The contracts of tasks, backends and stores of answers, as test classes that a third party subclasses.

    class TestPairwiseJudge(TaskContract):
        def make_task(self, llm):
            return PairwiseJudge(llm=llm)

pytest collects the `test_` methods; any runner that calls them will do.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import time
import uuid
from array import array
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr

from .._engine.threads.portal import portal
from .._step import required_columns
from .._task.examples import answers_of, example_turns
from ..errors import BadRequestError, ContentFilteredError, LedgerError, MissingColumnError, TransientError
from ..protocols import check_batch_api, check_ledger, check_llm, class_faults, keeps_turns
from ..types import (
    BatchIntent,
    BatchLimits,
    BatchSearch,
    FailedCall,
    Generation,
    GenerationRequest,
    GenerationResponse,
    Image,
    PaidAnswer,
    StoredAnswer,
    StoredEffect,
    Usage,
)
from .llms import ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from .._task.task import Task
    from ..errors import GenerationError
    from ..protocols import LedgerProtocol, StepLedgerProtocol, TurnLedgerProtocol


class TaskContract:
    """The promises of a task, be it of one call a row or a conversation; a subclass defines `make_task`."""

    def make_task(self, llm: Any, **fields: Any) -> Task:
        """The task under test, with this LLM and these further fields (`num_generations`, …)."""
        raise AssertionError("A TaskContract must define `make_task(self, llm, **fields)`.")

    def _model(self, answers: Sequence[Any]) -> Any:
        """A model that gives these answers."""
        return ScriptedLLM(script=list(answers))

    def _task(self, *answers: Any, **fields: Any) -> Any:
        return self.make_task(self._model(answers), **fields)

    def test_the_class_has_what_a_task_must_have(self) -> None:
        assert class_faults("task", type(self._task())) == []

    def test_it_has_an_example(self) -> None:
        assert len(self._task().examples()) > 0

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        task = self._task()
        for example in task.examples():
            chats = [messages for messages, _ in example_turns(task, example)]
            assert chats
            for messages in chats:
                assert messages
                assert all("role" in message for message in messages)
                assert json.loads(json.dumps(messages)) == messages

    def test_each_example_gives_its_output_as_one_row(self) -> None:
        task = self._task()
        for example in task.examples():
            (row,) = next(self._task(*answers_of(task, example)).process([deepcopy(example.row)]))
            assert {name: row[name] for name in example.output} == example.output
            assert {name: row[name] for name in example.row} == example.row

    def test_its_outputs_are_what_it_returns(self) -> None:
        task = self._task()
        declared = [name for name in required_columns(task.outputs) if name != "model_name"]
        for example in task.examples():
            assert set(declared) <= set(example.output)

    def test_a_group_holds_lists_in_sample_order(self) -> None:
        made = self._task()
        for example in made.examples():
            answers = answers_of(made, example)
            samples = 3 if len(answers) == 1 else 1  # side by side, the turns of several would come in any order
            task = self._task(*answers * samples, num_generations=samples, group_generations=True)
            (row,) = next(task.process([example.row]))
            assert {name: row[name] for name in example.output} == {
                name: [value] * samples for name, value in example.output.items()
            }

    def test_a_row_without_its_columns_is_an_error_before_any_call(self) -> None:
        task = self._task()
        if not required_columns(task.inputs):
            return
        try:
            next(task.process([{"an unrelated column": 1}]))
        except MissingColumnError as exc:
            assert exc.task == task.name
        else:
            raise AssertionError(f"Task {task.name!r} took a row that has none of its columns.")


class LLMContract:
    """The promises of a backend; a subclass defines `make_llm` and has a server or weights behind it."""

    def make_llm(self) -> Any:
        """The backend under test, ready to answer."""
        raise AssertionError("An LLMContract must define `make_llm(self)`.")

    def _ask(self, llm: Any) -> GenerationResponse:
        from .._engine.online.backend import backend_of

        request = GenerationRequest(messages=[{"role": "user", "content": "Say hello."}])
        load = getattr(llm, "load", None)
        if load is not None:
            load()
        left_out: list[str] = []
        (result,) = portal().wait(backend_of(llm).ask([request], left_out.append))
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, GenerationResponse)
        assert not left_out, f"Its answer holds what cannot be read: {'; '.join(left_out)}."
        return result

    def test_it_has_what_a_backend_must_have(self) -> None:
        check_llm(self.make_llm())

    def test_it_answers_with_one_generation(self) -> None:
        response = self._ask(self.make_llm())
        assert len(response.generations) == 1
        assert isinstance(response.generations[0].text, str | None)

    def test_its_usage_is_counted_when_it_is_given(self) -> None:
        usage = self._ask(self.make_llm()).usage
        assert usage is None or (usage.input_tokens >= 0 and usage.output_tokens >= usage.reasoning_tokens)

    def test_what_identifies_it_is_plain_json_without_secrets(self) -> None:
        llm = self.make_llm()
        identity = getattr(llm, "identity", None)
        assert identity is None or json.loads(json.dumps(identity)) == identity
        for secret in secrets_of(llm):
            assert secret not in json.dumps(identity)
            assert secret not in repr(llm)

    def test_its_model_name_does_not_change(self) -> None:
        assert self.make_llm().model_name == self.make_llm().model_name

    def test_its_answer_survives_pickling(self) -> None:
        response = self._ask(self.make_llm())
        assert pickle.loads(pickle.dumps(response)) == response  # noqa: S301 - our own bytes


class BatchContract:
    """The promises of a backend with provider batches; a subclass defines `make_llm`.

    Behind it is a server that ends a batch within a few looks, and answers all its entries.
    """

    def make_llm(self) -> Any:
        """The backend under test, ready to submit."""
        raise AssertionError("A BatchContract must define `make_llm(self)`.")

    def _entries(self, llm: Any, intent: BatchIntent) -> list[bytes]:
        requests = [
            GenerationRequest(messages=[{"role": "user", "content": f"Say {number}."}])
            for number in range(intent.requests)
        ]
        return [llm.encode_batch_entry(f"{intent.token}-{number}", each) for number, each in enumerate(requests)]

    async def _ended(self, llm: Any, intent: BatchIntent) -> str:
        id: str = await llm.submit_batch(self._entries(llm, intent), intent)
        for _ in range(100):
            status = await llm.poll_batch(id)
            if status.state == "ended":
                return id
            assert status.state == "running", f"The batch has failed: {status.error}"
            await asyncio.sleep(0.05)
        raise AssertionError(f"The batch {id!r} has not ended after 100 looks.")

    def _run(self, scene: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        llm = self.make_llm()

        async def whole() -> None:
            try:
                await scene(llm)
            finally:
                aclose = getattr(llm, "aclose", None)
                if aclose is not None:
                    await aclose()

        portal().wait(whole())

    def test_it_has_what_a_backend_with_batches_must_have(self) -> None:
        llm = self.make_llm()
        check_batch_api(llm)
        assert llm.capabilities.batches
        assert isinstance(llm.batch_limits, BatchLimits)

    def test_an_entry_is_one_line_of_bytes_that_holds_its_custom_id(self) -> None:
        llm, intent = self.make_llm(), _intent()
        for number, entry in enumerate(self._entries(llm, intent)):
            assert isinstance(entry, bytes)
            assert b"\n" not in entry
            assert f"{intent.token}-{number}".encode() in entry

    def test_every_entry_has_an_answer_under_its_custom_id(self) -> None:
        async def scene(llm: Any) -> None:
            intent = _intent()
            id = await self._ended(llm, intent)
            results = [(custom_id, result) async for custom_id, result in llm.fetch_batch(id)]
            assert sorted(custom_id for custom_id, _ in results) == [f"{intent.token}-{number}" for number in range(3)]
            assert all(isinstance(result, GenerationResponse) for _, result in results)

        self._run(scene)

    def test_results_can_be_read_twice(self) -> None:
        async def scene(llm: Any) -> None:
            id = await self._ended(llm, _intent())
            first = {custom_id: result async for custom_id, result in llm.fetch_batch(id)}
            assert {custom_id: result async for custom_id, result in llm.fetch_batch(id)} == first

        self._run(scene)

    def test_a_batch_is_found_by_its_intent_alone(self) -> None:
        async def scene(llm: Any) -> None:
            intent = _intent()
            id = await self._ended(llm, intent)
            await self._ended(llm, _intent())
            assert await llm.find_batch(intent) == BatchSearch(id=id)

        self._run(scene)

    def test_a_batch_that_was_never_submitted_is_not_found(self) -> None:
        async def scene(llm: Any) -> None:
            await self._ended(llm, _intent())
            assert await llm.find_batch(_intent()) == BatchSearch()

        self._run(scene)


def _intent() -> BatchIntent:
    return BatchIntent(token=uuid.uuid4().hex, requests=3, at=time.time())


class LedgerContract:
    """The promises of a store of answers; a subclass defines `open_ledger`."""

    def open_ledger(self) -> LedgerProtocol:
        """The store under test, empty at first; the same one for each call of one test, after it was closed."""
        raise AssertionError("A LedgerContract must define `open_ledger(self)`.")

    def _kept(self, *answers: PaidAnswer, step: str = "step") -> None:
        """A run that keeps some answers."""
        ledger = self.open_ledger()
        part = ledger.step(step, {})
        _keep(part, *answers)
        part.close()
        ledger.close()

    def _texts(self, row: str, key: bytes, samples: int = 1, *, step: str = "step") -> list[str | None]:
        """The texts that a new run finds for one row."""
        return _texts(self._found(row, key, samples, step=step))

    def _found(self, row: str, key: bytes, samples: int, *, step: str = "step") -> Sequence[StoredAnswer | None]:
        ledger = self.open_ledger()
        part = ledger.step(step, {})
        found = part.find(row, key, samples)
        part.close()
        ledger.close()
        return found

    def test_it_has_what_a_store_must_have(self) -> None:
        ledger = self.open_ledger()
        check_ledger(ledger)
        ledger.close()

    def test_an_empty_one_has_no_answers(self) -> None:
        assert self._texts("0", b"key", 3) == [None, None, None]

    def test_an_answer_is_found_by_its_row_and_key(self) -> None:
        self._kept(_answer("0", "Madrid"), _answer("1", "Lima", key=b"other"))
        assert self._texts("0", b"key") == ["Madrid"]
        assert self._texts("1", b"other") == ["Lima"]

    def test_an_answer_is_found_again_in_every_later_run(self) -> None:
        self._kept(_answer("0", "Madrid"))
        assert [self._texts("0", b"key") for _ in range(3)] == [["Madrid"]] * 3

    def test_another_key_finds_nothing(self) -> None:
        self._kept(_answer("0", "Madrid"))
        assert self._texts("0", b"another") == [None]

    def test_another_step_finds_nothing(self) -> None:
        self._kept(_answer("0", "Madrid"))
        assert self._texts("0", b"key", step="other") == [None]

    def test_each_sample_has_its_own_answer_and_those_that_are_missing_are_none(self) -> None:
        self._kept(_answer("0", "first", "third", samples=[0, 2]))
        assert self._texts("0", b"key", 4) == ["first", None, "third", None]

    def test_an_answer_is_taken_once_in_a_run(self) -> None:
        self._kept(_answer("0", "Madrid"))
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        assert [_texts(part.find(row, b"key", 1)) for row in ("0", "0", "1")] == [["Madrid"], [None], [None]]
        part.close()
        ledger.close()

    def test_rows_that_moved_take_answers_by_key_in_row_order(self) -> None:
        self._kept(_answer("10", "tenth"), _answer("9", "ninth"), _answer("2.1", "second"))
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        assert [_texts(part.find(row, b"key", 1)) for row in ("90", "91", "92", "93")] == [
            *(["second"], ["ninth"], ["tenth"], [None]),
        ]
        part.close()
        ledger.close()

    def test_the_rows_own_answer_goes_before_those_that_moved(self) -> None:
        self._kept(_answer("0", "zeroth"), _answer("1", "first"))
        assert self._texts("1", b"key", 2) == ["first", "zeroth"]

    def test_what_a_run_keeps_is_found_by_no_other_row_of_it(self) -> None:
        self._kept(_answer("0", "of the run before"))
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        part.find("0", b"key", 1)
        _keep(part, _answer("1", "of this run"))
        assert _texts(part.find("2", b"key", 1)) == [None]
        part.close()
        ledger.close()

    def test_answers_that_are_no_text_are_kept(self) -> None:
        values = [array("f", [0.5, -1.25]), [0.1, 2.0], Image(content=b"\x89PNG", media_type="image/png")]
        for row, value in enumerate(values):
            response = GenerationResponse(generations=[Generation(text=None, value=value)])
            self._kept(_answer(str(row), samples=[0], key=b"key %d" % row, response=response))
        for row, value in enumerate(values):
            (found,) = self._found(str(row), b"key %d" % row, 1)
            assert found is not None
            assert found.generation.value == value

    def test_all_that_stands_beside_an_answer_is_kept(self) -> None:
        generation = Generation(
            text="Madrid",
            finish_reason="stop",
            reasoning="It is Spain's.",
            tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            logprobs={"content": [{"token": "Madrid", "logprob": -0.5}]},
        )
        usage = Usage(input_tokens=7, output_tokens=5, cached_tokens=3, reasoning_tokens=2)
        response = GenerationResponse(generations=[generation, Generation(text=None)], usage=usage, model="m-2026")
        self._kept(_answer("0", samples=[0, 1], response=response))
        first, second = self._found("0", b"key", 2)
        assert first is not None
        assert second is not None
        assert (first.generation, second.generation) == tuple(response.generations)
        assert (first.usage, second.usage) == (usage, None)  # so that the sum is what was billed
        assert [(found.model, found.latency, found.attempts) for found in (first, second)] == [("m-2026", 0.25, 2)] * 2

    def test_half_a_surrogate_pair_is_kept_as_it_is(self) -> None:
        self._kept(_answer("0", "half of \ud83d"))
        assert self._texts("0", b"key") == ["half of \ud83d"]

    def test_a_failure_is_no_answer(self) -> None:
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        part.keep_failure(_failure(BadRequestError("no", raw="half an answer")))
        part.keep_failure(_failure(ContentFilteredError("refused", usage=Usage(input_tokens=7)), request=None))
        part.keep_failure(_failure(TransientError("half of \ud83d"), retried=True))
        part.close()
        ledger.close()
        assert self._texts("0", b"key", 2) == [None, None]

    # Conversations: for a store with the methods of `TurnLedgerProtocol`; one without them passes.

    def _with_turns(self, scene: Callable[[TurnLedgerProtocol], None]) -> None:
        """A run in which something is done with a step that keeps conversations."""
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        if keeps_turns(part):
            scene(cast("TurnLedgerProtocol", part))
        part.close()
        ledger.close()

    def test_an_answer_is_found_at_its_turn(self) -> None:
        def keep(part: TurnLedgerProtocol) -> None:
            _keep(part, _answer("0", "draft", turn="1"), _answer("0", "final", key=b"other", turn="2"))

        def look(part: TurnLedgerProtocol) -> None:
            assert _text(part.find_turn("0", 0, "1", b"key")) == "draft"
            assert _text(part.find_turn("0", 0, "2", b"other")) == "final"
            assert part.find_turn("0", 0, "3", b"a third") is None

        self._with_turns(keep)
        for _ in range(2):
            self._with_turns(look)

    def test_equal_questions_at_several_turns_keep_their_own_answers(self) -> None:
        def keep(part: TurnLedgerProtocol) -> None:
            _keep(part, *(_answer("0", text, turn=turn) for turn, text in (("1.1", "a"), ("1.2", "b"), ("2", "c"))))

        def look(part: TurnLedgerProtocol) -> None:
            assert [_text(part.find_turn("0", 0, turn, b"key")) for turn in ("2", "1.2", "1.1", "3")] == [
                *("c", "b", "a", None),
            ]

        self._with_turns(keep)
        self._with_turns(look)

    def test_turns_of_rows_that_moved_are_found_by_key(self) -> None:
        def look(part: TurnLedgerProtocol) -> None:
            assert [_text(part.find_turn("7", 0, "1", b"key")) for _ in range(2)] == ["draft", None]

        self._with_turns(lambda part: _keep(part, _answer("0", "draft", turn="1")))
        self._with_turns(look)

    def test_a_failed_turn_is_found_where_its_conversation_went_past_it(self) -> None:
        def keep(part: TurnLedgerProtocol) -> None:
            part.keep_failure(_failure(BadRequestError("no"), turn="1"))
            _keep(part, _answer("0", "all the same", key=b"other", turn="2"))

        def look(part: TurnLedgerProtocol) -> None:
            found = part.find_turn("0", 0, "1", b"key")
            assert isinstance(found, BadRequestError)
            assert str(found) == "no"
            assert part.find_turn("0", 1, "1", b"key") is None  # the other sample ended there

        self._with_turns(keep)
        self._with_turns(look)

    def test_an_effect_is_found_by_its_turn_and_key(self) -> None:
        def look(part: TurnLedgerProtocol) -> None:
            assert part.find_effect("0", 0, "2", b"another") is None
            found = part.find_effect("0", 0, "2", b"key")
            assert found is not None
            assert (found.name, found.arguments, found.result) == ("look_up", '[["half of \\ud83d"], {}]', '{"a": 1}')
            assert part.find_effect("0", 0, "2", b"key") is None  # it is taken once in a run

        self._with_turns(lambda part: asyncio.run(_kept_effect(part, _effect("2"))))
        for _ in range(2):
            self._with_turns(look)

    def test_an_effect_that_failed_is_found_only_where_its_conversation_went_past_it(self) -> None:
        def look(part: TurnLedgerProtocol) -> None:
            found = part.find_effect("0", 0, "1", b"key")
            assert found is not None
            assert found.error == "no"
            assert part.find_effect("0", 0, "2", b"other") is None

        for effect in (_effect("1", error="no"), _effect("2", key=b"other", error="no")):
            self._with_turns(lambda part, effect=effect: asyncio.run(_kept_effect(part, effect)))  # type: ignore[misc]
        self._with_turns(look)

    def test_a_step_runs_once_at_a_time(self) -> None:
        ledger = self.open_ledger()
        part = ledger.step("step", {})
        try:
            ledger.step("step", {})
        except LedgerError as exc:
            assert "'step'" in str(exc)
        else:
            raise AssertionError("Two runs of one step at a time were let in.")
        ledger.step("other", {}).close()
        part.close()
        ledger.step("step", {}).close()
        ledger.close()


_REQUEST = GenerationRequest(messages=[{"role": "user", "content": "What is the capital?"}])


def _failure(
    error: GenerationError,
    *,
    request: GenerationRequest | None = _REQUEST,
    retried: bool = False,
    turn: str | None = None,
) -> FailedCall:
    return FailedCall(
        row="0",
        samples=[0, 1],
        turn=turn,
        key=b"key",
        request=request,
        error=error,
        attempts=2,
        cost=0.5,
        retried=retried,
    )


def _answer(
    row: str,
    *texts: str,
    key: bytes = b"key",
    samples: Sequence[int] | None = None,
    response: GenerationResponse | None = None,
    turn: str | None = None,
) -> PaidAnswer:
    return PaidAnswer(
        row=row,
        samples=range(len(texts)) if samples is None else samples,
        turn=turn,
        key=key,
        request=_REQUEST,
        response=response or GenerationResponse(generations=[Generation(text=text) for text in texts]),
        latency=0.25,
        attempts=2,
    )


def _keep(step: StepLedgerProtocol, *answers: PaidAnswer) -> None:
    async def keep() -> None:
        for answer in answers:
            await step.keep(answer)

    asyncio.run(keep())


def _effect(turn: str, *, key: bytes = b"key", error: str | None = None) -> StoredEffect:
    return StoredEffect(
        row="0",
        sample=0,
        turn=turn,
        key=key,
        name="look_up",
        arguments='[["half of \\ud83d"], {}]',
        result=None if error else '{"a": 1}',
        error=error,
        seconds=0.25,
    )


async def _kept_effect(step: TurnLedgerProtocol, effect: StoredEffect) -> None:
    await step.keep_effect(effect)


def _text(found: StoredAnswer | GenerationError | None) -> str | None:
    return found.generation.text if isinstance(found, StoredAnswer) else None


def _texts(found: Sequence[StoredAnswer | None]) -> list[str | None]:
    return [None if answer is None else answer.generation.text for answer in found]


def secrets_of(llm: Any) -> list[str]:
    values = [getattr(llm, name) for name in getattr(type(llm), "model_fields", ())]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
