"""Greedy generation: slots beside the continuous batching of ``transformers``.

    python -m bench.generation --rows FILE.jsonl --column dialogue --model models/lora

Each engine generates completions of the same rows with the same model in one process, in turn, ``--repeats`` times; the
first turn is not counted. Printed are new tokens per second and how many completions equal those of ``slots``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from bench.common import machine
from tasks.core import device
from tasks.core.stage import quieten_bitsandbytes
from tasks.inference.generate import Generated, generate
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.unwrap import unwrapped

Completions = list[Generated]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="JSONL file with one text per line")
    parser.add_argument("--column", default="dialogue")
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--page-size", type=int, default=32, help="tokens per page of the library's cache")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[256, 1024], help="of the library's batches")
    options = parser.parse_args()
    quieten_bitsandbytes()
    device.use_threads(os.cpu_count() or 1)
    params = GenerationParams(max_new_tokens=options.max_new_tokens)
    predictor = Predictor.load(options.model, params)
    texts = [json.loads(line)[options.column] for line in options.rows.read_text().splitlines()[: options.count]]
    prompts = [predictor.renderer.prompt(f"Summarize this dialogue.\n\n{text}") for text in texts]
    engines = _engines(predictor, prompts, params, options)
    print(json.dumps({"rows": len(prompts), "prompt_tokens": sum(map(len, prompts)), "machine": machine()}))
    reference: Completions = []
    for repeat in range(options.repeats + 1):
        for name, engine in engines.items():
            started = time.perf_counter()
            completions = engine()
            seconds = time.perf_counter() - started
            reference = reference or completions
            equal = sum(a.text == b.text for a, b in zip(completions, reference, strict=True))
            tokens = sum(completion.new_tokens for completion in completions)
            result = {"engine": name, "seconds": round(seconds, 1), "new_tokens": tokens, "equal": equal}
            print(json.dumps({"turn": repeat, **result, "tokens_per_second": round(tokens / seconds, 1)}), flush=True)


def _engines(
    predictor: Predictor, prompts: list[list[int]], params: GenerationParams, options: argparse.Namespace
) -> dict[str, Callable[[], Completions]]:
    tokenizer = predictor.renderer.tokenizer

    def library(batch_tokens: int) -> Completions:
        model: Any = unwrapped(predictor.model)
        pages = -(-params.token_budget // options.page_size)
        config = ContinuousBatchingConfig(
            page_size=options.page_size, num_blocks=pages, max_batch_tokens=batch_tokens, use_async_batching=False
        )
        greedy = GenerationConfig(
            max_new_tokens=params.max_new_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.no_grad():
            outputs = model.generate_batch(prompts, generation_config=greedy, continuous_batching_config=config)
        ordered = [outputs[f"req_{number}"].generated_tokens for number in range(len(prompts))]
        return [
            Generated(
                tokenizer.decode(tokens, skip_special_tokens=True),
                len(tokens),
                tokens[-1] == greedy.eos_token_id,
            )
            for tokens in ordered
        ]

    return {
        "slots": lambda: generate(predictor.model, tokenizer, prompts, predictor.base.kind, params),
        **{f"library, {n} tokens per batch": partial(library, n) for n in options.batch_tokens},
    }


if __name__ == "__main__":
    main()
