"""The launcher of several training processes: its parameters, shares and settings, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState, DistributedType, PartialState

from tasks.core.errors import TunesmithError
from tasks.core.params import merge, read_yaml
from tasks.model import distributed
from tasks.model.base_models import BaseModelParams, find, load_model
from tasks.train import launcher, sharding
from tasks.tuning.params import LauncherParams, parse_trained
from tasks.tuning.sampling import RankSampler, TokenBudgetSampler
from tests.train.every_method import METHODS
from tests.train.launched import launched
from tests.train.stage_process import PROJECT
from tests.train.training_workspace import PARAMS, train, workspace


@pytest.mark.parametrize(("batches", "together"), [(6, 2), (5, 2), (1, 4), (9, 4)])
def test_shares_are_a_partition_of_the_batches(monkeypatch: pytest.MonkeyPatch, batches: int, together: int) -> None:
    sampler = TokenBudgetSampler([16] * batches, 16, seed=1)
    sampler.set_epoch(3)
    monkeypatch.setattr(distributed, "world_size", lambda: together)
    shares = []
    for rank in range(together):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(list(RankSampler(sampler)))
        assert len(shares[-1]) == len(RankSampler(sampler))
    # Process r takes batch r of each round; empty batches are at the end.
    taken = [batch for together_ in zip(*shares, strict=True) for batch in together_]
    assert taken == list(sampler) + [[]] * (len(taken) - batches)
    assert len(taken) - batches < together


def test_parameters_that_are_not_sharded_as_requested_are_refused(tiny_llama: Path) -> None:
    model = load_model(find(BaseModelParams(name=str(tiny_llama)), tiny_llama), None)
    assert not sharding.is_sharded(model)
    sharding.check_sharding(model, wanted=False)
    with pytest.raises(
        TunesmithError, match=r"launcher\.strategy: with fsdp every weight must be sharded .* it is not"
    ):
        sharding.check_sharding(model, wanted=True)


@pytest.mark.parametrize("accelerate_shards", [True, False])
def test_the_state_of_accelerate_comes_back(monkeypatch: pytest.MonkeyPatch, accelerate_shards: bool) -> None:
    """accelerate itself replaces the type by FSDP; if it does not, or fails, the CPUs are CPUs again."""
    states = {"distributed_type": DistributedType.MULTI_CPU}, {"distributed_type": DistributedType.MULTI_CPU}
    monkeypatch.setattr(PartialState, "_shared_state", states[0])
    monkeypatch.setattr(AcceleratorState, "_shared_state", states[1])

    def types() -> list[DistributedType]:
        return [state["distributed_type"] for state in states]

    with sharding.fsdp_on_cpu(False):
        assert types() == [DistributedType.MULTI_CPU] * 2
    with sharding.fsdp_on_cpu(True):
        assert types()[0] == DistributedType.MULTI_GPU
        states[1].update(states[0])
        if accelerate_shards:
            for state in states:
                state["distributed_type"] = DistributedType.FSDP
    assert types() == [DistributedType.FSDP if accelerate_shards else DistributedType.MULTI_CPU] * 2
    states[0]["distributed_type"] = DistributedType.MULTI_CPU
    with pytest.raises(ValueError, match="no plugin"), sharding.fsdp_on_cpu(True):
        raise ValueError("no plugin")
    assert types()[0] == DistributedType.MULTI_CPU


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"launcher": {"processes": 3, "nodes": 2}}, "launcher: processes must be a multiple of nodes, .* 3 .* of 2"),
        ({"launcher": {"processes": 2, "strategy": "zero"}}, "launcher.strategy: input should be 'ddp' or 'fsdp'"),
        ({"launcher": {"workers": 2}}, "launcher.workers: unknown key; known here: nodes, processes, strategy"),
        (
            METHODS["qlora"] | {"launcher": {"processes": 2, "strategy": "fsdp"}},
            (
                "launcher.strategy: fsdp must have one of the methods full, lora, selective; this is qlora. "
                "Use strategy ddp"
            ),
        ),
    ],
)
def test_wrong_parameters_are_refused(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        parse_trained(merge(PARAMS, patch), "train.yaml")


def test_an_encoder_decoder_is_not_sharded(tmp_path: Path, tiny_t5: Path) -> None:
    paths = workspace(tmp_path / "workspace", tiny_t5)
    with pytest.raises(
        TunesmithError, match=r"fsdp shards decoders; bases/tiny is an encoder-decoder; use strategy ddp"
    ):
        train(paths, "full", launched("fsdp"))


def test_one_process_is_no_launcher_at_all() -> None:
    given = parse_trained(merge(PARAMS, {"launcher": {"processes": 1}}), "train.yaml")
    assert given == parse_trained(PARAMS, "train.yaml")


def test_more_processes_than_processors_are_refused(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama)
    with pytest.raises(TunesmithError, match=r"it would run 5000 and has \d+ CPUs; lower launcher.processes"):
        train(paths, "full", {"launcher": {"processes": 5000}})
    with pytest.raises(TunesmithError, match="TUNESMITH_MACHINE_RANK: a training on 2 nodes needs"):
        train(paths, "full", {"launcher": {"processes": 2, "nodes": 2}})
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TunesmithError, match=r"3 processes were launched, .* is 2"):
        train(paths, "full", {"launcher": {"processes": 2}})


def test_threads_are_shared_out() -> None:
    def threads(given: int, **block: int) -> int:
        return launcher.threads(parse_trained(PARAMS | {"threads": given, "launcher": block}, "train.yaml"))

    assert threads(8) == 8
    assert threads(8, processes=2) == 4
    assert threads(8, processes=4, nodes=2) == 4  # each node has its own processors
    assert threads(2, processes=8) == 1


def test_infra_holds_what_the_stage_launches_with() -> None:
    configs = {path.stem: read_yaml(path) for path in (PROJECT / "infra/accelerate").glob("*.yaml")}
    assert configs == {
        f"{where}_{strategy}": launcher.config(LauncherParams(processes=8 * nodes, strategy=strategy, nodes=nodes))
        for where, nodes in (("node", 1), ("nodes", 2))
        for strategy in ("ddp", "fsdp")
    }
