"""Find the tasks that a candidate was not tuned on and does worse on than the baseline."""

from __future__ import annotations

from tasks.benchmark.suite_verdicts import benchmark_verdicts
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.register.evaluated import Evaluated, read
from tasks.register.params import RegistrationParams


def lost_tasks(paths: Paths, candidate: Evaluated, params: RegistrationParams) -> list[str]:
    """List ``TASK: verdict`` for each task that the candidate did not keep; empty if ``retention`` is ``shown``.

    The verdicts come from the comparison, and from the benchmarks that are planned for both candidate and baseline.

    Raises:
        TunesmithError: ``retention`` is ``kept``, and no task was judged.
    """
    if params.retention != "kept":
        return []
    base = read(params.baseline, params.metric, paths)
    path = paths.comparison / "comparison.json"
    (entry,) = (system for system in files.read_json(path)["systems"] if system["name"] == candidate.name)
    judged: dict[str, str] = {task: of["verdict"] for task, of in (entry.get("retention") or {}).items()}
    judged |= benchmark_verdicts(paths, (base.name, base.key), (candidate.name, candidate.key))
    if not judged:
        raise TunesmithError(
            "params/registration.yaml: registration.retention: 'kept' needs tasks to be kept; the comparison has "
            "judged none, and no suite is planned for both models; name sources under evaluation_set.retention, or "
            f"suites of {base.name} and {candidate.name} under benchmark.experiments of params/evaluation.yaml, or set "
            "it to 'shown'"
        )
    return [f"{task}: {verdict}" for task, verdict in judged.items() if verdict not in ("kept", "gained")]
