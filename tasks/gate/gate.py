"""The gate: a candidate is accepted only if it is better than each opponent on the same clean rows, beyond chance.

Differences are printed in the units of the report: shares in percentage points, BLEU and chrF as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.compare.cells import label, number, scale
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import Pairs, Scores, paired
from tasks.metrics.differences import Difference, as_entry, paired_difference
from tasks.metrics.params import VerdictParams
from tasks.metrics.seeds import Spread
from tasks.metrics.verdicts import Verdict as Shown
from tasks.metrics.verdicts import verdict
from tasks.text.rows import ROW_KEY

Verdict = Literal["accepted", "refused", "undecided"]

_WORDS: dict[Shown, str] = {
    "better": "better than",
    "worse": "worse than",
    "same": "the same as",
    "not enough rows": "not enough rows to tell it from",
}


@dataclass(frozen=True)
class Opponent:
    """A system that a candidate must beat; ``name`` is the one that reasons show, such as ``base (baseline)``."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class Compared:
    """Candidate minus one opponent.

    Attributes:
        difference: mean difference over the rows that are clean for both; it alone decides.
        dirty_rows: number of rows that are dirty for either.
        dirty_value: mean difference over these rows; None if there are none.
        confidence: level of the interval of ``difference``.
        verdict: what ``difference`` shows (``tasks.metrics.verdicts.verdict``).
        seeds: how much seeds alone change the candidate's score; None if the gain need not exceed that.
        gain_needed: the gain that seeds alone give, which the difference must exceed; None without ``seeds``.
    """

    difference: Difference
    dirty_rows: int
    dirty_value: float | None
    confidence: float
    verdict: Shown
    seeds: Spread | None = None
    gain_needed: float | None = None

    def shown(self, metric: str) -> str:
        """The difference in ``metric`` with its interval and its rows, such as ``+4.1 [+1.0, +7.2] on 40 rows``."""
        one = self.difference
        rows = counted(one.rows, "row") + ("" if one.groups == one.rows else f" in {counted(one.groups, 'group')}")
        value, low, high = (number(end, scale(metric), signed=True) for end in (one.value, one.low, one.high))
        return f"{value} [{low}, {high}] on {rows}"

    def entry(self) -> dict[str, Any]:
        """``as_entry`` with ``confidence``, ``verdict``, ``detectable``, ``gain_needed`` and those of dirty rows."""
        return as_entry(self.difference) | {
            "verdict": self.verdict,
            "confidence": self.confidence,
            "detectable": self.difference.detectable(self.confidence),
            "gain_needed": self.gain_needed,
            "dirty_rows": self.dirty_rows,
            "dirty_value": self.dirty_value,
        }


@dataclass(frozen=True)
class RuleResult:
    """What one rule of the gate shows for a candidate.

    Attributes:
        rule: key of an opponent, ``labels``, ``retention``, ``min_groups``, ``beyond_seeds``, or ``rules.N``.
        line: the rule's verdict with its numbers.
    """

    rule: str
    passed: bool
    line: str


@dataclass(frozen=True)
class Decision:
    """The gate's decision.

    Attributes:
        results: one per rule.
        compared: the same keys as the opponents; empty if nothing was decided.
    """

    verdict: Verdict
    results: list[RuleResult]
    compared: dict[str, Compared]

    @property
    def reasons(self) -> list[str]:
        """The lines of the results, each after ``passed`` or ``failed``."""
        return [f"{'passed' if result.passed else 'failed'}: {result.line}" for result in self.results]


def undecided(candidate: Scores, opponents: Mapping[str, Opponent], params: RegistrationParams) -> Decision | None:
    """The decision ``undecided`` if a comparison has too few groups of clean rows; None if all have enough.

    Without opponents, only the candidate's own rows are counted.

    Raises:
        TunesmithError: there is no row, or an opponent was not scored on the candidate's rows.
    """
    if not candidate.values:
        raise TunesmithError(
            "predictions.parquet: the gate needs at least one test row; there is none; name a source with test rows "
            "under evaluation_set.sources of params/evaluation.yaml, or give test a larger share of its split"
        )
    counts = [("", candidate.clean_groups(), len(candidate.dirty_rows()))]
    for opponent in opponents.values():
        pairs = _pair(candidate, opponent)
        counts.append((f" against {opponent.name}", pairs.clean_groups(), len(pairs.dirty_gains)))
    results = [
        RuleResult(
            "min_groups",
            False,
            f"{counted(groups, 'independent group')} of clean test rows{against}, at least {params.min_groups} are "
            f"needed (registration.min_groups)" + (f"; {counted(dirty, 'dirty row')} left out" if dirty else ""),
        )
        for against, groups, dirty in counts
        if groups < params.min_groups
    ]
    return Decision("undecided", results, {}) if results else None


