"""The gate: a candidate reigns only if it beats the baseline and the champion on the same rows, beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.errors import TunesmithError
from tasks.register.params import RegistrationParams
from tasks.statistics import paired_bootstrap

ROW = ("source", "row_id", "template_id")
Scores = Mapping[tuple[str, str, str], float]
"""``ROW`` → score of that test row, in the order of the test set."""


@dataclass(frozen=True)
class Difference:
    """Mean of candidate minus opponent over ``rows`` paired rows, with its bootstrap interval."""

    mean: float
    low: float
    high: float
    rows: int

    @property
    def better(self) -> bool:
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] on {self.rows} rows"


@dataclass(frozen=True)
class Decision:
    """``reasons``: a line an opponent, and one a task that was lost; ``differences``: ``baseline`` and, where one
    reigns, ``champion``."""

    accepted: bool
    reasons: list[str]
    differences: dict[str, Difference]


def decide(
    candidate: Scores,
    base: Scores,
    champion: Scores | None,
    params: RegistrationParams,
    lost: Sequence[str] = (),
) -> Decision:
    """Compare ``candidate`` with the baseline and the reigning champion (None: none reigns yet). ``lost``: tasks
    that must be kept and were not.

    Raises:
        TunesmithError: two of them were not scored on the same rows, or there is no row.
    """
    opponents = {"baseline": base} if champion is None else {"baseline": base, "champion": champion}
    differences = {name: _difference(candidate, scores, name, params) for name, scores in opponents.items()}
    accepted = all(difference.better for difference in differences.values()) and not lost
    reasons = [_reason(name, difference, params) for name, difference in differences.items()]
    reasons += [f"retention: {task}; registration.retention demands that it is kept" for task in lost]
    return Decision(accepted, reasons, differences)


def _difference(candidate: Scores, opponent: Scores, name: str, params: RegistrationParams) -> Difference:
    if candidate.keys() != opponent.keys():
        only = len(candidate.keys() - opponent.keys()), len(opponent.keys() - candidate.keys())
        raise TunesmithError(
            f"predictions.parquet: candidate and {name} must be scored on the same rows ({', '.join(ROW)}); "
            f"{only[0]} only in the candidate's, {only[1]} only in the {name}'s. "
            "Run `tunesmith run` to evaluate both on the present test set"
        )
    if not candidate:
        raise TunesmithError("predictions.parquet: the gate needs at least one test row; there is none")
    # Wordings of one row are no independent draws: they would make the interval too narrow.
    by_row: dict[tuple[str, str], list[float]] = {}
    for row, score in candidate.items():
        by_row.setdefault(row[:2], []).append(score - opponent[row])
    paired = np.array([np.mean(values) for values in by_row.values()], dtype=np.float64)
    mean, low, high = paired_bootstrap(paired, params.resamples, params.confidence, params.seed)
    return Difference(float(mean), float(low), float(high), len(paired))


def _reason(name: str, difference: Difference, params: RegistrationParams) -> str:
    verdict = "better than" if difference.better else "not shown to be better than"
    return f"{params.metric}: {verdict} the {name}: {difference} ({params.confidence:.0%} interval)"
