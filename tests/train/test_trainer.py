"""Accumulation, order, early stopping, and resumed equals uninterrupted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.model.base_models import BaseModelParams, find, load_tokenizer
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.train.callbacks import epochs_without_improvement
from tasks.train.checkpoints import last_complete
from tasks.train.trainer import CompletionTrainer
from tasks.tuning.prepare import count_parameters
from tasks.tuning.sampling import TokenBudgetSampler
from tests.train.every_method import METHODS
from tests.train.trained import ONE_BUCKET, Stop, assert_equal, losses, trainer, weights
from tests.train.training_workspace import LORA, UNLIKELY


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_one_batch_of_eight_equals_eight_batches_of_one(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Rows have 2 to 9 supervised tokens: a mean of the batches' means would be another loss and gradient."""
    base = request.getfixturevalue(f"tiny_{kind}")
    eight = [Encoded(list(range(3, 40 - n)), [*range(40, 41 + n), 0]) for n in range(1, 9)]
    assert {len(row) for row in eight} <= set(range(33, ONE_BUCKET + 1))
    done = {}
    for budget, accumulation in [(8 * ONE_BUCKET, 1), (ONE_BUCKET, 8), (2 * ONE_BUCKET, 4)]:
        patch = {"training": {"token_budget": budget, "accumulation": accumulation, "max_grad_norm": 1e9}}
        trained = trainer(base, tmp_path / str(accumulation), patch, train=eight, validation=eight)
        assert trained.steps() == 1
        trained.fit(None)
        assert trained.state.global_step == 1
        done[accumulation] = trained
    first = done[1]
    # Before training, the validation loss is the mean over supervised tokens of the same rows.
    assert losses(first, "loss")[0] == pytest.approx(losses(first)[0], rel=1e-5)
    for other in (done[8], done[4]):
        assert losses(other, "loss") == pytest.approx(losses(first, "loss"), rel=1e-5)
        assert losses(other, "grad_norm") == pytest.approx(losses(first, "grad_norm"), rel=1e-4)
        # Adam's first step is the sign of the gradient: an element with another sign would be off by 2e-3.
        mine, its = weights(first), weights(other)
        assert max(float((mine[name] - its[name]).abs().max()) for name in mine) < 1e-4
        assert other.tokens == first.tokens == sum(len(row) for row in eight)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_buckets_and_the_plain_order_have_the_same_loss(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A batch of the longest row with the shortest has other padding than one of its bucket, and no other loss."""
    base = request.getfixturevalue(f"tiny_{kind}")
    rows = [Encoded(list(range(3, 9 + 9 * (n % 5))), [*range(40, 42 + n), 0]) for n in range(10)]

    def in_order(lengths: list[int], budget: int, seed: int | None = None) -> list[list[int]]:
        return [list(range(start, start + 2)) for start in range(0, len(lengths), 2)]

    done = []
    for name in ("buckets", "plain"):
        if name == "plain":
            monkeypatch.setattr("tasks.tuning.sampling.batches_of", lambda loop: in_order)
        loop = {"token_budget": 128, "accumulation": 5, "max_grad_norm": 1e9}
        trained = trainer(base, tmp_path / name, {"training": loop}, train=rows, validation=rows)
        done.append((trained, [batch["input_ids"].shape for batch in trained.get_train_dataloader()]))
        trained.fit(None)
        assert trained.state.global_step == 1
    (buckets, shapes), (plain, others) = done
    assert sorted(shapes) != sorted(others)
    assert losses(plain, "loss") == pytest.approx(losses(buckets, "loss"), rel=1e-5)
    # Before training, the validation loss is the mean over supervised tokens of the same rows.
    assert losses(plain, "loss")[0] == pytest.approx(losses(plain)[0], rel=1e-5)
    assert losses(plain, "grad_norm") == pytest.approx(losses(buckets, "grad_norm"), rel=1e-4)
    mine, its = weights(plain), weights(buckets)
    assert max(float((mine[name] - its[name]).abs().max()) for name in mine) < 1e-4


def test_sampler_orders_by_seed_and_epoch() -> None:
    lengths = [10 + n % 30 for n in range(60)]
    orders = {}
    for seed in range(3):
        sampler = TokenBudgetSampler(lengths, 128, seed)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders[seed, epoch] = list(sampler)
            assert len(sampler) == len(orders[seed, epoch])
    assert len({str(order) for order in orders.values()}) == 9
    again = TokenBudgetSampler(lengths, 128, 1)
    again.set_epoch(2)
    assert list(again) == orders[1, 2]


def test_trainer_takes_another_order_each_epoch(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[list[list[int]]] = []

    class Watched(CompletionTrainer):
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(inputs["input_ids"].tolist())
            return super().training_step(model, inputs, *args, **kwargs)

    trained = trainer(tiny_llama, tmp_path, {"training": {"epochs": 3, "token_budget": ONE_BUCKET}})
    trained.__class__ = Watched
    trained.fit(None)
    assert len(seen) == 18
    epochs = [[batch[0] for batch in seen[start : start + 6]] for start in (0, 6, 12)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert len({str(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize(("max_steps", "steps"), [(1, 1), (4, 4), (100, 6)])
def test_max_steps_ends_before_the_epochs_but_never_after(
    tiny_llama: Path, tmp_path: Path, max_steps: int, steps: int
) -> None:
    """Three batches an epoch, two epochs. Trainer alone would go on into further epochs."""
    trained = trainer(tiny_llama, tmp_path, {"training": {"epochs": 2, "max_steps": max_steps, "token_budget": 64}})
    assert trained.steps() == steps
    trained.fit(None)
    assert trained.state.global_step == steps
    assert trained.state.best_model_checkpoint is not None


def test_epochs_without_improvement_counts_from_the_best() -> None:
    log = [{"step": step, "eval_loss": loss} for step, loss in [(0, 0.1), (3, 2.0), (6, 1.0), (9, 1.5), (12, 1.0)]]
    assert epochs_without_improvement(log) == 2
    assert epochs_without_improvement(log[:3]) == 0
    assert epochs_without_improvement(log[:1]) == epochs_without_improvement([]) == 0
    assert epochs_without_improvement([*log, {"step": 15, "loss": 0.2}]) == 2


RISING = {"training": {"epochs": 6, "learning_rate": 1e-2, "schedule": "constant"}}


def unlikely(base: Path) -> list[Encoded]:
    renderer = Renderer(load_tokenizer(find(BaseModelParams(name=str(base)), base)), "causal")
    return [renderer.encode(prompt, answer) for prompt, answer in UNLIKELY]


def test_early_stopping_stops_and_the_best_epoch_is_kept(tiny_llama: Path, tmp_path: Path) -> None:
    watched = unlikely(tiny_llama)
    patch = merge(RISING, {"training": {"early_stopping_patience": 2}})
    stopped = trainer(tiny_llama, tmp_path / "stopped", patch, validation=watched)
    stopped.fit(None)
    seen = losses(stopped)[1:]
    best = seen.index(min(seen))
    assert len(seen) == best + 1 + 2 < 6
    # The weights in memory are those of the best epoch: measured again they have its loss.
    assert stopped.evaluate()["eval_loss"] == pytest.approx(min(seen), rel=1e-6)
    assert stopped.state.best_global_step == (best + 1) * stopped.state.global_step // len(seen)


def test_without_early_stopping_all_epochs_run(tiny_llama: Path, tmp_path: Path) -> None:
    done = trainer(tiny_llama, tmp_path, RISING, validation=unlikely(tiny_llama))
    done.fit(None)
    seen = losses(done)[1:]
    assert len(seen) == 6
    assert seen[-1] > min(seen) + 0.1
    assert done.evaluate()["eval_loss"] == pytest.approx(min(seen), rel=1e-6)


@pytest.mark.parametrize(("method", "kind"), [(method, kind) for method in METHODS for kind in ("llama", "t5")])
def test_resumed_equals_uninterrupted(request: pytest.FixtureRequest, tmp_path: Path, method: str, kind: str) -> None:
    """Cosine schedule, accumulation, dropout of LoRA, ranks of AdaLoRA: schedule, moments, order and random state
    all matter. Training resumes in the middle of an epoch and between two points of the loss curve."""
    base = request.getfixturevalue(f"tiny_{kind}")
    loop = {"epochs": 3, "token_budget": 32, "accumulation": 2, "log_every": 3, "checkpoint_steps": 5}
    patch = merge(METHODS[method], {"training": loop})
    whole = trainer(base, tmp_path / "whole", patch)
    whole.fit(None)
    assert whole.steps() in (6, 9), "step 5 is amid an epoch"
    with pytest.raises(KeyboardInterrupt):
        trainer(base, tmp_path / "cut", patch, Stop(5 / whole.steps() * 3)).fit(None)
    checkpoint = last_complete(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == "checkpoint-5"
    torch.rand(7)  # the random state of a new process is another
    resumed = trainer(base, tmp_path / "cut", patch)
    resumed.fit(checkpoint)
    assert_equal(weights(resumed), weights(whole))
    for name in ("eval_loss", "loss", "grad_norm", "learning_rate"):
        assert losses(resumed, name) == losses(whole, name), name
    # The value before training and one an epoch, none twice.
    assert len(losses(whole)) == 4


@pytest.mark.parametrize("killed_at", [3, 6, 9])
def test_checkpoints_at_the_end_of_an_epoch_follow_its_validation(
    tiny_llama: Path, tmp_path: Path, killed_at: int
) -> None:
    """Killed right after any checkpoint, also of a step that ends an epoch or the training: no validation is missed."""
    patch = {"training": {"epochs": 3, "token_budget": 64, "checkpoint_steps": 3}}
    whole = trainer(tiny_llama, tmp_path / "whole", patch)
    whole.fit(None)
    assert whole.steps() == 9, "three steps an epoch"
    with pytest.raises(KeyboardInterrupt):
        trainer(tiny_llama, tmp_path / "cut", patch, Stop(killed_at / 3)).fit(None)
    resumed = trainer(tiny_llama, tmp_path / "cut", patch)
    resumed.fit(last_complete(tmp_path / "cut"))
    assert losses(resumed) == losses(whole)
    assert_equal(weights(resumed), weights(whole))


def test_adalora_takes_no_weights_from_before_the_pruning_ended(tiny_llama: Path, tmp_path: Path) -> None:
    patch = merge(METHODS["adalora"], {"training": {"epochs": 5, "token_budget": 64}, "adalora": {"final": 0.2}})
    done = trainer(tiny_llama, tmp_path, patch, validation=unlikely(tiny_llama))
    done.fit(None)
    curve = losses(done)
    assert curve.index(min(curve[1:])) < 4, "the loss must rise for this test to say anything"
    assert done.state.best_global_step >= 0.8 * done.steps()


def test_early_stopping_counts_over_a_resume(tiny_llama: Path, tmp_path: Path) -> None:
    watched = unlikely(tiny_llama)
    patch = merge(RISING, {"training": {"early_stopping_patience": 3}})
    whole = trainer(tiny_llama, tmp_path / "whole", patch, validation=watched)
    whole.fit(None)
    epochs = len(losses(whole)) - 1
    with pytest.raises(KeyboardInterrupt):
        trainer(tiny_llama, tmp_path / "cut", patch, Stop(epochs - 1), validation=watched).fit(None)
    resumed = trainer(tiny_llama, tmp_path / "cut", patch, validation=watched)
    resumed.fit(last_complete(tmp_path / "cut"))
    assert losses(resumed) == losses(whole)
    assert_equal(weights(resumed), weights(whole))


@pytest.mark.parametrize(
    "training", [{"epochs": 2}, {"epochs": 2, "max_steps": 4}, RISING["training"] | {"early_stopping_patience": 1}]
)
def test_a_training_that_had_ended_is_not_trained_on(
    tiny_llama: Path, tmp_path: Path, training: dict[str, Any]
) -> None:
    """Killed after the last checkpoint and before the outputs were written."""
    watched = unlikely(tiny_llama)
    patch = {"training": {"token_budget": 64, **training, "checkpoints_kept": 20}}
    whole = trainer(tiny_llama, tmp_path, patch, validation=watched)
    whole.fit(None)
    again = trainer(tiny_llama, tmp_path, patch, validation=watched)
    again.fit(last_complete(tmp_path))
    assert again.tokens == 0
    assert_equal(weights(again), weights(whole))
    assert again.state.best_metric == whole.state.best_metric
    assert again.state.best_global_step == whole.state.best_global_step


def test_damaged_checkpoints_are_no_checkpoints(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path, {"training": {"epochs": 4, "checkpoints_kept": 9, "token_budget": 512}}).fit(None)
    assert not (tmp_path / "partial").exists()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-4"
    (tmp_path / "checkpoint-4/trained.safetensors").unlink()
    optimizer = tmp_path / "checkpoint-3/optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-1])
    sizes = tmp_path / "checkpoint-2/complete.json"
    sizes.write_text(sizes.read_text()[:50])
    assert last_complete(tmp_path) == tmp_path / "checkpoint-1"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    shutil.rmtree(tmp_path / "checkpoint-1")
    assert last_complete(tmp_path) is None
    assert last_complete(tmp_path / "nowhere") is None


def test_by_default_training_resumes_from_the_checkpoint_before_a_damaged_one(tiny_llama: Path, tmp_path: Path) -> None:
    """It always gets better here, so that none is kept for being the best."""
    patch = {"training": {"epochs": 4, "token_budget": 512}}
    whole = trainer(tiny_llama, tmp_path, patch)
    whole.fit(None)
    curve = losses(whole)
    assert curve == sorted(curve, reverse=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]
    state = tmp_path / "checkpoint-4/optimizer.pt"
    state.write_bytes(state.read_bytes()[:-1])
    resumed = trainer(tiny_llama, tmp_path, patch)
    resumed.fit(last_complete(tmp_path))
    assert resumed.tokens * 4 == whole.tokens, "one epoch of four was trained again"
    assert_equal(weights(resumed), weights(whole))


def test_the_last_checkpoints_and_the_best_are_kept(tiny_llama: Path, tmp_path: Path) -> None:
    patch = merge(RISING, {"training": {"checkpoints_kept": 2}})
    done = trainer(tiny_llama, tmp_path, patch, validation=unlikely(tiny_llama))
    done.fit(None)
    best, last = done.state.best_global_step, done.state.global_step
    per_epoch = last // patch["training"]["epochs"]
    assert best < last - per_epoch
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {
        f"checkpoint-{step}" for step in (best, last - per_epoch, last)
    }


def test_divergence_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    patch = {"training": {"learning_rate": 1e30, "max_grad_norm": 1e9, "epochs": 2, "schedule": "constant"}}
    with pytest.raises(TunesmithError, match=r"step \d+: the validation loss must be finite; it is nan.*learning_rate"):
        trainer(tiny_llama, tmp_path, patch).fit(None)


def test_parameters_of_each_method(tiny_llama: Path, tmp_path: Path) -> None:
    full = trainer(tiny_llama, tmp_path, {})
    trained, total = count_parameters(full.model)
    assert trained == total
    lora = trainer(tiny_llama, tmp_path, LORA)
    # Two layers, rank 4: q_proj is 64 → 64, v_proj 64 → 32 (two key and value heads of 16).
    assert count_parameters(lora.model) == (2 * 4 * (64 + 64 + 64 + 32), total + 2 * 4 * (64 + 64 + 64 + 32))


@pytest.mark.parametrize("targets", [["qq_proj"], ["q_proj", "vv_proj"]])
def test_unknown_targets_name_the_layers(tiny_llama: Path, tmp_path: Path, targets: list[str]) -> None:
    with pytest.raises(
        TunesmithError, match=rf"lora.targets: '{targets[-1]}' must be a layer .*linear layers: "
    ) as caught:
        trainer(tiny_llama, tmp_path, {"method": "lora", "lora": {"targets": targets}})
    for layer in ("down_proj", "gate_proj", "k_proj", "lm_head", "o_proj", "q_proj", "up_proj", "v_proj"):
        assert layer in str(caught.value)


def test_targets_that_peft_cannot_adapt_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"lora.targets: \['self_attn'\] does not fit"):
        trainer(tiny_llama, tmp_path, {"method": "lora", "lora": {"targets": ["self_attn"]}})


def test_all_linear_leaves_the_output_layer(tiny_llama: Path, tmp_path: Path) -> None:
    trained = trainer(tiny_llama, tmp_path, {"method": "lora", "lora": {"targets": "all-linear"}})
    adapted = {name.split(".lora_A")[0].split(".")[-1] for name in weights(trained) if "lora_A" in name}
    assert adapted == {"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}
