"""Masks of conversations against TRL's ``assistant_only_loss``, token by token.

    pip install --target /tmp/trl --no-deps trl==1.16.0
    PYTHONPATH=/tmp/trl:. python -m bench.masks

TRL brings its own versions of chat templates, with ``{% generation %}``. Each renders the same random conversations,
with a tiny tokenizer that knows its control tokens. TRL's trainer prepares them, and Tunesmith encodes them as rows.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tasks.model.rendering import Renderer

TEMPLATES = ("qwen2_5", "llama3", "gemma", "qwen3", "phi3")

_TOKEN = re.compile(r"<\|[a-z_]+\|>|<(?:start|end)_of_turn>")
_WORDS = ["fruit", "Oslo", "late", "naïve", "日本", "🙂👍🏽", "x = 1", "\n- item", "<b>", "  ", "1,5 €"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--templates", nargs="+", default=TEMPLATES)
    args = parser.parse_args()
    chats = [_conversation(random.Random(seed)) for seed in range(args.conversations)]
    print(json.dumps({name: version(name) for name in ("trl", "transformers", "tokenizers")}))
    for name in args.templates:
        print(json.dumps({"template": name, **_compared(name, chats)}))


def _compared(name: str, chats: list[list[dict[str, str]]]) -> dict[str, int]:
    template = (files("trl") / f"chat_templates/{name}_training.jinja").read_text(encoding="utf-8")
    tokenizer = _tokenizer(template)
    theirs = _labels_of_trl(tokenizer, chats)
    renderer = Renderer(tokenizer, "causal")
    tokens = supervised = different = 0
    for chat, (ids, labels) in zip(chats, theirs, strict=True):
        encoded = renderer.encode_row({"messages": chat})
        ours = [-100] * len(encoded.prompt) + encoded.labels
        own = [*encoded.prompt, *encoded.completion]
        ours += [-100] * (len(ids) - len(ours))  # what follows the last turn
        tokens, supervised = tokens + len(ids), supervised + encoded.supervised
        different += ours != labels or own != ids[: len(own)]
    return {"conversations": len(chats), "different": different, "tokens": tokens, "supervised": supervised}


def _labels_of_trl(tokenizer: Any, chats: list[list[dict[str, str]]]) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of each conversation, from TRL's trainer and its collator."""
    from trl import SFTConfig, SFTTrainer

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, assistant_only_loss=True, max_length=None, report_to="none", use_cpu=True, bf16=False
        )
        data = Dataset.from_list([{"messages": chat} for chat in chats])
        trainer = SFTTrainer(model, args=config, train_dataset=data, processing_class=tokenizer)
        batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    return [(batch["input_ids"][0].tolist(), batch["labels"][0].tolist()) for batch in batches]


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    special = ["<s>", "</s>", *sorted(set(_TOKEN.findall(template)))]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator([" ".join(_WORDS)] * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<s>")
    fast.chat_template = template
    return fast


def _conversation(rng: random.Random) -> list[dict[str, str]]:
    """One to four turns; no text begins with white space, which could share a token with the template's line end."""

    def text() -> str:
        return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 12))).lstrip() or "x"

    roles = ("user", "assistant") * rng.randint(1, 4)
    return [{"role": role, "content": text()} for role in roles]


if __name__ == "__main__":
    main()
