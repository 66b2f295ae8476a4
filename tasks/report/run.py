"""``report``: the comparison and all that stands beside it → ``reports/comparison/report.html`` and model cards.

This step is outside DVC: the page shows the gate's decision, seconds and memory, which no stage may depend on.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.core import files
from tasks.core.paths import Paths
from tasks.registry.decisions import change_after
from tasks.registry.verdict import result_on_present
from tasks.report.card import CARD, RESULTS, card, eval_results
from tasks.report.changes import Earlier
from tasks.report.facts import Facts, read_facts
from tasks.report.page import html_report

logger = logging.getLogger("tunesmith")

_READ = (
    "runs/*/train/run.json",
    "runs/*/predict/run.json",
    "data/splits/*/splits.json",
    "data/mixtures/*/report.json",
    "data/mixtures/*/contamination.json",
    "reports/benchmarks/*/results.json",
    "reports/helm/*/results.json",
    "reports/cards/*/README.md",
)
"""Files on which the page depends, besides the comparison; the cards, so that missing ones are written again."""


def run(paths: Paths, earlier: Earlier | None = None) -> Path:
    """Write the page and one model card per trained model; equal facts give equal bytes.

    Args:
        earlier: another state of the workspace, which the page compares with the present one.

    Returns:
        The path of the page.

    Raises:
        TunesmithError: nothing has been compared yet, or a file does not have the format that its stage writes.
    """
    facts = read_facts(paths)
    page, names = _page(paths), _write_cards(facts, paths)
    with files.replacing(page) as temporary:
        digest = _digest(paths) if earlier is None else ""  # so that the next flow leaves the earlier state out
        temporary.write_text(html_report(facts, digest, earlier), encoding="utf-8")
    logger.info("report: %s", page)
    if names:
        logger.info("model cards of %s: %s", ", ".join(names), paths.cards)
    return page


def is_current(paths: Paths) -> bool:
    """Whether the page shows the present comparison, decision, data, trainings and benchmarks."""
    page = _page(paths)
    return page.exists() and f'<meta name="facts" content="{_digest(paths)}">' in page.read_text(encoding="utf-8")


def _page(paths: Paths) -> Path:
    return paths.comparison / "report.html"


def _digest(paths: Paths) -> str:
    """Digest of this room's code and of the small files that the page is made from.

    The predictions are known by the comparison.
    """
    code = [path for path in sorted(Path(__file__).parent.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    known = [path for kind in _READ for path in sorted(paths.root.glob(kind))]
    decision = result_on_present(paths)
    shown = [decision, change_after(paths, decision)] if decision else []
    decisions = [{name: value for name, value in one.items() if name != "time"} for one in shown if one]
    read = [paths.comparison / "comparison.json", *code, *known]
    return files.digest([decisions, *map(files.sha256, read)])


def _write_cards(facts: Facts, paths: Paths) -> list[str]:
    tuned = [entry["name"] for entry in facts.comparison["systems"] if entry["tuned"]]
    names = [name for name in tuned if facts.trained[name].manifest]
    for name in names:
        with files.replacing(paths.card(name)) as folder:
            (folder / RESULTS).parent.mkdir(parents=True)
            (folder / CARD).write_text(card(name, facts), encoding="utf-8")
            (folder / RESULTS).write_text(eval_results(name, facts), encoding="utf-8")
    return names
