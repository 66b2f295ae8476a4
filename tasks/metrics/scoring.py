"""How the rows of each source are scored: ``data/scoring/S.json``, apart from the rows themselves.

``template@S`` writes the file; ``score@X``, ``baselines`` and the gate read it. No stage that trains or generates
depends on it, so other metrics change scores alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import Params, parse
from tasks.text.rows import Row

_REMEDY = "run `tunesmith run` (or `dvc repro`) to build it anew"


class TemplateScoring(Params):
    """How the rows of one template are scored.

    Attributes:
        metrics: names of ``METRICS``, ``loss``, or ``hub:NAME[@REVISION]``. The first one with a score per row judges
            retention.
    """

    metrics: list[str]


class Scoring(Params):
    """``data/scoring/S.json``.

    Attributes:
        language: of the completions, if the source names it; see ``tasks.metrics.languages``.
        templates: id of each template that the source uses → how its rows are scored.
    """

    language: str | None = None
    templates: dict[str, TemplateScoring]


Scorings = Mapping[str, Scoring]
"""Source → how its rows are scored."""


def write_scoring(path: Path, scoring: Scoring) -> None:
    """Write ``data/scoring/S.json``; equal values give equal bytes."""
    files.write_json(path, scoring.model_dump(exclude_none=True))


def read_scorings(folder: Path, rows: Iterable[Row]) -> Scorings:
    """Read the files of the sources of ``rows`` from ``folder`` (``data/scoring``).

    Raises:
        TunesmithError: a file is missing, or is not a valid ``Scoring``.
    """
    return {source: _read(folder / f"{source}.json") for source in sorted({row["source"] for row in rows})}


def _read(path: Path) -> Scoring:
    if not path.exists():
        raise TunesmithError(f"{path}: the source of a test row must have this file; there is none; {_REMEDY}")
    return parse(Scoring, files.read_json(path), path)


def language_of(row: Row, scorings: Scorings) -> str | None:
    """The language of the source of ``row``; None if it names none."""
    return scorings[row["source"]].language


def metrics_of(row: Row, scorings: Scorings) -> list[str]:
    """The metrics that the template of ``row`` names.

    Raises:
        TunesmithError: the file of its source does not name the template, so it is of other rows.
    """
    source, template = row["source"], row["template_id"]
    templates = scorings[source].templates
    if template not in templates:
        raise TunesmithError(
            f"data/scoring/{source}.json: templates: must name every template of the test rows; {template!r} is "
            f"missing; there are: {', '.join(templates)}; {_REMEDY}"
        )
    return templates[template].metrics
