"""``tunesmith report``: the report of the comparison, as a page."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write


def report(
    against: Annotated[
        str | None, typer.Option(help="A git commit, tag or branch: also show what changed since.")
    ] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Write the report and the model cards from the present files, and open the report in the browser."""
    root = workspace()
    from flows.commands.build import stale_note
    from flows.commands.report import build_report

    page = build_report(root, against)
    if note := stale_note(root, ["compare"], "this report"):
        write(f"note: {note}")
    write(str(page))
    if show:
        typer.launch(page.as_uri())
