"""Local weights: a tiny Llama made here, with random weights and a tokenizer trained on three sentences."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import (
    BackendError,
    BadRequestError,
    ConfigurationError,
    ContextLengthError,
    MissingDependencyError,
)
from limbeck.types import ChatType, Generation, GenerationRequest, GenerationResponse, Usage
from limbeck_huggingface import TransformersLLM

from .tiny_model import save_model, save_tokenizer

CONTEXT = 256

QUESTIONS = [
    "hi",
    "What is the capital of Spain?",
    "Tell me more about the rivers of the world, and about its cities, their bridges and the people who crossed them.",
    "A short one.",
    "What is the capital of France, and why is it not Lyon?",
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model")
    save_model(path, context=CONTEXT)
    return str(path)


@pytest.fixture
def llm(folder: str) -> TransformersLLM:
    return TransformersLLM(model_id=folder, max_new_tokens=12)


def _request(question: str = "hi", *, n: int = 1, **parameters: Any) -> GenerationRequest:
    chat: ChatType = [{"role": "user", "content": question}]
    return GenerationRequest(messages=chat, num_generations=n, parameters=parameters)


def _texts(response: GenerationResponse | Exception) -> list[str | None]:
    assert isinstance(response, GenerationResponse), response
    return [generation.text for generation in response.generations]


def _tokens(folder: str, text: str) -> list[int]:
    from transformers import AutoTokenizer

    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"]
    return ids


# Batches


def test_a_batch_gives_what_its_requests_give_alone(llm: TransformersLLM) -> None:
    requests = [_request(question) for question in QUESTIONS]
    alone = [llm.generate(request) for request in requests]
    assert llm.generate_batch(requests) == alone


def test_the_answers_of_the_tiny_model_depend_on_the_question(llm: TransformersLLM) -> None:
    # Else the test above would pass whatever the padding did.
    answers = llm.generate_batch([_request(question) for question in QUESTIONS])
    assert len({text for answer in answers for text in _texts(answer)}) == len(QUESTIONS)


def test_a_batch_gives_what_generate_gives_on_the_bare_model(llm: TransformersLLM, folder: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    for question, answer in zip(QUESTIONS, llm.generate_batch([_request(q) for q in QUESTIONS]), strict=True):
        ids = torch.tensor([_tokens(folder, f"<s>[user] {question} [assistant] ")])
        output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        expected = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert _texts(answer) == [expected]


def test_requests_with_different_parameters_go_in_one_call_and_keep_their_order(llm: TransformersLLM) -> None:
    requests = [_request(question, max_new_tokens=length) for length, question in enumerate(QUESTIONS, start=1)]
    answers = llm.generate_batch(requests)
    assert [answer.usage.output_tokens for answer in answers] == [1, 2, 3, 4, 5]  # type: ignore[union-attr]  # none failed
    assert answers == [llm.generate(request) for request in requests]


def test_an_empty_batch_gives_nothing(llm: TransformersLLM) -> None:
    assert llm.generate_batch([]) == []


def test_usage_is_each_requests_own(llm: TransformersLLM, folder: str) -> None:
    answers = llm.generate_batch([_request(question) for question in QUESTIONS])
    assert [answer.usage for answer in answers] == [  # type: ignore[union-attr]  # none failed
        Usage(input_tokens=len(_tokens(folder, f"<s>[user] {question} [assistant] ")), output_tokens=12)
        for question in QUESTIONS
    ]


# The end of an answer


def test_an_answer_that_reaches_the_limit_was_cut_for_its_length(llm: TransformersLLM) -> None:
    (generation,) = llm.generate(_request()).generations
    assert generation.finish_reason == "length"


def test_an_answer_ends_before_the_token_that_ends_a_text(llm: TransformersLLM, folder: str) -> None:
    whole = _answer_tokens(llm)
    response = llm.generate(_request(eos_token_id=whole[4]))
    first = whole.index(whole[4])
    assert response.generations == [Generation(text=_decode(folder, whole[:first]), finish_reason="stop")]
    assert response.usage is not None
    assert response.usage.output_tokens == first + 1


def test_in_a_batch_each_answer_ends_by_itself(llm: TransformersLLM) -> None:
    end = _answer_tokens(llm)[2]
    requests = [_request(question, eos_token_id=end) for question in QUESTIONS]
    answers = llm.generate_batch(requests)
    assert answers == [llm.generate(request) for request in requests]
    reasons = [generation.finish_reason for answer in answers for generation in answer.generations]  # type: ignore[union-attr]  # none failed
    assert reasons[0] == "stop"
    assert "length" in reasons


def test_a_stop_string_ends_an_answer(llm: TransformersLLM) -> None:
    (whole,) = _texts(llm.generate(_request()))
    assert whole is not None
    piece = next(letter for letter in whole[1:-1] if letter.isascii() and letter.isalnum())
    (generation,) = llm.generate(_request(stop_strings=[piece])).generations
    assert generation.finish_reason == "stop"
    assert generation.text is not None
    assert piece in generation.text
    assert len(generation.text) < len(whole)


def _answer_tokens(llm: TransformersLLM) -> list[int]:
    """The tokens that the model answers "hi" with."""
    local = llm._local()
    prompt = local._prompt(_request(), llm.max_new_tokens)
    ((tokens,),) = local._generate([prompt], None)
    return tokens


def _decode(folder: str, tokens: list[int]) -> str:
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(folder).decode(tokens, skip_special_tokens=True))


# The context


def test_without_a_limit_an_answer_may_be_half_the_context(folder: str) -> None:
    usage = TransformersLLM(model_id=folder).generate(_request()).usage
    assert usage is not None
    assert usage.output_tokens == CONTEXT // 2


def test_the_end_of_the_context_cuts_an_answer_and_not_those_beside_it(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, max_new_tokens=40)
    requests = [_request(text) for text in ("hi", "x" * 213, "y" * 200, "z" * 213)]
    answers = llm.generate_batch(requests)
    assert answers == [llm.generate(request) for request in requests]
    cut = [_made(answer) for answer in answers if _made(answer)[0] == "length"]
    assert cut == [("length", prompt, min(40, CONTEXT - prompt)) for _, prompt, _ in cut]
    assert {made for _, _, made in cut} >= {40, 24}


def _made(answer: GenerationResponse | Exception) -> tuple[str | None, int, int]:
    """Why the answer ended, the tokens of its prompt and its own."""
    assert isinstance(answer, GenerationResponse), answer
    assert answer.usage is not None
    return answer.generations[0].finish_reason, answer.usage.input_tokens, answer.usage.output_tokens


def test_a_prompt_longer_than_the_context_fails_alone(llm: TransformersLLM) -> None:
    good, bad, other = llm.generate_batch([_request("hi"), _request("x" * CONTEXT), _request("What?")])
    assert isinstance(bad, ContextLengthError)
    assert str(CONTEXT) in str(bad)
    assert isinstance(good, GenerationResponse)
    assert isinstance(other, GenerationResponse)


def test_messages_that_the_template_refuses_fail_alone(llm: TransformersLLM) -> None:
    odd: ChatType = [{"role": "tool", "content": "?"}]
    bad, good = llm.generate_batch([GenerationRequest(messages=odd), _request()])
    assert isinstance(bad, BadRequestError)
    assert "Unknown role" in str(bad)
    assert isinstance(good, GenerationResponse)


# Parameters


def test_several_generations_are_sampled_and_differ(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, max_new_tokens=12, seed=1)
    responses = llm.generate_batch([_request("hi", n=3), _request("What?", n=3)])
    assert [len(set(_texts(response))) for response in responses] == [3, 3]
    assert all(response.usage.output_tokens == 36 for response in responses)  # type: ignore[union-attr]  # none failed


def test_several_generations_without_sampling_are_one_answer_made_once(llm: TransformersLLM) -> None:
    response = llm.generate(_request(n=3, do_sample=False))
    assert _texts(response) == _texts(llm.generate(_request())) * 3
    assert response.usage is not None
    assert response.usage.output_tokens == 12


def test_the_seed_repeats_a_run_and_not_a_batch(folder: str) -> None:
    def run() -> list[list[str | None]]:
        llm = TransformersLLM(model_id=folder, max_new_tokens=12, seed=7)
        return [_texts(llm.generate(_request(temperature=1.0))) for _ in range(3)]

    first = run()
    assert run() == first
    assert len({str(texts) for texts in first}) == 3


def test_sampling_leaves_the_generator_of_the_process_as_it_was(folder: str) -> None:
    import torch

    before = torch.random.get_rng_state()
    TransformersLLM(model_id=folder, max_new_tokens=12, seed=7).generate(_request(temperature=1.0))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("parameters", [{"temperature": 0}, {"do_sample": False}, {}])
def test_without_sampling_the_answer_is_always_the_same(llm: TransformersLLM, parameters: dict[str, Any]) -> None:
    assert len({str(llm.generate(_request(**parameters))) for _ in range(3)}) == 1


def test_a_sampling_parameter_turns_sampling_on(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, max_new_tokens=12, seed=3)
    assert len({str(llm.generate(_request(temperature=1.5))) for _ in range(3)}) == 3


def test_generation_kwargs_go_with_every_request_and_yield_to_its_own(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, generation_kwargs={"max_new_tokens": 3})
    lengths = [answer.usage for answer in llm.generate_batch([_request(), _request(max_new_tokens=5)])]  # type: ignore[union-attr]  # none failed
    assert [usage.output_tokens for usage in lengths if usage] == [3, 5]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("num_return_sequences", "num_generations"),
        ("max_length", "max_new_tokens"),
        ("max_new_token", "Did you mean `max_new_tokens`"),
    ],
)
def test_a_parameter_that_cannot_be_given_is_refused_when_it_is_built(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TransformersLLM(model_id="org/model", generation_kwargs={name: 1})


def test_a_value_that_transformers_refuses_is_a_bad_request_and_fails_alone(llm: TransformersLLM) -> None:
    bad, good = llm.generate_batch([_request(repetition_penalty=-1.0), _request()])
    assert isinstance(bad, BadRequestError)
    assert isinstance(good, GenerationResponse)


# Memory and faults


@contextmanager
def _faulty(llm: TransformersLLM, fault: Any) -> Iterator[list[int]]:
    """Have `fault(rows)` called with the rows of every prompt that goes into the model; gives the rows so far."""
    rows: list[int] = []

    def look(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"]
        if ids.shape[1] > 1:
            rows.append(ids.shape[0])
            fault(ids.shape[0])

    handle = llm._local()._model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def _room_for(most: int) -> Any:
    import torch

    def check(rows: int) -> None:
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    return check


def test_a_batch_that_does_not_fit_is_halved_until_it_does(llm: TransformersLLM) -> None:
    requests = [_request(question) for question in QUESTIONS]
    expected = llm.generate_batch(requests)
    with _faulty(llm, _room_for(2)) as rows:
        assert llm.generate_batch(requests) == expected
    assert rows == [5, 2, 3, 1, 2]


def test_generations_that_do_not_fit_together_are_made_one_by_one(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, max_new_tokens=12, seed=1)
    with _faulty(llm, _room_for(1)) as rows:
        response = llm.generate(_request(n=3))
    assert len(set(_texts(response))) == 3
    assert response.usage is not None
    assert response.usage.output_tokens == 36
    assert rows == [3, 1, 1, 1]


def test_a_request_that_does_not_fit_alone_fails_alone(llm: TransformersLLM) -> None:
    import torch

    def check(rows: int) -> None:
        raise torch.OutOfMemoryError

    with _faulty(llm, check):
        answers = llm.generate_batch([_request(), _request("What?", n=2)])
    assert [type(answer) for answer in answers] == [BadRequestError, BadRequestError]
    assert "max_new_tokens" in str(answers[0])


def test_any_other_fault_fails_its_batch_with_an_error_for_each_request(llm: TransformersLLM) -> None:
    def check(rows: int) -> None:
        raise RuntimeError("device-side assert")

    with _faulty(llm, check):
        first, second = llm.generate_batch([_request(), _request("What?")])
    assert isinstance(first, BackendError)
    assert isinstance(second, BackendError)
    assert first is not second
    assert "RuntimeError: device-side assert" in str(first)
    with _faulty(llm, check), pytest.raises(BackendError):
        llm.generate(_request())


# Loading


def test_the_weights_are_loaded_once(llm: TransformersLLM) -> None:
    llm.load()
    loaded = llm._local()
    llm.load()
    llm.generate(_request())
    assert llm._local() is loaded


def test_a_copy_with_another_model_loads_it(llm: TransformersLLM, tmp_path: Path) -> None:
    save_model(tmp_path, context=64)
    llm.load()
    other = llm.model_copy(update={"model_id": str(tmp_path)})
    assert isinstance(other.generate_batch([_request("x" * 64)])[0], ContextLengthError)
    assert isinstance(llm.generate_batch([_request("x" * 64)])[0], GenerationResponse)


def test_the_weights_are_not_copied_or_pickled_with_it(llm: TransformersLLM) -> None:
    answer = llm.generate(_request())
    assert len(pickle.dumps(llm)) < 10_000
    assert pickle.loads(pickle.dumps(llm)).generate(_request()) == answer
    assert copy.deepcopy(llm).generate(_request()) == answer


def test_the_dtype_can_be_chosen(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, dtype="bfloat16", max_new_tokens=3)
    llm.load()
    assert str(llm._local()._model.dtype) == "torch.bfloat16"
    assert len(_texts(llm.generate(_request()))) == 1


def test_a_dtype_that_torch_does_not_have_is_refused(folder: str) -> None:
    with pytest.raises(ConfigurationError, match="'float13'"):
        TransformersLLM(model_id=folder, dtype="float13").load()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing-here"):
        TransformersLLM(model_id=str(tmp_path / "nothing-here")).load()


def test_a_folder_with_a_tokenizer_and_no_weights_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        TransformersLLM(model_id=str(tmp_path)).load()


def test_a_model_without_a_chat_template_says_what_to_do(tmp_path: Path) -> None:
    save_model(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(ConfigurationError, match=r"no chat template.*`chat_template`"):
        TransformersLLM(model_id=str(tmp_path)).load()


def test_a_chat_template_can_be_given(folder: str) -> None:
    llm = TransformersLLM(model_id=folder, max_new_tokens=3, chat_template="{{ messages[0]['content'] }}")
    usage = llm.generate(_request("x" * 10)).usage
    assert usage is not None
    assert usage.input_tokens == 10


@pytest.mark.parametrize("missing", ["transformers", "torch"])
def test_a_package_that_is_not_installed_is_named_with_the_line_that_installs_it(missing: str) -> None:
    code = (
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name == {missing!r} else found(name, *a)\n"
        "from limbeck_huggingface import TransformersLLM\n"
        "from limbeck.errors import MissingDependencyError\n"
        "try:\n"
        "    TransformersLLM(model_id='x').load()\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"`{missing}`" in done.stdout, done.stderr
    assert "pip install 'limbeck-huggingface[transformers]'" in done.stdout
    assert issubclass(MissingDependencyError, ConfigurationError)


# As a backend


def test_it_says_what_it_can_do() -> None:
    capabilities = TransformersLLM.capabilities
    assert capabilities.native_n
    assert not capabilities.native_json_schema


def test_its_identity_leaves_out_where_and_in_what_batches_it_runs() -> None:
    identity = TransformersLLM(model_id="org/model", device="cpu", batch_size=3, revision="v1").identity
    assert identity["model_name"] == "org/model"
    assert identity["revision"] == "v1"
    assert not {"device", "batch_size", "max_concurrency"} & identity.keys()


def test_it_can_be_built_from_a_models_name() -> None:
    assert TransformersLLM.from_model("org/model").model_name == "org/model"
