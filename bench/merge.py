"""No added latency: generation by the base model, by a merged adapter, and by the adapter beside the base.

    python -m bench.merge --rounds 5

The base is the embedded model in fp32, the adapter LoRA of the given rank on all linear layers with random factors, so
that it changes every product. Each round times the three in turn on the same prompts; every output has the same number
of tokens. Printed are the medians of the rounds' ratios to the base, and the bytes of the adapter and of a full copy.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from bench.common import embedded, machine
from tasks.core import device
from tasks.evaluate.canary import texts
from tasks.model.base_models import load_model


def adapted(model: Any, rank: int) -> Any:
    """The model with LoRA beside every linear layer; both factors are random."""
    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, config).eval()


@torch.no_grad()
def seconds(model: Any, batch: Any, new_tokens: int) -> float:
    started = time.perf_counter()
    output = model.generate(**batch, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
    assert output.shape[1] == batch["input_ids"].shape[1] + new_tokens
    return time.perf_counter() - started


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=48)
    given = parser.parse_args()
    device.use_threads(2)
    base, renderer = embedded()
    tokenizer = renderer.tokenizer
    tokenizer.padding_side = "left"
    batch = tokenizer(texts()[:8], return_tensors="pt", padding=True)
    plain = load_model(base, torch.float32).eval()
    beside = adapted(copy.deepcopy(plain), given.rank)
    merged = copy.deepcopy(beside).merge_and_unload().eval()
    models = {"base": plain, "merged": merged, "unmerged": beside}
    with torch.no_grad():
        first, second = (model(**batch).logits for model in (beside, merged))
        print(f"largest difference of a logit, merged against unmerged: {float((first - second).abs().max()):.2g}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        beside.save_pretrained(folder / "adapter")
        merged.save_pretrained(folder / "whole")
        adapter, whole = size(folder / "adapter"), size(folder / "whole")
    for model in models.values():  # warm up
        seconds(model, batch, 4)
    rounds = []
    for _ in range(given.rounds):
        rounds.append({name: seconds(model, batch, given.new_tokens) for name, model in models.items()})
    print(f"{machine()}, {given.rounds} rounds, {len(batch['input_ids'])} prompts, {given.new_tokens} new tokens each")
    for name in models:
        ratios = [one[name] / one["base"] for one in rounds]
        own, ratio = statistics.median(one[name] for one in rounds), statistics.median(ratios)
        print(f"{name}: {own:.2f} s; {ratio:.3f} of the base ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"adapter of rank {given.rank}: {adapter / 1e6:.1f} MB")
    print(f"full copy: {whole / 1e6:.1f} MB, {whole / adapter:.0f} times more")


if __name__ == "__main__":
    main()
