"""``template@S``: ``data/raw/S.parquet`` → ``data/rendered/S.parquet`` and ``data/scoring/S.json``.

The first holds the rows (columns: ``tasks.text.rows.RENDERED``), the second how they are scored
(``tasks.metrics.scoring.Scoring``).
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import canonical_json, write_stream
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.metrics.scoring import Scoring, TemplateScoring, write_scoring
from tasks.template.compiled import choose
from tasks.template.library import TemplateSet, library_of, load_set
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.stored import stored
from tasks.template.validate import Report, describe_suspicion, refuse_leaks, suspected_templates
from tasks.text.raw_rows import read_raw
from tasks.text.rows import GROUPED_BY, RENDERED, TEMPLATES

logger = logging.getLogger("tunesmith")


def run(name: str, params: TemplateParams, paths: Paths, stage: Stage) -> None:
    """Render every row of the source ``name``, one batch at a time, and write how its rows are scored.

    Raises:
        TunesmithError: a template leaks its completions, or more than ``max_dropped`` of the rows are dropped.
    """
    report = Report()
    templates = load_set(params.set, library_of(paths.root))
    rows = render(read_raw(paths.raw(name), every_column=True), name, templates, params, report)
    stored_templates = canonical_json(stored(templates, params, name).model_dump()).encode()
    with stage.outputs(paths.rendered(name), paths.scoring(name)) as (output, scoring):
        metadata = {GROUPED_BY: grouped_by(templates, params), TEMPLATES: stored_templates}
        write_stream(output, rows, RENDERED.with_metadata(metadata))
        refuse_leaks(name, report)
        refuse_dropped(name, params, report)
        write_scoring(scoring, scoring_of(name, templates, params))
    for template in suspected_templates(report):
        logger.warning("%s: %s", name, describe_suspicion(template, report))
    for line in report.oddities():
        logger.warning("%s: %s", name, line)
    dropped = ", ".join(f"{count} for {reason}" for reason, count in report.dropped.items()) or "none"
    logger.info("%s: %d rows rendered from %d; dropped: %s", name, report.rendered, report.rows, dropped)
    by_template = ", ".join(f"{template} {count}" for template, count in Counter(report.tried).most_common())
    logger.info("%s: rows per template: %s", name, by_template or "none")


def scoring_of(name: str, templates: TemplateSet, params: TemplateParams) -> Scoring:
    """The language of the source ``name``, and the metrics of the templates that it uses."""
    chosen = choose(templates, params, name)
    by_template = {one.id: TemplateScoring(metrics=templates.metrics_of(one)) for one in chosen}
    return Scoring(language=params.language, templates=by_template)


def grouped_by(templates: TemplateSet, params: TemplateParams) -> bytes:
    """The values that decide ``group`` and ``identity``, as JSON; a split is made anew if they change."""
    names = dict.fromkeys([*templates.inputs(), next(iter(templates.columns))])
    columns = {name: [params.columns.get(name, name), params.values.get(name)] for name in names}
    deciding: dict[str, Any] = {"set": params.set, "identity": templates.identity, "text": templates.text}
    deciding |= {"columns": columns}
    if templates.conversational:
        deciding["messages"] = [one.messages for one in templates.templates]
    return canonical_json(deciding | {"group": params.group}).encode()


def refuse_dropped(name: str, params: TemplateParams, report: Report) -> None:
    """Refuse a rendering that drops more than ``max_dropped`` of the rows.

    Raises:
        TunesmithError: too many rows are dropped; the error has the reasons, and the first row of each.
    """
    dropped = sum(report.dropped.values())
    share = dropped / max(report.rendered + dropped, 1)
    if share > params.max_dropped:
        reasons = "; ".join(f"{n} with {r}, the first at {report.first[r]}" for r, n in report.dropped.items())
        raise TunesmithError(
            f"data/raw/{name}.parquet: every row needs a prompt and a completion; {reasons}. Correct the rows, or "
            f"allow more dropped rows with `sources.{name}.template.max_dropped` in params/sources.yaml "
            f"(now {params.max_dropped}; needed {share:.4f})"
        )
