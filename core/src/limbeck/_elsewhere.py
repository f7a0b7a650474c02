"""Hints for fields that belong to another kind, and for distilabel's names: what to use here in their place."""

from __future__ import annotations

_SAMPLING = (
    *("temperature", "top_p", "top_k", "max_tokens", "max_new_tokens", "max_completion_tokens", "seed", "stop"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "do_sample", "reasoning_effort"),
)
_OF_LLMS = (
    *("generation_kwargs", "model", "model_id", "tokenizer_id", "base_url", "api_key", "timeout", "deadline"),
    *("max_concurrency", "rpm", "tpm", "max_attempts", "breaker_threshold", "mode", "batch_fallback"),
    *("batch_max_requests", "batch_max_open", "batch_gather_seconds", "batch_poll_seconds"),
)
_OF_TASKS = (
    *("num_generations", "group_generations", "system_prompt", "template", "columns", "on_error", "input_mappings"),
    *("output_mappings", "add_raw_output", "add_raw_input", "add_statistics", "schema_in_prompt"),
)
_SCHEMA = "A schema is the task's: give `output_schema` to `structured-generation`, or to a task of your own."
_BATCHES = (
    "distilabel has it. Here are no batches to size: requests are sent one by one, as many at once as "
    "`max_concurrency` of the LLM says."
)
_KEPT = "distilabel has it. Here answers are kept in a run directory: `run(run_dir=…)`."
_MODE = 'distilabel has it. Here provider batches are `mode="batch"` of the LLM.'
_PLACED = (
    "distilabel has it. Here a pipeline runs in this process, and a step that says `cpu_bound` in a pool of others."
)
_MAGPIE = "distilabel has it. Here no LLM makes a conversation's first question."

_FIELDS: dict[str, dict[str, str]] = {
    "llm": {
        **{name: f"`{name}` is a field of the task that has the LLM." for name in _OF_TASKS},
        **{name: f"It goes into `generation_kwargs={{{name!r}: …}}`." for name in _SAMPLING},
        "structured_output": f"distilabel has it. {_SCHEMA}",
        **dict.fromkeys(("output_schema", "response_format"), _SCHEMA),
        **dict.fromkeys(("use_magpie_template", "magpie_pre_query_template"), _MAGPIE),
        **dict.fromkeys(
            ("use_offline_batch_generation", "offline_batch_generation_block_until_done", "jobs_ids"), _MODE
        ),
        "max_retries": "Attempts are counted by `max_attempts`.",
        "max_workers": "Requests in flight are bounded by `max_concurrency`.",
        "max_concurrent_requests": "Requests in flight are bounded by `max_concurrency`.",
        "extra_kwargs": "Sampling parameters go into `generation_kwargs`.",
    },
    "task": {
        **{name: f"`{name}` is a field of the LLM: `llm=SomeLLM(…, {name}=…)`." for name in _OF_LLMS},
        **{name: f"It goes into the LLM: `llm=SomeLLM(…, generation_kwargs={{{name!r}: …}})`." for name in _SAMPLING},
        **dict.fromkeys(("structured_output", "use_default_structured_output"), f"distilabel has it. {_SCHEMA}"),
        "output_schema": _SCHEMA,
    },
    "step": {},
}
_FIELDS["task"].update(
    llm="Its model is of another kind, in the field `embedder`, `scorer` or `image_generator`.",
    embeddings="distilabel has it. Here it is the field `embedder` of `generate-embeddings`.",
    image_generation_model="distilabel has it. Here it is the field `image_generator` of `generate-images`.",
)
for _kind in ("embedder", "scorer", "image_generator"):
    _FIELDS[_kind] = {name: f"`{name}` is a field of the task that has the model." for name in _OF_TASKS}
for _kind in ("task", "step"):
    _FIELDS[_kind].update(
        input_batch_size=_BATCHES,
        resources=_PLACED,
        use_cache=_KEPT,
    )


def field_elsewhere(kind: str, name: str) -> str:
    """` …`, where a field goes that a task, an LLM or a step does not have; empty where that is not known."""
    sentence = _FIELDS.get(kind, {}).get(name)
    return f" {sentence}" if sentence else ""


_SERVER = "for an OpenAI-compatible server, `OpenAILLM(model=…, base_url=…)`"
_DATASETS = "a data set of `datasets` is a source: `Pipeline(datasets.load_dataset(…), …)`"
_JOIN = "rows of several branches are joined by `join(group=[…])`"

