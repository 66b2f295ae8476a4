"""Several processes train one model, as one process does: gloo connects them here, on one machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tasks.core import files
from tasks.core.params import merge
from tasks.core.paths import Paths
from tasks.train import launcher
from tasks.train.task_losses import PREFIX
from tasks.tuning import methods
from tasks.tuning.params import LauncherParams
from tests.train.every_method import METHODS
from tests.train.launched import LOOP, PLAIN_LORA, TRAINED, WATCHED, curve, facts, launched, weights
from tests.train.stage_process import PROJECT, stage
from tests.train.training_workspace import add, train, workspace


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
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED, WATCHED)
    train_both(paths, PLAIN_LORA, "ddp")
    supervised = files.read_json(paths.model("two") / "manifest.json")["contract"]["validation"]["supervised_tokens"]
    tokens = set()
    for point in (point for point in curve(paths, "two") if "validation_loss" in point):
        chats, agents = (point[f"{PREFIX}{source}/summary"] for source in ("chats", "agents"))
        tokens.add(round(supervised * (point["validation_loss"] - chats) / (agents - chats), 6))
    # The loss of all rows is the mean of the tasks' losses, each weighed by its supervised tokens.
    (of_agents,) = tokens
    assert of_agents.is_integer() and 0 < of_agents < supervised
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
    config = ["--config_file", str(PROJECT / "infra/accelerate/node_fsdp.yaml"), "--num_processes", "2"]
    command = ("accelerate.commands.launch", *config, "--main_process_port", "0", "--module", "tasks.train")
    hand = stage(paths, "hand", command=command)
    output = hand.communicate(timeout=250)[0]
    assert hand.returncode == 0, output
    curves["hand"] = curve(paths, "hand")

    assert curves["full"] == curves["nodes"] == curves["hand"]
    assert all(facts(paths, name)["launcher"]["sharded"] for name in curves)
    weights_of = [files.sha256(paths.model(name) / "model.safetensors") for name in curves]
    assert len(set(weights_of)) == 1
