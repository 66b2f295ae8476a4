"""Tiny models made in the test: a tokenizer trained on a few sentences, a Llama and a T5 from their configs."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(corpus: list[str], chat: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 400 tokens; as with SmolLM2, the pad token is the end token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def save_llama(folder: Path, corpus: list[str], seed: int = 0) -> Path:
    """A two-layer Llama with random weights, and its chat tokenizer."""
    words = tokenizer(corpus, chat=True)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_t5(folder: Path, corpus: list[str], seed: int = 0) -> Path:
    """A T5 with two layers a side and random weights; its pad token starts the decoder and is not the end token."""
    words = tokenizer(corpus, chat=False)
    words.add_special_tokens({"pad_token": "<|pad|>"})
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(words),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        decoder_start_token_id=words.pad_token_id,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_gpt2(folder: Path, corpus: list[str], seed: int = 0) -> Path:
    """A two-layer GPT-2 with random weights: it knows positions by embeddings, and keeps its matrices transposed."""
    words = tokenizer(corpus, chat=False)
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=256,
        n_embd=64,
        n_layer=2,
        n_head=4,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
