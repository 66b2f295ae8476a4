"""Similarity of texts by its definition, without MinHash."""

from __future__ import annotations

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
