"""``tunesmith preferences``: blind pairs of two experiments for judges, and the result of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import show, write
from flows.workspace import find_root
from tasks.core.counted import counted
from tasks.core.paths import Paths

app = typer.Typer(
    no_args_is_help=True, help="Human preferences: export blind pairs of two experiments, import the judges' answers."
)


@app.command()
def export(
    a: Annotated[str, typer.Argument(metavar="A", help="The experiment to compare with, such as base.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The experiment whose wins are counted.")],
    rows: Annotated[int, typer.Option(help="Number of pairs, each of another test row.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the rows drawn, their order and their sides.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the judges' files; reports/preferences/A-vs-B/judges by default.")
    ] = None,
) -> None:
    """Write a page and a spreadsheet of blind pairs for judges, and the key that tells the sides."""
    from tasks.preferences.export import export as make

    done = make(Paths(find_root()), a, b, rows, seed, output)
    counts, drawn = done.key.counts, len(done.key.pairs)
    write(
        f"{counted(drawn, 'pair')} of {a} and {b}, drawn from {counted(counts['rows'], 'row')}; of "
        f"{counts['paired']:,} with an output of both, {counts['equal']:,} have equal texts and are left out"
    )
    if drawn < rows:
        write(f"note: {rows:,} were requested; there are no more rows, and a row with several templates counts once")
    if (groups := done.key.groups()) < drawn:
        write(f"note: the pairs are of {counted(groups, 'group')}, such as conversations; tests count a group once")
    if counts["only_a"] or counts["only_b"]:
        write(f"note: {counts['only_a']:,} rows have an output of {a} only, {counts['only_b']:,} of {b} only")
    if counts["other_prompts"]:
        write(f"note: {counted(counts['other_prompts'], 'pair')} had different prompts; the shorter is shown")
    if done.too_long:
        write(f"note: {counted(done.too_long, 'text')} may not fit a spreadsheet's cell; judge those on the page")
    write(f"for judges:   {done.page}\n              {done.sheet}   (column choice: left, right, tie or bad)")
    write(f"keep this:    {done.key_file}   (tells the sides; answers cannot be read without it)")
    write("then:         tunesmith preferences import ANSWERS.csv [MORE.csv …]")


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV files of one or several judges.")],
    key: Annotated[Path | None, typer.Option(help="The export's key, if it is not in reports/preferences.")] = None,
) -> None:
    """Check the answers; print who won, with intervals, and whether judges and ROUGE-1 agree."""
    from tasks.preferences.importing import import_answers
    from tasks.preferences.table import result_table

    done = import_answers(Paths(find_root()), files, key)
    show(result_table(done.results))
    for note in done.notes:
        write(f"note: {note}")
    write(f"results: {done.path}")
