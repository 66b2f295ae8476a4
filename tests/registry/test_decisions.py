"""The record of the gate's decisions: appended to, whole after a kill, without repetitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.core.paths import Paths
from tasks.registry.decisions import decision_on, decisions, record


def decided(key: str, verdict: str, time: str = "2026-01-01T00:00:00+00:00") -> dict[str, Any]:
    return {"key": key, "verdict": verdict, "time": time, "reasons": ["rouge1_f: …"], "model_name": "tunesmith"}


def test_the_latest_decision_on_a_key_is_given(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert decision_on(paths, "a") is None
    for key, verdict in (("a", "undecided"), ("b", "accepted"), ("a", "refused")):
        record(paths, decided(key, verdict))
    latest = decision_on(paths, "a")
    assert latest is not None and latest["verdict"] == "refused" and latest["reasons"] == ["rouge1_f: …"]
    assert [entry["verdict"] for entry in decisions(paths)] == ["undecided", "accepted", "refused"]


def test_the_same_decision_is_stored_once(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    record(paths, decided("a", "refused"))
    record(paths, decided("a", "refused", "2026-01-08T00:00:00+00:00"))
    assert [entry["time"] for entry in decisions(paths)] == ["2026-01-01T00:00:00+00:00"]


def test_half_a_line_of_a_killed_writer_spoils_no_other(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    record(paths, decided("a", "refused"))
    path = paths.ledger
    path.write_text(path.read_text() + path.read_text()[:40])
    record(paths, decided("b", "accepted"))
    assert [entry["key"] for entry in decisions(paths)] == ["a", "b"]
