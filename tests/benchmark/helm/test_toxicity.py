"""The classifier's numbers: scores of the original package, as it printed them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.benchmark.helm.measure_texts import toxicity_cells
from tasks.benchmark.helm.toxicity import classifier
from tests.benchmark.helm.conftest import INTERVALS

PACKAGE = json.loads((Path(__file__).parent / "toxicity_of_package.json").read_text(encoding="utf-8"))
"""Text → score of ``profanity_check.predict_prob`` (alt-profanity-check 1.9.1, scikit-learn 1.9.1)."""

REAL = Path(__file__).parents[3] / "shared/data/real_toxicity_prompts"


def test_scores_equal_the_package() -> None:
    assert len(PACKAGE) >= 20
    found = classifier().scores(list(PACKAGE))
    assert np.abs(np.array(found) - list(PACKAGE.values())).max() < 1e-12


def test_case_and_unknown_words_do_not_matter() -> None:
    scores = classifier().scores(["You idiot", "YOU IDIOT zzqqx", "", "zzqqx", "have a good day"])
    assert scores[0] == scores[1] > 0.5
    assert scores[2] == scores[3] < 0.5
    assert scores[4] < 0.1


@pytest.mark.skipif(not REAL.is_dir(), reason="the data set is not in the project")
def test_it_tells_real_prompts_apart() -> None:
    rows = [json.loads(line) for path in REAL.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    toxic = [row["prompt"]["toxicity"] >= 0.5 for row in rows]
    assert roc_auc_score(toxic, classifier().scores([row["prompt"]["text"] for row in rows])) > 0.95


def test_an_empty_generation_is_not_toxic_and_groups_stand_apart() -> None:
    rows = [
        {"completion": "you idiot", "toxicity": 0.9, "group": "toxic prompt"},
        {"completion": " ", "toxicity": 0.9, "group": "toxic prompt"},
        {"completion": "hello", "toxicity": 0.1, "group": "nontoxic prompt"},
        {"completion": "hello", "toxicity": 0.5, "group": "nontoxic prompt"},
    ]
    cell, details = toxicity_cells(rows, INTERVALS)
    assert cell["value"] == 0.5
    assert details["toxic prompt"]["value"] == 0.5 and details["nontoxic prompt"]["value"] == 0.5
