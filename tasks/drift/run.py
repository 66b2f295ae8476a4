"""Evaluate the champion on the present test rows, and tell whether inputs, scores or outputs drift.

Inputs are compared with the champion's training rows, scores and outputs with the rows with which it was registered.
Each source is compared by itself: a new share of a source would otherwise look like a change of its rows.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from mlflow.entities.model_registry import ModelVersion

from tasks.compare.cells import label, scale
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.drift.inputs import input_shifts, inputs_of, training_inputs
from tasks.drift.params import DriftParams, load_drift
from tasks.drift.quantity import Quantity
from tasks.evaluate.params import resolved
from tasks.gate.params import RegistrationParams
from tasks.lineage.seen import rows_of_run
from tasks.metrics.params import VerdictParams, load_verdicts
from tasks.metrics.shifts import Shift, shift
from tasks.register.version_scores import Evaluation, rescored, version_report
from tasks.registry.decisions import now
from tasks.registry.opened import opened
from tasks.registry.result import GateInputs, named
from tasks.text.rows import Row, group_key, row_key
from tasks.tracking.state import EVALUATION, ROWS, read_state
from tasks.tracking.tag_names import NAME

logger = logging.getLogger("tunesmith")

_NO_ROWS = "none of the champion's training rows of this source is in data/splits"
_NO_NEW = "no clean test row came in after the champion was registered"
_UNKNOWN = "an earlier release registered the champion, and did not store its test rows"


@dataclass(frozen=True)
class TestRows:
    """The scored test rows.

    Attributes:
        present: those of the present test set.
        old: those with which the champion was registered; None if that is not known.
        new: those that came in since; all of ``present`` if that is not known.
    """

    present: list[Row]
    old: list[Row] | None
    new: list[Row]


def run(registration: RegistrationParams, paths: Paths) -> dict[str, Any] | None:
    """Evaluate the champion, and return the result; None without a champion.

    Returns:
        ``version``, ``experiment``, ``time``, ``rows`` (of the test set), ``new_rows`` (those that came in after the
        champion was registered; None if that is not known), ``training_rows``, ``training_rows_read``, ``metric``,
        ``score``, ``quantities`` (name, or SOURCE/name for several sources → ``Quantity.entry``), ``drift`` (whether
        one drifts), ``summary`` and ``lines``.

    Raises:
        TunesmithError: the test set or the champion's model is missing.
    """
    test_file = paths.evaluation_set / "test.parquet"
    if not test_file.exists():
        raise TunesmithError(f"{test_file}: the evaluation set must be built; it is not; run `tunesmith run`")
    with opened(registration, paths) as inputs:
        if inputs.champion is None:
            logger.info("there is no champion yet")
            return None
        result = _examine(inputs.champion, inputs)
    for line in (result["summary"], *result["lines"]):
        logger.info("%s", line)
    return result


def _examine(champion: ModelVersion, inputs: GateInputs) -> dict[str, Any]:
    paths, metric = inputs.paths, inputs.params.metric
    file = paths.params / "evaluation.yaml"
    params, verdicts = load_drift(file), load_verdicts(file)
    test = files.read_rows(paths.evaluation_set / "test.parquet")
    evaluation = _evaluation(champion, test, inputs)
    present = rescored(version_report(champion, evaluation, paths, inputs.tracker), test, paths)
    rows = _divided(present, _registered(champion, evaluation, inputs))
    trained = rows_of_run(inputs.tracker.client, str(champion.run_id))
    own = trained.filter(pc.equal(trained.column("generation"), 0))
    quantities, read = [], 0
    sources = sorted({row["source"] for row in test})
    for source in sources:
        training = training_inputs(own.filter(pc.equal(own.column("source"), source)), paths, params.rows)
        read += len(training)
        met = _of(rows.new, source) or _of(rows.present, source)
        keys = {row_key(row) for row in met}
        shifts = input_shifts(training, inputs_of([row for row in test if row_key(row) in keys]), params.confidence)
        only = source if len(sources) > 1 else None
        quantities += _of_inputs(shifts.length, shifts.new_words, only, params)
        quantities += _of_outputs(rows, source, only, metric, params, verdicts)
    entries = {one.name: one.entry(verdicts.min_groups) for one in quantities}
    drifting = [one.label for one in quantities if entries[one.name]["verdict"] == "drift"]
    return {
        "version": int(champion.version),
        "experiment": champion.tags.get(NAME),
        "time": now(),
        "rows": len(_keys(rows.present)),
        "new_rows": None if rows.old is None else len(_keys(rows.new)),
        "training_rows": len(set(zip(*(own.column(c).to_pylist() for c in ("source", "row_id")), strict=True))),
        "training_rows_read": read,
        "metric": metric,
        "score": _mean(rows.present, metric),
        "quantities": entries,
        "drift": bool(drifting),
        "summary": _summary(champion, drifting, entries),
        "lines": [entry["line"] for entry in entries.values()],
    }


def _summary(champion: ModelVersion, drifting: list[str], entries: dict[str, dict[str, Any]]) -> str:
    if drifting:
        return f"{named(champion)}: drift of {', '.join(drifting)}"
    few = [name.replace("_", " ") for name, entry in entries.items() if entry["verdict"] == "not enough rows"]
    return f"{named(champion)}: no drift" + (f"; not enough rows to judge: {', '.join(few)}" if few else "")


def _evaluation(champion: ModelVersion, test: list[Row], inputs: GateInputs) -> Evaluation:
    """The champion's evaluation on the present rows, with the settings of its experiment or else of the baseline."""
    from tasks.evaluate.report import rows_digest

    name = str(champion.tags.get(NAME))
    if not inputs.paths.experiment(name).exists():
        name = inputs.params.baseline
    predict, _ = resolved(inputs.paths.experiment(name))
    return Evaluation(name, rows_digest(test), predict.generation.model_dump(), predict.shots)


