"""A workspace with many evaluated experiments, without running any of them: rows and texts are synthetic."""

from __future__ import annotations

import json
import random
from typing import Any

from tasks.compare.collect import collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.plot import draw
from tasks.compare.seeds import with_seeds
from tasks.compare.table import markdown_table
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tests.compare.compared import Workspace, prediction

WORDS = [
    "customer",
    "agent",
    "order",
    "parcel",
    "lamp",
    "radio",
    "refund",
    "address",
    "delivery",
    "invoice",
    "password",
    "account",
    "reports",
    "promises",
    "sends",
    "replaces",
    "explains",
    "confirms",
    "broken",
    "late",
    "missing",
    "wrong",
    "new",
    "second",
    "Monday",
    "morning",
    "quickly",
    "politely",
    "again",
    "today",
]


def fill(paths: Paths, experiments: int, rows: int, resamples: int = 500) -> None:
    """Write what ``compare`` and the report read for ``base``, ``experiments - 1`` tuned models and a baseline.

    The models get better with their number. The text of test row 17 names the order 4217, which no other text does.
    """
    workspace, drawn = Workspace(paths.root), random.Random(0)
    texts = [" ".join(drawn.choices(WORDS, k=90)) + f", order {4200 + number}" for number in range(rows)]
    references = [" ".join(drawn.choices(WORDS, k=28)) for _ in range(rows)]
    for number in range(experiments):
        name = "base" if number == 0 else f"lora-r{2 ** (number - 1)}" if number < 8 else f"variant-{number}"
        kept = 0.15 + 0.03 * min(number, 12)
        predictions = [
            _predicted(f"r{row}", text, reference, kept, drawn)
            for row, (text, reference) in enumerate(zip(texts, references, strict=True))
        ]
        method = "none" if number == 0 else "lora"
        loss = 1.2 - 0.02 * number
        workspace.experiment(name, rows=predictions, method=method, validation_loss_per_byte=loss, validation_loss=loss)
        _trained(paths, name, method, number)
    workspace.trivial("lead", [0.2 + drawn.random() / 10 for _ in range(rows)])


def _predicted(row_id: str, text: str, reference: str, kept: float, drawn: random.Random) -> dict[str, Any]:
    words = [word if drawn.random() < kept else drawn.choice(WORDS) for word in reference.split()]
    score = sum(ours == theirs for ours, theirs in zip(words, reference.split(), strict=True)) / len(words)
    return prediction(row_id, score, text=text, references=[reference], completion=" ".join(words))


def _trained(paths: Paths, name: str, method: str, number: int) -> None:
    """The files of a finished training: manifest, ``run.json`` and the history."""
    manifest = {
        "key": None,
        "method": method,
        "params": {"mixture": "demo", "max_length": 1024},
        "base_model": {"spec": "./base", "weights_sha256": "b" * 64},
    }
    folder, run = paths.model(name), paths.run(name, "train")
    folder.mkdir(parents=True)
    run.mkdir(parents=True)
    write_json(folder / "manifest.json", manifest)
    memory = {"planned": 1e9 * (1 + number / 10), "measured": 1.1e9 * (1 + number / 10)}
    write_json(
        run / "run.json", {"key": None, "train_seconds": 30.0 + number, "tokens_per_second": 400.0, "memory": memory}
    )
    losses = [
        {"step": step, "epoch": step / 10, "validation_loss": 3 - 0.02 * number - step / 20} for step in range(0, 11, 5)
    ]
    lines = losses if method != "none" else losses[:1]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def compare_all(paths: Paths, verdicts: VerdictParams, **params: Any) -> dict[str, Any]:
    """Write what the stage ``compare`` writes, and return ``comparison.json``."""
    chosen = CompareParams(**{"resamples": 500, **params})
    comparison = compare(with_seeds(collect(paths, chosen.baseline), paths), chosen, verdicts)
    paths.comparison.mkdir(parents=True)
    write_json(paths.comparison / "comparison.json", comparison)
    (paths.comparison / "table.md").write_text(markdown_table(comparison))
    draw(comparison, paths.comparison / "scores.png")
    return comparison
