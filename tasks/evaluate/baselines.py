"""``baselines``: score two systems that learn nothing → ``reports/baselines/{lead,nearest}/``.

A tuned model must beat both. If it does not, it has learned nothing useful, or the test is too easy.
"""

from __future__ import annotations

import logging
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
from tasks.metrics.scoring import read_scorings
from tasks.metrics.sentences import CLOSE_STOPS, sentences_and_lines
from tasks.text.rows import Row
from tasks.text.words import spaced, stands_alone

logger = logging.getLogger("tunesmith")

_LEAD_SENTENCES = 3


def lead(test: list[Row], train: list[Row]) -> list[str]:
    """Take the first three sentences or lines of each text (LEAD-3, Nallapati et al. 2017, section 4)."""
    return [_joined(sentences_and_lines(row["text"].strip())[:_LEAD_SENTENCES]) for row in test]


def _joined(sentences: list[str]) -> str:
    """The sentences with a space between them, except after a full stop of Chinese or Japanese."""
    spaces = ["" if sentence[-1:] in CLOSE_STOPS and sentence else " " for sentence in sentences[:-1]]
    return "".join(sentence + space for sentence, space in zip(sentences, [*spaces, ""], strict=True))


def nearest(test: list[Row], train: list[Row]) -> list[str]:
    """Take the completion of the training row whose text is most similar (cosine of tf-idf word vectors).

    A row is compared with training rows of its own source and task. The first of several equal rows wins. Words have
    two letters at least; a character of a script without spaces is a word too. If no text has a word, the completion is
    the most frequent one; without training rows it is empty.
    """
    train_by_task: dict[tuple[str, str], list[Row]] = {}
    for row in train:
        train_by_task.setdefault((row["source"], row["task"]), []).append(row)
    indices_by_task: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(test):
        indices_by_task.setdefault((row["source"], row["task"]), []).append(index)
    completions: dict[int, str] = {}
    for task, indices in indices_by_task.items():
        nearest_completions = _nearest([test[index]["text"] for index in indices], train_by_task.get(task, []))
        completions |= dict(zip(indices, nearest_completions, strict=True))
    return [completions[index] for index in range(len(test))]


def _nearest(texts: list[str], train: list[Row]) -> list[str]:
    vectorizer = TfidfVectorizer(analyzer=_terms, sublinear_tf=True)
    if not any(_terms(row["text"]) for row in train):  # scikit-learn refuses an empty vocabulary
        frequent = Counter(row["completion"] for row in train).most_common(1)
        return [frequent[0][0] if frequent else ""] * len(texts)
    vectors = vectorizer.fit_transform(row["text"] for row in train)
    similarity = vectorizer.transform(texts) @ vectors.T
    return [train[best]["completion"] for best in similarity.toarray().argmax(axis=1)]


def _terms(text: str) -> list[str]:
    """On ASCII text, the words that scikit-learn finds by default."""
    return [word for word in spaced(text, "_").split() if len(word) > 1 or stands_alone(word)]


SYSTEMS = {"lead": lead, "nearest": nearest}


def run(params: EvaluateParams, paths: Paths, stage: Stage) -> None:
    """Score both systems on the evaluation set, as models are scored."""
    test = files.read_rows(paths.evaluation_set / "test.parquet")
    sources = sorted({row["source"] for row in test})
    train = [row for source in sources for row in files.read_rows(paths.split(source) / "train.parquet")]
    scorings = read_scorings(paths.scorings, test)
    with stage.outputs(*(paths.baseline(name) for name in SYSTEMS)) as outputs:
        for (name, system), output in zip(SYSTEMS.items(), outputs, strict=True):
            output.mkdir()
            predictions = scored_rows(test, [_completion(text) for text in system(test, train)], scorings)
            metrics, by_group = summarise(predictions, params.intervals), groups(predictions, params.intervals)
            write_report(output, name, None, predictions, metrics, by_group, params.generation.model_dump())
    logger.info("baselines scored on %d rows", len(test))


def _completion(text: str) -> Row:
    return {"completion": text, "new_tokens": len(text.split()), "finished": True}


if __name__ == "__main__":
    workspace = Paths.here()
    main(
        "baselines",
        lambda stage: run(load(EvaluateParams, workspace.params / "evaluation.yaml", "evaluate"), workspace, stage),
    )
