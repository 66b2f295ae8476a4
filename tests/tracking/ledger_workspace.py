"""Data for the tests of tracking and registration: a workspace as the stages leave it, with tiny files."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.files import digest, write_json, write_rows
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.metrics.scoring import Scoring, TemplateScoring, write_scoring
from tasks.text.rows import RENDERED, Row

GENERATION = {"max_new_tokens": 80}
ROWS = ["row0", "row1", "row2", "row3"]
WORDS = [f"w{number}" for number in range(20)]
"""The one reference of every test row."""
LOCK = """schema: '2.0'
stages:
  mix@demo:
    cmd: python -m tasks.mix demo
    outs: [{path: data/mixtures/demo, hash: md5, md5: 11111111111111111111111111111111.dir, size: 3, nfiles: 1}]
  evaluation:
    cmd: python -m tasks.mix evaluation
    outs: [{path: data/evaluation, hash: md5, md5: 22222222222222222222222222222222.dir, size: 3, nfiles: 1}]
"""


def rendered(ids: list[str]) -> list[Row]:
    """Test rows with these ids; each prompt is the id."""
    named = {"source": "demo", "task": "summary", "template_id": "short", "template": "{{ text }}"}
    return [{**named, "row_id": one, "prompt": one, "text": one, "references": [" ".join(WORDS)]} for one in ids]


def digest_of(ids: list[str]) -> str:
    """``test_sha256`` of these test rows."""
    return digest([[row["row_id"], row["template_id"], row["prompt"], row["references"]] for row in rendered(ids)])


TEST = digest_of(ROWS)


def add_evaluation_set(paths: Paths, ids: list[str], *metrics: str) -> None:
    """The present test rows, whose template names ``metrics``; by default ROUGE."""
    paths.evaluation_set.mkdir(parents=True, exist_ok=True)
    write_rows(paths.evaluation_set / "test.parquet", rendered(ids), RENDERED)
    paths.scorings.mkdir(parents=True, exist_ok=True)
    templates = {"short": TemplateScoring(metrics=list(metrics) or ["rouge"])}
    write_scoring(paths.scoring("demo"), Scoring(templates=templates))


def completion_of(score: float) -> str:
    """A completion of the length of the reference, with this ROUGE-1 F1 (in twentieths)."""
    right = 0 if math.isnan(score) else round(score * len(WORDS))
    return " ".join([*WORDS[:right], *(f"x{number}" for number in range(right, len(WORDS)))])


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def add_experiment(
    paths: Paths,
    name: str,
    scores: list[float],
    key: str | None = None,
    test: str = TEST,
    rows: list[str] | None = None,
    method: str = "lora",
) -> None:
    """Files of the experiment ``name``, whose test rows have the ROUGE-1 F1 ``scores``."""
    key = key or key_of(name)
    trained = method != "none"
    write_files(paths, name, key, method)
    base = {"started": 1_700_000_000.25, "ended": 1_700_000_100.5, "key": key, "experiment": name, "git_commit": "abc"}
    training = {"seconds": 100.25, "tokens_per_second": 400.0 if trained else None, "peak_memory_bytes": 5 * 2**30}
    training["memory"] = {"planned": 4 * 2**30, "measured": 3 * 2**30, "parts": {}} if trained else None
    write_json(paths.run(name, "train") / "run.json", base | training | {"prefect_flow_run_id": None})
    evaluation = base | {"ended": 1_700_000_200.5, "seconds": 50.0, "rows_per_second": 2.0}
    write_json(paths.run(name, "predict") / "run.json", evaluation)
    points = [
        {"step": 1, "epoch": 0.5, "time": 1_700_000_010.125, "train_loss": 3.0, "learning_rate": 1e-3},
        {"step": 2, "epoch": 1.0, "time": 1_700_000_020.375, "train_loss": 2.0, "tokens_per_second": 390.0},
        {"step": 2, "epoch": 1.0, "time": 1_700_000_021.0, "validation_loss": 2.25},
    ]
    lines = [json.dumps(point) + "\n" for point in (points if trained else [])]
    (paths.run(name, "train") / "history.jsonl").write_text("".join(lines))
    add_report(paths, name, scores, key, test, rows)


def write_files(paths: Paths, name: str, key: str, method: str) -> None:
    trained = method != "none"
    for folder in (paths.experiment(name), paths.model(name), paths.run(name, "train"), paths.run(name, "predict")):
        folder.mkdir(parents=True, exist_ok=True)
    write_yaml(paths.experiment(name) / "predict.yaml", {"generation": GENERATION})
    write_yaml(paths.experiment(name) / "score.yaml", {})
    manifest = {
        "schema": 1,
        "experiment": name,
        "key": key,
        "method": method,
        "params": {"method": method, "lora": {"rank": 8, "targets": ["q", "v"]}, "long": "x" * 7000, "nothing": None},
        "base_model": {
            "spec": "embedded:smollm2-135m-instruct",
            "revision": "1",
            "weights_sha256": "b",
            "kind": "causal",
        },
        "inputs": {"data/mixtures/demo": "s", f"build/experiments/{name}/train.yaml": "t"} if trained else {},
        "fingerprint": {"value": "f" * 64, "fields": {}},
        "weights_sha256": hashlib.sha256(key.encode()).hexdigest() if trained else None,
        "trainable_parameters": 10 if trained else 0,
        "total_parameters": 100,
        "weights_bytes": 30 if trained else 0,
        "base_bytes": 600,
        "best": {"step": 2, "epoch": 1.0, "validation_loss": 2.25} if trained else None,
    }
    write_json(paths.model(name) / "manifest.json", manifest)
    if trained:
        (paths.model(name) / "adapter_model.safetensors").write_text(key)
        (paths.model(name) / "adapter_config.json").write_text("{}")


def add_report(
    paths: Paths, name: str, scores: list[float], key: str, test: str = TEST, rows: list[str] | None = None
) -> None:
    write_report(paths.report(name), scores, key, test, rows)


def write_report(
    folder: Path, scores: list[float], key: str | None, test: str = TEST, rows: list[str] | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ids = rows or [f"row{number}" for number in range(len(scores))]
    columns = {
        "source": ["demo"] * len(ids),
        "row_id": ids,
        "template_id": ["short"] * len(ids),
        "rouge1_f": scores,
        "completion": [completion_of(score) for score in scores],
        "new_tokens": [20] * len(ids),
        "finished": [True] * len(ids),
    }
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    metrics = {
        "rouge1_f": {"value": sum(scores) / len(scores), "low": min(scores), "high": max(scores)},
        "validation_loss": {"value": 2.125, "low": None, "high": None},
    }
    report = {"key": key, "test_sha256": test, "rows": len(ids), "metrics": metrics, "generation": GENERATION}
    settings = {"settings": {"rouge_signature": "tok:words"}, "not_scored": {"rouge": 1}}
    write_json(folder / "metrics.json", report | settings)


def add_baselines(paths: Paths, count: int, test: str = TEST, rows: list[str] | None = None) -> None:
    """The trivial baselines, with the ROUGE-1 F1 0.05 on each test row."""
    for name in ("lead", "nearest"):
        write_report(paths.baseline(name), [0.05] * count, None, test, rows)


def add_comparison(paths: Paths, candidate: str | None, *names: str) -> None:
    paths.comparison.mkdir(parents=True, exist_ok=True)
    write_json(
        paths.comparison / "comparison.json", {"candidate": candidate, "systems": [{"name": name} for name in names]}
    )
    (paths.comparison / "table.md").write_text("| system |\n")


def copy_store(store: Path, root: Path) -> None:
    """An initialised empty store in ``root``: creating its tables takes seconds, a copy does not."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "mlflow.db").write_bytes(store.read_bytes())
    with sqlite3.connect(root / "mlflow.db") as database:
        where = ((root / "mlartifacts").as_uri(), "tunesmith")
        database.execute("update experiments set artifact_location = ? where name = ?", where)
    database.close()


def candidate_workspace(root: Path, empty_store: Path) -> Paths:
    """A workspace in which the candidate lora beats base on every row, and an empty registry."""
    paths = Paths(root)
    add_experiment(paths, "base", [0.2, 0.3, 0.1, 0.2], method="none")
    add_experiment(paths, "lora", [0.4, 0.5, 0.6, 0.5])
    add_comparison(paths, "lora", "base", "lora")
    add_baselines(paths, 4)
    add_evaluation_set(paths, ROWS)
    paths.params.mkdir(parents=True, exist_ok=True)
    write_yaml(paths.params / "evaluation.yaml", {"verdicts": {}})
    copy_store(empty_store, paths.root)
    return paths
