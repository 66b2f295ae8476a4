"""Sets of word n-grams, their MinHash signatures, and the pairs of sets that are near-duplicates.

Locality-sensitive hashing (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3) proposes candidate
pairs, and each pair is compared exactly. Buckets are runs in a sorted array: ``datasketch.MinHashLSH`` keeps a Python
set per bucket, which is too slow and too large for 100,000 texts (``bench/RESULTS.md``).

Signatures equal those of ``datasketch.MinHash`` 2.0.0, scheme affine32; the tests compare them. This module does not
import ``datasketch``, which takes two seconds in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.core.params import Params
from tasks.text.components import lowest_members, spanning_pairs
from tasks.text.ngrams import BASE, Hashes, Numbers, WordHashes, ngrams

RECALL = 0.99
"""Lowest probability with which a pair at the threshold becomes a candidate."""

CHUNK = 2_000
"""Texts whose n-grams are hashed together, so that they fit the processor's cache."""

MOST_PAIRS = 50_000
"""Candidates compared together."""


class NearDuplicateParams(Params):
    """When two texts count as near-duplicates.

    Attributes:
        threshold: lowest Jaccard similarity of the two sets of word n-grams.
        ngram: words per n-gram. A text of fewer words is one n-gram of all its words.
        permutations: MinHash values per text; more values find the same pairs with fewer comparisons.
        seed: seed of the permutations.
    """

    threshold: float = Field(default=0.5, gt=0, le=1)
    ngram: int = Field(default=5, ge=1)
    permutations: int = Field(default=128, ge=2, le=4096)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _finds_pairs(self) -> NearDuplicateParams:
        recall = candidate_probability(self.threshold, self.permutations, 1)
        if recall < RECALL:
            raise ValueError(
                f"permutations: {self.permutations} find a pair at threshold {self.threshold:g} with probability "
                f"{recall:.2f}; it must be at least {RECALL}: raise `permutations` or `threshold`"
            )
        return self

    def bands(self) -> tuple[int, int]:
        """Number of bands, and rows per band: the longest bands that reach ``RECALL`` at the threshold."""
        rows = 1
        while candidate_probability(self.threshold, self.permutations // (rows + 1), rows + 1) >= RECALL:
            rows += 1
        return self.permutations // rows, rows


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that two sets agree in a whole band (Leskovec et al., Mining of Massive Datasets, 3.4.2)."""
    return float(1 - (1 - similarity**rows) ** bands)


@dataclass(frozen=True)
class NgramSets:
    """The n-gram sets of texts.

    A 64-bit hash represents each n-gram. Among a million n-grams, two different ones share a hash with probability
    3e-8.

    Attributes:
        hashes: hashes of the n-grams, text by text, sorted within a text.
        counts: number of n-grams per text.
        starts: position of each text's first n-gram in ``hashes``.
        signatures: MinHash values (shape: texts, permutations), equal to those of ``datasketch.MinHash``.
    """

    params: NearDuplicateParams
    hashes: Hashes
    counts: Numbers
    signatures: NDArray[np.uint32]

    @classmethod
    def of(cls, texts: Sequence[str], params: NearDuplicateParams) -> NgramSets:
        """Make the sets of normalised texts."""
        words = WordHashes()
        permutations = _permutations(params.permutations, params.seed)
        hashes, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        signatures = np.empty((len(texts), params.permutations), np.uint32)
        for start in range(0, len(texts), CHUNK):
            grams, count = _different_ngrams(texts[start : start + CHUNK], params.ngram, words)
            _sign(grams, count, permutations, signatures[start : start + CHUNK])
            hashes.append(grams)
            counts.append(count)
        return cls(params, np.concatenate(hashes), np.concatenate(counts), signatures)

    @cached_property
    def starts(self) -> Numbers:
        return np.cumsum(self.counts) - self.counts

    def take(self, numbers: Numbers) -> NgramSets:
        """The sets of some of the texts, in the order of ``numbers``."""
        counts = self.counts[numbers]
        hashes = self.hashes[_ranges(self.starts[numbers], counts)]
        return NgramSets(self.params, hashes, counts, self.signatures[numbers])

    def clusters(self) -> Numbers:
        """Number of each text → lowest number in its cluster.

        Texts of one cluster need no comparison any more. Neighbours in a bucket come first, since they join most of a
        cluster: a thousand copies cost a thousand comparisons, not half a million.
        """
        cluster = np.arange(len(self.counts))
        for neighbours in (True, False):
            for band in range(self.params.bands()[0]):
                for i, j in self._candidates(band, cluster, neighbours):
                    cluster = self._joined(cluster, i, j)
        return cluster

    def _joined(self, cluster: Numbers, i: Numbers, j: Numbers) -> Numbers:
        """The clusters after the near-duplicates among the pairs (i, j) are joined.

        The pairs of a spanning tree are compared first; if they are near-duplicates, the others need no comparison.
        """
        for spanning in (True, False):
            apart = cluster[i] != cluster[j]
            i, j = i[apart], j[apart]
            chosen = spanning_pairs(cluster[i], cluster[j]) if spanning else np.arange(len(i))
            pairs = zip(i[chosen].tolist(), j[chosen].tolist(), strict=True)
            near = [
                k for k, (a, b) in zip(chosen, pairs, strict=True) if self.similarity(a, b) >= self.params.threshold
            ]
            if near:
                cluster = lowest_members(len(cluster), cluster[i[near]], cluster[j[near]])[cluster]
            i, j = np.delete(i, chosen), np.delete(j, chosen)
        return cluster

    def pairs_with(self, other: NgramSets) -> Iterator[tuple[int, int, float]]:
        """Yield each near-duplicate pair of a text of ``self`` and one of ``other`` once, with its similarity."""
        own = len(self.counts)
        both = NgramSets(
            self.params,
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.signatures, other.signatures]),
        )
        sides = np.repeat(np.array([0, 1]), [own, len(other.counts)])
        bands, rows = self.params.bands()
        for band in range(bands):
            for i, j in both._candidates(band, sides):
                agree = both.signatures[i, : bands * rows] == both.signatures[j, : bands * rows]
                first = agree.reshape(-1, bands, rows).all(axis=2).argmax(axis=1) == band
                for a, b in zip(i[first].tolist(), j[first].tolist(), strict=True):
                    similarity = both.similarity(a, b)
                    if similarity >= self.params.threshold:
                        yield a, b - own, similarity

    def _candidates(self, band: int, labels: Numbers, neighbours: bool = False) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield, in chunks, pairs with different labels that share the bucket of ``band`` and have similar signatures.

        With ``neighbours``, yield only pairs that are neighbours in a bucket.
        """
        order, starts, ends = self._buckets(band, labels)
        counts = np.minimum(ends - starts, 1) if neighbours else ends - starts
        total = np.cumsum(counts)
        at = 0
        while at < len(order):
            # the pairs of at least one text, and of as many as fit
            before = total[at] - counts[at]
            stop = max(at + 1, int(np.searchsorted(total, before + MOST_PAIRS, side="right")))
            i = order[np.repeat(np.arange(at, stop), counts[at:stop])]
            j = order[_ranges(starts[at:stop], counts[at:stop])]
            alike = self._alike(i, j)
            yield np.minimum(i, j)[alike], np.maximum(i, j)[alike]
            at = stop

    def _buckets(self, band: int, labels: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Texts ordered by bucket and label, and for each the range of those in its bucket with a later label."""
        rows = self.params.bands()[1]
        keys = np.zeros(len(self.counts), np.uint64)
        for column in range(band * rows, (band + 1) * rows):
            keys = _mixed64(keys * BASE + self.signatures[:, column])
        order = np.lexsort((labels, keys))
        keys, labels = keys[order], labels[order]
        new_bucket = np.flatnonzero(np.append(keys[1:] != keys[:-1], True)) + 1
        new_label = np.flatnonzero(np.append((keys[1:] != keys[:-1]) | (labels[1:] != labels[:-1]), True)) + 1
        positions = np.arange(len(order))
        ends = new_bucket[np.searchsorted(new_bucket, positions, side="right")]
        return order, new_label[np.searchsorted(new_label, positions, side="right")], ends

    def _alike(self, i: Numbers, j: Numbers) -> NDArray[np.bool_]:
        """Whether each pair can reach the threshold, judged by the sizes of its sets and by the MinHash values shared.

        The margin for the MinHash values is four standard deviations.
        """
        threshold, values = self.params.threshold, self.params.permutations
        few, many = np.minimum(self.counts[i], self.counts[j]), np.maximum(self.counts[i], self.counts[j])
        alike = few >= threshold * many
        shared = np.count_nonzero(self.signatures[i[alike]] == self.signatures[j[alike]], axis=1)
        alike[alike] = shared >= values * threshold - 4 * np.sqrt(values * threshold * (1 - threshold))
        return alike

    def similarity(self, i: int, j: int) -> float:
        """Jaccard similarity of the sets of two texts, by number."""
        a, b = (set(self.hashes[self.starts[k] : self.starts[k] + self.counts[k]].tolist()) for k in (i, j))
        shared = len(a & b)
        return shared / (len(a) + len(b) - shared)


def _different_ngrams(texts: Sequence[str], n: int, words: WordHashes) -> tuple[Hashes, Numbers]:
    """Hashes of the different n-grams of each text, sorted, and their number per text."""
    hashes, lengths = words.hashed(texts)
    padded = np.maximum(lengths, n)  # a text of fewer than n words is one n-gram
    flat = np.zeros(padded.sum(), np.uint64)
    flat[_ranges(np.cumsum(padded) - padded, lengths)] = hashes
    grams, text_of = ngrams(flat, padded, n)
    grams = _mixed64(grams)
    order = np.lexsort((grams, text_of))
    grams, text_of = grams[order], text_of[order]
    different = np.append(True, (grams[1:] != grams[:-1]) | (text_of[1:] != text_of[:-1]))
    return grams[different], np.bincount(text_of[different], minlength=len(texts))


def _permutations(number: int, seed: int) -> NDArray[np.uint32]:
    """(2, number): ``a``, odd, and ``b`` of the bijections ``a · h + b`` of 32-bit numbers."""
    random = np.random.RandomState(seed)
    a = random.randint(0, 2**31, number, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return np.array([a, random.randint(0, 2**32, number, dtype=np.uint32)])


def _sign(hashes: Hashes, counts: Numbers, permutations: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Write the MinHash values of each set into ``out`` (shape: texts, permutations).

    It computes what ``datasketch.MinHash.update_batch`` does (2.0.0, scheme affine32), for all sets at once.
    """
    mixed = _mixed32((hashes >> np.uint64(32)).astype(np.uint32))
    starts = np.cumsum(counts) - counts
    for column, (a, b) in enumerate(permutations.T):
        out[:, column] = np.minimum.reduceat(mixed * a + b, starts)


def _ranges(starts: Numbers, counts: Numbers) -> Numbers:
    """``starts[k], starts[k] + 1, …`` (``counts[k]`` numbers) for each k, one range after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def _mixed32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's finalizer: every bit of the input moves every bit of the output."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _mixed64(x: Hashes) -> Hashes:
    """As ``_mixed32``, for 64 bits."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))
