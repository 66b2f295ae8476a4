"""``tunesmith explain``: where a registered model comes from, and which models saw a row or a file."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.terminal import workspace, write
from tasks.core.errors import TunesmithError


def explain(
    model: Annotated[
        str | None,
        typer.Argument(help="NAME@ALIAS, a version's number, models:/…, or an experiment; default: the champion."),
    ] = None,
    row: Annotated[str | None, typer.Option(help="Show which models saw the row with this row_id.")] = None,
    file: Annotated[str | None, typer.Option(help="Show which models saw rows of this source file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a registered model comes from (decision, run, code, data, rows), and what is still available."""
    root = workspace()
    from flows.commands.explain import explain_file, explain_model, explain_row, file_lines, model_lines, row_lines

    if sum(given is not None for given in (model, row, file)) > 1:
        raise TunesmithError("explain: give one of MODEL, --row and --file")
    if row is not None:
        facts, lines = explain_row(root, row), row_lines
    elif file is not None:
        facts, lines = explain_file(root, file), file_lines
    else:
        facts, lines = explain_model(root, model), model_lines
    write(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(facts)))
