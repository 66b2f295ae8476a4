"""Wrap a loaded model of ``models/X`` for lm-eval, so that every method works the same way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lm_eval.models.huggingface import HFLM

from tasks.benchmark.helm.measure_scenario import generation_params
from tasks.benchmark.params import BenchmarkSettings
from tasks.benchmark.risk import helm_params
from tasks.core.errors import TunesmithError
from tasks.inference.predict import Predictor
from tasks.tuning.load import SharedBase, soft_prompt


class Harness(HFLM):
    """lm-eval's model that refuses a log-probability of NaN: an argmax over NaN would count as a prediction."""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        outputs: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        for request, (value, _) in zip(requests, outputs, strict=True):
            if math.isnan(value):
                raise TunesmithError(
                    f"{request.task_name}: row {request.doc_id}: the log-probability of choice {request.idx} must be a "
                    "number; it is NaN: the weights hold NaN or overflow; set benchmark.settings.precision: fp32, or "
                    "train again with a lower learning rate"
                )
        return outputs

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        outputs: list[str] = super().generate_until(requests, disable_tqdm=True)
        return outputs


def load(
    folder: Path, root: Path, settings: BenchmarkSettings, shared: SharedBase | None = None
) -> tuple[Harness, Predictor]:
    """The model of ``folder`` for lm-eval, and as a ``Predictor``. ``root`` and ``shared``: as in ``Predictor.load``.

    Raises:
        TunesmithError: there is no model, or its base model or tokenizer has changed since training.
    """
    predictor = Predictor.load(folder, generation_params(helm_params(settings)), root, shared)
    return wrap(predictor.model, predictor.renderer.tokenizer, predictor.base.kind, settings), predictor


def wrap(model: Any, tokenizer: Any, kind: str, settings: BenchmarkSettings) -> Harness:
    """A loaded model for lm-eval.

    A model with a soft prompt runs row by row: peft puts virtual tokens before the padding on the left, so outputs
    would depend on the other rows of the batch.
    """
    batch = 1 if soft_prompt(model) else settings.batch_size
    return Harness(pretrained=model, tokenizer=tokenizer, backend=kind, batch_size=batch)
