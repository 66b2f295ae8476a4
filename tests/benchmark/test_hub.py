"""Rows from the hub: here a folder of the same shape, since tests have no network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.benchmark.harness import hub
from tasks.benchmark.harness.suites import load_suite
from tasks.benchmark.harness.task_rows import NoDataError, find
from tasks.core.errors import TunesmithError, described
from tests.benchmark.benchmark_rows import SETTINGS, boolq, write_jsonl

BOOLQ = load_suite("superglue").tasks["boolq"]


def test_rows_and_their_revision_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "set/validation.jsonl", boolq(3))
    write_jsonl(tmp_path / "set/train.jsonl", boolq(2))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda api, path, revision, timeout: SimpleNamespace(sha="newest")
    )
    config = {"dataset_path": str(tmp_path / "set"), "dataset_name": None}
    result = find(BOOLQ, config, 1, tmp_path / "nothing", SETTINGS)
    assert [row["label"] for row in result.evaluated] == [0, 1, 1] and len(result.examples) == 2
    assert result.source["revision"] == "newest"
    with pytest.raises(TunesmithError, match="it must have the split 'test'; it has"):
        hub.load(str(tmp_path / "set"), None, ["test"], None)


def test_a_hub_out_of_reach_is_no_data(tmp_path: Path) -> None:
    config = {"dataset_path": "aps/super_glue", "dataset_name": "boolq"}
    with pytest.raises(NoDataError, match="hub data set aps/super_glue: OfflineModeIsEnabled"):
        find(BOOLQ, config, 0, tmp_path, SETTINGS)


def test_a_reason_is_one_line_of_a_length_to_read() -> None:
    assert described(OSError("no\n  such set")) == "OSError: no such set"
    assert described(OSError("x" * 400)) == f"OSError: {'x' * 300}…"
