"""Memory planned against memory measured, each training in a process of its own.

    python -m bench.memory --data FOLDER [--method M …] [--budget N …]

``FOLDER`` holds ``train.jsonl`` (``dialogue``, ``summary``). Measured is the growth of the resident set over that of
the process with the model loaded, read every 5 ms, in two steps with the largest batch of 600 rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

METHODS = ("full", "lora", "qlora", "prompt_tuning")
BUDGETS = (512, 2048, 8192)
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", action="append", help=f"default: {', '.join(METHODS)}")
    parser.add_argument("--budget", action="append", type=int, help=f"tokens; default: {', '.join(map(str, BUDGETS))}")
    parser.add_argument("--here", action="store_true", help="measure one method and budget in this process")
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(_measure(asked.data, asked.method[0], asked.budget[0])))
        return
    print("| method | token budget | batch | planned MB | measured MB | planned / measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method in asked.method or METHODS:
        for budget in asked.budget or BUDGETS:
            command = [sys.executable, "-m", "bench.memory", "--here", "--data", asked.data]
            done = subprocess.run(
                [*map(str, command), "--method", method, "--budget", str(budget)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"| {method} | {budget} | failed: {done.stderr.strip().splitlines()[-1]} | | | |", flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            planned, measured = found["planned"] / 1e6, found["measured"] / 1e6
            cells = (method, budget, found["batch"], f"{planned:,.0f}", f"{measured:,.0f}", f"{planned / measured:.2f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _measure(data: Path, method: str, budget: int) -> dict[str, Any]:
    from bench.learning_rates import params_of, rows_of, trainer_of
    from tasks import device
    from tasks.base_models import EMBEDDED, BaseModelParams, find, load_tokenizer
    from tasks.likelihood import token_budget_batches
    from tasks.memory.measure import Growth
    from tasks.memory.plan import largest_batch, plan_training
    from tasks.rendering import Renderer

    device.use_threads(2)
    base = find(BaseModelParams(name=EMBEDDED), ROOT)
    renderer = Renderer(load_tokenizer(base), base.kind)
    params = params_of(method, {"training": {"token_budget": budget, "max_steps": 2, "epochs": 1}})
    rows = rows_of(data / "train.jsonl", renderer)[:600]
    shape = largest_batch(rows, base.kind, budget)
    batches = token_budget_batches([len(row) for row in rows], budget)
    members = next(
        b for b in ([rows[i] for i in batch] for batch in batches) if largest_batch(b, base.kind, budget) == shape
    )
    planned = plan_training(params, base, members * 2).increment
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(params, base, renderer, members * 2, members[:1], Path(folder))
        with Growth(trainer.model) as growth:
            trainer.fit(None)
    return {
        "planned": planned,
        "measured": growth.most,
        "batch": f"{shape.rows} x {shape.width}, {shape.supervised} learnt",
    }


if __name__ == "__main__":
    main()
