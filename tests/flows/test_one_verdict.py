"""A verdict reads the same in the terminal, on the page, in MLflow and in Prefect."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from flows.cli.compare import print_comparison
from flows.commands import build
from flows.summary import markdown_summary
from tasks.metrics.params import VerdictParams
from tasks.report.run import run
from tasks.tracking.client import open_store
from tasks.tracking.flow_run import record_flow
from tests.compare.compared import Workspace
from tests.report.reported import compare_all

Capture = pytest.CaptureFixture[str]

SAME = "lora and base are the same in ROUGE-1, within the margin of 3.0: 0.0 [0.0, 0.0]."
SHORT = "8 test rows are not enough to tell lora from base in ROUGE-1: "


@pytest.mark.parametrize(("min_groups", "sentence"), [(2, SAME), (30, SHORT)])
def test_two_identical_models_get_one_verdict_everywhere(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, min_groups: int, sentence: str
) -> None:
    scores = [0.1 * number for number in range(1, 9)]
    workspace = Workspace(tmp_path)
    workspace.experiment("base", scores, method="none")
    workspace.experiment("lora", scores, validation_loss_per_byte=0.5)
    paths = workspace.paths
    compare_all(paths, VerdictParams(min_groups=min_groups))
    paths.params.mkdir()
    (paths.params / "experiments.yaml").write_text("experiments:\n  base: {method: none}\n  lora: {method: lora}\n")
    page = unescape(run(paths).read_text())
    tracker = open_store(paths.root)
    run_id = record_flow(paths, "1", "retrain", None, tracker)
    assert run_id is not None
    note = tracker.client.get_run(run_id).data.tags["mlflow.note.content"]
    summary = markdown_summary(paths.root, [], [], registered=False).replace("\\", "")
    monkeypatch.setattr(build, "stale_note", lambda *_: None)  # asks DVC, which this workspace does not have
    print_comparison(paths.root)
    terminal = capsys.readouterr().out
    for shown in (page, note, summary, " ".join(terminal.split())):
        assert sentence in shown
    word = "same" if sentence == SAME else "not enough rows"
    assert (
        f"| {word}" in note
        and f"| {word}" in summary
        and f">{word}<" in page
        and f"│ {word}" in " ".join(terminal.split())
    )
