"""``template@S``: ``data/raw/S.parquet`` → ``data/rendered/S.parquet`` (columns: ``render.RENDERED``)."""

from __future__ import annotations

import logging

from tasks.errors import TunesmithError
from tasks.files import read_rows, write_rows
from tasks.paths import Paths
from tasks.rows import RENDERED
from tasks.stage import Stage
from tasks.template.library import load_set
from tasks.template.params import TemplateParams
from tasks.template.render import Report, render

logger = logging.getLogger("tunesmith")


def run(name: str, params: TemplateParams, paths: Paths, stage: Stage) -> None:
    """Render every row of the source ``name``.

    Raises:
        TunesmithError: more rows than ``max_dropped`` have no prompt or no completion.
    """
    report = Report()
    rows = list(render(read_rows(paths.raw(name)), name, load_set(params.set), params, report))
    refuse_dropped(name, params, report)
    with stage.outputs(paths.rendered(name)) as (output,):
        write_rows(output, rows, RENDERED)
    dropped = ", ".join(f"{count} for {reason}" for reason, count in report.dropped.items()) or "none"
    logger.info("%s: %d rows rendered from %d; dropped: %s", name, report.rendered, report.rows, dropped)


def refuse_dropped(name: str, params: TemplateParams, report: Report) -> None:
    dropped = sum(report.dropped.values())
    share = dropped / max(report.rendered + dropped, 1)
    if share > params.max_dropped:
        reasons = "; ".join(f"{n} with {r}, the first at {report.first[r]}" for r, n in report.dropped.items())
        raise TunesmithError(
            f"data/raw/{name}.parquet: every row needs a prompt and a completion; {reasons}. Correct the rows, or let "
            f"up to a share be dropped with `sources.{name}.template.max_dropped` in params/sources.yaml "
            f"(now {params.max_dropped}; needed {share:.4f})"
        )
