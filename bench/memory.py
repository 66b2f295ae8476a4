"""Memory planned against memory measured, each training in a process of its own.

    python -m bench.memory --data FOLDER [--method M …] [--budget N …]

``FOLDER`` holds ``train.jsonl`` (``dialogue``, ``summary``). Measured is what each training measures of itself
(``tasks.memory.growth.MemoryGrowth``) in about ``--steps`` steps over batches of different shapes, with the largest.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

METHODS = ("full", "lora", "qlora", "prompt_tuning")
BUDGETS = (512, 2048, 8192)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", action="append", help=f"default: {', '.join(METHODS)}")
    parser.add_argument("--budget", action="append", type=int, help=f"tokens; default: {', '.join(map(str, BUDGETS))}")
    parser.add_argument("--steps", type=int, default=24, help="few may find less: the heap grows over steps")
    parser.add_argument("--checkpointing", action="store_true", help="compute activations again")
    parser.add_argument("--here", action="store_true", help="measure one method and budget in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(_measure(args.data, args.method[0], args.budget[0], args.steps, args.checkpointing)))
        return
    print("| method | token budget | largest batch | planned MB | measured MB | planned / measured | machine |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for method in args.method or METHODS:
        for budget in args.budget or BUDGETS:
            command = [sys.executable, "-m", "bench.memory", "--here", "--data", args.data, "--steps", args.steps]
            command += ["--method", method, "--budget", budget, *["--checkpointing"] * args.checkpointing]
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"| {method} | {budget} | failed: {done.stderr.strip().splitlines()[-1]} | | | | |", flush=True)
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            planned, measured = result["planned"] / 1e6, result["measured"] / 1e6
            ratio = f"{planned / measured:.2f}"
            cells = (method, budget, result["batch"], f"{planned:,.0f}", f"{measured:,.0f}", ratio, result["machine"])
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _measure(data: Path, method: str, budget: int, steps: int, checkpointing: bool) -> dict[str, Any]:
    from bench.common import embedded, machine, params_of, rows_of, trainer_of
    from tasks.core import device
    from tasks.memory.growth import MemoryGrowth
    from tasks.memory.training_plan import largest_batch, plan_training
    from tasks.model.batches import token_budget_batches

    device.use_threads(2)
    device.keep_freed_memory()
    device.limit_kernel_caches()
    base, renderer = embedded()
    loop = {"token_budget": budget, "epochs": 1, "activation_checkpointing": checkpointing}
    params = params_of(method, {"training": loop})
    every = rows_of(data / "train.jsonl", renderer)[:600]
    shape = largest_batch(every, base.kind, budget)
    batches = [[every[i] for i in batch] for batch in token_budget_batches([len(row) for row in every], budget)]
    largest = next(batch for batch in batches if largest_batch(batch, base.kind, budget) == shape)
    others = [batch for batch in batches if batch is not largest]
    chosen = [largest, *random.Random(0).sample(others, min(steps - 1, len(others)))]
    rows = [row for batch in chosen for row in batch]
    step = plan_training(params, base, rows)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(params, base, renderer, rows, every[:4], Path(folder))
        with MemoryGrowth(trainer.model) as growth:
            trainer.fit(None)
    shape = largest_batch(rows, base.kind, budget)
    return {
        "planned": step.increment,
        "measured": growth.peak,
        "batch": f"{shape.rows} x {shape.width}, {shape.supervised} learnt",
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
