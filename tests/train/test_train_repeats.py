"""A training repeats to the same bytes: in other processes, and resumed after it was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.core.params import merge
from tasks.train.checkpoints import last_complete
from tests.train.every_method import METHODS
from tests.train.stage_process import forked_stage, hashes, history, output_of, stage
from tests.train.training_workspace import LORA, add, train, workspace

SHORT_LORA = LORA | {"training": {"epochs": 2}}


def test_equal_parameters_give_equal_bytes_in_other_processes(tmp_path: Path, tiny_llama: Path) -> None:
    """Two processes with other hash seeds, in two workspaces; a third run in this process with another seed."""
    paths, other = (workspace(tmp_path / name, tiny_llama) for name in ("workspace", "elsewhere"))
    for other_paths in (paths, other):
        add(other_paths, "lora", SHORT_LORA)
    processes = [stage(one, "lora", PYTHONHASHSEED=seed) for one, seed in ((paths, "1"), (other, "2"))]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    first = hashes(paths.model("lora"))
    assert first == hashes(other.model("lora"))
    # The logs hold lines, not progress bars, and no library's warnings.
    assert "validation loss" in outputs[0]
    assert not [word for word in ("Loading weights", "\r", "arning", "[transformers]") if word in outputs[0]], outputs[
        0
    ]

    reseeded = hashes(train(paths, "seeded", SHORT_LORA | {"seed": 1}))
    assert reseeded["adapter_config.json"] == first["adapter_config.json"]
    assert reseeded["adapter_model.safetensors"] != first["adapter_model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), [(method, kind) for method in METHODS for kind in ("llama", "t5")])
def test_killed_training_resumes_to_the_same_bytes(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, tmp_path: Path, method: str, kind: str
) -> None:
    """N + M steps in one go equal N steps in another process, ``kill -9`` of its whole group, and a new start."""
    base = request.getfixturevalue(f"tiny_{kind}")
    loop = {"epochs": 8, "token_budget": 64, "checkpoint_steps": 4, "log_every": 3}
    patch = merge(METHODS[method], {"training": loop})
    whole, paths = workspace(tmp_path / "whole", base), workspace(tmp_path / "killed", base)
    train(whole, method, patch)
    add(paths, method, patch)
    killed = forked_stage(paths, method)
    deadline = time.monotonic() + 120
    while not list(paths.checkpoints.glob("*/checkpoint-*/complete.json")):
        assert time.monotonic() < deadline and killed.is_alive(), output_of(paths).read_text()
        time.sleep(0.005)
    assert killed.pid is not None
    os.killpg(killed.pid, signal.SIGKILL)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not paths.model(method).exists()
    (folder,) = paths.checkpoints.iterdir()
    cut = last_complete(folder)
    assert cut is not None and json.loads((cut / "trainer_state.json").read_text())["epoch"] < 8

    with caplog.at_level("INFO"):
        train(paths, method, patch)
    assert f"resuming from {cut}" in caplog.text
    assert hashes(paths.model(method)) == hashes(whole.model(method))
    assert list(paths.checkpoints.iterdir()) == []
    volatile = ("time", "tokens_per_second")
    curves = [[{k: v for k, v in p.items() if k not in volatile} for p in history(x, method)] for x in (paths, whole)]
    assert curves[0] == curves[1]
    client = MlflowClient(f"sqlite:///{paths.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tunesmith")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    for name in ("train_loss", "validation_loss"):
        logged = [m.step for m in client.get_metric_history(run.info.run_id, name)]
        assert sorted(logged) == sorted(set(logged)) == [p["step"] for p in curves[0] if name in p]
