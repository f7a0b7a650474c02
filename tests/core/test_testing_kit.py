"""`limbeck.testing`: the fakes do what they say, and the suites pass what is good and fail what is not."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import LLM, Task, get_task, list_llms, list_tasks, register_task
from limbeck._registry.registry import default_registry
from limbeck.errors import PluginLoadError, RateLimitError, RegistryError, UnknownNameError
from limbeck.testing import (
    EchoLLM,
    LLMContract,
    ScriptedLLM,
    TaskContract,
    check_distribution,
    fake_distribution,
    registry,
)
from limbeck.types import Example, Generation, GenerationRequest, GenerationResponse, Usage
from support.packs import TASK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from limbeck.types import ChatType, Row

JUDGE = {"limbeck.tasks": {"judge": "acme_judge:Judge"}}
JUDGE_SOURCE = {"acme_judge": TASK.format(name="Judge")}


# Distributions


def test_a_fake_distribution_is_found_by_the_real_scan(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-judges", entry_points=JUDGE, modules=JUDGE_SOURCE):
        assert get_task("acme-judges/judge") is get_task("judge")


def test_a_fake_distribution_stands_beside_what_is_installed(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-judges", entry_points=JUDGE):
        assert "judge" in list_tasks()
        assert "offline" in list_llms()


def test_a_fake_distribution_ends_with_its_block(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-judges", entry_points=JUDGE, modules=JUDGE_SOURCE):
        get_task("judge")

    assert str(tmp_path) not in sys.path
    assert "acme_judge" not in sys.modules
    with registry(), pytest.raises(UnknownNameError):
        get_task("acme-judges/judge")


def test_a_fake_distribution_ends_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), fake_distribution(tmp_path, "acme-judges", entry_points=JUDGE):
        raise ZeroDivisionError

    assert str(tmp_path) not in sys.path


def test_a_fake_distribution_has_the_metadata_it_is_given(tmp_path: Path) -> None:
    with fake_distribution(
        tmp_path, "acme-judges", version="2.1", entry_points=JUDGE, summary="Judges.", requires=("httpx>=1",)
    ) as fresh:
        (entry,) = fresh.index.find("task", "judge")

    assert (entry.distribution, entry.version, entry.summary, entry.requirements) == (
        "acme-judges",
        "2.1",
        "Judges.",
        ["httpx>=1"],
    )


def test_a_fake_distribution_can_be_broken_on_purpose(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-judges", entry_points="[limbeck.tasks]\nno equals sign\n") as fresh:
        list_tasks()

    assert [problem.distribution for problem in fresh.report.all()] == ["acme-judges"]


def test_fake_distributions_can_be_nested(tmp_path: Path) -> None:
    with (
        fake_distribution(tmp_path / "a", "acme", entry_points=JUDGE),
        fake_distribution(tmp_path / "z", "zenith", entry_points=JUDGE) as fresh,
    ):
        assert [entry.distribution for entry in fresh.index.find("task", "judge")] == ["zenith", "acme"]


def test_a_registry_of_ones_own_takes_the_place_of_the_default_for_a_block() -> None:
    outside = default_registry()
    with registry(path=[]) as fresh:
        assert default_registry() is fresh
        assert list_tasks() == []

    assert default_registry() is outside


def test_what_is_registered_in_a_registry_of_ones_own_ends_with_it() -> None:
    with registry(path=[]):
        register_task("shout", Shout)

    with registry(path=[]):
        assert list_tasks() == []


# Checking a distribution


def test_a_sound_distribution_has_no_problems(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-judges", entry_points=JUDGE, modules=JUDGE_SOURCE):
        assert check_distribution("Acme_Judges") == []


@pytest.mark.parametrize(
    ("entry_points", "source", "kinds"),
    [
        (JUDGE, "1 / 0", ["import"]),
        (JUDGE, "Judge = 1", ["contract"]),
        ({"limbeck.tasks": {"Judge": "acme_judge:Judge"}}, "", ["name"]),
        ("[limbeck.tasks]\njudge\n", "", ["metadata"]),
        ({"limbeck.plugins": {"hooks": "acme_judge"}}, "import sys; sys.exit()", ["import"]),
        ({"limbeck.plugins": {"hooks": "acme_judge"}}, "def limbeck_run_started(run): ...", ["hook"]),
        ({"limbeck.commands": {"judge": "acme_judge:app"}}, "", ["import"]),
    ],
)
def test_each_problem_of_a_distribution_is_found(
    tmp_path: Path, entry_points: Any, source: str, kinds: list[str]
) -> None:
    with fake_distribution(tmp_path, "acme", entry_points=entry_points, modules={"acme_judge": source}):
        problems = check_distribution("acme")

    assert [problem.kind for problem in problems] == kinds
    assert {problem.distribution for problem in problems} == {"acme"}


def test_a_distribution_that_the_environment_disables_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")
    with fake_distribution(tmp_path, "acme", entry_points=JUDGE, modules={"acme_judge": "1 / 0"}):
        assert [problem.kind for problem in check_distribution("acme")] == ["import"]


def test_problems_of_others_are_left_out(tmp_path: Path) -> None:
    with (
        fake_distribution(tmp_path / "bad", "bad", entry_points="[limbeck.tasks]\nno equals sign\n"),
        fake_distribution(tmp_path / "good", "good", entry_points=JUDGE, modules=JUDGE_SOURCE),
    ):
        assert check_distribution("good") == []


def test_checking_what_is_not_installed_is_an_error() -> None:
    with pytest.raises(RegistryError, match="No installed distribution named 'acme-nothing' declares a name"):
        check_distribution("acme-nothing")


def test_strictness_makes_the_first_problem_of_a_check_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")
    points = {"limbeck.plugins": {"hooks": "acme_judge"}}
    with (
        fake_distribution(tmp_path, "acme", entry_points=points, modules={"acme_judge": "1 / 0"}),
        pytest.raises(PluginLoadError),
    ):
        check_distribution("acme")


def test_the_core_itself_is_sound() -> None:
    assert check_distribution("limbeck-core") == []


# The LLMs


def ask(llm: Any, content: Any = "Hello there") -> GenerationResponse:
    request = GenerationRequest(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    )
    response: GenerationResponse = asyncio.run(llm.agenerate(request))
    return response


def text_of(response: GenerationResponse) -> str | None:
    (generation,) = response.generations
    return generation.text


def test_the_echo_answers_with_the_last_message() -> None:
    assert text_of(ask(EchoLLM())) == "Hello there"


def test_the_echo_answers_with_the_text_of_a_message_in_parts() -> None:
    parts = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": "…"}},
        {"type": "text", "text": "this?"},
    ]

    assert text_of(ask(EchoLLM(), parts)) == "What is this?"


def test_the_echo_counts_words_as_tokens() -> None:
    assert ask(EchoLLM()).usage == Usage(output_tokens=2)


def test_a_script_answers_in_its_order_and_keeps_the_requests() -> None:
    llm = ScriptedLLM(script=["first", "second"])

    assert [text_of(ask(llm, "1")), text_of(ask(llm, "2"))] == ["first", "second"]
    assert [request.messages[-1]["content"] for request in llm.requests] == ["1", "2"]


def test_a_script_can_be_a_function_of_the_request() -> None:
    llm = ScriptedLLM(script=lambda request: "yes" if "?" in str(request.messages) else "no")

    assert [text_of(ask(llm, "Is it?")), text_of(ask(llm, "It is."))] == ["yes", "no"]


@pytest.mark.parametrize("error", [RateLimitError(retry_after=1), ValueError("odd")])
def test_a_script_raises_the_errors_in_it(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        ask(ScriptedLLM(script=[error]))
    assert caught.value is error


def test_a_script_may_hold_whole_generations_and_responses() -> None:
    generation = Generation(text=None, finish_reason="tool_calls", tool_calls=[{"id": "1"}])
    response = GenerationResponse(generations=[], usage=Usage(input_tokens=3))
    llm = ScriptedLLM(script=[generation, response, None])

    assert list(ask(llm).generations) == [generation]
    assert ask(llm) is response
    assert text_of(ask(llm)) is None


def test_a_script_takes_the_time_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    llm = ScriptedLLM(script=["a", "b", "c"], latencies=[5.0, 0.1])
    for _ in range(3):
        ask(llm)

    assert slept == [5.0, 0.1]


def test_a_request_beyond_the_script_says_so() -> None:
    with pytest.raises(AssertionError, match="The script has 0 answers, and a further request came"):
        ask(ScriptedLLM(script=[]))


# The suites


def failures(suite: Any) -> list[str]:
    """Which of a suite's tests fail."""
    failed = []
    for name in sorted(name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(suite, name)()
        except Exception:
            failed.append(name)
    return failed


class Shout(Task):
    """Repeats a row's text in capitals."""

    @property
    def inputs(self) -> Sequence[str]:
        return ["text"]

    @property
    def outputs(self) -> Sequence[str]:
        return ["loud", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": f"Shout: {input['text']}"}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"loud": (output or "").upper()}

    def examples(self) -> Sequence[Example]:
        return [Example({"text": "hey"}, "hey!", {"loud": "HEY!"}), Example({"text": "ho"}, "ho!", {"loud": "HO!"})]


def suite_of(cls: type[Task]) -> TaskContract:
    class Suite(TaskContract):
        def make_task(self, llm: Any, **fields: Any) -> Task:
            return cls(llm=llm, **fields)

    return Suite()


def test_the_task_suite_passes_a_good_task() -> None:
    assert failures(suite_of(Shout)) == []


class WithoutExamples(Shout):
    def examples(self) -> Sequence[Example]:
        return []


class WrongExample(Shout):
    def examples(self) -> Sequence[Example]:
        return [Example({"text": "hey"}, "hey!", {"loud": "hey!"})]


class UndeclaredOutput(Shout):
    @property
    def outputs(self) -> Sequence[str]:
        return ["loud", "quiet"]


class NotJson(Shout):
    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": {1, 2}}]  # type: ignore[typeddict-item]  # what is tested


class NoRoles(Shout):
    def format_input(self, input: Row) -> ChatType:
        return [{"content": "hey"}]


class Remembers(Shout):
    """Gives another output for each answer."""

    _count: int = 0

    def format_output(self, output: str | None, input: Row) -> Row:
        self._count += 1
        return {"loud": "HEY!" if self._count == 1 else "AGAIN"}


class Crashes(Shout):
    def format_output(self, output: str | None, input: Row) -> Row:
        raise ValueError("odd")


@pytest.mark.parametrize(
    ("cls", "test"),
    [
        (WithoutExamples, "test_it_has_an_example"),
        (WrongExample, "test_each_example_gives_its_output_as_one_row"),
        (UndeclaredOutput, "test_its_outputs_are_what_it_returns"),
        (NotJson, "test_each_example_makes_a_chat_of_plain_json"),
        (NoRoles, "test_each_example_makes_a_chat_of_plain_json"),
        (Remembers, "test_a_group_holds_lists_in_sample_order"),
        (Crashes, "test_each_example_gives_its_output_as_one_row"),
    ],
)
def test_the_task_suite_fails_a_task_that_breaks_a_promise(cls: type[Task], test: str) -> None:
    assert test in failures(suite_of(cls))


def test_the_task_suite_says_what_a_subclass_must_define() -> None:
    with pytest.raises(AssertionError, match="must define `make_task"):
        TaskContract().test_it_has_an_example()


class Gateway(LLM):
    """A good backend."""

    model: str = "gate-1"
    api_key: SecretStr = SecretStr("sk-secret")

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        return GenerationResponse(generations=[Generation(text="hello")], usage=Usage(input_tokens=2, output_tokens=1))


def llm_suite_of(make: Any) -> LLMContract:
    class Suite(LLMContract):
        def make_llm(self) -> Any:
            return make()

    return Suite()


class Blocking:
    model_name = "blocking"

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        return GenerationResponse(generations=[Generation(text="hello")])


class Weights:
    model_name = "weights"

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResponse]:
        return [GenerationResponse(generations=[Generation(text="hello")]) for _ in requests]


@pytest.mark.parametrize("make", [Gateway, EchoLLM, Blocking, Weights])
def test_the_llm_suite_passes_a_good_backend(make: Any) -> None:
    assert failures(llm_suite_of(make)) == []


class Answers(Gateway):
    """A backend that gives whatever it is told to."""

    answer: Any = None

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        return self.answer  # type: ignore[no-any-return]  # a wrong thing, on purpose


class Leaks(Gateway):
    @property
    def identity(self) -> dict[str, Any]:
        return {"key": self.api_key.get_secret_value()}


class Prints(Gateway):
    def __repr__(self) -> str:
        return f"Prints({self.api_key.get_secret_value()})"


class NotPlain(Gateway):
    @property
    def identity(self) -> dict[str, Any]:
        return {"tags": {1, 2}}


class Wavers(Gateway):
    @property
    def model_name(self) -> str:
        return f"model-{next(_numbers)}"


_numbers = itertools.count()


def response(*generations: Generation, usage: Usage | None = None) -> GenerationResponse:
    return GenerationResponse(generations=generations, usage=usage)


@pytest.mark.parametrize(
    ("make", "test"),
    [
        (lambda: Answers(answer="a string"), "test_it_answers_with_one_generation"),
        (lambda: Answers(answer=response()), "test_it_answers_with_one_generation"),
        (
            lambda: Answers(answer=response(Generation(text="a"), Generation(text="b"))),
            "test_it_answers_with_one_generation",
        ),
        (lambda: Answers(answer=response(Generation(text=7))), "test_it_answers_with_one_generation"),  # type: ignore[arg-type]  # wrong on purpose
        (
            lambda: Answers(answer=response(Generation(text="a"), usage=Usage(output_tokens=1, reasoning_tokens=2))),
            "test_its_usage_is_counted_when_it_is_given",
        ),
        (
            lambda: Answers(answer=response(Generation(text="a", logprobs=lambda: 1))),
            "test_its_answer_survives_pickling",
        ),
        (Leaks, "test_what_identifies_it_is_plain_json_without_secrets"),
        (Prints, "test_what_identifies_it_is_plain_json_without_secrets"),
        (NotPlain, "test_what_identifies_it_is_plain_json_without_secrets"),
        (Wavers, "test_its_model_name_does_not_change"),
        (object, "test_it_has_what_a_backend_must_have"),
    ],
)
def test_the_llm_suite_fails_a_backend_that_breaks_a_promise(make: Any, test: str) -> None:
    assert test in failures(llm_suite_of(make))


def test_the_llm_suite_says_what_a_subclass_must_define() -> None:
    with pytest.raises(AssertionError, match="must define `make_llm"):
        LLMContract().test_it_has_what_a_backend_must_have()


def test_everything_in_the_kit_is_exported() -> None:
    kit = importlib.import_module("limbeck.testing")

    assert [name for name in kit.__all__ if not hasattr(kit, name)] == []
