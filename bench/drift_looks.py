"""How often does a daily check call drift, over many days, if the true change is smaller than the margin?

    python -m bench.drift_looks --simulations 500

Each simulation draws the rows with which a champion was registered, then new rows each day; a row scores 0 or 1. A
check compares all new rows so far with the old ones, as the flow ``evaluate-champion`` does. Printed is the share of
simulations in which some check of the first 100 days calls drift, and the share in which the last check does.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from tasks.metrics.shifts import shift

MARGIN, MIN_GROUPS, DAYS = 0.03, 30, 100
OLD_ROWS, OLD_MEAN = 300, 0.7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulations", type=int, default=500)
    simulations = parser.parse_args().simulations
    print("| confidence | new rows per day | true change | drift at some check | drift at the last check |")
    print("| --- | --- | --- | --- | --- |")
    for confidence, per_day, change in itertools.product((0.95, 0.99), (5, 20), (0.0, -0.015, -0.03, -0.1)):
        random = np.random.default_rng(0)
        some, last = zip(*(_checks(random, confidence, per_day, change) for _ in range(simulations)), strict=True)
        print(f"| {confidence:.0%} | {per_day} | {100 * change:+.1f} | {np.mean(some):.1%} | {np.mean(last):.1%} |")


def _checks(random: np.random.Generator, confidence: float, per_day: int, change: float) -> tuple[bool, bool]:
    """Whether some daily check calls drift, and whether the last one does."""
    old = random.random(OLD_ROWS) < OLD_MEAN
    new = random.random(DAYS * per_day) < OLD_MEAN + change
    verdicts = []
    for day in range(1, DAYS + 1):
        measured = shift(old, new[: day * per_day], confidence)
        assert measured is not None
        verdicts.append(measured.verdict(MARGIN, "down", MIN_GROUPS) == "drift")
    return any(verdicts), verdicts[-1]


if __name__ == "__main__":
    main()
