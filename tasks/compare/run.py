"""``compare``: ``reports/experiments`` and ``reports/baselines`` → ``reports/comparison/``."""

from __future__ import annotations

import logging

from tasks.compare.cells import remarks
from tasks.compare.collect import collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.plot import draw
from tasks.compare.scores import bars, scores
from tasks.compare.seeds import with_seeds
from tasks.compare.sets import read_sets
from tasks.compare.table import markdown_table
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.metrics.params import VerdictParams

logger = logging.getLogger("tunesmith")


def run(params: CompareParams, verdicts: VerdictParams, paths: Paths, stage: Stage) -> None:
    """Write ``comparison.json``, ``table.md``, ``scores.png`` and what DVC shows; equal inputs give equal bytes.

    Raises:
        TunesmithError: no experiment can be compared.
    """
    systems = with_seeds(collect(paths, params.baseline), paths)
    comparison = compare(systems, params, verdicts, read_sets(paths))
    with stage.outputs(paths.comparison) as (output,):
        output.mkdir()
        write_json(output / "comparison.json", comparison)
        (output / "table.md").write_text(markdown_table(comparison), encoding="utf-8")
        draw(comparison, output / "scores.png")
        write_json(output / "scores.json", scores(comparison))
        write_json(output / "bars.json", bars(comparison))
    for remark in remarks(comparison):
        logger.warning("%s", remark)
    names = ", ".join(entry["name"] for entry in comparison["systems"])
    logger.info("compared %s; candidate: %s", names, comparison["candidate"] or "none")
