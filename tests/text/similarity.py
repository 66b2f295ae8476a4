"""Texts that resemble each other, and their similarity by its definition, without MinHash."""

from __future__ import annotations

import random

from tasks.text.near_duplicates import normalise


def similarity(a: str, b: str) -> float:
    """Jaccard similarity of the word 5-grams or, where it is higher and both texts are short, of the 3-grams."""
    short = all(11 <= len(normalise(text).split()) <= 19 for text in (a, b))
    return max(jaccard(a, b, n) for n in ((5, 3) if short else (5,)))


def jaccard(a: str, b: str, n: int) -> float:
    """Jaccard similarity of the word n-grams, by the definition."""
    sets = []
    for text in (a, b):
        words = normalise(text).split()
        sets.append({tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def families(seed: int, count: int = 60) -> list[str]:
    """Texts in families of a text and its variants with 1 to 5 words changed, shuffled."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        base = [f"v{rng.randrange(300)}" for _ in range(rng.randint(3, 60))]
        for changes in range(rng.randint(1, 6)):
            variant = list(base)
            for _ in range(changes):
                variant[rng.randrange(len(variant))] = f"x{rng.randrange(10**6)}"
            texts.append(" ".join(variant))
    rng.shuffle(texts)
    return texts
