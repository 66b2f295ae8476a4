"""Check the names by which parameter files refer to each other, and to metrics and tasks of template sets.

Without these checks, a wrong name would stop only the stage that uses it, perhaps the last one, after hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.benchmark.harness.suites import load_suite, refuse_unknown_names
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import load_scenarios
from tasks.benchmark.params import SUITES, BenchmarkParams
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.gate.params import PRIMARY, RegistrationParams
from tasks.metrics.names import HIGHER_IS_BETTER, OPTIONAL_SCORES
from tasks.mix.params import MixtureParams
from tasks.split.params import SplitParams
from tasks.template.compiled import choose
from tasks.template.library import Template, TemplateSet, library_of, load_set
from tasks.template.params import TemplateParams


@dataclass(frozen=True)
class PromptVariant:
    """A template that a source uses.

    Attributes:
        name: ``SOURCE/ID``.
        task: task of the template.
        scores: the scores of ``HIGHER_IS_BETTER`` that each row with this template will have.
    """

    name: str
    task: str
    scores: frozenset[str]


def prompt_variants(paths: Paths, source: str) -> list[PromptVariant]:
    """The prompt variants of a source: the templates that it uses.

    Raises:
        TunesmithError: the source's template parameters or its template set are wrong.
    """
    params = load(TemplateParams, paths.params / "sources.yaml", "sources", source, "template")
    templates = load_set(params.set, library_of(paths.root))
    chosen = choose(templates, params, source)
    return [PromptVariant(f"{source}/{t.id}", templates.task_of(t), _scores(templates, t)) for t in chosen]


def _scores(templates: TemplateSet, template: Template) -> frozenset[str]:
    """The scores that ``tasks.evaluate.metrics.score_rows`` computes for rows of a template."""
    named = set(templates.metrics_of(template)) | ({"exact_match"} if template.answer_choices else set())
    return frozenset(name for name in HIGHER_IS_BETTER if name not in OPTIONAL_SCORES or name in named)


def unknown(where: str, what: str, name: str, known: Sequence[str], file: str) -> str:
    """The error line about an unknown name; it lists the known names and suggests the most similar one."""
    return f"{where}: there is no {what} {name!r} in {file}; there are: {', '.join(known)}{did_you_mean(name, known)}"


def wrong_metrics(
    paths: Paths,
    evaluated: Sequence[str],
    compared: CompareParams | None,
    registration: RegistrationParams | None,
) -> list[str]:
    """Error lines about metrics of comparison and gate that rows of the sources ``evaluated`` will not have.

    The gate needs its metric for every row. A comparison leaves out rows without its metric, but needs at least one row
    with it.
    """
    try:
        every = [variant for source in evaluated for variant in prompt_variants(paths, source)]
    except TunesmithError:  # reported with the source itself
        return []
    if not every:
        return []
    lines = []
    shared = sorted(frozenset.intersection(*(variant.scores for variant in every)), key=HIGHER_IS_BETTER.index)
    for key, score in _deciding_scores(registration) if registration else ():
        without = [variant.name for variant in every if score not in variant.scores]
        if without:
            lines.append(
                f"{paths.params / 'registration.yaml'}: registration.{key}: every test row needs the score that "
                f"decides; rows of template {without[0]} have no {score!r} (`metrics` of the set; docs/gate.md); "
                f"scores of all rows are: {', '.join(shared)}"
            )
    named = compared.metric if compared else None
    if named is not None and not any(named in variant.scores for variant in every):
        lines.append(
            f"{paths.params / 'evaluation.yaml'}: compare.metric: no row of evaluation_set.sources will have "
            f"{named!r}; scores of all rows are: {', '.join(shared)}"
        )
    return lines


def _deciding_scores(registration: RegistrationParams) -> list[tuple[str, str]]:
    """(key, score) of the gate's metric and of its rules about gains. Signs, where less is better, need no check."""
    keys = [] if registration.metric == PRIMARY else [("metric", registration.metric)]
    rules = enumerate(registration.rules)
    return keys + [
        (f"rules.{number}.measure", rule.measure)
        for number, rule in rules
        if rule.over is not None and rule.measure in HIGHER_IS_BETTER
    ]


