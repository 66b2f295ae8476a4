"""Several processes train one model: gloo connects them here, on one machine."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from accelerate.state import AcceleratorState, DistributedType, PartialState
from safetensors.torch import load_file

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import merge, read_yaml
from tasks.core.paths import Paths
from tasks.model import distributed
from tasks.model.base_models import BaseModelParams, find, load_model
from tasks.train import launcher, sharding
from tasks.tuning import methods
from tasks.tuning.params import LauncherParams, parse_trained
from tasks.tuning.sampling import RankSampler, TokenBudgetSampler
from tests.train.every_method import METHODS
from tests.train.training_workspace import LORA, PAIRS, PARAMS, add, rows, train, workspace

PROJECT = Path(__file__).parents[2]
LOOP = {"epochs": 3, "token_budget": 16, "learning_rate": 1e-2}
PLAIN_LORA = merge(LORA, {"lora": {"dropout": 0.0}})
TRAINED = rows(PAIRS[:5])
"""A batch each at this budget: no multiple of two processes, nor of two batches each, so that some are left over."""


def launched(strategy: str = "ddp", accumulation: int = 2) -> dict[str, Any]:
    loop = LOOP | {"accumulation": accumulation}
    return {"launcher": {"processes": 2, "strategy": strategy}, "threads": 2, "training": loop}


def curve(paths: Paths, name: str) -> list[dict[str, float]]:
    kept = ("step", "train_loss", "validation_loss", "learning_rate", "grad_norm")
    points = files.read_jsonl(paths.run(name, "train") / "history.jsonl")
    return [{key: point[key] for key in kept if key in point} for point in points]


def facts(paths: Paths, name: str) -> dict[str, Any]:
    facts_of_run: dict[str, Any] = files.read_json(paths.run(name, "train") / "run.json")
    return facts_of_run


def weights(paths: Paths, name: str) -> dict[str, Any]:
    (file,) = paths.model(name).glob("*.safetensors")
    return load_file(file)


def assert_two_equal_one(paths: Paths, one: str, two: str) -> None:
    """Two processes at accumulation 2 and one at 4: the same curve, gradients, weights and tokens, within rounding."""
    a, b = curve(paths, one), curve(paths, two)
    assert [point["step"] for point in a] == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6]  # five batches: two steps an epoch
    assert a[-1]["validation_loss"] < a[0]["validation_loss"] - 0.005  # many times the tolerance below
    assert len(a) == len(b)
    for point, other in zip(a, b, strict=True):
        assert other == pytest.approx(point, rel=1e-4), (point, other)
    expected, result = weights(paths, one), weights(paths, two)
    assert expected.keys() == result.keys()
    # Training moves a weight by hundredths; where a gradient is near zero, Adam lets rounding tell.
    assert max(float((value - result[name]).abs().max()) for name, value in expected.items()) < 1e-3
    assert facts(paths, one)["tokens"] == facts(paths, two)["tokens"] > 0
    assert sorted(p.name for p in paths.model(one).iterdir()) == sorted(p.name for p in paths.model(two).iterdir())
    assert list(paths.checkpoints.iterdir()) == []


def train_both(paths: Paths, method: dict[str, Any], strategy: str) -> None:
    train(paths, "one", merge(method, {"training": LOOP | {"accumulation": 4}}))
    train(paths, "two", merge(method, launched(strategy)))
    assert_two_equal_one(paths, "one", "two")


def test_two_processes_of_lora_equal_one(tmp_path: Path, tiny_llama: Path) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED)
    train_both(paths, PLAIN_LORA, "ddp")
    launch = facts(paths, "two")["launcher"]
    assert (launch["processes"], launch["strategy"], launch["sharded"]) == (2, "ddp", False)
    manifests = [files.read_json(paths.model(name) / "manifest.json") for name in ("one", "two")]
    assert "launcher" not in manifests[0]["params"]
    assert manifests[1]["params"]["launcher"] == {"processes": 2, "strategy": "ddp", "nodes": 1}


def test_two_processes_with_a_share_of_each_weight_equal_one(tmp_path: Path, tiny_llama: Path) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED)
    train_both(paths, {}, "fsdp")
    launch = facts(paths, "two")["launcher"]
    assert (launch["processes"], launch["strategy"], launch["sharded"]) == (2, "fsdp", True)
    total = files.read_json(paths.model("two") / "manifest.json")["total_parameters"]
    assert total / 2 <= launch["parameters_here"] < 0.55 * total
    config = files.read_json(paths.model("two") / "config.json")
    assert config == files.read_json(paths.model("one") / "config.json")


WITHOUT_DROPOUT = merge(METHODS, {"lora": {"lora": {"dropout": 0.0}}})  # it differs from process to process
OTHERS = [
    ("llama", "ddp", [name for name in METHODS if name != "lora"]),  # that is a test of its own
    ("t5", "ddp", [*METHODS]),
    ("llama", "fsdp", [name for name in methods.names() if methods.named(name).shardable and name != "full"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "strategy", "methods"), OTHERS)
def test_two_processes_of_every_method_equal_one(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, strategy: str, methods: list[str]
) -> None:
    paths = workspace(tmp_path / "workspace", request.getfixturevalue(f"tiny_{kind}"), TRAINED)
    for method in methods:
        train(paths, method, merge(WITHOUT_DROPOUT[method], {"training": LOOP | {"accumulation": 4}}))
        add(paths, f"{method}_2", merge(WITHOUT_DROPOUT[method], launched(strategy)))
    files.write_json(paths.root / "accelerate.json", launcher.config(LauncherParams(processes=2, strategy=strategy)))
    config = ("--config_file", "accelerate.json", "--main_process_port", "0")
    command = ("accelerate.commands.launch", *config, "--module", "tests.train.launched_in_turn")
    both = stage(paths, *(f"{method}_2" for method in methods), command=command)
    output = both.communicate(timeout=500)[0]
    assert both.returncode == 0, output
    for method in methods:
        assert_two_equal_one(paths, method, f"{method}_2")
        assert facts(paths, f"{method}_2")["launcher"]["sharded"] == (strategy == "fsdp")


def stage(
    paths: Paths, *names: str, folder: Path = PROJECT, command: tuple[str, ...] = ("tasks.train",), **variables: str
) -> Any:
    """The stage as DVC starts it, or by another command; modules are found in ``folder`` too."""
    path = os.pathsep.join(map(str, [PROJECT, folder]))
    return subprocess.Popen(
        [sys.executable, "-m", *command, *names],
        cwd=paths.root,
        env=os.environ | {"PYTHONPATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_nodes_and_a_launch_by_hand_equal_the_stage(tmp_path: Path, tiny_llama: Path) -> None:
    """Two launchers on one machine stand for two nodes; and ``accelerate launch`` with a config of ``infra/``."""
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED)
    train(paths, "full", launched("fsdp"))
    curves = {"full": curve(paths, "full")}

    add(paths, "nodes", merge(launched("fsdp"), {"threads": 1, "launcher": {"nodes": 2}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {launcher.ADDRESS_VARIABLE: "127.0.0.1", launcher.PORT_VARIABLE: str(free.getsockname()[1])}
    nodes = [stage(paths, "nodes", **where, **{launcher.RANK_VARIABLE: rank}) for rank in ("0", "1")]
    outputs = [node.communicate(timeout=250)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert "validation loss" in outputs[0] and "validation loss" not in outputs[1]
    curves["nodes"] = curve(paths, "nodes")

    add(paths, "hand", launched("fsdp"))
    config = ["--config_file", str(PROJECT / "infra/node_fsdp.yaml"), "--num_processes", "2"]
    command = ("accelerate.commands.launch", *config, "--main_process_port", "0", "--module", "tasks.train")
    hand = stage(paths, "hand", command=command)
    output = hand.communicate(timeout=250)[0]
    assert hand.returncode == 0, output
    curves["hand"] = curve(paths, "hand")

    assert curves["full"] == curves["nodes"] == curves["hand"]
    assert all(facts(paths, name)["launcher"]["sharded"] for name in curves)
    weights_of = [files.sha256(paths.model(name) / "model.safetensors") for name in curves]
    assert len(set(weights_of)) == 1


BREAKS = """
import os
if os.environ.get("RANK") == "1":
    import tasks.train.trainer
    def broken(*_):
        raise {error}
    tasks.train.trainer.CompletionTrainer.fit = broken
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("tasks.train.trainer.TunesmithError('the disk is gone')", "train@lora: error: the disk is gone"),
        ("RuntimeError('of a kernel')", "train@lora: error: process 1 of 2: RuntimeError: of a kernel"),
    ],
)
def test_the_error_of_one_process_is_the_stages(tmp_path: Path, tiny_llama: Path, error: str, message: str) -> None:
    """The other process waits for the one that fails; it ends too, and nothing is left."""
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED)
    add(paths, "lora", merge(PLAIN_LORA, launched()))
    (tmp_path / "sitecustomize.py").write_text(BREAKS.format(error=error))
    broken = stage(paths, "lora", folder=tmp_path)
    output = broken.communicate(timeout=300)[0]
    assert broken.returncode == 1, output
    assert [line for line in output.splitlines() if "error:" in line] == [message], output
    assert "ChildFailedError" not in output
    assert not paths.model("lora").exists() and not paths.run("lora", "train").exists()


