"""``tunesmith templates``: show template sets, render rows with them, import them, check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.terminal import say, workspace, write
from flows.terminal import show as show_table
from flows.workspace import find_root, workspace_lock
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

app = typer.Typer(no_args_is_help=True, help="Template sets, which turn rows into prompts and completions.")


@app.command("list")
def list_templates() -> None:
    """List every template: its set, task, direction and metrics."""
    from flows.commands.template_text import listed

    table = Table("set", "template", "task", "direction", "metrics")
    for one in listed(find_root()):
        table.add_row(one.set, one.id, one.task, "inverted" if one.inverted else "original", ", ".join(one.metrics))
    show_table(table)


@app.command()
def show(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Name of a set, such as sentiment or own/mine.")],
    template: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only this template.")] = None,
) -> None:
    """Show the columns of a set and the text of its templates."""
    from flows.commands.template_text import described

    write(described(find_root(), set_name, template))


@app.command()
def render(
    source: Annotated[str, typer.Argument(help="A source of params/sources.yaml.")],
    row: Annotated[int, typer.Option(help="Number of the raw row, from 1.")] = 1,
    every: Annotated[bool, typer.Option("--all", help="Render with every template, not only the row's own.")] = False,
) -> None:
    """Render one row as the model gets it. [[...]] marks the supervised text."""
    from flows.commands.template_text import rendered_row

    paths = Paths(workspace())
    note = _ingested(paths, [source])
    write(rendered_row(paths, source, row, every))
    _write_note(note)


@app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="A promptsource templates.yaml, a folder of them, or a list of pairs (FLAN).")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the set, if PATH holds one.")] = None,
    into: Annotated[Path | None, typer.Option(help="Folder for the sets; the library's `own` by default.")] = None,
    replace: Annotated[bool, typer.Option(help="Replace existing sets of the same names.")] = False,
) -> None:
    """Convert templates of promptsource or FLAN to sets. Prints which could not be converted, and why."""
    from tasks.template.importing.write import import_templates
    from tasks.template.library import OWN, library_of

    root = find_root()
    folder = into or library_of(root) / OWN
    with workspace_lock(root, "tunesmith templates import"):
        result = import_templates(path, folder, name, replace)
    for line in [*result.unread, *result.refused]:
        write(line)
    if result.written:
        write(_where(result.written, folder, library_of(root) / OWN))
    write(result.summary())


def _where(written: list[Path], folder: Path, own: Path) -> str:
    """Say where the sets are and how to use them."""
    sets = f"{counted(len(written), 'set')} in {folder}"
    if folder != own:
        return f"{sets}; only those in tasks/template/library/{own.name} are used"
    names = [f"{own.name}/{path.stem}" for path in written]
    return (
        f"{sets}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}\n"
        f"show it with `tunesmith templates show {names[0]}`, then name it in params/sources.yaml as "
        f"`template: {{set: {names[0]}}}` and try `tunesmith templates validate SOURCE`"
    )


@app.command()
def validate(
    source: Annotated[list[str] | None, typer.Argument(help="Sources of params/sources.yaml to check.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every source.")] = False,
) -> None:
    """Find leaks, empty texts, unused columns, duplicates and prompts that are too long, before training."""
    from flows.commands.template_checks import validate as examine
    from tasks.template.source_rows import count_rows, known_sources

    if bool(source) == every:
        raise TunesmithError("templates validate: give either the names of sources, or --all")
    paths = Paths(workspace())
    names = source or known_sources(paths)
    note = _ingested(paths, names)
    findings = list(examine(paths, names))
    for name in names:
        write(f"{name}: {counted(count_rows(paths, name), 'row')} of data/sources/{name}")
    for finding in findings:
        write(str(finding))
    _write_note(note)
    errors = sum(finding.weight == "error" for finding in findings)
    write(f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'note')}")
    if errors:
        raise typer.Exit(1)


def _ingested(paths: Paths, sources: list[str]) -> str | None:
    """Bring the raw rows of ``sources`` up to date. Return a note if they may be stale."""
    from flows.commands.build import ingest_first
    from tasks.template.source_rows import template_params

    for name in sources:
        template_params(paths, name)  # an unknown source is named with the known ones
    return ingest_first(paths.root, sources, "tunesmith templates", say)


def _write_note(note: str | None) -> None:
    if note:
        write(f"note: {note}")
