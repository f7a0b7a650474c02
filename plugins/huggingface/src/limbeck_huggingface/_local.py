"""A model's weights in this process, asked in batches.

This module imports torch and transformers; it is imported when the weights are loaded.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from limbeck.errors import BackendError, BadRequestError, ConfigurationError, ContextLengthError, GenerationError
from limbeck.types import Generation, GenerationResponse, Usage

from ._prompts import first_line, load_tokenizer, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from limbeck.types import GenerationRequest

    Answer = GenerationResponse | GenerationError

# An answer's length where none is asked for, in tokens; half the context, where that is less.
_MAX_NEW_TOKENS = 2048

# What only means something where tokens are drawn.
_SAMPLING = frozenset({"temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The weights to load, and the form in which they are held; the fields of the backend explain them."""

    model_id: str
    revision: str | None
    device: str | None
    dtype: str
    trust_remote_code: bool
    chat_template: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """One request, ready for the model.

    Attributes:
        tokens: the prompt. budget: tokens its answer may have. wanted: how many answers.
        copies: how many are made: one, where all would be the same.
        options: for `generate`.
    """

    tokens: list[int]
    budget: int
    wanted: int
    copies: int
    options: dict[str, Any]

    @property
    def batch(self) -> str:
        """Requests with the same one can go through the model together.

        A batch stops at one length, and past the end of the context a model fails or writes nonsense. So a prompt
        whose answer the context cuts short goes only with those that it cuts at the same length.
        """
        return json.dumps([self.budget, self.wanted, self.options], sort_keys=True, default=repr)


