"""A small workspace with a source ``tickets`` that is fetched from an SQLite file, without a model."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.flows.commands.tickets import SET
from tests.workspaces import ROOT, edit

QUERY = {"sql": "SELECT id, ticket, team FROM tickets", "connection": "SHOP", "key": "id"}
TEMPLATE = {"ingest": {"required": ["ticket"]}, "template": {"set": "own/tickets"}, "split": {"by": "hash"}}

Ticket = tuple[int | None, str | None, str | None]


def make(root: Path) -> Path:
    """Parameters, template sets and DVC's configuration, as a clone has them."""
    root.mkdir(parents=True)
    shutil.copytree(ROOT / "params", root / "params")
    shutil.copytree(ROOT / "tasks/template/library", root / "tasks/template/library")
    (root / "tasks/template/library/own/tickets.yaml").write_text(SET)
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    fetch_from(root, **QUERY)
    return root


def fetch_from(root: Path, **keys: Any) -> None:
    """Let ``tickets`` be fetched by ``keys``."""
    edit(root, "sources", lambda p: p.update(fetched={"tickets": keys}))
    edit(root, "sources", lambda p: p["sources"].update(tickets=TEMPLATE))


def fill(root: Path, rows: Sequence[Ticket], columns: str = "id INTEGER, ticket TEXT, team TEXT") -> None:
    """Make the table ``tickets`` anew with ``rows``."""
    with closing(sqlite3.connect(root / "shop.db")) as database, database:
        database.execute("DROP TABLE IF EXISTS tickets")
        database.execute(f"CREATE TABLE tickets ({columns})")
        database.executemany("INSERT INTO tickets VALUES (?, ?, ?)", rows)


def drop(root: Path) -> None:
    with closing(sqlite3.connect(root / "shop.db")) as database, database:
        database.execute("DROP TABLE tickets")


def stored(root: Path) -> list[str]:
    """Lines of the present version, and its ``.dvc`` file."""
    lines = (root / "data/sources/tickets/tickets.jsonl").read_text().splitlines()
    return [*lines, (root / "data/sources/tickets.dvc").read_text()]
