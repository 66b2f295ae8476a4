"""Leases of processors and GPUs, and which stages need one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.leases import Lease, needs_lease, slots
from tasks.core.params import write_yaml


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace on a machine with five processors and no GPU, one thread per training."""
    (tmp_path / "params").mkdir()
    write_yaml(tmp_path / "params/training.yaml", {"defaults": {"threads": 1}})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3, 4})
    return tmp_path


def test_processor_shares_leave_room_for_the_threads_of_each(root: Path) -> None:
    assert slots(root) == ["cpu0", "cpu1", "cpu2", "cpu3", "cpu4"]
    write_yaml(root / "params/training.yaml", {"defaults": {"threads": 2}})
    assert slots(root) == ["cpu0", "cpu1"]
    write_yaml(root / "params/training.yaml", {"defaults": {"threads": 64}})
    assert slots(root) == ["cpu0"]


def test_as_many_leases_as_slots_and_a_released_one_is_free_again(root: Path) -> None:
    write_yaml(root / "params/training.yaml", {"defaults": {"threads": 2}})
    first, second, third = (Lease(root) for _ in range(3))
    assert first.take() and second.take() and first.variables() == {}
    assert not third.take()
    first.release()
    assert third.take()
    first.release()  # it holds nothing any more
    assert not Lease(root).take()


def test_gpus_are_leased_one_by_one_and_bound(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    first, second = Lease(root), Lease(root)
    assert first.take() and second.take()
    assert [first.variables()["CUDA_VISIBLE_DEVICES"], second.variables()["CUDA_VISIBLE_DEVICES"]] == ["3", "5"]


def test_a_training_in_several_processes_leases_all_its_gpus_or_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    two, four, one = Lease(root, 2), Lease(root, 4), Lease(root)  # four are more than the machine has
    assert two.take() and two.variables()["CUDA_VISIBLE_DEVICES"] == "3,5"
    assert not four.take()
    assert one.take() and one.variables()["CUDA_VISIBLE_DEVICES"] == "6", "the one that waits holds no free GPU"
    two.release()
    assert not four.take()
    one.release()
    assert four.take() and four.variables()["CUDA_VISIBLE_DEVICES"] == "3,5,6"


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ("train@lora", True),
        ("predict@lora", True),
        ("benchmark@lora", True),
        ("score@lora", False),
        ("baselines", False),
        ("compare", False),
        ("mix@demo", False),
    ],
)
def test_a_stage_that_computes_with_a_model_needs_a_lease(address: str, needed: bool) -> None:
    assert needs_lease(address) == needed