_INSTEAD: dict[str, dict[str, str]] = {
    "llm": {
        **dict.fromkeys(("ClientvLLM", "TogetherLLM", "AnyscaleLLM", "GroqLLM", "OllamaLLM", "LlamaCppLLM"), _SERVER),
        "vLLM": f"{_SERVER}, or `TransformersLLM` in the process",
        "MlxLLM": f"{_SERVER}, or `TransformersLLM` in the process",
        **dict.fromkeys(("MistralLLM", "CohereLLM", "VertexAILLM", "LiteLLM", "MixtureOfAgentsLLM"), _SERVER),
    },
    "step": {
        "LoadDataFromHub": _DATASETS,
        "LoadDataFromDisk": "a data set of `datasets` is a source: `Pipeline(datasets.load_from_disk(…), …)`",
        "LoadDataFromFileSystem": "`load-data-from-files`",
        **dict.fromkeys(("GroupColumns", "CombineOutputs"), _JOIN),
        "MergeColumns": "`combine-columns`",
        "DataSampler": "`sample-rows`",
        "TruncateTextColumn": "`map-rows`, with `columns={'text': 'text | truncate(200)'}`",
        **dict.fromkeys(("MinHashDedup", "EmbeddingDedup"), "`deduplicate`, of equal rows"),
        **dict.fromkeys(("FormatTextGenerationSFT", "FormatChatGenerationSFT"), "`format-for-sft`"),
        **dict.fromkeys(("FormatTextGenerationDPO", "FormatChatGenerationDPO"), "`format-for-dpo`"),
        "FormatPRM": "the step `format-prm`",
        **dict.fromkeys(("PushToHub", "LeafStep"), "`save-to-files`, and the Hub's own tools"),
    },
    "task": {
        "UltraFeedback": "`ultrafeedback` of `limbeck-judges`",
        "PrometheusEval": "`prometheus-eval` of `limbeck-judges`",
        "QualityScorer": "`quality-scorer` of `limbeck-judges`",
        "ComplexityScorer": "`complexity-scorer` of `limbeck-judges`",
        "InstructionBacktranslation": "`instruction-backtranslation` of `limbeck-judges`",
        **dict.fromkeys(
            (
                *("Magpie", "MagpieGenerator"),
                *("GenerateSentencePair", "GenerateTextRetrievalData", "GenerateTextClassificationData"),
                *("GenerateShortTextMatchingData", "GenerateLongTextMatchingData", "EmbeddingTaskGenerator"),
                *("MonolingualTripletGenerator", "BitextRetrievalGenerator", "ArgillaLabeller"),
                *("APIGenGenerator", "APIGenSemanticChecker", "APIGenExecutionChecker"),
            ),
            "a task of your own, with the same `format_input` and `format_output`",
        ),
    },
    "embedder": {
        "SentenceTransformerEmbeddings": "`SentenceTransformersEmbedder`",
        **dict.fromkeys(("vLLMEmbeddings", "LlamaCppEmbeddings"), "`OpenAIEmbedder(model=…, base_url=…)`, of a server"),
    },
    "image_generator": {
        "OpenAIImageGeneration": "`OpenAIImageGenerator`",
        "InferenceEndpointsImageGeneration": "`InferenceImageGenerator`",
    },
}
_INSTEAD["step"]["EmbeddingGeneration"] = "the task `generate-embeddings`"
_INSTEAD["task"].update(
    GenerateEmbeddings="`generate-embeddings`, with an `embedder`",
    ImageGeneration="`generate-images`",
    PairRM="`rank`",
    RewardModelScore="`score`",
)


def _spelling(name: str) -> str:
    return name.rpartition("/")[2].replace("-", "").replace("_", "").lower().removesuffix("llm")


_BY_SPELLING = {
    (kind, _spelling(name)): (name, instead) for kind, names in _INSTEAD.items() for name, instead in names.items()
}


def instead_of(kind: str, name: str) -> str | None:
    """The replacement here for a class of distilabel's, asked for by its name in any spelling, or None."""
    own_kind = [kind, *(each for each in _INSTEAD if each != kind)]
    found = next((_BY_SPELLING[of, _spelling(name)] for of in own_kind if (of, _spelling(name)) in _BY_SPELLING), None)
    return found and f"distilabel has `{found[0]}`; here: {found[1]}."
