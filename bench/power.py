"""How often a report shows a true gain, by its number of systems and metrics.

    python -m bench.power --simulations 4000 --seed 0

One of the experiments is better than the baseline by 2 points, with a paired deviation of 10 points, on 200 test rows;
the others are equal to the baseline. Metrics of one experiment have a correlation of 0.6. Printed is how often

- ``verdict``: the verdict on its primary metric is "better" by itself;
- ``marked``: the difference is also marked after the adjustment for all differences of the report.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tasks.metrics.differences import t_test
from tasks.metrics.groups import Grouped
from tasks.metrics.verdicts import marked

ROWS, GAIN, DEVIATION, CORRELATION = 200, 2.0, 10.0, 0.6
SYSTEMS, METRICS = (2, 3, 5, 10, 20), (1, 4, 6)
CONFIDENCE = 0.95


def shown(systems: int, metrics: int, simulations: int, seed: int) -> tuple[float, float]:
    """Shares of reports in which the verdict is "better", and in which the difference is marked."""
    random = np.random.default_rng([seed, systems, metrics])
    verdicts = marks = 0
    for _ in range(simulations):
        shared = random.standard_normal((ROWS, systems, 1))
        noise = CORRELATION**0.5 * shared + (1 - CORRELATION) ** 0.5 * random.standard_normal((ROWS, systems, metrics))
        differences = DEVIATION * 0.5**0.5 * (noise[:, 1:] - noise[:, :1])
        differences[:, 0, 0] += GAIN
        columns = differences.reshape(ROWS, -1)
        _, _, p = t_test(Grouped(columns, np.ones_like(columns)), CONFIDENCE)
        by_system = p.reshape(systems - 1, metrics)
        named = {(f"x{row}", f"m{column}"): float(value) for (row, column), value in np.ndenumerate(by_system)}
        better = columns[:, 0].mean() > 0
        verdicts += better and by_system[0, 0] < 1 - CONFIDENCE
        marks += better and ("x0", "m0") in marked(named, "m0", 1 - CONFIDENCE)
    return verdicts / simulations, marks / simulations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=4_000, help="per cell")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    print(f"| systems | verdict | {' | '.join(f'marked, {metrics} metrics' for metrics in METRICS)} |")
    print("| ---: | ---: |" + " ---: |" * len(METRICS))
    for systems in SYSTEMS:
        cells = [shown(systems, metrics, options.simulations, options.seed) for metrics in METRICS]
        print(f"| {systems} | {100 * cells[0][0]:.0f} % | {' | '.join(f'{100 * one[1]:.0f} %' for one in cells)} |")
    print(f"\n{options.simulations} reports per cell, seed {options.seed}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
