"""``python -m tasks.train X`` runs the stage ``train@X``."""

import os
import sys

# Before torch allocates: in large pages its tensors leave no holes, a quarter less memory at the same speed
# (bench/RESULTS.md).
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from tasks.paths import Paths
from tasks.train.launcher import begin
from tasks.train.run import run

name = sys.argv[1]
begin(name, lambda stage: run(name, Paths(stage.root), stage))
