"""Evaluate the champion on the present test rows, and tell whether inputs, scores or outputs drift.

``reports/drift/drift.json`` has the result: inputs are compared with the champion's training rows, scores and outputs
with the report with which it was registered.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.compare.cells import label, scale
from tasks.core import files
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.drift.inputs import Input, InputShifts, input_shifts, inputs_of, training_inputs
from tasks.drift.params import DriftParams, load_drift
from tasks.evaluate.params import resolved
from tasks.lineage.seen import rows_of_run
from tasks.metrics.params import VerdictParams, load_verdicts
from tasks.metrics.shifts import Harm, Shift, shift
from tasks.register.decisions import now
from tasks.register.opened import opened
from tasks.register.params import RegistrationParams
from tasks.register.result import GateInputs, named
from tasks.register.version_scores import Evaluation, first_report, rescored, version_report
from tasks.text.rows import Row, group_key, row_key
from tasks.tracking.tag_names import NAME

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Quantity:
    """A quantity that may drift.

    Attributes:
        name: key of the result.
        label: what it is, for a reader.
        shift: None if a sample is empty; ``missing`` says which.
        margin: the smallest change that counts.
        harm: in which direction a change does harm.
        ratio: whether the shift is of a logarithm, so that it is shown as a ratio.
        factor: from stored to shown values, if it is no ratio.
    """

    name: str
    label: str
    shift: Shift | None
    margin: float
    harm: Harm
    missing: str
    ratio: bool = False
    factor: float = 100.0

    def entry(self, min_groups: int) -> dict[str, Any]:
        """``before``, ``after``, ``low``, ``high``, ``groups``, ``margin``, ``verdict`` and ``line``."""
        if self.shift is None:
            line = f"{self.label}: not compared, since {self.missing}"
            return {"verdict": "not enough rows", "margin": self.margin, "line": line}
        margin = math.log1p(self.margin) if self.ratio else self.margin
        verdict = self.shift.verdict(margin, self.harm, min_groups)
        return asdict(self.shift) | {"margin": self.margin, "verdict": verdict, "line": self._line(verdict)}

    def _line(self, verdict: str) -> str:
        assert self.shift is not None
        if self.ratio:
            before, after = math.exp(self.shift.before), math.exp(self.shift.after)
            ends = [f"{math.expm1(end):+.0%}" if end < 700 else "∞" for end in (self.shift.low, self.shift.high)]
            change, numbers = f"{math.expm1(self.shift.value):+.0%}", f"{before:.0f} → {after:.0f}"
        else:
            ends = [f"{self.factor * end:+.1f}" for end in (self.shift.low, self.shift.high)]
            before, after = self.factor * self.shift.before, self.factor * self.shift.after
            change, numbers = f"{self.factor * self.shift.value:+.1f}", f"{before:.1f} → {after:.1f}"
        groups = counted(self.shift.groups, "independent row")
        return f"{self.label}: {verdict}: {numbers}, {change} [{', '.join(ends)}] on {groups}"


def run(registration: RegistrationParams, paths: Paths) -> dict[str, Any] | None:
    """Evaluate the champion, and write and return the result; None without a champion.

    Returns:
        ``version``, ``experiment``, ``time``, ``rows`` (of the test set), ``new_rows`` (those that it did not have when
        the champion was registered), ``training_rows``, ``training_rows_read``, ``metric``, ``score``, ``quantities``
        (name → entry), ``drift`` (whether one drifts), ``summary`` and ``lines``.

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
    with files.replacing(paths.drift) as temporary:
        files.write_json(temporary, result)
    for line in (result["summary"], *result["lines"]):
        logger.info("%s", line)
    return result


