"""Flow runs are named after what they do."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flows.run_names import run_name


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "retrain 2026-12-07: all"),
        ({"experiments": None, "register_model": True, "new_split": None, "refresh": False}, "retrain 2026-12-07: all"),
        ({"experiments": ["lora", "full"]}, "retrain 2026-12-07: lora, full"),
        ({"experiments": ["lora"], "register_model": False}, "retrain 2026-12-07: lora (no gate)"),
        (
            {"refresh": True, "new_split": ["demo"]},
            "retrain 2026-12-07: all (refreshed sources, new split of demo)",
        ),
        ({"experiments": list("abcdefg")}, "retrain 2026-12-07: a, b, c, d, e and 2 more"),
    ],
)
def test_a_run_is_named_after_its_day_and_what_it_does(parameters: dict[str, Any], name: str) -> None:
    assert run_name(parameters, date(2026, 12, 7)) == name


def test_the_day_is_today() -> None:
    before = date.today()
    name = run_name({})
    assert name in {f"retrain {day}: all" for day in (before, date.today())}
