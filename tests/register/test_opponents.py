"""Opponents of a candidate besides base and champion, and labels that it must predict."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.gate.evaluated import read
from tasks.gate.labels import label_reasons, never_predicted
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tests.tracking.ledger_workspace import add_baselines, add_comparison, add_experiment, key_of, write_report

PARAMS = RegistrationParams(min_groups=2)


def test_a_candidate_worse_than_few_shot_prompting_is_refused(paths: Paths) -> None:
    add_experiment(paths, "fewshot", [0.9, 0.9, 0.9, 0.9], method="none")
    result = run(PARAMS, paths)
    assert result["verdict"] == "refused"
    assert [reason.split(": ")[2] for reason in result["reasons"]] == [
        "better than base (baseline)",
        "better than lead (first sentences)",
        "better than nearest (most similar training row)",
        "worse than fewshot (untuned)",
    ]
    assert result["opponents"]["untuned.fewshot"] == "fewshot (untuned)"
    assert result["differences"]["untuned.fewshot"]["high"] < 0


def test_an_untuned_model_has_seen_no_row(paths: Paths) -> None:
    """Its report marks the rows that its mixture makes dirty; they are dirty for a tuned model only."""
    for name in ("base", "lora"):
        file = paths.report(name) / "predictions.parquet"
        table = pq.read_table(file)
        pq.write_table(table.append_column("dirty", pa.array([True] + [False] * (len(table) - 1))), file)
    dirty = {name: read(name, "rouge1_f", paths).scores.dirty for name in ("base", "lora")}
    assert dirty == {"base": frozenset(), "lora": {("demo", "row0", "short")}}


def test_a_candidate_no_better_than_a_trivial_baseline_is_refused(paths: Paths) -> None:
    write_report(paths.baseline("nearest"), [0.4, 0.5, 0.7, 0.4], None)
    result = run(PARAMS, paths)
    assert result["verdict"] == "refused"
    assert result["reasons"][2].startswith(
        "failed: ROUGE-1: not enough rows to tell it from nearest (most similar training row): 0.0 ["
    )


def test_an_untuned_experiment_on_other_rows_is_named_and_no_opponent(paths: Paths) -> None:
    add_experiment(paths, "fewshot", [0.9], method="none", test="c" * 64)
    result = run(PARAMS, paths)
    assert result["accepted"]
    assert result["reasons"][-1] == "fewshot (untuned) is not an opponent: it was evaluated on other test rows"


def test_trivial_baselines_must_be_of_the_present_rows(paths: Paths) -> None:
    add_baselines(paths, 4, test="c" * 64)
    with pytest.raises(TunesmithError, match=r"reports/baselines/lead: must be evaluated on the same test rows as l"):
        run(PARAMS, paths)
    (paths.baseline("lead") / "metrics.json").unlink()
    with pytest.raises(TunesmithError, match=r"lead/metrics\.json: no such file; run `tunesmith run`"):
        run(PARAMS, paths)


def label_report(folder: Path, predicted: list[str], true: list[str]) -> None:
    """Add what rows with labels have to the report in ``folder``."""
    path = folder / "predictions.parquet"
    table = pq.read_table(path).drop_columns(["completion"])
    right = [float(prediction == label) for prediction, label in zip(predicted, true, strict=True)]
    for name, values in {
        "task": ["routing"] * len(true),
        "references": [[label] for label in true],
        "completion": predicted,
        "accuracy": right,
    }.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)


def test_a_classifier_that_never_predicts_a_label_is_refused(paths: Paths) -> None:
    true = ["billing", "repair", "other"] * 4
    rows = [f"row{number}" for number in range(12)]
    reports = {"base": ["I would say billing."] * 12, "lora": [t if t != "other" else "repair" for t in true]}
    for name, predicted in reports.items():
        add_experiment(paths, name, [0.5] * 12, rows=rows, method="none" if name == "base" else "lora")
        label_report(paths.report(name), predicted, true)
    for name in ("lead", "nearest"):
        write_report(paths.baseline(name), [0.5] * 12, None, rows=rows)
        label_report(paths.baseline(name), ["none of them"] * 12, true)
    params = RegistrationParams(min_groups=12, metric="accuracy")
    result = run(params, paths)
    assert [d["value"] > 0.6 for d in result["differences"].values()] == [True] * 3
    assert result["verdict"] == "refused"
    assert result["reasons"][-1] == (
        "failed: labels never predicted: 'other', which 4 test rows have (registration.min_label_rows: 3)"
    )
    shown = run(params.model_copy(update={"min_label_rows": None}), paths)
    assert shown["accepted"]
    assert shown["reasons"][-1] == (
        "labels never predicted, but no reason to refuse (registration.min_label_rows is null): "
        "'other', which 4 test rows have"
    )


def test_rare_labels_are_named_and_refuse_nothing(tmp_path: Path) -> None:
    write_report(tmp_path, [0.5] * 6, None)
    label_report(tmp_path, ["A", "a.", "b", "b", "b", "b"], ["a", "a", "a", "b", "c", "d"])
    missing = never_predicted(tmp_path / "predictions.parquet")
    assert missing == {"c": 1, "d": 1}  # "A" and "a." are the label a, as accuracy has it
    refusing, remarks = label_reasons(missing, RegistrationParams())
    assert refusing == []
    assert remarks == [
        "labels never predicted, but no reason to refuse (fewer rows than registration.min_label_rows): "
        "'c', which 1 test row has; 'd', which 1 test row has"
    ]
    assert never_predicted_without_labels(tmp_path) == {}


def never_predicted_without_labels(folder: Path) -> dict[str, int]:
    write_report(folder, [0.5] * 2, key_of("lora"))
    return never_predicted(folder / "predictions.parquet")


def test_a_candidate_is_no_opponent_of_itself(paths: Paths) -> None:
    add_experiment(paths, "lora", [0.4, 0.5, 0.6, 0.5], method="none")
    add_comparison(paths, "lora", "base", "lora")
    assert "untuned.lora" not in run(PARAMS, paths)["opponents"]
