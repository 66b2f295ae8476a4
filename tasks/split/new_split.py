"""Messages about a source whose rows are split anew: cause, effect, remedy, and test rows before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tasks.split.assignments import State
from tasks.split.deciding import COLUMNS, VALUES, Change, shown
from tasks.split.params import RETIRED


@dataclass(frozen=True)
class NewSplit:
    """A source whose rows the next run splits anew, although they were split before.

    Attributes:
        state: state of the earlier assignments (``tasks.split.assignments.Assignments``).
        changed: the deciding values that differ now; None if the assignments are lost, or an earlier version did not
            record the values.
        test_rows: number of test rows before; None if the split is lost.
        retired_rows: number of rows of earlier test sets.
    """

    source: str
    state: State
    changed: list[Change] | None
    test_rows: int | None
    retired_rows: int = 0

    def why(self) -> str:
        """The cause."""
        if self.state == "none":
            return f"dvc.lock records a split, but data/splits/{self.source} with its assignments is missing"
        if self.changed is None:
            return "other parameters decided then (an earlier version did not record which; see `git diff params`)"
        return "; ".join(map(str, self.changed))

    def effect(self) -> str:
        """The consequence for the scores."""
        test = "" if self.test_rows is None else f" (test has {self.test_rows:,} rows now)"
        retired = f"; {self.retired_rows:,} retired rows may be trained on or tested again" if self.retired_rows else ""
        return (
            f"rows may move to other parts{test}{retired}; scores cannot be compared with earlier ones; the gate "
            "evaluates the champion on other test rows"
        )

    def remedy(self) -> str:
        """How to keep the split."""
        if self.state == "none":
            return f"run `dvc checkout data/splits/{self.source}` (in a clone: `dvc pull data/splits/{self.source}`)"
        own = [change for change in self.changed or () if not change.of_set]
        edits = [self._edit(change) for change in own]
        remedies = []
        if edits:
            remedies.append(f"in params/sources.yaml, {', '.join(edits)}")
        elif not self.changed:
            remedies.append(f"restore sources.{self.source} in params/sources.yaml as it was before")
        if len(own) < len(self.changed or ()):
            remedies.append("undo the change of the template set (`git diff tasks/template/library` shows it)")
        return ", and ".join(remedies)

    def _edit(self, change: Change) -> str:
        """The edit in ``params/sources.yaml`` that restores the earlier value."""
        depth = 2 if change.key.startswith((COLUMNS, VALUES)) else 1  # a column's name may hold dots
        *sections, key = change.key.split(".", depth)
        line = f"set `{shown(key)}: {shown(change.before)}`" if _is_written(change) else f"delete `{shown(key)}`"
        return f"{line} under sources.{'.'.join([self.source, *sections])}"

    def counts(self, after: int | None) -> str:
        """One line with the number of test rows before and after."""
        before = "unknown" if self.test_rows is None else f"{self.test_rows:,}"
        return f"{self.source}: split anew: test rows {before} → {'unknown' if after is None else f'{after:,}'}"


def _is_written(change: Change) -> bool:
    """Whether the earlier value must be written; null must be, for ``near_duplicates``, where it is not the default."""
    return change.before is not None or change.key == "split.near_duplicates"


def was_split(root: Path, source: str) -> bool:
    """Whether ``dvc.lock`` has the stage ``split@SOURCE``.

    The file is read as text: another process may be writing it, and half a file is not valid YAML.
    """
    lock = root / "dvc.lock"
    return lock.exists() and f"\n  split@{source}:\n" in lock.read_text(encoding="utf-8")


def test_rows(folder: Path) -> int | None:
    """Number of test rows in ``data/splits/S``; None without a split."""
    return _rows(folder / "test.parquet")


def retired_rows(folder: Path) -> int:
    """Number of rows of earlier test sets in ``data/splits/S``."""
    return _rows(folder / f"{RETIRED}.parquet") or 0


def _rows(path: Path) -> int | None:
    return int(pq.read_metadata(path).num_rows) if path.exists() else None
