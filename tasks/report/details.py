"""Sections about single properties: groups of rows, prompts with examples, samples, soft prompts, older test sets."""

from __future__ import annotations

from typing import Any

from tasks.compare.cells import NOTHING, Cell, Comparison, about, change, number, scale, score


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


def second_opinions(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Experiments with retired rows; cells: difference on test rows, difference on retired rows, retired rows."""
    metric = comparison["metric"]
    return [
        (entry["name"], [str(change(entry, metric)), str(change(apart, metric)), str(second["rows"])])
        for entry in comparison["systems"]
        if (second := entry.get("second_opinion")) and (apart := {"differences": {metric: second}})
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
