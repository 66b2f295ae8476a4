"""Sets of word n-grams, their MinHash signatures, and which pairs of them are alike.

Locality-sensitive hashing (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3) proposes pairs, and each
pair is compared exactly. Buckets are runs in a sorted array: ``datasketch.MinHashLSH`` keeps a Python set a bucket,
which took 22 s and 1.2 GB for 100,000 texts in 42 bands (extrapolated from 10,000).

Signatures are those of ``datasketch.MinHash`` 2.0.0, scheme affine32; the tests compare them. It is not imported here:
that takes 2 s (scipy.integrate and redis, for the most part) in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.core.params import Params

Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint64]

RECALL = 0.99
"""Least probability with which a pair at the threshold becomes a candidate."""

_CHUNK = 2_000  # texts whose n-grams are hashed together: what they take stays in the processor's cache
_MOST_PAIRS = 50_000  # candidates compared together
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: every word of an n-gram counts in all bits of its hash
_PAD = np.uint64(0)  # fills a text of fewer than n words


class NearDuplicateParams(Params):
    """When two texts count as near-duplicates.

    Attributes:
        threshold: least Jaccard similarity of their sets of word n-grams.
        ngram: words an n-gram. A text of fewer words is one n-gram of all of them.
        permutations: MinHash values a text; more find the same pairs with fewer comparisons.
        seed: of the permutations.
    """

    threshold: float = Field(default=0.5, gt=0, le=1)
    ngram: int = Field(default=5, ge=1)
    permutations: int = Field(default=128, ge=2, le=4096)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _finds_pairs(self) -> NearDuplicateParams:
        if found_with(self.threshold, self.permutations, 1) < RECALL:
            raise ValueError(
                f"permutations: {self.permutations} find a pair at threshold {self.threshold:g} with probability "
                f"{found_with(self.threshold, self.permutations, 1):.2f}; it must be at least {RECALL}: "
                "raise `permutations` or `threshold`"
            )
        return self

    def bands(self) -> tuple[int, int]:
        """Bands and rows a band: the longest bands that still find a pair at the threshold (``RECALL``)."""
        rows = 1
        while found_with(self.threshold, self.permutations // (rows + 1), rows + 1) >= RECALL:
            rows += 1
        return self.permutations // rows, rows


def found_with(similarity: float, bands: int, rows: int) -> float:
    """Probability that two sets agree in a whole band (Leskovec et al., Mining of Massive Datasets, 3.4.2)."""
    return float(1 - (1 - similarity**rows) ** bands)


@dataclass(frozen=True)
class NgramSets:
    """The n-gram sets of texts.

    An n-gram stands for its 64-bit hash: among a million of them, two are equal by chance with probability 3e-8.

    Attributes:
        hashes: of all n-grams, those of a text together and in order.
        starts, counts: where a text's n-grams begin and how many they are.
        signatures: MinHash values, one row a text; the same as of ``datasketch.MinHash``.
    """

    params: NearDuplicateParams
    hashes: Hashes
    counts: Numbers
    signatures: NDArray[np.uint32]

    @classmethod
    def of(cls, texts: Sequence[str], params: NearDuplicateParams) -> NgramSets:
        words = _WordHashes()
        permutations = _permutations(params.permutations, params.seed)
        hashes, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        signatures = np.empty((len(texts), params.permutations), np.uint32)
        for start in range(0, len(texts), _CHUNK):
            found, count = _ngrams(texts[start : start + _CHUNK], params.ngram, words)
            _sign(found, count, permutations, signatures[start : start + _CHUNK])
            hashes.append(found)
            counts.append(count)
        return cls(params, np.concatenate(hashes), np.concatenate(counts), signatures)

    @cached_property
    def starts(self) -> Numbers:
        return np.cumsum(self.counts) - self.counts

    def take(self, numbers: Numbers) -> NgramSets:
        counts = self.counts[numbers]
        hashes = self.hashes[_ranges(self.starts[numbers], counts)]
        return NgramSets(self.params, hashes, counts, self.signatures[numbers])

    def clusters(self) -> Numbers:
        """Number of a text → lowest number in its cluster.

        Neighbours in a bucket are compared first: most of a cluster is joined by them, and texts that are joined
        need no comparison any more. So a thousand copies cost a thousand comparisons and not half a million.
        """
        forest = Forest(len(self.counts))
        for neighbours in (True, False):
            for band in range(self.params.bands()[0]):
                for i, j in self._candidates(band, forest.roots(), neighbours):
                    for a, b in zip(i.tolist(), j.tolist(), strict=True):
                        if forest.find(a) != forest.find(b) and self._similarity(a, b) >= self.params.threshold:
                            forest.join(a, b)
        return forest.roots()

    def pairs_with(self, other: NgramSets) -> Iterator[tuple[int, int, float]]:
        """Each near-duplicate pair of a text here and a text there once, with its similarity."""
        here = len(self.counts)
        both = NgramSets(
            self.params,
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.signatures, other.signatures]),
        )
        sides = np.repeat(np.array([0, 1]), [here, len(other.counts)])
        bands, rows = self.params.bands()
        for band in range(bands):
            for i, j in both._candidates(band, sides):
                agree = both.signatures[i, : bands * rows] == both.signatures[j, : bands * rows]
                first = agree.reshape(-1, bands, rows).all(axis=2).argmax(axis=1) == band
                for a, b in zip(i[first].tolist(), j[first].tolist(), strict=True):
                    similarity = both._similarity(a, b)
                    if similarity >= self.params.threshold:
                        yield a, b - here, similarity

    def _candidates(self, band: int, labels: Numbers, neighbours: bool = False) -> Iterator[tuple[Numbers, Numbers]]:
        """Pairs with different labels that share the bucket of ``band`` and whose signatures are alike, in chunks.

        With ``neighbours`` only those that stand next to each other in a bucket.
        """
        order, starts, ends = self._buckets(band, labels)
        counts = np.minimum(ends - starts, 1) if neighbours else ends - starts
        done = np.cumsum(counts)
        at = 0
        while at < len(order):
            # At least one text's pairs, and as many texts' as fit.
            before = done[at] - counts[at]
            stop = max(at + 1, int(np.searchsorted(done, before + _MOST_PAIRS, side="right")))
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
            keys = _mixed64(keys * _BASE + self.signatures[:, column])
        order = np.lexsort((labels, keys))
        keys, labels = keys[order], labels[order]
        new_bucket = np.flatnonzero(np.append(keys[1:] != keys[:-1], True)) + 1
        new_label = np.flatnonzero(np.append((keys[1:] != keys[:-1]) | (labels[1:] != labels[:-1]), True)) + 1
        positions = np.arange(len(order))
        ends = new_bucket[np.searchsorted(new_bucket, positions, side="right")]
        return order, new_label[np.searchsorted(new_label, positions, side="right")], ends

    def _alike(self, i: Numbers, j: Numbers) -> NDArray[np.bool_]:
        """Which pairs can reach the threshold, by the sizes of their sets and, four standard deviations wide, by how
        many MinHash values they share."""
        threshold, values = self.params.threshold, self.params.permutations
        few, many = np.minimum(self.counts[i], self.counts[j]), np.maximum(self.counts[i], self.counts[j])
        alike = few >= threshold * many
        shared = np.count_nonzero(self.signatures[i[alike]] == self.signatures[j[alike]], axis=1)
        alike[alike] = shared >= values * threshold - 4 * np.sqrt(values * threshold * (1 - threshold))
        return alike

    def _similarity(self, i: int, j: int) -> float:
        """Jaccard similarity of two sets."""
        a, b = (set(self.hashes[self.starts[k] : self.starts[k] + self.counts[k]].tolist()) for k in (i, j))
        shared = len(a & b)
        return shared / (len(a) + len(b) - shared)


class Forest:
    """Which of ``n`` things are joined (union-find); a set is known by its lowest member."""

    def __init__(self, n: int) -> None:
        self._parents = list(range(n))

    def find(self, i: int) -> int:
        parents = self._parents
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    def join(self, i: int, j: int) -> None:
        low, high = sorted((self.find(i), self.find(j)))
        self._parents[high] = low

    def roots(self) -> Numbers:
        """Number of a thing → lowest number that is joined to it."""
        roots = np.array(self._parents, np.int64)
        while (roots != (above := roots[roots])).any():
            roots = above
        return roots


class _WordHashes(dict[str, int]):
    """Word → 64-bit hash, the same in every process."""

    def __missing__(self, word: str) -> int:
        self[word] = value = int.from_bytes(
            hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        )
        return value


def _ngrams(texts: Sequence[str], n: int, hashes: _WordHashes) -> tuple[Hashes, Numbers]:
    """The different n-grams of each normalised text, in order, and their number a text."""
    words = [text.split() for text in texts]
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    padded = np.maximum(lengths, n)
    flat = np.full(padded.sum(), _PAD, np.uint64)
    text_of = np.repeat(np.arange(len(texts)), padded)
    place = _ranges(np.zeros(len(texts), np.int64), padded)
    flat[place < lengths[text_of]] = np.fromiter((hashes[w] for w in chain(*words)), np.uint64, lengths.sum())
    rolled = np.zeros(len(flat) - n + 1, np.uint64)
    for k in range(n):
        rolled = rolled * _BASE + flat[k : len(flat) - n + 1 + k]
    whole = place[: len(rolled)] <= (padded - n)[text_of[: len(rolled)]]
    found, text_of = _mixed64(rolled[whole]), text_of[: len(rolled)][whole]
    order = np.lexsort((found, text_of))
    found, text_of = found[order], text_of[order]
    different = np.append(True, (found[1:] != found[:-1]) | (text_of[1:] != text_of[:-1]))
    return found[different], np.bincount(text_of[different], minlength=len(texts))


def _permutations(number: int, seed: int) -> NDArray[np.uint32]:
    """(2, number): ``a``, odd, and ``b`` of the bijections ``a · h + b`` of 32-bit numbers."""
    random = np.random.RandomState(seed)
    a = random.randint(0, 2**31, number, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return np.array([a, random.randint(0, 2**32, number, dtype=np.uint32)])


def _sign(hashes: Hashes, counts: Numbers, permutations: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Write the MinHash values of each set into ``out``: what ``datasketch.MinHash.update_batch`` does, for all sets
    at once (datasketch 2.0.0, minhash.py, scheme affine32; ten times as fast)."""
    mixed = _mixed32((hashes >> np.uint64(32)).astype(np.uint32))
    starts = np.cumsum(counts) - counts
    for column, (a, b) in enumerate(permutations.T):
        out[:, column] = np.minimum.reduceat(mixed * a + b, starts)


def _ranges(starts: Numbers, counts: Numbers) -> Numbers:
    """``starts[k], starts[k] + 1, …`` (``counts[k]`` numbers) for each k, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def _mixed32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's finalizer: every bit of the input moves every bit of the output."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _mixed64(x: Hashes) -> Hashes:
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))
