"""What the flow makes of DVC's graph and status."""

from __future__ import annotations

import networkx as nx
import pytest

from flows.dag import Dag
from tasks.core.errors import TunesmithError

GRAPH = nx.DiGraph(
    [
        ("mix", "train@a"),
        ("mix", "train@b"),
        ("resolve", "train@a"),
        ("resolve", "train@b"),
        ("train@a", "predict@a"),
        ("predict@a", "score@a"),
        ("train@b", "predict@b"),
        ("predict@b", "score@b"),
        ("score@a", "compare"),
        ("score@b", "compare"),
        ("mix", "baselines"),
        ("baselines", "compare"),
    ]
)


def test_pending_are_the_stale_and_all_behind_them_in_order() -> None:
    assert Dag(GRAPH, {"train@a": ["modified x"]}).pending() == ["train@a", "predict@a", "score@a", "compare"]
    assert Dag(GRAPH, {}).pending() == []


def test_a_stage_runs_for_certain_only_where_what_it_reads_is_known_to_change() -> None:
    reads = {
        "train@a": frozenset({"build/experiments/a/train.yaml"}),
        "train@b": frozenset({"build/experiments/b/train.yaml"}),
    }
    dag = Dag(GRAPH, {"resolve": ["modified x"]}, reads=reads)
    assert dag.outlook([]) == ({"resolve": ["modified x"]}, {}), "a comment or the order of keys changed"
    certain, possible = dag.outlook(["build/experiments/a/train.yaml"])
    assert list(certain) == ["resolve", "train@a"]
    assert certain["train@a"] == ["resolve will change build/experiments/a/train.yaml"]
    assert possible == {
        "predict@a": ["only if train@a changes what it writes"],
        "score@a": ["only if predict@a changes what it writes"],
        "compare": ["only if score@a changes what it writes"],
    }
    certain, possible = Dag(GRAPH, {"mix": ["modified x"], "train@a": ["modified y"]}).outlook([])
    assert list(certain) == ["mix", "train@a"]
    assert possible["train@b"] == ["only if mix changes what it writes"]
    assert possible["compare"] == ["only if baselines or score@a or score@b changes what it writes"]


def test_needed_for_an_experiment_leaves_the_others_out() -> None:
    needed = Dag(GRAPH, {}).needed_for(["a"])
    assert needed == {"mix", "resolve", "train@a", "predict@a", "score@a", "baselines", "compare"}


def test_the_gate_needs_planned_benchmarks_of_the_experiments_named() -> None:
    planned = nx.DiGraph([*GRAPH.edges, ("train@a", "benchmark@a"), ("train@b", "benchmark@b")])
    needed = Dag(planned, {}).needed_for(["a"])
    assert needed == {"mix", "resolve", "train@a", "predict@a", "score@a", "benchmark@a", "baselines", "compare"}


def test_pending_within_does_not_pass_through_stages_that_were_not_requested() -> None:
    dag = Dag(GRAPH, {"mix": ["modified x"]})
    assert dag.pending(dag.needed_for(["a"])) == ["mix", "baselines", "train@a", "predict@a", "score@a", "compare"]


def test_why_names_what_a_user_edits_and_counts_code() -> None:
    code = ["modified tasks/core/files.py", "new tasks/ingest/demo"]
    edited = ["modified tasks/template/library/own/mine.yaml", "modified params/training.yaml: defaults"]
    dag = Dag(GRAPH, {"mix": [*code, *edited], "compare": code, "baselines": code[:1]}, frozenset({"compare"}))
    assert dag.why("mix") == [*edited, "code changed: 2 files"]
    assert dag.why("baselines") == ["code changed: tasks/core/files.py"]
    assert dag.why("compare") == ["never built"]
    assert dag.why("mix", verbose=True) == [*code, *edited] and dag.why("compare", verbose=True) == code


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(TunesmithError, match="no experiment 'c'; there are: a, b"):
        Dag(GRAPH, {}).needed_for(["c"])


def test_a_group_comes_after_all_that_its_stages_read() -> None:
    edges = [("mix", "train@a"), ("train@a", "predict@a"), ("tests", "predict@a"), ("predict@a", "compare")]
    dag = Dag(nx.DiGraph([*edges, ("mix", "train@b"), ("train@b", "compare")]), {})
    groups = {"train@a": "a", "predict@a": "a", "train@b": "b"}
    order = dag.in_groups(["mix", "train@a", "train@b", "tests", "predict@a", "compare"], groups)
    assert order == ["mix", "train@b", "tests", "train@a", "predict@a", "compare"]
    assert dag.read_by(["train@a", "predict@a"]) == ["mix", "tests"]
    assert dag.in_groups(["train@a", "predict@a"], {}) == ["train@a", "predict@a"]
