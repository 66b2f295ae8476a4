"""The comparison as one HTML file: no script, no network, every text escaped.

It loads one other file: the page with the gate's verdict, in ``reports/gate``.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tasks.compare.cells import (
    NOTHING,
    Cell,
    Comparison,
    about,
    change,
    columns,
    label,
    number,
    outcome,
    scale,
    score,
    sign_columns,
    sign_floors,
)
from tasks.compare.seeds import seed_lines
from tasks.compare.table import legend, marks
from tasks.core.pages import pages
from tasks.metrics.names import HIGHER_IS_BETTER
from tasks.metrics.verdicts import needed

TEMPLATE = "report.html.jinja"


def html_report(comparison: Comparison, picture: bytes, gate: str) -> str:
    """Render ``comparison`` as HTML.

    Args:
        picture: PNG, embedded in the page.
        gate: relative link to the page with the gate's verdict. The gate writes that page later, without changing the
            report.
    """
    environment = pages(Path(__file__).parent)
    return environment.get_template(TEMPLATE).render(
        c=comparison,
        metric=label(comparison["metric"]),
        columns=columns(comparison),
        signs=sign_columns(comparison),
        sign_floors=sign_floors(comparison),
        changes=changes(comparison),
        groups=group_rows(comparison),
        soft_prompts=soft_prompts(comparison),
        prompts=prompts(comparison),
        drawn=drawn(comparison),
        retention=retention_rows(comparison),
        second_opinions=second_opinions(comparison),
        legend=legend(comparison),
        seeds=seed_lines(comparison),
        marks=" ".join(marks(comparison, "bold")),
        picture=base64.b64encode(picture).decode("ascii"),
        percent=lambda value: number(value, 100),
        counts=_counts(comparison),
        verdict=verdict(comparison),
        gate=gate,
        gate_height=_gate_height(comparison),
    )


def changes(comparison: Comparison) -> dict[str, Any]:
    """The table of differences: ``titles`` of its columns, and ``rows`` of (name, cells).

    The verdict on the primary metric follows its difference. ``plain``: whether a column has no better or worse side,
    such as copied 4-grams.
    """
    compared = [entry for entry in comparison["systems"] if entry["differences"]]
    primary = comparison["metric"]
    others = sorted({name for entry in compared for name in entry["differences"]} - {primary}, key=_order)
    return {
        "titles": [f"Δ {label(primary)} (primary)", "verdict", *(f"Δ {label(name)}" for name in others)],
        "plain": [False, False, *(name not in HIGHER_IS_BETTER for name in others)],
        "rows": [
            (
                entry["name"],
                [change(entry, primary), outcome(entry, primary), *(change(entry, name) for name in others)],
            )
            for entry in compared
        ],
    }


def group_rows(comparison: Comparison) -> list[tuple[str, str, Cell, Cell, str]]:
    """Rows of (experiment, group, ROUGE-1, exact match, rows).

    The groups are seen and unseen prompt variants and tasks, clean and dirty rows, and the spread over the prompt
    variants of a task. An experiment without such groups has no row.
    """
    shown = []
    for entry in comparison["systems"]:
        for kind in ("wording", "task_seen", "contamination"):
            scores = entry["groups"].get(kind, {})
            if len(scores) > 1 or "unseen" in scores or "dirty" in scores:
                for group, metrics in scores.items():
                    rows = max((metric["n"] for metric in metrics.values()), default=0)
                    cells = (score({"metrics": metrics}, name, 100) for name in ("rouge1_f", "exact_match"))
                    shown.append((entry["name"], _GROUPS[kind].format(group), *cells, str(rows)))
        for task, metrics in entry["groups"].get("wording_spread", {}).items():
            cells = (_spread(metrics.get(name)) for name in ("rouge1_f", "exact_match"))
            shown.append((entry["name"], f"spread of prompt variants of {task}", *cells, NOTHING))
    return shown


def soft_prompts(comparison: Comparison) -> list[tuple[str, list[dict[str, str]]]]:
    """Experiments with a soft prompt, each with one row per cluster of virtual tokens.

    A row has the ``positions`` of the virtual tokens (from 1) and their nearest ``words``, the most similar first.
    """
    shown = []
    for entry in comparison["systems"]:
        tokens = about(entry).get("soft_prompt") or []
        together: dict[int, list[Any]] = {}
        for token in tokens:
            together.setdefault(token["cluster"], []).append(token)
        rows = [_cluster(members) for members in together.values()]
        if rows:
            shown.append((entry["name"], rows))
    return shown


def prompts(comparison: Comparison) -> list[dict[str, Any]]:
    """Length of the prompts per experiment; empty if no experiment has examples in its prompts.

    A row has ``name``, ``count`` (examples per prompt), ``cells`` (mean tokens, most tokens, percent of the context
    window, rows with fewer examples, score) and ``examples`` (template → its examples).
    """
    known = [(entry, about(entry).get("shots")) for entry in comparison["systems"]]
    if not any(shots and shots["count"] for _, shots in known):
        return []
    return [
        {
            "name": entry["name"],
            "count": shots["count"],
            "cells": [
                number(shots["prompt_tokens"]["mean"], digits=0),
                number(shots["prompt_tokens"]["most"], digits=0),
                number((shots["context_share"] or {}).get("most"), 100),
                str(shots["rows_with_fewer"]),
                str(score(entry, comparison["metric"], scale(comparison["metric"]))),
            ],
            "examples": shots["examples"],
        }
        for entry, shots in known
        if shots
    ]


def drawn(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Experiments with sampled outputs, each with its cells.

    The cells: samples per row, temperature, score of the greedy outputs, mean over all samples, lowest and highest mean
    of one sample, and standard deviation within a row.
    """
    metric, shown = comparison["metric"], []
    for entry in comparison["systems"]:
        samples = about(entry).get("samples") or {}
        spread = samples.get("scores", {}).get(metric)
        if spread:
            values = [number(spread[key], scale(metric)) for key in ("mean", "lowest", "highest", "within_row")]
            greedy = str(score(entry, metric, scale(metric), interval=False))
            shown.append((entry["name"], [str(samples["count"]), f"{samples['temperature']:g}", greedy, *values]))
    return shown


