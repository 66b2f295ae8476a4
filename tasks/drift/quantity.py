"""A quantity that may drift: its shift, its margin, its verdict, and a line for a reader."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tasks.core.counted import counted
from tasks.metrics.shifts import Harm, Shift

_LARGEST_LOG = 700.0
"""The exponential of a larger number overflows."""


@dataclass(frozen=True)
class Quantity:
    """A quantity that may drift.

    Attributes:
        key: what it is.
        title: what it is, for a reader.
        source: the source of its rows; None if there is only one.
        shift: None if a sample is empty; ``missing`` says which.
        margin: the smallest change that counts.
        harm: in which direction a change does harm.
        ratio: whether the shift is of a logarithm, so that it is shown as a ratio.
        factor: from stored to shown values, if it is no ratio.
    """

    key: str
    title: str
    source: str | None
    shift: Shift | None
    margin: float
    harm: Harm
    missing: str
    ratio: bool = False
    factor: float = 100.0

    @property
    def name(self) -> str:
        """The key, after the source if there are several."""
        return self.key if self.source is None else f"{self.source}/{self.key}"

    @property
    def label(self) -> str:
        """The title, with the source if there are several."""
        return self.title if self.source is None else f"{self.title} ({self.source})"

    def entry(self, min_groups: int) -> dict[str, Any]:
        """The entry of a result: ``margin``, ``verdict`` and ``line``, and the fields of the shift if there is one."""
        if self.shift is None:
            line = f"{self.label}: not compared, since {self.missing}"
            return {"verdict": "not enough rows", "margin": self.margin, "line": line}
        margin = math.log1p(self.margin) if self.ratio else self.margin
        verdict = self.shift.verdict(margin, self.harm, min_groups)
        return asdict(self.shift) | {"margin": self.margin, "verdict": verdict, "line": self._line(verdict)}

    def _line(self, verdict: str) -> str:
        assert self.shift is not None
        low, value, high = (self._shown(end) for end in (self.shift.low, self.shift.value, self.shift.high))
        groups = counted(self.shift.groups, "independent row")
        return f"{self.label}: {verdict}: {self._means()}, {value} [{low}, {high}] on {groups}"

    def _means(self) -> str:
        assert self.shift is not None
        ends = (self.shift.before, self.shift.after)
        if self.ratio:
            return " → ".join(f"{math.exp(end):.0f}" for end in ends)
        return " → ".join(f"{self.factor * end:.1f}" for end in ends)

    def _shown(self, change: float) -> str:
        if not self.ratio:
            return f"{self.factor * change:+.1f}"
        return "∞" if change > _LARGEST_LOG else f"{math.expm1(change):+.0%}"
