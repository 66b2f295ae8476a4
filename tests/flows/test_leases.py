"""Which stages of a flow hold a lease of the processor or of a GPU while they run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from flows import retrain
from flows.workspace import slots
from tasks.core.params import write_yaml


def held(root: Path) -> int:
    """The number of leases that are taken now."""
    taken = 0
    for slot in slots(root):
        lock = FileLock(root / ".tunesmith/leases" / slot)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken += 1
        else:
            lock.release()
    return taken


@pytest.mark.parametrize(
    ("address", "leases"),
    [
        ("train@lora", 1),
        ("predict@lora", 1),
        ("benchmark@lora", 1),
        ("score@lora", 0),
        ("baselines", 0),
        ("compare", 0),
        ("mix@demo", 0),
    ],
)
def test_a_stage_that_computes_with_a_model_holds_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, leases: int
) -> None:
    (tmp_path / "params").mkdir()
    write_yaml(tmp_path / "params/training.yaml", {"defaults": {"threads": 1}})
    (tmp_path / ".tunesmith/leases").mkdir(parents=True)
    counts = []

    def count_leases(command: list[str], root: Path, *_: object) -> int:
        assert command[-1] == address
        counts.append(held(root))
        return 0

    monkeypatch.setattr(retrain, "stream", count_leases)
    monkeypatch.setattr(retrain, "get_run_logger", lambda: logging.getLogger("test"))
    retrain.run_stage.fn(address, tmp_path)
    assert counts == [leases]
    assert held(tmp_path) == 0
