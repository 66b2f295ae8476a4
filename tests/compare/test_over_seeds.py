"""Experiments that differ in their seed alone, together."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from tasks.compare.collect import collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.seeds import seed_lines, with_seeds
from tasks.compare.table import markdown_table, rich_table
from tasks.core.params import write_yaml
from tests.compare.compared import VERDICTS, Workspace, page_of, prediction

LINE = (
    "lora over 3 seeds: ROUGE-1 50.0 ± 10.0 (deviation over seeds); interval over rows [40.0, 60.0]; "
    "Δ vs base +30.0 ± 10.0 [-97.1, +157.1]"
)


def trained(
    workspace: Workspace, name: str, scores: list[float], seed: int, like: str | None = None, **changes: Any
) -> None:
    workspace.experiment(name, scores, validation_loss_per_byte=changes.pop("loss", 0.5))
    folder = workspace.paths.experiment(name)
    write_yaml(folder / "train.yaml", {"method": "lora", "seed": seed, "lora": {"rank": 8, **changes}})
    write_yaml(folder / "predict.yaml", {"generation": {"max_new_tokens": 96}})
    if like:
        write_yaml(folder / "like.yaml", {"like": like})


@pytest.fixture
def repeated(workspace: Workspace) -> Workspace:
    workspace.experiment("base", [0.2, 0.2], method="none")
    trained(workspace, "lora", [0.3, 0.5], 0)
    trained(workspace, "lora-s1", [0.4, 0.6], 1, "lora")
    trained(workspace, "lora-s2", [0.5, 0.7], 2, "lora")
    return workspace


def compared(workspace: Workspace, baseline: str = "base") -> dict[str, Any]:
    systems = with_seeds(collect(workspace.paths, baseline), workspace.paths)
    return compare(systems, CompareParams(baseline=baseline), VERDICTS)


def test_known_scores_by_hand(repeated: Workspace) -> None:
    entry = compared(repeated)["seeds"]["lora"]
    assert entry["experiments"] == ["lora", "lora-s1", "lora-s2"] and entry["seeds"] == [0, 1, 2]
    assert (entry["metric"], entry["rows"]) == ("rouge1_f", 2)
    # The trainings score 0.4, 0.5 and 0.6. Averaged over seeds, the rows score 0.4 and 0.6.
    assert (entry["mean"], entry["deviation"]) == pytest.approx((0.5, 0.1))
    assert (entry["low"], entry["high"]) == pytest.approx((0.4, 0.6))
    difference = entry["difference"]
    assert (difference["value"], difference["deviation"]) == pytest.approx((0.3, 0.1))
    # Student's t with one degree of freedom: a standard error of 0.1, times 12.7062.
    assert (difference["low"], difference["high"]) == pytest.approx((0.3 - 1.27062, 0.3 + 1.27062), abs=1e-5)


def test_an_experiment_that_also_differs_otherwise_is_no_other_seed(repeated: Workspace) -> None:
    trained(repeated, "lora-r2", [0.9, 0.9], 3, "lora", rank=2)
    trained(repeated, "lora-s4", [0.9, 0.9], 4, "lora")
    write_yaml(repeated.paths.experiment("lora-s4") / "predict.yaml", {"generation": {"max_new_tokens": 9}})
    trained(repeated, "lora-same", [0.9, 0.9], 0, "lora")
    assert list(compared(repeated)["seeds"]) == ["lora"]
    assert compared(repeated)["seeds"]["lora"]["experiments"] == ["lora", "lora-s1", "lora-s2"]


def test_one_seed_shows_nothing(workspace: Workspace) -> None:
    workspace.experiment("base", [0.2, 0.2], method="none")
    trained(workspace, "lora", [0.3, 0.5], 0)
    comparison = compared(workspace)
    assert comparison["seeds"] == {} and seed_lines(comparison) == []
    del comparison["seeds"]  # as in a comparison of an earlier version
    assert seed_lines(comparison) == [] and "over seeds" not in markdown_table(comparison)


def test_only_rows_that_all_trainings_scored_count(repeated: Workspace) -> None:
    trained(repeated, "lora-s3", [math.nan, 0.6], 3, "lora")
    entry = compared(repeated)["seeds"]["lora"]
    assert (entry["rows"], entry["mean"]) == (1, pytest.approx((0.5 + 0.6 + 0.7 + 0.6) / 4))
    assert entry["difference"]["rows"] == 1


def test_prompt_variants_of_a_row_count_as_one_row(workspace: Workspace) -> None:
    variants = [("r0", "a", 0.1), ("r0", "b", 0.3), ("r1", "a", 0.6)]
    for name, seed, more, like in (("lora", 0, 0.0, None), ("lora-s1", 1, 0.2, "lora")):
        trained(workspace, name, [0.0], seed, like)
        folder = workspace.paths.report(name)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        workspace.report(folder, name, [prediction(row, score + more, variant) for row, variant, score in variants])
    entry = compared(workspace)["seeds"]["lora"]
    assert (entry["rows"], entry["mean"]) == (2, pytest.approx(0.5))  # rows score 0.2 and 0.6, and 0.2 more


def test_the_baselines_own_repeats_have_no_difference_to_it(repeated: Workspace) -> None:
    entry = compared(repeated, baseline="lora")["seeds"]["lora"]
    assert entry["difference"] is None and entry["experiments"][0] == "lora"


def test_every_report_has_the_line_that_the_candidate_is_not_a_typical_seed(repeated: Workspace) -> None:
    trained(repeated, "other", [0.1, 0.1], 0, loss=0.1)
    comparison = compared(repeated)
    assert seed_lines(comparison) == [f"{LINE}."]
    assert f"- {LINE}." in markdown_table(comparison).splitlines()
    assert f"<p>{LINE}.</p>" in page_of(comparison)
    console = Console(width=400, file=io.StringIO(), color_system=None)
    console.print(rich_table(comparison, 400))
    assert isinstance(console.file, io.StringIO) and " ".join(f"{LINE}.".split()) in " ".join(
        console.file.getvalue().split()
    )
    comparison["candidate"] = "lora-s1"
    assert seed_lines(comparison) == [
        f"{LINE}; the candidate lora-s1 is the seed with the lowest validation loss, not a typical one."
    ]
