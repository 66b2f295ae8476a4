"""What it means that a source's rows are split anew, in words, before and after it happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tasks.split.deciding import Change, shown
from tasks.split.memory import State


@dataclass(frozen=True)
class NewSplit:
    """A source whose rows the next run splits anew, although they were split before.

    Attributes:
        changed: what decides and is another now; None where the memory is gone, or of an earlier version that did not
            record it.
        test_rows: of the split before; None where it is gone.
    """

    source: str
    state: State
    changed: list[Change] | None
    test_rows: int | None

    def why(self) -> str:
        if self.state == "none":
            return f"dvc.lock knows a split, but data/splits/{self.source} with its memory is gone"
        if self.changed is None:
            return "other parameters decided then (an earlier version did not record which; see `git diff params`)"
        return "; ".join(map(str, self.changed))

    def effect(self) -> str:
        test = "" if self.test_rows is None else f" (test has {self.test_rows:,} rows now)"
        return (
            f"rows may change sides{test}; scores do not compare with earlier ones, and the gate evaluates the "
            "champion on other test rows"
        )

    def remedy(self) -> str:
        """How to keep the split."""
        if self.state == "none":
            return f"run `dvc checkout data/splits/{self.source}` (in a clone: `dvc pull data/splits/{self.source}`)"
        lines = [f"`{c.key}: {shown(c.before)}`" for c in self.changed or () if c.before is not None]
        lines += [f"no `{c.key}`" for c in self.changed or () if c.before is None]
        written = ", ".join(lines) or "what it was before"
        return f"restore under sources.{self.source} in params/sources.yaml: {written}"

    def counts(self, after: int | None) -> str:
        """One line on what it did to the test rows."""
        before = "unknown" if self.test_rows is None else f"{self.test_rows:,}"
        return f"{self.source}: split anew: test rows {before} → {'unknown' if after is None else f'{after:,}'}"


def was_split(root: Path, source: str) -> bool:
    """Whether ``dvc.lock`` knows the stage. Read as text: a neighbour may be writing it, and half a file is no YAML."""
    lock = root / "dvc.lock"
    return lock.exists() and f"\n  split@{source}:\n" in lock.read_text(encoding="utf-8")


def test_rows(folder: Path) -> int | None:
    """Rows of the test part in ``data/splits/S``; None where there is none."""
    path = folder / "test.parquet"
    return int(pq.read_metadata(path).num_rows) if path.exists() else None
