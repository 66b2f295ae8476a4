"""The smallest workspace that trains: a resolved experiment, a mixture, a base model, and an empty MLflow store."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tasks.core.files import read_rows, write_rows
from tasks.core.params import merge, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.mix.contamination import DIRTY
from tasks.text.rows import RENDERED, Row
from tasks.train.run import run

TRAINING = {"learning_rate": 1e-3, "token_budget": 256, "precision": "fp32", "log_every": 1, "warmup_fraction": 0.0}
PARAMS = {
    "method": "full",
    "mixture": "demo",
    "base_model": {"name": "bases/tiny"},
    "max_length": 128,
    "threads": 1,
    "training": TRAINING,
}
LORA = {"method": "lora", "lora": {"rank": 4, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}}

PAIRS = [
    ("Customer: my lamp is broken.", "A lamp is broken."),
    ("Customer: the parcel is late.", "The parcel is late."),
    ("Customer: I cannot log in.", "A password is lost."),
    ("Customer: the new lamp is late.", "A lamp is late."),
    ("Agent: it comes on Monday.", "It comes on Monday."),
    ("Agent: we reset the password.", "The password is reset."),
]

UNLIKELY = [("Agent: hello?", "ZZZ QQQ 987 ###"), ("Agent: who?", "### XXX 6543")]
"""Completions that ``PAIRS`` lack: training on ``PAIRS`` makes them less likely from the first epoch on."""


def rows(pairs: list[tuple[str, str]], choices: list[str] | None = None, source: str = "chats") -> list[Row]:
    """Rendered rows whose prompt is the text."""
    return [
        {
            "row_id": f"r{number}",
            "source": source,
            "source_file": "train.jsonl",
            "source_line": number,
            "task": "summary",
            "template_id": "plain",
            "template": "{{dialogue}}",
            "text_column": "dialogue",
            "group": f"g{number}",
            "text": prompt,
            "prompt": prompt,
            "completion": completion,
            "references": [completion],
            "answer_choices": choices or [],
        }
        for number, (prompt, completion) in enumerate(pairs, start=1)
    ]


@functools.cache
def _empty_store() -> bytes:
    """Creating the tables of an MLflow store takes seconds; a copy does not."""
    from tasks.tracking.client import open_store

    with tempfile.TemporaryDirectory() as folder:
        open_store(Path(folder))
        return (Path(folder) / "mlflow.db").read_bytes()


def workspace(root: Path, base: Path, train: list[Row] | None = None, validation: list[Row] | None = None) -> Paths:
    """A workspace in ``root`` with ``base`` as ``bases/tiny`` and the mixture ``demo``."""
    paths = Paths(root)
    shutil.copytree(base, root / "bases/tiny")
    paths.mixture("demo").mkdir(parents=True)
    write_rows(paths.mixture("demo") / "train.parquet", rows(PAIRS) if train is None else train, RENDERED)
    watched = rows(PAIRS[:2]) if validation is None else validation
    write_rows(paths.mixture("demo") / "validation.parquet", watched, RENDERED)
    (root / "mlflow.db").write_bytes(_empty_store())
    return paths


def mark_dirty(paths: Paths, *row_ids: str) -> None:
    """``dirty.parquet`` of the mixture ``demo``, as ``mix`` writes it for the test rows of the evaluation set."""
    test = read_rows(paths.evaluation_set / "test.parquet")
    marked = [{**{name: row[name] for name in DIRTY.names[:3]}, "dirty": row["row_id"] in row_ids} for row in test]
    write_rows(paths.mixture("demo") / "dirty.parquet", marked, DIRTY)


def add(paths: Paths, name: str, patch: dict[str, Any]) -> None:
    """Resolved parameters of the experiment ``name``: ``PARAMS`` with ``patch`` laid over."""
    paths.experiment(name).mkdir(parents=True, exist_ok=True)
    merged = merge(PARAMS, patch)
    if merged["method"] == "none":
        del merged["training"]
    write_yaml(paths.experiment(name) / "train.yaml", merged)


def train(paths: Paths, name: str, patch: dict[str, Any]) -> Path:
    """Train in this process; the folder of the model."""
    add(paths, name, patch)
    run(name, paths, Stage.start(f"train@{name}", paths.root))
    return paths.model(name)
