"""``like``: an experiment takes the keys of another one that it does not set itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import parse
from tasks.resolve.params import Experiment, ExperimentKeys


def shared_keys(name: str, experiment: ExperimentKeys, entries: dict[str, Any], file: Path) -> ExperimentKeys | None:
    """The entry that ``like`` of ``experiment`` names; None if it has no such key.

    Args:
        name: name of the experiment.
        entries: all entries under ``experiments``, as they are written in ``file``.

    Raises:
        TunesmithError: ``like`` names no experiment, itself, or one that has ``like`` too; that entry is wrong; or the
            two have another method or mixture.
    """
    if experiment.like is None:
        return None
    where, other = f"{file}: experiments.{name}", experiment.like
    known = [one for one in entries if one != name]
    if other not in known:
        problem = "an experiment cannot be like itself" if other == name else f"there is no experiment {other!r}"
        raise TunesmithError(
            f"{where}.like: {problem}; there are: {', '.join(known) or 'none'}{did_you_mean(other, known)}"
        )
    shared = parse(Experiment, entries[other], file, f"experiments.{other}")
    if shared.like is not None:
        raise TunesmithError(
            f"{where}.like: must name an experiment without `like`; {other!r} is like {shared.like!r}; name "
            f"{shared.like!r}, and set here the keys that differ from it"
        )
    differing = [
        f"{where}.{key}: must be {theirs!r}, as in {other!r}, which `like` names; it is {ours!r}; write {theirs!r}, or "
        "remove `like`"
        for key, ours, theirs in (
            ("method", experiment.method, shared.method),
            ("mixture", experiment.mixture, shared.mixture),
        )
        if ours != theirs
    ]
    if differing:
        raise TunesmithError("\n".join(differing))
    return shared
