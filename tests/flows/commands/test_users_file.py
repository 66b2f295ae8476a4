"""``tunesmith data add`` with the file of a user, up to the mixture and the evaluation set."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.flows.command_line import Cli, one_error
from tests.workspaces import copy_workspace, dvc, edit


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_users_file_goes_through_the_dag(built_workspace: Path, cli: Cli, tmp_path: Path, ending: str) -> None:
    """``data add`` and ``params/`` only, up to the mixture and the evaluation set."""
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    rows = [{"talk": f'Customer: my, "lamp" {i}\nis broken', "gist": f"no light from number {i}"} for i in range(40)]
    path = tmp_path / f"mine.{ending}"
    write_table(path, rows)
    code, printed = cli(root, "data", "add", path, "--name", "mine")
    assert code == 0 and f"mine.{ending}: 40 rows, columns talk, gist" in printed
    assert "this source exists already" in one_error(cli(root, "data", "add", path, "--name", "mine"))
    source = {
        "ingest": {"required": ["talk", "gist"]},
        "template": {"set": "dialogue_summary", "columns": {"dialogue": "talk", "summary": "gist"}},
        "split": {"by": "hash", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}},
    }
    edit(root, "sources", lambda p: p.update(sources=p["sources"] | {"mine": source}))
    edit(root, "mixtures", lambda p: p["mixtures"].update(mine={"sources": {"mine": {}}}))
    edit(root, "evaluation", lambda p: p["evaluation_set"].update(sources=["mine"]))
    dvc(root, "repro", "mix@mine", "evaluation_set")
    parts = [root / "data/mixtures/mine/train.parquet"]
    parts += [root / f"data/evaluation/{part}.parquet" for part in ("test", "validation")]
    completions = [row["completion"] for part in parts for row in pq.read_table(part).to_pylist()]
    assert sorted(completions) == sorted(row["gist"] for row in rows)


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    import csv

    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["talk", "gist"])
        writer.writeheader()
        writer.writerows(rows)
