"""The smallest difference that the test rows show, from a measured or an assumed deviation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from flows.commands.power import deviation_of, power_lines
from tasks.core.files import write_json
from tasks.core.params import write_yaml
from tasks.core.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A workspace whose 80 test rows are 40 groups."""
    paths = Paths(tmp_path)
    paths.params.mkdir()
    paths.evaluation_set.mkdir(parents=True)
    paths.comparison.mkdir(parents=True)
    rows = [{"source": "s", "row_id": f"r{i}", "group": f"g{i // 2}"} for i in range(80)]
    pq.write_table(pa.Table.from_pylist(rows), paths.evaluation_set / "test.parquet")
    write_yaml(paths.params / "registration.yaml", {"registration": {}})
    write_yaml(paths.params / "evaluation.yaml", {"verdicts": {"margin": 0.05}})
    return paths


def compared(paths: Paths, **errors: float | None) -> None:
    """A comparison with base on 25 groups: experiment → standard error of its difference in ROUGE-1."""
    systems: list[dict[str, Any]] = [{"name": "base", "kind": "experiment", "differences": None}]
    for name, error in errors.items():
        kind = "baseline" if name == "lead" else "experiment"
        difference = None if error is None else {"value": 0.1, "groups": 25, "error": error}
        systems.append({"name": name, "kind": kind, "differences": {"rouge1_f": difference}})
    write_json(paths.comparison / "comparison.json", {"baseline": {"name": "base"}, "systems": systems})


def test_groups_count_and_the_difference_is_shown_in_four_of_five_experiments(paths: Paths) -> None:
    shown, margin = power_lines(paths)
    # By the definition: a true difference of d is shown with 80 % power, in the normal approximation of the t-test.
    error, t = 0.2 / 40**0.5, stats.t(39)
    expected = error * (t.ppf(0.975) + t.ppf(0.8))
    assert f"40 independent groups of test rows: a difference of {expected:.3g} in rouge1_f" in shown
    assert "deviation 0.2 per group, assumed, since no comparison has measured it" in shown
    assert margin == "a difference of 0.05 (verdicts.margin) needs about 128 groups"


def test_a_metric_with_a_margin_of_its_own_names_its_key(paths: Paths) -> None:
    write_yaml(paths.params / "registration.yaml", {"registration": {"metric": "chrf"}})
    assert power_lines(paths)[1].startswith("a difference of 3 (verdicts.margins.chrf) needs about ")


def test_the_largest_measured_deviation_between_experiments_is_taken(paths: Paths) -> None:
    compared(paths, lora=0.02, full=0.03, ia3=None, lead=0.9)
    deviation, origin = deviation_of("rouge1_f", paths)
    assert deviation == pytest.approx(0.15) and origin == "as between full and base in the last comparison"
    assert "(deviation 0.15 per group, as between full and base" in power_lines(paths)[0]
    assert deviation_of("accuracy", paths) == (0.5, "assumed, since no comparison has measured it")
    assert deviation_of("chrf", paths)[0] == 20


def test_a_comparison_of_an_earlier_version_has_no_deviation(paths: Paths) -> None:
    systems = [{"name": "lora", "kind": "experiment", "differences": {"rouge1_f": {"value": 0.1, "rows": 40}}}]
    write_json(paths.comparison / "comparison.json", {"baseline": {"name": "base"}, "systems": systems})
    assert deviation_of("rouge1_f", paths)[0] == 0.2


def test_one_group_shows_nothing(paths: Paths) -> None:
    pq.write_table(pa.Table.from_pylist([{"source": "s", "row_id": "r"}]), paths.evaluation_set / "test.parquet")
    assert power_lines(paths) == []
