"""Build the Markdown summary of a flow run: comparison, gate decision, MLflow links, stages."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.by_hand import commands
from tasks.compare.headline import headline
from tasks.compare.set_sentences import set_sentences
from tasks.core import files
from tasks.core.paths import Paths
from tasks.registry.decisions import comparison_digest, decisions
from tasks.registry.verdict import last_result, lines_below
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
    folder = Paths(root).comparison
    parts = [
        _bullets("### Verdict", _verdict(files.read_json(folder / "comparison.json"))),
        gate_section(root, registered),
        _picture(folder / "scores.png"),
        (folder / "table.md").read_text(encoding="utf-8").rstrip(),
        _report(folder / "report.html"),
        _runs(run_links(root)),
        f"### Stages\n\n**Built:** {_addresses(built)}\n\n**Cached:** {_addresses(cached)}",
    ]
    return "\n\n".join(parts) + "\n"


def markdown_decision(root: Path, version: int) -> str:
    """Build the text about a version that awaits approval: the gate's lines, and the comparison if it is the present.

    Args:
        version: number of the registered version.
    """
    paths = Paths(root)
    decided = [one for one in decisions(paths) if one.get("version") == version]
    parts = [f"### Version {version} awaits approval"]
    if decided:
        parts.append(_bullets(f"**Gate:** {_escaped(decided[-1]['summary'])}", lines_below(decided[-1])))
    if decided and decided[-1]["comparison"] == comparison_digest(paths):
        parts += [_picture(paths.comparison / "scores.png"), (paths.comparison / "table.md").read_text().rstrip()]
    parts.append(
        f"Press **Resume** on this page and fill in the form, or run {commands(version)}. `tunesmith report` opens "
        "every test row."
    )
    return "\n\n".join(parts) + "\n"


def markdown_drift(root: Path, result: dict[str, Any]) -> str:
    """Build the text about the champion on the present test rows.

    Args:
        result: of ``tasks.drift.run.run``.
    """
    new = "their number since the registration is not known"
    if result["new_rows"] is not None:
        new = f"of which {result['new_rows']} came in after the champion was registered"
    score = "no score" if result["score"] is None else f"{result['metric']} {result['score']:.3f}"
    table = ["| quantity | verdict | before | now | margin |", "| --- | --- | ---: | ---: | ---: |"]
    for name, entry in result["quantities"].items():
        numbers = [f"{entry[key]:.3f}" if key in entry else "–" for key in ("before", "after", "margin")]
        table.append(f"| {name.replace('_', ' ')} | {entry['verdict']} | {' | '.join(numbers)} |")
    parts = [
        f"### {_escaped(result['summary'])}",
        f"{score} on {result['rows']} test rows, {new}. Inputs are compared with {result['training_rows_read']} of "
        f"{result['training_rows']} training rows.",
        _bullets("**What was compared**", result["lines"]),
        "\n".join(table),
        f"The numbers are in `{Paths(root).drift}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(comparison: dict[str, Any]) -> list[str]:
    """What the comparison shows, and what each set of experiments shows."""
    of_sets = [sentence for entry in comparison["sets"].values() for sentence in set_sentences(entry)]
    return [*headline(comparison), *of_sets]


def gate_section(root: Path, registered: bool) -> str:
    """The gate's latest decision, with the line of each rule."""
    result = last_result(Paths(root)) if registered else None
    if result is None:
        return "**Gate:** did not run (`register_model` is off)"
    return _bullets(f"**Gate:** {_escaped(result['summary'])}", lines_below(result))


def _picture(file: Path) -> str:
    """The picture inside the text, since Prefect's page cannot read files of this machine."""
    return f"![Scores of all systems](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')})"


def _report(file: Path) -> str:
    return (
        f"### Report\n\n`tunesmith report` opens `{file}`, with every test row. A browser on this machine opens it as "
        f"[{file.name}]({file.as_uri()}): copy the link, since pages of a server may not follow it."
    )


def _runs(links: dict[str, str]) -> str:
    listed = "\n".join(f"- [{_escaped(name)}]({link})" for name, link in links.items())
    return f"### MLflow runs\n\nIf no MLflow server runs, `make ui` starts one.\n\n{listed}"


def _bullets(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}\n", *(f"- {_escaped(line)}" for line in lines)])


def _addresses(stages: list[str]) -> str:
    return ", ".join(f"`{address}`" for address in stages) or "nothing"


def _escaped(text: str) -> str:
    return " ".join("".join(f"\\{c}" if c in "\\|*_<[" else c for c in text).split())
