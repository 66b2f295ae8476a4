"""Evaluate an experiment of a test's workspace: its parameters, then ``predict@X`` and ``score@X`` in this process."""

from __future__ import annotations

from typing import Any

from tasks.core import files
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluate import predict, score
from tasks.evaluate.params import by_stage
from tasks.metrics.scoring import Scoring, TemplateScoring, write_scoring
from tests.train.training_workspace import mark_dirty


def write_params(paths: Paths, name: str, evaluate: dict[str, Any]) -> None:
    """Write ``predict.yaml`` and ``score.yaml`` of the experiment, as ``resolve`` does."""
    paths.experiment(name).mkdir(parents=True, exist_ok=True)
    for stage, params in zip(("predict", "score"), by_stage(evaluate), strict=True):
        write_yaml(paths.experiment(name) / f"{stage}.yaml", params)


def add_scoring(paths: Paths, *metrics: str, source: str = "chats", templates: tuple[str, ...] = ("plain",)) -> None:
    """Let the templates of the source name ``metrics``, as ``template`` does."""
    paths.scorings.mkdir(parents=True, exist_ok=True)
    scored = TemplateScoring(metrics=list(metrics))
    write_scoring(paths.scoring(source), Scoring(templates=dict.fromkeys(templates, scored)))


def evaluate(name: str, paths: Paths) -> None:
    """Run both stages of the experiment."""
    predict.run(name, paths, Stage.start(f"predict@{name}", paths.root))
    score.run(name, paths, Stage.start(f"score@{name}", paths.root))


def evaluate_clean(paths: Paths, name: str) -> dict[str, Any]:
    """Run both stages with no row marked as dirty; return ``metrics.json``."""
    mark_dirty(paths)
    evaluate(name, paths)
    report: dict[str, Any] = files.read_json(paths.report(name) / "metrics.json")
    return report


EVALUATE = {
    "generation": {"max_new_tokens": 12, "num_beams": 1, "token_budget": 256, "precision": "fp32"},
    "intervals": {"resamples": 200},
    "threads": 1,
}
