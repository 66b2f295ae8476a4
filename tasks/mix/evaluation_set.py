"""``evaluation_set``: the test and validation rows that every experiment meets → ``data/evaluation/``."""

from __future__ import annotations

from tasks.files import write_rows
from tasks.mix.draw import draw, part_rows
from tasks.mix.params import EvaluationSetParams
from tasks.params import load
from tasks.paths import Paths
from tasks.rows import RENDERED, Row
from tasks.stage import Stage, main


def collect(params: EvaluationSetParams, paths: Paths, part: str) -> list[Row]:
    """Rows of ``part`` of the named sources, by the sources' names, in the order of their splits."""
    where = "params/evaluation.yaml: evaluation_set.sources"
    rows: list[Row] = []
    for source in sorted(set(params.sources)):
        found = part_rows(paths, source, part, where)
        kept = {(row["row_id"], row["template_id"]) for row in draw(found, params.limit, params.seed)}
        rows += [row for row in found if (row["row_id"], row["template_id"]) in kept]
    return rows


def run(params: EvaluationSetParams, paths: Paths, stage: Stage) -> None:
    """Write ``test.parquet`` and ``validation.parquet`` (columns: ``RENDERED``)."""
    with stage.outputs(paths.evaluation_set) as (output,):
        output.mkdir()
        for part in ("test", "validation"):
            write_rows(output / f"{part}.parquet", collect(params, paths, part), RENDERED)


if __name__ == "__main__":
    here = Paths.here()
    main(
        "evaluation_set",
        lambda stage: run(load(EvaluationSetParams, here.params / "evaluation.yaml", "evaluation_set"), here, stage),
    )
