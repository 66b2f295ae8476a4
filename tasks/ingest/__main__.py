"""``python -m tasks.ingest S`` runs the stage ``ingest@S``."""

import sys

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.ingest.params import IngestParams
from tasks.ingest.run import run

name, paths = sys.argv[1], Paths.here()
main(
    f"ingest@{name}",
    lambda stage: run(name, load(IngestParams, paths.params / "sources.yaml", "sources", name, "ingest"), paths, stage),
)
