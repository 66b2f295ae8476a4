"""Where the rows come from: sources with their versions, mixtures, what training learned from, contamination."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tasks.compare.cells import number
from tasks.report.facts import Facts, Mixture, Source
from tasks.report.sections import Shown

SHORT = 12
"""Characters of a hash that a person compares."""


def data(facts: Facts) -> Shown | None:
    """Sources, mixtures, the label contract of each training and contamination; None if no file is left."""
    contracts = [row for name, one in facts.trained.items() if (row := _contract(name, one.manifest)) is not None]
    if not (facts.sources or facts.mixtures or contracts):
        return None
    return {
        "sources": [_source(one) for one in facts.sources],
        "mixtures": [_mixture(one) for one in facts.mixtures],
        "contamination": [row for one in facts.mixtures for row in _contamination(one)],
        "contracts": contracts,
        "samples": _samples(contracts),
        "base_models": base_models(facts),
    }


def _samples(contracts: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """(task, training row, names of the experiments that learn it); each row once."""
    names: dict[tuple[str, str], list[str]] = {}
    for contract in contracts:
        for task, sample in contract["samples"].items():
            names.setdefault((task, sample), []).append(contract["name"])
    return [(*row, of_row) for row, of_row in names.items()]


def _source(source: Source) -> tuple[str, list[str]]:
    rows, split = source.split.get("rows", {}), source.split
    dropped = ", ".join(f"{reason} {count}" for reason, count in (split.get("dropped") or {}).items())
    counts = [str(rows.get(part, 0)) for part in ("in", "train", "validation", "test")]
    return source.name, [source.version[:SHORT] or "–", *counts, dropped or "none", str(split.get("test_set", "–"))]


def _mixture(mixture: Mixture) -> tuple[str, list[str]]:
    rows, sources = mixture.report.get("rows", {}), mixture.report.get("sources", {})
    left_out = sum(sum(of.values()) for one in sources.values() for of in one.get("left_out", {}).values())
    taken = Counter[str]()
    for component, one in mixture.report.get("components", {}).items():
        taken[component.partition("/")[0]] += one["rows"]
    parts = ", ".join(f"{name} {count}" for name, count in taken.items())
    return mixture.name, [str(rows.get("train", "–")), str(rows.get("validation", "–")), parts, str(left_out)]


def _contamination(mixture: Mixture) -> list[tuple[str, list[str]]]:
    rows = []
    for name, about in mixture.contamination.get("sets", {}).items():
        counts, shares = about.get("counts", {}), about.get("shares", {})
        dirty = f"{counts.get('dirty', 0)} ({number(shares.get('dirty', 0.0), 100)} %)"
        near = str(counts.get("near_duplicate_input", 0))
        rows.append((f"{mixture.name} on {name}", [str(about.get("rows", "–")), dirty, near]))
    return rows


def _contract(name: str, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """What training learned from: rows, tokens, learned tokens, and one row with its mask."""
    contract = (manifest.get("contract") or {}).get("train")
    if not contract:
        return None
    tokens, learned = contract.get("tokens") or 0, contract.get("supervised_tokens") or 0
    dropped = sum((contract.get("dropped") or {}).values())
    truncated = (contract.get("truncated") or {}).get("rows", 0)
    return {
        "name": name,
        "cells": [
            str(contract.get("rows", "–")),
            f"{tokens:,}",
            f"{learned:,}",
            number(learned / tokens if tokens else None, 100),
            str(contract.get("end_token_rows", "–")),
            str(dropped),
            str(truncated),
        ],
        "samples": contract.get("samples") or {},
    }


def base_models(facts: Facts) -> list[str]:
    """The base models of the experiments, each with its revision or the start of the hash of its weights."""
    specs = {}
    for one in facts.trained.values():
        base = one.manifest.get("base_model") or {}
        if base.get("spec"):
            version = base.get("revision") or (base.get("weights_sha256") or "")[:SHORT]
            specs[base["spec"]] = f"{base['spec']} ({version})" if version else base["spec"]
    return list(specs.values())
