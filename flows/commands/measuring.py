"""Commands that ask trained models, or show what they did: ``compare``, ``predict``, ``helm``, ``benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.terminal import console, note, say, show, workspace, write
from flows.text import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

app = typer.Typer()


@app.command()
def compare() -> None:
    """The table of all systems on the same test rows, and the gate's verdict on it."""
    print_comparison(workspace())


@app.command()
def predict(
    text: Annotated[str | None, typer.Argument(help="A text, such as a dialogue.")] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option(help="Experiment (lora by default), or models:/NAME@ALIAS; may be repeated."),
    ] = None,
    champion: Annotated[bool, typer.Option("--champion", help="Use the registered champion.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="CSV, TSV, JSONL, JSON or Parquet: rows of the source, or `prompt`."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File for the input's rows with `template`, `completion` and `finished`; its ending sets the format."
        ),
    ] = None,
    template: Annotated[str | None, typer.Option(help="SOURCE/ID of a template that the model knows.")] = None,
) -> None:
    """Generate the completion of a text, or of every row of a file, with the settings of the evaluation."""
    root = workspace()
    from flows.commands.predict import predict_file, predict_text
    from flows.commands.registered import champion_address

    names = [champion_address(Paths(root))] if champion else []
    names = list(dict.fromkeys([*names, *(experiment or ([] if champion else ["lora"]))]))
    if text is not None and source is None:
        for name, completion in predict_text(root, names, text, template, say, note).items():
            write(completion if len(names) == 1 else f"{name}: {completion}")
    elif source is not None and text is None:
        if output is None:
            raise TunesmithError("predict: --input needs --output, the file to write")
        count = predict_file(root, names, source, output, template, say, note)
        console.print(f"{output}: {counted(count, 'row')}")
    else:
        raise TunesmithError("predict: give either a text, or --input and --output")


@app.command()
def helm(
    experiment: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the scenarios' files.")] = None,
    rows: Annotated[int | None, typer.Option(min=4, help="Rows of each scenario.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
) -> None:
    """HELM's seven metrics on local files: accuracy, calibration, robustness, fairness, bias, toxicity, efficiency."""
    root = workspace()
    from flows.commands.helm import helm as measure
    from tasks.benchmark.helm.table import below, rich_table

    shown = measure(root, experiment, scenario, data, rows)
    show(rich_table(shown))
    for line in [*below(shown), f"picture and page: {Paths(root).helm}/table.png, table.html, table.md"]:
        write(line)
    if shown.failures:
        raise TunesmithError("\n".join(shown.failures))


@app.command()
def benchmark(
    suite: Annotated[list[str], typer.Option(help="glue, superglue, mmlu, bigbench or risk; may be repeated.")],
    size: Annotated[str | None, typer.Option(help="full, or lite: a number of rows a task.")] = None,
    experiment: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the suites' files.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows a task of size lite.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of results, for planned experiments.")] = None,
) -> None:
    """Suites that others publish scores of, on local files or the hub: base beside tuned, beside chance."""
    root = workspace()
    from flows.commands import benchmark as benchmarks
    from flows.commands.trained import baseline as baseline_of
    from tasks.benchmark.params import read_params
    from tasks.benchmark.table import compared, remarks, tables

    by_experiment = benchmarks.benchmark(root, suite, size, experiment, data, rows, output, say)
    baseline = baseline_of(Paths(root))
    apart = compared(by_experiment, baseline, read_params(Paths(root)).settings.intervals)
    for table in tables(by_experiment, baseline, apart):
        show(table)
    folder = output or Paths(root).benchmark("X").parent
    for line in [*remarks(by_experiment, baseline, apart), f"rows and scores: {folder}"]:
        write(line)
    if failed := benchmarks.failed(by_experiment):
        raise TunesmithError(f"benchmark: failed: {', '.join(failed)}; the results of the others are kept")


def print_comparison(root: Path) -> None:
    """Print the table of ``reports/comparison/``, fitted to the terminal's width, with the path of the report, the
    gate's verdict and the experiments missing from the table.

    Raises:
        TunesmithError: nothing has been compared yet.
    """
    from tasks.compare.table import rich_table
    from tasks.core.files import read_json
    from tasks.register.verdict import gate_lines
    from tasks.resolve.check import mapping

    path = Paths(root).comparison / "comparison.json"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; run `tunesmith run` (or `dvc repro`) to build it")
    comparison = read_json(path)
    console.print(rich_table(comparison, width=console.width))
    console.print(f"report with samples: {Paths(root).comparison / 'report.html'}", highlight=False, soft_wrap=True)
    write("\n".join(gate_lines(Paths(root))))
    compared = {system["name"] for system in comparison["systems"]}
    planned = mapping(Paths(root).params / "experiments.yaml", "experiments")
    if missing := [name for name in planned if name not in compared]:
        write(f"not in this table: {', '.join(missing)}; `tunesmith status` says what is out of date")
    from flows.commands.build import stale_note

    if note := stale_note(root, ["compare"], "this table"):
        write(f"note: {note}")