def long_training(strategy: str) -> dict[str, Any]:
    method = {} if strategy == "fsdp" else LORA
    return merge(merge(launched(strategy), method), {"training": {"epochs": 40}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Callable[[str], Paths]:
    """A workspace where ``x`` was trained without a break, by strategy."""

    @functools.cache
    def trained(strategy: str) -> Paths:
        paths = workspace(tmp_path_factory.mktemp("whole") / strategy, tiny_llama, TRAINED)
        train(paths, "x", long_training(strategy))
        return paths

    return trained


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_ends_all_and_the_training_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_llama: Path, whole: Callable[[str], Paths], number: signal.Signals
) -> None:
    """SIGKILL of the stage alone: its processes see that it is gone."""
    strategy = "fsdp" if number == signal.SIGTERM else "ddp"
    paths = workspace(tmp_path / "cut", tiny_llama, TRAINED)
    add(paths, "x", long_training(strategy))
    cut = stage(paths, "x")
    deadline = time.monotonic() + 200
    while not list(paths.checkpoints.glob("*/checkpoint-*/complete.json")):
        assert time.monotonic() < deadline and cut.poll() is None
        time.sleep(0.01)
    workers = psutil.Process(cut.pid).children(recursive=True)
    assert len([worker for worker in workers if "tasks.train" in worker.cmdline()]) == 2
    cut.send_signal(number)
    output = cut.communicate(timeout=100)[0]
    ended = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
    assert cut.returncode == ended[number], output
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert not paths.model("x").exists()
    train(paths, "x", long_training(strategy))
    assert curve(paths, "x") == curve(whole(strategy), "x")
    hashes = [files.sha256(next(p.model("x").glob("*.safetensors"))) for p in (paths, whole(strategy))]
    assert hashes[0] == hashes[1]


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
    # Process r takes the batch at r of each round; what is empty stands at the end.
    taken = [batch for together_ in zip(*shares, strict=True) for batch in together_]
    assert taken == list(sampler) + [[]] * (len(taken) - batches)
    assert len(taken) - batches < together


def test_what_is_not_sharded_as_asked_is_refused(tiny_llama: Path) -> None:
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
            "launcher.strategy: fsdp shards full, lora, selective; method qlora is not one of them; use strategy ddp",
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
    configs = {path.stem: read_yaml(path) for path in (PROJECT / "infra").glob("*.yaml")}
    assert configs == {
        f"{where}_{strategy}": launcher.config(LauncherParams(processes=8 * nodes, strategy=strategy, nodes=nodes))
        for where, nodes in (("node", 1), ("nodes", 2))
        for strategy in ("ddp", "fsdp")
    }
