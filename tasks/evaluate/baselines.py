"""``baselines``: two systems that have learnt nothing → ``reports/baselines/{lead,nearest}/``.

A tuned model that does not beat both has learnt nothing worth having, or the test is too easy.
"""

from __future__ import annotations

import logging
import re
from collections import Counter

from sklearn.feature_extraction.text import TfidfVectorizer

from tasks.core import files
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.evaluate.groups import groups
from tasks.evaluate.metrics import summarise
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.report import scored_rows, write_report
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")

_LEAD_SENTENCES = 3


def lead(test: list[Row], train: list[Row]) -> list[str]:
    """The first three sentences or lines of each text (Nallapati et al. 2017, section 4, call it LEAD-3)."""
    return [" ".join(re.split(r"(?<=[.!?])\s+|\n+", row["text"].strip())[:_LEAD_SENTENCES]) for row in test]


def nearest(test: list[Row], train: list[Row]) -> list[str]:
    """The completion of the training row whose text is most similar (cosine of tf-idf word vectors).

    A row is compared with training rows of its own source and task; the first wins a tie. Where their texts hold no
    word of two letters, the answer is the most frequent completion, and nothing where there is no training row.
    """
    known: dict[tuple[str, str], list[Row]] = {}
    for row in train:
        known.setdefault((row["source"], row["task"]), []).append(row)
    asked: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(test):
        asked.setdefault((row["source"], row["task"]), []).append(i)
    answers: dict[int, str] = {}
    for key, places in asked.items():
        said = _nearest([test[i]["text"] for i in places], known.get(key, []))
        answers |= dict(zip(places, said, strict=True))
    return [answers[i] for i in range(len(test))]


def _nearest(texts: list[str], known: list[Row]) -> list[str]:
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    words = vectorizer.build_analyzer()
    if not any(words(row["text"]) for row in known):  # scikit-learn refuses an empty vocabulary
        frequent = Counter(row["completion"] for row in known).most_common(1)
        return [frequent[0][0] if frequent else ""] * len(texts)
    vectors = vectorizer.fit_transform(row["text"] for row in known)
    similarity = vectorizer.transform(texts) @ vectors.T
    return [known[best]["completion"] for best in similarity.toarray().argmax(axis=1)]


SYSTEMS = {"lead": lead, "nearest": nearest}


def run(params: EvaluateParams, paths: Paths, stage: Stage) -> None:
    """Score both on the evaluation set, as models are scored."""
    test = files.read_rows(paths.evaluation_set / "test.parquet")
    sources = sorted({row["source"] for row in test})
    train = [row for source in sources for row in files.read_rows(paths.split(source) / "train.parquet")]
    with stage.outputs(*(paths.baseline(name) for name in SYSTEMS)) as outputs:
        for (name, system), output in zip(SYSTEMS.items(), outputs, strict=True):
            output.mkdir()
            predictions = scored_rows(test, [_completion(text) for text in system(test, train)])
            means, apart = summarise(predictions, params.intervals), groups(predictions, params.intervals)
            write_report(output, name, None, predictions, means, apart, params.generation.model_dump())
    logger.info("baselines scored on %d rows", len(test))


def _completion(text: str) -> Row:
    return {"completion": text, "new_tokens": len(text.split()), "finished": True}


if __name__ == "__main__":
    here = Paths.here()
    main(
        "baselines",
        lambda stage: run(load(EvaluateParams, here.params / "evaluation.yaml", "evaluate"), here, stage),
    )
