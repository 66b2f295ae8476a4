"""Precision and recall of the signs on pairs marked by hand, and how often human references differ by them.

``python -m bench.signs [FILE]``: JSON Lines with a list of texts of one meaning per row, such as TWEETSUMM's
``abstractive_summaries``; all pairs of a row are compared. It takes only the metric ``signs``, so a copy of this file
and of ``tests/metrics/hard_pairs.yaml`` also measures an earlier version.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

from tasks.core import files
from tasks.core.params import read_yaml
from tasks.metrics.load import load

PAIRS = Path(__file__).parents[1] / "tests/metrics/hard_pairs.yaml"
SIGNS = {"negation": "negation_differs", "numbers": "numbers_differ"}


def differing(sign: str, pairs: list[tuple[str, str]]) -> list[bool]:
    """Whether each pair differs by ``sign``."""
    outputs, references = [one for one, _ in pairs], [[other] for _, other in pairs]
    scores = load("signs").compute(predictions=outputs, references=references, sources=[""] * len(pairs), per_row=True)
    return [bool(score) for score in scores[SIGNS[sign]]]


def main(file: Path | None) -> None:
    for sign, marked in read_yaml(PAIRS).items():
        pairs = [(*pair, kind == "differ") for kind in ("same", "differ") for pair in marked[kind]]
        signed = differing(sign, [(one, other) for one, other, _ in pairs])
        hits = sum(has and truth for has, (_, _, truth) in zip(signed, pairs, strict=True))
        print(
            f"{sign}: {len(pairs)} pairs, {len(marked['differ'])} differ; precision {hits / max(1, sum(signed)):.2f}, "
            f"recall {hits / len(marked['differ']):.2f}"
        )
        for has, (one, other, truth) in zip(signed, pairs, strict=True):
            if has != truth:
                print(f"  {'false alarm' if has else 'missed'}: {one} | {other}")
    for sign in SIGNS if file else ():
        assert file is not None
        rows = [_texts(row) for row in files.read_jsonl(file)]
        pairs_of_rows = [list(combinations(texts, 2)) for texts in rows if len(texts) > 1]
        signed = differing(sign, [pair for pairs in pairs_of_rows for pair in pairs])
        print(f"{sign}: {sum(signed) / len(signed):.3f} of {len(signed)} pairs of references differ ({file.name})")


def _texts(row: dict[str, object]) -> list[str]:
    texts = next((value for value in row.values() if isinstance(value, list)), [])
    return [text if isinstance(text, str) else " ".join(text) for text in texts]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
