"""The options of a run, as people, editors and type checkers see them."""

from __future__ import annotations

import inspect
import pydoc
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Task
from limbeck._pipeline.run.options import PipelineKeywords
from limbeck._task.run_options import RunOptions as TaskOptions
from limbeck.testing import EchoLLM
from support.questions import Ask, questions

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = [
    (Task.run, TaskOptions),
    (Task.arun, TaskOptions),
    (Pipeline.run, PipelineKeywords),
    (Pipeline.arun, PipelineKeywords),
    (Pipeline.stream, PipelineKeywords),
    (Pipeline.rerun, PipelineKeywords),
]
EACH_METHOD = pytest.mark.parametrize(
    ("method", "options"), METHODS, ids=[method.__qualname__ for method, _ in METHODS]
)


@EACH_METHOD
def test_a_signature_shows_each_option(method: Callable[..., Any], options: Any) -> None:
    parameters = inspect.signature(method).parameters
    assert options.__annotations__.keys() <= parameters.keys()
    assert "options" not in parameters


@EACH_METHOD
def test_help_shows_each_option(method: Callable[..., Any], options: Any) -> None:
    assert [name for name in options.__annotations__ if f"{name}: " not in pydoc.plain(pydoc.render_doc(method))] == []


@pytest.mark.parametrize(("method", "options"), [(Task.run, TaskOptions), (Pipeline.run, PipelineKeywords)])
def test_each_option_is_explained_where_run_is(method: Callable[..., Any], options: Any) -> None:
    explained = (inspect.getdoc(method) or "").partition("Args:")[2]
    assert [name for name in options.__annotations__ if name not in explained] == []


def test_a_signature_shows_what_an_option_is_by_default() -> None:
    parameters = inspect.signature(Task.run).parameters
    assert (parameters["ordered"].default, parameters["cache"].default) == (True, None)


def test_an_option_that_there_is_not_is_a_type_error_that_names_those_there_are() -> None:
    with pytest.raises(
        TypeError, match=r"^`ModelTask.run` has no option `max_faild`. Did you mean `max_failed`\?"
    ) as caught:
        Ask(llm=EchoLLM()).run(questions(1), max_faild=3)  # type: ignore[call-arg]  # what is refused
    assert str(caught.value).endswith("`max_requests`, `allow_unknown_price`, `cache`.")


def test_so_it_is_of_a_pipeline() -> None:
    with pytest.raises(TypeError, match=r"^`Pipeline.stream` has no option `max_cost`.* Its options are `run_dir`,"):
        Pipeline(questions(1), Ask(llm=EchoLLM())).stream(max_cost=3)  # type: ignore[call-arg]  # what is refused


def test_a_rerun_names_its_own_options_too() -> None:
    with pytest.raises(TypeError, match="`where`, `step`, `llm`, `parameters`, `from_turn`, `ordered`"):
        Pipeline(questions(1), Ask(llm=EchoLLM())).rerun(run_dir="kept", where="failed", ask=False)  # type: ignore[call-arg]  # what is refused


def test_a_subclass_that_overrides_run_passes_options_on() -> None:
    class Careful(Ask):
        def run(self, rows: Any, **options: Any) -> Any:
            return super().run(rows, **{"max_failed": 1, **options})

    assert len(list(Careful(llm=EchoLLM()).run(questions(2), ordered=False))) == 2
