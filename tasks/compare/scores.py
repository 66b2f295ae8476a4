"""The few numbers of a comparison that DVC shows, as metrics (``dvc metrics``) and as bars (``dvc plots``)."""

from __future__ import annotations

from typing import Any

from tasks.compare.cells import Comparison


def scores(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """System → the primary metric and the validation loss per byte, under their names; missing values are left out."""
    names = (comparison["metric"], "validation_loss_per_byte")
    values = {
        entry["name"]: {name: (entry["metrics"].get(name) or {}).get("value") for name in names}
        for entry in comparison["systems"]
    }
    return {system: {name: value for name, value in of.items() if value is not None} for system, of in values.items()}


def bars(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows of a bar chart: ``system`` and its ``score`` in the primary metric; systems without it are left out."""
    metric = comparison["metric"]
    scored = ((entry["name"], (entry["metrics"].get(metric) or {}).get("value")) for entry in comparison["systems"])
    return [{"system": name, "score": value} for name, value in scored if value is not None]
