"""``python -m tasks.compare`` runs the stage ``compare``."""

from tasks.compare.params import CompareParams
from tasks.compare.run import run
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.metrics.params import load_verdicts

paths = Paths.here()
file = paths.params / "evaluation.yaml"
main("compare", lambda stage: run(load(CompareParams, file, "compare"), load_verdicts(file), paths, stage))
