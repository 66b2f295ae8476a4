"""``tunesmith data``: sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import workspace, write
from tasks.core.errors import TunesmithError

app = typer.Typer(no_args_is_help=True, help="Add files to the sources in data/sources, or fetch them.")


@app.command()
def add(
    files: Annotated[
        list[Path], typer.Argument(help="JSONL, JSON, CSV, TSV, Excel, Parquet, Arrow files of one source.")
    ],
    name: Annotated[str, typer.Option(help="Name of the source; its folder is data/sources/NAME.")],
    append: Annotated[bool, typer.Option("--append", help="Add the files to those that the source has.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the files of the source first; lists them and asks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --replace: do not ask.")] = False,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of CSV files, if it is ambiguous: comma, semicolon, tab or pipe.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of Excel workbooks, if they have several.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the rows, in place of the detected one: messages, sharegpt, alpaca, prompt_completion, "
            "input_output, question_answer, preference, or a template set.",
        ),
    ] = None,
    write_params: Annotated[
        bool, typer.Option("--write", help="Write the suggested blocks into params/; an entry that exists stops it.")
    ] = False,
) -> None:
    """Check files, detect the format of their rows, copy them to data/sources/NAME, and version them with DVC."""
    root = workspace()
    from flows.commands.data import How
    from flows.commands.data import add as add_files

    if append and replace:
        raise TunesmithError("data add: --append keeps the files of the source, --replace removes them; give one")

    def confirm(going: str) -> bool:
        if not yes and sys.stdin.isatty():
            return typer.confirm(f"{going} Replace them?", err=True)
        if yes:
            write(going)
        return yes

    how: How = "append" if append else "replace" if replace else "new"
    write(add_files(root, files, name, how, delimiter, confirm, sheet, form, write_params))


@app.command()
def refresh(
    sources: Annotated[list[str] | None, typer.Argument(help="Fetched sources; all of them by default.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take a version whose column types changed or that has too few rows.")
    ] = False,
) -> None:
    """Fetch new versions of the sources that params/sources.yaml names under `fetched`.

    Each version is compared with the present one and checked first. If a check fails, no source is replaced.
    """
    root = workspace()
    from flows.commands.refresh import refresh as refresh_sources

    if lines := refresh_sources(root, sources, accept):
        write("\n".join(lines))
