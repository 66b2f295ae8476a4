"""Tiny tokenizers with chat templates like those of model families, and random conversations."""

from __future__ import annotations

import random
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = ["Name a fruit please, and say what the weather is like in Oslo today. The parcel is late and I am sorry."] * 3

_IM = "<|im_start|>{{ m.role }}\n"

MARKED = {
    "chatml": "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n{% generation %}"
    "{{ m.content }}<|im_end|>{% endgeneration %}\n{% else %}" + _IM + "{{ m.content }}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama3": "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}<|sep|>\n\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content | trim }}<|im_end|>{% endgeneration %}{% else %}{{ m.content | trim }}<|im_end|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant<|sep|>\n\n{% endif %}",
    "smollm3": "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n{% generation %}"
    "{{ m.content + '<|im_end|>\n' }}{% endgeneration %}{% else %}" + _IM + "{{ m.content }}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "qwen2.5": "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant{% generation %}"
    "{{ '\n' + m.content + '<|im_end|>\n' }}{% endgeneration %}{% else %}"
    + _IM
    + "{{ m.content }}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "phi3": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>\n' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% elif messages[-1].role == 'assistant' %}"
    "{% generation %}{{ eos_token }}{% endgeneration %}{% else %}{{ eos_token }}{% endif %}",
}
"""Templates that mark what the model generates; Phi-3's marks the end token of the tokenizer behind the last turn."""

CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}{% for m in messages %}"
    + _IM
    + "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As SmolLM2's."""

REASONING = (
    "{% if tools %}<|im_start|>system\n# Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% endif %}{% set ns = namespace(user=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.user = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}"
    + _IM
    + "{% if m.role == 'assistant' and m.reasoning_content and loop.index0 > ns.user %}<think>\n"
    "{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}{{ '\n<tool_call>\n' }}{{ call.function | tojson }}\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3's: the reasoning of earlier turns is dropped."""

GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""As Gemma's: a turn is not closed by the end token, and there is no system role."""

ALTERNATING = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""As Gemma's own: neither a system nor a tool role."""

DATED = "{{ bos_token }}Now is {{ strftime_now('%d %b %Y %H:%M:%S') }}.\n" + CHATML

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|sep|>", "<start_of_turn>", "<end_of_turn>"]


def chat_tokenizer(template: str | None, eos: str = "<|im_end|>", closes: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE; with ``closes``, the tokenizer itself puts ``<s>`` and ``</s>`` around every text."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    if closes:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, bos_token="<s>", pad_token="<s>")
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = template
    return fast


def conversation(rng: random.Random, system: bool | None = None, extra: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """A conversation of one to four turns of the model, some of them learned; ``extra`` are words that it may hold."""
    words = ["fruit", "Oslo", "late", "naïve", "日本", "🙂👍🏽", "x = 1", "\n- item", "<b>", "  ", "1,5 €", *extra]

    def text() -> str:
        joined = " ".join(rng.choice(words) for _ in range(rng.randint(1, 9))) + rng.choice(["", ".", "🙂", "\n"])
        return joined.lstrip() or "x"

    messages = []
    if system or (system is None and rng.random() < 0.5):
        messages.append({"role": "system", "content": text()})
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": text()})
        messages.append({"role": "assistant", "content": text(), "train": rng.random() < 0.7})
    messages[-1]["train"] = True
    return messages
