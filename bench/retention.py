"""How often a true loss on a task is called kept, lost, gained or undecided.

    python -m bench.retention --simulations 5000 --seed 0

Each simulated row has a score of 0 or 1 before and after tuning. ``--changed`` is the share of rows whose score changes
if nothing is lost. A true loss of 5 points makes 5 % more rows fall than rise. Of several tasks only the first
has the loss, and its verdict is counted; the others lose nothing. The verdicts are those of
``tasks.metrics.verdicts.retained``; a test compares them.

The column ``no loss shown`` is the share that an earlier rule called kept: the interval of the difference is not
wholly below zero.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats

from tasks.metrics.params import VerdictParams

LOSSES = (0.0, 0.03, 0.05, 0.10)
ROWS = (50, 100, 300, 1000, 3000)
TASKS = (1, 8)
CONFIDENCE = 0.95
VERDICTS = ("gained", "kept", "lost", "undecided")


def changes(random: np.random.Generator, rows: int, loss: float, changed: float, count: int) -> np.ndarray:
    """Numbers of rows that fall and that rise (shape: count, 2)."""
    rise = max(0.0, (changed - loss) / 2)
    return random.multinomial(rows, [rise + loss, rise, 1 - 2 * rise - loss], size=count)[:, :2]


def verdicts(fallen: np.ndarray, risen: np.ndarray, rows: int, params: VerdictParams) -> np.ndarray:
    """Verdicts as indices of ``VERDICTS``, of families of tasks (shape: count, tasks), as ``retained`` gives them."""
    values, errors = estimates(fallen, risen, rows)
    hidden, tail = (1 - params.margin) ** rows, (1 - CONFIDENCE) / 2
    not_inferior = holm(np.maximum(hidden, tail_p(values + params.margin, errors, rows)))
    above, below = holm(tail_p(values, errors, rows)), holm(tail_p(-values, errors, rows))
    return np.select([above <= tail, not_inferior <= tail, below <= tail], [0, 1, 2], 3)


def estimates(fallen: np.ndarray, risen: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference per row, and its standard error."""
    values = (risen - fallen) / rows
    return values, np.sqrt(((fallen + risen) / rows - values**2) / (rows - 1))


def tail_p(excess: np.ndarray, errors: np.ndarray, rows: int) -> np.ndarray:
    """One-sided p-values of the t-test of "the true excess is not above 0"."""
    safe = np.where(errors == 0, 1.0, errors)
    return np.where(errors == 0, np.where(excess > 0, 0.0, 1.0), stats.t.sf(excess / safe, rows - 1))


def holm(p: np.ndarray) -> np.ndarray:
    """``tasks.metrics.verdicts.holm`` of each family (shape: count, tasks)."""
    order = np.argsort(p, axis=1, kind="stable")
    scaled = np.minimum(1.0, np.take_along_axis(p, order, 1) * np.arange(p.shape[1], 0, -1))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(scaled, axis=1), 1)
    return adjusted


def cell(rows: int, loss: float, tasks: int, options: argparse.Namespace) -> list[float]:
    """Shares of ``VERDICTS`` on the task with the loss, and of the rule without a margin."""
    random = np.random.default_rng([options.seed, rows, round(1000 * loss), tasks])
    count = options.simulations
    drawn = np.stack(
        [changes(random, rows, loss if task == 0 else 0.0, options.changed, count) for task in range(tasks)], axis=1
    )
    given = verdicts(drawn[..., 0], drawn[..., 1], rows, VerdictParams())[:, 0]
    values, errors = estimates(drawn[:, 0, 0], drawn[:, 0, 1], rows)
    not_shown = values + errors * stats.t.ppf((1 + CONFIDENCE) / 2, rows - 1) >= 0
    return [*(np.bincount(given, minlength=4) / count).tolist(), float(not_shown.mean())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=5000)
    parser.add_argument("--changed", type=float, default=0.12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"| tasks | true loss, points | rows | {' | '.join(VERDICTS)} | no loss shown |")
    print("| --- " * 8 + "|")
    for tasks in TASKS:
        for loss in LOSSES:
            for rows in ROWS:
                shares = cell(rows, loss, tasks, options)
                line = " | ".join(f"{100 * share:.1f} %" for share in shares)
                print(f"| {tasks} | {100 * loss:.0f} | {rows:,} | {line} |", flush=True)
    print(f"\n{options.simulations:,} simulations per line, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
