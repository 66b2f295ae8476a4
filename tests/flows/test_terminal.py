from __future__ import annotations

import logging

import pytest
from rich.table import Table

from flows.terminal import StageNames, show, write


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("task", "score")
    table.columns[1].no_wrap = True
    table.add_row("boolq", "0.450 [0.36, 0.55] " * 20)
    show(table)
    printed = capsys.readouterr().out
    assert ("0.450 [0.36, 0.55] " * 20).strip() in printed and "…" not in printed


def test_texts_are_written_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    write("[bold]" + "long " * 100)
    assert capsys.readouterr().out.rstrip() == ("[bold]" + "long " * 100).rstrip()


def test_lines_of_stages_name_them() -> None:
    def printed(text: str, **more: str) -> str:
        return StageNames("%(message)s").format(logging.makeLogRecord({"msg": text, "levelname": "INFO", **more}))

    assert printed("5 of 50", task_run_name="train@lora") == "train@lora: 5 of 50"
    assert printed("train@lora: error: no rows", task_run_name="train@lora") == "train@lora: error: no rows"
    assert printed("15 stages to run") == "15 stages to run"
