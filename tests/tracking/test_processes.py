"""Which process a note is about, also after the clock was set or the machine was started again."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from tasks.tracking import processes
from tasks.tracking.processes import is_gone, this_process


def test_this_process_is_not_gone() -> None:
    note = this_process()
    assert note["uptime"] > 0 and not is_gone(note)


def test_a_clock_that_is_set_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    note = this_process()
    started, boot = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: started(self) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    assert not is_gone(note)


@pytest.mark.parametrize(
    "other", [{"uptime": 1.0}, {"boot": "an earlier boot"}, {"pid": 2**22 + 1}], ids=["pid reused", "boot", "no pid"]
)
def test_another_process_is_not_taken_for_it(other: dict[str, Any]) -> None:
    assert is_gone(this_process() | other)


def test_a_note_of_an_earlier_release_is_read() -> None:
    note = {name: value for name, value in this_process().items() if name in ("pid", "started", "host")}
    assert not is_gone(note) and is_gone(note | {"started": note["started"] - 100})


def test_a_machine_without_a_boot_id_compares_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_boot", lambda: None)
    note = this_process()
    assert note["boot"] is None and not is_gone(note) and is_gone(note | {"uptime": note["uptime"] + 2})