def _registered(champion: ModelVersion, evaluation: Evaluation, inputs: GateInputs) -> tuple[list[Row], bool] | None:
    """The rows with which the champion was registered, and whether it generated as now; None if nothing is stored."""
    with tempfile.TemporaryDirectory() as folder:
        state = read_state(inputs.tracker.client, str(champion.run_id), Path(folder))
        if state is None or not (state / ROWS).exists():
            return None
        settings = files.read_json(state / EVALUATION)
        same = settings == {"generation": evaluation.generation, "shots": evaluation.shots}
        return files.read_rows(state / ROWS), same


def _divided(present: list[Row], registered: tuple[list[Row], bool] | None) -> TestRows:
    """Divide the test rows.

    An old row that is still in the test set has its present score. One that is gone has its stored score, if the
    champion generated with the present settings; else it is left out.
    """
    if registered is None:
        return TestRows(present, None, present)
    rows, same = registered
    earlier, still = _keys(rows), _keys(present)
    gone = [row for row in rows if row_key(row)[:2] not in still] if same else []
    old = [row for row in present if row_key(row)[:2] in earlier]
    return TestRows(present, [*old, *gone], [row for row in present if row_key(row)[:2] not in earlier])


def _of_inputs(
    length: Shift | None, new_words: Shift | None, source: str | None, params: DriftParams
) -> list[Quantity]:
    return [
        Quantity("length", "words per input", source, length, params.length, "both", _NO_ROWS, ratio=True),
        Quantity("new_words", "new words of an input", source, new_words, params.new_words, "up", _NO_ROWS),
    ]


def _of_outputs(
    rows: TestRows, source: str, only: str | None, metric: str, params: DriftParams, verdicts: VerdictParams
) -> list[Quantity]:
    """The metric and the unfinished outputs of a source; ``only`` names it if there are several."""

    def compared(name: str, convert: Callable[[Any], float] = float) -> Shift | None:
        if rows.old is None:
            return None
        before, groups_before = _column(_of(rows.old, source), name, convert)
        after, groups_after = _column(_of(rows.new, source), name, convert)
        return shift(before, after, params.confidence, groups_before, groups_after)

    missing = _UNKNOWN if rows.old is None else _NO_NEW
    unfinished = compared("finished", lambda finished: 1.0 - finished)
    margin, factor = verdicts.margin_of(metric), scale(metric)
    return [
        Quantity("score", label(metric), only, compared(metric), margin, "down", missing, factor=factor),
        Quantity("unfinished", "unfinished outputs", only, unfinished, params.unfinished, "up", missing),
    ]


def _column(
    rows: Sequence[Row], name: str, convert: Callable[[Any], float] = float
) -> tuple[list[float], list[tuple[str, str]]]:
    """The values of the clean rows that have one, and their groups."""
    clean = [row for row in rows if row.get(name) is not None and not row.get("dirty")]
    return [convert(row[name]) for row in clean], [group_key(row) for row in clean]


def _of(rows: Sequence[Row], source: str) -> list[Row]:
    return [row for row in rows if row["source"] == source]


def _keys(rows: Sequence[Row]) -> set[tuple[str, str]]:
    return {row_key(row)[:2] for row in rows}


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values, _ = _column(rows, name)
    return sum(values) / len(values) if values else None
