"""The flow ``retrain``: the same DAG through Prefect, then the ledger and the gate."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from flows.commands.refresh import refresh
from tasks.core.files import read_rows
from tasks.core.paths import Paths
from tasks.registry.verdict import gate_lines
from tests.flows.commands.tickets import ROWS, SET
from tests.flows.fetched_workspace import QUERY, drop, fetch_from, fill, stored
from tests.workspaces import copy_workspace, dvc, edit, make_workspace, ran

pytestmark = pytest.mark.usefixtures("prefect_server")


class FirstRun(NamedTuple):
    root: Path
    name: str
    tasks: dict[str, str]
    artifact: str
    progress: dict[str, str]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, prefect_server: None) -> FirstRun:
    """A workspace after its first flow run, the states of the run's tasks, and its artifact."""
    root = make_workspace(tmp_path_factory.mktemp("flow") / "workspace", tiny_llama)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESMITH_ROOT", str(root))
        patch.chdir(root)
        _run()
        return FirstRun(root, _latest().name, _task_runs(), _artifact(), _progress())


@pytest.fixture(scope="module")
def built(first_run: FirstRun) -> Path:
    """The workspace of ``first_run``. No test changes what is built in it."""
    return first_run.root


@pytest.fixture
def copy(built: Path, tmp_path: Path, inside: Callable[[Path], None]) -> Path:
    """A copy of the built workspace, for one test, which runs inside it."""
    root = copy_workspace(built, tmp_path / "workspace")
    inside(root)
    return root


def _run(**parameters: Any) -> Any:
    from flows.retrain import retrain

    return retrain(**parameters, return_state=True)


def _latest() -> Any:
    """The flow run that started last."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def _task_runs() -> dict[str, str]:
    """Name → state's name of the latest flow run's tasks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    only = FlowRunFilter(id=FlowRunFilterId(any_=[_latest().id]))
    with get_client(sync_client=True) as client:
        return {run.name: run.state_name for run in client.read_task_runs(flow_run_filter=only)}


