"""A tokenizer and a language model small enough to be made in a test, saved as a folder that transformers loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES = [
    "The capital of Spain is Madrid.",
    "A short one.",
    "Tell me more about the rivers and the cities of the world.",
]

# Like Llama's: it begins with the token that begins a text, and refuses what it does not know.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}{{ raise_exception('Unknown role') }}{% endif %}"
    "[{{ message['role'] }}] {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def save_tokenizer(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> Any:
    """A byte-level BPE trained on a few sentences, which puts `<s>` before every text; returns it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast_tokenizer: Any = PreTrainedTokenizerFast
    fast = fast_tokenizer(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=chat_template
    )
    fast.save_pretrained(folder)
    return fast


def save_model(folder: Path, *, context: int = 256) -> None:
    """A Llama of two layers with random weights, wide enough apart that every token of the prompt matters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = save_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    # It never ends an answer by chance.
    model.generation_config.suppress_tokens = [0, 1, 2]
    model.save_pretrained(folder)
