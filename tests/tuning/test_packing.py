"""Packed rows are predicted as each is alone, or packing switches itself off."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.files import read_json
from tasks.core.params import merge
from tasks.model.base_models import find
from tasks.model.batches import token_budget_batches
from tasks.model.encoded import IGNORED, Encoded
from tasks.train.checkpoints import last_complete
from tasks.tuning.packing import TOLERANCE, TOLERANCE_BF16, collate_packed, packed_batches, parity
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import prepare
from tests.tiny import save_gpt2
from tests.train.every_method import METHODS, SOFT
from tests.train.trained import ONE_BUCKET, Stop, assert_equal, losses, trainer, weights
from tests.train.training_workspace import LORA, PAIRS, PARAMS, train, workspace

LENGTHS = random.Random(3).choices(range(1, 121), k=200)
PACKED = {"training": {"packing": True}}
EXACT = [method for method in METHODS if method not in SOFT]


def some_rows(count: int = 6) -> list[Encoded]:
    draw = random.Random(1)
    return [
        Encoded([draw.randrange(3, 250) for _ in range(draw.randint(2, 40))], [*draw.sample(range(3, 250), n), 0])
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("budget", [16, 100, 256, 4096])
def test_batches_are_a_partition_and_hold_what_fits_without_padding(seed: int | None, budget: int) -> None:
    batches = packed_batches(LENGTHS, budget, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(LENGTHS)))
    tokens = [sum(LENGTHS[index] for index in batch) for batch in batches]
    for batch, count in zip(batches, tokens, strict=True):
        assert count <= budget or len(batch) == 1
    # No two batches would fit into one: else rows were left out of the first of them.
    assert sum(sorted(tokens)[:2]) > budget
    assert len(batches) < len(token_budget_batches(LENGTHS, budget))


def test_the_number_of_packed_batches_is_independent_of_the_seed_and_order_is_not() -> None:
    by_seed = [packed_batches(LENGTHS, 256, seed) for seed in range(20)]
    assert {len(batches) for batches in by_seed} == {len(packed_batches(LENGTHS, 256))}
    assert len({str(batches) for batches in by_seed}) == 20
    assert packed_batches(LENGTHS, 256, 4) == by_seed[4]
    # Not only the order of batches changes: rows meet others, also rows of other lengths.
    met = [{tuple(sorted(LENGTHS[index] for index in batch)) for batch in batches} for batches in by_seed]
    assert len(met[0] & met[1]) < len(met[0]) / 2
    assert packed_batches([], 64) == packed_batches([], 64, seed=1) == []


def test_packed_tensors_of_a_decoder() -> None:
    """The first token of a packed row is never supervised: the row before it would predict it."""
    batch = collate_packed([Encoded([5, 6, 7], [8, 2]), Encoded([], [9, 2])], "causal")
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 2, 9, 2]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, IGNORED, 8, 2, IGNORED, 2]]
    assert batch["attention_mask"].tolist() == [[1] * 7]


def test_packed_tensors_of_an_encoder_decoder() -> None:
    batch = collate_packed([Encoded([5, 6, 7], [8, 2]), Encoded([5], [9, 9, 2])], "seq2seq")
    assert batch["input_ids"].tolist() == [[5, 6, 7, 5]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0]]
    assert batch["labels"].tolist() == [[8, 2, 9, 9, 2]]
    assert batch["decoder_position_ids"].tolist() == [[0, 1, 0, 1, 2]]


def prepared(base: Path, method: str, precision: str = "fp32") -> tuple[Any, str]:
    """A model in which what is trained has moved from where it begins, and its kind."""
    patch = merge(METHODS[method], {"training": {"precision": precision}})
    params = parse_trained(merge(PARAMS | {"base_model": {"name": str(base)}}, patch), "train.yaml")
    base_model = find(params.base_model, base)
    torch.manual_seed(0)
    model = prepare(base_model, params, 20)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model, base_model.kind


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("method", EXACT)
def test_packed_rows_are_predicted_as_each_is_alone(request: pytest.FixtureRequest, method: str, kind: str) -> None:
    # Outside autocast frozen matrices in bf16 compute in fp32.
    precisions = ("fp32",) if method == "qlora" else ("fp32", "bf16")
    for precision in precisions:
        model, of = prepared(request.getfixturevalue(f"tiny_{kind}"), method, precision)
        difference = parity(model.train(), some_rows(), of, 0)
        assert difference.packed == pytest.approx(difference.alone, rel=1e-5)
        # Well below the tolerance, and no row's loss hides another's.
        assert difference.difference < TOLERANCE * difference.alone / 10
        assert model.training


def test_positions_by_embeddings_begin_again_with_each_row(tmp_path: Path) -> None:
    """The attention of a Llama sees distances alone: it would not notice positions that go on."""
    model, kind = prepared(save_gpt2(tmp_path, ["a lamp"]), "full")
    difference = parity(model, some_rows(), kind, 0)
    assert difference.difference < TOLERANCE * difference.alone / 10


def test_a_quantised_base_in_bf16_is_within_its_tolerance(tiny_llama: Path) -> None:
    model, kind = prepared(tiny_llama, "qlora", "bf16")
    difference = parity(model, some_rows(), kind, 0)
    assert difference.difference < TOLERANCE_BF16 * difference.alone / 2


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("method", SOFT)
def test_soft_prompts_are_beyond_the_tolerance(request: pytest.FixtureRequest, method: str, kind: str) -> None:
    """Virtual tokens stand before the first row alone; encoder-decoders refuse masks that leave them out."""
    model, of = prepared(request.getfixturevalue(f"tiny_{kind}"), method)
    difference = parity(model, some_rows(), of, 0)
    assert difference.error if kind == "t5" else difference.difference > 10 * TOLERANCE * difference.alone


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_packed_step_equals_a_padded_one(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """Loss, gradient and weights, also when the packed rows stand in several batches of an accumulation."""
    base = request.getfixturevalue(f"tiny_{kind}")
    eight = [Encoded(list(range(3, 40 - n)), [*range(40, 41 + n), 0]) for n in range(1, 9)]
    tokens = sum(len(row) for row in eight)
    done = {}
    for name, budget, accumulation, packing in [
        ("padded", 8 * ONE_BUCKET, 1, False),
        ("packed", tokens, 1, True),
        ("in pairs", tokens // 4 + 3, 4, True),
    ]:
        loop = {"token_budget": budget, "accumulation": accumulation, "max_grad_norm": 1e9, "packing": packing}
        trained = trainer(base, tmp_path / name, {"training": loop}, train=eight, validation=eight)
        assert len(trained.get_train_dataloader()) == accumulation
        assert trained.steps() == 1
        trained.fit(None)
        done[name] = trained
    padded = done.pop("padded")
    for packed in done.values():
        assert losses(packed, "loss") == pytest.approx(losses(padded, "loss"), rel=1e-5)
        assert losses(packed, "grad_norm") == pytest.approx(losses(padded, "grad_norm"), rel=1e-4)
        # Adam's first step is the sign of the gradient: an element with another sign would be off by 2e-3.
        mine, its = weights(packed), weights(padded)
        assert max(float((mine[name] - its[name]).abs().max()) for name in mine) < 1e-4
        assert packed.tokens == padded.tokens == tokens


@pytest.mark.parametrize(("kind", "method"), [("llama", "lora"), ("llama", "adalora"), ("t5", "full")])
def test_packed_training_resumed_equals_uninterrupted(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, method: str
) -> None:
    """Training resumes in the middle of an epoch: rows already seen are not seen again."""
    base = request.getfixturevalue(f"tiny_{kind}")
    loop = {"epochs": 3, "token_budget": 40, "checkpoint_steps": 1, "log_every": 2}
    patch = merge(merge(METHODS[method], PACKED), {"training": loop})
    whole = trainer(base, tmp_path / "whole", patch)
    whole.fit(None)
    an_epoch = whole.steps() // 3
    assert 2 < an_epoch <= len(PAIRS)
    with pytest.raises(KeyboardInterrupt):
        trainer(base, tmp_path / "cut", patch, Stop(1 + 1 / an_epoch)).fit(None)
    checkpoint = last_complete(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == f"checkpoint-{an_epoch + 1}"
    torch.rand(7)  # the random state of a new process is another
    resumed = trainer(base, tmp_path / "cut", patch)
    resumed.fit(checkpoint)
    assert_equal(weights(resumed), weights(whole))
    for name in ("eval_loss", "loss", "grad_norm", "learning_rate"):
        assert losses(resumed, name) == losses(whole, name), name


@pytest.mark.parametrize(
    ("kind", "method"), [("llama", "prompt_tuning"), ("llama", "prefix_tuning"), ("t5", "p_tuning")]
)
def test_packing_switches_itself_off_and_training_continues(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, method: str
) -> None:
    paths = workspace(tmp_path, request.getfixturevalue(f"tiny_{kind}"))
    plain = read_json(train(paths, "plain", METHODS[method]) / "manifest.json")
    assert "packing is off" not in caplog.text
    requested = read_json(train(paths, "asked", merge(METHODS[method], PACKED)) / "manifest.json")
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING and "packing is off" in r.getMessage()]
    assert f"method {method} must predict packed rows" in warning.getMessage()
    assert isinstance(warning.args, tuple)
    packed, alone = warning.args[1:3]
    assert packed != pytest.approx(alone, rel=1e-3)
    # It is the training that was never asked to pack, bit for bit.
    assert requested["weights_sha256"] == plain["weights_sha256"]
    assert requested["best"] == plain["best"]
    assert [read_json(paths.run(name, "train") / "run.json")["packing"] for name in ("plain", "asked")] == [
        False,
        False,
    ]


def test_packing_stays_on_where_it_is_exact(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = workspace(tmp_path, tiny_llama)
    train(paths, "packed", merge(LORA, PACKED))
    assert "packing is off" not in caplog.text
    assert read_json(paths.run("packed", "train") / "run.json")["packing"] is True
