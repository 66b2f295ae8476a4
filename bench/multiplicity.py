"""How often a report of equal experiments shows a difference that is none.

    python -m bench.multiplicity --simulations 10000 --seed 0

Each simulated report compares 10 experiments with one baseline on the same rows, by 6 metrics; no experiment differs
from the baseline. Half of a difference's variance is the baseline's, so the experiments are correlated. Metrics of one
experiment have the correlation of the column. Printed is the share of reports with at least one marked difference:

- ``unadjusted``: an interval per difference, as without any adjustment;
- ``adjusted``: as the report marks them (``tasks.metrics.verdicts.marked``);
- ``primary``: the share with a marked difference of the primary metric.

``power`` is the share of truly better experiments that the primary metric marks, where 3 of the 10 are better by 2
points with a paired deviation of 10.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tasks.metrics.differences import t_test
from tasks.metrics.groups import Grouped
from tasks.metrics.verdicts import marked

EXPERIMENTS, METRICS = 10, 6
BETTER, GAIN, DEVIATION = 3, 2.0, 10.0
CONFIDENCE = 0.95


def p_values(random: np.random.Generator, rows: int, correlation: float, gains: np.ndarray) -> np.ndarray:
    """Of the paired t-tests of one report (shape: experiments, metrics); ``gains``: true gain of each experiment."""
    noise = _correlated(random, (EXPERIMENTS + 1, rows, METRICS), correlation)
    differences = DEVIATION * np.sqrt(0.5) * (noise[1:] - noise[0]) + gains[:, None, None]
    columns = differences.transpose(1, 0, 2).reshape(rows, EXPERIMENTS * METRICS)
    _, _, p = t_test(Grouped(columns, np.ones_like(columns)), CONFIDENCE)
    return p.reshape(EXPERIMENTS, METRICS)


def _correlated(random: np.random.Generator, shape: tuple[int, ...], correlation: float) -> np.ndarray:
    shared = random.standard_normal((*shape[:-1], 1))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * random.standard_normal(shape)


def shares(rows: int, correlation: float, simulations: int, seed: int) -> list[float]:
    """Unadjusted, adjusted and primary shares of null reports, and the power."""
    random = np.random.default_rng([seed, rows, int(100 * correlation)])
    level = 1 - CONFIDENCE
    counts = np.zeros(4)
    gains = np.where(np.arange(EXPERIMENTS) < BETTER, GAIN, 0.0)
    for _ in range(simulations):
        p = p_values(random, rows, correlation, np.zeros(EXPERIMENTS))
        shown = marked(_named(p), "m0", level)
        primary = [name for name, metric in shown if metric == "m0"]
        true = marked(_named(p_values(random, rows, correlation, gains)), "m0", level)
        hits = sum((f"x{index}", "m0") in true for index in range(BETTER))
        counts += [(p < level).any(), bool(shown), bool(primary), hits / BETTER]
    return [float(count) / simulations for count in counts]


def _named(p: np.ndarray) -> dict[tuple[str, str], float]:
    return {(f"x{row}", f"m{column}"): float(value) for (row, column), value in np.ndenumerate(p)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000, help="per cell")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    print("| rows | correlation of metrics | unadjusted | adjusted | primary | power |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for rows in (40, 200):
        for correlation in (0.0, 0.3, 0.6, 0.9):
            cells = [f"{100 * share:.1f} %" for share in shares(rows, correlation, options.simulations, options.seed)]
            print(f"| {rows} | {correlation} | {' | '.join(cells)} |", flush=True)
    print(f"\n{options.simulations} reports per row, seed {options.seed}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
