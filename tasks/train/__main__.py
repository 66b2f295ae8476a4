"""``python -m tasks.train X`` runs the stage ``train@X``."""

import sys

from tasks.paths import Paths
from tasks.train.launcher import begin
from tasks.train.run import run

name = sys.argv[1]
begin(name, lambda stage: run(name, Paths(stage.root), stage))
