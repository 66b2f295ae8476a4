"""MLflow's own pages on a store that ``sync`` filled: the numbers that a person looks for are on the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Page

from flows.ui import free_port
from tasks.core.files import read_json, write_json
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.people import promote_by_hand
from tasks.registry.result import Person
from tasks.registry.verdict import result_on_present
from tasks.tracking.client import VARIABLE, Tracker, open_store
from tasks.tracking.flow_run import record_flow
from tasks.tracking.logged_model import model_of
from tasks.tracking.run_files import OUTPUTS
from tasks.tracking.sync import sync
from tasks.tracking.views import FLOWS, run_page, runs_page
from tests.browser import browser
from tests.workspaces import copy_workspace

pytestmark = pytest.mark.slow

SCORES = {"base": 0.2134, "lora": 0.4021}
_PATIENCE_S = 120


@pytest.fixture(scope="module")
def paths(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A workspace in MLflow, with a champion and two flows; its tiny models score as real ones do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        paths = Paths(copy_workspace(built_workspace, tmp_path_factory.mktemp("pages") / "workspace"))
        for name, value in SCORES.items():
            report = paths.report(name) / "metrics.json"
            write_json(report, _scored(read_json(report), value))
        comparison = read_json(paths.comparison / "comparison.json")
        for entry in comparison["systems"]:
            if entry["name"] in SCORES:
                _scored(entry, SCORES[entry["name"]])
        lora = next(entry for entry in comparison["systems"] if entry["name"] == "lora")
        lora["differences"]["rouge1_f"].update(value=0.1887, low=0.16, high=0.21, verdict="better", adjusted=True)
        write_json(paths.comparison / "comparison.json", comparison)
        registration = load(RegistrationParams, paths.params / "registration.yaml", "registration")
        promote_by_hand("lora", Person("Ada", "a test"), registration, paths)
        for flow in ("retrain 2026-11-30: lora", "retrain 2026-12-07: lora"):
            record_flow(paths, flow, flow, result_on_present(paths))
    return paths


def _scored(report: dict[str, Any], value: float) -> dict[str, Any]:
    report["metrics"]["rouge1_f"].update(value=value, low=value - 0.02, high=value + 0.02)
    return report


@pytest.fixture(scope="module")
def tracker(paths: Paths) -> Tracker:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        return open_store(paths.root)


@pytest.fixture(scope="module")
def address(tracker: Tracker, paths: Paths) -> Iterator[str]:
    port = str(free_port(5400))
    command = ["-m", "mlflow", "server", "--backend-store-uri", tracker.uri, "--port", port, "--workers", "1"]
    log = (paths.root / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, *command],
        cwd=paths.root,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _wait(server, f"http://127.0.0.1:{port}", paths.root / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
        log.close()


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with browser() as browsed:
        browsed.page.set_viewport_size({"width": 1700, "height": 1000})
        browsed.page.goto(address)
        close = browsed.page.get_by_label("Close").first  # of the assistant, which covers a third of the page
        close.click(timeout=60_000)
        yield browsed.page


def show(page: Page, url: str, picture: Path, *texts: str) -> None:
    """Open ``url``, wait until all ``texts`` are on the screen, and save the picture."""
    page.goto("about:blank")
    page.goto(url)
    for text in texts:
        page.get_by_text(text).first.wait_for(timeout=60_000)
    page.screenshot(path=picture)


def scroll_to(page: Page, text: str) -> None:
    """Scroll the tables of a page until ``text`` is drawn; MLflow draws only the rows that are in view."""
    for top in range(0, 20_000, 150):
        page.evaluate(f"document.querySelectorAll('.ReactVirtualized__Grid').forEach(grid => grid.scrollTop = {top})")
        page.wait_for_timeout(50)
        if page.get_by_text(text, exact=True).count():
            return
    raise AssertionError(f"no row {text}")


def height(page: Page, name: str) -> float:
    box = page.get_by_role("link", name=name, exact=True).first.bounding_box()
    assert box is not None
    return box["y"]


def test_the_runs_table_shows_the_best_model_first_and_its_verdict(
    page: Page, address: str, tracker: Tracker, tmp_path: Path
) -> None:
    columns = ("method", "rouge1_low", "rouge1_high", "validation_loss", "trained_share", "train_seconds")
    numbers = ("0.4021", "0.3821", "0.4221", "0.2134")
    url = f"{address}{runs_page(tracker.experiment_id)}"
    show(page, url, tmp_path / "runs.png", *numbers, *columns, "better than base", "2 matching runs")
    assert height(page, "lora") < height(page, "base")


def test_the_chart_view_begins_with_the_main_scores(page: Page, address: str, tracker: Tracker, tmp_path: Path) -> None:
    url = f"{address}{runs_page(tracker.experiment_id)}&compareRunsMode=CHART"
    show(page, url, tmp_path / "charts.png", "Model metrics", "rouge1", "0.40", "0.21")
    sections = page.get_by_text("Model metrics").first.bounding_box()
    assert sections is not None and sections["y"] < 400


def test_outputs_of_the_test_rows_stand_side_by_side(
    page: Page, address: str, paths: Paths, tracker: Tracker, tmp_path: Path
) -> None:
    url = f"{address}{runs_page(tracker.experiment_id)}&compareRunsMode=ARTIFACT"
    run_id = sync(paths, tracker)[0].run_id
    table = json.loads(Path(tracker.client.download_artifacts(run_id, OUTPUTS)).read_text())
    rows = [row[0] for row in table["data"][:2]]
    show(page, url, tmp_path / "outputs.png", OUTPUTS, "Group by:", "Compare:", *rows)


def test_the_flows_table_has_a_row_per_flow(page: Page, address: str, tracker: Tracker, tmp_path: Path) -> None:
    url = f"{address}{runs_page(tracker.experiment_id, FLOWS)}"
    show(page, url, tmp_path / "flows.png", "retrain 2026-11-30", "retrain 2026-12-07", "0.4021", "lora (version 1)")


def test_runs_are_compared_number_by_number(
    page: Page, address: str, paths: Paths, tracker: Tracker, tmp_path: Path
) -> None:
    base, lora = (result.run_id for result in sync(paths, tracker))
    runs, experiments = quote(f'["{lora}","{base}"]'), quote(f'["{tracker.experiment_id}"]')
    url = f"{address}/#/compare-runs?runs={runs}&experiments={experiments}"
    show(page, url, tmp_path / "compare.png", "Comparing 2 Runs", "learning_rate")
    page.locator(".ReactVirtualized__Grid").first.wait_for(timeout=60_000)
    scroll_to(page, "rouge1_low")
    for text in ("0.382", "0.193"):
        page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)


def test_run_model_and_version_show_verdict_scores_and_decision(
    page: Page, address: str, paths: Paths, tracker: Tracker, tmp_path: Path
) -> None:
    lora = sync(paths, tracker)[1].run_id
    run = f"{address}{run_page(tracker.experiment_id, lora)}"
    show(
        page,
        run,
        tmp_path / "run.png",
        "lora: better than base.",
        "ROUGE-1 40.2 [38.2, 42.2]",
        "Gate: promoted by hand",
        "v1",
    )
    model = model_of(tracker.client, tracker.client.get_run(lora))
    assert model is not None
    models = f"{address}/#/experiments/{tracker.experiment_id}/models/{model.model_id}"
    show(page, models, tmp_path / "model.png", "0.4021", "0.3821", "validation (#", "test (#", "Model versions", "v1")
    version = f"{address}/#/models/tunesmith/versions/1"
    show(page, version, tmp_path / "version.png", "Version 1", "champion", "by Ada: a test", "Source Run")
