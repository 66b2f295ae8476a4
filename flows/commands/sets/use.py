"""``tunesmith experiments use``: add a ready set of experiments to ``params/``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flows.commands.experiments import baseline
from flows.commands.params_file import on_one_line
from flows.commands.seeds import repeats_of
from flows.commands.sets.expand import (
    Entries,
    Expanded,
    Names,
    add_repeats,
    choose_values,
    expand,
    shortened,
    too_large,
)
from flows.commands.sets.library import ExperimentSet, load_set
from flows.commands.sets.outcome import Added, Use
from flows.commands.sets.workspace_names import (
    Others,
    choose_source,
    mixture_of,
    named_bases,
    other_sources,
    training_rows,
)
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.params import load, parse
from tasks.core.paths import Paths
from tasks.evaluate.params import EvaluateParams
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.params import MixtureParams
from tasks.resolve.bases import fingerprints
from tasks.resolve.check import Problems, Resolved, load_experiments, mapping
from tasks.resolve.resolve import ResolvedExperiment
from tasks.resolve.sets import SetParams, load_sets
from tasks.tuning.params import parse_params
from tasks.tuning.untrained import is_trained


@dataclass(frozen=True)
class Choice:
    """What the user chose.

    Attributes:
        name: the set.
        source: the source that the experiments train on; None for the only one that is evaluated.
        bases: base models, for a set with an experiment per base model.
        values: values of the axis to take; None takes all.
        prefix: begins the name of every new entry.
    """

    name: str
    source: str | None = None
    bases: Sequence[str] = ()
    values: Sequence[str] | None = None
    prefix: str = ""


def use(paths: Paths, choice: Choice) -> Use:
    """Plan the entries of a set; nothing is written.

    Raises:
        TunesmithError: a parameter file is wrong already; the choice does not fit the set or the workspace; or an entry
            with the name of a new one has other content. One error names all such entries.
    """
    preflight(paths)
    chosen = choose_values(load_set(choice.name), choice.name, choice.values)
    _check_choice(chosen, choice)
    evaluation = load(EvaluationSetParams, paths.params / "evaluation.yaml", "evaluation_set")
    source = choose_source(paths, choice.source, evaluation.sources)
    others = other_sources(paths, source, evaluation) if chosen.of_other_sources else Others([], [], [])
    own = mixture_of(paths, source)
    mixture = own or f"{choice.prefix}{source}"
    names = Names(source, mixture, others.names, named_bases(paths, choice.bases), choice.prefix)
    expanded, lines = _that_fit(expand(chosen, names), names, own, paths)
    expanded = _with_own_mixture(expanded, source, mixture)
    if chosen.axis is not None and len(expanded.experiments) < 2:
        reason = f"; {'; '.join(lines)}" if lines else ""
        raise TunesmithError(f"experiments use: {choice.name}: a sweep needs at least two values{reason}")
    expanded, resolved = _resolved(expanded, chosen, choice.prefix, paths)
    expanded, untuned = _with_baseline(expanded, resolved, paths)
    added = _added(expanded, resolved, chosen, f"{choice.prefix}{choice.name}", paths)
    retained = others.retained if chosen.retention else []
    return Use(paths, chosen.question, [*expanded.values], added, untuned, retained, [*others.lines, *lines])


def _check_choice(chosen: ExperimentSet, choice: Choice) -> None:
    if chosen.of_bases and len(set(choice.bases)) < 2:
        raise TunesmithError(
            f"experiments use: {choice.name} compares base models; name at least two, each with `--base NAME`, the "
            "smallest first"
        )
    if choice.bases and not chosen.of_bases:
        raise TunesmithError(f"experiments use: --base: {choice.name} has no experiment per base model; leave it out")
    if choice.prefix and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", choice.prefix):
        raise TunesmithError(
            "experiments use: --prefix: must have only lower-case letters, digits, '-' and '_', and begin with a "
            f"letter or digit; it is {choice.prefix!r}"
        )


def _that_fit(expanded: Expanded, names: Names, own: str | None, paths: Paths) -> tuple[Expanded, list[str]]:
    """The experiments that the training rows are enough for, and remarks about the others."""
    source = names.source
    counts = {name: training_rows(paths, name) for name in names.others}
    counts[source] = rows = training_rows(paths, source, own)
    if rows is None:
        if too_large(expanded, source, 0):
            return expanded, [
                f"the split of {source} is not built yet, so no size was checked; `tunesmith plan` builds it and marks "
                "a mixture that is short"
            ]
        return expanded, []
    large = too_large(expanded, source, rows)
    lines = [f"left out: {', '.join(large)}: {source} has only {rows:,} training rows"] if large else []
    known = {name: count for name, count in counts.items() if count is not None}
    return expanded.without([*large]), [*lines, *shortened(expanded, source, known)]


def _with_own_mixture(expanded: Expanded, source: str, mixture: str) -> Expanded:
    if mixture not in (entry["mixture"] for entry in expanded.experiments.values()):
        return expanded
    mixtures = {mixture: {"sources": {source: {}}}, **expanded.mixtures}
    return Expanded(mixtures, expanded.experiments, expanded.values)


def _resolved(expanded: Expanded, chosen: ExperimentSet, prefix: str, paths: Paths) -> tuple[Expanded, Resolved]:
    """The set with its repeats, and its resolved experiments, as if they were written."""
    resolved = load_experiments(paths, expanded.experiments, expanded.mixtures)
    repeats = {prefix + name: count for name, count in chosen.repeats.items()}
    if repeats:
        expanded = add_repeats(expanded, repeats, lambda name, count: repeats_of(name, resolved[name].train, count))
        resolved = load_experiments(paths, expanded.experiments, expanded.mixtures)
    fingerprints(paths, resolved)
    return expanded, resolved


def _with_baseline(expanded: Expanded, resolved: Resolved, paths: Paths) -> tuple[Expanded, str | None]:
    """The set with the baseline of the comparison as its untuned experiment, if they differ in the mixture alone.

    The mixture of an untuned experiment teaches it nothing. Returns the name of the baseline, too, if it was taken.
    """
    name = baseline(paths)
    known = load_experiments(paths).get(name)
    for one, planned in resolved.items():
        if known is None or is_trained(planned.train["method"]):
            continue
        if _complete(planned) == _complete(replace(known, train=known.train | {"mixture": planned.train["mixture"]})):
            experiments = {key: entry for key, entry in expanded.experiments.items() if key != one}
            values = {name if key == one else key: value for key, value in expanded.values.items()}
            return Expanded(expanded.mixtures, experiments, values), name
    return expanded, None


def _complete(experiment: ResolvedExperiment) -> tuple[object, ...]:
    """Everything that decides on the results of an experiment, with the defaults of the code."""
    file = "params/experiments.yaml"
    return (
        parse_params(experiment.train, file),
        parse(EvaluateParams, experiment.evaluate, file),
        experiment.like,
    )


def _added(expanded: Expanded, resolved: Resolved, chosen: ExperimentSet, name: str, paths: Paths) -> dict[str, Added]:
    """Key of ``params/`` → its new entries and those that exist already.

    Raises:
        TunesmithError: an entry exists with other content; nothing is written then.
    """
    mixtures_file, file = paths.params / "mixtures.yaml", paths.params / "experiments.yaml"
    present, sets = load_experiments(paths), load_sets(paths)
    entry = {"axis": chosen.axis, "question": chosen.question, "experiments": expanded.values}
    problems = Problems()

    def same_mixture(one: str) -> bool:
        planned = parse(MixtureParams, expanded.mixtures[one], mixtures_file, f"mixtures.{one}")
        return planned == load(MixtureParams, mixtures_file, "mixtures", one)

    added = {
        "mixtures": _compared(
            expanded.mixtures, f"{mixtures_file}: mixtures", mapping(mixtures_file, "mixtures"), same_mixture, problems
        ),
        "experiments": _compared(
            expanded.experiments,
            f"{file}: experiments",
            mapping(file, "experiments"),
            lambda one: _complete(resolved[one]) == _complete(present[one]),
            problems,
        ),
        "sets": _compared(
            {name: entry},
            f"{file}: sets",
            {one: params.model_dump() for one, params in sets.items()},
            lambda one: parse(SetParams, entry, file) == sets[one],
            problems,
        ),
    }
    problems.refuse()
    return added


def _compared(
    new: Entries, where: str, existing: Mapping[str, Any], same: Callable[[str], bool], problems: Problems
) -> Added:
    kept = [name for name in new if name in existing and same(name)]
    stays = " (its experiments stay)" if where.endswith("sets") else ""
    problems.lines += [
        f"{where}.{name}: this entry exists with other content, and `experiments use` never changes an entry: the file "
        f"has `{on_one_line(name, existing[name])[0]}`, the set has `{on_one_line(name, new[name])[0]}`; give the new "
        f"entries other names with `--prefix NAME_`, or remove the one in the file{stays}"
        for name in new
        if name in existing and name not in kept
    ]
    return Added({name: entry for name, entry in new.items() if name not in existing}, kept)
