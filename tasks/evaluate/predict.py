"""``predict@X``: a model and the evaluation set → ``reports/predictions/X/`` and ``runs/X/predict/``.

This stage computes everything that needs the model: completions, likelihoods, nearest words of soft prompts.
``score@X`` then scores them without the model.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.facts import facts
from tasks.core.params import load, parse
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.evaluate import canary
from tasks.evaluate.inference_settings import evaluated
from tasks.evaluate.predict_params import PredictParams
from tasks.evaluate.predict_retention import predict_retention
from tasks.evaluate.predict_retired import predict_retired
from tasks.evaluate.predictions import (
    CANARY,
    DRAWN,
    INFERENCE,
    MODEL,
    TEST,
    VALIDATION,
    completion_columns,
    row_columns,
    validation_loss_per_byte,
)
from tasks.evaluate.shots import choose, cost
from tasks.evaluate.shots import prompts as prompts_of
from tasks.evaluate.soft_prompt import explain
from tasks.inference.predict import Predictor
from tasks.model.likelihood import Likelihood
from tasks.template.stored import SourceTemplates
from tasks.text.rows import Row
from tasks.text.training_rows import ancestors_texts, text_hash
from tasks.tuning import methods

logger = logging.getLogger("tunesmith")

SIZES = ("trainable_parameters", "total_parameters", "weights_bytes", "base_bytes")


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Generate with the experiment ``name`` for the rows of the evaluation set."""
    params = load(PredictParams, paths.experiment(name) / "predict.yaml")
    device.use_threads(params.threads)
    started = time.time()
    with stage.outputs(paths.predictions(name), paths.run(name, "predict")) as (output, run_folder):
        measured = predict(paths.model(name), paths.evaluation_set, params, output, paths.root)
        run_folder.mkdir()
        volatile = {"experiment": name, **measured}
        files.write_json(run_folder / "run.json", facts(paths.root, started, time.time(), params.threads) | volatile)


def predict(
    model: Path, evaluation_set: Path, params: PredictParams, output: Path, root: Path, champion: bool = False
) -> dict[str, Any]:
    """Write the files of ``tasks.evaluate.predictions`` to ``output``.

    Args:
        model: folder of the model.
        root: the workspace, in which the base is looked up.
        champion: whether this is an earlier model. If so, templates may have changed since its training: a champion
            that could not be evaluated on new test rows could never be replaced. No samples are drawn, and neither
            retention rows nor rows of earlier test sets are predicted.

    Returns:
        ``key``, ``rows``, ``generation_seconds`` and ``rows_per_second``.
    """
    predictor = Predictor.load(model, params.generation, root)
    test, validation = (_rows(evaluation_set / f"{part}.parquet") for part in ("test", "validation"))
    manifest = predictor.manifest
    if not champion:
        predictor.refuse_other_rendering(test)
    examples = _examples(evaluation_set)
    shots = choose(test, examples, params.shots, params.shots_seed)
    prompts, kept = prompts_of(predictor.renderer, test, shots, predictor.longest_prompt)
    output.mkdir(parents=True, exist_ok=True)
    # Before the rows, so that the progress that a flow shows last is that of the rows.
    recorded = {} if champion else canary.record(predictor)

    started = time.perf_counter()
    completions = predictor.generate_encoded(prompts)
    seconds = time.perf_counter() - started
    _write_test(output, test, completions, ancestors_texts(model))
    likelihood = predictor.likelihood([predictor.renderer.encode_row(row, last=True) for row in validation])
    _write_validation(output, validation, likelihood)
    if not champion:
        _write_samples(predictor, prompts, test, params, output)
        predict_retention(predictor, evaluation_set / "retention.parquet", output)
        predict_retired(predictor, evaluation_set / "retired.parquet", examples, params, output)

    about = _about(predictor) | {"shots": cost(prompts, kept, shots, predictor.context)}
    files.write_json(output / MODEL, _model(manifest, params, about))
    inference = evaluated(
        manifest,
        predictor.fingerprint(test),
        test,
        _losses_by_template(validation, likelihood.nll),
        shots,
        params.generation,
        params.threads,
        _templates(evaluation_set),
    )
    inference.write(output / INFERENCE)
    if not champion:
        files.write_json(output / CANARY, recorded | canary.settings(inference))
    return {
        "key": manifest["key"],
        "rows": len(test),
        "generation_seconds": seconds,
        "rows_per_second": len(test) / seconds,
    }


