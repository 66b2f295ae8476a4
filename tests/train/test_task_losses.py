"""The validation loss of each source and task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.core import files
from tasks.core.paths import Paths
from tasks.model.likelihood import Likelihood
from tasks.tracking.sync import sync
from tasks.train.task_losses import PREFIX, task_losses
from tests.train.launched import weights
from tests.train.stage_process import history
from tests.train.training_workspace import PAIRS, rows, train, workspace

ODD = "Q&A, short"
"""MLflow accepts neither the comma nor the ampersand in the name of a metric."""

LOOP = {"training": {"epochs": 2, "packing": True, "learning_rate": 1e-2}, "max_dropped": 0.4}


def test_known_losses_by_hand() -> None:
    result = Likelihood(nll=[6.0, 1.0, 2.0], tokens=[2, 1, 3], exact=[False] * 3)
    losses = task_losses(result, ["b/t", "a/t", "b/t"])
    assert losses == {"validation/a/t": 1.0, "validation/b/t": 8 / 5}
    assert list(losses) == ["validation/a/t", "validation/b/t"]


def test_the_loss_of_the_only_task_is_that_of_all_rows() -> None:
    assert task_losses(Likelihood([6.0, 1.0], [2, 1], [False] * 2), ["b/t", "b/t"]) == {}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Paths:
    """The experiment ``mixed``: validation rows of two sources and two tasks, and one that is too long."""
    validation = [*rows(PAIRS[:4]), *rows(PAIRS[4:], source="agents")]
    validation[1] |= {"task": "long", "prompt": "lamp " * 200}
    validation[3] |= {"task": ODD}
    root = tmp_path_factory.mktemp("mixed") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        paths = workspace(root, tiny_llama, validation=validation)
        train(paths, "mixed", LOOP)
    return paths


def validations(paths: Paths, name: str) -> list[dict[str, Any]]:
    return [point for point in history(paths, name) if "validation_loss" in point]


def test_every_evaluation_has_the_loss_of_each_task(mixed: Paths) -> None:
    points = validations(mixed, "mixed")
    assert len(points) == 3 and files.read_json(mixed.run("mixed", "train") / "run.json")["packing"]
    tasks = {name.removeprefix(PREFIX) for name in points[0] if name.startswith(PREFIX)}
    assert tasks == {"chats/summary", f"chats/{ODD}", "agents/summary"}, "the row that was too long has no loss"
    assert all(
        {name for name in point if name.startswith(PREFIX)} == {f"{PREFIX}{task}" for task in tasks} for point in points
    )
    assert points[-1][f"{PREFIX}chats/summary"] < points[0][f"{PREFIX}chats/summary"]


def test_the_losses_of_the_tasks_make_up_the_loss_of_all_rows(mixed: Paths, tmp_path: Path, tiny_llama: Path) -> None:
    """A model that is watched on the rows of one task alone has the same loss there, and the same weights."""
    one = workspace(tmp_path / "workspace", tiny_llama, validation=rows(PAIRS[4:], source="agents"))
    train(one, "mixed", LOOP)
    alone, together = validations(one, "mixed"), validations(mixed, "mixed")
    assert [point["validation_loss"] for point in alone] == pytest.approx(
        [point[f"{PREFIX}agents/summary"] for point in together], rel=1e-6
    )
    assert not any(name.startswith(PREFIX) for point in alone for name in point)
    for name, value in weights(mixed, "mixed").items():
        assert value.equal(weights(one, "mixed")[name]), name


def test_the_loss_of_all_rows_is_the_same_bit_for_bit(mixed: Paths, tmp_path: Path, tiny_llama: Path) -> None:
    validation = files.read_rows(mixed.mixture("demo") / "validation.parquet")
    same = [row | {"source": "chats", "task": "one"} for row in validation]
    single = workspace(tmp_path / "workspace", tiny_llama, validation=same)
    train(single, "mixed", LOOP)
    kept = ("step", "validation_loss")
    assert [{name: point[name] for name in kept} for point in validations(single, "mixed")] == [
        {name: point[name] for name in kept} for point in validations(mixed, "mixed")
    ]


def test_mlflow_has_them_live_and_after_a_sync(mixed: Paths) -> None:
    store = MlflowClient(f"sqlite:///{mixed.root}/mlflow.db")
    run = files.read_json(mixed.run("mixed", "train") / "run.json")["mlflow_run_id"]
    names = {name for name in store.get_run(run).data.metrics if name.startswith(PREFIX)}
    assert {f"{PREFIX}chats/summary", f"{PREFIX}agents/summary"} < names
    (odd,) = names - {f"{PREFIX}chats/summary", f"{PREFIX}agents/summary"}
    assert odd.startswith(f"{PREFIX}chats/Q_A_ short-")
    losses = [point[f"{PREFIX}chats/{ODD}"] for point in validations(mixed, "mixed")]
    assert [point.value for point in store.get_metric_history(run, odd)] == losses
    sync(mixed)
    assert [point.value for point in store.get_metric_history(run, odd)] == losses
