"""Check all parameter files before anything runs, and report every problem of every file at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.conflicts import refuse_conflicts
from flows.references import (
    check_helm,
    check_suites,
    nothing_to_keep,
    prompt_variants,
    unknown,
    unknown_held_tasks,
    wrong_baselines,
    wrong_metrics,
    wrong_parts,
)
from flows.sources.fetched import SECTION, fetched_names
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.params import BenchmarkParams
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import Params, load, read_yaml, value_at
from tasks.core.paths import Paths
from tasks.drift.params import load_drift
from tasks.evaluate.params import EvaluateParams
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.gate.params import RegistrationParams
from tasks.ingest.fetch.params import FetchedParams
from tasks.ingest.params import GeneratedParams, HubParams, IngestParams
from tasks.metrics.params import load_verdicts
from tasks.mix.params import MixtureParams, load_contamination
from tasks.resolve.bases import fingerprints
from tasks.resolve.check import Problems, load_experiments, mapping, only_keys
from tasks.resolve.sets import load_sets
from tasks.split.params import SplitParams
from tasks.sweep.trial_params import TrialParams
from tasks.sweep.trials_file import read_trials
from tasks.template.params import TemplateParams

_SECTIONS = {
    "sources.yaml": {"generated", "hub", "fetched", "sources"},
    "mixtures.yaml": {"contamination", "mixtures"},
    "experiments.yaml": {"experiments", "sets"},
    "training.yaml": {"base_models", "defaults", "methods", "memory"},
    "evaluation.yaml": {"evaluation_set", "evaluate", "compare", "verdicts", "drift", "helm", "benchmark"},
    "registration.yaml": {"registration"},
    "trials.yaml": {"trials"},
    "bases.yaml": {"registered"},
}
_SOURCE_BLOCKS: dict[str, type[Params]] = {"ingest": IngestParams, "template": TemplateParams, "split": SplitParams}


def preflight(paths: Paths) -> None:
    """Check every file of ``params/`` and the names by which they refer to each other.

    Raises:
        TunesmithError: a file is wrong; the error has one line per problem.
    """
    problems = Problems()
    problems.catch(refuse_conflicts, paths.root)
    for file, keys in _SECTIONS.items():
        if file != "bases.yaml" or (paths.params / file).exists():  # a workspace of an earlier version has none
            problems.catch(only_keys, paths.params / file, keys)
    problems.refuse()  # the checks below would only repeat that a file cannot be read
    sources = _check_sources(paths, problems)  # None if the names cannot be read: every reference would look wrong
    _check_mixtures(paths, problems, sources)
    evaluation, compared = _check_evaluation(paths, problems, sources)
    problems.catch(mapping, paths.params / "training.yaml", "base_models")
    if (experiments := problems.catch(load_experiments, paths)) is not None:
        problems.catch(fingerprints, paths, experiments)
    problems.catch(load_sets, paths)
    registration = problems.catch(load, RegistrationParams, paths.params / "registration.yaml", "registration")
    planned = _check_benchmark(paths, problems)
    for name in problems.catch(read_trials, paths) or ():
        problems.catch(load, TrialParams, paths.params / "trials.yaml", "trials", name)
    _check_judges(paths, problems, evaluation, compared, registration, planned)
    problems.refuse()


def _check_sources(paths: Paths, problems: Problems) -> list[str] | None:
    file = paths.params / "sources.yaml"
    made: dict[str, list[str]] = {}
    models: dict[str, type[Params]] = {"generated": GeneratedParams, "hub": HubParams, SECTION: FetchedParams}
    for section, model in models.items():
        # Files of earlier versions lack the section of fetched sources.
        check: Any = (fetched_names, paths.root) if section == SECTION else (mapping, file, section)
        made[section] = list(problems.catch(*check) or {})
        for name in made[section]:
            problems.catch(load, model, file, section, name)
    problems.lines += _made_twice(file, made)
    sources = problems.catch(mapping, file, "sources")
    if sources is not None:  # without the names of sources, every name here would look unused
        problems.lines += [
            f"{file}: {section}.{name}: must also be a key of `sources`, so that something uses it; `sources` has no "
            f"{name!r}; describe it there, or remove it here (leave `{section}: {{}}` if nothing remains)"
            for section, names in made.items()
            for name in names
            if name not in sources
        ]
    known = ", ".join(_SOURCE_BLOCKS)
    for name, blocks in (sources or {}).items():
        if not isinstance(blocks, dict):
            problems.lines.append(f"{file}: sources.{name}: must be a mapping with {known}; it is {blocks!r}")
            continue
        for block, model in _SOURCE_BLOCKS.items():
            problems.catch(load, model, file, "sources", name, block)
        unknown = [block for block in blocks if block not in _SOURCE_BLOCKS]
        problems.lines += [f"{file}: sources.{name}.{block}: unknown key; known here: {known}" for block in unknown]
        problems.catch(prompt_variants, paths, name)
    return None if sources is None else list(sources)


def _made_twice(file: Path, made: dict[str, list[str]]) -> list[str]:
    """Error lines about sources that several sections make."""
    every = dict.fromkeys(name for names in made.values() for name in names)
    sections = {name: [section for section, names in made.items() if name in names] for name in every}
    return [
        f"{file}: {name}: only one of {', '.join(made)} can make a source; {' and '.join(several)} name it; keep one"
        for name, several in sections.items()
        if len(several) > 1
    ]


def _check_mixtures(paths: Paths, problems: Problems, sources: list[str] | None) -> None:
    file = paths.params / "mixtures.yaml"
    problems.catch(load_contamination, file)
    mixtures = problems.catch(mapping, file, "mixtures")
    for name in mixtures or ():
        params: Any = problems.catch(load, MixtureParams, file, "mixtures", name)
        if params and sources is not None:
            problems.lines += _wrong_names(paths, params, f"{file}: mixtures.{name}", sources)


def _wrong_names(paths: Paths, params: MixtureParams, where: str, sources: list[str]) -> list[str]:
    """Error lines about the sources, held-out templates and held-out tasks that a mixture names."""
    lines, templates = [], []
    noted = False
    for source in params.sources:
        if source not in sources:
            lines.append(_no_source(f"{where}.sources", source, sources))
            continue
        try:
            split = load(SplitParams, paths.params / "sources.yaml", "sources", source, "split")
            templates += [variant.name for variant in prompt_variants(paths, source)]
        except TunesmithError:  # reported with the source itself
            noted = True
            continue
        if "train" not in split.required_parts():
            lines.append(
                f"{where}.sources.{source}: a mixture trains on each of its sources; the split of this one has no "
                "training part; take it out (its test rows are still checked), or give the split one"
            )
    if lines or noted:
        return lines
    lines = [
        f"{where}.hold_out.templates: {held!r} must be SOURCE/ID of a template that a source of the mixture uses; "
        f"there are: {', '.join(templates)}{did_you_mean(held, templates)}"
        for held in params.hold_out.templates
        if held not in templates
    ]
    return lines + unknown_held_tasks(paths, params, where)


def _check_evaluation(paths: Paths, problems: Problems, sources: list[str] | None) -> tuple[Any, Any]:
    """Check the parameters of the evaluation set and of the comparison; return them, or None for wrong ones."""
    file = paths.params / "evaluation.yaml"
    evaluation: Any = problems.catch(load, EvaluationSetParams, file, "evaluation_set")
    for source in evaluation.sources if evaluation else ():
        if sources is not None and source not in sources:
            problems.lines.append(_no_source(f"{file}: evaluation_set.sources", source, sources))
    for source in evaluation.retention.sources if evaluation else ():
        if sources is not None and source not in sources:
            problems.lines.append(_no_source(f"{file}: evaluation_set.retention.sources", source, sources))
    if evaluation and sources is not None:
        problems.lines += wrong_parts(paths, evaluation, sources)
    problems.catch(load, EvaluateParams, file, "evaluate")
    problems.catch(load_verdicts, file)
    problems.catch(load_drift, file)
    compared = problems.catch(load, CompareParams, file, "compare") if "compare" in read_yaml(file) else None
    if "helm" in read_yaml(file):
        helm: Any = problems.catch(load, HelmParams, file, "helm")
        if helm:
            problems.catch(check_helm, helm)
    return evaluation, compared


def _check_judges(
    paths: Paths, problems: Problems, evaluation: Any, compared: Any, registration: Any, planned: Any
) -> None:
    """Check what comparison and gate need: baselines, metrics of the test rows, and retention tasks."""
    experiments = value_at(read_yaml(paths.params / "experiments.yaml"), "experiments")
    if isinstance(experiments, dict):
        problems.lines += wrong_baselines(paths, compared, registration, [str(name) for name in experiments])
    if evaluation:
        problems.lines += wrong_metrics(paths, evaluation.sources, compared, registration)
    if evaluation and registration and planned:
        problems.lines += nothing_to_keep(paths, registration, evaluation, planned)


def _check_benchmark(paths: Paths, problems: Problems) -> Any:
    """Check the parameters of benchmarks; return them, or None if they are wrong."""
    file = paths.params / "evaluation.yaml"
    planned: Any = problems.catch(load, BenchmarkParams, file, "benchmark")
    if planned:
        problems.catch(check_suites, planned)
    known = problems.catch(mapping, paths.params / "experiments.yaml", "experiments")
    for name in planned.experiments if planned and known is not None else ():
        if name not in known:
            where = f"{file}: benchmark.experiments.{name}"
            problems.lines.append(unknown(where, "experiment", name, list(known), "params/experiments.yaml"))
    return planned


def _no_source(where: str, source: str, sources: list[str]) -> str:
    return unknown(where, "source", source, sources, "params/sources.yaml")
