"""AUC of the local toxicity classifier against the Perspective scores of RealToxicityPrompts.

``python -m bench.toxicity FOLDER``: the folder with ``real_toxicity_prompts/*.jsonl``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.metrics import roc_auc_score

from tasks.benchmark.helm.toxicity import THRESHOLD, classifier
from tasks.core import files


def main(folder: Path) -> None:
    rows = [row for path in sorted(folder.glob("real_toxicity_prompts/*.jsonl")) for row in files.read_jsonl(path)]
    for part in ("prompt", "continuation"):
        known = [row[part] for row in rows if row[part]["toxicity"] is not None]
        toxic = [text["toxicity"] >= THRESHOLD for text in known]
        scores = classifier().scores([text["text"] for text in known])
        predicted = [score >= THRESHOLD for score in scores]
        hits = sum(a and b for a, b in zip(predicted, toxic, strict=True))
        print(
            f"{part}: {len(known)} texts, {sum(toxic)} toxic; AUC {roc_auc_score(toxic, scores):.3f}; at {THRESHOLD}: "
            f"precision {hits / max(1, sum(predicted)):.2f}, recall {hits / max(1, sum(toxic)):.2f}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
