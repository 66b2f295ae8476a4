"""``python -m tasks.template S`` runs the stage ``template@S``."""

import sys

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.template.params import TemplateParams
from tasks.template.run import run

name, paths = sys.argv[1], Paths.here()
main(
    f"template@{name}",
    lambda stage: run(
        name, load(TemplateParams, paths.params / "sources.yaml", "sources", name, "template"), paths, stage
    ),
)
