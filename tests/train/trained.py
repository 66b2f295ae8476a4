"""A trainer on tiny rows, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, set_seed

from tasks.core.params import merge
from tasks.model.base_models import find, load_tokenizer
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.train.contract import encode_rows
from tasks.train.trainer import CompletionTrainer
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import prepare
from tasks.tuning.sampling import optimizer_steps
from tests.train.training_workspace import PAIRS, PARAMS, rows

ONE_BUCKET = 48


class Stop(TrainerCallback):
    """Ends the process's training after some epochs, as a crash would: after the checkpoint was written."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch >= self._epoch - 1e-9:
            raise KeyboardInterrupt


def trainer(
    base: Path,
    checkpoints: Path,
    patch: dict[str, Any],
    *callbacks: TrainerCallback,
    train: list[Encoded] | None = None,
    validation: list[Encoded] | None = None,
) -> CompletionTrainer:
    params = parse_trained(merge(PARAMS | {"base_model": {"name": str(base)}}, patch), "train.yaml")
    base_model = find(params.base_model, base)
    renderer = Renderer(load_tokenizer(base_model), base_model.kind)
    encoded = train or encode_rows(rows(PAIRS), renderer, params, "train")[0]
    set_seed(params.seed)
    return CompletionTrainer(
        model=prepare(base_model, params, optimizer_steps(encoded, params.training)),
        train=encoded,
        validation=validation or encode_rows(rows(PAIRS[:2]), renderer, params, "validation")[0],
        params=params,
        kind=base_model.kind,
        pad=renderer.tokenizer.pad_token_id,
        folder=checkpoints,
        callbacks=list(callbacks),
        labelled=False,
    )


def weights(done: CompletionTrainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in done.model.named_parameters() if value.requires_grad}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def losses(done: CompletionTrainer, name: str = "eval_loss") -> list[float]:
    return [entry[name] for entry in done.state.log_history if name in entry]
