"""The report as one HTML file: no network, every text escaped, and every section absent without its data."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tasks.compare.cells import label
from tasks.compare.headline import headline
from tasks.core.counted import counted
from tasks.core.pages import pages
from tasks.registry.verdict import WORDS, lines_below
from tasks.report.benchmarks import benchmarks, helm
from tasks.report.changes import Earlier, since
from tasks.report.cost import TITLES, cost
from tasks.report.curves import curves
from tasks.report.data import base_models, data
from tasks.report.details import drawn, group_rows, prompts, second_opinions, soft_prompts
from tasks.report.facts import Facts
from tasks.report.forgetting import forgetting
from tasks.report.labels import labels
from tasks.report.rows import rows
from tasks.report.scores import differences, scores, signs, warnings
from tasks.report.sections import Builder, Section, of_rows
from tasks.report.sets import per_task, sets

BUILDERS = (
    Builder("scores", "Scores", scores),
    Builder("differences", "Differences", differences),
    Builder("labels", "Labels", labels),
    Builder("curves", "Loss curves", curves),
    Builder("cost", "Quality and cost", cost),
    Builder("sets", "Sets of experiments", sets),
    Builder("per_task", "Per source and task", per_task),
    Builder("forgetting", "Kept and lost: tasks that were not tuned on", forgetting),
    Builder("few_shot", "Examples in the prompt", of_rows(prompts)),
    Builder("signs", "Signs of bad texts that score well", signs),
    Builder("groups", "Seen and unseen, clean and dirty", of_rows(group_rows)),
    Builder("samples", "Sampled outputs", of_rows(drawn)),
    Builder("soft_prompt", "Soft prompts", of_rows(soft_prompts)),
    Builder("older_test_sets", "A second opinion: rows of earlier test sets", of_rows(second_opinions)),
    Builder("benchmarks", "Benchmarks", benchmarks),
    Builder("helm", "HELM", helm),
    Builder("data", "Data", data),
    Builder("rows", "Every test row", rows),
)
"""The sections in their order."""

_FOLDER = Path(__file__).parent / "page"


def html_report(facts: Facts, digest: str = "", earlier: Earlier | None = None) -> str:
    """Render ``facts`` as HTML; equal facts give equal bytes.

    Args:
        digest: of the files that ``facts`` were read from; the page holds it.
        earlier: another state of the workspace. A section says what changed since.
    """
    sections = [section for builder in BUILDERS if (section := builder.section(facts)) is not None]
    if earlier is not None:
        sections.insert(0, Section("since", f"What changed since {earlier.name}", since(facts, earlier)))
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    warned, muted = warnings(facts.comparison)
    return (
        pages(_FOLDER)
        .get_template("report.html.jinja")
        .render(
            c=facts.comparison,
            digest=digest,
            sections=sections,
            style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
            headline=headline(facts.comparison),
            metric=label(facts.comparison["metric"]),
            gate=gate_lines(facts),
            about=about(facts),
            counts=counts(facts.comparison),
            warnings=warned,
            muted=muted,
            cost_titles=[title or label(facts.comparison["metric"]) for title in TITLES],
        )
    )


def gate_lines(facts: Facts) -> dict[str, Any] | None:
    """The gate's verdict: ``word``, ``summary``, ``lines`` and ``since``; None before it has decided."""
    decision, later = facts.decision, facts.since
    if decision is None:
        return None
    return {
        "word": WORDS[decision["verdict"]],
        "summary": decision["summary"],
        "lines": lines_below(decision),
        "since": later and f"Since then ({later['time']}): {later['summary']}",
    }


def about(facts: Facts) -> list[tuple[str, str]]:
    """Who reigns, when it was decided, the base models, and the versions of the data: (name, value)."""
    decision, known = facts.since or facts.decision or {}, []
    decided = decision.get("decided", decision.get("time"))  # lines of the ledger have the time alone
    champion = decision.get("champion")
    if champion:
        known.append(("champion", f"{champion['experiment']} (version {champion['version']})"))
    if decided:
        known.append(("decided", str(decided)))
    known += [("base model", name) for name in base_models(facts)]
    known += [("data", f"{one.name} {one.version[:12]}".strip()) for one in facts.sources]
    commits = {one.training.get("git_commit") for one in facts.trained.values()} - {None}
    return [*known, *(("git commit of a training", str(commit)[:12]) for commit in sorted(map(str, commits)))]


def counts(comparison: dict[str, Any]) -> str:
    """``2 experiments and 2 trivial baselines on the same 50 test rows``."""
    experiments = sum(entry["kind"] == "experiment" for entry in comparison["systems"])
    trivial = len(comparison["systems"]) - experiments
    parts = [counted(experiments, "experiment"), *([counted(trivial, "trivial baseline")] if trivial else [])]
    return f"{' and '.join(parts)} on the same {counted(comparison['rows'], 'test row')}"
