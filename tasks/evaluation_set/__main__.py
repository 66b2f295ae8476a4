"""``python -m tasks.evaluation_set`` runs the stage ``evaluation_set``."""

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.evaluation_set.run import run

paths = Paths.here()
main(
    "evaluation_set",
    lambda stage: run(load(EvaluationSetParams, paths.params / "evaluation.yaml", "evaluation_set"), paths, stage),
)
