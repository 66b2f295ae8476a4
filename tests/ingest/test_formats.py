"""Files of every format, also compressed or with a wrong ending."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tasks.core.errors import TunesmithError
from tasks.ingest.formats import FORMATS, format_of, name_of
from tasks.ingest.opening import COMPRESSIONS
from tasks.ingest.readers import read
from tests.ingest.workbook import write_workbook

ROWS: list[dict[str, Any]] = [{"q": f" question {i}, é 你\n", "a": "    return x\n"} for i in range(3000)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write ``rows`` in the format of the file's ending."""
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    elif path.suffix == ".xlsx":
        write_workbook(path, {"Sheet": [list(rows[0]), *(list(row.values()) for row in rows)]})
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        cell = "\t" if path.suffix == ".tsv" else ","
        quoted = [cell.join(f'"{value}"' for value in row.values()) for row in rows]
        path.write_text("\n".join([cell.join(rows[0]), *quoted]), encoding="utf-8", newline="")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def compressed(path: Path, ending: str) -> bytes:
    content = path.read_bytes()
    if ending == ".zst":
        with pa.BufferOutputStream() as buffer, pa.CompressedOutputStream(buffer, "zstd") as stream:
            stream.write(content)
            stream.close()
            return bytes(buffer.getvalue())
    return gzip.compress(content) if ending == ".gz" else bz2.compress(content)


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_survive_every_format_also_compressed(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"train{ending}", ROWS)
    assert [row for _, row in read(path)] == ROWS
    for compression in COMPRESSIONS:
        packed = tmp_path / f"train{ending}{compression.upper()}"
        packed.write_bytes(compressed(path, compression))
        assert [row for _, row in read(packed)] == ROWS
        assert (name_of(packed), format_of(packed)) == ("train", FORMATS[ending])
        plain = tmp_path / f"packed{ending}"
        plain.write_bytes(packed.read_bytes())
        assert [row for _, row in read(plain)] == ROWS, "the first bytes tell the compression"


@pytest.mark.parametrize("ending", [".parquet", ".feather", ".xlsx"])
def test_a_binary_file_with_the_ending_of_text_is_recognised(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}", ROWS[:3])
    for other in ("b.jsonl", "b.csv", "b.data"):
        assert [row for _, row in read(path.rename(tmp_path / other))] == ROWS[:3]
        path = tmp_path / other


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_file_that_breaks_off_is_refused(tmp_path: Path, compression: str) -> None:
    packed = tmp_path / f"a.jsonl{compression}"
    packed.write_bytes(compressed(write(tmp_path / "a.jsonl", ROWS), compression)[:-40])
    with pytest.raises(TunesmithError, match=rf"not valid {COMPRESSIONS[compression]}: .*; restore the file"):
        list(read(packed))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", [".jsonl", ".json", ".tsv"])
def test_text_with_a_byte_order_mark_is_read(tmp_path: Path, ending: str, encoding: str) -> None:
    path = write(tmp_path / f"a{ending}", ROWS)
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    path.write_bytes((mark + path.read_text(encoding="utf-8").replace("\r", "")).encode(encoding))
    assert [row for _, row in read(path)] == ROWS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.jsonl", "train"),
        ("train.v2.jsonl.gz", "train.v2"),
        ("train.CSV.ZST", "train"),
        ("notes.gz", "notes"),
        ("a.b.gz", "a.b"),
        (".parquet", ".parquet"),
    ],
)
def test_the_name_of_a_file_has_no_endings(name: str, expected: str) -> None:
    assert name_of(Path(name)) == expected


def test_padded_column_names_of_a_csv_are_cut_and_told(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "a.csv").write_text("q , a\n 1 , 2 \n")
    assert list(read(tmp_path / "a.csv", note=notes.append)) == [(2, {"q": " 1 ", "a": " 2 "})]
    assert notes == ["a.csv: blanks around the names of columns are cut: 'q ', ' a'"]
    (tmp_path / "b.csv").write_text("q,q \n1,2\n")
    with pytest.raises(TunesmithError, match="'q' occurs twice"):
        list(read(tmp_path / "b.csv"))
