"""Score each row, and all rows together with bootstrap intervals, by the metrics of ``tasks/metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import sacrebleu
from datasets import Value

from tasks.core.errors import TunesmithError
from tasks.evaluate.reference_signs import between_references
from tasks.metrics.languages import bleu_tokenizer
from tasks.metrics.load import load
from tasks.metrics.names import CORPUS, ROUGE_COLUMNS, SCORES, SIGNS, is_hub
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_intervals
from tasks.metrics.text import entity_counts, entity_score
from tasks.text.rows import Row, group_key

MEANS = (*ROUGE_COLUMNS, *SIGNS, "new_tokens", "finished", "exact_match", "accuracy", "token_f1")

NEEDS_TOKENS = {"rouge": "rouge1_f", "bleu": "bleu", "chrf": "chrf"}
"""Metrics that say nothing about a reference without a token → the score that is then null."""

Score = dict[str, float | None]
"""``value``, ``low`` and ``high``, all None if the score is not defined; of a correlation also ``unparsed``, the number
of completions that are no number."""

PREDICTIONS = pa.schema(
    [
        *((name, pa.string()) for name in ("row_id", "source", "task", "template_id", "prompt", "text")),
        ("references", pa.list_(pa.string())),
        ("group", pa.string()),
        ("metrics", pa.list_(pa.string())),
        ("completion", pa.string()),
        ("new_tokens", pa.int64()),
        ("finished", pa.bool_()),
        ("dirty", pa.bool_()),
        *((name, pa.float64()) for name in SCORES),
    ]
)
"""Columns of ``predictions.parquet``.

- ``group``: rows of one source with the same group are not independent (``tasks.text.rows.group_key``).
- ``metrics``: those that the row's template names.
- ``dirty``: whether the row counts as seen in training; null if that is not known.
- ``bleu``, ``chrf`` (0..100) and ``entity_f1`` are computed on the row alone. A score is null if it does not apply to
  the row, or if the metric finds no token in the row's references.