def _progress() -> dict[str, str]:
    """Key → description of the progress artifacts of the latest flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters

    only = filters.ArtifactFilter(flow_run_id=filters.ArtifactFilterFlowRunId(any_=[_latest().id]))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=only)
    return {one.key: one.description for one in artifacts if one.type == "progress"}


def _artifact() -> str:
    from prefect.artifacts import Artifact

    artifact = Artifact.get("comparison")
    assert artifact is not None
    return str(artifact.data)


def test_the_flow_builds_what_dvc_repro_builds(built: Path) -> None:
    assert ran(dvc(built, "repro").stdout) == []
    assert dvc(built, "status", "--json").stdout.strip() == "{}"


def test_one_task_a_stage_then_ledger_and_gate(first_run: FirstRun) -> None:
    listed = dvc(first_run.root, "stage", "list", "--name-only").stdout.split()
    assert set(first_run.tasks) == {*listed, "tracking", "register", "report", "record"}
    assert len(listed) == 20


def test_the_artifact_has_the_table_the_decision_and_the_runs(first_run: FirstRun) -> None:
    count = "- decisions on this test set: 1"
    parts = ("### Verdict", "- ", "**Gate:**", count, "](data:image/png;base64,", "| experiment", "| nearest")
    parts += (f"`{first_run.root}/reports/comparison/report.html`", "/#/experiments/", "**Built:**", "`train@lora`")
    where = [first_run.artifact.index(part) for part in parts]
    assert where == sorted(where), "the verdict comes first, the stages last"


def test_the_run_is_named_after_what_it_does_and_trainings_show_their_steps(first_run: FirstRun) -> None:
    assert re.fullmatch(r"retrain \d{4}-\d\d-\d\d: all", first_run.name)
    done = re.compile(r"(\w+): (\d+) of \2 (\w+)")
    shown = {key: done.match(text) for key, text in first_run.progress.items()}
    trained, predicted = shown["progress-train-lora"], shown["progress-predict-full"]
    assert trained and trained[1] == "training" and (trained[2], trained[3]) == ("4", "steps")
    assert predicted and predicted[1] == "generating" and (predicted[2], predicted[3]) == ("8", "rows")


def test_the_report_shows_the_verdict(built: Path) -> None:
    verdict = gate_lines(Paths(built))
    assert re.match(r"gate: (full|lora) (accepted|refused)", verdict[0]) and len(verdict) >= 4
    page = html.unescape((built / "reports/comparison/report.html").read_text())
    assert all(reason.strip() in page for reason in verdict[1:])


def test_mlflow_has_a_run_an_experiment(built: Path) -> None:
    client = MlflowClient(f"sqlite:///{built}/mlflow.db")
    every = client.search_runs([client.get_experiment_by_name("tunesmith").experiment_id])
    runs = [run for run in every if "tunesmith.flow_run_id" not in run.data.tags]
    assert sorted(run.info.run_name for run in runs) == ["base", "full", "lora"]
    flow = next(run for run in every if run not in runs)
    assert flow.data.tags["tunesmith.gate"] in ("accepted", "refused", "undecided")
    assert {"rouge1/base", "rouge1/full", "rouge1/lora", "rouge1"} <= flow.data.metrics.keys()
    tuned = [set(run.data.metrics) for run in runs if run.info.run_name != "base"]
    assert tuned[0] == tuned[1]
    named = {"rouge1", "rougeL", "bleu", "validation_loss", "trained_share", "train_seconds"}
    assert named | {"test/rougeLsum_recall", "system/evaluation_seconds"} <= tuned[0]
    for run in runs:
        if run.info.run_name != "base":
            assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 4
            names = {i.dataset.name for i in run.inputs.dataset_inputs}
            assert names == {
                "data/mixtures/demo/train.parquet",
                "data/mixtures/demo/validation.parquet",
                "data/evaluation",
            }


def test_a_second_run_trains_nothing(built: Path, inside: Callable[[Path], None]) -> None:
    inside(built)
    assert _run().is_completed()
    assert set(_task_runs()) == {"tracking", "register", "report", "record"}


def test_a_failing_experiment_stops_neither_the_others_nor_the_ledger(copy: Path) -> None:
    edit(copy, "experiments", lambda p: p["experiments"]["lora"].update(lora={"targets": ["nothing"]}))
    edit(copy, "experiments", lambda p: p["experiments"]["full"].update(seed=1))
    state = _run()
    assert state.is_failed()
    assert "train@lora: error: params/experiments.yaml: lora.targets: 'nothing' must be a layer of" in state.message
    assert "not run, since a stage before them failed: predict@lora, score@lora, compare" in state.message
    assert "Traceback" not in state.message
    runs = _task_runs()
    assert runs["train@lora"] == "Failed" and runs["score@full"] == "Completed"
    assert "register" not in runs
    manifest = json.loads((copy / "models/full/manifest.json").read_text())
    assert manifest["params"]["seed"] == 1


def test_bad_parameters_stop_it_before_anything_runs(built: Path, inside: Callable[[Path], None]) -> None:
    inside(built)
    edit(built, "training", lambda p: p["defaults"].update(max_lenght=5))
    try:
        state = _run()
        assert state.is_failed() and "max_lenght: unknown key" in state.message
    finally:
        edit(built, "training", lambda p: p["defaults"].pop("max_lenght"))
    assert _task_runs() == {}


def test_only_some_experiments(copy: Path) -> None:
    """Both trained experiments are stale; only lora was requested."""
    for name in ("full", "lora"):
        edit(copy, "experiments", lambda p, name=name: p["experiments"][name].update(seed=1))
    assert _run(experiments=["lora"], register_model=False).is_completed()
    assert {"train@lora", "predict@lora", "score@lora"} <= set(_task_runs())
    assert not {"train@full", "predict@full", "score@full", "register"} & set(_task_runs())


def test_a_split_that_would_be_made_anew_stops_it_before_anything_runs(
    built: Path, inside: Callable[[Path], None]
) -> None:
    inside(built)
    edit(built, "sources", lambda p: p["sources"]["demo"]["split"].update(seed=7))
    try:
        state = _run()
        assert (
            state.is_failed() and "demo: its rows would be split anew: split.seed was 0, now it is 7" in state.message
        )
        assert "`new_split: [demo]` of the flow" in state.message
    finally:
        edit(built, "sources", lambda p: p["sources"]["demo"]["split"].pop("seed"))
    assert _task_runs() == {}


def test_a_table_that_grows_reaches_training_and_a_vanished_one_stops_the_run(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", "sqlite:///shop.db")
    (copy / "tasks/template/library/own/tickets.yaml").write_text(SET)
    fetch_from(copy, **QUERY)
    edit(copy, "mixtures", lambda p: p["mixtures"].update(tickets={"sources": {"tickets": {}}}))
    edit(copy, "experiments", lambda p: p["experiments"]["full"].update(mixture="tickets"))
    fill(copy, [(number, *ROWS[number]) for number in range(40)])
    refresh(copy, ["tickets"])
    fill(copy, [(number, *ROWS[number]) for number in range(80)])
    state = _run(experiments=["full"], register_model=False, refresh=True)
    assert state.is_completed(), state.message
    assert {_task_runs()[name] for name in ("refresh@tickets", "replace@tickets", "train@full")} == {"Completed"}
    assert len(read_rows(copy / "data/mixtures/tickets/train.parquet")) > 40, "more than the first version had"
    before = stored(copy)
    drop(copy)
    state = _run(experiments=["full"], register_model=False, refresh=True)
    assert state.is_failed() and "no such table: tickets" in state.message
    assert "no source was replaced; correct these sources" in state.message and "Traceback" not in state.message
    assert _task_runs() == {"refresh@tickets": "Failed"} and stored(copy) == before
