"""Find the tasks that a candidate was not tuned on and did not keep."""

from __future__ import annotations

from typing import Any

from tasks.benchmark.suite_verdicts import benchmark_verdicts
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated, read
from tasks.gate.params import RegistrationParams
from tasks.metrics.verdicts import needed

PASSES = {"kept": ("gained", "kept", "undecided"), "proven": ("gained", "kept")}
"""Value of ``registration.retention`` → the verdicts on a task with which a candidate passes."""


def lost_tasks(paths: Paths, candidate: Evaluated, params: RegistrationParams) -> tuple[list[str], list[str]]:
    """Find the tasks that refuse the candidate, and those that pass although they are undecided.

    ``kept`` refuses a task that is lost or was not judged, ``proven`` also one that is undecided. The verdicts come
    from the comparison, and from the benchmarks that are planned for both candidate and baseline.

    Returns:
        ``TASK: verdict`` of each; both lists are empty if ``retention`` is ``shown``.

    Raises:
        TunesmithError: ``retention`` is not ``shown``, and no task was judged.
    """
    if params.retention == "shown":
        return [], []
    judged = _judged(paths, candidate, params)
    if not judged:
        raise TunesmithError(
            f"params/registration.yaml: registration.retention: {params.retention!r} needs tasks to be kept; the "
            "comparison has judged none, and no suite is planned for both models; name sources under "
            f"evaluation_set.retention, or suites of {params.baseline} and {candidate.name} under "
            "benchmark.experiments of params/evaluation.yaml, or set it to 'shown'"
        )
    verdicts = {f"{task}: {one['verdict']}{needed(one)}": one["verdict"] for task, one in judged.items()}
    refusing = [line for line, verdict in verdicts.items() if verdict not in PASSES[params.retention]]
    unsure = [line for line, verdict in verdicts.items() if verdict == "undecided" and line not in refusing]
    return refusing, unsure


def _judged(paths: Paths, candidate: Evaluated, params: RegistrationParams) -> dict[str, dict[str, Any]]:
    """Task, or suite and average → ``verdict`` and, if that is ``undecided``, ``rows_needed``."""
    base = read(params.baseline, params.metric, paths)
    path = paths.comparison / "comparison.json"
    systems = files.read_json(path)["systems"]
    own = [one for one in systems if one["name"] == candidate.name and one.get("key") in (None, candidate.key)]
    if not own:
        raise TunesmithError(
            f"{path}: registration.retention: {params.retention!r} needs {candidate.name} in the comparison, with "
            "these weights; it is not there; `tunesmith promote` decides without the gate"
        )
    entry = own[0]
    suites = benchmark_verdicts(paths, (base.name, base.key), (candidate.name, candidate.key))
    return (entry.get("retention") or {}) | suites
