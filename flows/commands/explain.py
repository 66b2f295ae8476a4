"""The work of ``tunesmith explain``: read the lineage, and write it as lines of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.by_hand import load_registration
from flows.commands.registered import address_of
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.lineage.explain import explain
from tasks.lineage.seen import parts_of, rows_of_file, seen_by, trained_models
from tasks.model.registered import find_version
from tasks.registry.decisions import requests
from tasks.tracking.client import open_store, readable_mlflow

LOST = "lost"

Facts = dict[str, Any]


def explain_model(root: Path, model: str | None) -> Facts:
    """The lineage of a registered version; None means the champion.

    Raises:
        TunesmithError: there is no such version.
    """
    params, paths = load_registration(root), Paths(root)
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        version = find_version(tracker.client, address_of(model, params, tracker.client))
        return explain(version, paths, tracker)


def explain_row(root: Path, row_id: str) -> Facts:
    """The models that saw a row in training, where it is in the present splits, and requests to forget it.

    Raises:
        TunesmithError: neither the splits nor a model know the row.
    """
    params, paths = load_registration(root), Paths(root)
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        models = seen_by([row_id], trained_models(params.model_name, paths, tracker))
    parts = parts_of(row_id, paths)
    withheld = [one for one in requests(paths) if any(row_id in of for of in one["rows"].values())]
    if not models and not parts and not withheld:
        raise TunesmithError(
            f"explain: --row: no split and no model has a row {row_id!r}; a row_id is a column of the files in "
            "data/splits/SOURCE and of every predictions.parquet"
        )
    about = [{name: one[name] for name in ("time", "by", "why")} for one in withheld]
    return {"row_id": row_id, "parts": parts, "models": models, "withheld": about}


def explain_file(root: Path, file: str) -> Facts:
    """The models that saw rows of a source file in training.

    Raises:
        TunesmithError: no row of the workspace comes from the file.
    """
    params, paths = load_registration(root), Paths(root)
    rows = rows_of_file(file, paths)
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        models = seen_by(rows, trained_models(params.model_name, paths, tracker))
    return {"file": file, "rows": len(rows), "models": models}


def row_lines(facts: Facts) -> list[str]:
    """``explain_row`` as text."""
    parts = ", ".join(f"{one['part']} of {one['source']}" for one in facts["parts"]) or "no part of the present splits"
    withheld = [f"withheld from all runs since {one['time']} by {one['by']}: {one['why']}" for one in facts["withheld"]]
    return [f"row {facts['row_id']}: {parts}", *withheld, *seen_lines(facts["models"], single=True)]


def file_lines(facts: Facts) -> list[str]:
    """``explain_file`` as text."""
    return [f"{facts['file']}: {counted(facts['rows'], 'row')}", *seen_lines(facts["models"], single=False)]


def seen_lines(models: list[Facts], single: bool) -> list[str]:
    """``tasks.lineage.seen.seen_by`` as text, of a ``single`` row or of several."""
    if not models:
        return ["no model saw it in training" if single else "no model saw any of them in training"]
    lines = ["seen in training by:"]
    for one in models:
        aliases = f" ({', '.join(one['aliases'])})" if one["aliases"] else ""
        rows = "" if single else f": {counted(one['rows'], 'row')}"
        through = ", through a model that it was tuned from"
        if one["own"]:
            through = ", directly and through a model that it was tuned from" if one["through_base"] else ""
        lines.append(f"  {one['model']}{aliases}, experiment {one['experiment']}{rows}{through}")
    return lines


def model_lines(facts: Facts) -> list[str]:
    """``explain_model`` as text: one line per step, from the version back to the rows."""
    version, model, git = facts["version"], facts["model"], facts["git"]
    aliases = f" ({', '.join(version['aliases'])})" if version["aliases"] else ""
    mark = f"; {version['by_hand']['how']}" if version["by_hand"] else ""
    base = model["base_model"] or {}
    lines = [
        f"version {version['version']} of {version['name']}{aliases}: experiment {version['experiment']}{mark}",
        _decision(facts["decision"], version["by_hand"]),
        f"  run: {version['run_id']} in MLflow",
        f"  weights: {model['weights_sha256'][:12]}, {_where(facts['weights'])}"
        + ("; signed" if facts["signed"] else "")
        + (f"; models/{version['experiment']} has other weights now" if facts["retrained"] else ""),
        f"  method: {model['method']} on {base.get('spec')} ("
        + (f"{base['revision']}, " if base.get("revision") else "")
        + f"weights {str(base.get('weights_sha256'))[:12]})",
        *_ancestors(base),
        f"  key: {model['key'][:12]}; fingerprint of the rendering: {str(model['fingerprint'])[:12]}",
        f"  libraries: {', '.join(f'{name} {number}' for name, number in (model['versions'] or {}).items())}",
        *_git(git),
        "  data, the sources first:",
        *(
            f"    {entry['path']}: {entry['md5'][:12]}, {_where(entry['where'])}"
            + (f" ({entry['stage']})" if entry["stage"] else "")
            for entry in facts["data"]
        ),
    ]
    if not facts["data"]:
        lines[-1] = "  data: not known; versions of earlier releases have no dvc.lock in their run"
    lines += [f"  template {name}: {' '.join(text.split())[:100]}" for name, text in facts["templates"].items()]
    lines.append(_contract(facts["contract"]))
    lines += [
        f"  contamination: {one['dirty']} of {counted(one['rows'], 'test row')} of {source} overlap with training rows"
        for source, one in facts["contamination"].items()
    ]
    if not facts["contamination"]:
        lines.append("  contamination: not known; the mixture that it was trained on is not in the workspace")
    for one in facts["training_rows"]:
        ancestor = "" if one["generation"] == 0 else ", through an ancestor"
        lines.append(f"  trained on {counted(one['rows'], 'row')} of {one['source']}{ancestor}")
    if len(facts["training_rows"]) > 1:
        lines.append(f"  {counted(facts['distinct_rows'], 'distinct row')} in total")
    return lines


def _ancestors(base: Facts) -> list[str]:
    return [
        f"  base: {one['model']}, experiment {one['experiment']} ({one['method']}, weights "
        f"{one['weights_sha256'][:12]}) on {one['base']['spec']}"
        for one in base.get("ancestors", [])
    ]


def _decision(decision: Facts, by_hand: Facts | None) -> str:
    if decision["verdict"] is None:
        return "  decision: not known; it was made by an earlier release"
    # Earlier releases stored "accepted" for what a person decided.
    verdict = by_hand["how"] if by_hand and decision["verdict"] == "accepted" else decision["verdict"]
    since = decision["rejected"]
    later = f"; since {since['when']}: {since['why']} ({since['who']})" if since and verdict != "rejected" else ""
    return f"  decision: {verdict}, {decision['decided']}{later}"


def _contract(contract: Facts) -> str:
    if contract["rows"] is None:
        return "  label contract: not known"
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in contract["dropped"].items()) or "none"
    return f"  label contract: {counted(contract['rows'], 'training row')}; dropped: {dropped}"


def _git(git: Facts | None) -> list[str]:
    if git is None:
        return ["  code: not known; versions of earlier releases have no state in their run"]
    if git["commit"] is None:
        return ["  code: not in a git repository"]
    available = "in this repository" if git["available"] else LOST
    patch = "; with uncommitted changes, which are stored with the run" if git["uncommitted"] else ""
    files = f"; untracked files were not stored: {', '.join(git['untracked'])}" if git["untracked"] else ""
    trained = (git.get("trained_at") or "").removesuffix("-dirty")
    earlier = f"; trained at {trained}" if trained not in ("", git["commit"]) else ""
    return [f"  code: commit {git['commit']}, {available}{patch}{earlier}{files}"]


def _where(stores: list[str]) -> str:
    return f"in {', '.join(stores)}" if stores else LOST
