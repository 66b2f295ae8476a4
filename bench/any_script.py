"""``python -m bench.any_script``: seconds to score 10,000 pairs with ROUGE, by words of any script and as before.

Before, ROUGE was ``rouge-score-rs`` with its default tokenizer, which knows ASCII words alone. Both score the same
pairs in turns; the fastest of ``TURNS`` counts.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from itertools import cycle, islice

from rouge_score_rs import RougeScorer

from tasks.ingest.demo import generate
from tasks.metrics.load import load
from tasks.metrics.rouge.rouge import KINDS

PAIRS, TURNS = 10_000, 7
Texts = list[str]


def before(predictions: Texts, references: list[Texts]) -> dict[str, list[float]]:
    """``Rouge.rows`` as it was."""
    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    columns: dict[str, list[float]] = {f"{kind}_{part}": [] for kind in KINDS for part in ("precision", "recall", "f")}
    for output, texts in zip(predictions, references, strict=True):
        candidate = _by_sentence(output)
        scores = [scorer.score(_by_sentence(text), candidate) for text in texts]
        for kind in KINDS:
            best = max((score[kind] for score in scores), key=lambda score: score.fmeasure)
            columns[f"{kind}_precision"].append(best.precision)
            columns[f"{kind}_recall"].append(best.recall)
            columns[f"{kind}_f"].append(best.fmeasure)
    return columns


def _by_sentence(text: str) -> str:
    return "\n".join(re.split(r"(?<=[.!?])\s+", text.strip()))


def pairs_of(texts: Texts) -> tuple[Texts, list[Texts]]:
    """``PAIRS`` predictions with one reference each: every text beside the next one."""
    repeated = list(islice(cycle(texts), PAIRS + 1))
    return repeated[1:], [[text] for text in repeated[:-1]]


def texts_by_name() -> dict[str, Texts]:
    """Summaries of the demo, the same with a curly quote, and random sentences of two other scripts."""
    english = [text for row in generate(seed=0, train_rows=1600, test_rows=400)[0] for text in row["summaries"]]
    english = [text for text in english if text.isascii()]
    drawn = random.Random(0)

    def sentences(first: int, last: int, words: bool) -> Texts:
        def word() -> str:
            return "".join(chr(drawn.randint(first, last)) for _ in range(drawn.randint(2, 7) if words else 1))

        return [(" " if words else "").join(word() for _ in range(20)) + "." for _ in range(2000)]

    return {
        "ASCII summaries of the demo": english,
        "the same in quotes “”": [f"“{text}”" for text in english],
        "20 Russian words": sentences(0x430, 0x437, True),
        "20 Chinese characters": sentences(0x4E00, 0x4EFF, False),
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    metric = load("rouge")
    for name, texts in texts_by_name().items():
        given = pairs_of(texts)
        if name.startswith("ASCII"):
            assert before(*given) == metric.rows(*given), "scores of ASCII texts must stay as they were"
        turns = [(seconds(lambda: before(*given)), seconds(lambda: metric.rows(*given))) for _ in range(TURNS)]  # noqa: B023
        old, new = (min(side) for side in zip(*turns, strict=True))
        print(f"{name}: {old:.3f} s before, {new:.3f} s now, ratio {new / old:.2f}")


if __name__ == "__main__":
    main()
