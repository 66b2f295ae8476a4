"""Scores of a text against its references, a row at a time, and their means with bootstrap intervals."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import sacrebleu
from rouge_score_rs import RougeScorer

from tasks.evaluate.params import IntervalParams
from tasks.rows import Row
from tasks.statistics import mean_interval

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
ROUGE_COLUMNS = tuple(f"{kind}_{part}" for kind in ROUGE for part in ("precision", "recall", "f"))
MEANS = (*ROUGE_COLUMNS, "copied_4grams", "new_tokens", "finished", "empty")

PREDICTIONS = pa.schema(
    [
        *((name, pa.string()) for name in ("row_id", "source", "task", "template_id", "prompt", "text")),
        ("references", pa.list_(pa.string())),
        ("completion", pa.string()),
        ("new_tokens", pa.int64()),
        ("finished", pa.bool_()),
        *((name, pa.float64()) for name in (*ROUGE_COLUMNS, "bleu", "copied_4grams", "exact_match")),
    ]
)
"""Columns of ``predictions.parquet``; ``completion`` is what was said, ``exact_match`` is null without choices."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Scorer:
    """Scores completions. ROUGE as ``rouge_score`` with stemmer; of several references the one with the best F1."""

    def __init__(self) -> None:
        self._rouge = RougeScorer(list(ROUGE), use_stemmer=True)
        self._bleu = sacrebleu.BLEU(effective_order=True)

    def row(self, completion: str, row: Row) -> dict[str, Any]:
        """All score columns of one completion; ROUGE in 0..1, sentence BLEU in 0..100."""
        scores = self._rouge_of(completion, row["references"])
        scores["bleu"] = self._bleu.sentence_score(completion, row["references"]).score
        scores["copied_4grams"] = copied_ngrams(completion, row["text"])
        exact = completion.strip() in {reference.strip() for reference in row["references"]}
        scores["exact_match"] = float(exact) if row["answer_choices"] else None
        return scores

    def _rouge_of(self, completion: str, references: list[str]) -> dict[str, Any]:
        # ROUGE-Lsum compares sentence by sentence, and rouge_score tells sentences by line ends.
        candidate = by_sentence(completion)
        found = [self._rouge.score(by_sentence(reference), candidate) for reference in references]
        scores: dict[str, Any] = {}
        for kind in ROUGE:
            best = max((score[kind] for score in found), key=lambda score: score.fmeasure)
            scores |= {
                f"{kind}_precision": best.precision,
                f"{kind}_recall": best.recall,
                f"{kind}_f": best.fmeasure,
            }
        return scores


def by_sentence(text: str) -> str:
    return "\n".join(_SENTENCE_END.split(text.strip()))


def copied_ngrams(completion: str, text: str, n: int = 4) -> float:
    """Share of the completion's n-grams of words that stand in ``text``; 0 for fewer than n words.

    An under-trained model that repeats the dialogue gains ROUGE; this shows it.
    """
    said, source = _ngrams(completion, n), set(_ngrams(text, n))
    return sum(gram in source for gram in said) / len(said) if said else 0.0


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def summarise(predictions: list[Row], params: IntervalParams) -> dict[str, dict[str, float | None]]:
    """Means over the rows with bootstrap intervals, and corpus BLEU with an interval over resampled rows."""
    metrics: dict[str, dict[str, float | None]] = {}
    for name in MEANS:
        values = [float(not p["completion"].strip()) if name == "empty" else float(p[name]) for p in predictions]
        metrics[name] = _interval(values, params)
    exact = [p["exact_match"] for p in predictions if p["exact_match"] is not None]
    if exact:
        metrics["exact_match"] = _interval(exact, params)
    metrics["bleu"] = corpus_bleu(predictions, params)
    return metrics


def _interval(values: list[float], params: IntervalParams) -> dict[str, float | None]:
    value, low, high = mean_interval(np.array(values), params.resamples, params.confidence, params.seed)
    return {"value": value, "low": low, "high": high}


def corpus_bleu(predictions: list[Row], params: IntervalParams) -> dict[str, float | None]:
    """Corpus BLEU in 0..100. Rows with fewer references repeat none: sacrebleu takes None for a missing one."""
    most = max(len(p["references"]) for p in predictions)
    streams: list[Any] = [
        [p["references"][i] if i < len(p["references"]) else None for p in predictions] for i in range(most)
    ]
    bleu = sacrebleu.BLEU()
    completions = [p["completion"] for p in predictions]
    value = bleu.corpus_score(completions, streams).score
    statistics = np.array(bleu._extract_corpus_statistics(completions, streams))
    rng = np.random.default_rng(params.seed)
    draws = rng.integers(len(statistics), size=(params.resamples, len(statistics)))
    scores = [bleu._compute_score_from_stats(statistics[draw].sum(0).tolist()).score for draw in draws]
    tail = (1 - params.confidence) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return {"value": value, "low": float(low), "high": float(high)}
