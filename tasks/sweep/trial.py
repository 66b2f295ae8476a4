"""``trial@NAME``: train an experiment with the values of a trial → its losses in ``reports/trials/NAME/``.

The weights are not kept: the winner of a sweep becomes an experiment, which ``train@X`` trains.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.ancestry.build import ensure_built
from tasks.core import device, files
from tasks.core.errors import DivergedError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.model.base_models import find
from tasks.model.likelihood import likelihood
from tasks.sweep.channel import PrunedError, Sweep, connected
from tasks.sweep.outputs import LOSSES, RESULT, Evaluation
from tasks.sweep.parts import divided
from tasks.sweep.trial_params import TrialParams
from tasks.text.rows import Row, group_key, row_key
from tasks.train.contract import encode_part
from tasks.train.loop import fit
from tasks.train.recorder import Recorder
from tasks.train.run import Prepared, prepare_training, set_up_process, training_lock
from tasks.train.trainer import CompletionTrainer
from tasks.tuning.params import TrainedParams, parse_trained
from tasks.tuning.sampling import optimizer_steps

logger = logging.getLogger("tunesmith")

CHECKED = pa.schema(
    [
        *((name, pa.string()) for name in ("source", "row_id", "template_id", "group")),
        ("nll", pa.float64()),
        ("bytes", pa.int64()),
    ]
)
"""Columns of ``check.parquet``: a row of the check part, its negative log-likelihood (nats), and the bytes learned."""


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Train the trial ``name`` of ``params/trials.yaml``.

    Raises:
        PrunedError: the sweep ended it.
        DivergedError: the validation loss is not finite.
        TunesmithError: its parameters or rows are wrong, or memory is too small.
    """
    file = paths.params / "trials.yaml"
    trial = load(TrialParams, file, "trials", name)
    params = parse_trained(trial.train, file, f"trials.{name}.train")
    set_up_process(params)
    rows = files.read_rows(paths.mixture(trial.mixture) / "validation.parquet")
    search, held_out = divided(rows, trial.validation)
    with training_lock(stage.address, paths.train_lock(f"trial-{name}")), connected() as sweep:
        _train(name, params, paths, stage, {group_key(row) for row in search}, held_out, sweep)


def _train(
    name: str,
    params: TrainedParams,
    paths: Paths,
    stage: Stage,
    searched: set[tuple[str, str]],
    held_out: list[Row],
    sweep: Sweep,
) -> None:
    ensure_built(params.base_model, paths.root)
    base = find(params.base_model, paths.root)
    ready = prepare_training(name, params, base, paths, stage, lambda row: group_key(row) in searched)
    epochs = _Epochs(ready)
    try:
        trainer, recorder = fit(
            ready.model,
            ready.data,
            ready.params,
            ready.renderer,
            ready.checkpoints,
            lambda metrics, step, time: _report(metrics, step, epochs, sweep),
        )
    except (PrunedError, DivergedError) as error:
        files.remove(ready.checkpoints)
        if isinstance(error, DivergedError):
            sweep.diverged(str(error))
        raise
    with stage.outputs(paths.trial(name)) as (folder,):
        folder.mkdir()
        checked = _checked(trainer, ready, held_out)
        files.write_rows(folder / LOSSES, checked, CHECKED)
        files.write_json(folder / RESULT, _result(name, trainer, recorder, ready, epochs, len(checked)))
    files.remove(ready.checkpoints)


class _Epochs:
    """The epochs of a training in steps."""

    def __init__(self, ready: Prepared) -> None:
        loop = ready.params.training
        self.steps = optimizer_steps(ready.data.train, loop)
        self._per_epoch = optimizer_steps(ready.data.train, loop.model_copy(update={"epochs": 1, "max_steps": None}))

    def at(self, step: int) -> int:
        """The epoch in which ``step`` lies, from 1; 0 before the first step."""
        return math.ceil(step / self._per_epoch)


def _report(metrics: dict[str, float], step: int, epochs: _Epochs, sweep: Sweep) -> None:
    # Nothing is decided before the first step, nor after the last one: that training is complete.
    if "validation_loss" in metrics and 0 < step < epochs.steps:
        sweep.report(epochs.at(step), metrics["validation_loss"])


def _checked(trainer: CompletionTrainer, ready: Prepared, rows: list[Row]) -> list[Row]:
    """The likelihood of each row of the check part under the kept checkpoint, which the trainer has loaded."""
    renderer, loop = ready.renderer, ready.params.training
    tokenizer = renderer.tokenizer
    kept, _ = encode_part(rows, renderer, ready.params, "validation")
    encoded = [tokens for _, tokens in kept]
    autocast = device.autocast(loop.precision)
    losses = likelihood(trainer.model, encoded, renderer.kind, tokenizer.pad_token_id, loop.token_budget, autocast)
    return [
        {
            **dict(zip(("source", "row_id", "template_id"), row_key(row), strict=True)),
            "group": group_key(row)[1],
            "nll": nll,
            "bytes": _bytes(tokenizer, [token for token in tokens.labels if token >= 0]),
        }
        for (row, tokens), nll in zip(kept, losses.nll, strict=True)
    ]


def _bytes(tokenizer: Any, tokens: list[int]) -> int:
    """Bytes of the text that is learned; at least 1, so that a loss per byte exists."""
    return max(1, len(tokenizer.decode(tokens, skip_special_tokens=True).encode()))


def _result(
    name: str, trainer: CompletionTrainer, recorder: Recorder, ready: Prepared, epochs: _Epochs, check_rows: int
) -> dict[str, Any]:
    kept = {key: ready.manifest[key] for key in ("key", "params", "base_model", "inputs", "versions", "computed")}
    return {
        **kept,
        "schema": 1,
        "trial": name,
        "validation_loss": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "evaluations": _evaluations(recorder.history, epochs),
        "search_rows": len(ready.data.validation),
        "check_rows": check_rows,
    }


def _evaluations(history: Path, epochs: _Epochs) -> list[Evaluation]:
    points = [point for point in files.read_jsonl(history) if "validation_loss" in point and point["step"] > 0]
    return [
        {"epoch": epochs.at(point["step"]), "step": point["step"], "validation_loss": point["validation_loss"]}
        for point in points
    ]
