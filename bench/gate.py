"""How often the gate promotes a candidate that is no better, how often its interval is right, and what it can show.

    python -m bench.gate --simulations 10000 --seed 0

Prints one table: test rows, how they are grouped, whether 5 % of them leaked into training, and per cell

- ``coverage``: share of intervals that contain the true difference (one decision, no true difference);
- ``false``: share of simulations in which a candidate without a true gain is promoted at one decision;
- ``power``: share in which a candidate with a true gain of ``--gain`` is promoted at one decision;
- ``false, 52 looks``: share in which one of 52 candidates without a true gain is promoted, with the same level each
  time (``each``) and with the level spent over the looks (``spend``);
- ``leaks vote``: ``false`` if the leaked rows counted, which the gate does not let them.

A score's paired difference has the standard deviation ``--deviation``. In groups of 10 rows the intraclass correlation
is 0.3. A leaked row gains 30 points. The candidates of 52 looks are compared with one champion on the same rows, so
half of a difference's variance is shared. The functions are those that the gate decides with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from tasks.gate.looks import spent
from tasks.gate.params import RegistrationParams
from tasks.metrics.differences import t_test
from tasks.metrics.groups import Grouped
from tasks.metrics.params import IntervalParams

SIZES = (5, 10, 20, 30, 50, 100, 200, 300, 500)
GROUP, CORRELATION = 10, 0.3
LEAKED, LEAK_GAIN = 0.05, 30.0
LOOKS = 52
_CHUNK = 500
"""Simulations computed at once."""


class Cell:
    """One row of the table: ``rows`` test rows, grouped or not, leaked or not."""

    def __init__(self, rows: int, grouped: bool, leaked: bool, options: argparse.Namespace) -> None:
        self.size = GROUP if grouped else 1
        self.groups, self.grouped, self.leaked = rows // self.size, grouped, leaked
        self.deviation, self.gain, self.simulations = options.deviation, options.gain, options.simulations
        self.intervals = IntervalParams(seed=0)
        self.min_groups = RegistrationParams().min_groups
        self.random = np.random.default_rng([options.seed, rows, grouped, leaked])

    def noise(self, count: int) -> np.ndarray:
        """Deviations from the mean, with unit variance (shape: groups, size, simulations)."""
        rows = self.random.standard_normal((self.groups, self.size, count))
        if not self.grouped:
            return rows
        shared = self.random.standard_normal((self.groups, 1, count))
        return np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * rows

    def summed(self, differences: np.ndarray, clean: np.ndarray) -> Grouped:
        """The clean rows by group (shape: groups, simulations); a group without a clean row is left out."""
        sums, sizes = (differences * clean).sum(axis=1), clean.sum(axis=1, dtype=np.float64)
        kept = sizes.any(axis=1)
        return Grouped(sums[kept], sizes[kept])

    def clean(self, count: int) -> np.ndarray:
        """Which rows did not leak (shape as of ``noise``). Single rows are alike, so the first ones are those."""
        clean = np.ones((self.groups, self.size, count), dtype=bool)
        if self.leaked and self.grouped:
            return self.random.random(clean.shape) >= LEAKED
        if self.leaked:
            clean[: round(LEAKED * self.groups)] = False
        return clean

    def bounds(self, by_group: Grouped, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval of each simulation, as ``paired_difference`` computes them."""
        resampled = by_group.resampled_means(self.intervals.resamples, self.intervals.seed)
        tail = (1 - confidence) / 2
        low, high = np.nanquantile(resampled, [tail, 1 - tail], axis=0)
        _, reach, _ = t_test(by_group, confidence)
        return np.minimum(low, by_group.means() - reach), np.maximum(high, by_group.means() + reach)

    def promotes(self, by_group: Grouped, confidence: float) -> np.ndarray:
        """Whether each simulation's candidate is promoted. The cheap t bound goes first; few pass it."""
        counted = (by_group.sizes > 0).sum(axis=0) >= self.min_groups
        _, reach, _ = t_test(by_group, confidence)
        promising = np.flatnonzero(counted & (by_group.means() - reach > 0))
        promoted = np.zeros(by_group.sums.shape[1], dtype=bool)
        for start in range(0, len(promising), _CHUNK):
            chosen = promising[start : start + _CHUNK]
            low, _ = self.bounds(Grouped(by_group.sums[:, chosen], by_group.sizes[:, chosen]), confidence)
            promoted[chosen] = low > 0
        return promoted

    def chunks(self) -> Iterator[int]:
        for start in range(0, self.simulations, _CHUNK):
            yield min(_CHUNK, self.simulations - start)

    def one_look(self) -> dict[str, float]:
        """``coverage``, ``false``, ``power``, ``leaks vote`` and ``decided``."""
        totals = dict.fromkeys(("coverage", "false", "power", "leaks vote", "decided"), 0.0)
        confidence = self.intervals.confidence
        for count in self.chunks():
            differences, clean = self.deviation * self.noise(count), self.clean(count)
            by_group = self.summed(differences, clean)
            low, high = self.bounds(by_group, confidence)
            totals["coverage"] += ((low <= 0) & (high >= 0)).sum()
            totals["decided"] += ((by_group.sizes > 0).sum(axis=0) >= self.min_groups).sum()
            totals["false"] += self.promotes(by_group, confidence).sum()
            totals["power"] += self.promotes(self.summed(differences + self.gain, clean), confidence).sum()
            everything = np.ones_like(clean)
            leaks = self.summed(differences + LEAK_GAIN * ~clean, everything)
            totals["leaks vote"] += self.promotes(leaks, confidence).sum()
        return {name: float(total) / self.simulations for name, total in totals.items()}

    def many_looks(self) -> dict[str, float]:
        """Share of simulations in which one of ``LOOKS`` candidates without a gain is promoted: ``each``, ``spend``."""
        promoted = {"each": 0, "spend": 0}
        for count in self.chunks():
            champion, clean = self.noise(count), self.clean(count)
            ever = {name: np.zeros(count, dtype=bool) for name in promoted}
            for look in range(1, LOOKS + 1):
                differences = self.deviation * np.sqrt(0.5) * (self.noise(count) - champion)
                by_group = self.summed(differences, clean)
                ever["each"] |= self.promotes(by_group, self.intervals.confidence)
                ever["spend"] |= self.promotes(by_group, spent(self.intervals.confidence, look))
            for name in promoted:
                promoted[name] += int(ever[name].sum())
        return {name: total / self.simulations for name, total in promoted.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000, help="per cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deviation", type=float, default=10.0, help="of the paired difference of a row, in points")
    parser.add_argument("--gain", type=float, default=2.0, help="true gain for `power`, in points")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="test rows")
    options = parser.parse_args()
    started = time.perf_counter()
    columns = ["rows", "groups of", "leaked", "decided", "coverage", "false", "power", "false, 52 looks: each", "spend"]
    print("| " + " | ".join([*columns, "false if leaks vote"]) + " |")
    print("|" + " ---: |" * (len(columns) + 1))
    for grouped in (False, True):
        for leaked in (False, True):
            for rows in options.sizes:
                cell = Cell(rows, grouped, leaked, options)
                if cell.groups >= 2:
                    print(_line(rows, cell), flush=True)
    print(f"\n{options.simulations} simulations per cell, seed {options.seed}, {time.perf_counter() - started:.0f} s")


def _line(rows: int, cell: Cell) -> str:
    one = cell.one_look()
    looks = cell.many_looks() if one["decided"] else {"each": 0.0, "spend": 0.0}
    shown = [
        *(str(rows), str(cell.size), "5 %" if cell.leaked else "no", f"{100 * one['decided']:.0f} %"),
        f"{100 * one['coverage']:.1f} %",
    ]
    rates = [one["false"], one["power"], looks["each"], looks["spend"], one["leaks vote"] if cell.leaked else None]
    decided = [("–" if rate is None or not one["decided"] else f"{100 * rate:.1f} %") for rate in rates]
    return "| " + " | ".join([*shown, *decided]) + " |"


if __name__ == "__main__":
    main()
