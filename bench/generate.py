"""Rows answered in a second: this project beside ``model.generate`` in the rows' order, eight at a time, in fp32.

    python -m bench.generate --data FOLDER [--rows 200] [--shots 0] [--new-tokens 80] [--token-budget 8192]

``FOLDER`` holds ``dev.jsonl`` (``dialogue``, ``summary``), and ``train.jsonl`` for ``--shots``. The embedded model
answers greedily, each variant in a process of its own, one after the other:

    generate    transformers, batches of eight rows in input order, padded on the left, fp32
    fp32        this project in fp32, within ``--token-budget``
    bf16        this project in bf16; by default only where ``precision: auto`` would take it

Answers of ``fp32`` are compared with those of ``generate``. Other padding rounds otherwise; at the first token that
differs, the gap between the logits of the two tokens is told, in a pass of that row alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

VARIANTS = ("generate", "fp32", "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--new-tokens", type=int, default=80)
    parser.add_argument("--token-budget", type=int, default=8192)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: those that this machine can")
    parser.add_argument("--here", type=Path, help="answer one variant in this process and write its answers there")
    args = parser.parse_args()
    if args.here:
        results = _measure(args)
        args.here.write_text(json.dumps(results), encoding="utf-8")
        return
    from bench.common import embedded
    from tasks.core import device

    embedded()  # converted once, in no process that is measured
    variants = args.variant or [v for v in VARIANTS if v != "bf16" or device.use_bf16("auto")]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in variants:
            output = Path(folder) / f"{variant}.json"
            command = [sys.executable, "-m", "bench.generate", "--here", output, "--variant", variant]
            command += ["--data", args.data, "--rows", args.rows, "--shots", args.shots]
            command += ["--new-tokens", args.new_tokens, "--token-budget", args.token_budget]
            subprocess.run([*map(str, command)], check=True)
            results[variant] = json.loads(output.read_text(encoding="utf-8"))
            print(f"{variant}: {results[variant]['seconds']:.0f} s", file=sys.stderr, flush=True)
    show(results)


def show(results: dict[str, dict[str, Any]]) -> None:
    first = next(iter(results.values()))
    print(f"{first['machine']}, torch {first['torch']}, transformers {first['transformers']}; {first['rows']} rows, ")
    print("| variant | rows/s | times generate | peak MB beside the weights | same answers |")
    print("| --- | --- | --- | --- | --- |")
    theirs = results.get("generate")
    for variant, one in results.items():
        speed = one["rows"] / one["seconds"]
        times = f"{speed * theirs['seconds'] / theirs['rows']:.2f}" if theirs else ""
        pairs = list(zip(one["answers"], theirs["answers"], strict=True)) if theirs else []
        same = f"{sum(ours == other for ours, other in pairs)} of {len(pairs)}" if theirs else ""
        print(f"| {variant} | {speed:.3f} | {times} | {one['growth'] / 1e6:,.0f} | {same} |")
    if theirs and "fp32" in results:
        print(f"gaps of the logits where fp32 first differs: {_gaps(theirs, results['fp32'])}")


def _setting(data: Path, rows: int, shots: int) -> tuple[Any, Any, list[list[int]]]:
    from bench.common import embedded, texts_of

    base, renderer = embedded()
    examples = texts_of(data / "train.jsonl")[:shots] if shots else []
    return base, renderer, [renderer.prompt(prompt, examples) for prompt, _ in texts_of(data / "dev.jsonl")[:rows]]


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    from bench.common import machine
    from tasks.core import device
    from tasks.memory.growth import MemoryGrowth
    from tasks.model.base_models import load_model

    device.use_threads(2)
    variant = args.variant[0]
    base, renderer, prompts = _setting(args.data, args.rows, args.shots)
    model = load_model(base, torch.bfloat16 if variant == "bf16" else torch.float32).to(device.device()).eval()
    answer = _plainly if variant == "generate" else partial(_ours, budget=args.token_budget)
    with MemoryGrowth(model) as growth:
        start = time.perf_counter()
        answers = answer(model, renderer.tokenizer, prompts, args.new_tokens)
        seconds = time.perf_counter() - start
    return {
        "variant": variant,
        "rows": len(prompts),
        "prompts": prompts,
        "seconds": seconds,
        "growth": growth.peak,
        "answers": answers,
        "machine": machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _ours(model: Any, tokenizer: Any, prompts: list[list[int]], new_tokens: int, budget: int) -> list[str]:
    from tasks.inference.generate import generate
    from tasks.inference.params import GenerationParams

    params = GenerationParams(max_new_tokens=new_tokens, token_budget=budget)
    return [one.text for one in generate(model, tokenizer, prompts, "causal", params)]


def _plainly(model: Any, tokenizer: Any, prompts: list[list[int]], new_tokens: int) -> list[str]:
    import torch

    answers: list[str] = []
    for start in range(0, len(prompts), 8):
        some = prompts[start : start + 8]
        padded = tokenizer.pad({"input_ids": some}, padding_side="left", return_tensors="pt").to(model.device)
        with torch.no_grad():
            generated = model.generate(**padded, max_new_tokens=new_tokens, do_sample=False)
        texts = tokenizer.batch_decode(generated[:, padded["input_ids"].shape[1] :], skip_special_tokens=True)
        answers += texts
    return answers


def _gaps(theirs: dict[str, Any], ours: dict[str, Any]) -> list[float]:
    """Of every row that differs, how far the logits of the two tokens lie apart, in a pass of its own."""
    import torch

    from bench.common import embedded
    from tasks.model.base_models import load_model

    base, renderer = embedded()
    model, gaps = load_model(base, torch.float32).eval(), []
    for prompt, one, other in zip(theirs["prompts"], theirs["answers"], ours["answers"], strict=True):
        if one == other:
            continue
        first, second = (list(renderer.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (one, other))
        end = renderer.tokenizer.eos_token_id
        at = next(
            (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(map(len, (first, second)))
        )
        tokens = [text[at] if at < len(text) else end for text in (first, second)]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + first[:at]])).logits[0, -1]
        gaps.append(round(abs(float(logits[tokens[0]] - logits[tokens[1]])), 5))
    return gaps


if __name__ == "__main__":
    main()
