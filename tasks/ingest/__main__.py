"""``python -m tasks.ingest S`` runs the stage ``ingest@S``."""

import sys

from tasks.ingest.params import IngestParams
from tasks.ingest.run import run
from tasks.params import load
from tasks.paths import Paths
from tasks.stage import main

name, paths = sys.argv[1], Paths.here()
main(
    f"ingest@{name}",
    lambda stage: run(name, load(IngestParams, paths.params / "sources.yaml", "sources", name, "ingest"), paths, stage),
)
