"""The commands about the champion: ``champion``, ``promote``, ``rollback``, ``challenge``, ``approve``, ``reject``."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write

Why = Annotated[str, typer.Option(help="The reason; it is stored with the version and in decisions.jsonl.")]
Version = Annotated[str, typer.Argument(help="Number of the version that awaits approval.")]
Target = Annotated[str, typer.Argument(help="Number of a version, or name of an experiment.")]


def champion() -> None:
    """Show the champion, since when and why it is the champion, the versions beside it, and the latest decision."""
    root = workspace()
    from flows.commands.champion import champion_lines

    write("\n".join(champion_lines(root)))


def approve(version: Version, why: Why) -> None:
    """Approve the version that awaits approval. The gate decides again; if it accepts, the version becomes champion."""
    root = workspace()
    from flows.by_hand import decide_by_hand

    decide_by_hand(root, "approve", version, why)


def reject(version: Version, why: Why) -> None:
    """Reject the version that awaits approval: the champion stays."""
    root = workspace()
    from flows.by_hand import decide_by_hand

    decide_by_hand(root, "reject", version, why)


def promote(target: Target, why: Why) -> None:
    """Make a version the champion, whatever the gate decided. It is marked as promoted by hand."""
    root = workspace()
    from flows.by_hand import decide_by_hand

    decide_by_hand(root, "promote", target, why)


def rollback(why: Why) -> None:
    """Make the previous champion the champion again, and the champion the previous one."""
    root = workspace()
    from flows.by_hand import decide_by_hand

    decide_by_hand(root, "rollback", None, why)


def challenge(target: Target) -> None:
    """Let the gate decide on any version or experiment, against the champion on the present test rows."""
    root = workspace()
    from flows.by_hand import challenge_champion

    challenge_champion(root, target)
