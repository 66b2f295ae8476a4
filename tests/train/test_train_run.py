"""The stage ``train@X`` in a small workspace: what it writes and refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.model.base_models import BaseModelParams, find, load_model, load_tokenizer
from tasks.model.likelihood import likelihood
from tasks.model.rendering import Renderer
from tasks.text.rows import RENDERED
from tests.evaluate.evaluation import add_scoring, evaluate, write_params
from tests.train.stage_process import history
from tests.train.training_workspace import LORA, PAIRS, UNLIKELY, mark_dirty, rows, train, workspace

FP32 = torch.autocast("cpu", enabled=False)
SHORT_LORA = LORA | {"training": {"epochs": 2}}


@pytest.fixture
def paths(tmp_path: Path, tiny_llama: Path) -> Paths:
    return workspace(tmp_path / "workspace", tiny_llama)


def test_method_none_only_describes_the_base(paths: Paths) -> None:
    folder = train(paths, "base", {"method": "none"})
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    manifest = files.read_json(folder / "manifest.json")
    assert (manifest["method"], manifest["weights_sha256"], manifest["trainable_parameters"]) == ("none", None, 0)
    assert history(paths, "base") == []
    run = files.read_json(paths.run("base", "train") / "run.json")
    assert (run["tokens"], run["tokens_per_second"], run["mlflow_run_id"]) == (0, None, None)
    assert not paths.checkpoints.exists()


MANIFEST = {
    *("schema", "experiment", "key", "method", "params", "base_model", "inputs", "fingerprint", "versions"),
    *("weights_sha256", "trainable_parameters", "total_parameters", "best", "contract", "templates", "tasks"),
    *("computed", "weights_bytes", "base_bytes"),
}
RUN = {
    *("key", "experiment", "started", "ended", "seconds", "tokens", "tokens_per_second", "peak_memory_bytes"),
    *("threads", "device", "git_commit", "mlflow_run_id", "prefect_flow_run_id", "train_seconds", "memory", "packing"),
}


def test_what_does_not_fit_is_refused_before_the_model_is_read(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.core.device.free_memory_bytes", lambda: 1000)
    monkeypatch.setattr("tasks.train.loop.prepare", lambda *_: pytest.fail("the model was read"))
    with pytest.raises(TunesmithError, match=r"^train@large: the tensors of a training must fit .* 0\.00 GB are free"):
        train(paths, "large", {})
    assert not paths.model("large").exists()


def test_a_parameter_overrides_the_memory_check_and_leaves_the_key_as_it_was(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = files.read_json(train(paths, "overridden", {}) / "manifest.json")
    monkeypatch.setattr("tasks.core.device.free_memory_bytes", lambda: 1000)
    paths.params.mkdir()
    (paths.params / "training.yaml").write_text("memory: {refuse_above: null}\n")
    with caplog.at_level("INFO", logger="tunesmith"):
        folder = train(paths, "overridden", {})
    assert "train@overridden: memory may run out" in caplog.text
    assert caplog.text.count("overridden: fused: 2 MLPs, 5 norms, ") == 1
    assert files.read_json(folder / "manifest.json") == expected


@pytest.mark.parametrize(
    ("name", "patch", "expected"),
    [
        ("full", {}, {"model.safetensors", "config.json", "generation_config.json", "manifest.json"}),
        ("lora", SHORT_LORA, {"adapter_model.safetensors", "adapter_config.json", "manifest.json"}),
    ],
)
def test_outputs(paths: Paths, name: str, patch: dict[str, Any], expected: set[str]) -> None:
    folder = train(paths, name, patch)
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} if name == "full" else set()
    assert {path.name for path in folder.iterdir()} == expected | tokenizer | {"training_rows.parquet"}
    for path in folder.iterdir():
        assert str(paths.root).encode() not in path.read_bytes(), f"{path.name} names a folder of this machine"
    manifest = files.read_json(folder / "manifest.json")
    assert set(manifest) == MANIFEST
    assert manifest["base_model"]["spec"] == "bases/tiny"
    assert manifest["params"]["method"] == manifest["method"] == name
    weights = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
    assert manifest["weights_sha256"] == files.digest([files.sha256(path) for path in weights])
    assert manifest["contract"]["train"]["rows"] == len(PAIRS)
    assert manifest["contract"]["validation"]["rows"] == 2
    assert manifest["templates"] == {"chats/plain": "{{dialogue}}"}
    assert manifest["tasks"] == ["summary"]
    trained_on = files.read_rows(folder / "training_rows.parquet")
    assert [(r["generation"], r["source"], r["row_id"]) for r in trained_on] == [
        (0, "chats", f"r{number}") for number in range(1, len(PAIRS) + 1)
    ]

    run = files.read_json(paths.run(name, "train") / "run.json")
    assert set(run) == RUN
    assert run["memory"]["planned"] == sum(run["memory"]["parts"].values()) > 0
    assert run["memory"]["measured"] > 0
    epochs = 2 if name == "lora" else 1
    assert run["tokens"] == epochs * manifest["contract"]["train"]["tokens"]
    assert run["tokens_per_second"] == pytest.approx(run["tokens"] / run["train_seconds"])
    assert (run["key"], run["threads"]) == (manifest["key"], 1)
    assert 0 < run["train_seconds"] < run["seconds"] == pytest.approx(run["ended"] - run["started"])

    points = history(paths, name)
    validation = [(p["step"], p["epoch"]) for p in points if "validation_loss" in p]
    steps = points[-1]["step"]
    assert validation == [(0, 0.0), *((steps // epochs * n, float(n)) for n in range(1, epochs + 1))]
    trained = [p for p in points if "train_loss" in p]
    assert [p["step"] for p in trained] == list(range(1, steps + 1))
    assert all(p["learning_rate"] >= 0 and p["grad_norm"] > 0 and p["tokens_per_second"] > 0 for p in trained)
    # No answer_choices, so no accuracy.
    assert not any("validation_accuracy" in p for p in points)
    # Checkpoints are gone, the live curve is in MLflow.
    assert list(paths.checkpoints.iterdir()) == []
    logged = MlflowClient(f"sqlite:///{paths.root / 'mlflow.db'}").get_metric_history(
        run["mlflow_run_id"], "validation_loss"
    )
    assert {(m.step, m.value) for m in logged} == {
        (p["step"], p["validation_loss"]) for p in points if "validation_loss" in p
    }


def test_accuracy_is_logged_where_completions_are_labels(paths: Paths, tmp_path: Path, tiny_llama: Path) -> None:
    """Exact completions under greedy decoding: none before training, all once they are memorised."""
    labels = [("my lamp", "yes"), ("the parcel", "no")]
    choices = rows(labels, ["yes", "no"])
    other_paths = workspace(tmp_path / "labels", tiny_llama, choices, choices)
    train(other_paths, "full", {"training": {"epochs": 20, "learning_rate": 1e-2}})
    accuracy = [p["validation_accuracy"] for p in history(other_paths, "full") if "validation_loss" in p]
    assert len(accuracy) == 21
    assert (accuracy[0], accuracy[-1]) == (0.0, 1.0)


def test_saved_weights_are_those_of_the_best_epoch(tmp_path: Path, tiny_llama: Path) -> None:
    other = rows(UNLIKELY)
    other_paths = workspace(tmp_path / "rising", tiny_llama, validation=other)
    folder = train(other_paths, "full", {"training": {"epochs": 4, "learning_rate": 1e-2, "schedule": "constant"}})
    points = [p for p in history(other_paths, "full") if "validation_loss" in p]
    best = min(points[1:], key=lambda p: p["validation_loss"])
    assert best["step"] < points[-1]["step"], "the loss must rise for this test to say anything"
    assert points[-1]["validation_loss"] > best["validation_loss"] + 0.1
    assert files.read_json(folder / "manifest.json")["best"] == {
        key: best[key] for key in ("step", "epoch", "validation_loss")
    }
    base = find(BaseModelParams(name="bases/tiny"), other_paths.root)
    model, renderer = load_model(base, torch.float32, folder), Renderer(load_tokenizer(base, folder), base.kind)
    encoded = [renderer.encode(row["prompt"], row["completion"]) for row in other]
    loss = likelihood(model, encoded, "causal", renderer.tokenizer.pad_token_id, 256, FP32).loss
    assert loss == pytest.approx(best["validation_loss"], abs=1e-5)


def test_key_follows_parameters_and_not_the_machine(tmp_path: Path, tiny_llama: Path, paths: Paths) -> None:
    def key(other_paths: Paths, patch: dict[str, Any]) -> str:
        return str(files.read_json(train(other_paths, "x", {"method": "none"} | patch) / "manifest.json")["key"])

    other = workspace(tmp_path / "elsewhere", tiny_llama)
    assert key(paths, {}) == key(other, {})
    assert len({key(paths, patch) for patch in ({}, {"seed": 1}, {"threads": 2}, {"max_length": 64})}) == 4


def test_second_trainer_of_an_experiment_is_refused(paths: Paths) -> None:
    """The lock is the operating system's: another process holds it, and when that is killed nobody does."""
    lock = paths.state / "locks/train-lora"
    lock.parent.mkdir(parents=True)
    code = (
        "import os, sys, time; from filelock import FileLock;"
        f"lock = FileLock({str(lock)!r}); lock.acquire(); open({str(lock) + '.pid'!r}, 'w').write(str(os.getpid()));"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(
            TunesmithError, match=f"one process trains an experiment at a time; process {holder.pid} does"
        ):
            train(paths, "lora", SHORT_LORA)
        assert not paths.model("lora").exists()
    finally:
        holder.kill()
        holder.wait()
    train(paths, "lora", SHORT_LORA)


def test_too_small_a_disk_is_refused_before_training(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 1000))
    with pytest.raises(
        TunesmithError, match=r"training needs 0\.0 GB of free disk for checkpoints and weights; 0\.0 GB are"
    ):
        train(paths, "full", {})
    assert not paths.model("full").exists()


