"""The files of a result: ``results.json``, ``samples.parquet``, and ``risks.parquet`` where scenarios were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from tasks.benchmark.risk import RISKS
from tasks.core import files
from tasks.text.rows import Row

SAMPLES = pa.schema(
    [
        ("suite", pa.string()),
        ("task", pa.string()),
        ("doc_id", pa.int64()),
        ("doc_hash", pa.string()),
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
"""A row that was asked.

``doc_id``: its place in the file, from 0. ``doc_hash``, ``prompt_hash``: sha256 of the row, and of the prompt with its
examples. ``question``: what is asked, without the examples of rows (TruthfulQA's own six are part of its
wording). ``choices``, ``logprobs`` (nats, of the whole choice) and ``greedy`` (whether it is what the model would say):
of multiple choice; ``prediction`` is then the likeliest, else the text said. ``target``: the right answer; several are
divided by ``|``. ``values``: JSON, metric → what lm-eval aggregates. ``score``: of the row alone, if any.
"""

SCHEMA = 2

PARTS = ("tasks", "scenarios", "memorisation")
"""Of a suite in a result: what is done, has no data, or failed."""


def write(folder: Path, result: Row, samples: list[Row], risks: list[Row]) -> None:
    """Write the files into a new folder; the same result gives the same bytes."""
    folder.mkdir(parents=True)
    files.write_json(folder / "results.json", result)
    kept = [{**row, "values": files.canonical_json(row["values"])} for row in samples]
    files.write_rows(folder / "samples.parquet", kept, SAMPLES)
    if risks:
        files.write_rows(folder / "risks.parquet", risks, RISKS)


def read(folder: Path) -> tuple[Row, list[Row], list[Row]] | None:
    """The result, rows of ``SAMPLES`` and of ``RISKS``; None where there is no result."""
    if not (folder / "results.json").exists():
        return None
    rows, path = files.read_rows(folder / "samples.parquet"), folder / "risks.parquet"
    samples = [{**row, "values": json.loads(row["values"])} for row in rows]
    return files.read_json(folder / "results.json"), samples, files.read_rows(path) if path.exists() else []


def merged(
    old: tuple[Row, list[Row], list[Row]] | None, result: Row, samples: list[Row], risks: list[Row]
) -> tuple[Row, list[Row], list[Row]]:
    """A new result with the suites of an earlier one of the same model that were not run again."""
    if old is None or (old[0].get("key"), old[0].get("schema")) != (result["key"], result["schema"]):
        return result, samples, risks
    kept = {name: suite for name, suite in old[0]["suites"].items() if name not in result["suites"]}
    rows = [row for row in old[1] if row["suite"] in kept]
    again = any("scenarios" in suite for suite in result["suites"].values())
    return {**result, "suites": {**kept, **result["suites"]}}, [*rows, *samples], risks if again else old[2]
