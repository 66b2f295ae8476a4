"""Fill the words of a set's file (``SOURCE``, ``OTHERS``, ``BASE``) with the names of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.commands.sets.library import BASE, OTHERS, SOURCE, ExperimentSet
from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tasks.mix.params import MixtureParams
from tasks.mix.quotas import quotas

Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """The names that fill a set.

    Attributes:
        source: the source that the experiments train on.
        mixture: the mixture of this source alone.
        others: the other sources.
        bases: name for an experiment → ``base_model``.
        prefix: begins the name of every new entry.
    """

    source: str
    mixture: str
    others: Sequence[str] = ()
    bases: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    prefix: str = ""


@dataclass(frozen=True)
class Expanded:
    """A set whose words are filled.

    Attributes:
        mixtures: entries of ``params/mixtures.yaml``, besides that of the source alone.
        experiments: entries of ``params/experiments.yaml``.
        values: experiment → value on the axis.
    """

    mixtures: Entries
    experiments: Entries
    values: dict[str, Any]

    def without(self, names: Sequence[str]) -> Expanded:
        """The set without the experiments ``names`` and the mixtures that only they use."""
        experiments = {name: entry for name, entry in self.experiments.items() if name not in names}
        used = {entry["mixture"] for entry in experiments.values()}
        return Expanded(
            {name: entry for name, entry in self.mixtures.items() if name in used},
            experiments,
            {name: value for name, value in self.values.items() if name not in names},
        )


def expand(chosen: ExperimentSet, names: Names) -> Expanded:
    """Fill the words of ``chosen``; the mixture of the source alone has the name ``names.mixture``."""
    mixture_of = {name: names.prefix + name.replace(SOURCE, names.source) for name in chosen.mixtures}
    mixtures = {mixture_of[name]: _mixture(entry, names) for name, entry in chosen.mixtures.items()}
    mixture_of[SOURCE] = names.mixture
    experiments, values = Entries(), {}
    for name, experiment in chosen.experiments.items():
        mixture = mixture_of[experiment.entry.get("mixture", SOURCE)]
        # dvc.yaml reads the method and the mixture of every entry, so these come first.
        entry = {"method": "", "mixture": ""} | experiment.entry | {"mixture": mixture}
        for base, model in names.bases.items() if BASE in name else [("", {})]:
            own = names.prefix + name.replace(BASE, base)
            experiments[own] = entry | ({"base_model": dict(model)} if model else {})
            values[own] = model["name"] if model else experiment.value
    return Expanded(mixtures, experiments, values).without([])  # chosen values need no other mixtures


def _mixture(entry: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The entry with its sources filled; explicit weights of single sources are whole numbers."""
    shares: dict[str, Any] = {}
    for source, share in entry["sources"].items():
        if source == OTHERS:
            shares |= {other: dict(share) for other in names.others}
            continue
        own = dict(share)
        if OTHERS in entry["sources"] and "weight" in own:  # the weight of OTHERS is that of all of them
            own["weight"] *= len(names.others)
        shares[names.source if source == SOURCE else source] = own
    return {**entry, "sources": shares}


def choose_values(chosen: ExperimentSet, name: str, values: Sequence[str] | None) -> ExperimentSet:
    """The set with only the ``values`` of its axis; all of them if None.

    Raises:
        TunesmithError: the set has no axis with fixed values, or lacks a value.
    """
    if values is None:
        return chosen
    known = {str(experiment.value): key for key, experiment in chosen.experiments.items()}
    if chosen.axis is None or chosen.of_bases:
        raise TunesmithError(f"experiments use: --values needs a set with a fixed list of values; {name} has none")
    if unknown := [value for value in values if value not in known]:
        raise TunesmithError(
            f"experiments use: --values: {name} has no value {unknown[0]!r} of {chosen.axis}; it has: "
            f"{', '.join(known)}"
        )
    kept = {key: one for key, one in chosen.experiments.items() if str(one.value) in values}
    return chosen.model_copy(update={"experiments": kept})


def too_large(expanded: Expanded, source: str, rows: int) -> dict[str, int]:
    """Experiment → the rows that its mixture takes of ``source`` alone, if they are more than ``rows``."""
    sizes = {
        name: mixture["rows"]
        for name, mixture in expanded.mixtures.items()
        if list(mixture["sources"]) == [source] and (mixture.get("rows") or 0) > rows
    }
    return {name: sizes[e["mixture"]] for name, e in expanded.experiments.items() if e["mixture"] in sizes}


def shortened(expanded: Expanded, source: str, rows: Mapping[str, int]) -> list[str]:
    """One line per mixture whose weights take fewer rows of ``source`` than it has; ``rows``: source → its rows."""
    lines = []
    for name, entry in expanded.mixtures.items():
        params = parse(MixtureParams, entry, "params/mixtures.yaml", f"mixtures.{name}")
        if params.weighting == "all" or not set(params.sources) <= set(rows):
            continue
        quota = quotas({(one, ""): rows[one] for one in params.sources}, params)[source, ""]
        if quota.rows < quota.available:
            others = ", ".join(f"{one} {rows[one]:,}" for one in params.sources if one != source)
            lines.append(
                f"mixture {name} takes only {quota.rows:,} of the {quota.available:,} training rows of {source}, since "
                f"the others have too few rows for their weights ({others}); add rows to them"
            )
    return lines


def add_repeats(expanded: Expanded, repeats: Mapping[str, int], entries_of: Callable[[str, int], Entries]) -> Expanded:
    """The set with repeats of its experiments.

    Args:
        repeats: experiment → number of its repeats.
        entries_of: gives the entries of an experiment's repeats by its name and their number.
    """
    new = Entries()
    for name, count in repeats.items():
        new |= entries_of(name, count)
    values = {**expanded.values, **dict.fromkeys(new)}
    return Expanded(expanded.mixtures, {**expanded.experiments, **new}, values)
