"""Models whose weights are in this process, through Hugging Face's transformers."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveFloat, PositiveInt, PrivateAttr

from limbeck import LLM
from limbeck.types import Capabilities

from ._parameters import check_names
from ._prompts import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from limbeck.types import GenerationRequest, GenerationResponse

    from ._local import LocalModel  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_NAME = "`TransformersLLM`"

_RESERVED = {
    "num_return_sequences": "set `num_generations` on the task",
    "max_length": "it counts the prompt too; set `max_new_tokens`",
    "return_dict_in_generate": "Limbeck needs the tokens alone",
}

# Weights are large: two backends that are used at once load one after the other.
_LOADING = threading.Lock()


class TransformersLLM(LLM):
    """A model run here, in batches. Needs `limbeck-huggingface[transformers]`.

    Chats are rendered with the tokenizer's chat template. Answers in a batch are those the model would give one by
    one, up to rounding. An `output_schema` is checked, not enforced while the answer is written. A batch that does not
    fit into memory is halved until it does.

    Attributes:
        model_id: hub id or local folder of a causal language model with a chat template.
        revision: branch, tag or commit on the Hub.
        device: as torch names it ("cuda:1", "cpu"); "auto" spreads the model over all there are, with accelerate. None
            takes the first GPU, else the CPU.
        dtype: name of a torch dtype, or "auto" for the one the weights are saved in.
        batch_size: requests that go through the model together. Each makes as many answers as are asked of it.
        max_new_tokens: longest answer in tokens; None for 2,048, or half the context where that is less. An answer
            ends at the end of the context in any case; `finish_reason` is then "length".
        seed: of the first batch, each further one has the next; None to sample differently in every run.
        trust_remote_code: run code that comes with the model.
        chat_template: in place of the tokenizer's own.
        generation_kwargs: what `transformers.GenerationConfig` takes. A sampling parameter, or more than one
            generation, turns sampling on, unless `do_sample=False`; `temperature=0` turns it off.
        max_concurrency: batches under way at once; more than 1 share the same device.
        timeout: seconds for one batch, which a processor may work on for hours.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(native_n=True, completions=True, prefill=True)
    transport_fields: ClassVar[frozenset[str]] = frozenset({"batch_size", "device"})

    model_id: str
    revision: str | None = None
    device: str | None = None
    dtype: str = "auto"
    batch_size: PositiveInt = 8
    max_new_tokens: PositiveInt | None = None
    seed: int | None = None
    trust_remote_code: bool = False
    chat_template: str | None = None
    max_concurrency: PositiveInt = 1
    timeout: PositiveFloat = 6 * 3600.0

    _loaded: LocalModel | None = PrivateAttr(None)

    @property
    def model_name(self) -> str:
        """The hub id or the folder."""
        return self.model_id

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with those of the installed `GenerationConfig`."""
        check_names(
            generation_kwargs, known=_known_names(), reserved=_RESERVED, subject="`transformers.GenerationConfig`"
        )

    def load(self) -> None:
        """Load the weights and the tokenizer, from the folder, the cache or the Hub.

        Raises:
            MissingDependencyError: transformers or torch is not installed.
            ConfigurationError: the model cannot be loaded, or has no chat template.
        """
        self._local()

    def _local(self) -> LocalModel:
        _require_packages()
        from ._local import LocalModel, Source

        source = Source(
            model_id=self.model_id,
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            chat_template=self.chat_template,
        )
        with _LOADING:
            if self._loaded is None or self._loaded.source != source:
                self._loaded = LocalModel(source)
            return self._loaded

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResponse | Exception]:
        """Answer all of `requests`; the entry of one that fails is its error."""
        asked = [replace(request, parameters={**self.generation_kwargs, **request.parameters}) for request in requests]
        return [*self._local().answer(asked, max_new_tokens=self.max_new_tokens, seed=self.seed)]

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        """Answer one request; blocks."""
        (answer,) = self.generate_batch([request])
        if isinstance(answer, Exception):
            raise answer
        return answer


def _require_packages() -> None:
    for package in ("transformers", "torch", "jinja2"):
        require(package, needed_by=_NAME, extra="transformers")


@lru_cache(maxsize=1)
def _known_names() -> frozenset[str]:
    _require_packages()
    import transformers

    config: Any = transformers.GenerationConfig
    return frozenset(name for name in vars(config()) if not name.startswith("_")) - {"transformers_version"}
