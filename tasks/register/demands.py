"""Apply the rules of ``registration.rules`` to a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tasks.compare.cells import label, number, scale
from tasks.core.errors import TunesmithError
from tasks.gate.evaluated import Evaluated, read, read_scores
from tasks.gate.gate import Compared, RuleResult, compare, gain_line, pair
from tasks.gate.measures import measure
from tasks.gate.rules import Rule
from tasks.gate.scores import Scores
from tasks.metrics.params import VerdictParams
from tasks.register.version_scores import version_scores
from tasks.registry.result import GateInputs


def rule_results(
    candidate: Evaluated, names: Mapping[str, str], inputs: GateInputs, confidence: float, verdicts: VerdictParams
) -> list[RuleResult]:
    """The result of each rule, in the order of ``registration.rules``.

    Args:
        names: key of an opponent → its name in lines.
        confidence: level of the intervals of differences.
        verdicts: the margins.
    """
    results = []
    for position, rule in enumerate(inputs.params.rules, start=1):
        if rule.over is None:
            passed, line = _limit(rule, candidate, inputs)
        else:
            try:
                passed, line = _gain(rule, candidate, names, inputs, confidence, verdicts)
            except TunesmithError as error:  # such as a score that the rows of a task do not have
                passed, line = False, f"{label(rule.measure)}: was not measured: {error}"
        results.append(RuleResult(f"rules.{position}", passed, f"rule {position}: {line}"))
    return results


def measured_values(candidate: Evaluated, inputs: GateInputs, verdicts: VerdictParams) -> list[str]:
    """What the rules depend on besides scores: the value of each limited measure, or why it has none, and margins."""
    return [
        str(verdicts.margin_of(rule.measure) if rule.over else measure(rule.measure, candidate, inputs.paths))
        for rule in inputs.params.rules
    ]


def _limit(rule: Rule, candidate: Evaluated, inputs: GateInputs) -> tuple[bool, str]:
    measured = measure(rule.measure, candidate, inputs.paths)
    limits = [(name, getattr(rule, name)) for name in ("at_least", "at_most") if getattr(rule, name) is not None]
    demanded = " and ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in limits)
    if isinstance(measured, str):
        return False, f"{rule.measure}: was not measured: {measured}; {demanded} is required"
    if rule.proven and (measured.low is None or measured.high is None):
        return False, f"{rule.measure}: {measured}, {demanded} must be proven, but this measure has no interval"
    least = measured.low if rule.proven and measured.low is not None else measured.value
    most = measured.high if rule.proven and measured.high is not None else measured.value
    passed = (rule.at_least is None or least >= rule.at_least) and (rule.at_most is None or most <= rule.at_most)
    extent = " of the whole interval" if rule.proven else ""
    return passed, f"{rule.measure}: {measured}, {demanded} is required{extent}"


def _gain(
    rule: Rule,
    candidate: Evaluated,
    names: Mapping[str, str],
    inputs: GateInputs,
    confidence: float,
    verdicts: VerdictParams,
) -> tuple[bool, str]:
    name = names.get(str(rule.over))
    if name is None:
        return True, f"{label(rule.measure)}: there is no champion yet to compare with"
    ours = read_scores(candidate.report / "predictions.parquet", rule.measure)
    pairs = pair(_oriented(ours, rule), _oriented(_theirs(rule, candidate, inputs), rule), name)
    margin = verdicts.margin_of(rule.measure)
    compared = compare(pairs, inputs.params, confidence, margin)
    line = gain_line(name, _as_measured(compared, rule), rule.measure, margin)
    if rule.verdict == "not worse":
        enough = compared.difference.groups >= inputs.params.min_groups
        passed = enough and compared.difference.low > -margin
        demanded = f"a loss of {number(margin, scale(rule.measure))} or more must be ruled out"
    else:
        passed = compared.verdict == "better" and compared.difference.low > rule.gain
        demanded = "a gain must be shown"
        if rule.gain:
            demanded = f"a gain above {number(rule.gain, scale(rule.measure))} must be shown"
    return passed, f"{line}; {demanded}"


def _theirs(rule: Rule, candidate: Evaluated, inputs: GateInputs) -> Scores:
    if rule.over == "baseline":
        return read(inputs.params.baseline, rule.measure, inputs.paths).scores
    assert inputs.champion is not None
    return version_scores(inputs.champion, candidate, rule.measure, inputs.paths, inputs.tracker)


def _oriented(scores: Scores, rule: Rule) -> Scores:
    """Scores of which more is better."""
    if not rule.lower_is_better:
        return scores
    return replace(scores, values={key: -value for key, value in scores.values.items()})


def _as_measured(compared: Compared, rule: Rule) -> Compared:
    """The difference in the measure itself, whichever direction is better; the verdict stays."""
    if not rule.lower_is_better:
        return compared
    dirty = None if compared.dirty_value is None else -compared.dirty_value
    return replace(compared, difference=compared.difference.negated(), dirty_value=dirty)
