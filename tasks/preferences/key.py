"""The key of an export: which experiment is on which side. It stays in the workspace; judges do not get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import Params, parse
from tasks.core.paths import Paths
from tasks.preferences.pairs import Counts, Pair
from tasks.text.rows import group_key


class PairKey(Params):
    """One pair.

    Attributes:
        group: the row's conversation or author; None if the predictions, or the key of an earlier version, lack it.
        left: experiment whose output is on the left.
        right: experiment whose output is on the right.
        rouge1_f: ROUGE-1 F1 in 0..1 by experiment.
        texts_sha256: of prompt, left and right, with blanks made one.
    """

    source: str
    row_id: str
    template_id: str
    group: str | None = None
    left: str
    right: str
    rouge1_f: dict[str, float | None]
    texts_sha256: str


class ExportKey(Params):
    """``key-EXPORT.json``.

    Attributes:
        export: id of the export, which is in every file for and from judges.
        a: the experiment compared with.
        b: the experiment whose wins are counted.
        rows: number of pairs requested.
        predictions: sha256 of ``predictions.parquet`` by experiment.
        counts: as ``pairs.Counts``.
        pairs: by the id that the judges see, in their order.
    """

    version: Literal[1] = 1
    export: str
    a: str
    b: str
    seed: int
    rows: int
    predictions: dict[str, str]
    counts: dict[str, int]
    pairs: dict[str, PairKey]

    def group_of(self, pair: str) -> tuple[str, str]:
        """The independent group of a pair: judgements of one conversation or author resemble each other."""
        return group_key(self.pairs[pair].model_dump(include={"source", "row_id", "group"}))

    def groups(self) -> int:
        """Number of independent groups of the pairs."""
        return len({self.group_of(pair) for pair in self.pairs})


def export_id(names: tuple[str, str], hashes: tuple[str, str], seed: int, rows: int) -> str:
    """The same export has the same id; a letter comes first, or a spreadsheet may read a number in it."""
    return f"x{files.digest(['export', names, hashes, seed, rows])[:12]}"


def make_key(
    export: str, names: tuple[str, str], hashes: tuple[str, str], seed: int, rows: int, drawn: tuple[list[Pair], Counts]
) -> ExportKey:
    pairs, counts = drawn
    return ExportKey(
        export=export,
        a=names[0],
        b=names[1],
        seed=seed,
        rows=rows,
        predictions=dict(zip(names, hashes, strict=True)),
        counts=vars(counts),
        pairs={pair.shown.id: _pair_key(names, pair) for pair in pairs},
    )


def _pair_key(names: tuple[str, str], pair: Pair) -> PairKey:
    source, row_id, template_id = pair.row
    left, right = reversed(names) if pair.b_left else names
    return PairKey(
        source=source,
        row_id=row_id,
        template_id=template_id,
        group=pair.group,
        left=left,
        right=right,
        rouge1_f=dict(zip(names, pair.rouge1, strict=True)),
        texts_sha256=pair.shown.texts_sha256(),
    )


def key_path(paths: Paths, key: ExportKey) -> Path:
    return paths.preference(key.a, key.b) / f"key-{key.export}.json"


def read_key(path: Path) -> ExportKey:
    """Read a key. Raises TunesmithError if the file is missing or is not a key."""
    try:
        return parse(ExportKey, files.read_json(path), path)
    except FileNotFoundError:
        raise TunesmithError(f"{path}: no such file; name the key that `tunesmith preferences export` wrote") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TunesmithError(
            f"{path}: must be a key that an export wrote; it is not JSON ({error}); restore it"
        ) from None


def find_key(paths: Paths, export: str, where: str) -> ExportKey:
    """The key of ``export`` in this workspace; ``where`` is file and row of the id.

    Raises:
        TunesmithError: there is none; those that there are are named.
    """
    for path in sorted(paths.preferences.glob("*/key-*.json")):
        if path.name == f"key-{export}.json":
            return read_key(path)
    known = sorted(path.stem.removeprefix("key-") for path in paths.preferences.glob("*/key-*.json"))
    raise TunesmithError(
        f"{where}: export: there is no key for the export {export!r} in {paths.preferences}; there are: "
        f"{', '.join(known) or 'none'}; import in the workspace of the export, or name the key with --key"
    )
