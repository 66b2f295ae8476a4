"""The work of ``tunesmith forget``: withhold rows from all later runs, and list what has seen or still holds them."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.commands.explain import seen_lines
from flows.commands.params_file import with_item, with_value
from flows.person import person_name
from flows.sources.fetched import fetched_names
from flows.workspace import workspace_lock
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.params import load, read_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.ingest.params import IngestParams
from tasks.lineage.holders import artifacts_that_hold, files_in, holds
from tasks.lineage.seen import seen_by, trained_models
from tasks.lineage.stored import opened_store
from tasks.lineage.traces import Traces, sources_of, traces_of
from tasks.registry.decisions import append, now
from tasks.resolve.check import mapping
from tasks.tracking.client import open_store, readable_mlflow

Facts = dict[str, Any]


def forget(root: Path, row_ids: Sequence[str], why: str) -> Facts:
    """Withhold rows from all later runs, and search for what saw them and what still holds them.

    The rows go into ``sources.S.ingest.withheld`` of ``params/sources.yaml``, and a line into ``decisions.jsonl``.

    Returns:
        - ``rows``: source → row_ids; ``new``: those that were not withheld before;
        - ``seen_by``: as ``tasks.lineage.seen.seen_by``;
        - ``sources``: file of a source → ``lines``, ``kind`` (``own``, ``fetched`` or ``made`` by a stage), and
          ``files``, the names of all files of the source;
        - ``outputs``: file of a stage's output → stage; ``others``: other files of the workspace;
        - ``cache``, ``remote``: md5 → path, or address, of the object;
        - ``artifacts``: ``run``, ``artifact``, and ``path`` on this machine (None elsewhere);
        - ``tracking_uri``: of MLflow;
        - ``without_pieces``: rows that could be searched for by row_id alone, in tables.

    Raises:
        TunesmithError: no source has a row, ``why`` is empty, or ``params/sources.yaml`` cannot be changed.
    """
    if not why.strip():
        raise TunesmithError(
            'forget: --why must give a reason, but is empty; write one, such as --why "deletion request 17"'
        )
    paths = Paths(root)
    with workspace_lock(root, "tunesmith forget"):
        traces = traces_of(row_ids, paths)
        rows = sources_of(row_ids, paths, traces)
        new = _withhold(rows, paths)
        if new:
            who, reason = person_name(root), " ".join(why.split())
            append(paths, {"time": now(), "action": "forget", "rows": rows, "by": who, "why": reason})
        return {"rows": rows, "new": new, "without_pieces": sorted(traces.without_pieces)} | _search(traces, paths)


def _withhold(rows: dict[str, list[str]], paths: Paths) -> list[str]:
    """Write the rows into ``params/sources.yaml``; return those that it did not name."""
    path = paths.params / "sources.yaml"
    text, new = path.read_text(encoding="utf-8"), []
    for source, row_ids in rows.items():
        section = ("sources", source, "ingest")
        params = load(IngestParams, path, *section)
        missing = [row_id for row_id in row_ids if row_id not in params.withheld]
        if not missing:
            continue
        new += missing
        if "withheld" in (read_yaml(path)["sources"][source]["ingest"] or {}):
            for row_id in missing:
                text = with_item(text, path, (*section, "withheld"), row_id)
        else:
            text = with_value(text, path, section, "withheld", missing)
    if new:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return new


def _search(traces: Traces, paths: Paths) -> Facts:
    root, tracker = paths.root, open_store(paths.root)
    registration = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    with readable_mlflow(tracker.uri):
        seen = seen_by(traces.row_ids, trained_models(registration.model_name, paths, tracker))
        artifacts = [
            {"run": run, "artifact": artifact, "path": str(path) if path else None}
            for run, artifact, path in artifacts_that_hold(tracker, traces)
        ]
    lock = paths.root / "dvc.lock"
    stages = read_yaml(lock).get("stages", {}) if lock.exists() else {}
    stage_of_output = {out["path"]: address for address, stage in stages.items() for out in stage.get("outs", [])}
    with opened_store(paths) as store:
        # A source file may hold its rows compressed, as a workbook does; the cache has the same bytes.
        known = {_md5(root / file) for file in traces.files}
        cache = {
            md5: path
            for path in files_in(store.cache)
            if (md5 := path.parent.name + path.name) in known or holds(path, traces)
        }
        remote = {md5: address for md5 in cache if (address := store.remote_address(md5))}
        skipped = (store.cache, *(root / name for name in ("mlartifacts", ".dvc/tmp", "tasks", "flows", "tests")))
    held = [path.relative_to(root).as_posix() for path in files_in(root, skipped) if holds(path, traces)]
    sources = {
        file: {
            "lines": traces.files.get(file, []),
            "kind": _kind(Path(file).parts[2], root),
            "files": sorted(path.name for path in (root / file).parent.glob("[!.]*")),
        }
        for file in sorted({*traces.files, *(path for path in held if path.startswith("data/sources/"))})
    }
    stage_of_file = {file: _stage_of(file, stage_of_output) for file in held if file not in sources}
    return {
        "seen_by": seen,
        "sources": sources,
        "outputs": {file: stage for file, stage in stage_of_file.items() if stage},
        "others": [file for file, stage in stage_of_file.items() if stage is None],
        "cache": {md5: str(path) for md5, path in cache.items()},
        "remote": remote,
        "artifacts": artifacts,
        "tracking_uri": tracker.uri,
    }


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _kind(source: str, root: Path) -> str:
    path = Paths(root).params / "sources.yaml"
    if source in fetched_names(root):
        return "fetched"
    return "made" if source in mapping(path, "generated") or source in mapping(path, "hub") else "own"


def _stage_of(file: str, stage_of_output: dict[str, str]) -> str | None:
    return next((stage for out, stage in stage_of_output.items() if file == out or file.startswith(f"{out}/")), None)


def forget_lines(facts: Facts) -> list[str]:
    """``forget`` as text, with a command for each file that still holds a row."""
    lines = []
    for source, row_ids in facts["rows"].items():
        fresh = [row_id for row_id in row_ids if row_id in facts["new"]]
        state = "withheld from every run that starts after this" if fresh else "withheld since an earlier request"
        lines.append(f"{source}: {', '.join(row_ids)}: {state} (params/sources.yaml: sources.{source}.ingest.withheld)")
    lines += seen_lines(facts["seen_by"], single=sum(map(len, facts["rows"].values())) == 1)
    if any(one["run_id"] for one in facts["seen_by"]) or any(one["path"] is None for one in facts["artifacts"]):
        lines.append(f"  for MLflow's commands below: export MLFLOW_TRACKING_URI={shlex.quote(facts['tracking_uri'])}")
    lines += _version_lines(facts)
    if through := sorted({one["experiment"] for one in facts["seen_by"] if one["through_base"]}):
        lines.append(
            f"  the base model of {', '.join(through)} saw the row: a new training starts from it; name another "
            "base_model in params/experiments.yaml"
        )
    held = _held(facts)
    lines += ["still held by:", *(f"  {line}" for line in held)] if held else ["no file that was searched holds it"]
    if facts["without_pieces"]:
        lines.append(
            f"searched by row_id in tables alone: {', '.join(facts['without_pieces'])}: no source has a text of the "
            "row that is long enough and in no other row; search reports, logs and other files by hand"
        )
    if held:
        lines.append("run this command again to see what is left")
    return lines


def _version_lines(facts: Facts) -> list[str]:
    """How to delete the versions that saw a row, the ones that were tuned from others first."""
    versions = [one for one in facts["seen_by"] if one["run_id"]]
    if not versions:
        return []
    lines = [
        "  registered versions keep what they learnt; run `tunesmith run`, promote a model that did not see the rows "
        "(`tunesmith promote`), then delete each version above and its MLflow run:",
    ]
    for one in reversed(versions):
        _, name, number = one["model"].split("/")
        delete = f"from mlflow import MlflowClient; MlflowClient().delete_model_version({name!r}, {number!r})"
        lines.append(f'    python -c "{delete}" && {_delete_run(one["run_id"], facts["tracking_uri"])}')
        tuned_further = [other["model"] for other in facts["seen_by"] if other["base"] == one["model"]]
        if tuned_further:
            names = ", ".join(tuned_further)
            lines.append(
                f"      {names} was tuned from this version; after the deletion, other machines cannot load it"
            )
    return lines


def _delete_run(run_id: str, uri: str) -> str:
    delete = f"mlflow runs delete --run-id {run_id}"
    if uri.startswith(("http://", "https://")):
        return f"{delete}; then, where the server runs: mlflow gc --backend-store-uri DATABASE --run-ids {run_id}"
    return f'{delete} && mlflow gc --backend-store-uri "$MLFLOW_TRACKING_URI" --run-ids {run_id}'


def _held(facts: Facts) -> list[str]:
    lines = []
    for file, about in facts["sources"].items():
        where = f"{file}, line {', '.join(map(str, about['lines']))}" if about["lines"] else file
        lines.append(f"{where}: {_remedies(Path(file), about['files'])[about['kind']]}")
    if facts["outputs"]:
        lines.append(f"{counted(len(facts['outputs']), 'output')} of stages, written anew by `tunesmith run`:")
        lines += [f"  {file} ({stage})" for file, stage in facts["outputs"].items()]
    if facts["cache"]:
        lines.append(
            f"{counted(len(facts['cache']), 'file')} in DVC's cache; after `tunesmith run`, remove them "
            "(earlier states that need them are then lost):"
        )
        lines += [f"  rm -f {shlex.quote(path)}" for path in facts["cache"].values()]
    if facts["remote"]:
        lines.append(
            f"{counted(len(facts['remote']), 'object')} in DVC's remote; delete them with the store's own tool:"
        )
        lines += [f"  {address}" for address in facts["remote"].values()]
    if facts["artifacts"]:
        lines.append(f"{counted(len(facts['artifacts']), 'artifact')} in MLflow:")
        for one in facts["artifacts"]:
            elsewhere = f"{one['artifact']} of run {one['run']}: {_delete_run(one['run'], facts['tracking_uri'])}"
            lines.append(f"  rm -f {shlex.quote(one['path'])}" if one["path"] else f"  {elsewhere}")
    lines += [f"{file}: {_other(file)}" for file in facts["others"]]
    return lines


def _remedies(file: Path, names: list[str]) -> dict[str, str]:
    source, copies = file.parts[2], " ".join(shlex.quote(f"COPY/{name}") for name in names)
    return {
        "own": "copy the source's files under the same names, remove the row there, then "
        f"`tunesmith data add {copies} --name {source} --replace --yes`",
        "fetched": f"remove the row where it is fetched from, then `tunesmith data refresh {source}`",
        "made": "nothing to do: a stage makes this file with the row in it, and ingest leaves the row out",
    }


def _other(file: str) -> str:
    database = file.removesuffix("-wal")
    if database.endswith("mlflow.db"):
        return f"delete the run that has the row in MLflow's UI, then run `mlflow gc` and `sqlite3 {database} VACUUM`"
    if database.endswith(".db"):
        return f"delete the flow run that logged the row in Prefect's UI, then run `sqlite3 {database} VACUUM`"
    return f"rm -f {shlex.quote(file)}"
