"""``mix@M``: train and validation rows of its sources → ``data/mixtures/M/``. Test rows are never mixed."""

from __future__ import annotations

import logging

from tasks.errors import TunesmithError
from tasks.files import write_json, write_rows
from tasks.mix.draw import draw, part_rows, split_sources, texts, without_evaluation_rows
from tasks.mix.params import MixtureParams
from tasks.paths import Paths
from tasks.rows import RENDERED, Row
from tasks.stage import Stage

logger = logging.getLogger("tunesmith")


def mix(name: str, params: MixtureParams, paths: Paths) -> tuple[dict[str, list[Row]], dict[str, object]]:
    """The mixture's training and validation rows, and its report.

    A row is left out when its text stands in the test rows of *any* split source, and a training row
    also when it stands in the validation rows of one.
    """
    where = f"params/mixtures.yaml: mixtures.{name}.sources"
    known = split_sources(paths)
    test = {text for source in known for text in texts(part_rows(paths, source, "test", where))}
    held_out = test | {text for source in known for text in texts(part_rows(paths, source, "validation", where))}
    train: list[Row] = []
    validation: list[Row] = []
    report: dict[str, object] = {}
    for source, share in sorted(params.sources.items()):
        rows, left_out = without_evaluation_rows(part_rows(paths, source, "train", where), held_out)
        drawn = draw(rows, share.limit, params.seed)
        watched, watched_out = without_evaluation_rows(part_rows(paths, source, "validation", where), test)
        train += drawn
        validation += draw(watched, None, params.seed)
        report[source] = {
            "train": len(drawn),
            "asked": share.limit,
            "validation": len(watched),
            "left_out_as_contaminated": left_out + watched_out,
        }
    return {"train": draw(train, None, params.seed), "validation": validation}, report


def run(name: str, params: MixtureParams, paths: Paths, stage: Stage) -> None:
    """Write ``train.parquet``, ``validation.parquet`` (columns: ``RENDERED``) and ``report.json`` of ``name``."""
    parts, report = mix(name, params, paths)
    for part, rows in parts.items():
        if not rows:
            raise TunesmithError(f"params/mixtures.yaml: mixtures.{name}: no {part} row is left ({report}); add data")
    with stage.outputs(paths.mixture(name)) as (output,):
        output.mkdir()
        for part, rows in parts.items():
            write_rows(output / f"{part}.parquet", rows, RENDERED)
        write_json(output / "report.json", report)
    logger.info("%s: %s", name, report)
