"""The work of ``tunesmith helm``: measure experiments, and write the table and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.commands.experiments import baseline, trained
from tasks.benchmark import results
from tasks.benchmark.helm.experiments import measure
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.picture import draw
from tasks.benchmark.helm.scenarios import load_scenarios
from tasks.benchmark.helm.table import Overview, html, markdown, overview
from tasks.benchmark.scenario_differences import accuracy_differences, line
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import parse, read_yaml
from tasks.core.paths import Paths
from tasks.metrics.params import IntervalParams, VerdictParams, load_verdicts


def helm(
    root: Path,
    experiments: Sequence[str] | None,
    scenarios: Sequence[str] | None,
    data: Path | None,
    rows: int | None,
) -> Overview:
    """Measure, and write ``reports/helm/``: one folder per experiment, ``table.md``, ``table.html`` and ``table.png``.

    Raises:
        TunesmithError: as ``measure``; no data folder is named, or it does not exist; no experiment has a model.
    """
    paths = Paths(root)
    file = paths.params / "evaluation.yaml"
    params = parse(HelmParams, read_yaml(file).get("helm") or {}, file, "helm")
    if rows is not None:
        params = HelmParams.model_validate(params.model_dump() | {"rows": rows})
    selected = load_scenarios(scenarios or params.scenarios)
    names = trained(paths, experiments, "helm")
    base, verdicts = baseline(paths), load_verdicts(file)
    measured = measure(names, selected, _data(root, params, data, list(selected)), params, paths)
    lines = _differences(measured, base, params.intervals, verdicts, paths)
    shown = replace(overview(measured, params.wide), differences=lines)
    with files.replacing(paths.helm / "table.png") as path:
        draw(measured, params.wide, path)
    for name, text in (("table.md", markdown(shown)), ("table.html", html(shown, "table.png"))):
        with files.replacing(paths.helm / name) as path:
            path.write_text(text, encoding="utf-8")
    return shown


def _differences(
    shown: Sequence[dict[str, Any]], base: str, intervals: IntervalParams, verdicts: VerdictParams, paths: Paths
) -> tuple[str, ...]:
    """Lines about the accuracy of each experiment, compared with the baseline; none if that is not among them."""
    instances = {one["experiment"]: (results.read(paths.helm / one["experiment"]) or ({}, [], []))[2] for one in shown}
    lines: list[str] = []
    for one in shown if base in instances else ():
        if (name := one["experiment"]) != base:
            cells = {
                scenario: entry.get("cells", {}).get("accuracy", {}) for scenario, entry in one["scenarios"].items()
            }
            accurate = [scenario for scenario, cell in cells.items() if "value" in cell]
            entries = accuracy_differences(instances[base], instances[name], accurate, intervals, verdicts)
            lines += [line(name, base, scenario, entry) for scenario, entry in entries.items()]
    return tuple(lines)


def _data(root: Path, params: HelmParams, requested: Path | None, scenarios: list[str]) -> Path:
    folder = requested if requested is not None else root / params.data if params.data else None
    if folder is None:
        raise TunesmithError(
            f"helm: the scenarios {', '.join(scenarios)} read local files, and no folder is named; give one with "
            "--data, or as `helm.data` in params/evaluation.yaml; docs/helm.md says where each data set comes from"
        )
    if not folder.is_dir():
        raise TunesmithError(
            f"helm: {folder}: must be a folder with the scenarios' files; there is none; correct --data"
        )
    return folder.resolve()
