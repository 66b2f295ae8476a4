"""What seeds alone do to the candidate's score, which a gain must exceed with ``beyond_seeds``."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.compare.repeated import trainings
from tasks.core import files
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated, read
from tasks.gate.gate import Decision, RuleResult
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import paired
from tasks.metrics.seeds import Spread, spread

FEWEST = 3
"""Trainings with different seeds that a decision needs. Two have one degree of freedom, and a quantile above 6."""


@dataclass(frozen=True)
class Repeats:
    """The trainings of the candidate's experiment that differ in their seed alone.

    Attributes:
        original: the experiment that the others are like.
        next_seed: the smallest seed above those of the trainings; None if the candidate is the only one.
        others: the trainings besides the candidate.
    """

    original: str
    next_seed: int | None
    others: list[Evaluated]

    def undecided(self) -> Decision | None:
        """The decision ``undecided`` if there are too few trainings; None if there are enough."""
        count = 1 + len(self.others)
        if count >= FEWEST:
            return None
        first = "" if self.next_seed is None else f" --first {self.next_seed}"
        line = (
            f"{counted(count, 'seed')} of {self.original}, at least {FEWEST} are needed (registration.beyond_seeds); "
            f"run `tunesmith experiments seeds {self.original} --count {FEWEST - count}{first}`, then `tunesmith run`"
        )
        return Decision("undecided", [RuleResult("beyond_seeds", False, line)], {})

    def spread(self, candidate: Evaluated) -> Spread:
        """The spread of the mean score over the clean rows. The mean is relative to the candidate's score."""
        gains = [float(paired(other.scores, candidate.scores).gains.mean()) for other in self.others]
        return spread([0.0, *gains])


def repeats(candidate: Evaluated, params: RegistrationParams, paths: Paths) -> Repeats:
    """Read the other trainings of the candidate's experiment, out of the experiments that were compared.

    ``build/experiments`` declares them. The comparison groups them too, but only if its own metric has scores.
    """
    comparison = paths.comparison / "comparison.json"
    systems = files.read_json(comparison)["systems"]
    if not any(one["name"] == candidate.name and one.get("key") in (None, candidate.key) for one in systems):
        raise TunesmithError(
            f"{comparison}: with registration.beyond_seeds, the comparison must contain {candidate.name} with the key "
            f"{candidate.key}; it does not; compare it (`dvc repro compare`), or decide without the gate "
            f"(`tunesmith promote`)"
        )
    original, by_seed = trainings(candidate.name, [system["name"] for system in systems], paths)
    others = [read(name, params.metric, paths) for name in by_seed.values() if name != candidate.name]
    next_seed = max(by_seed) + 1 if others else None
    return Repeats(original, next_seed, [other for other in others if other.test == candidate.test])
