"""The progress that a stage reports to the program that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core import progress as room
from tasks.core.progress import PROGRESS_VARIABLE, Report, progress, read_report


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "train@lora.json"))
    return tmp_path / "train@lora.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One number, the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    return now


def test_the_first_and_the_last_unit_are_reported_and_between_them_one_per_two_seconds(
    file: Path, clock: list[float]
) -> None:
    reported = []
    with progress("training", 8, "steps") as meter:
        assert read_report(file) is None
        for _ in range(8):
            clock[0] += 0.9
            meter.advance(1, "loss 2.310")
            reported.append(read_report(file).done)  # type: ignore[union-attr]
    assert reported == [1, 1, 1, 4, 4, 4, 7, 8]


def test_a_report_as_text_and_percent(file: Path, clock: list[float]) -> None:
    with progress("generating", 200, "rows") as meter:
        clock[0] += 10
        meter.advance(50)
        report = read_report(file)
    assert report == Report("generating", 50, 200, "rows", 30.0, "")
    assert report.percent == 25 and report.text == "generating: 50 of 200 rows, 30 s left"
    assert Report("training", 4, 4, "steps", 0.0, "loss 1").text == "training: 4 of 4 steps, loss 1"


def test_of_nested_meters_only_the_outermost_reports(file: Path) -> None:
    with progress("benchmark lora", 2, "tasks") as outer:
        with progress("generating", 9, "rows") as inner:
            inner.advance(9)
        assert read_report(file) is None
        outer.advance()
    assert read_report(file).description == "benchmark lora"  # type: ignore[union-attr]
    with progress("generating", 1, "rows") as second:
        second.advance()
    assert read_report(file).description == "generating"  # type: ignore[union-attr]


def test_a_file_that_cannot_be_written_does_not_end_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "missing/folder.json"))
    with progress("training", 2, "steps") as meter:
        meter.advance(2)
    assert meter.done == 2 and list(tmp_path.iterdir()) == []


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with progress("training", 2, "steps") as meter:
        meter.advance(2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"done": 1}'])
def test_a_file_that_is_half_written_is_no_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert read_report(tmp_path / "report.json") is None
