"""``accelerate launch … --module tests.train.launched_in_turn NAME …``: the experiments in turn, each as if launched by
hand. A launch takes many times as long as a tiny model's training."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.train.run import run

if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(name, Paths(Path.cwd()), Stage.start(f"train@{name}", Path.cwd()))
