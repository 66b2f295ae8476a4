"""Two evaluated experiments in a workspace, without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.paths import Paths
from tasks.preferences.export import Exported
from tasks.preferences.export import export as write
from tasks.preferences.key import ExportKey

NAMES = ("quokkabase", "wombattuned")
"""No text below holds these names, so a file that holds one names an experiment."""
COLUMNS = ("source", "row_id", "template_id", "prompt", "completion", "rouge1_f")


def prediction(row: int, completion: str, rouge1: float = 0.2, **changes: Any) -> dict[str, Any]:
    """What an export reads of a row of ``predictions.parquet``."""
    values = ("chats", f"r{row:03}", "gist", f"Sum up talk {row}.", completion, rouge1)
    return {**dict(zip(COLUMNS, values, strict=True)), **changes}


class Workspace:
    """Writes predictions and parameters, exports, and answers as a judge would."""

    a, b = NAMES

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.paths.params.mkdir(parents=True)
        (root / "dvc.yaml").write_text("stages: {}\n")
        (self.paths.params / "evaluation.yaml").write_text("evaluate: {intervals: {resamples: 200}}\n")

    def report(self, name: str, rows: list[dict[str, Any]]) -> None:
        folder = self.paths.report(name)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")

    def fill(self, rows: int = 20) -> None:
        """A's output for row i is ``first i`` with a ROUGE-1 of 0.2, B's is ``second i`` with 0.4."""
        self.report(self.a, [prediction(i, f"first {i}") for i in range(rows)])
        self.report(self.b, [prediction(i, f"second {i}", 0.4) for i in range(rows)])

    def export(self, rows: int = 50, seed: int = 0, output: Path | None = None) -> Exported:
        return write(self.paths, self.a, self.b, rows, seed, output)

    def answer(self, name: str, key: ExportKey, wins: Sequence[str]) -> Path:
        """A judge's file: for each pair in order ``a``, ``b``, ``tie``, ``bad`` or nothing."""
        names = {"a": self.a, "b": self.b}
        answers = [
            won if won not in names else "left" if pair.left == names[won] else "right"
            for won, pair in zip(wins, key.pairs.values(), strict=True)
        ]
        rows = [[key.export, pair, choice] for pair, choice in zip(key.pairs, answers, strict=True)]
        return self.file(f"{name}.csv", [["export", "pair", "choice"], *rows])

    def file(self, name: str, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8-sig") -> Path:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter).writerows(rows)
        path = self.paths.root / name
        path.write_bytes(text.getvalue().encode(encoding))
        return path
