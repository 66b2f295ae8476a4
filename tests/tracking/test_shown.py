"""What MLflow shows of a run: names, parameters, model, description, outputs, views, and the run of a flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Param

from tasks.core.files import read_json, write_json
from tasks.core.paths import Paths
from tasks.metrics.names import SCORES
from tasks.tracking.client import Tracker, open_store
from tasks.tracking.description import with_section
from tasks.tracking.flow_run import record_flow
from tasks.tracking.legal_names import legal_name
from tasks.tracking.logged_model import link_version, model_of
from tasks.tracking.metric_names import of_curve, of_score
from tasks.tracking.run_files import outputs_table
from tasks.tracking.run_params import as_text, main_params
from tasks.tracking.sync import sync
from tasks.tracking.tag_names import KEY, NAME, WEIGHTS
from tasks.tracking.views import FLOWS, MODELS, models_view, runs_page
from tests.tracking.compared import compared, entry, write_comparison
from tests.tracking.ledger_workspace import TEST, add_experiment, add_report, key_of


def test_main_scores_have_plain_names_and_every_score_has_one_with_its_prefix() -> None:
    assert of_score("rouge1_f", "rouge1_f") == ["test/rouge1_f", "rouge1"]
    assert of_score("rouge1_f", "accuracy") == ["test/rouge1_f"]
    assert of_score("accuracy", "accuracy") == ["test/accuracy", "accuracy"]
    assert of_score("validation_loss_per_byte", "accuracy") == ["validation/loss_per_byte"]
    assert of_score("hub.a(b)", "accuracy") == [legal_name("test/hub.a(b)")]
    plain = {name for score in SCORES for name in of_score(score, "rouge1_f") if "/" not in name}
    assert plain == {"rouge1", "rougeL", "bleu"}
    assert [of_curve(name) for name in ("train_loss", "learning_rate", "validation_loss/chats")] == [
        *("train_loss", "train/learning_rate", "validation_loss/chats"),
    ]


def test_a_run_has_the_parameters_that_its_method_has() -> None:
    params = {
        "method": "adalora",
        "mixture": "demo",
        "base_model": {"name": "./base"},
        "seed": 3,
        "training": {"epochs": 2, "learning_rate": 1e-3, "schedule": "cosine"},
        "adalora": {"initial_rank": 12, "target_rank": 8, "alpha": 16},
    }
    assert main_params(params) == {
        "method": "adalora",
        "mixture": "demo",
        "base_model": "./base",
        "seed": 3,
        "epochs": 2,
        "learning_rate": 1e-3,
        "target_rank": 8,
        "alpha": 16,
    }
    assert [as_text(value) for value in ("x" * 7000, True, [1])] == ["x" * 6000, "true", "[1]"]


def test_a_trained_model_is_a_ready_logged_model_with_scores_per_data_set(paths: Paths, tracker: Tracker) -> None:
    path = paths.report("lora") / "metrics.json"
    kept = {"retention": {"general/qa": {"token_f1": {"value": 0.5}, "rouge1_recall": {"value": 0.9}}}}
    write_json(path, read_json(path) | {"groups": kept})
    base, lora = (tracker.client.get_run(result.run_id) for result in sync(paths, tracker))
    assert model_of(tracker.client, base) is None
    model = model_of(tracker.client, lora)
    assert model is not None
    assert (model.name, str(model.status), model.model_type) == ("lora", "READY", "lora")
    shown = {(metric.key, metric.dataset_name): metric.value for metric in model.metrics}
    assert shown == {
        ("rouge1", "test"): 0.5,
        ("rouge1_low", "test"): 0.4,
        ("rouge1_high", "test"): 0.6,
        ("validation_loss", "validation"): 2.125,
        ("retention/general.qa token_f1", "retention"): 0.5,
    }
    artifacts = paths.root / "mlartifacts"
    stored = [path.relative_to(artifacts).parts[0] for path in artifacts.rglob("adapter_model.safetensors")]
    assert stored == [lora.info.run_id]


def test_a_model_has_its_scores_without_dvcs_digest_of_the_data(paths: Paths, tracker: Tracker) -> None:
    (paths.root / "dvc.lock").unlink()
    run = tracker.client.get_run(sync(paths, tracker)[1].run_id)
    model = model_of(tracker.client, run)
    assert model is not None
    assert {metric.dataset_digest for metric in model.metrics} == {TEST[:36]}


def test_a_second_evaluation_and_a_second_version_reach_the_model(paths: Paths, tracker: Tracker) -> None:
    run_id = sync(paths, tracker)[1].run_id
    add_report(paths, "lora", [0.1, 0.1, 0.1], key_of("lora"))
    assert sync(paths, tracker)[1].run_id == run_id
    for version in ("1", "2", "2"):
        link_version(tracker.client, run_id, "tunesmith", version)
    model = model_of(tracker.client, tracker.client.get_run(run_id))
    assert model is not None
    assert {metric.key: metric.value for metric in model.metrics}["rouge1"] == 0.1
    linked = json.loads(model.tags["mlflow.modelVersions"])
    assert linked == [{"name": "tunesmith", "version": "1"}, {"name": "tunesmith", "version": "2"}]


def test_a_run_of_an_earlier_version_keeps_its_names_and_gets_the_new_ones(paths: Paths, tracker: Tracker) -> None:
    weights = read_json(paths.model("lora") / "manifest.json")["weights_sha256"]
    tags = {KEY: key_of("lora"), NAME: "lora", WEIGHTS: weights, "tunesmith.synced": "f" * 64}
    run_id = tracker.client.create_run(tracker.experiment_id, 1_700_000_000_250, tags).info.run_id
    points = [Metric("rouge1_f", 0.3, 5, 3), Metric("learning_rate", 1e-3, 1, 1), Metric("trained_share", 0.3, 5, 3)]
    tracker.client.log_batch(run_id, points, [Param("lora.rank", "8"), Param("seed", "7")])
    tracker.client.set_terminated(run_id, "FINISHED")
    assert sync(paths, tracker)[1].run_id == run_id
    run = tracker.client.get_run(run_id)
    scores = [run.data.metrics[name] for name in ("rouge1_f", "rouge1", "test/rouge1_f", "trained_share")]
    assert scores == [0.5, 0.5, 0.5, 0.1]
    assert "train/learning_rate" not in run.data.metrics
    assert [point.step for point in tracker.client.get_metric_history(run_id, "learning_rate")] == [1]
    assert run.data.params == {"lora.rank": "8", "seed": "7", "method": "lora", "rank": "8"}
    assert model_of(tracker.client, run) is not None
    assert not sync(paths, tracker)[1].changed


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        ("better", "better than base"),
        ("worse", "worse than base"),
        ("same", "the same as base"),
        ("not enough rows", "not enough rows (~40 rows needed)"),
    ],
)
def test_the_run_says_the_verdict_in_its_tag_and_description(
    paths: Paths, tracker: Tracker, verdict: str, shown: str
) -> None:
    write_comparison(paths, compared(entry("base", 0.2, None), entry("lora", 0.5, verdict)))
    base, lora = (tracker.client.get_run(result.run_id).data.tags for result in sync(paths, tracker))
    assert lora["tunesmith.verdict"] == shown and "tunesmith.verdict" not in base
    note = lora["mlflow.note.content"]
    assert f"**lora: {shown}.** ROUGE-1 50.0 [45.0, 55.0]" in note
    assert note.index("| lora |") < note.index("| base |") and "`tunesmith report` opens the full report" in note
    assert "**base**: ROUGE-1 20.0 [15.0, 25.0]." in base["mlflow.note.content"]


def test_a_verdict_that_no_longer_exists_is_removed_from_the_run(paths: Paths, tracker: Tracker) -> None:
    for judged in ("better", None):
        write_comparison(paths, compared(entry("base", 0.2, None), entry("lora", 0.5, judged)))
        tags = tracker.client.get_run(sync(paths, tracker)[1].run_id).data.tags
        assert ("tunesmith.verdict" in tags) == (judged is not None)


def test_a_section_is_replaced_and_the_words_of_a_person_stay() -> None:
    text = with_section("mine", "gate", ["no"])
    text = with_section(text, "results", ["first"])
    text = with_section(with_section(text, "gate", ["yes"]), "results", ["second"])
    assert [line for line in text.split("\n") if line and not line.startswith("<")] == ["second", "mine", "yes"]


def test_outputs_of_two_runs_have_the_same_rows_and_a_bounded_size(paths: Paths, tracker: Tracker) -> None:
    tables = []
    for result in sync(paths, tracker):
        path = tracker.client.download_artifacts(result.run_id, "eval_results_table.json")
        tables.append(json.loads(Path(path).read_text()))
        logged = json.loads(tracker.client.get_run(result.run_id).data.tags["mlflow.loggedArtifacts"])
        assert logged == [{"path": "eval_results_table.json", "type": "table"}]
    assert tables[0]["columns"] == ["row", "prompt", "reference", "output", "rouge1_f", "id"]
    assert [row[0] for row in tables[0]["data"]] == [row[0] for row in tables[1]["data"]]
    assert [row[4] for row in tables[1]["data"]] == [0.4, 0.5, 0.6]
    row: dict[str, Any] = {"source": "s", "row_id": "r", "template_id": "t", "references": ["right"]}
    row |= {"prompt": "p" * 9000, "text": "a  long\ntext", "completion": "out", "rouge1_f": None}
    table = outputs_table([row] * 600)
    assert (table["columns"], len(table["data"])) == (["row", "prompt", "reference", "output", "id"], 500)
    assert table["data"][1] == ["2: a long text", "p" * 4000, "right", "out", "s/r/t"]


def test_the_shared_views_are_written_once_and_follow_the_primary_metric(paths: Paths, tracker: Tracker) -> None:
    def view(key: str) -> dict[str, Any]:
        tags = open_store(paths.root).client.get_experiment(tracker.experiment_id).tags
        shown: dict[str, Any] = json.loads(tags[f"mlflow.sharedViewState.{key}"])
        return shown

    assert view(MODELS) == models_view("rouge1_f")
    write_comparison(paths, compared(entry("base", 0.2, None)) | {"metric": "accuracy"})
    sync(paths, tracker)
    assert (view(MODELS)["orderByKey"], view(MODELS)["orderByAsc"]) == ("metrics.`accuracy`", False)
    assert view(MODELS)["selectedColumns"][:4] == [
        *("params.`method`", "metrics.`accuracy`", "metrics.`accuracy_low`", "metrics.`accuracy_high`"),
    ]
    assert view(FLOWS)["selectedColumns"][-1] == "metrics.`accuracy`"
    assert runs_page("1").startswith("/#/experiments/1/runs?viewStateShareKey=models&")


def searched(tracker: Tracker, view: dict[str, Any]) -> list[str]:
    runs = tracker.client.search_runs([tracker.experiment_id], view["searchFilter"])
    return sorted(run.info.run_name for run in runs)


def test_a_flow_has_one_run_with_scores_and_decision_that_sync_leaves_alone(paths: Paths, tracker: Tracker) -> None:
    assert record_flow(Paths(paths.root / "empty"), "1", "retrain", None) is None
    write_comparison(paths, compared(entry("base", 0.2, None), entry("lora", 0.5, "better")))
    champion = {"experiment": "lora", "version": 3}
    decided = {"verdict": "accepted", "summary": "lora accepted", "reasons": ["better"], "champion": champion}
    run_id = record_flow(paths, "id 1", "retrain 2026-12-07: lora", decided, tracker)
    assert run_id == record_flow(paths, "id 1", "retrain 2026-12-07: lora", decided, tracker)
    assert run_id != record_flow(paths, "2", "next", None, tracker)
    assert run_id is not None
    run = tracker.client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("retrain 2026-12-07: lora", "FINISHED")
    scores = [run.data.metrics[name] for name in ("rouge1/base", "rouge1/lora", "rouge1", "difference/lora")]
    assert scores == pytest.approx([0.2, 0.5, 0.5, 0.3])
    assert len(tracker.client.get_metric_history(run_id, "rouge1/lora")) == 1
    tags = {name: run.data.tags[f"tunesmith.{name}"] for name in ("gate", "candidate", "champion")}
    assert tags == {"gate": "accepted", "candidate": "lora", "champion": "lora (version 3)"}
    assert "**Gate:** lora accepted" in run.data.tags["mlflow.note.content"]
    folders = [entry.path for entry in tracker.client.list_artifacts(run_id)]
    assert folders == ["comparison"]
    child = tracker.client.create_run(
        tracker.experiment_id, tags={NAME: "trial", "mlflow.parentRunId": run_id}, run_name="trial"
    )
    sync(paths, tracker)
    assert searched(tracker, models_view("rouge1_f")) == ["base", "lora"]
    assert tracker.client.get_run(run_id).to_dictionary() == run.to_dictionary()
    assert KEY not in tracker.client.get_run(child.info.run_id).data.tags


def test_an_interrupted_logged_model_is_completed(
    paths: Paths, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "finalize_logged_model", fail)
        with pytest.raises(KeyboardInterrupt):
            sync(paths, tracker)
    add_experiment(paths, "lora", [0.4, 0.5, 0.6])
    run_id = sync(paths, tracker)[1].run_id
    models = tracker.client.search_logged_models([tracker.experiment_id])
    assert [(model.source_run_id, str(model.status)) for model in models] == [(run_id, "READY")]
    assert len(models[0].metrics) == 4
