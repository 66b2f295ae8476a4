"""Ten generations, each tuned from the one before: how far do they drift from the original base?

    python -m bench.generations --data train.jsonl --generations 10 --output generations.png

Generation g is LoRA on the merged generation g - 1, trained on the g-th share of the rows of DialogSum. All are
measured on the same rows, in nats per token: the loss of held-out dialogues (what they should learn), and the loss of
what the original base, the embedded model, generates for the canary's prompts (what they should keep).
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from bench.common import embedded, params_of, rows_of, trainer_of
from tasks.ancestry.build import save_whole
from tasks.core import device
from tasks.evaluate.canary import texts
from tasks.model.base_models import BaseModel, load_model
from tasks.model.encoded import Encoded
from tasks.model.likelihood import likelihood
from tasks.model.rendering import Renderer
from tasks.tuning.peft_adapters import load_beside

LORA = {
    "lora": {"rank": 8, "alpha": 16, "targets": "all-linear"},
    "training": {"learning_rate": 1e-3, "precision": "fp32"},
}


def kept_rows(base: BaseModel, renderer: Renderer) -> list[Encoded]:
    """The canary's prompts, with the greedy outputs of the original base as completions."""
    model = load_model(base, torch.float32).eval()
    rows = []
    for text in texts():
        prompt = renderer.prompt(text)
        with torch.no_grad():
            output = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0].tolist()
        rows.append(Encoded(prompt, output[len(prompt) :]))
    return rows


def loss(model: Any, rows: list[Encoded], renderer: Renderer) -> float:
    pad = renderer.tokenizer.pad_token_id
    return likelihood(model, rows, renderer.kind, pad, 2048, device.autocast("fp32")).loss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="JSONL of DialogSum: dialogue, summary")
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--rows", type=int, default=40, help="training rows per generation")
    parser.add_argument("--output", type=Path, default=Path("generations.png"))
    given = parser.parse_args()
    device.use_threads(2)
    torch.manual_seed(0)
    original, renderer = embedded()
    rows = [row for row in rows_of(given.data, renderer) if len(row) <= 512]
    needed = given.generations * given.rows + 40
    assert len(rows) >= needed, f"{given.data}: {needed} rows are needed; it has {len(rows)}"
    held_out, kept = rows[-40:], kept_rows(original, renderer)
    base, points = original, []
    with tempfile.TemporaryDirectory() as temporary:
        for generation in range(given.generations + 1):
            if generation:
                share = rows[(generation - 1) * given.rows : generation * given.rows]
                folder = Path(temporary) / f"generation-{generation}"
                base = tuned(base, renderer, share, held_out, folder)
            model = load_model(base, torch.float32)
            points.append(
                {"generation": generation, "task": loss(model, held_out, renderer), "kept": loss(model, kept, renderer)}
            )
            print(json.dumps(points[-1]), flush=True)
            del model
            gc.collect()
    draw(points, given.output)


def tuned(base: BaseModel, renderer: Renderer, rows: list[Encoded], held_out: list[Encoded], folder: Path) -> BaseModel:
    """Train LoRA on ``base``, merge it, and return the merged model as a base."""
    trainer = trainer_of(params_of("lora", LORA), base, renderer, rows, held_out, folder / "checkpoints")
    trainer.train()
    trainer.model.save_pretrained(folder / "adapter")
    merged = load_beside(load_model(base, torch.float32), folder / "adapter").merge_and_unload()
    save_whole(merged, renderer, folder / "merged")
    return replace(base, folder=folder / "merged")


def draw(points: list[dict[str, float]], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, label in (("task", "held-out dialogues (learnt)"), ("kept", "outputs of the original base (kept)")):
        axes.plot(
            [one["generation"] for one in points], [one[name] - points[0][name] for one in points], "o-", label=label
        )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="generation", ylabel="loss minus that of the original base (nats per token)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