def decide(
    candidate: Scores,
    opponents: Mapping[str, Opponent],
    params: RegistrationParams,
    others: Sequence[RuleResult] = (),
    seeds: Spread | None = None,
    confidence: float | None = None,
    verdicts: VerdictParams | None = None,
) -> Decision:
    """Compare ``candidate`` with every opponent.

    Args:
        others: results of the rules that are not about an opponent.
        seeds: how much seeds alone change the candidate's score, if each gain must exceed that.
        confidence: level of every interval; None takes that of ``params``. The bound for ``seeds`` always takes that.
        verdicts: margins within which two systems are the same; None takes the defaults.

    Raises:
        TunesmithError: an opponent was not scored on the candidate's rows, or there is no row.
    """
    if (too_few := undecided(candidate, opponents, params)) is not None:
        return too_few
    level = params.confidence if confidence is None else confidence
    margin = (verdicts or VerdictParams()).margin_of(params.metric)
    compared = {key: compare(_pair(candidate, one), params, level, margin, seeds) for key, one in opponents.items()}
    results = [
        RuleResult(key, _is_gain(one), gain_line(opponents[key].name, one, params.metric, margin))
        for key, one in compared.items()
    ]
    results += others
    return Decision("accepted" if all(result.passed for result in results) else "refused", results, compared)


def _is_gain(compared: Compared) -> bool:
    """Whether the candidate beats the opponent, by more than seeds do if that is required."""
    needed = compared.gain_needed
    return compared.verdict == "better" and (needed is None or compared.difference.value > needed)


def _pair(candidate: Scores, opponent: Opponent) -> Pairs:
    return pair(candidate, opponent.scores, opponent.name)


def pair(candidate: Scores, other: Scores, name: str) -> Pairs:
    """The rows of both in pairs.

    Raises:
        TunesmithError: the system ``name`` was not scored on the candidate's rows.
    """
    ours, theirs = candidate.values.keys(), other.values.keys()
    if ours != theirs:
        raise TunesmithError(
            f"predictions.parquet: candidate and {name} must be scored on the same rows "
            f"({', '.join(ROW_KEY)}); {len(ours - theirs)} rows are only in the candidate's, {len(theirs - ours)} only "
            f"in those of {name}. Run `tunesmith run` to evaluate both on the present test set"
        )
    return paired(candidate, other)


def compare(
    pairs: Pairs, params: RegistrationParams, confidence: float, margin: float, seeds: Spread | None = None
) -> Compared:
    """Candidate minus opponent, with an interval at ``confidence``, and its verdict."""
    intervals = params.model_copy(update={"confidence": confidence})
    difference = paired_difference(pairs.gains, intervals, pairs.groups)
    dirty = float(pairs.dirty_gains.mean()) if len(pairs.dirty_gains) else None
    needed = None if seeds is None else seeds.gain_needed(params.confidence)
    shown = verdict(difference, margin, VerdictParams(min_groups=params.min_groups))
    return Compared(difference, len(pairs.dirty_gains), dirty, confidence, shown, seeds, needed)


def gain_line(name: str, compared: Compared, metric: str, margin: float) -> str:
    """The verdict on a difference to the system ``name``, with its numbers."""
    difference, words = compared.difference, _WORDS[compared.verdict]
    line = f"{label(metric)}: {words} {name}: {compared.shown(metric)} ({percent(compared.confidence)} interval)"
    if compared.verdict == "same":
        line += f"; the margin is {number(margin, scale(metric))}"
    detectable = difference.detectable(compared.confidence)
    if compared.verdict == "not enough rows" and detectable:
        line += f"; a difference of {number(detectable, scale(metric))} would be shown with 80 % power"
    if compared.seeds is not None:
        verb = "exceeds" if _is_gain(compared) else "must exceed"
        gained, deviation = (number(value, scale(metric)) for value in (compared.gain_needed, compared.seeds.deviation))
        line += (
            f"; the gain {verb} {gained}, which another seed alone gives "
            f"({counted(compared.seeds.count, 'seed')}, deviation {deviation})"
        )
    if compared.dirty_value is not None:
        left_out = f"{counted(compared.dirty_rows, 'dirty row')} left out"
        line += f"; {left_out}, on which the difference is {number(compared.dirty_value, scale(metric), signed=True)}"
    return line


def percent(confidence: float) -> str:
    """A confidence as text, such as ``95%`` or ``99.9961%``."""
    return f"{100 * confidence:.4f}".rstrip("0").rstrip(".") + "%"
