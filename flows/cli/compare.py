"""``tunesmith compare``: the scores of all experiments, and the gate's decision."""

from __future__ import annotations

from pathlib import Path

from flows.terminal import console, workspace, write
from tasks.core.paths import Paths


def compare() -> None:
    """Print the scores of all experiments on the same test rows, and the gate's decision about them."""
    print_comparison(workspace())


def print_comparison(root: Path) -> None:
    """Print what the comparison shows in sentences and as a table that fits the terminal, and the gate's decision.

    Lines below it name the experiments that are missing from the table.

    Raises:
        TunesmithError: nothing has been compared yet.
    """
    from flows.commands.build import stale_note
    from tasks.compare.headline import headline
    from tasks.compare.table import rich_small_tables, rich_table
    from tasks.registry.verdict import gate_lines
    from tasks.report.facts import read_comparison
    from tasks.resolve.check import mapping

    comparison = read_comparison(Paths(root))
    for sentence in headline(comparison):
        write(sentence)
    console.print(rich_table(comparison, width=console.width))
    for small in rich_small_tables(comparison, width=console.width):
        console.print(small)
    write("`tunesmith report` opens the report, with every test row")
    write("\n".join(gate_lines(Paths(root))))
    compared = {system["name"] for system in comparison["systems"]}
    planned = mapping(Paths(root).params / "experiments.yaml", "experiments")
    if missing := [name for name in planned if name not in compared]:
        write(f"not in this table: {', '.join(missing)}; `tunesmith status` says what is out of date")
    if note := stale_note(root, ["compare"], "this table"):
        write(f"note: {note}")
