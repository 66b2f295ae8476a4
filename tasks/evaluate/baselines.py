"""``baselines``: two systems that have learnt nothing → ``reports/baselines/{lead,nearest}/``.

A tuned model that does not beat both has learnt nothing worth having, or the test is too easy.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

from tasks import files
from tasks.evaluate.groups import groups
from tasks.evaluate.metrics import summarise
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.report import score, write_report
from tasks.params import load
from tasks.paths import Paths
from tasks.rows import Row
from tasks.stage import Stage, main

logger = logging.getLogger("tunesmith")

_LEAD_SENTENCES = 3


def lead(test: list[Row], train: list[Row]) -> list[str]:
    """The first three sentences or lines of each text (Nallapati et al. 2017, section 4, call it LEAD-3)."""
    return [" ".join(re.split(r"(?<=[.!?])\s+|\n+", row["text"].strip())[:_LEAD_SENTENCES]) for row in test]


def nearest(test: list[Row], train: list[Row]) -> list[str]:
    """The completion of the training row whose text is most similar (cosine of tf-idf word vectors).

    A row is compared with training rows of its own source; the first wins a tie.
    """
    answers: dict[int, str] = {}
    for source in sorted({row["source"] for row in test}):
        asked = [i for i, row in enumerate(test) if row["source"] == source]
        known = [row for row in train if row["source"] == source]
        vectorizer = TfidfVectorizer(sublinear_tf=True)
        known_vectors = vectorizer.fit_transform(row["text"] for row in known)
        similarity = vectorizer.transform(test[i]["text"] for i in asked) @ known_vectors.T
        for i, best in zip(asked, similarity.toarray().argmax(axis=1), strict=True):
            answers[i] = known[best]["completion"]
    return [answers[i] for i in range(len(test))]


SYSTEMS = {"lead": lead, "nearest": nearest}


def run(params: EvaluateParams, paths: Paths, stage: Stage) -> None:
    """Score both on the evaluation set, as models are scored."""
    test = files.read_rows(paths.evaluation_set / "test.parquet")
    sources = sorted({row["source"] for row in test})
    train = [row for source in sources for row in files.read_rows(paths.split(source) / "train.parquet")]
    with stage.outputs(*(paths.baseline(name) for name in SYSTEMS)) as outputs:
        for (name, system), output in zip(SYSTEMS.items(), outputs, strict=True):
            output.mkdir()
            predictions = score(test, [_said(text) for text in system(test, train)])
            means, apart = summarise(predictions, params.intervals), groups(predictions, params.intervals)
            write_report(output, name, None, predictions, means, apart, params)
    logger.info("baselines scored on %d rows", len(test))


def _said(text: str) -> dict[str, Any]:
    return {"completion": text, "new_tokens": len(text.split()), "finished": True}


if __name__ == "__main__":
    here = Paths.here()
    main(
        "baselines",
        lambda stage: run(load(EvaluateParams, here.params / "evaluation.yaml", "evaluate"), here, stage),
    )