class LocalModel:
    """Weights and a tokenizer."""

    def __init__(self, source: Source) -> None:
        """Load them, from disk or from the Hub.

        Raises:
            ConfigurationError: there are none to be had, or the tokenizer has no chat template.
        """
        self.source = source
        options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
        self._tokenizer = load_tokenizer(source.model_id, chat_template=source.chat_template, **options)
        self._model = _load(source, options)
        self._eos = _ids(self._model.generation_config.eos_token_id) or _ids(self._tokenizer.eos_token_id)
        self._context = _context(self._model, self._tokenizer)
        self._batches = 0

    def __deepcopy__(self, memo: Any) -> None:
        """Nothing: a copy of the backend loads its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(None), ())

    def answer(
        self, requests: Sequence[GenerationRequest], *, max_new_tokens: int | None, seed: int | None
    ) -> list[Answer]:
        """One answer or error for each request, in order.

        Args:
            requests: their parameters are those of `GenerationMixin.generate`.
            max_new_tokens: the longest answer, where a request does not say.
            seed: of the first batch; each further one has the next.
        """
        answers: dict[int, Answer] = {}
        batches: dict[str, dict[int, _Prompt]] = {}
        for place, request in enumerate(requests):
            try:
                prompt = self._prompt(request, max_new_tokens)
            except GenerationError as exc:
                answers[place] = exc
            else:
                batches.setdefault(prompt.batch, {})[place] = prompt
        for batch in batches.values():
            answers.update(zip(batch, self._answer(list(batch.values()), seed), strict=True))
        return [answers[place] for place in range(len(requests))]

    def _prompt(self, request: GenerationRequest, max_new_tokens: int | None) -> _Prompt:
        if request.prompt is not None:
            tokens = self._tokenizer(request.prompt)["input_ids"]
        else:  # the template has put the special tokens there already
            tokens = self._tokenizer(render(self._tokenizer, request.messages), add_special_tokens=False)["input_ids"]
        options = self._options(request)
        limit = options.pop("max_new_tokens", None) or max_new_tokens
        differ = options.get("do_sample", self._model.generation_config.do_sample) or options.get("num_beams", 1) != 1
        return _Prompt(
            tokens=tokens,
            budget=self._budget(len(tokens), limit),
            wanted=request.num_generations,
            copies=request.num_generations if differ else 1,
            options=options,
        )

    def _options(self, request: GenerationRequest) -> dict[str, Any]:
        """The options for `generate`: the request's parameters, and whether to sample where they leave it open."""
        options = {"eos_token_id": sorted(self._eos) or None, **request.parameters}
        if options.get("temperature") == 0:  # what other providers call greedy, and transformers refuses
            del options["temperature"]
            options["do_sample"] = False
        is_open = options.get("do_sample") is None and options.get("num_beams", 1) == 1
        if is_open and (request.num_generations > 1 or _SAMPLING & options.keys()):
            options["do_sample"] = True
        return options

    def _budget(self, prompt_tokens: int, limit: int | None) -> int:
        if self._context is None:
            return limit or _MAX_NEW_TOKENS
        room = self._context - prompt_tokens
        if room <= 0:
            raise ContextLengthError(
                f"The prompt has {prompt_tokens} tokens; the context of {self.source.model_id!r} is {self._context}."
            )
        return min(room, limit or min(_MAX_NEW_TOKENS, self._context // 2))

    def _answer(self, batch: list[_Prompt], seed: int | None) -> list[Answer]:
        try:
            sequences = self._generate(batch, seed)
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of one batch: its peers go on
            if not _is_out_of_memory(exc):
                return [_typed(exc) for _ in batch]
        else:
            return [self._response(prompt, sequences[place]) for place, prompt in enumerate(batch)]
        # Here and not in the handler: the exception holds on to the tensors that did not fit.
        return self._answer_in_parts(batch, seed)

    def _answer_in_parts(self, batch: list[_Prompt], seed: int | None) -> list[Answer]:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(batch) // 2
        if half:
            return self._answer(batch[:half], seed) + self._answer(batch[half:], seed)
        prompt = batch[0]
        if prompt.copies > 1:
            alone = replace(prompt, wanted=1, copies=1)
            return [_joined([self._answer([alone], seed)[0] for _ in range(prompt.copies)])]
        return [
            BadRequestError(
                f"A prompt of {len(prompt.tokens)} tokens with an answer of up to {prompt.budget} does not fit into "
                "memory, not even alone. Lower `max_new_tokens`, or take a smaller `dtype` or model."
            )
        ]

    def _generate(self, batch: list[_Prompt], seed: int | None) -> list[list[list[int]]]:
        """The new tokens of each answer that is made of each prompt."""
        first = batch[0]
        ids, mask = self._padded([prompt.tokens for prompt in batch])
        self._batches += 1
        with torch.inference_mode(), _seeded(None if seed is None else seed + self._batches - 1, self._model.device):
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=first.budget,
                num_return_sequences=first.copies,
                pad_token_id=self._pad,
                tokenizer=self._tokenizer,
                **first.options,
            )
        rows = output[:, ids.shape[1] :].tolist()
        return [rows[place : place + first.copies] for place in range(0, len(rows), first.copies)]

    def _padded(self, prompts: list[list[int]]) -> tuple[Any, Any]:
        """Ids and attention mask, padded on the left: a model goes on from the right end."""
        width = max(map(len, prompts))
        pad = self._pad
        ids = [[pad] * (width - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(pad) if pad is not None else min(self._eos, default=0)

    def _response(self, prompt: _Prompt, sequences: list[list[int]]) -> GenerationResponse:
        eos = _ids(prompt.options["eos_token_id"])
        answers = [self._generation(sequence, prompt.budget, eos) for sequence in sequences]
        usage = Usage(input_tokens=len(prompt.tokens), output_tokens=sum(count for _, count in answers))
        generations = [generation for generation, _ in answers] * (prompt.wanted // prompt.copies)
        return GenerationResponse(generations=generations, usage=usage)

    def _generation(self, tokens: list[int], budget: int, eos: frozenset[int]) -> tuple[Generation, int]:
        """The answer, and how many tokens were made for it; after its end there is padding."""
        end = next((place for place, token in enumerate(tokens) if token in eos), None)
        if end is None:
            tokens = _without_padding(tokens, self._pad)
            reason = "length" if len(tokens) >= budget else "stop"
            count = len(tokens)
        else:
            tokens, reason, count = tokens[:end], "stop", end + 1
        return Generation(text=self._tokenizer.decode(tokens, skip_special_tokens=True), finish_reason=reason), count


def _load(source: Source, options: dict[str, Any]) -> Any:
    if source.dtype != "auto" and not isinstance(getattr(torch, source.dtype, None), torch.dtype):
        raise ConfigurationError(
            f"`dtype` must be \"auto\" or the name of a torch dtype, such as 'bfloat16'; it is {source.dtype!r}."
        )
    dtype = source.dtype if source.dtype == "auto" else getattr(torch, source.dtype)
    placement = {"device_map": "auto"} if source.device == "auto" else {}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(source.model_id, dtype=dtype, **placement, **options)
        return model.eval() if placement else model.to(source.device or _best_device()).eval()
    except (OSError, ValueError, ImportError, RuntimeError) as exc:
        if _is_out_of_memory(exc):
            raise
        raise ConfigurationError(f"The model {source.model_id!r} cannot be loaded: {first_line(exc)}") from exc


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _context(model: Any, tokenizer: Any) -> int | None:
    """Tokens that a prompt and its answer may have together, or None where the model sets no limit."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        return positions
    # Tokenizers that know no limit say 10^30.
    return tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None


def _ids(value: int | list[int] | None) -> frozenset[int]:
    if value is None:
        return frozenset()
    return frozenset([value] if isinstance(value, int) else value)


def _without_padding(tokens: list[int], pad: int) -> list[int]:
    end = len(tokens)
    while end and tokens[end - 1] == pad:
        end -= 1
    return tokens[:end]


@contextmanager
def _seeded(seed: int | None, device: Any) -> Iterator[None]:
    """Seed torch's generators, and put them back as they were: they are the whole process's."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _is_out_of_memory(exc: BaseException) -> bool:
    # On a CPU it is a plain RuntimeError.
    return isinstance(exc, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(exc)


def _typed(exc: Exception) -> GenerationError:
    """A new error for each request of a batch: the engine notes its attempts on it."""
    if isinstance(exc, ValueError | TypeError):
        return BadRequestError(f"The model refuses the request: {first_line(exc)}")
    error = BackendError(f"{type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error


def _joined(answers: list[Answer]) -> Answer:
    """One response with the generations of all, which have one prompt; or the first error."""
    generations: list[Generation] = []
    usage = Usage()
    for answer in answers:
        if isinstance(answer, GenerationError):
            return answer
        generations.extend(answer.generations)
        if answer.usage is not None:
            usage = replace(answer.usage, output_tokens=usage.output_tokens + answer.usage.output_tokens)
    return GenerationResponse(generations=generations, usage=usage)
