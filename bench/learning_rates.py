"""The search for each method's default learning rate: validation loss on 300 rows of DialogSum, two seeds a rate.

    python -m bench.learning_rates --data FOLDER [--method M …] [--minutes N]

``FOLDER`` holds ``train.jsonl`` (``dialogue``, ``summary``). Each run is a line of bench/learning_rates.jsonl; those
that stand there are not repeated, so the search goes on where it was ended. At the end, and with ``--show``, it
prints the mean over seeds of each rate. The rows are the 360 shortest: every sixth is watched, the others train;
short ones, to take less time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from tasks import device
from tasks.base_models import EMBEDDED, BaseModel, BaseModelParams, find, load_tokenizer
from tasks.params import merge, parse, read_yaml
from tasks.rendering import Encoded, Renderer
from tasks.template.environment import ENVIRONMENT
from tasks.template.library import library_of, load_set
from tasks.train.methods import prepare
from tasks.train.params import TrainParams
from tasks.train.trainer import CompletionTrainer, optimizer_steps

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_suffix(".jsonl")
SEEDS = (0, 1)
TRAIN, WATCHED = 300, 60

RATES = {
    "full": (2e-5, 5e-5, 1e-4, 2e-4),
    "selective": (1e-4, 2e-4, 5e-4, 1e-3),
    "lora": (5e-4, 1e-3, 2e-3, 5e-3),
    "adalora": (1e-3, 2e-3, 5e-3, 1e-2),
    "adapter": (3e-4, 1e-3, 2e-3, 5e-3),
    "ia3": (3e-3, 1e-2, 3e-2, 1e-1),
    "prompt_tuning": (3e-3, 1e-2, 3e-2, 1e-1),
    "prefix_tuning": (3e-3, 1e-2, 3e-2, 1e-1),
    "p_tuning": (3e-4, 1e-3, 3e-3, 1e-2),
    "qlora": (5e-4, 1e-3, 2e-3, 5e-3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--method", action="append", choices=RATES, help="default: all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--show", action="store_true", help="only print what stands in the results")
    asked = parser.parse_args()
    if not asked.show:
        if asked.data is None:
            parser.error("--data is needed to train")
        _search(asked.data, asked.method or list(RATES), asked.minutes)
    _show()


def _search(data: Path, names: list[str], minutes: float) -> None:
    begun = time.monotonic()
    device.use_threads(2)
    base = find(BaseModelParams(name=EMBEDDED), ROOT)
    renderer = Renderer(load_tokenizer(base), base.kind)
    rows = _chosen(data / "train.jsonl", renderer)
    done = {(line["method"], line["rate"], line["seed"]) for line in _results()}
    # Every method gets one seed of each rate before any gets a second.
    for seed in SEEDS:
        for name in names:
            for rate in RATES[name]:
                if (name, rate, seed) in done:
                    continue
                if time.monotonic() - begun > 60 * minutes:
                    return
                line = _run(name, rate, seed, base, renderer, rows)
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def rows_of(path: Path, renderer: Renderer) -> list[Encoded]:
    """Every row of a JSONL file with ``dialogue`` and ``summary``, as the template ``summarise`` asks for it."""
    (template,) = (t for t in load_set("dialogue_summary", library_of(ROOT)).templates if t.id == "summarise")
    prompt = ENVIRONMENT.from_string(template.prompt)
    with path.open(encoding="utf-8") as file:
        rows = list(map(json.loads, file))
    return [renderer.encode(prompt.render(row).strip(), row["summary"].strip()) for row in rows]


def params_of(method: str, patch: dict[str, Any]) -> TrainParams:
    """The defaults of ``method`` with ``patch`` laid over."""
    defaults = read_yaml(ROOT / "params/training.yaml")
    merged = merge(merge(defaults["defaults"], defaults["methods"][method]), patch)
    return parse(TrainParams, merged | {"method": method, "mixture": "dialogsum"}, "params/training.yaml")


def trainer_of(
    params: TrainParams, base: BaseModel, renderer: Renderer, train: list[Encoded], watched: list[Encoded], folder: Path
) -> CompletionTrainer:
    """A trainer outside the DAG; its checkpoints lie in ``folder``."""
    assert params.training is not None
    return CompletionTrainer(
        model=prepare(base, params, optimizer_steps(train, params.training)),
        train=train,
        validation=watched,
        params=params,
        kind=base.kind,
        pad=renderer.tokenizer.pad_token_id,
        folder=folder,
        callbacks=[],
        labelled=False,
    )


def _chosen(path: Path, renderer: Renderer) -> list[Encoded]:
    shortest = sorted(rows_of(path, renderer), key=len)[: TRAIN + WATCHED]
    if len(shortest) < TRAIN + WATCHED:
        raise SystemExit(f"{path}: must have {TRAIN + WATCHED} rows; it has {len(shortest)}; give a larger file")
    watched = shortest[::6]
    return [row for place, row in enumerate(shortest) if place % 6] + watched


def _run(name: str, rate: float, seed: int, base: BaseModel, renderer: Renderer, rows: list[Encoded]) -> dict[str, Any]:
    params = params_of(name, {"seed": seed, "training": {"learning_rate": rate}})
    transformers.set_seed(seed)
    train, watched = rows[:TRAIN], rows[TRAIN:]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(params, base, renderer, train, watched, Path(folder))
        begun = time.monotonic()
        trainer.fit(None)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "method": name,
        "rate": rate,
        "seed": seed,
        "before": round(losses[0], 4),
        "validation_loss": round(losses[-1], 4),
        "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - begun, 1),
        "tokens": trainer.tokens,
        "bf16": device.use_bf16("auto"),
        "torch": torch.__version__,
    }


def _results() -> Iterator[dict[str, Any]]:
    if RESULTS.exists():
        yield from map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())


def _show() -> None:
    found: dict[str, dict[float, list[float]]] = {}
    for line in _results():
        found.setdefault(line["method"], {}).setdefault(line["rate"], []).append(line["validation_loss"])
    for name, rates in found.items():
        means = {rate: sum(losses) / len(losses) for rate, losses in sorted(rates.items())}
        best = min(means, key=lambda rate: means[rate])
        cells = [
            f"{'*' if rate == best else ''}{rate:g}: {mean:.4f} ({len(rates[rate])})" for rate, mean in means.items()
        ]
        print(f"{name:14s} " + "   ".join(cells))


if __name__ == "__main__":
    main()
