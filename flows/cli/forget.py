"""``tunesmith forget``: withhold rows from all later runs (deletion requests)."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.terminal import workspace, write


def forget(
    row_ids: Annotated[list[str], typer.Argument(metavar="ROW_ID...", help="Ids of the rows.")],
    why: Annotated[str, typer.Option(help="The reason; it is stored in decisions.jsonl.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Withhold rows from all later runs; list the models that saw them, and every file that still holds them."""
    root = workspace()
    from flows.commands.forget import forget as run
    from flows.commands.forget import forget_lines

    facts = run(root, row_ids, why)
    write(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(forget_lines(facts)))
