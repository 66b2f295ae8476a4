"""The search for each method's default learning rate: validation loss on DialogSum, up to two seeds a rate.

    python -m bench.learning_rates --data FOLDER [--method M …] [--rate R …] [--training JSON] [--minutes N]

``FOLDER`` holds ``train.jsonl`` and ``dev.jsonl`` (``dialogue``, ``summary``). The first 300 rows of ``train`` are
trained on, the next 60 watched; of the first seed the first 60 rows of ``dev`` are answered as well, for a look at
ROUGE-1, by which nothing is chosen. Each run is a line of bench/learning_rates.jsonl; those that are in it are not
repeated on the same machine with the same parameters (``given``: the method's own and the schedule), so the search goes
on where it was ended; another machine's are left out. At the end, and with ``--show`` for all machines, it prints the
mean over seeds. ``--training`` is laid over the method's defaults: another schedule, say.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.common import embedded, machine, params_of, rows_of, texts_of, trainer_of
from tasks.core import device
from tasks.inference.generate import generate
from tasks.inference.params import GenerationParams
from tasks.metrics.load import load
from tasks.model.base_models import BaseModel
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.tuning.params import TrainedParams

RESULTS = Path(__file__).with_suffix(".jsonl")
SEEDS = (0, 1)
TRAIN, WATCHED, ANSWERED = 300, 60, 60

RATES = {
    "full": (2e-5, 5e-5, 1e-4, 2e-4, 5e-4),
    "selective": (1e-4, 2e-4, 5e-4, 1e-3, 2e-3),
    "lora": (5e-4, 1e-3, 2e-3, 5e-3, 1e-2),
    "adalora": (1e-3, 2e-3, 5e-3, 1e-2, 2e-2),
    "adapter": (3e-4, 1e-3, 2e-3, 5e-3, 1e-2),
    "ia3": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "prompt_tuning": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "prefix_tuning": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "p_tuning": (1e-3, 3e-3, 1e-2, 3e-2),
    "qlora": (5e-4, 1e-3, 2e-3, 5e-3, 1e-2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--method", action="append", choices=RATES, help="default: all")
    parser.add_argument("--rate", action="append", type=float, help="default: those of the method in RATES")
    parser.add_argument("--training", type=json.loads, default={}, help="JSON laid over the method's defaults")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--show", action="store_true", help="only print the stored results")
    args = parser.parse_args()
    if not args.show:
        if args.data is None:
            parser.error("--data is needed to train")
        if "learning_rate" in args.training:
            parser.error("--training must not have learning_rate; use --rate")
        rates = {name: args.rate or RATES[name] for name in args.method or RATES}
        _search(args.data, rates, args.training, args.minutes)
    _show()


def _search(data: Path, rates: dict[str, Sequence[float]], training: dict[str, Any], minutes: float) -> None:
    start = time.monotonic()
    device.use_threads(2)
    base, renderer = embedded()
    rows = rows_of(data / "train.jsonl", renderer)[: TRAIN + WATCHED]
    if len(rows) < TRAIN + WATCHED:
        raise SystemExit(
            f"{data}/train.jsonl: must have {TRAIN + WATCHED} rows; it has {len(rows)}; give a larger file"
        )
    answered = texts_of(data / "dev.jsonl")[:ANSWERED]
    given = {name: _given(name, training) for name in rates}
    here = [line for line in _results() if line["machine"] == machine()]
    done = {(line["method"], line["rate"], line["seed"]) for line in here if line["given"] == given.get(line["method"])}
    # Every method gets one seed of each rate before any gets a second.
    for seed in SEEDS:
        for name in rates:
            for rate in rates[name]:
                if (name, rate, seed) in done:
                    continue
                if time.monotonic() - start > 60 * minutes:
                    return
                params = params_of(name, {"seed": seed, "training": training | {"learning_rate": rate}})
                line = _run(params, base, renderer, rows, answered if seed == SEEDS[0] else [])
                line = {"method": name, "given": given[name], "rate": rate, "seed": seed} | line
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def _run(
    params: TrainedParams, base: BaseModel, renderer: Renderer, rows: list[Encoded], answered: list[tuple[str, str]]
) -> dict[str, Any]:
    transformers.set_seed(params.seed)
    train, watched = rows[:TRAIN], rows[TRAIN:]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(params, base, renderer, train, watched, Path(folder))
        start = time.monotonic()
        trainer.fit(None)
        seconds = time.monotonic() - start
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "before": round(losses[0], 4),
        "validation_loss": round(losses[-1], 4),
        "rouge1": _rouge1(trainer.model, renderer, answered) if answered else None,
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "tokens": trainer.tokens,
        "bf16": device.use_bf16("auto"),
        "machine": machine(),
        "torch": torch.__version__,
    }


def _given(name: str, training: dict[str, Any]) -> dict[str, Any]:
    """The method's own parameters and the schedule, with what of ``training`` was laid over the defaults beside."""
    params = params_of(name, {"training": training})
    values = params.model_dump(mode="json")
    shown = {"schedule", "warmup_fraction"} | training.keys()
    return {block: values[block] for block in params.blocks()} | {
        "training": {key: value for key, value in values["training"].items() if key in shown}
    }


def _rouge1(model: Any, renderer: Renderer, answered: list[tuple[str, str]]) -> float:
    prompts = [renderer.encode(prompt, summary).prompt for prompt, summary in answered]
    with device.autocast("auto"):
        generated = generate(model, renderer.tokenizer, prompts, renderer.kind, GenerationParams(token_budget=32768))
    given = {"predictions": [one.text for one in generated], "references": [[summary] for _, summary in answered]}
    return round(100 * load("rouge").compute(**given)["rouge1_f"], 1)


def _results() -> Iterator[dict[str, Any]]:
    if RESULTS.exists():
        yield from map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())


def _show() -> None:
    by_setting: dict[tuple[str, str, str], dict[float, list[dict[str, Any]]]] = {}
    for line in _results():
        of = (line["machine"], line["method"], json.dumps(line["given"]))
        by_setting.setdefault(of, {}).setdefault(line["rate"], []).append(line)
    for (where, name, given), rates in sorted(by_setting.items()):
        losses = {rate: [line["validation_loss"] for line in lines] for rate, lines in sorted(rates.items())}
        means = {rate: sum(values) / len(values) for rate, values in losses.items()}
        best = min(means, key=lambda rate: means[rate])
        scores = {
            rate: next((line["rouge1"] for line in rates[rate] if line["rouge1"] is not None), None) for rate in means
        }
        cells = [
            f"{'*' if rate == best else ''}{rate:g}: {mean:.4f} ({len(losses[rate])}; ROUGE-1 {scores[rate]})"
            for rate, mean in means.items()
        ]
        print(f"{where}: {name:14s} " + "   ".join(cells) + f"   {given}")


if __name__ == "__main__":
    main()
