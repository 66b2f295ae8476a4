"""``tunesmith benchmark``: published suites on trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Experiments
from flows.terminal import say, show, workspace, write
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths


def benchmark(
    suite: Annotated[list[str], typer.Option(help="glue, superglue, mmlu, bigbench or risk; may be repeated.")],
    size: Annotated[str | None, typer.Option(help="full: every row; lite: --rows rows per task.")] = None,
    experiments: Experiments = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with the suites' files; data/benchmarks by default.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows per task in size lite.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results; needed for experiments whose benchmark is planned.")
    ] = None,
) -> None:
    """Run published suites, with rows of local files or the hub, and compare with the base model and with guessing."""
    root = workspace()
    from flows.commands import benchmark as benchmarks
    from flows.commands.experiments import baseline as baseline_of
    from tasks.benchmark.params import read_params
    from tasks.benchmark.table import compared, remarks, tables
    from tasks.metrics.params import load_verdicts

    intervals = read_params(Paths(root)).settings.intervals
    verdicts = load_verdicts(Paths(root).params / "evaluation.yaml")
    by_experiment = benchmarks.benchmark(root, suite, size, experiments, data, rows, output, say)
    baseline = baseline_of(Paths(root))
    differences = compared(by_experiment, baseline, intervals, verdicts)
    for table in tables(by_experiment, baseline, differences):
        show(table)
    folder = output or Paths(root).benchmark("X").parent
    for line in [*remarks(by_experiment, baseline, differences), f"rows and scores: {folder}"]:
        write(line)
    if failed := benchmarks.failed(by_experiment):
        raise TunesmithError(f"benchmark: failed: {', '.join(failed)}; the results of the others are kept")
