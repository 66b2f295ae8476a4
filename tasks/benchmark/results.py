"""Results of one model on suites: the only writer and reader of ``reports/benchmarks/X/`` and ``reports/helm/X/``.

``results.json`` holds ``schema``, the model (``experiment``, ``key``, ``method``) and ``suites``. A suite holds

- ``settings`` that it was run with, and ``lm_eval``, the library's version, where its tasks are lm-eval's;
- ``tasks``: lm-eval task → entry; ``averages``: group or ``overall`` → average over tasks;
- ``scenarios``: scenario of ``tasks.benchmark.helm`` → entry; ``memorisation``: mixture → entry.

Every entry has ``status``: ``done``, or ``no data`` or ``failed`` with the reason in ``error``. A scenario that is done
has

- ``kind`` and ``title``, as in ``helm/scenarios.yaml``;
- ``key``: hash of all that the entry depends on (model, parameters, rows, template, code);
- ``rows`` that were measured, and ``too_long``: rows left out, since they do not fit the model's context;
- ``cells``: metric → value with interval, or ``na`` with the reason; ``not_applicable``: metric → why it has no cell;
- ``details``: numbers behind the cells;
- ``seconds``, unless the result must be equal in every run (a planned benchmark).

``samples.parquet`` holds the rows of tasks, ``scenarios.parquet`` those of scenarios, if there are any.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from tasks.benchmark.helm.measured import INSTANCES, Measurements
from tasks.core import files
from tasks.text.rows import Row

Stored = tuple[Row, list[Row], list[Row]]
"""``results.json``, rows of ``SAMPLES`` and rows of ``INSTANCES``."""

SAMPLES = pa.schema(
    [
        ("suite", pa.string()),
        ("task", pa.string()),
        ("doc_id", pa.int64()),
        ("doc_hash", pa.string()),
        ("group", pa.string()),
        ("prompt_hash", pa.string()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("logprobs", pa.list_(pa.float64())),
        ("greedy", pa.list_(pa.bool_())),
        ("target", pa.string()),
        ("prediction", pa.string()),
        ("values", pa.string()),
        ("score", pa.float64()),
    ]
)
"""One row per evaluated row of a task.

``doc_id``: position in the file, from 0. ``doc_hash``, ``prompt_hash``: sha256 of the row, and of the prompt with its
examples. ``group``: rows with the same one are not independent (``TaskDefinition.grouped_by``); None for a row that is
a group by itself, and in results of earlier versions. ``question``: the prompt without examples that are rows
(TruthfulQA's own six belong to the question). ``choices``, ``logprobs`` (nats, of the whole choice) and ``greedy``
(whether greedy decoding generates the choice): of multiple choice. ``prediction``: the likeliest choice, else the
generated text. ``target``: the correct choice or text; several are divided by ``|``. ``values``: JSON, metric → what
lm-eval aggregates. ``score``: of the row alone, if it has one.
"""

SCHEMA = 2

PARTS = ("tasks", "scenarios", "memorisation")
"""Parts of a suite whose entries have a ``status``."""

_SCENARIO_ROWS, _OLD_SCENARIO_ROWS = "scenarios.parquet", "risks.parquet"


def result(manifest: Row, suites: dict[str, Row]) -> Row:
    """``results.json`` of the model with ``manifest``."""
    model = {key: manifest[key] for key in ("experiment", "key", "method")}
    return {"schema": SCHEMA, **model, "suites": suites}


def write(folder: Path, result: Row, samples: list[Row], instances: list[Row]) -> None:
    """Write the files into a new folder; equal results give equal bytes."""
    folder.mkdir(parents=True)
    files.write_json(folder / "results.json", result)
    kept = [{**row, "values": files.canonical_json(row["values"])} for row in samples]
    files.write_rows(folder / "samples.parquet", kept, SAMPLES)
    if instances:
        files.write_rows(folder / _SCENARIO_ROWS, instances, INSTANCES)


def read(folder: Path) -> Stored | None:
    """What ``write`` wrote, now or in an earlier version; None without a result."""
    if not (folder / "results.json").exists():
        return None
    result = files.read_json(folder / "results.json")
    if result["schema"] == 1 and "suites" not in result:
        return _helm_of_schema_1(folder, result)
    rows = files.read_rows(folder / "samples.parquet")
    samples = [{**row, "values": json.loads(row["values"])} for row in rows]
    paths = (folder / name for name in (_SCENARIO_ROWS, _OLD_SCENARIO_ROWS))
    path = next((path for path in paths if path.exists()), None)
    return result, samples, files.read_rows(path) if path else []


def merged(old: Stored | None, result: Row, samples: list[Row], instances: list[Row]) -> Stored:
    """A new result, with the suites of an earlier result of the same model that were not run again."""
    if old is None or (old[0].get("key"), old[0].get("schema")) != (result["key"], result["schema"]):
        return result, samples, instances
    kept = {name: suite for name, suite in old[0]["suites"].items() if name not in result["suites"]}
    rows = [row for row in old[1] if row["suite"] in kept]
    again = any("scenarios" in suite for suite in result["suites"].values())
    return {**result, "suites": {**kept, **result["suites"]}}, [*rows, *samples], instances if again else old[2]


def measurements(stored: Stored | None, key: str, suite: str) -> Measurements:
    """Scenarios and memorisation of a stored suite; empty if the result is of another model than ``key``."""
    if stored is None or stored[0]["key"] != key:
        return Measurements()
    entries = stored[0]["suites"].get(suite, {})
    return Measurements(entries.get("scenarios", {}), entries.get("memorisation", {}), stored[2])


def _helm_of_schema_1(folder: Path, old: Row) -> Stored:
    """A result of ``tunesmith helm`` from before it shared this format: one Parquet file per scenario."""
    scenarios, instances = {}, []
    for name, entry in old["scenarios"].items():
        path = folder / f"{name}.parquet"
        rows = files.read_rows(path) if path.exists() and entry["key"] else []
        instances += [{"scenario": name} | row for row in rows]
        missing, error = entry.get("missing"), entry.get("error")
        status = {"status": "done"} if entry["key"] else {"status": "failed" if error else "no data"}
        reason = {} if entry["key"] else {"error": f"{name}: {error}" if error else missing}
        scenarios[name] = {**entry, **status, **reason, "not_applicable": {}}
    memorisation = {
        mixture: entry | {"status": "no data" if "generated_spans" not in entry else "done"}
        for mixture, entry in old["memorisation"].items()
    }
    suite = {"settings": old["params"], "tasks": {}, "averages": {}}
    suites = {"helm": suite | {"scenarios": scenarios, "memorisation": memorisation}}
    model = {key: old[key] for key in ("experiment", "key", "method")}
    return {"schema": SCHEMA, **model, "suites": suites}, [], instances
