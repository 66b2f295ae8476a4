"""Find the labels that a candidate never predicts: a useful classifier predicts each label at least once."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from tasks.gate.params import RegistrationParams
from tasks.metrics.text import answer

_COLUMNS = ("source", "task", "row_id", "references", "completion", "accuracy")
_MOST_NAMED = 10


def never_predicted(predictions: Path) -> dict[str, int]:
    """Count the test rows of each label that the model never predicts for the label's task: label → rows.

    Rows whose template names the metric ``accuracy`` have a label: their first reference. Labels are compared as
    accuracy compares them. Prompt variants of one row count once.
    """
    if not set(_COLUMNS) <= set(pq.read_schema(predictions).names):
        return {}
    every = pq.read_table(predictions, columns=list(_COLUMNS)).to_pylist()
    rows = [row for row in every if row["accuracy"] is not None]
    predicted = {(row["source"], row["task"], answer(row["completion"])) for row in rows}
    missing: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        if row["references"] and (row["source"], row["task"], answer(row["references"][0])) not in predicted:
            missing.setdefault(row["references"][0], set()).add((row["source"], row["row_id"]))
    return {label: len(of) for label, of in sorted(missing.items(), key=lambda item: (-len(item[1]), item[0]))}


def label_reasons(missing: dict[str, int], params: RegistrationParams) -> tuple[list[str], list[str]]:
    """Turn the labels ``missing`` into (reasons of a refusal, remarks), with at most one line in each list."""
    least = params.min_label_rows
    refusing = {label: rows for label, rows in missing.items() if least is not None and rows >= least}
    others = {label: rows for label, rows in missing.items() if label not in refusing}
    why = "fewer rows than registration.min_label_rows" if least is not None else "registration.min_label_rows is null"
    return (
        [f"labels never predicted: {_named(refusing)} (registration.min_label_rows: {least})"] if refusing else [],
        [f"labels never predicted, but no reason to refuse ({why}): {_named(others)}"] if others else [],
    )


def _named(missing: dict[str, int]) -> str:
    shown = [f"{label!r}, which {_counted(rows)}" for label, rows in list(missing.items())[:_MOST_NAMED]]
    more = len(missing) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def _counted(rows: int) -> str:
    return "1 test row has" if rows == 1 else f"{rows} test rows have"
