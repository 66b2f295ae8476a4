"""The gate: a candidate is accepted only if it is better than each opponent on the same rows, beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import TunesmithError
from tasks.metrics.statistics import direction, paired_bootstrap, row_averages
from tasks.register.params import RegistrationParams
from tasks.text.rows import ROW_KEY, RowKey

Scores = Mapping[RowKey, float]
"""``ROW_KEY`` of a test row → its score, in the order of the test set."""

Verdict = Literal["accepted", "refused", "undecided"]

_WORDS = {1: "better than", -1: "worse than", 0: "cannot be told apart from"}


@dataclass(frozen=True)
class Opponent:
    """A system that a candidate must beat. ``name`` appears in the reasons, such as ``base (baseline)``."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class Difference:
    """Mean of candidate minus opponent over ``rows`` paired rows, with its bootstrap interval."""

    mean: float
    low: float
    high: float
    rows: int

    @property
    def direction(self) -> int:
        """1 if the whole interval lies above zero, -1 if it lies below, else 0."""
        return direction(self.low, self.high)

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] on {self.rows} rows"


@dataclass(frozen=True)
class Decision:
    """The gate's decision.

    Attributes:
        reasons: one line per opponent, and one per other cause of a refusal.
        differences: key of an opponent → difference; empty if the verdict is ``undecided``.
    """

    verdict: Verdict
    reasons: list[str]
    differences: dict[str, Difference]


def independent_rows(scores: Scores) -> int:
    """Count the test rows. Prompt variants of one row count once, since they are not independent samples."""
    return len({row[:2] for row in scores})


def undecided(candidate: Scores, params: RegistrationParams) -> Decision | None:
    """Return the decision ``undecided`` if there are too few test rows, else None.

    Raises:
        TunesmithError: there is no row.
    """
    if not candidate:
        raise TunesmithError("predictions.parquet: the gate needs at least one test row; there is none")
    rows = independent_rows(candidate)
    if rows >= params.min_rows:
        return None
    reason = f"{rows} test rows, at least {params.min_rows} are needed (registration.min_rows)"
    return Decision("undecided", [reason], {})


def decide(
    candidate: Scores, opponents: Mapping[str, Opponent], params: RegistrationParams, faults: Sequence[str] = ()
) -> Decision:
    """Compare ``candidate`` with every opponent; accept it if it is better than each.

    Args:
        faults: other causes of a refusal, one line each.

    Raises:
        TunesmithError: an opponent was not scored on the candidate's rows, or there is no row.
    """
    if (too_few := undecided(candidate, params)) is not None:
        return too_few
    differences = {key: _difference(candidate, opponent, params) for key, opponent in opponents.items()}
    accepted = all(difference.direction > 0 for difference in differences.values()) and not faults
    reasons = [_reason(opponents[key], difference, params) for key, difference in differences.items()]
    return Decision("accepted" if accepted else "refused", [*reasons, *faults], differences)


def _difference(candidate: Scores, opponent: Opponent, params: RegistrationParams) -> Difference:
    if candidate.keys() != opponent.scores.keys():
        only = len(candidate.keys() - opponent.scores.keys()), len(opponent.scores.keys() - candidate.keys())
        raise TunesmithError(
            f"predictions.parquet: candidate and {opponent.name} must be scored on the same rows "
            f"({', '.join(ROW_KEY)}); {only[0]} rows are only in the candidate's, {only[1]} only in those of "
            f"{opponent.name}. Run `tunesmith run` to evaluate both on the present test set"
        )
    paired = row_averages((row, score - opponent.scores[row]) for row, score in candidate.items())
    mean, low, high = paired_bootstrap(paired, params.resamples, params.confidence, params.seed)
    return Difference(float(mean), float(low), float(high), len(paired))


def _reason(opponent: Opponent, difference: Difference, params: RegistrationParams) -> str:
    words = _WORDS[difference.direction]
    return f"{params.metric}: {words} {opponent.name}: {difference} ({params.confidence:.0%} interval)"