def test_a_failed_training_is_marked_in_mlflow_and_leaves_no_model(paths: Paths) -> None:
    with pytest.raises(TunesmithError, match="diverged"):
        training = {"epochs": 2, "learning_rate": 1e30, "max_grad_norm": 1e9, "schedule": "constant"}
        train(paths, "full", {"training": training})
    assert not paths.model("full").exists() and not paths.run("full", "train").exists()
    assert not (paths.root / "models").exists()
    client = MlflowClient(f"sqlite:///{paths.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tunesmith")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


SUMMARIES = [
    ("Customer: my lamp is broken. Agent: we send a new lamp.", "A new lamp is sent."),
    ("Customer: the parcel is late. Agent: it comes on Monday.", "The parcel comes late."),
    ("Customer: I cannot log in. Agent: we reset the password.", "A password is reset."),
]


def test_t5_memorises_its_summaries(tmp_path: Path, tiny_t5: Path) -> None:
    """An encoder-decoder from random weights goes through training and evaluation, as any model does."""
    data = rows(SUMMARIES)
    other_paths = workspace(tmp_path / "t5", tiny_t5, data, data)
    patch = {"training": {"epochs": 50, "learning_rate": 1e-2, "schedule": "linear"}}
    folder = train(other_paths, "full", patch)
    predictor = Predictor.load(folder, root=other_paths.root)
    answers = predictor.generate([prompt for prompt, _ in SUMMARIES])
    assert [answer.text for answer in answers] == [summary for _, summary in SUMMARIES]
    assert all(answer.finished for answer in answers)

    other_paths.evaluation_set.mkdir(parents=True)
    for part in ("test", "validation"):
        files.write_rows(other_paths.evaluation_set / f"{part}.parquet", data, RENDERED)
    add_scoring(other_paths, "rouge")
    mark_dirty(other_paths)
    write_params(other_paths, "full", {"threads": 1, "generation": {"precision": "fp32"}})
    evaluate("full", other_paths)
    metrics = files.read_json(other_paths.report("full") / "metrics.json")["metrics"]
    assert metrics["rouge1_f"]["value"] == metrics["finished"]["value"] == 1.0
    best = files.read_json(folder / "manifest.json")["best"]["validation_loss"]
    assert metrics["validation_loss"]["value"] == pytest.approx(best, abs=1e-4)


def test_lora_on_t5_lowers_the_loss(tmp_path: Path, tiny_t5: Path) -> None:
    data = rows(SUMMARIES)
    other_paths = workspace(tmp_path / "t5", tiny_t5, data, data)
    lora = {"method": "lora", "lora": {"rank": 8, "targets": "all-linear"}}
    folder = train(other_paths, "lora", lora | {"training": {"epochs": 10, "learning_rate": 1e-2}})
    losses = [p["validation_loss"] for p in history(other_paths, "lora") if "validation_loss" in p]
    assert losses[-1] < losses[0] - 0.5
    predictor = Predictor.load(folder, root=other_paths.root)
    renderer = predictor.renderer
    encoded = [renderer.encode(prompt, summary) for prompt, summary in SUMMARIES]
    result = likelihood(predictor.model.float(), encoded, "seq2seq", renderer.tokenizer.pad_token_id, 256, FP32)
    assert result.loss == pytest.approx(min(losses[1:]), abs=0.02)