def retention_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per tuned experiment and retention task.

    A row has ``name``, ``task``, ``verdict``, ``needed`` (text about the rows that would decide), ``cells`` (metric,
    before, after, difference, rows) and ``examples`` of rows that lost most.
    """
    return [
        {
            "name": entry["name"],
            "task": f"{task} (trained on)" if kept["trained"] else task,
            "verdict": kept["verdict"],
            "needed": needed(kept),
            "cells": [label(kept["metric"]), *_before_and_after(kept)],
            "examples": kept["examples"],
        }
        for entry in comparison["systems"]
        for task, kept in entry.get("retention", {}).items()
    ]


def second_opinions(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Experiments with retired rows; cells: difference on test rows, difference on retired rows, retired rows."""
    metric = comparison["metric"]
    return [
        (entry["name"], [str(change(entry, metric)), str(change(apart, metric)), str(second["rows"])])
        for entry in comparison["systems"]
        if (second := entry.get("second_opinion")) and (apart := {"differences": {metric: second}})
    ]


def _before_and_after(kept: dict[str, Any]) -> list[str]:
    if "difference" not in kept:
        return [NOTHING] * 4
    loss = kept["metric"] == "loss_per_byte"
    factor, digits = (1.0, 4) if loss else (scale(kept["metric"]), 1)
    change = [number(kept["difference"][key], factor, digits, signed=True) for key in ("value", "low", "high")]
    return [
        number(kept["before"], factor, digits),
        number(kept["after"], factor, digits),
        f"{change[0]} [{change[1]}, {change[2]}]",
        str(kept["difference"]["rows"]) + (f" ({kept['unpaired']} unpaired)" if kept["unpaired"] else ""),
    ]


def _cluster(tokens: list[Any]) -> dict[str, str]:
    best: dict[str, float] = {}
    for near in (near for token in tokens for near in token["nearest"]):
        best[near["word"]] = max(near["similarity"], best.get(near["word"], -1.0))
    words = sorted(best, key=lambda word: -best[word])[:_WORDS]
    return {
        "positions": ", ".join(str(token["position"] + 1) for token in tokens),
        "words": ", ".join(f"{word!r} {best[word]:.2f}" for word in words),
    }


_WORDS = 8
_GROUPS = {"wording": "prompt variants {}", "task_seen": "tasks {}", "contamination": "{} rows"}


def _spread(of: dict[str, Any] | None) -> Cell:
    """Highest minus lowest mean over the prompt variants, in percentage points."""
    return Cell(number(of["spread"], 100), f"{of['wordings']} prompt variants") if of else Cell(NOTHING)


def verdict(comparison: Comparison) -> str:
    """The candidate's difference to the baseline in words; empty if there is none."""
    entry = next((entry for entry in comparison["systems"] if entry["candidate"]), None)
    metric, baseline = comparison["metric"], comparison["baseline"]["name"]
    difference = (entry["differences"] or {}).get(metric) if entry else None
    if entry is None or difference is None:
        return ""
    cell = outcome(entry, metric)
    return f"{label(metric)} on the test rows: {change(entry, metric)} against {baseline}: {cell}."


def _order(metric: str) -> tuple[bool, str]:
    return not metric.startswith("rouge"), metric


def _counts(comparison: Comparison) -> str:
    experiments = sum(entry["kind"] == "experiment" for entry in comparison["systems"])
    trivial = len(comparison["systems"]) - experiments
    parts = [_plural(experiments, "experiment")]
    if trivial:
        parts.append(_plural(trivial, "trivial baseline"))
    return f"{' and '.join(parts)} on the same {_plural(comparison['rows'], 'test row')}"


def _gate_height(comparison: Comparison) -> int:
    """Height of the gate's page in rem: one line per opponent, and room for a few others."""
    return 8 + 2 * sum(not entry["tuned"] for entry in comparison["systems"])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
