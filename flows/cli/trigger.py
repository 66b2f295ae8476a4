"""``tunesmith trigger``: run now what ``schedule`` serves or a worker runs."""

from __future__ import annotations

from flows.cli.options import Experiments
from flows.terminal import say, workspace, write
from flows.workspace import refuse_silent_prefect
from tasks.core.paths import Paths


def trigger(experiments: Experiments = None) -> None:
    """Start a run of the flow `retrain`, for `tunesmith schedule` or a worker. Returns when it has started."""
    root = workspace()
    from flows.commands.experiments import check_experiments

    check_experiments(Paths(root), "trigger", experiments)
    from flows.deployments import trigger as start

    refuse_silent_prefect()
    start(root, experiments, write, say)
