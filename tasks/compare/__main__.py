"""``python -m tasks.compare`` runs the stage ``compare``."""

from tasks.compare.params import CompareParams
from tasks.compare.run import run
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main

paths = Paths.here()
main("compare", lambda stage: run(load(CompareParams, paths.params / "evaluation.yaml", "compare"), paths, stage))
