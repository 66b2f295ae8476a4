"""Build the Markdown summary of a flow run: comparison, gate decision, MLflow links, stages."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from tasks.core.paths import Paths
from tasks.register.verdict import last_result, lines_below
from tasks.tracking.client import open_store
from tasks.tracking.experiment_files import names, read, read_lock
from tasks.tracking.views import FLOWS, run_page, runs_page

MLFLOW_PORT = 5000


def mlflow_address(root: Path, uri: str) -> str:
    """Address of the MLflow UI: the tracking server, else the UI that runs here, else its default address."""
    if uri.startswith(("http://", "https://")):
        return uri
    with suppress(FileNotFoundError, ValueError):
        return str(json.loads((Paths(root).state / "ui.json").read_text())["mlflow"])
    return f"http://127.0.0.1:{MLFLOW_PORT}"


def run_links(root: Path) -> dict[str, str]:
    """Addresses in MLflow by name: the tables of all models and of all flows, and the run of each experiment."""
    tracker, paths = open_store(root), Paths(root)
    address, lock = mlflow_address(root, tracker.uri), read_lock(paths)
    links = {
        "all models, the best first": f"{address}{runs_page(tracker.experiment_id)}",
        "all runs of flows": f"{address}{runs_page(tracker.experiment_id, FLOWS)}",
    }
    for name in names(paths):
        run_id = tracker.find(read(paths, name, lock).key, name)
        if run_id:
            links[name] = f"{address}{run_page(tracker.experiment_id, run_id)}"
    return links


def markdown_summary(root: Path, built: list[str], cached: list[str], registered: bool) -> str:
    """Build the text of the flow's artifact.

    Args:
        built: stages that ran.
        cached: stages that were up to date.
        registered: whether the gate ran.
    """
    parts = [(Paths(root).comparison / "table.md").read_text(encoding="utf-8")]
    decided = last_result(Paths(root)) if registered else None
    if decided:
        parts.append("\n".join([f"**Gate:** {decided['summary']}", *(f"- {line}" for line in lines_below(decided))]))
    else:
        parts.append("**Gate:** did not run (`register_model` is off)")
    links = "\n".join(f"- [{name}]({link})" for name, link in run_links(root).items())
    parts.append(f"**MLflow runs** (`make ui` starts the page when no server runs)\n\n{links}")
    parts.append(f"**Built:** {', '.join(f'`{address}`' for address in built) or 'nothing'}")
    parts.append(f"**Cached:** {', '.join(f'`{address}`' for address in cached) or 'nothing'}")
    return "\n\n".join(parts) + "\n"
