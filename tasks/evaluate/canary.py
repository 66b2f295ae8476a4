"""``canary.json``: what a model generates for fixed prompts; a loaded model that differs is not the evaluated one.

Programs that serve adapters were seen to generate with another adapter, and libraries change how they render prompts.
So a registered model carries the canary, and loading it checks two prompts. The prompts (``canary_prompts.txt``) hold
no row of a user.

Fields: ``precision`` (``bf16`` or ``fp32``), ``device``, ``inference_sha256`` and ``templates`` (SOURCE/ID → sha256) of
``inference.json``, and ``prompts``: ``text``, ``prompt`` and ``output`` (token ids; the output is greedy), and
``log_probabilities`` of the output's tokens in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.evaluate.inference_settings import Inference, identity
from tasks.inference.generate import stream_tokens
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.batches import collate
from tasks.model.encoded import Encoded
from tasks.model.likelihood import supervised_logits

PROMPTS = 16
"""Prompts of ``texts`` in a canary; proofs of a merge use all."""

NEW_TOKENS = 16
CHECKED = 2
"""Prompts that are checked whenever a model is loaded."""

_TOLERANCE = 0.1
"""Nats by which a log probability in fp32 may differ on another processor."""

_COARSE = 0.5
"""The same in bf16, whose steps are 0.125 between 16 and 32, or between precisions, or between a CPU and a GPU."""

Canary = dict[str, Any]


def texts() -> list[str]:
    """The fixed prompts."""
    return Path(__file__).with_name("canary_prompts.txt").read_text(encoding="utf-8").splitlines()


def record(predictor: Predictor) -> Canary:
    """Generate for the first ``PROMPTS`` prompts, greedily; ``settings`` gives the other fields."""
    chosen = texts()[:PROMPTS]
    prompts = [predictor.renderer.prompt(text) for text in chosen]
    entries = []
    for text, prompt, output in zip(chosen, prompts, greedy_outputs(predictor, prompts), strict=True):
        logits = log_probabilities(predictor, prompt, output)
        output = _clear(output, logits)
        own = [round(float(logits[at, token]), 4) for at, token in enumerate(output)]
        entries.append({"text": text, "prompt": prompt, "output": output, "log_probabilities": own})
    return {
        "schema": 1,
        "precision": _precision(predictor),
        "device": device.device().type,
        "prompts": entries,
    }


def settings(inference: Inference) -> Canary:
    """The fields of ``inference.json`` in a canary."""
    return {"inference_sha256": identity(inference.model_dump()), "templates": _templates(inference)}


def _clear(output: list[int], logits: torch.Tensor) -> list[int]:
    """The output up to the first token that is not clearly the likeliest, by its log probabilities (T, V) in one pass.

    Generation step by step rounds differently, so that of two almost equal tokens it may choose the other.
    """
    best = logits.topk(2, dim=-1)
    sure = [
        int(best.indices[at, 0]) == token and float(best.values[at, 0] - best.values[at, 1]) > _TOLERANCE
        for at, token in enumerate(output)
    ]
    return output[: sure.index(False)] or output[:1] if False in sure else output


def greedy_outputs(predictor: Predictor, prompts: list[list[int]]) -> list[list[int]]:
    """The new tokens of each prompt, at most ``NEW_TOKENS``."""
    given = predictor.generation
    greedy = GenerationParams(max_new_tokens=NEW_TOKENS, token_budget=given.token_budget, precision=given.precision)
    outputs = dict(stream_tokens(predictor.model, predictor.renderer.tokenizer, prompts, predictor.base.kind, greedy))
    return [outputs[number] for number in range(len(prompts))]


def refuse_other_model(predictor: Predictor, inference: Inference, canary: Canary, count: int = CHECKED) -> None:
    """Compare a loaded model with its canary: templates and settings, then the first ``count`` prompts.

    Raises:
        TunesmithError: names the template, or the first token that differs.
    """
    model = f"model {inference.experiment}"
    _refuse_other_settings(inference, canary, model)
    exact = canary["precision"] == _precision(predictor) == "fp32" and canary["device"] == device.device().type
    tolerance = _TOLERANCE if exact else _COARSE
    for number, entry in enumerate(canary["prompts"][:count], start=1):
        where = f"{model}: canary prompt {number} of {len(canary['prompts'])}"
        _refuse_other_tokens(predictor, predictor.renderer.prompt(entry["text"]), entry["prompt"], where)
        _refuse_other_output(predictor, entry, tolerance, where)


def _templates(inference: Inference) -> dict[str, str]:
    digests = {}
    for name in inference.order:
        source, _, template = name.rpartition("/")
        stored = inference.sources[source].model_dump()
        stored["set"]["templates"] = [one for one in stored["set"]["templates"] if one["id"] == template]
        digests[name] = files.digest([stored, inference.templates[name].examples])
    return digests


def _refuse_other_settings(inference: Inference, canary: Canary, model: str) -> None:
    now = _templates(inference)
    changed = [name for name, digest in canary["templates"].items() if now.get(name) != digest]
    if changed:
        raise TunesmithError(
            f"{model}: template {changed[0]}, or its examples, must be as evaluated; it differs from the one that "
            "canary.json records; restore inference.json from the model's MLflow run"
        )
    if identity(inference.model_dump()) != canary["inference_sha256"]:
        raise TunesmithError(
            f"{model}: the settings of generation in inference.json must be as evaluated; they differ from those that "
            "canary.json records; restore inference.json from the model's MLflow run"
        )


def _refuse_other_tokens(predictor: Predictor, now: Sequence[int], before: Sequence[int], where: str) -> None:
    if list(now) == list(before):
        return
    shorter = min(len(now), len(before))
    at = next((n for n in range(shorter) if now[n] != before[n]), shorter)
    shown = [repr(predictor.renderer.tokenizer.decode(ids[at : at + 1])) for ids in (before, now)]
    raise TunesmithError(
        f"{where}: its tokens must be as evaluated; token {at + 1} was {shown[0]} and is {shown[1]} here; tokenizer or "
        "chat template differ: install the versions in requirements.txt of the model"
    )


def _refuse_other_output(predictor: Predictor, entry: dict[str, Any], tolerance: float, where: str) -> None:
    logits = log_probabilities(predictor, entry["prompt"], entry["output"])
    decode = predictor.renderer.tokenizer.decode
    for at, (token, before) in enumerate(zip(entry["output"], entry["log_probabilities"], strict=True)):
        now, best = float(logits[at, token]), int(logits[at].argmax())
        if abs(now - before) <= tolerance and float(logits[at, best]) - now <= tolerance:
            continue
        raise TunesmithError(
            f"{where}: the model must generate as evaluated; token {at + 1} of the output was {decode([token])!r} with "
            f"log probability {before:.3f}; here it has {now:.3f} (allowed difference: {tolerance} nats), and the most "
            f"likely token is {decode([best])!r}; restore the model from its MLflow run; if it is unchanged, install "
            "its requirements.txt"
        )


@torch.no_grad()
def log_probabilities(predictor: Predictor, prompt: list[int], output: list[int]) -> torch.Tensor:
    """Log probabilities (T, V) at the T tokens of ``output``."""
    pad = predictor.renderer.tokenizer.pad_token_id
    batch = collate([Encoded(prompt, output)], predictor.base.kind, pad)
    predictor.model.eval()
    on_device = {name: value.to(next(predictor.model.parameters()).device) for name, value in batch.items()}
    logits, _, _ = supervised_logits(predictor.model, on_device, predictor.base.kind)
    return torch.log_softmax(logits.float(), dim=-1).cpu()


def _precision(predictor: Predictor) -> str:
    return "bf16" if device.use_bf16(predictor.generation.precision) else "fp32"
