"""``evaluate@X``: a model and the evaluation set → ``reports/experiments/X/`` and ``runs/X/evaluate/``."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.facts import facts
from tasks.core.params import load, parse
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluate.groups import dirty_rows, groups
from tasks.evaluate.inference_settings import NAME as INFERENCE
from tasks.evaluate.inference_settings import evaluated
from tasks.evaluate.metrics import SAMPLES, sample_spread, summarise
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.report import said, score, write_report
from tasks.evaluate.retention import retained
from tasks.evaluate.shots import choose, cost
from tasks.evaluate.shots import prompts as prompts_of
from tasks.evaluate.soft_prompt import explain
from tasks.inference.predict import Predictor
from tasks.template.stored import SourceTemplates
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")

SIZES = ("trainable_parameters", "total_parameters", "weights_bytes", "base_bytes")


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Evaluate the experiment ``name`` on the rows that all experiments meet."""
    params = load(EvaluateParams, paths.experiment(name) / "evaluate.yaml")
    device.use_threads(params.threads)
    started = time.time()
    with stage.outputs(paths.report(name), paths.run(name, "evaluate")) as (report, run_folder):
        measured = _evaluate(paths.model(name), paths.evaluation_set, params, report, paths.root, paths.mixtures)
        run_folder.mkdir()
        volatile = {"experiment": name, **measured}
        files.write_json(run_folder / "run.json", facts(paths.root, started, time.time(), params.threads) | volatile)


def evaluate_model(model: Path, evaluation_set: Path, params: dict[str, Any], output: Path, root: Path) -> None:
    """Evaluate any model folder, such as a registered champion's, as ``evaluate@X`` would.

    Unlike there, the wording of the prompts may have changed since the model was trained: a champion that could
    not meet new test rows could never be replaced. Its mixture may be gone, so clean and dirty rows are not told apart.

    ``params`` is an ``evaluate.yaml`` as a mapping. ``output`` gets ``predictions.parquet`` and ``metrics.json``.
    ``root``: the workspace, from which the base is found.
    """
    parsed = parse(EvaluateParams, params, "evaluate.yaml")
    device.use_threads(parsed.threads)
    _evaluate(model, evaluation_set, parsed, output, root, None)


def _evaluate(
    model: Path, evaluation_set: Path, params: EvaluateParams, output: Path, root: Path, mixtures: Path | None
) -> dict[str, Any]:
    """``mixtures``: the folder where the model's mixture lies; None for a model of another time."""
    predictor = Predictor.load(model, params.generation, root)
    test, validation = (_rows(evaluation_set / f"{part}.parquet") for part in ("test", "validation"))
    manifest, dirty = predictor.manifest, None
    if mixtures is not None:
        predictor.refuse_other_rendering(test)
        dirty = dirty_rows(mixtures / manifest["params"]["mixture"] / "dirty.parquet", test, model)
    shots = choose(test, _examples(evaluation_set), params.shots, params.intervals.seed)
    prompts, kept = prompts_of(predictor.renderer, test, shots, predictor.longest_prompt)
    begun = time.perf_counter()
    answers = predictor.answer(prompts)
    seconds = time.perf_counter() - begun
    predictions = score(test, said(answers))
    metrics = summarise(predictions, params.intervals)
    measured, losses = _validation(predictor, validation)
    metrics |= measured
    output.mkdir(parents=True, exist_ok=True)
    spread = _samples(predictor, prompts, test, params, output) if mixtures is not None else None
    apart = groups(predictions, params.intervals, manifest, dirty)
    if mixtures is not None:  # of a champion nobody asks what it lost
        apart |= retained(predictor, evaluation_set / "retention.parquet", params, output / "retention.parquet")
    about = _about(predictor) | {"shots": cost(prompts, kept, shots, predictor.context), "samples": spread}
    write_report(output, manifest["experiment"], manifest["key"], predictions, metrics, apart, params, about)
    how = evaluated(
        manifest,
        predictor.fingerprint(test),
        test,
        losses,
        shots,
        params.generation,
        params.threads,
        _templates(evaluation_set),
    )
    how.write(output / INFERENCE)
    logger.info("%s: ROUGE-1 F1 %.4f on %d rows", manifest["experiment"], metrics["rouge1_f"]["value"], len(test))
    return {
        "key": manifest["key"],
        "rows": len(test),
        "generation_seconds": seconds,
        "rows_per_second": len(test) / seconds,
    }


def _examples(evaluation_set: Path) -> list[Row]:
    path = evaluation_set / "examples.parquet"
    return files.read_rows(path) if path.exists() else []  # an evaluation set of an earlier version has none


def _samples(
    predictor: Predictor, prompts: list[list[int]], test: list[Row], params: EvaluateParams, output: Path
) -> dict[str, Any] | None:
    """Score ``sampling.count`` drawn answers a row and write them to ``samples.parquet``; how far the scores spread."""
    drawn = []
    for number in range(params.sampling.count):
        sampling = params.sampling.model_copy(update={"seed": params.sampling.seed + number})
        drawn.append(score(test, said(predictor.answer(prompts, sampling))))
    if not drawn:
        return None
    rows = [{"sample": number, **row} for number, rows in enumerate(drawn) for row in rows]
    files.write_rows(output / "samples.parquet", rows, SAMPLES)
    return {**params.sampling.model_dump(), "scores": sample_spread(drawn)}


def _about(predictor: Predictor) -> dict[str, Any]:
    """Sizes, and of a soft prompt what lies near it. Keys and values of prefix tuning lie near no words."""
    manifest = predictor.manifest  # of a registered model perhaps older than some of its keys
    words = manifest["method"] in ("prompt_tuning", "p_tuning")
    return {
        **{name: manifest.get(name) for name in SIZES},
        "trained_on": sorted({name.rpartition("/")[0] for name in manifest.get("templates") or ()}),
        "soft_prompt": explain(predictor.model, predictor.renderer.tokenizer) if words else None,
    }


def _rows(path: Path) -> list[Row]:
    rows = files.read_rows(path)
    if not any(row["completion"] for row in rows):
        raise TunesmithError(
            f"{path}: there must be a row with a completion; there is none; see params/evaluation.yaml"
        )
    return rows


def _validation(predictor: Predictor, rows: list[Row]) -> tuple[dict[str, Any], dict[str, float]]:
    """Metrics of the validation completions, by which the candidate is chosen, and ``SOURCE/ID`` → loss per byte."""
    encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows]
    measured = predictor.likelihood(encoded)
    values = {"validation_loss": measured.loss, "validation_loss_per_byte": _per_byte(rows, measured.nll)}
    if any(row["answer_choices"] for row in rows):
        values["validation_accuracy"] = measured.accuracy
    of_template: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of_template.setdefault(f"{row['source']}/{row['template_id']}", []).append(number)
    losses = {
        name: _per_byte([rows[n] for n in numbers], [measured.nll[n] for n in numbers])
        for name, numbers in of_template.items()
        if any(rows[n]["completion"] for n in numbers)
    }
    return {name: {"value": value, "low": None, "high": None} for name, value in values.items()}, losses


def _per_byte(rows: list[Row], nll: list[float]) -> float:
    return sum(nll) / sum(len(row["completion"].encode()) for row in rows)


def _templates(evaluation_set: Path) -> dict[str, SourceTemplates]:
    path = evaluation_set / "templates.json"
    known = files.read_json(path) if path.exists() else {}  # evaluation sets of earlier versions have no such file
    return {name: parse(SourceTemplates, value, path, name) for name, value in known.items()}
