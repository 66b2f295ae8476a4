"""Any rows of JSON, and whether they come back from ``ingest`` as they were."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.ingest.params import IngestParams
from tasks.ingest.run import OWN_COLUMNS, run
from tasks.text.raw_rows import read_raw

Row = dict[str, Any]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # Cs: halves of surrogate pairs
_NUMBER = st.integers() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_SCALAR = st.none() | st.booleans() | _NUMBER | _TEXT | st.sampled_from(["", " ", "true", "null", "0", "1.0", "NaN"])
_VALUE = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=6
)
_KEY = st.sampled_from(["a", "b", "a ", "A", "messages", ""]) | _TEXT  # the same keys with other types, often

ROWS = st.lists(
    st.dictionaries(_KEY.filter(lambda key: key not in OWN_COLUMNS), _VALUE, max_size=4), min_size=1, max_size=6
)


def through_ingest(rows: list[Row]) -> list[Row]:
    """``rows`` behind ``ingest``, from a JSONL file, without the columns that Tunesmith adds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data/sources/s").mkdir(parents=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (root / "data/sources/s/a.jsonl").write_text(lines, encoding="utf-8", newline="")
        run("s", IngestParams(), Paths(root), Stage("ingest@s", root))
        raw = read_raw(root / "data/raw/s.parquet")
        return [{name: value for name, value in row.items() if name not in OWN_COLUMNS} for row in raw]


def exact(value: Any) -> str:
    """``value`` as text in which 1, 1.0, true and "1" differ; keys of the row itself are sorted."""
    return repr(dict(sorted(value.items())))
