"""The value of a measure that a rule limits: from the candidate's report, its benchmarks, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.benchmark import results
from tasks.core import files
from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated
from tasks.gate.latency import latency_p95


@dataclass(frozen=True)
class Measure:
    """A measured value.

    Attributes:
        low, high: ends of its interval; None if it has none.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.value:.4g}{interval}"


def measure(name: str, candidate: Evaluated, paths: Paths) -> Measure | str:
    """The value of the measure ``name`` (``tasks.gate.rules``); a text with the reason if there is none."""
    prefix, slash, rest = name.partition("/")
    if slash:
        return {"benchmark": _benchmark, "helm": _helm, "retention": _retention}[prefix](rest, candidate, paths)
    if name == "weights_mb":
        return Measure(candidate.manifest["weights_bytes"] / 1e6)
    if name == "latency_p95_s":
        return _latency(candidate, paths)
    if name in ("training_memory_gb", "generation_memory_gb"):
        return _memory("train" if name.startswith("training") else "predict", candidate, paths)
    return _mean(name, candidate)


def _mean(name: str, candidate: Evaluated) -> Measure | str:
    metrics = candidate.metrics["metrics"]
    entry = metrics.get("finished" if name == "unfinished" else name)
    if entry is None or entry["value"] is None:
        return f"{candidate.report / 'metrics.json'} has no {name}"
    value, low, high = entry["value"], entry.get("low"), entry.get("high")
    if name == "unfinished":
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    return Measure(value, low, high)


def _latency(candidate: Evaluated, paths: Paths) -> Measure | str:
    manifest = paths.model(candidate.name) / "manifest.json"
    if not manifest.exists() or files.read_json(manifest)["key"] != candidate.key:
        return f"{manifest.parent} does not hold this model"
    return Measure(latency_p95(candidate, paths))


def _memory(step: str, candidate: Evaluated, paths: Paths) -> Measure | str:
    path = paths.run(candidate.name, step) / "run.json"
    run = files.read_json(path) if path.exists() else {}
    if run.get("key") != candidate.key or run.get("peak_memory_bytes") is None:
        return f"{path} has no peak memory of this model"
    return Measure(run["peak_memory_bytes"] / 1e9)


def _benchmark(name: str, candidate: Evaluated, paths: Paths) -> Measure | str:
    folder = paths.benchmark(candidate.name)
    read = results.read(folder)
    suite, *rest = name.split("/")
    if read is None or read[0]["key"] != candidate.key or suite not in read[0]["suites"]:
        return f"{folder} has no result of this model on {suite}; name the suite under benchmark.experiments"
    entry = read[0]["suites"][suite]
    if not rest:
        average = entry["averages"].get("overall")
        return _cell(average) or f"{suite} has no overall average; name SUITE/TASK/METRIC"
    task, metric = rest[0], "/".join(rest[1:])
    measured = (entry["tasks"].get(task) or {}).get("metrics", {}).get(metric)
    return _cell(measured) or f"{folder} has no {metric or 'metric'} of the task {task} in {suite}"


def _helm(name: str, candidate: Evaluated, paths: Paths) -> Measure | str:
    folder = paths.helm / candidate.name
    read = results.read(folder)
    if read is None or read[0]["key"] != candidate.key:
        return f"{folder} has no result of this model; run `tunesmith helm`"
    scenario, _, metric = name.partition("/")
    cells = (read[0]["suites"]["helm"]["scenarios"].get(scenario) or {}).get("cells", {})
    return _cell(cells.get(metric)) or f"{folder} has no {metric or 'metric'} of the scenario {scenario}"


def _retention(name: str, candidate: Evaluated, paths: Paths) -> Measure | str:
    systems = files.read_json(paths.comparison / "comparison.json")["systems"]
    entry: dict[str, Any] = next((one for one in systems if one.get("key") == candidate.key), {})
    task = (entry.get("retention") or {}).get(name)
    if task is None or task.get("after") is None:
        return f"the comparison has no score of this model on {name}; name its source under evaluation_set.retention"
    return Measure(task["after"])


def _cell(cell: dict[str, Any] | None) -> Measure | None:
    if not cell or cell.get("value") is None:
        return None
    return Measure(cell["value"], cell.get("low"), cell.get("high"))
