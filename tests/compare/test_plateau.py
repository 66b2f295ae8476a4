"""Sets of experiments: the best of a sweep, and its plateau on paired losses per validation row."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tasks.compare.collect import collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.set_sentences import set_sentences
from tasks.compare.sets import read_sets
from tasks.compare.table import markdown_table, rich_small_tables
from tasks.metrics.params import VerdictParams
from tests.compare.compared import Workspace

ROWS = 60
RANKS = {"lora_r8": 8, "lora_r1": 1, "lora_r4": 4, "lora_r2": 2}
SWEEP = {"axis": "lora.rank", "question": "How large a rank?", "experiments": RANKS}
SIZES = [20 + 5 * (number % 7) for number in range(ROWS)]


def add(
    workspace: Workspace, name: str, losses: np.ndarray, groups: int = ROWS, source: str = "demo", **more: Any
) -> None:
    """An experiment whose validation rows have ``losses`` in nats."""
    row = {"source": source, "template_id": "t", "task": "summarise", "tokens": 5}
    rows = [
        row | {"row_id": f"v{n}", "group": f"g{n % groups}", "nll": float(nll), "bytes": size}
        for n, (nll, size) in enumerate(zip(losses, SIZES, strict=True))
    ]
    per_byte = float(losses.sum() / sum(SIZES))
    metrics = {"validation_loss_per_byte": per_byte, "validation_loss": float(losses.sum() / (5 * len(losses)))}
    workspace.experiment(name, [0.25, 0.5], **(metrics | more))
    pq.write_table(pa.Table.from_pylist(rows), workspace.paths.report(name) / "validation.parquet")


def hard() -> np.ndarray:
    """Losses of rows that are hard or easy for every model."""
    return 10 + np.random.default_rng(0).normal(0, 3, size=ROWS)


def compared(workspace: Workspace, sets: dict[str, Any] | None = None, min_groups: int = 30) -> dict[str, Any]:
    (workspace.paths.resolved / "sets.json").write_text(json.dumps({"ranks": SWEEP} if sets is None else sets))
    params = CompareParams(baseline="lora_r1", resamples=500)
    systems = collect(workspace.paths, "lora_r1")
    return compare(systems, params, VerdictParams(min_groups=min_groups), read_sets(workspace.paths))


@pytest.fixture
def sweep(workspace: Workspace) -> Workspace:
    """Ranks 2, 4 and 8 differ by noise, and rank 4 is the best by a hair; rank 1 is clearly worse."""
    noise = np.random.default_rng(1).normal(0, 0.5, size=(3, ROWS))
    noise -= noise.mean(axis=1, keepdims=True)
    for name, worse, own in (("lora_r2", 0.02, noise[0]), ("lora_r4", 0.0, noise[1]), ("lora_r8", 0.01, noise[2])):
        add(workspace, name, hard() + worse + own)
    add(workspace, "lora_r1", hard() + 1.0 + noise[0])
    return workspace


def test_the_plateau_leaves_out_what_is_shown_to_be_worse_and_names_its_smallest_value(sweep: Workspace) -> None:
    entry = compared(sweep)["sets"]["ranks"]
    assert (entry["axis"], entry["question"], entry["missing"]) == ("lora.rank", "How large a rank?", [])
    assert [(one["value"], one["experiment"]) for one in entry["experiments"]] == [
        (1, "lora_r1"),
        (2, "lora_r2"),
        (4, "lora_r4"),
        (8, "lora_r8"),
    ]
    assert entry["best"] == "lora_r4"
    plateau = entry["plateau"]
    assert plateau["verdict"] == "cannot be told apart"
    assert (plateau["experiments"], plateau["smallest"]) == (["lora_r2", "lora_r4", "lora_r8"], "lora_r2")
    loss = entry["experiments"][2]["validation_loss_per_byte"]
    assert set_sentences(entry) == [
        f"lora_r4 (lora.rank 4) has the lowest validation loss: {loss:.4f} nats per byte.",
        "It cannot be told apart from lora_r2 (lora.rank 2) and lora_r8 (lora.rank 8) by the paired losses of "
        "60 validation rows at 95% confidence.",
        "Among these experiments, lora_r2 (lora.rank 2) has the smallest lora.rank.",
    ]


def test_rows_are_paired(sweep: Workspace) -> None:
    """Rank 2 is worse by less than the spread of the rows, in every row alike: only pairs show it."""
    add(sweep, "lora_r16", hard() + 0.3 + np.random.default_rng(2).normal(0, 0.1, size=ROWS))
    add(sweep, "lora_r32", hard())
    pair = {"axis": "lora.rank", "question": None, "experiments": {"lora_r16": 16, "lora_r32": 32}}
    entry = compared(sweep, {"pair": pair})["sets"]["pair"]
    assert entry["plateau"]["verdict"] == "told apart"
    assert (entry["plateau"]["experiments"], entry["plateau"]["smallest"]) == (["lora_r32"], "lora_r32")
    assert set_sentences(entry)[1] == (
        "The other experiment is shown to have a higher loss, by the paired losses of 60 validation rows at 95% "
        "confidence."
    )


def test_a_row_counts_by_its_nats_so_the_best_is_the_best_of_the_table(workspace: Workspace) -> None:
    """Model 2 loses a little per byte in most rows, which are short, and gains much more in the long ones."""
    long = np.array(SIZES) == 50
    add(workspace, "lora_r1", hard())
    add(workspace, "lora_r2", hard() + np.where(long, -3.0, 0.1))
    add(workspace, "lora_r4", hard() + 2.0)
    entry = compared(workspace)["sets"]["ranks"]
    assert entry["best"] == "lora_r2" and "lora_r2" in entry["plateau"]["experiments"]


def test_groups_of_rows_are_drawn_and_too_few_decide_nothing(workspace: Workspace) -> None:
    add(workspace, "lora_r1", hard() + 1, groups=8)
    add(workspace, "lora_r2", hard(), groups=8)
    entry = compared(workspace)["sets"]["ranks"]
    assert (entry["plateau"]["verdict"], entry["plateau"]["experiments"]) == ("not enough rows", [])
    assert entry["plateau"]["smallest"] is None and entry["missing"] == ["lora_r8", "lora_r4"]
    assert set_sentences(entry)[1:] == [
        "There are not enough rows to tell the experiments apart: the 60 validation rows form 8 independent groups, "
        "and a verdict needs 30.",
        "Not compared: lora_r8, lora_r4.",
    ]
    enough = compared(workspace, min_groups=8)["sets"]["ranks"]
    assert enough["plateau"]["verdict"] == "told apart"
    assert "60 validation rows in 8 groups" in set_sentences(enough)[1]


def test_identical_models_are_called_equal(workspace: Workspace) -> None:
    for name in ("lora_r1", "lora_r2"):
        add(workspace, name, hard())
    shots = {"axis": "evaluation.shots", "question": None, "experiments": {"lora_r1": 0, "lora_r2": 3}}
    entry = compared(workspace, {"shots": shots})["sets"]["shots"]
    assert entry["plateau"]["verdict"] == "equal"
    assert set_sentences(entry) == [
        "lora_r1 and lora_r2 have the same loss in each of 60 validation rows: evaluation.shots does not change it. "
        "Compare their test scores."
    ]


def test_experiments_with_other_or_no_losses_per_row_are_not_told_apart(workspace: Workspace) -> None:
    """As after an update: one report has no losses per row, and one those of another validation set."""
    add(workspace, "lora_r1", hard())
    add(workspace, "lora_r2", hard() + 1)
    add(workspace, "lora_r4", hard() + 1, source="other")
    (workspace.paths.report("lora_r2") / "validation.parquet").unlink()
    assert [system.validation for system in collect(workspace.paths, "base") if system.name == "lora_r2"] == [[]]
    entry = compared(workspace)["sets"]["ranks"]
    assert (entry["plateau"]["verdict"], entry["best"]) == ("other rows", "lora_r1")
    assert any("`tunesmith run` scores them again" in sentence for sentence in set_sentences(entry))


def test_a_model_without_a_finite_loss_is_left_out(sweep: Workspace) -> None:
    add(sweep, "lora_r16", np.full(ROWS, np.inf), validation_loss_per_byte=float("inf"))
    ranks = RANKS | {"lora_r16": 16}
    entry = compared(sweep, {"ranks": SWEEP | {"experiments": ranks}})["sets"]["ranks"]
    assert entry["plateau"]["left_out"] == ["lora_r16"] and "lora_r16" not in entry["plateau"]["judged"]
    assert set_sentences(entry)[-1] == "lora_r16 has no finite validation loss and is left out."


def test_a_set_without_an_axis_keeps_its_order_and_has_no_plateau(sweep: Workspace) -> None:
    methods = {"axis": None, "question": "Which?", "experiments": dict.fromkeys(("lora_r8", "lora_r1", "gone"))}
    entry = compared(sweep, {"methods": methods})["sets"]["methods"]
    assert [one["experiment"] for one in entry["experiments"]] == ["lora_r8", "lora_r1"]
    assert (entry["plateau"], entry["best"]) == (None, "lora_r8")
    assert set_sentences(entry)[0].startswith("lora_r8 has the lowest validation loss: ")
    assert set_sentences(entry)[1:] == ["Not compared: gone."]


def test_values_that_are_no_numbers_have_no_smallest(sweep: Workspace) -> None:
    targets = {"lora_r2": ["q", "v"], "lora_r1": "all-linear", "lora_r4": ["q"]}
    entry = compared(sweep, {"targets": {"axis": "lora.targets", "question": None, "experiments": targets}})["sets"]
    plateau = entry["targets"]["plateau"]
    assert (plateau["experiments"], plateau["smallest"]) == (["lora_r2", "lora_r4"], None)
    assert "lora_r2 (lora.targets q, v)" in set_sentences(entry["targets"])[1]


def test_without_the_file_or_a_compared_experiment_there_are_no_sets(sweep: Workspace) -> None:
    assert read_sets(sweep.paths) == {}
    gone = {"axis": None, "question": None, "experiments": {"gone": None}}
    comparison = compared(sweep, {"gone": gone})
    assert comparison["sets"] == {}
    del comparison["sets"]  # as in a comparison of an earlier version
    assert "lora.rank" not in markdown_table(comparison)


def test_markdown_and_terminal_show_each_set_with_the_same_sentences(sweep: Workspace) -> None:
    comparison = compared(sweep)
    sentences = set_sentences(comparison["sets"]["ranks"])
    table = markdown_table(comparison)
    assert "**ranks: How large a rank?**" in table and all(f"- {sentence}" in table for sentence in sentences)
    assert "| experiment | lora.rank | loss (nats/byte) | loss (nats/token) | ROUGE-1 | ROUGE-L | BLEU |" in table
    loss = comparison["sets"]["ranks"]["experiments"][2]["validation_loss_per_byte"]
    assert f"| **lora_r4** | 4 | {loss:.4f} |" in table
    for width, whole in ((160, True), (80, False)):
        console = Console(width=width, file=io.StringIO(), color_system=None)
        console.print(*rich_small_tables(comparison, width))
        assert isinstance(console.file, io.StringIO)
        printed = " ".join(console.file.getvalue().split())
        assert "ranks: How large a rank?" in printed and all(sentence in printed for sentence in sentences)
        assert "…" not in printed and "lora.rank" in printed and ("token" in printed) == whole
