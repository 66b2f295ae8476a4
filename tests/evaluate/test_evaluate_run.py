"""The stages ``predict@X`` and ``score@X``: what they load, refuse and write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluate import score
from tasks.evaluate.evaluate_model import evaluate_model
from tasks.evaluate.metrics import PREDICTIONS
from tasks.evaluate.params import resolved
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.text.rows import RENDERED
from tasks.text.training_rows import write_training_rows
from tests.evaluate import evaluation
from tests.evaluate.evaluated_workspace import NAMES
from tests.evaluate.evaluation import EVALUATE, add_scoring, evaluate_clean
from tests.train.training_workspace import PAIRS, mark_dirty, rows, train, workspace

FP32 = GenerationParams(max_new_tokens=12, token_budget=256, precision="fp32")
PROMPTS = [prompt for prompt, _ in PAIRS]


@pytest.mark.parametrize("name", ["base", "lora", "full"])
def test_reports_of_every_method(paths: Paths, name: str) -> None:
    report = evaluate_clean(paths, name)
    assert set(report) == {
        "schema",
        "experiment",
        "key",
        "test_sha256",
        "rows",
        "metrics",
        "groups",
        "model",
        "settings",
        "not_scored",
        "generation",
    }
    assert (report["schema"], report["experiment"], report["rows"]) == (1, name, len(PAIRS))
    assert report["key"] == files.read_json(paths.model(name) / "manifest.json")["key"]
    assert report["generation"] == EVALUATE["generation"]
    # The outputs of a model that learnt nothing hold no word, so these two scores are not defined.
    wordless = set() if name == "full" else {"distinct_1", "distinct_2"}
    assert set(report["metrics"]) | wordless == NAMES | {"validation_loss", "validation_loss_per_byte"}
    assert all(set(value) == {"value", "low", "high"} for value in report["metrics"].values())

    predicted = files.read_rows(paths.report(name) / "predictions.parquet")
    assert list(predicted[0]) == PREDICTIONS.names
    assert [(row["prompt"], row["references"]) for row in predicted] == [(p, [c]) for p, c in PAIRS]
    assert report["metrics"]["rouge1_f"]["value"] == pytest.approx(
        sum(row["rouge1_f"] for row in predicted) / len(PAIRS)
    )
    assert [(row["group"], row["dirty"]) for row in predicted] == [(f"g{n}", False) for n in range(1, len(PAIRS) + 1)]

    facts = files.read_json(paths.run(name, "predict") / "run.json")
    expected = "key experiment started ended seconds generation_seconds rows rows_per_second peak_memory_bytes threads"
    assert {*expected.split(), "device", "git_commit"} <= set(facts)
    assert facts["rows_per_second"] == pytest.approx(facts["rows"] / facts["generation_seconds"])


def test_a_model_that_memorised_the_rows_scores_full_marks(paths: Paths) -> None:
    metrics = evaluate_clean(paths, "full")["metrics"]
    for name in ("rouge1_f", "rougeLsum_recall", "finished"):
        assert metrics[name] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics["bleu"]["value"] == pytest.approx(100)
    assert metrics["empty"]["value"] == 0.0
    tokenizer = Predictor.load(paths.model("full"), FP32, paths.root).renderer.tokenizer
    sizes = [len(tokenizer(completion)["input_ids"]) + 1 for _, completion in PAIRS]
    assert metrics["new_tokens"]["value"] == pytest.approx(sum(sizes) / len(sizes))


def test_validation_loss_is_that_of_training(paths: Paths) -> None:
    """The same rows and precision as in training: the loss of the best epoch, whatever the batches."""
    files.write_rows(paths.evaluation_set / "validation.parquet", rows(PAIRS), RENDERED)
    for name in ("full", "lora"):
        metrics = evaluate_clean(paths, name)["metrics"]
        manifest = files.read_json(paths.model(name) / "manifest.json")
        assert metrics["validation_loss"]["value"] == pytest.approx(manifest["best"]["validation_loss"], abs=1e-4)
        tokens = manifest["contract"]["validation"]["supervised_tokens"]
        size = sum(len(completion.encode()) for _, completion in PAIRS)
        per_byte = metrics["validation_loss"]["value"] * tokens / size
        assert metrics["validation_loss_per_byte"] == {"value": pytest.approx(per_byte), "low": None, "high": None}


def test_labels_have_accuracy_and_exact_match(paths: Paths) -> None:
    choices = [completion for _, completion in PAIRS]
    for part in ("test", "validation"):
        files.write_rows(paths.evaluation_set / f"{part}.parquet", rows(PAIRS, choices), RENDERED)
    add_scoring(paths, "accuracy", "macro_f1")
    metrics = evaluate_clean(paths, "full")["metrics"]
    assert metrics["exact_match"]["value"] == metrics["validation_accuracy"]["value"] == 1.0
    assert metrics["accuracy"]["value"] == metrics["macro_f1"]["value"] == 1.0
    assert evaluate_clean(paths, "base")["metrics"]["exact_match"]["value"] == 0.0


def test_two_runs_write_the_same_bytes(paths: Paths) -> None:
    evaluate_clean(paths, "lora")
    first = [files.sha256(path) for path in sorted(paths.report("lora").iterdir())]
    evaluate_clean(paths, "lora")
    assert [files.sha256(path) for path in sorted(paths.report("lora").iterdir())] == first
    assert len(first) == 5


def test_test_hash_follows_the_rows_and_not_the_model(paths: Paths) -> None:
    before = evaluate_clean(paths, "base")["test_sha256"]
    assert evaluate_clean(paths, "lora")["test_sha256"] == before
    test = rows(PAIRS)
    for change in ({"prompt": "Other: prompt"}, {"references": ["other"]}, {"row_id": "r99"}):
        files.write_rows(paths.evaluation_set / "test.parquet", [test[0] | change, *test[1:]], RENDERED)
        assert evaluate_clean(paths, "base")["test_sha256"] != before
    files.write_rows(paths.evaluation_set / "test.parquet", test, RENDERED)
    assert evaluate_clean(paths, "base")["test_sha256"] == before


def test_evaluate_model_equals_the_stage(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = evaluate_clean(paths, "lora")
    (paths.root / "elsewhere").mkdir()
    monkeypatch.chdir(paths.root / "elsewhere")  # a flow's process may run in any folder
    output = paths.root / "cache/lora"
    evaluate_model(paths.model("lora"), paths, *resolved(paths.experiment("lora")), output)
    predictions = [files.sha256(folder / "predictions.parquet") for folder in (output, paths.report("lora"))]
    assert predictions[0] == predictions[1]
    assert set(expected["groups"]["contamination"]) == {"clean"}
    assert files.read_json(output / "metrics.json") == expected


@pytest.mark.parametrize("stored", [True, False])
def test_evaluate_model_knows_dirty_rows_by_the_texts_that_the_model_stores(paths: Paths, stored: bool) -> None:
    """The mixture of an earlier model may be gone."""
    test = [row | {"identity": f"Text {row['row_id']}!"} for row in rows(PAIRS)]
    files.write_rows(paths.evaluation_set / "test.parquet", test, RENDERED)
    (paths.model("lora") / "training_rows.parquet").unlink()
    if stored:
        write_training_rows(paths.model("lora"), [test[1], test[3] | {"identity": "text R4"}], paths.root / "base")
    output = paths.root / "cache/lora"
    evaluate_model(paths.model("lora"), paths, *resolved(paths.experiment("lora")), output)
    marks = {row["row_id"]: row["dirty"] for row in files.read_rows(output / "predictions.parquet")}
    assert marks == {row["row_id"]: (row["row_id"] in ("r2", "r4")) if stored else None for row in test}


def test_scores_of_groups(paths: Paths) -> None:
    """Two rows are dirty. The model has not seen the template of one row and the task of another."""
    test = rows(PAIRS)
    test[0] |= {"template_id": "other", "template": "Sum up: {{dialogue}}"}
    test[1]["task"] = "title"
    add_scoring(paths, "rouge", templates=("plain", "other"))
    files.write_rows(paths.evaluation_set / "test.parquet", test, RENDERED)
    mark_dirty(paths, "r2", "r3")
    evaluation.evaluate("lora", paths)
    predicted = files.read_rows(paths.report("lora") / "predictions.parquet")
    assert [row["row_id"] for row in predicted if row["dirty"]] == ["r2", "r3"]
    groups = files.read_json(paths.report("lora") / "metrics.json")["groups"]
    scores = {row["row_id"]: row["rouge1_f"] for row in predicted}
    n = {
        kind: {name: metrics["rouge1_f"]["n"] for name, metrics in groups[kind].items()}
        for kind in groups
        if kind not in ("wording_spread", "validation")
    }
    assert n == {
        "task": {"chats/summary": 5, "chats/title": 1},
        "template": {"chats/other": 1, "chats/plain": 5},
        "wording": {"seen": 5, "unseen": 1},
        "task_seen": {"seen": 5, "unseen": 1},
        "contamination": {"clean": 4, "dirty": 2},
    }
    assert groups["contamination"]["dirty"]["rouge1_f"]["value"] == pytest.approx((scores["r2"] + scores["r3"]) / 2)
    assert groups["task_seen"]["unseen"]["rouge1_f"] == {
        **dict.fromkeys(("value", "low", "high"), scores["r2"]),
        "n": 1,
    }


def test_rows_of_an_ancestor_are_dirty(paths: Paths, tmp_path: Path) -> None:
    """The model ``full`` is the base of another, which is trained on other rows; ``full`` knows all of ``PAIRS``."""
    other = rows([("Customer: a new question.", "A question.")])
    identities = [row | {"identity": row["prompt"].upper() + "!"} for row in rows(PAIRS[:2])]
    write_training_rows(paths.model("full"), identities, tmp_path)
    for part in ("train", "validation"):
        files.write_rows(paths.mixture("demo") / f"{part}.parquet", other, RENDERED)
    patch = {"base_model": {"name": "models/full"}, "training": {"epochs": 1}}
    train(paths, "second", patch)
    evaluation.write_params(paths, "second", EVALUATE)
    test = [row | {"identity": row["prompt"]} for row in rows(PAIRS)]
    files.write_rows(paths.evaluation_set / "test.parquet", test, RENDERED)
    contamination = evaluate_clean(paths, "second")["groups"]["contamination"]
    assert {name: metrics["rouge1_f"]["n"] for name, metrics in contamination.items()} == {"clean": 4, "dirty": 2}


def test_a_test_row_that_mix_did_not_check_is_named(paths: Paths) -> None:
    mark_dirty(paths)
    files.write_rows(paths.evaluation_set / "test.parquet", [rows(PAIRS)[0] | {"row_id": "new"}], RENDERED)
    with pytest.raises(
        TunesmithError, match=r"dirty.parquet of the mixture: must hold every test row; row new of chats"
    ):
        evaluation.evaluate("base", paths)


def test_predictions_of_other_rows_are_refused(paths: Paths) -> None:
    evaluate_clean(paths, "base")
    test = rows(PAIRS)
    files.write_rows(paths.evaluation_set / "test.parquet", [test[1], test[0], *test[2:]], RENDERED)
    with pytest.raises(TunesmithError, match=r"must hold predictions for the rows of .*; row r1 of chats"):
        score.run("base", paths, Stage.start("score@base", paths.root))


def test_scoring_needs_no_model(paths: Paths) -> None:
    expected = evaluate_clean(paths, "lora")
    shutil.rmtree(paths.model("lora"))
    score.run("lora", paths, Stage.start("score@lora", paths.root))
    assert files.read_json(paths.report("lora") / "metrics.json") == expected


def test_other_metrics_score_the_same_predictions(paths: Paths) -> None:
    """The test set stays the same: its digest does not depend on how its rows are scored."""
    before = evaluate_clean(paths, "lora")
    add_scoring(paths, "rouge", "chrf", "token_f1")
    score.run("lora", paths, Stage.start("score@lora", paths.root))
    report = files.read_json(paths.report("lora") / "metrics.json")
    assert report["metrics"].keys() - before["metrics"].keys() == {"chrf", "token_f1"}
    assert {name: report["metrics"][name] for name in before["metrics"]} == before["metrics"]
    assert report["test_sha256"] == before["test_sha256"]
    predicted = files.read_rows(paths.report("lora") / "predictions.parquet")
    assert predicted[0]["metrics"] == ["rouge", "chrf", "token_f1"]


def test_other_template_text_is_refused(paths: Paths) -> None:
    """The model knows the template ``chats/plain`` by another text."""
    changed = [row | {"template": "Please: {{dialogue}}"} for row in rows(PAIRS)]
    files.write_rows(paths.evaluation_set / "test.parquet", changed, RENDERED)
    with pytest.raises(TunesmithError, match=r"model full: .*the text of template 'chats/plain' has changed"):
        evaluate_clean(paths, "full")
    assert not paths.report("full").exists()


@pytest.mark.parametrize("part", ["test", "validation"])
def test_empty_evaluation_set_is_refused(paths: Paths, part: str) -> None:
    files.write_rows(paths.evaluation_set / f"{part}.parquet", [], RENDERED)
    with pytest.raises(TunesmithError, match=f"{part}.parquet: a row must have a completion; none has one"):
        evaluate_clean(paths, "base")


def test_a_model_that_generates_nothing_is_scored(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model was trained to generate a blank. Every completion is empty after stripping."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    blank = rows([(prompt, " ") for prompt in PROMPTS])
    paths = workspace(tmp_path / "blank", tiny_llama, blank, blank)
    train(paths, "full", {"training": {"epochs": 30, "learning_rate": 1e-2}})
    paths.evaluation_set.mkdir(parents=True)
    files.write_rows(paths.evaluation_set / "test.parquet", rows(PAIRS), RENDERED)
    files.write_rows(paths.evaluation_set / "validation.parquet", rows(PAIRS), RENDERED)
    evaluation.write_params(paths, "full", EVALUATE)
    add_scoring(paths, "rouge")
    evaluate_model(paths.model("full"), paths, *resolved(paths.experiment("full")), tmp_path / "report")
    metrics = files.read_json(tmp_path / "report/metrics.json")["metrics"]
    assert metrics["empty"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics["finished"]["value"] == 1.0
    assert metrics["rouge1_f"]["value"] == metrics["bleu"]["value"] == 0.0