"""

SAMPLES = PREDICTIONS.insert(0, pa.field("sample", pa.int64()))
"""Columns of ``samples.parquet``: ``PREDICTIONS`` of each drawn completion; ``sample`` numbers the draws from 0."""


def score_rows(completions: list[str], rows: list[Row]) -> list[dict[str, Any]]:
    """Compute the score columns of ``PREDICTIONS`` for the completion of each row.

    Args:
        rows: with ``references``, ``text``, ``metrics``, ``answer_choices``, and ``language`` if it is known.
    """
    if not rows:
        return []
    given = {"predictions": completions, "references": [row["references"] for row in rows]}
    columns: dict[str, list[Any]] = dict(load("rouge").compute(**given, per_row=True))
    sources = [row["text"] or "" for row in rows]
    columns |= load("signs").compute(**given, sources=sources, languages=_languages(rows), per_row=True)
    chrf = sacrebleu.CHRF()
    columns["bleu"] = [_sentence(_bleu(row), text, row) for text, row in zip(completions, rows, strict=True)]
    for name in ("exact_match", "accuracy", "token_f1"):
        scores = load(name).compute(**given, per_row=True)[name]
        columns[name] = [score if _applies(name, row) else None for score, row in zip(scores, rows, strict=True)]
    for name, score_one in (("chrf", lambda text, row: _sentence(chrf, text, row)), ("entity_f1", _entity_f1)):
        pairs = zip(completions, rows, strict=True)
        columns[name] = [score_one(text, row) if _applies(name, row) else None for text, row in pairs]
    in_order = [columns[name] for name in SCORES]
    return [dict(zip(SCORES, values, strict=True)) for values in zip(*in_order, strict=True)]


def _languages(rows: list[Row]) -> list[str | None]:
    return [row.get("language") for row in rows]


def _bleu(row: Row) -> Any:
    return _bleu_with(bleu_tokenizer(row.get("language")))


@cache
def _bleu_with(tokenizer: str) -> Any:
    return sacrebleu.BLEU(effective_order=True, tokenize=tokenizer)


def _sentence(metric: Any, completion: str, row: Row) -> float | None:
    """None if no reference has a token: sacrebleu splits at spaces last, so only space has none."""
    if not any(text.strip() for text in row["references"]):
        return None
    return float(metric.sentence_score(completion, row["references"]).score)


def _entity_f1(completion: str, row: Row) -> float:
    return entity_score(entity_counts(completion, row["references"][0]))


def _applies(name: str, row: Row) -> bool:
    return name in (row.get("metrics") or ()) or (name == "exact_match" and bool(row["answer_choices"]))


def summarise(predictions: list[Row], params: IntervalParams) -> dict[str, Score]:
    """Compute every score with its bootstrap interval, which draws whole groups of rows (``group_key``).

    Means are over the rows that have the score. Metrics of ``CORPUS`` and of the hub are over the rows that name them,
    BLEU over all rows. Rows with several references add how often these differ by the signs.
    """
    scores = means(predictions, MEANS, params) | between_references(predictions, params)
    return scores | corpus(predictions, params, ("bleu",))


def means(predictions: list[Row], names: Iterable[str], params: IntervalParams) -> dict[str, Score]:
    """Mean of each score column with its bootstrap interval, over the rows that have the score."""
    columns = tuple(names)
    values = np.array([[row[name] for name in columns] for row in predictions], dtype=np.float64)  # None becomes NaN
    groups = [group_key(row) for row in predictions]
    intervals = mean_intervals(values.reshape(len(predictions), len(columns)), params, groups)
    return {name: one._asdict() for name, one in zip(columns, intervals, strict=True) if one is not None}


def corpus(predictions: list[Row], params: IntervalParams, always: tuple[str, ...] = ()) -> dict[str, Score]:
    """Compute the metrics of ``CORPUS`` and of the hub, each over the rows that name it.

    Args:
        always: metrics that are computed over all rows.

    Raises:
        TunesmithError: a metric of the hub cannot be loaded, or rows lack what a metric needs.
    """
    named = sorted({name for row in predictions for name in row["metrics"] or ()})
    scores: dict[str, Score] = {}
    for name in dict.fromkeys([*always, *(name for name in named if name in CORPUS or is_hub(name))]):
        rows = predictions if name in always else [row for row in predictions if name in (row["metrics"] or ())]
        if rows:
            scores |= _corpus(name, rows, params)
    return scores


def _corpus(name: str, rows: list[Row], params: IntervalParams) -> dict[str, Score]:
    given = {"predictions": [row["completion"] for row in rows], "references": [row["references"] for row in rows]}
    metric = load(name)
    if is_hub(name):
        return _from_hub(name, metric, given)
    options: dict[str, Any] = {**params.model_dump(), "groups": [group_key(row) for row in rows]}
    if name == "bleu":
        options["languages"] = _languages(rows)
    try:
        scores = metric.compute(**given, **options)
    except ValueError as error:
        sources = ", ".join(sorted({row["source"] for row in rows}))
        raise TunesmithError(f"metric {name} on the rows of {sources}: {error}") from None
    score = {"value": scores[name], "low": scores[f"{name}_low"], "high": scores[f"{name}_high"]}
    return {name: score | ({"unparsed": scores[f"{name}_unparsed"]} if f"{name}_unparsed" in scores else {})}


def _from_hub(name: str, metric: Any, given: dict[str, Any]) -> dict[str, Score]:
    """Every number that the metric returns, without an interval: Tunesmith does not know how to resample it."""
    single = {"predictions": given["predictions"], "references": [texts[0] for texts in given["references"]]}
    try:
        # Metrics that take several references per row declare it in their features; others take one text.
        several = any(not isinstance(features["references"], Value) for features in _features(metric))
        scores = metric.compute(**(given if several else single))
    except (ValueError, TypeError, KeyError) as error:
        raise TunesmithError(
            f"metric {name}: must take texts as predictions and references; {type(error).__name__}: {error}"
        ) from error
    numbers = {key: value for key, value in scores.items() if isinstance(value, int | float | np.number)}
    # The prefix keeps the names apart from this project's: the hub's BLEU runs from 0 to 1.
    short = name.removeprefix("hub:").partition("@")[0].replace("/", ".")
    return {f"hub.{short}.{key}": {"value": float(value), "low": None, "high": None} for key, value in numbers.items()}


def _features(metric: Any) -> list[Any]:
    return metric.features if isinstance(metric.features, list) else [metric.features]


def settings(predictions: list[Row]) -> dict[str, str]:
    """The settings to report with the scores of these rows: signatures, and the languages of the sources."""
    signatures: dict[str, str] = dict(load("rouge").settings)
    for name in ("bleu", "chrf"):
        rows = predictions if name == "bleu" else [row for row in predictions if name in (row["metrics"] or ())]
        if rows:
            metric = load(name)
            options = {"languages": _languages(rows)} if name == "bleu" else {}
            metric.compute(
                predictions=[row["completion"] for row in rows],
                references=[row["references"] for row in rows],
                **options,
            )
            signatures |= metric.settings  # it describes the last computation, so these rows
    languages = sorted({f"{row['source']}: {row['language']}" for row in predictions if row.get("language")})
    return signatures | ({"languages": ", ".join(languages)} if languages else {})


def not_scored(predictions: list[Row]) -> dict[str, int]:
    """Metric of ``NEEDS_TOKENS`` → number of rows of whose references it leaves no token; without zeros."""
    counts = {
        name: sum(row[column] is None and _expected(name, row) for row in predictions)
        for name, column in NEEDS_TOKENS.items()
    }
    return {name: count for name, count in counts.items() if count}


def _expected(name: str, row: Row) -> bool:
    return name != "chrf" or name in (row["metrics"] or ())


def sample_spread(drawn: list[list[Row]]) -> dict[str, dict[str, float]]:
    """Measure how the scores of sampled completions spread, over the rows that have a score in every sample.

    Args:
        drawn: scored rows of each sample.

    Returns:
        Score column → its ``mean``, the ``lowest`` and ``highest`` mean of one sample, and ``within_row``: the mean
        over rows of the standard deviation of the row's scores.
    """
    spread = {}
    for name in SCORES:
        # A row that lacks a score in one sample (a completion without a word) is left out of all.
        values = [row for row in zip(*([one[name] for one in rows] for rows in drawn), strict=True) if None not in row]
        if not values:
            continue
        scores_SR = np.array(values, dtype=np.float64).T
        means_S = scores_SR.mean(axis=1)
        spread[name] = {
            "mean": float(scores_SR.mean()),
            "lowest": float(means_S.min()),
            "highest": float(means_S.max()),
            "within_row": float(scores_SR.std(axis=0).mean()),
        }
    return spread