def wrong_baselines(
    paths: Paths, compared: CompareParams | None, registration: RegistrationParams | None, experiments: Sequence[str]
) -> list[str]:
    """Error lines about baselines that are not experiments."""
    named = []
    if compared:
        named.append((f"{paths.params / 'evaluation.yaml'}: compare.baseline", compared.baseline))
    if registration:
        named.append((f"{paths.params / 'registration.yaml'}: registration.baseline", registration.baseline))
    return [
        unknown(where, "experiment", name, experiments, "params/experiments.yaml")
        for where, name in named
        if name not in experiments
    ]


def nothing_to_keep(
    paths: Paths, registration: RegistrationParams, evaluation: EvaluationSetParams, planned: BenchmarkParams
) -> list[str]:
    """The error line about ``retention`` if tasks must be kept and none will be judged; the gate would stop."""
    if registration.retention == "shown" or evaluation.retention.sources:
        return []
    both = registration.baseline in planned.experiments and len(planned.experiments) > 1
    if both:
        return []
    return [
        f"{paths.params / 'registration.yaml'}: registration.retention: {registration.retention!r} needs tasks to be "
        f"kept; name sources under evaluation_set.retention, or suites of {registration.baseline} and of the tuned "
        "experiments under benchmark.experiments of params/evaluation.yaml, or set it to 'shown'"
    ]


def wrong_parts(paths: Paths, evaluation: EvaluationSetParams, sources: Sequence[str]) -> list[str]:
    """Error lines about sources without test rows, sources named twice, and a lack of validation rows."""
    file = paths.params / "evaluation.yaml"
    lines, complete, validated = [], True, False
    for key, names in (("sources", evaluation.sources), ("retention.sources", evaluation.retention.sources)):
        for source in names:
            if source not in sources:  # reported as an unknown name
                complete = False
                continue
            try:
                parts = load(SplitParams, paths.params / "sources.yaml", "sources", source, "split").required_parts()
            except TunesmithError:  # reported with the source itself
                complete = False
                continue
            if "test" not in parts:
                lines.append(
                    f"{file}: evaluation_set.{key}: {source!r} needs test rows; sources.{source}.split in "
                    "params/sources.yaml gives it no test part"
                )
            validated |= key == "sources" and "validation" in parts
    if complete and not validated:
        lines.append(
            f"{file}: evaluation_set.sources: a source must have validation rows, which choose the candidate; "
            "no split in params/sources.yaml gives these sources a validation part"
        )
    lines += [
        f"{file}: evaluation_set.retention.sources: {source!r} is one of evaluation_set.sources; its test rows are "
        "evaluated already; name sources of other tasks"
        for source in evaluation.retention.sources
        if source in evaluation.sources
    ]
    return lines


def unknown_held_tasks(paths: Paths, mixture: MixtureParams, where: str) -> list[str]:
    """Error lines about tasks that a mixture holds out but none of its sources has."""
    tasks = sorted({variant.task for source in mixture.sources for variant in prompt_variants(paths, source)})
    return [
        f"{where}.hold_out.tasks: no source of the mixture has the task {name!r}; there are: {', '.join(tasks)}"
        f"{did_you_mean(name, tasks)}"
        for name in mixture.hold_out.tasks
        if name not in tasks
    ]


def check_helm(params: HelmParams) -> None:
    """Refuse unknown names in ``helm.scenarios``.

    Raises:
        TunesmithError: a scenario is unknown. The error names the first one, and the known scenarios.
    """
    load_scenarios(params.scenarios)


def check_suites(params: BenchmarkParams) -> None:
    """Refuse names in ``benchmark.settings`` that are neither tasks nor suites.

    Raises:
        TunesmithError: a name is unknown. The error names the first one, and similar names.
    """
    if params.settings.shots or params.settings.files:
        refuse_unknown_names([load_suite(name) for name in SUITES], params.settings.shots, params.settings.files)
