"""Functions that the task files of ``suites/own`` name."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

import numpy as np
from scipy.special import softmax

from tasks.core.errors import TunesmithError

Doc = dict[str, Any]


def stsb_target(doc: Doc) -> int:
    """The integer similarity nearest to the measured one."""
    return round(doc["label"])


def stsb_results(doc: Doc, results: list[tuple[float, bool]]) -> dict[str, tuple[float, float]]:
    """(measured similarity, mean of the six similarities under the model), the same for both correlations."""
    shares = softmax([value for value, _ in results])
    pair = (float(doc["label"]), float(shares @ np.arange(6)))
    return {"pearson": pair, "spearman": pair}


def multirc_choices(doc: Doc) -> list[str]:
    return [f"{doc['answer']}\nIs the answer correct? {choice}" for choice in ("no", "yes")]


def multirc_results(doc: Doc, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """Accuracy; the pair for F1 over all answers; (question, right), by which questions are right as a whole."""
    predicted = int(np.argmax([value for value, _ in results]))
    right = predicted == doc["label"]
    question = f"{doc['idx']['paragraph']}-{doc['idx']['question']}"
    return {"acc": float(right), "f1a": (doc["label"], predicted), "em": (question, right)}


def best_choices(doc: Doc) -> list[int]:
    """All choices with the highest score."""
    scores = doc["multiple_choice_scores"]
    return [index for index, score in enumerate(scores) if score == max(scores)]


def targets(doc: Doc) -> list[str]:
    if not doc["targets"]:
        raise TunesmithError("an example must have a target; there is none")
    return list(doc["targets"])


def record_text(doc: Doc) -> str:
    """The passage, followed by its highlights as a list that each choice continues."""
    text, *highlights = doc["passage"].strip().split("\n@highlight\n")
    return f"{text}\n\n" + "".join(f"  - {highlight}.\n" for highlight in highlights)


def record_choices(doc: Doc) -> list[str]:
    return [f"  - {doc['query']}".replace("@placeholder", entity) for entity in doc["entities"]]


def record_target(doc: Doc) -> str:
    return f"  - {doc['query']}".replace("@placeholder", doc["answers"][0])


def record_results(doc: Doc, results: list[tuple[float, bool]]) -> dict[str, float]:
    """Scores of the likeliest entity, against the answer that it matches best."""
    predicted = doc["entities"][int(np.argmax([value for value, _ in results]))]
    return {
        "f1": max(squad_f1(predicted, answer) for answer in doc["answers"]),
        "em": max(float(squad_words(predicted) == squad_words(answer)) for answer in doc["answers"]),
    }


def squad_words(text: str) -> list[str]:
    """Lower case, without punctuation and articles, as SQuAD's evaluation script 1.1 compares answers."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def squad_f1(prediction: str, answer: str) -> float:
    """F1 over words, counted with repetitions."""
    ours, theirs = squad_words(prediction), squad_words(answer)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))
