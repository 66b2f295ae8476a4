from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.core.files import read_json, read_jsonl, write_json
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.tracking import experiment_files
from tasks.tracking import sync as sync_module
from tasks.tracking.client import Tracker, open_store
from tasks.tracking.sync import SyncResult, sync
from tests.tracking.ledger_workspace import add_experiment, add_report, copy_store, key_of


def artifacts(tracker: Tracker, run_id: str, folder: str | None = None) -> list[str]:
    entries = tracker.client.list_artifacts(run_id, folder)
    nested = [artifacts(tracker, run_id, entry.path) if entry.is_dir else [entry.path] for entry in entries]
    return sorted(path for paths in nested for path in paths)


def ledger(tracker: Tracker) -> dict[str, Any]:
    """Everything that the store holds of its runs, by experiment and key, without run ids."""
    runs = tracker.client.search_runs([tracker.experiment_id])
    return {
        f"{run.data.tags['tunesmith.experiment']} {run.data.tags['tunesmith.key']}": facts(tracker, run) for run in runs
    }


def facts(tracker: Tracker, run: Any) -> dict[str, Any]:
    history = {
        name: [(p.step, p.value, p.timestamp) for p in tracker.client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    return {
        "info": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {name: value for name, value in run.data.tags.items() if name.startswith("tunesmith.")},
        "history": history,
        "data": sorted((i.dataset.name, i.dataset.digest, i.tags[0].value) for i in run.inputs.dataset_inputs),
        "artifacts": artifacts(tracker, run.info.run_id),
    }


def test_a_run_shows_the_values_of_the_files(paths: Paths, tracker: Tracker) -> None:
    results = sync(paths, tracker)
    assert [(result.experiment, result.changed) for result in results] == [("base", True), ("lora", True)]
    run = ledger(tracker)[f"lora {key_of('lora')}"]
    assert run["info"] == ("lora", "FINISHED", 1_700_000_000_250, 1_700_000_100_500)
    assert run["params"] == {"method": "lora", "rank": "8"}
    stored = yaml_of(tracker, results[1].run_id)
    assert (stored["lora"], stored["long"]) == ({"rank": 8, "targets": ["q", "v"]}, "x" * 7000)
    assert run["history"]["train_loss"] == [(1, 3.0, 1_700_000_010_125), (2, 2.0, 1_700_000_020_375)]
    # The kept checkpoint's loss is logged one step after the curve, so that MLflow shows it.
    assert run["history"]["validation_loss"] == [(2, 2.25, 1_700_000_021_000), (3, 2.125, 1_700_000_200_500)]
    assert run["data"] == [
        ("data/evaluation", "22222222222222222222222222222222.dir", "testing"),
        ("data/mixtures/demo", "11111111111111111111111111111111.dir", "training"),
    ]
    assert run["artifacts"] == [
        *("comparison/comparison.json", "comparison/table.md", "eval_results_table.json", "metrics.json"),
        *("model/adapter_config.json", "model/adapter_model.safetensors", "model/manifest.json", "origin.json"),
        *("params.yaml", "predictions.parquet"),
    ]
    metrics = tracker.client.get_run(results[1].run_id).data.metrics
    scores = {"rouge1": 0.5, "rouge1_low": 0.4, "rouge1_high": 0.6, "validation_loss": 2.125}
    scores |= {"test/rouge1_f": 0.5, "test/rouge1_f_low": 0.4, "test/rouge1_f_high": 0.6}
    data = {"data/test_rows": 3.0, "data/test_rows_without_rouge": 1.0}
    training = {"train_loss": 2.0, "train/learning_rate": 1e-3, "train_seconds": 100.25, "train/best_step": 2.0}
    sizes = {"model/trainable_parameters": 10.0, "model/total_parameters": 100.0, "model/weights_bytes": 30.0}
    sizes |= {"trained_share": 0.1, "model/base_bytes": 600.0, "model/kept_share": 0.05}
    memory = {"peak_memory_bytes": 5 * 2**30, "planned_memory_bytes": 4 * 2**30, "measured_memory_bytes": 3 * 2**30}
    speed = {"tokens_per_second": 400.0, "evaluation_seconds": 50.0, "evaluation_rows_per_second": 2.0}
    system = {f"system/{name}": value for name, value in (memory | speed).items()}
    assert metrics == pytest.approx(scores | data | training | sizes | system)
    assert run["tags"]["tunesmith.base_model"] == "embedded:smollm2-135m-instruct"
    origin = json.loads(Path(tracker.client.download_artifacts(results[1].run_id, "origin.json")).read_text())
    assert origin["metric_settings"] == {"rouge_signature": "tok:words"} and origin["key"] == key_of("lora")


def yaml_of(tracker: Tracker, run_id: str) -> dict[str, Any]:
    return read_yaml(Path(tracker.client.download_artifacts(run_id, "params.yaml")))


def test_the_base_has_final_numbers_under_the_same_names(paths: Paths, tracker: Tracker) -> None:
    sync(paths, tracker)
    run = ledger(tracker)[f"base {key_of('base')}"]
    assert run["history"]["rouge1"] == [(0, pytest.approx(0.2), 1_700_000_200_500)]
    assert run["artifacts"][-4:] == ["model/manifest.json", "origin.json", "params.yaml", "predictions.parquet"]


def test_a_second_sync_changes_nothing(paths: Paths, tracker: Tracker) -> None:
    sync(paths, tracker)
    before = ledger(tracker)
    results = sync(paths, tracker)
    assert [result.changed for result in results] == [False, False]
    assert ledger(tracker) == before


def test_an_interrupted_sync_is_completed_without_doubles(
    paths: Paths, tracker: Tracker, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail)
        with pytest.raises(KeyboardInterrupt):
            sync(paths, tracker)
    sync(paths, tracker)
    assert ledger(tracker) == ledger(rebuild(paths, empty_store))


def rebuild(paths: Paths, empty_store: Path) -> Tracker:
    """The ledger of a second workspace with the same files, which started empty."""
    other = paths.root.with_name("other")
    shutil.copytree(paths.root, other, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts", ".tunesmith"))
    copy_store(empty_store, other)
    tracker = open_store(other)
    sync(Paths(other), tracker)
    return tracker


def test_a_workspace_of_an_older_version_gives_the_same_run(paths: Paths, tracker: Tracker, empty_store: Path) -> None:
    """It has ``runs/X/evaluate``, of the stage ``evaluate@X``, in place of ``runs/X/predict``."""
    sync(paths, tracker)
    before = ledger(tracker)
    for name in ("base", "lora"):
        paths.run(name, "predict").rename(paths.run(name, "evaluate"))
    assert ledger(rebuild(paths, empty_store)) == before
    assert before[f"lora {key_of('lora')}"]["history"]["system/evaluation_seconds"]


@pytest.mark.parametrize("stage", ["predict", "evaluate"])
def test_the_test_set_of_a_run_is_that_which_its_stage_read(paths: Paths, stage: str) -> None:
    entry = {"deps": [{"path": "data/evaluation", "md5": "1" * 32 + ".dir"}], "outs": []}
    data = experiment_files.read(paths, "lora", {f"{stage}@lora": entry}).data
    assert data[-1] == experiment_files.Data("data/evaluation", "1" * 32 + ".dir", "testing")


def test_an_empty_store_is_rebuilt_equal(paths: Paths, tracker: Tracker, empty_store: Path) -> None:
    sync(paths, tracker)
    sync(paths, tracker)
    rebuilt = ledger(rebuild(paths, empty_store))
    assert len(rebuilt) == 2
    assert rebuilt == ledger(tracker)


def test_live_points_are_not_logged_twice(paths: Paths, tracker: Tracker, empty_store: Path) -> None:
    params = read_json(paths.model("lora") / "manifest.json")["params"]
    run_id = tracker.start(key_of("lora"), "lora", params)
    for line in read_jsonl(paths.run("lora", "train") / "history.jsonl")[:2]:
        metrics = {name: value for name, value in line.items() if name not in {"step", "epoch", "time"}}
        tracker.log(run_id, metrics, line["step"], line["time"])
    tracker.finish(run_id, "FINISHED")
    results = sync(paths, tracker)
    assert SyncResult("lora", run_id, True) in results
    live = ledger(tracker)[f"lora {key_of('lora')}"]
    for name, points in live["history"].items():
        assert len(points) == len({step for step, _, _ in points}), name
    restored = ledger(rebuild(paths, empty_store))[f"lora {key_of('lora')}"]
    assert live["history"] == restored["history"]


def test_a_new_key_makes_a_new_run_and_the_old_one_stays(paths: Paths, tracker: Tracker) -> None:
    old = sync(paths, tracker)[1].run_id
    add_experiment(paths, "lora", [0.7, 0.7, 0.7], key=key_of("lora 2"))
    base, lora = sync(paths, tracker)
    assert not base.changed
    assert lora.run_id != old
    assert ledger(tracker).keys() == {
        f"{n} {key_of(k)}" for n, k in [("base", "base"), ("lora", "lora"), ("lora", "lora 2")]
    }


def test_other_weights_under_the_same_key_make_a_new_run(paths: Paths, tracker: Tracker) -> None:
    """A registered version points at the model in its run: that never changes."""
    old = sync(paths, tracker)[1].run_id
    path = paths.model("lora") / "manifest.json"
    write_json(path, read_json(path) | {"weights_sha256": "e" * 64})
    assert sync(paths, tracker)[1].run_id != old
    assert [result.changed for result in sync(paths, tracker)] == [False, False]


def test_a_report_of_another_key_is_left_out(paths: Paths, tracker: Tracker) -> None:
    add_report(paths, "lora", [0.9, 0.9, 0.9], key_of("something else"))
    sync(paths, tracker)
    run = ledger(tracker)[f"lora {key_of('lora')}"]
    assert not {"rouge1", "test/rouge1_f"} & run["history"].keys()
    assert not {"metrics.json", "predictions.parquet"} & set(run["artifacts"])
    add_report(paths, "lora", [0.4, 0.5, 0.6], key_of("lora"))
    assert [result.changed for result in sync(paths, tracker)] == [False, True]
    assert "test/rouge1_f" in ledger(tracker)[f"lora {key_of('lora')}"]["history"]


def test_a_second_evaluation_shows_its_value(paths: Paths, tracker: Tracker) -> None:
    sync(paths, tracker)
    add_report(paths, "lora", [0.1, 0.1, 0.1], key_of("lora"))
    run_id = sync(paths, tracker)[1].run_id
    metrics = tracker.client.get_run(run_id).data.metrics
    assert [metrics["rouge1"], metrics["test/rouge1_f"]] == pytest.approx([0.1, 0.1])


def test_full_weights_are_uploaded_once(paths: Paths, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_files, "LARGE", 20)
    monkeypatch.setattr(sync_module, "LARGE", 20)
    uploaded: list[str] = []
    log_artifact = tracker.client.log_artifact

    def spy(run_id: str, path: str, folder: str | None) -> None:
        uploaded.append(Path(path).name)
        log_artifact(run_id, path, folder)

    monkeypatch.setattr(tracker.client, "log_artifact", spy)
    sync(paths, tracker)
    assert "adapter_model.safetensors" in uploaded
    uploaded.clear()
    (paths.model("lora") / "tokenizer.json").write_text("{}")
    sync(paths, tracker)
    assert uploaded == ["adapter_config.json", "tokenizer.json"]


def test_an_experiment_without_a_model_or_that_is_gone_has_no_run(paths: Paths, tracker: Tracker) -> None:
    shutil.rmtree(paths.experiment("base"))
    (paths.model("lora") / "manifest.json").unlink()
    assert sync(paths, tracker) == []


def test_a_comparison_without_the_experiment_is_not_its(paths: Paths, tracker: Tracker) -> None:
    summary = paths.comparison / "comparison.json"
    summary.write_text(json.dumps({"candidate": None, "systems": [{"name": "base"}]}))
    sync(paths, tracker)
    runs = ledger(tracker)
    assert "comparison/table.md" in runs[f"base {key_of('base')}"]["artifacts"]
    assert "comparison/table.md" not in runs[f"lora {key_of('lora')}"]["artifacts"]
