"""``tunesmith preferences export``: predictions of two experiments → blind pairs for judges, and the key to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.compare.collect import folders, natural
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.preferences.key import ExportKey, export_id, key_path, make_key
from tasks.preferences.page import page
from tasks.preferences.pairs import Pair, draw, match, read_predictions
from tasks.preferences.sheet import CELL, ENCODING, sheet


@dataclass(frozen=True)
class Exported:
    """What was written; ``too_long`` texts do not fit a cell of a spreadsheet."""

    page: Path
    sheet: Path
    key_file: Path
    key: ExportKey
    too_long: int


def export(paths: Paths, a: str, b: str, rows: int, seed: int, output: Path | None = None) -> Exported:
    """Write ``pairs-EXPORT.html`` and ``.csv`` into ``output``, and the key beside the reports.

    The same predictions, rows and seed give the same bytes. ``output`` holds nothing that a judge must not see; by
    default it is ``reports/preferences/A-vs-B/judges``.

    Raises:
        TunesmithError: an experiment is not known or not evaluated, no pair is left, or ``output`` has a CSV of this
            export in which somebody has answered.
    """
    if rows < 1:
        raise TunesmithError(f"preferences export: --rows must be at least 1; it is {rows}")
    if seed < 0:
        raise TunesmithError(f"preferences export: --seed must not be negative; it is {seed}")
    _known(paths, a, b)
    predictions = [paths.report(name) / "predictions.parquet" for name in (a, b)]
    ours, theirs = map(read_predictions, predictions)
    first, second = map(files.sha256, predictions)
    matches, counts = match(ours, theirs)
    if not matches:
        raise TunesmithError(
            f"reports/experiments: {a} and {b} need outputs for the same rows, with different texts; of "
            f"{counts.paired} common rows {counts.equal} have equal texts ({counts.only_a} rows only in {a}, "
            f"{counts.only_b} only in {b}); evaluate both on the same test rows (`tunesmith run`), or choose other "
            "experiments"
        )
    pairs = draw(matches, rows, files.digest(["draw", a, b, first, second, seed]))
    name = export_id((a, b), (first, second), seed, rows)
    key = make_key(name, (a, b), (first, second), seed, rows, (pairs, counts))
    return _write(paths, key, pairs, output or paths.preference(a, b) / "judges")


def _known(paths: Paths, a: str, b: str) -> None:
    if a == b:
        raise TunesmithError(f"preferences export: needs two different experiments; both are {a!r}")
    known = sorted(folders(paths.reports), key=natural)
    if unknown := [name for name in (a, b) if name not in known]:
        raise TunesmithError(
            f"preferences export: no report of {unknown[0]!r} in {paths.reports}; there are: "
            f"{', '.join(known) or 'none'}; evaluate it with `tunesmith run --experiment {unknown[0]}`"
        )


def _write(paths: Paths, key: ExportKey, pairs: list[Pair], output: Path) -> Exported:
    shown = [pair.shown for pair in pairs]
    key_file, base = key_path(paths, key), output / f"pairs-{key.export}"
    html, table = base.with_suffix(".html"), base.with_suffix(".csv")
    content = sheet(key.export, shown).encode(ENCODING)
    if table.exists() and table.read_bytes() != content:
        raise TunesmithError(
            f"{table}: a file of this export that has been changed is not overwritten, since it may hold answers; "
            "move it away, or name another folder with --output"
        )
    with files.replacing(key_file) as temporary:
        files.write_json(temporary, key.model_dump())
    with files.replacing(html) as temporary:
        temporary.write_text(page(key.export, shown), encoding="utf-8")
    with files.replacing(table) as temporary:
        temporary.write_bytes(content)
    texts = (text for pair in shown for text in (pair.prompt, pair.left, pair.right))
    return Exported(html, table, key_file, key, too_long=sum(len(text) > CELL for text in texts))
