"""The gate: a candidate is accepted only if it is better than each opponent on the same clean rows, beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.metrics.differences import Difference, as_entry, paired_difference
from tasks.metrics.params import VerdictParams
from tasks.metrics.seeds import Spread
from tasks.metrics.verdicts import Verdict as Shown
from tasks.metrics.verdicts import verdict
from tasks.register.params import RegistrationParams
from tasks.register.scores import Pairs, Scores, paired
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

    def __str__(self) -> str:
        one = self.difference
        rows = counted(one.rows, "row") + ("" if one.groups == one.rows else f" in {counted(one.groups, 'group')}")
        return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}] on {rows}"

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
class Decision:
    """The gate's decision.

    Attributes:
        reasons: one line per opponent, and one per other cause of a refusal.
        compared: the same keys as the opponents; empty if nothing was decided.
    """

    verdict: Verdict
    reasons: list[str]
    compared: dict[str, Compared]


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
    reasons = [
        f"{counted(groups, 'independent group')} of clean test rows{against}, at least {params.min_groups} are needed "
        f"(registration.min_groups)" + (f"; {counted(dirty, 'dirty row')} left out" if dirty else "")
        for against, groups, dirty in counts
        if groups < params.min_groups
    ]
    return Decision("undecided", reasons, {}) if reasons else None


def decide(
    candidate: Scores,
    opponents: Mapping[str, Opponent],
    params: RegistrationParams,
    faults: Sequence[str] = (),
    seeds: Spread | None = None,
    confidence: float | None = None,
    verdicts: VerdictParams | None = None,
) -> Decision:
    """Compare ``candidate`` with every opponent.

    Args:
        faults: other causes of a refusal, one line each.
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
    compared = {key: _compare(_pair(candidate, one), params, level, margin, seeds) for key, one in opponents.items()}
    accepted = all(map(_is_gain, compared.values())) and not faults
    reasons = [_reason(opponents[key], one, params.metric, margin) for key, one in compared.items()]
    return Decision("accepted" if accepted else "refused", [*reasons, *faults], compared)


def _is_gain(compared: Compared) -> bool:
    """Whether the candidate beats the opponent, by more than seeds do if that is required."""
    needed = compared.gain_needed
    return compared.verdict == "better" and (needed is None or compared.difference.value > needed)


def _pair(candidate: Scores, opponent: Opponent) -> Pairs:
    ours, theirs = candidate.values.keys(), opponent.scores.values.keys()
    if ours != theirs:
        raise TunesmithError(
            f"predictions.parquet: candidate and {opponent.name} must be scored on the same rows "
            f"({', '.join(ROW_KEY)}); {len(ours - theirs)} rows are only in the candidate's, {len(theirs - ours)} only "
            f"in those of {opponent.name}. Run `tunesmith run` to evaluate both on the present test set"
        )
    return paired(candidate, opponent.scores)


def _compare(
    pairs: Pairs, params: RegistrationParams, confidence: float, margin: float, seeds: Spread | None
) -> Compared:
    intervals = params.model_copy(update={"confidence": confidence})
    difference = paired_difference(pairs.gains, intervals, pairs.groups)
    dirty = float(pairs.dirty_gains.mean()) if len(pairs.dirty_gains) else None
    needed = None if seeds is None else seeds.gain_needed(params.confidence)
    shown = verdict(difference, margin, VerdictParams(min_groups=params.min_groups))
    return Compared(difference, len(pairs.dirty_gains), dirty, confidence, shown, seeds, needed)


def _reason(opponent: Opponent, compared: Compared, metric: str, margin: float) -> str:
    difference, words = compared.difference, _WORDS[compared.verdict]
    reason = f"{metric}: {words} {opponent.name}: {compared} ({percent(compared.confidence)} interval)"
    if compared.verdict == "same":
        reason += f"; the margin is {margin:g}"
    detectable = difference.detectable(compared.confidence)
    if compared.verdict == "not enough rows" and detectable:
        reason += f"; a difference of {detectable:.4f} would be shown with 80 % power"
    if compared.seeds is not None:
        verb = "exceeds" if _is_gain(compared) else "must exceed"
        reason += (
            f"; the gain {verb} {compared.gain_needed:.4f}, which another seed alone gives "
            f"({counted(compared.seeds.count, 'seed')}, deviation {compared.seeds.deviation:.4f})"
        )
    if compared.dirty_value is not None:
        left_out = f"{counted(compared.dirty_rows, 'dirty row')} left out"
        reason += f"; {left_out}, on which the difference is {compared.dirty_value:+.4f}"
    return reason


def percent(confidence: float) -> str:
    """A confidence as text, such as ``95%`` or ``99.9961%``."""
    return f"{100 * confidence:.4f}".rstrip("0").rstrip(".") + "%"