def _rows(path: Path) -> list[Row]:
    rows = files.read_rows(path)
    if not any(row["completion"] for row in rows):
        raise TunesmithError(
            f"{path}: a row must have a completion; none has one; see evaluation_set in params/evaluation.yaml"
        )
    return rows


def _examples(evaluation_set: Path) -> list[Row]:
    path = evaluation_set / "examples.parquet"
    return files.read_rows(path) if path.exists() else []  # an evaluation set of an earlier version has none


def _templates(evaluation_set: Path) -> dict[str, SourceTemplates]:
    path = evaluation_set / "templates.json"
    known = files.read_json(path) if path.exists() else {}  # evaluation sets of earlier versions have no such file
    return {name: parse(SourceTemplates, value, path, name) for name, value in known.items()}


def _write_test(output: Path, test: list[Row], completions: list[Any], ancestors: set[int]) -> None:
    of_ancestor = [{"of_ancestor": text_hash(row.get("identity") or "") in ancestors} for row in test]
    columns = zip(row_columns(test), completion_columns(completions), of_ancestor, strict=True)
    files.write_rows(output / "test.parquet", [row | completion | seen for row, completion, seen in columns], TEST)


def _write_validation(output: Path, rows: list[Row], likelihood: Likelihood) -> None:
    measured = zip(row_columns(rows), likelihood.nll, likelihood.tokens, likelihood.exact, strict=True)
    columns = [row | {"nll": nll, "tokens": tokens, "exact": exact} for row, nll, tokens, exact in measured]
    files.write_rows(output / "validation.parquet", columns, VALIDATION)


def _write_samples(
    predictor: Predictor, prompts: list[list[int]], test: list[Row], params: PredictParams, output: Path
) -> None:
    """Sample ``sampling.count`` completions per row, each round with the next seed."""
    drawn = []
    for number in range(params.sampling.count):
        sampling = params.sampling.model_copy(update={"seed": params.sampling.seed + number})
        completions = completion_columns(predictor.generate_encoded(prompts, sampling))
        pairs = zip(row_columns(test), completions, strict=True)
        drawn += [{"sample": number, **row, **completion} for row, completion in pairs]
    if drawn:
        files.write_rows(output / "samples.parquet", drawn, DRAWN)


def _about(predictor: Predictor) -> dict[str, Any]:
    """Facts that reports show: sizes, sources of the training rows, and the nearest words of a soft prompt.

    The keys and values of prefix tuning are not embeddings, so they have no nearest words.
    """
    manifest = predictor.manifest  # manifests of older registered models may lack keys
    words = methods.named(manifest["method"]).embeds_virtual_tokens
    return {
        **{name: manifest.get(name) for name in SIZES},
        "trained_on": sorted({name.rpartition("/")[0] for name in manifest.get("templates") or ()}),
        "soft_prompt": explain(predictor.model, predictor.renderer.tokenizer) if words else None,
    }


def _model(manifest: dict[str, Any], params: PredictParams, about: dict[str, Any]) -> dict[str, Any]:
    """``model.json``; see ``Predictions.about``."""
    return {
        "schema": 1,
        "experiment": manifest["experiment"],
        "key": manifest["key"],
        "mixture": (manifest.get("params") or {}).get("mixture"),
        "templates": manifest.get("templates"),
        "tasks": manifest.get("tasks"),
        "generation": params.generation.model_dump(),
        "sampling": params.sampling.model_dump(),
        "model": about,
    }


def _losses_by_template(rows: list[Row], nll: list[float]) -> dict[str, float]:
    """``SOURCE/ID`` → loss of its validation completions in nats per byte."""
    of_template: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of_template.setdefault(f"{row['source']}/{row['template_id']}", []).append(number)
    return {
        name: validation_loss_per_byte([rows[n] for n in numbers], [nll[n] for n in numbers])
        for name, numbers in of_template.items()
        if any(rows[n]["completion"] for n in numbers)
    }


if __name__ == "__main__":
    experiment = sys.argv[1]
    main(f"predict@{experiment}", lambda stage: run(experiment, Paths.here(), stage))
