"""What ``plan`` shows of a mixture."""

from __future__ import annotations

from rich.console import Console

from flows.commands.mixtures import mixture
from tasks.mix.params import HoldOut

REPORT = {
    "rows": {"requested": 90, "train": 60, "validation": 7},
    "components": {
        "one/say": {"requested": 45, "available": 50, "rows": 50, "short": False},
        "two/say": {"requested": 45, "available": 10, "rows": 10, "short": True},
        "two/t2": {"requested": 0, "available": 0, "rows": 0, "short": True},
    },
    "sources": {
        "one": {"left_out": {"train": {"two/test: exact_input": 1}, "validation": {}}, "held_out": {"train": 0}},
        "two": {"left_out": {"train": {}, "validation": {}}, "held_out": {"train": 5, "validation": 1}},
    },
}


def test_requested_realised_and_missing_rows_are_shown() -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(mixture("many", REPORT, HoldOut(tasks=["sing"], templates=["two/w2"])))
    lines = [" ".join(line.replace("│", " ").split()) for line in printed.get().splitlines()]
    assert lines[0] == "mixture many: 60 training rows of 90 requested, 7 of validation"
    assert [line for line in lines if "/say" in line or "/t2" in line] == [
        "one/say 45 50 50",
        "two/say 45 10 10 short",
        "two/t2 0 0 0 none is left",
    ]
    assert [line for line in lines if "out" in line] == [
        "one: 1 train row left out: 1 as in two/test: exact_input",
        "two: 5 train rows held out",
        "two: 1 validation row held out",
        "held-out tasks, for evaluation alone: sing",
        "held-out templates, for evaluation alone: two/w2",
    ]
