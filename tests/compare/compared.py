"""A workspace as the stages before ``compare`` leave it, without running any of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.compare.collect import collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tasks.report.facts import Facts
from tasks.report.page import html_report

SCRIPT = "<script>alert('x')</script>"
VERDICTS = VerdictParams(min_groups=2)
"""So that the few rows of a test have a verdict."""

ROUGE = [f"rouge{k}_{part}" for k in ("1", "2", "L", "Lsum") for part in ("precision", "recall", "f")]


def prediction(row_id: str, score: float, template_id: str = "t", **changes: Any) -> dict[str, Any]:
    """One row of ``predictions.parquet`` whose ROUGE scores are all ``score``."""
    return {
        "row_id": row_id,
        "source": "demo",
        "task": "summarise",
        "template_id": template_id,
        "prompt": f"Summarise: dialogue {row_id}",
        "text": f"dialogue {row_id}",
        "references": [f"reference {row_id}"],
        "completion": f"completion {row_id}",
        "new_tokens": 20,
        "finished": True,
        **dict.fromkeys(ROUGE, score),
        "bleu": 100 * score,
        "copied_4grams": 0.1,
        **changes,
    }


class Workspace:
    """Writes what ``compare`` reads; ``scores`` gives one row each: r0, r1, ..."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)

    def experiment(
        self,
        name: str,
        scores: Sequence[float] = (0.2, 0.4),
        method: str = "lora",
        rows: list[dict[str, Any]] | None = None,
        report: bool = True,
        **metrics: Any,
    ) -> None:
        folder = self.paths.experiment(name)
        folder.mkdir(parents=True)
        (folder / "train.yaml").write_text(f"method: {method}\n")
        if report:
            self.report(self.paths.report(name), name, rows or self.rows(scores), **metrics)

    def trivial(self, name: str, scores: Sequence[float], **metrics: Any) -> None:
        self.report(self.paths.baseline(name), name, self.rows(scores), **metrics)

    @staticmethod
    def rows(scores: Sequence[float]) -> list[dict[str, Any]]:
        return [prediction(f"r{i}", score) for i, score in enumerate(scores)]

    @staticmethod
    def report(folder: Path, name: str, rows: list[dict[str, Any]], test: str = "a" * 64, **changes: Any) -> None:
        folder.mkdir(parents=True)
        mean = sum(row["rouge1_f"] or 0.0 for row in rows) / len(rows)
        shares = {"copied_4grams": 0.1, "finished": 1.0, "empty": 0.0}
        values = {**dict.fromkeys(ROUGE, mean), "bleu": 100 * mean, **shares, **changes}
        metrics = {
            m: {"value": v, "low": v - 0.01, "high": v + 0.01} if m in ROUGE or m == "bleu" else {"value": v}
            for m, v in values.items()
        }
        report = {"schema": 1, "experiment": name, "key": None, "test_sha256": test, "rows": len(rows)}
        (folder / "metrics.json").write_text(json.dumps({**report, "metrics": metrics, "generation": {}}))
        pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")


def comparison_of(workspace: Workspace, **params: Any) -> dict[str, Any]:
    """``comparison.json`` of the workspace."""
    chosen = CompareParams(**params)
    return compare(collect(workspace.paths, chosen.baseline), chosen, VERDICTS)


def page_of(comparison: dict[str, Any]) -> str:
    """The report of ``comparison`` alone, without what stands beside it."""
    return html_report(Facts(comparison, []))
