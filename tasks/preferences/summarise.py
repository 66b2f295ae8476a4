"""Results of judges' answers: win rate, sign test, preference for a side, agreement with each other and ROUGE-1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval
from tasks.preferences.answers import Answers
from tasks.preferences.key import ExportKey

SCORE = {"b": 1.0, "a": 0.0, "tie": 0.5, "bad": 0.5}
"""Points of the second experiment. ``bad``: both outputs are bad, so neither wins."""

Results = dict[str, Any]

ByPair = dict[str, dict[str, str]]
"""Pair → judge → outcome: ``a`` or ``b`` won, ``tie`` or ``bad``."""


def summarise(key: ExportKey, answers: Answers, params: IntervalParams) -> Results:
    """``results.json``. Judges of one pair are averaged first, since they judge the same texts. Intervals and tests
    treat all pairs of one conversation or author as one group (``ExportKey.group_of``), since they are not independent.

    Keys: ``judges`` (name → answered, unanswered, b_wins, a_wins, ties, bad, left, right, and ``side_p_value`` of the
    sign test of left against right), ``win_rate`` of B (ties and both bad as half) and ``win_rate_decided`` (without
    them), ``sign_test``, ``left_chosen``, ``agreement``, ``rouge1`` (whether the output with the higher ROUGE-1 won),
    ``pairs`` (each with its verdict and choices). An interval is ``value`` (mean over pairs), ``low``, ``high``, ``n``
    (pairs), ``groups`` and ``p_value`` (exact sign test of the groups' means against a half), or None if no pair has a
    value.
    """
    outcomes = by_pair(key, answers)
    scores = {pair: [SCORE[o] for o in won.values()] for pair, won in outcomes.items()}
    decided = {pair: [s for s in points if s != 0.5] for pair, points in scores.items()}
    sides = {pair: [float(o == _side(key, pair)) for o in won.values() if o in "ab"] for pair, won in outcomes.items()}
    verdicts = {pair: verdict(points) for pair, points in scores.items()}
    return {
        "version": 1,
        **key.model_dump(include={"export", "a", "b", "seed", "predictions", "counts"}),
        "intervals": params.model_dump(),
        "pairs_exported": len(key.pairs),
        "judges": {judge: _counted(key, won) for judge, won in answers.items()},
        "win_rate": _interval(key, scores, params),
        "win_rate_decided": _interval(key, decided, params),
        "sign_test": sign_test(_of_groups(key, verdicts), params.confidence),
        "left_chosen": _interval(key, sides, params),
        "agreement": agreement(outcomes, list(answers)),
        "rouge1": rouge_agreement(key, verdicts, params),
        "pairs": {
            pair: {
                **key.pairs[pair].model_dump(exclude={"texts_sha256"}),
                "verdict": {"a": key.a, "b": key.b}.get(verdicts[pair], "even"),
                "choices": {judge: won[pair] for judge, won in answers.items() if pair in won},
            }
            for pair in outcomes
        },
    }


def by_pair(key: ExportKey, answers: Answers) -> ByPair:
    """The outcomes of answered pairs, in the order of the export."""
    outcomes: ByPair = {}
    for pair in key.pairs:
        by_judge = {judge: outcome(key, pair, choices[pair]) for judge, choices in answers.items() if pair in choices}
        if by_judge:
            outcomes[pair] = by_judge
    return outcomes


def outcome(key: ExportKey, pair: str, choice: str) -> str:
    """Who won by ``choice``: ``a``, ``b``; else ``tie`` or ``bad``."""
    if choice in ("tie", "bad"):
        return choice
    return _side(key, pair) if choice == "left" else ("a" if _side(key, pair) == "b" else "b")


def _side(key: ExportKey, pair: str) -> str:
    """The experiment on the left side of a pair: ``a`` or ``b``."""
    return "b" if key.pairs[pair].left == key.b else "a"


def _counted(key: ExportKey, choices: dict[str, str]) -> Results:
    won, chosen = Counter(outcome(key, pair, choice) for pair, choice in choices.items()), Counter(choices.values())
    return {
        "answered": len(choices),
        "unanswered": len(key.pairs) - len(choices),
        "b_wins": won["b"],
        "a_wins": won["a"],
        "ties": won["tie"],
        "bad": won["bad"],
        "left": chosen["left"],
        "right": chosen["right"],
        # Over pairs, not groups: each pair's sides are drawn, so a judge without a habit makes independent choices.
        "side_p_value": _p_value(chosen["left"], chosen["right"]),
    }


def _interval(key: ExportKey, values: dict[str, list[float]], params: IntervalParams) -> Results | None:
    means = {pair: fmean(points) for pair, points in values.items() if points}
    if not means:
        return None
    groups = [key.group_of(pair) for pair in means]
    value, low, high = mean_interval(list(means.values()), params, groups)
    # A bootstrap interval of few groups is too narrow, and of equal pairs it has no width; the exact test is valid.
    by_group = _by_group(key, means)
    p_value = _p_value(sum(mean > 0.5 for mean in by_group), sum(mean < 0.5 for mean in by_group))
    return {"value": value, "low": low, "high": high, "n": len(means), "groups": len(by_group), "p_value": p_value}


def _by_group(key: ExportKey, values: dict[str, float]) -> list[float]:
    """Mean over the pairs of each group."""
    by_group: dict[tuple[str, str], list[float]] = {}
    for pair, value in values.items():
        by_group.setdefault(key.group_of(pair), []).append(value)
    return [fmean(one) for one in by_group.values()]


def _of_groups(key: ExportKey, verdicts: dict[str, str]) -> list[str]:
    """The verdict of each group: the majority of its pairs."""
    points = {pair: SCORE.get(won, 0.5) for pair, won in verdicts.items()}
    return [verdict([mean]) for mean in _by_group(key, points)]


def _p_value(above: int, below: int) -> float | None:
    """Exact two-sided sign test (Conover 1999, section 3.4)."""
    return float(binomtest(above, above + below, 0.5).pvalue) if above + below else None


def verdict(scores: list[float]) -> str:
    """Majority of ``scores``, such as those of the judges of a pair: ``a``, ``b`` or ``even``."""
    mean = fmean(scores)
    return "even" if mean == 0.5 else "b" if mean > 0.5 else "a"


def sign_test(verdicts: list[str], confidence: float) -> Results:
    """Exact two-sided sign test of whether either wins more groups than the other.

    Args:
        verdicts: of independent groups.

    Returns:
        ``b_wins``, ``a_wins``, ``even`` (left out), ``p_value``, and the exact interval ``low``, ``high`` of B's share
        of the decided groups (Clopper and Pearson 1934), which holds for few groups too; None if none is decided.
    """
    won = Counter(verdicts)
    result: Results = {
        "b_wins": won["b"],
        "a_wins": won["a"],
        "even": won["even"],
        "p_value": None,
        "low": None,
        "high": None,
    }
    if decided := won["a"] + won["b"]:
        interval = binomtest(won["b"], decided).proportion_ci(confidence, method="exact")
        result |= {"p_value": _p_value(won["b"], won["a"]), "low": float(interval.low), "high": float(interval.high)}
    return result


def agreement(outcomes: ByPair, judges: Sequence[str]) -> Results:
    """Agreement of judges on the outcome (a, b, tie, bad), over the pairs that both answered.

    Keys: ``pairs`` (of judges: ``judges``, ``common`` pairs, ``same`` share, Cohen's ``kappa``) and
    ``krippendorff_alpha`` (nominal) of three and more judges. A coefficient is None where nothing is common, or where
    every outcome is the same: chance alone would agree wholly then.
    """
    by_two = [_two(outcomes, one, other) for one, other in combinations(judges, 2)]
    return {"pairs": by_two, "krippendorff_alpha": _alpha(outcomes) if len(judges) > 2 else None}


def _two(outcomes: ByPair, one: str, other: str) -> Results:
    both = [(by_judge[one], by_judge[other]) for by_judge in outcomes.values() if one in by_judge and other in by_judge]
    first, second = [a for a, _ in both], [b for _, b in both]
    varied = len({*first, *second}) > 1
    return {
        "judges": [one, other],
        "common": len(both),
        "same": fmean(a == b for a, b in both) if both else None,
        "kappa": float(cohen_kappa_score(first, second)) if varied else None,
    }


def _alpha(outcomes: ByPair) -> float | None:
    # Pairs with one judge have no agreement; nltk would count them as chance.
    several = {pair: by_judge for pair, by_judge in outcomes.items() if len(by_judge) > 1}
    if len({outcome for by_judge in several.values() for outcome in by_judge.values()}) < 2:
        return None
    from nltk.metrics.agreement import AnnotationTask  # seconds to import

    data = [(judge, pair, outcome) for pair, by_judge in several.items() for judge, outcome in by_judge.items()]
    return float(AnnotationTask(data=data).alpha())


def rouge_agreement(key: ExportKey, verdicts: dict[str, str], params: IntervalParams) -> Results:
    """Share of decided pairs that the output with the higher ROUGE-1 F1 won.

    Keys: ``agrees`` (an interval, or None), and the decided pairs that are left out: ``equal`` and ``unknown`` scores.
    """
    agrees: dict[str, list[float]] = {}
    left_out = Counter[str]()
    for pair, won in verdicts.items():
        a, b = (key.pairs[pair].rouge1_f.get(name) for name in (key.a, key.b))
        if won == "even":
            continue
        if a is None or b is None or a == b:
            left_out["unknown" if a is None or b is None else "equal"] += 1
        else:
            agrees[pair] = [float(won == ("b" if b > a else "a"))]
    return {"agrees": _interval(key, agrees, params), "equal": left_out["equal"], "unknown": left_out["unknown"]}
