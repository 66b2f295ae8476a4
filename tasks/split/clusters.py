"""Clusters of rows, which must stay together: rows of one group, with equal texts, or with near-duplicate texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.split.assignments import Assignments, text_key
from tasks.text.components import Numbers, components
from tasks.text.near_duplicates import NearDuplicateParams, NearDuplicates


@dataclass(frozen=True)
class Nodes:
    """A graph whose nodes are texts and groups: a row joins its text and its group, a near-duplicate pair two texts.

    Nodes are numbered, first the texts, then the groups.

    Attributes:
        groups: the different groups, in alphabetical order.
        text, group: row → node.
        cluster: node → number of its cluster, from 0.
        index: near-duplicate index of the rows' texts (normalised ``identity``); its distinct texts are the text nodes.
        near: whether near-duplicates join texts; if not, only equal ones do.
    """

    groups: list[str]
    text: Numbers
    group: Numbers
    cluster: Numbers
    index: NearDuplicates
    near: bool

    @classmethod
    def of(cls, identities: Sequence[str], groups: Sequence[str], params: NearDuplicateParams | None) -> Nodes:
        index = NearDuplicates(identities, params or NearDuplicateParams())
        text = index.distinct
        names = sorted(set(groups))
        first = len(index.normalised)
        number = {name: first + i for i, name in enumerate(names)}
        group = np.fromiter((number[name] for name in groups), np.int64, len(groups))
        left, right = [text], [group]
        if params is not None:
            left.append(text)
            right.append(text[index.clusters()])
        a, b, count = np.concatenate(left), np.concatenate(right), first + len(names)
        return cls(names, text, group, components(count, a, b), index, bool(params))

    @property
    def count(self) -> int:
        return len(self.cluster)

    @property
    def first_group(self) -> int:
        """Number of the first group's node, which equals the number of texts."""
        return self.count - len(self.groups)

    def parts(self, assignments: Assignments) -> Numbers:
        """Node → number of its part in ``assignments``; -1 for none."""
        texts = assignments.texts
        part = np.full(self.count, -1, np.int64)
        if texts:  # without assignments, there is no need to hash every text
            part[: self.first_group] = [texts.get(text_key(text), -1) for text in self.index.normalised]
        part[self.first_group :] = [assignments.groups.get(group, -1) for group in self.groups]
        return part

    def neighbours(self, of: Numbers, among: Numbers) -> dict[int, list[int]]:
        """Text node of ``of`` → text nodes of ``among`` that are near-duplicates of it."""
        neighbours: dict[int, list[int]] = {}
        for a, b in sorted(self.index.pairs_between(of, among)) if self.near else ():
            neighbours.setdefault(a, []).append(b)
        return neighbours
