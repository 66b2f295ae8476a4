"""Merge an adapter into its base model, after a proof that merging does not change the outputs."""

from __future__ import annotations

import gc
import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tasks.ancestry.build import mergeable, mergeable_methods, save_whole
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.evaluate.canary import greedy_outputs, log_probabilities, texts
from tasks.evaluate.evaluated_model import refuse_other_weights
from tasks.evaluate.predictions import CANARY, INFERENCE
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor, read_manifest
from tasks.model.base_models import BaseModel, load_model
from tasks.model.registered import files_hash
from tasks.text.training_rows import NAME as TRAINING_ROWS
from tasks.train.manifests import weights_bytes
from tasks.tuning import methods
from tasks.tuning.peft_adapters import CONFIG, load_beside, load_merged

TOLERANCE = 1e-3
"""Largest allowed difference of a log probability in nats; both models compute in fp32."""

_FP32 = GenerationParams(precision="fp32")


@dataclass(frozen=True)
class Compared:
    """How far two models differ on the prompts.

    Attributes:
        prompts: number of prompts.
        largest: largest difference of a log probability of an output token, in nats.
        same_outputs: prompts whose greedy outputs are equal.
    """

    prompts: int
    largest: float
    same_outputs: int


@dataclass(frozen=True)
class Merged:
    """A merge.

    Attributes:
        proof: the merged model against the unmerged one.
        drift: of a quantised base: against the adapter merged into the original, unquantised base; None for others.
        adapter_bytes, whole_bytes: sizes of the weights.
    """

    proof: Compared
    drift: Compared | None
    adapter_bytes: int
    whole_bytes: int


def merge(model: Path, root: Path, output: Path) -> Merged:
    """Write the model in ``model`` as a whole model to the new folder ``output``.

    ``transformers`` and other programs can load the folder. It keeps ``inference.json``, the canary, the list of
    training rows, and the manifest with its rendering fingerprint.

    Raises:
        TunesmithError: there is nothing to merge, the method cannot be merged, the base or the adapter has another
            hash than recorded, or the merged model differs.
    """
    manifest = read_manifest(model)
    method = methods.named(manifest["method"])
    if mergeable(manifest["method"]) and not method.merges:
        raise TunesmithError(
            f"{model}: merge needs an adapter; this model ({manifest['method']}) is a whole model already, and its "
            "files can be used as they are"
        )
    if not mergeable(manifest["method"]):
        raise TunesmithError(
            f"{model}: merge needs a method whose result is in the weights ({', '.join(mergeable_methods())}); this "
            f"model was tuned by {manifest['method']}, which adds parts beside them; serve the adapter without merging"
        )
    if not (model / CONFIG).exists():
        raise TunesmithError(
            f"{model}: merge needs an adapter with {CONFIG}; this model ({manifest['method']}) has weights that "
            "replace those of its base; it can be used as it is"
        )
    refuse_other_weights(model, manifest)
    if output.exists():
        raise TunesmithError(f"{output}: merge writes a new folder; this one exists; choose another name or remove it")
    merged = Predictor.load(model, _FP32, root)
    prompts = [merged.renderer.prompt(text) for text in texts()]
    outputs = greedy_outputs(merged, prompts)
    proof = _compared(merged, _beside(model, merged, manifest), prompts, outputs)
    if proof.largest > TOLERANCE or proof.same_outputs < proof.prompts:
        raise TunesmithError(
            f"{model}: the merged model must generate as the unmerged one; {proof.same_outputs} of "
            f"{proof.prompts} greedy outputs are equal, and a log probability differs by {proof.largest:.2g} (at most "
            f"{TOLERANCE}); nothing was written; serve the adapter without merging"
        )
    drift = None
    if method.load_merge_base is not None:
        drift = _compared(merged, _on_published(model, merged.base, merged), prompts, outputs)
    with files.replacing(output) as folder:
        _write(merged, model, manifest, proof, drift, folder)
    return Merged(proof, drift, weights_bytes(model), weights_bytes(output))


def _beside(model: Path, merged: Predictor, manifest: dict[str, Any]) -> Predictor:
    """The model with its adapter, unmerged."""
    method = methods.named(manifest["method"])
    if method.load_merge_base is None:
        base = load_model(merged.base, torch.float32)
    else:
        base = method.load_merge_base(merged.base, manifest["params"])
    return replace(merged, model=load_beside(base, model))


def _on_published(model: Path, base: BaseModel, merged: Predictor) -> Predictor:
    return replace(merged, model=load_merged(load_model(base, torch.float32), model))


def _compared(one: Predictor, other: Predictor, prompts: list[list[int]], outputs: list[list[int]]) -> Compared:
    """Compare two models at the greedy outputs of the first; ``other`` is freed afterwards."""
    other.model.to(next(one.model.parameters()).device).eval()
    largest = 0.0
    for prompt, output in zip(prompts, outputs, strict=True):
        rows = torch.arange(len(output))
        first, second = (log_probabilities(model, prompt, output)[rows, output] for model in (one, other))
        difference = float((first - second).abs().max())
        largest = max(largest, difference) if math.isfinite(difference) else math.inf
    same = sum(a == b for a, b in zip(outputs, greedy_outputs(other, prompts), strict=True))
    del other
    gc.collect()
    return Compared(len(prompts), largest, same)


def _write(
    merged: Predictor, model: Path, manifest: dict[str, Any], proof: Compared, drift: Compared | None, folder: Path
) -> None:
    folder.mkdir()
    save_whole(merged.model, merged.renderer, folder)
    for name in (INFERENCE, CANARY, TRAINING_ROWS):
        if (model / name).exists():
            shutil.copy(model / name, folder / name)
    about = {
        "method": manifest["method"],
        "weights_sha256": manifest["weights_sha256"],
        "proof": asdict(proof),
        "drift": asdict(drift) if drift else None,
    }
    whole = {
        "method": "full",
        "weights_sha256": files_hash(folder),
        "weights_bytes": weights_bytes(folder),
        "merged": about,
    }
    files.write_json(folder / "manifest.json", manifest | whole)
