"""A workspace with a template set of its own, rendered and validated as the stage does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.commands.template_checks import Finding, examine
from tasks.core.files import read_rows
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.template.params import TemplateParams
from tasks.template.run import run
from tests.template.rendering import Rows, rows_of


def write_own(root: Path, prompt: str, more: str = "") -> None:
    folder = root / "tasks/template/library/own"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(
        "name: mine\ntask: qa\ndescription: d\ncolumns: {q: question, a: answer}\ntemplates:\n"
        f"  - {{id: planted, prompt: '{prompt}', references: a{more}}}\n"
    )


def stage_run(root: Path, values: Rows, **params: Any) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = Paths(root)
    paths.raw("s").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows_of(values)), paths.raw("s"))
    run("s", TemplateParams(**{"set": "own/mine", **params}), paths, Stage("template@s", root))
    return read_rows(paths.rendered("s"))


def findings(root: Path, values: Rows, **params: Any) -> list[Finding]:
    template_params = TemplateParams(**{"set": "own/mine", **params})
    return list(examine("s", template_params, rows_of(values), Paths(root), lambda row: len(row["prompt"].split()), 12))
