"""What is asked for in the wrong place, or by distilabel's name, is told where it is here."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck import EmbeddingTask, Task, get_embedder, get_image_generator, get_llm, get_step, get_task
from limbeck._pipeline.config.settings import refuse_unknown
from limbeck.errors import ConfigurationError, UnknownNameError
from limbeck.steps import LoadDataFromDicts
from limbeck.testing import EchoLLM
from limbeck.types import ChatType, Row


class Ask(Task):
    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": input["question"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": output}


def fault_of(cls: Any, **fields: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        cls(**fields)
    return str(caught.value)


@pytest.mark.parametrize("name", ["generation_kwargs", "rpm", "timeout", "max_concurrency", "mode", "base_url"])
def test_a_field_of_the_llm_given_to_a_task_is_sent_to_the_llm(name: str) -> None:
    assert f"`{name}` is a field of the LLM: `llm=SomeLLM(…, {name}=…)`." in fault_of(Ask, llm=EchoLLM(), **{name: 1})


@pytest.mark.parametrize("name", ["num_generations", "system_prompt", "input_mappings", "on_error"])
def test_a_field_of_the_task_given_to_an_llm_is_sent_to_the_task(name: str) -> None:
    assert f"`{name}` is a field of the task that has the LLM." in fault_of(EchoLLM, **{name: 1})


@pytest.mark.parametrize("name", ["temperature", "max_new_tokens", "top_p", "seed"])
def test_a_sampling_parameter_is_sent_to_generation_kwargs(name: str) -> None:
    assert f"It goes into `generation_kwargs={{'{name}': …}}`." in fault_of(EchoLLM, **{name: 1})
    assert f"generation_kwargs={{'{name}': …}}" in fault_of(Ask, llm=EchoLLM(), **{name: 1})


@pytest.mark.parametrize("name", ["structured_output", "output_schema", "response_format"])
def test_a_schema_given_to_an_llm_is_sent_to_the_task(name: str) -> None:
    assert "give `output_schema` to `structured-generation`" in fault_of(EchoLLM, **{name: {}})


@pytest.mark.parametrize(
    ("cls", "name", "told"),
    [
        (Ask, "input_batch_size", "distilabel has it. Here are no batches to size"),
        (Ask, "use_cache", "`run(run_dir=…)`"),
        (LoadDataFromDicts, "resources", "distilabel has it. Here a pipeline runs in this process"),
        (EchoLLM, "use_offline_batch_generation", '`mode="batch"`'),
    ],
)
def test_a_field_of_distilabels_says_what_it_is_here(cls: Any, name: str, told: str) -> None:
    assert told in fault_of(cls, **{name: 1, **({"llm": EchoLLM()} if cls is Ask else {})})


@pytest.mark.parametrize(
    ("what", "name", "told"),
    [
        ("the task 'x'", "generation_kwargs", "is a field of the LLM"),
        ("the LLM 'x'", "structured_output", "`structured-generation`"),
        ("the step 'x'", "input_batch_size", "no batches to size"),
        ("the step 'x'", "colum", "Did you mean `column`"),
    ],
)
def test_a_file_is_told_the_same(what: str, name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        refuse_unknown(name, ["column"], what=what, where="p.yaml:3")


def test_a_misspelt_field_is_still_told_what_is_close() -> None:
    assert "Did you mean `num_generations`" in fault_of(Ask, llm=EchoLLM(), num_generation=2)


@pytest.mark.parametrize(
    ("get", "name", "told"),
    [
        (get_task, "ArgillaLabeller", "distilabel has `ArgillaLabeller`; here: a task of your own"),
        (get_task, "argilla-labeller", "distilabel has `ArgillaLabeller`"),
        (get_task, "ultra_feedback", "distilabel has `UltraFeedback`"),
        (get_task, "FormatPRM", "distilabel has `FormatPRM`; here: the step `format-prm`."),
        (get_step, "GroupColumns", "here: rows of several branches are joined by `join(group=[…])`"),
        (get_step, "format-text-generation-sft", "here: `format-for-sft`."),
        (get_llm, "vLLM", "`OpenAILLM(model=…, base_url=…)`"),
        (get_llm, "vllm", "distilabel has `vLLM`"),
    ],
)
def test_a_name_of_distilabels_says_what_there_is_here(get: Any, name: str, told: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        get(name)
    assert told in str(caught.value) or "Run: pip install" in str(caught.value)


def test_a_name_of_distilabels_in_an_import_says_it_too() -> None:
    with pytest.raises(ImportError, match="distilabel has `GroupColumns`"):
        from limbeck.steps import GroupColumns  # noqa: F401


def test_a_name_that_nobody_has_is_told_nothing_of_distilabel() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get_task("no-such-task")
    assert "distilabel" not in str(caught.value)


def test_a_model_given_to_a_task_of_another_kind_is_sent_to_its_own_field() -> None:
    class Embed(EmbeddingTask):
        @property
        def inputs(self) -> list[str]:
            return ["text"]

        @property
        def outputs(self) -> list[str]:
            return ["embedding"]

        def format_input(self, input: Row) -> str:
            return str(input["text"])

        def format_output(self, output: list[float], input: Row) -> Row:
            return {"embedding": output}

    assert "in the field `embedder`, `scorer` or `image_generator`" in fault_of(Embed, llm="offline")


@pytest.mark.parametrize(
    ("get", "name", "instead"),
    [
        (get_embedder, "SentenceTransformerEmbeddings", "SentenceTransformersEmbedder"),
        (get_image_generator, "OpenAIImageGeneration", "OpenAIImageGenerator"),
        (get_task, "ImageGeneration", "generate-images"),
        (get_task, "RewardModelScore", "score"),
        (get_step, "EmbeddingGeneration", "generate-embeddings"),
    ],
)
def test_distilabels_names_for_models_that_write_no_text_are_told_with_ours(get: Any, name: str, instead: str) -> None:
    with pytest.raises(UnknownNameError, match=f"distilabel has `{name}`; here: .*`{instead}`"):
        get(name)
