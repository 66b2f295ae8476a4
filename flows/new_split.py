"""Refuse a run that would split rows anew, unless ``--new-split`` allows it."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.split.assignments import Assignments
from tasks.split.new_split import NewSplit, retired_rows, test_rows, was_split
from tasks.split.params import SplitParams
from tasks.split.run import ASSIGNMENTS
from tasks.template.library import library_of, load_set
from tasks.template.params import TemplateParams
from tasks.template.run import grouped_by

ALL = "all"


def new_splits(paths: Paths) -> list[NewSplit]:
    """The sources whose earlier assignments are lost, or were made with other parameters."""
    file = paths.params / "sources.yaml"
    splits = []
    for name in mapping(file, "sources"):
        params = load(SplitParams, file, "sources", name, "split")
        template = load(TemplateParams, file, "sources", name, "template")
        made = grouped_by(load_set(template.set, library_of(paths.root)), template)
        folder = paths.split(name)
        state, changed = Assignments.state_of(folder / ASSIGNMENTS, params, made)
        gone = state == "none" and bool(params.shares()) and was_split(paths.root, name)
        if gone or state == "other parameters":
            splits.append(NewSplit(name, state, changed, test_rows(folder), retired_rows(folder)))
    return splits


def refuse_new_splits(paths: Paths, allowed: Sequence[str] | None) -> list[NewSplit]:
    """Return the splits that will be made anew; ``allowed`` must name their sources (``all`` allows every source).

    Raises:
        TunesmithError: ``allowed`` names an unknown source, or misses one whose rows would be split anew.
    """
    known = list(mapping(paths.params / "sources.yaml", "sources"))
    if unknown := [name for name in allowed or () if name not in (*known, ALL)]:
        raise TunesmithError(
            f"--new-split: no source {unknown[0]!r} in params/sources.yaml; there are: {', '.join([*known, ALL])}"
        )
    splits = new_splits(paths)
    refused = [one for one in splits if one.source not in (allowed or ()) and ALL not in (allowed or ())]
    if refused:
        raise TunesmithError("\n".join(line for one in refused for line in _refusal(one)))
    return splits


def _refusal(one: NewSplit) -> list[str]:
    return [
        f"{one.source}: its rows would be split anew: {one.why()}",
        f"{one.source}: {one.effect()}",
        f"{one.source}: to keep the split, {one.remedy()}; to split anew, add `--new-split {one.source}` "
        f"(`new_split: [{one.source}]` of the flow)",
    ]


def counts(paths: Paths, allowed: Sequence[NewSplit]) -> list[str]:
    """One line per split that a run made anew, with its test rows before and after. Splits not reached have none."""
    if not allowed:
        return []
    missing = {split.source for split in new_splits(paths)}
    return [one.counts(test_rows(paths.split(one.source))) for one in allowed if one.source not in missing]
