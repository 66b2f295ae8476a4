"""Results of judges' answers as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tasks.compare.cells import NOTHING, number

Results = dict[str, Any]


def result_table(results: Results) -> Group:
    """Counts per judge, then the findings over all judges."""
    return Group(_judges(results), _findings(results), Text("\n".join(_legend(results))))


def _judges(results: Results) -> Table:
    a, b = results["a"], results["b"]
    titles = ("judge", "answered", "unanswered", f"{b} better", f"{a} better", "tie", "both bad", "left", "right")
    table = Table(title=Text(f"{b} against {a}, export {results['export']}"), title_justify="left")
    for title in titles:
        table.add_column(Text(title), justify="left" if title == "judge" else "right", vertical="bottom")
    keys = ("answered", "unanswered", "b_wins", "a_wins", "ties", "bad", "left", "right")
    for judge, counts in results["judges"].items():
        table.add_row(Text(judge), *(str(counts[key]) for key in keys))
    return table


def _findings(results: Results) -> Table:
    a, b = results["a"], results["b"]
    table = Table()
    for title in ("", "%", "pairs", "groups", "which means"):
        table.add_column(title, justify="left" if title in ("", "which means") else "right")

    def row(title: str, interval: Results | None, *meanings: str) -> None:
        table.add_row(Text(title), *_cells(interval), Text(_reading(interval, results["intervals"], *meanings)))

    better = f"{b} is better", f"{a} is better", f"leans to {b}", f"leans to {a}"
    row(f"win rate of {b}, ties as half", results["win_rate"], *better)
    row("without ties", results["win_rate_decided"], *better)
    table.add_row("sign test", *_sign_test(results["sign_test"]))
    habit = "judges prefer the left", "judges prefer the right", "leans left", "leans right"
    row("left side chosen", results["left_chosen"], *habit)
    agrees = "judges and ROUGE-1 agree", "judges and ROUGE-1 disagree", "leans to agreement", "leans to disagreement"
    row("higher ROUGE-1 wins", results["rouge1"]["agrees"], *agrees)
    for two in results["agreement"]["pairs"]:
        share, kappa = number(two["same"], 100), number(two["kappa"], digits=2)
        title = f"{' and '.join(two['judges'])} agree"
        table.add_row(Text(title), share, str(two["common"]), NOTHING, f"Cohen's kappa {kappa}")
    if len(results["judges"]) > 2:
        alpha = number(results["agreement"]["krippendorff_alpha"], digits=2)
        table.add_row("all judges", NOTHING, NOTHING, NOTHING, f"Krippendorff's alpha {alpha}")
    return table


def _cells(interval: Results | None) -> tuple[str, str, str]:
    if interval is None:
        return NOTHING, "0", "0"
    value, low, high = (number(interval[name], 100) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]", str(interval["n"]), str(interval["groups"])


def _reading(interval: Results | None, params: Results, above: str, below: str, up: str, down: str) -> str:
    """Interval around a half in words: ``above`` or ``below`` only if the exact sign test agrees."""
    if interval is None:
        return "nothing was decided"
    if interval["low"] <= 0.5 <= interval["high"]:
        return "nothing that these pairs can show"
    over = interval["low"] > 0.5
    if interval["p_value"] >= 1 - params["confidence"]:
        few = "pairs" if interval["groups"] == interval["n"] else "groups"
        return f"{up if over else down}: too few {few} (p = {interval['p_value']:.2g})"
    return above if over else below


def _sign_test(test: Results) -> tuple[str, str, str, str]:
    decided = test["b_wins"] + test["a_wins"]
    if not decided:
        return NOTHING, NOTHING, "0", "nothing was decided"
    share, low, high = (number(x, 100) for x in (test["b_wins"] / decided, test["low"], test["high"]))
    counts = f"{test['b_wins']} : {test['a_wins']}, p = {test['p_value']:.3g}"
    return f"{share} [{low}, {high}]", NOTHING, str(decided), counts


def _legend(results: Results) -> list[str]:
    percent = f"{100 * results['intervals']['confidence']:g}%"
    lines = [
        f"{percent} intervals over groups: bootstrap ({results['intervals']['resamples']} resamples); of the sign test "
        "exact, which is the one to trust for few groups. Pairs of one conversation or author are one group, which the "
        "sign test counts once. Both bad counts as a tie. Of several judges of a pair the mean counts, and the "
        "majority in the sign test and for ROUGE-1."
    ]
    for judge, counts in results["judges"].items():
        p_value = counts["side_p_value"]
        if p_value is not None and p_value < 1 - results["intervals"]["confidence"]:
            lines.append(f"{judge} chose left {counts['left']} and right {counts['right']} times, p = {p_value:.2g}.")
    rouge = results["rouge1"]
    if rouge["equal"] or rouge["unknown"]:
        lines.append(
            f"ROUGE-1 was equal in {rouge['equal']} decided pairs and unknown in {rouge['unknown']}; left out."
        )
    return lines