def _examine(champion: ModelVersion, inputs: GateInputs) -> dict[str, Any]:
    paths, metric = inputs.paths, inputs.params.metric
    file = paths.params / "evaluation.yaml"
    params, verdicts = load_drift(file), load_verdicts(file)
    test = files.read_rows(paths.evaluation_set / "test.parquet")
    report = version_report(champion, _evaluation(champion, test, inputs), paths, inputs.tracker)
    present = rescored(report, test, paths)
    before, new = _old_and_new(present, _registered(champion, inputs))
    trained = rows_of_run(inputs.tracker.client, str(champion.run_id))
    known = training_inputs(trained, paths, params.rows)
    shifts = input_shifts(known, _inputs(test, new), params.confidence)
    quantities = _quantities(shifts, before, new, metric, params, verdicts)
    entries = {one.name: one.entry(verdicts.min_groups) for one in quantities}
    drifting = [one.label for one in quantities if entries[one.name]["verdict"] == "drift"]
    return {
        "version": int(champion.version),
        "experiment": champion.tags.get(NAME),
        "time": now(),
        "rows": len({row_key(row)[:2] for row in present}),
        "new_rows": len({row_key(row)[:2] for row in new}),
        "training_rows": len(set(zip(*(trained.column(c).to_pylist() for c in ("source", "row_id")), strict=True))),
        "training_rows_read": len(known),
        "metric": metric,
        "score": _mean(present, metric),
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


def _registered(champion: ModelVersion, inputs: GateInputs) -> list[Row]:
    """The predictions with which the champion was registered, with their stored scores; [] if its run has none."""
    with tempfile.TemporaryDirectory() as folder:
        report = first_report(champion, inputs.tracker, Path(folder))
        return [] if report is None else files.read_rows(report / "predictions.parquet")


def _old_and_new(present: list[Row], registered: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that the champion was registered with, and those that came in since.

    A row that is still in the test set has its present score; one that is gone has its stored score.
    """
    earlier, now_here = ({row_key(row)[:2] for row in rows} for rows in (registered, present))
    gone = [row for row in registered if row_key(row)[:2] not in now_here]
    old = [row for row in present if row_key(row)[:2] in earlier]
    return [*old, *gone], [row for row in present if row_key(row)[:2] not in earlier]


def _inputs(test: list[Row], new: list[Row]) -> list[Input]:
    """The inputs of the new test rows; those of all test rows if none is new."""
    if not new:
        return inputs_of(test)
    keys = {row_key(row) for row in new}
    return inputs_of([row for row in test if row_key(row) in keys])


def _quantities(
    shifts: InputShifts,
    before: list[Row],
    new: list[Row],
    metric: str,
    params: DriftParams,
    verdicts: VerdictParams,
) -> list[Quantity]:
    def compared(name: str, convert: Callable[[Any], float] = float) -> Shift | None:
        (old, groups_old), (new_, groups_new) = (_column(rows, name, convert) for rows in (before, new))
        return shift(old, new_, params.confidence, groups_old, groups_new)

    unfinished = compared("finished", lambda finished: 1.0 - finished)
    margin = verdicts.margin_of(metric)
    no_rows = "none of the champion's training rows is in data/splits"
    no_new = "no clean test row came in after the champion was registered"
    return [
        Quantity("length", "words per input", shifts.length, params.length, "both", no_rows, ratio=True),
        Quantity("new_words", "new words of an input", shifts.new_words, params.new_words, "up", no_rows),
        Quantity("score", label(metric), compared(metric), margin, "down", no_new, factor=scale(metric)),
        Quantity("unfinished", "unfinished outputs", unfinished, params.unfinished, "up", no_new),
    ]


Column = tuple[list[float], list[tuple[str, str]]]
"""Values and groups of clean rows."""


def _column(rows: Sequence[Row], name: str, convert: Callable[[Any], float] = float) -> Column:
    clean = [row for row in rows if row.get(name) is not None and not row.get("dirty")]
    return [convert(row[name]) for row in clean], [group_key(row) for row in clean]


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values, _ = _column(rows, name)
    return sum(values) / len(values) if values else None
