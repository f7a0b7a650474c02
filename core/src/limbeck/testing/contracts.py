"""What every task and every backend owes, as test classes that a third party subclasses.

    class TestPairwiseJudge(TaskContract):
        def make_task(self, llm):
            return PairwiseJudge(llm=llm)

pytest collects the `test_` methods; any runner that calls them will do.
"""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from .._engine.portal import portal
from .._step import required_columns
from ..errors import MissingColumnError
from ..protocols import check_llm, class_faults
from ..types import GenerationRequest, GenerationResponse
from .llms import ScriptedLLM

if TYPE_CHECKING:
    from .._task.task import Task


class TaskContract:
    """The promises of a task; a subclass defines `make_task`."""

    def make_task(self, llm: Any, **fields: Any) -> Task:
        """The task under test, with this LLM and these further fields (`num_generations`, …)."""
        raise AssertionError("A TaskContract must define `make_task(self, llm, **fields)`.")

    def _task(self, *answers: str, **fields: Any) -> Task:
        return self.make_task(ScriptedLLM(script=list(answers)), **fields)

    def test_the_class_has_what_a_task_must_have(self) -> None:
        assert class_faults("task", type(self._task())) == []

    def test_it_has_an_example(self) -> None:
        assert len(self._task().examples()) > 0

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        task = self._task()
        for example in task.examples():
            messages = task.format_input(example.row)
            assert messages
            assert all("role" in message for message in messages)
            assert json.loads(json.dumps(messages)) == messages

    def test_each_example_gives_its_output_as_one_row(self) -> None:
        for example in self._task().examples():
            (row,) = next(self._task(example.raw_output).process([deepcopy(example.row)]))
            assert {name: row[name] for name in example.output} == example.output
            assert {name: row[name] for name in example.row} == example.row

    def test_its_outputs_are_what_it_returns(self) -> None:
        task = self._task()
        declared = [name for name in required_columns(task.outputs) if name != "model_name"]
        for example in task.examples():
            assert set(declared) <= set(example.output)

    def test_a_group_holds_lists_in_sample_order(self) -> None:
        for example in self._task().examples():
            task = self._task(*[example.raw_output] * 3, num_generations=3, group_generations=True)
            (row,) = next(task.process([example.row]))
            assert {name: row[name] for name in example.output} == {
                name: [value] * 3 for name, value in example.output.items()
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
        from .._engine.backend import backend_of

        request = GenerationRequest(messages=[{"role": "user", "content": "Say hello."}])
        load = getattr(llm, "load", None)
        if load is not None:
            load()
        (result,) = portal().wait(backend_of(llm).ask([request]))
        if isinstance(result, Exception):
            raise result
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
        for secret in _secrets(llm):
            assert secret not in json.dumps(identity)
            assert secret not in repr(llm)

    def test_its_model_name_does_not_change(self) -> None:
        assert self.make_llm().model_name == self.make_llm().model_name

    def test_its_answer_survives_pickling(self) -> None:
        response = self._ask(self.make_llm())
        assert pickle.loads(pickle.dumps(response)) == response  # noqa: S301 - our own bytes


def _secrets(llm: Any) -> list[str]:
    values = [getattr(llm, name) for name in getattr(type(llm), "model_fields", ())]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
