"""Labels, changes since another commit, and model cards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from tasks.compare.cells import columns
from tasks.compare.compare import compare
from tasks.compare.labels import labels
from tasks.compare.params import CompareParams
from tasks.compare.primary import primary_metric
from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tasks.report.card import CARD, RESULTS, card, eval_results
from tasks.report.changes import Earlier, since
from tasks.report.facts import Facts, Mixture, Source, Trained, read_facts
from tasks.report.page import about, html_report
from tasks.report.run import run
from tests.compare.compared import Workspace, prediction
from tests.report.reported import compare_all, fill

VERDICTS = VerdictParams(min_groups=2)


def labelled(workspace: Workspace) -> Facts:
    """Three labels; base says always "good", lora is right but for one row and one output that is no label."""
    truth = ["good", "good", "good", "bad", "bad", "so-so"]
    outputs = {"base": ["good"] * 6, "lora": ["Good.", "good", "bad", "bad", "bad", "none of them"]}
    for name, given in outputs.items():
        rows = [
            prediction(
                f"r{number}",
                0.0,
                references=[label],
                completion=output,
                accuracy=float(output.strip(".").lower() == label),
                metrics=["accuracy"],
            )
            for number, (label, output) in enumerate(zip(truth, given, strict=True))
        ]
        right = sum(row["accuracy"] for row in rows) / 6
        workspace.experiment(
            name, rows=rows, method="none" if name == "base" else "lora", accuracy=right, validation_loss_per_byte=0.5
        )
    compare_all(workspace.paths, VERDICTS)
    return read_facts(workspace.paths)


def test_labels_have_a_matrix_scores_and_the_majority(workspace: Workspace) -> None:
    facts = labelled(workspace)
    assert facts.comparison["metric"] == "accuracy"
    about = labels(facts.systems)["demo/summarise"]
    assert about["labels"] == ["good", "bad", "so-so"] and about["rows"] == [3, 2, 1]
    assert about["majority"] == {"label": "good", "accuracy": 0.5}
    assert about["systems"]["lora"]["counts"] == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]]
    assert about["systems"]["lora"]["recall"] == pytest.approx([2 / 3, 1.0, 0.0])
    assert about["systems"]["lora"]["precision"] == pytest.approx([1.0, 2 / 3, 0.0])
    titles = [column.title for column in columns(facts.comparison)]
    assert titles[2] == "accuracy" and "unfinished %" in titles
    assert not any(text in title for title in titles for text in ("ROUGE", "BLEU", "copied"))
    assert list(facts.comparison["systems"][1]["differences"]) == ["accuracy"]
    page = html_report(facts)
    assert "Accuracy of a system that always generates the most frequent label: good: 50.0 %." in page
    assert "Confusion matrix of lora on demo/summarise" in page and "100 / 67 / 80" in page


@pytest.mark.parametrize(
    ("metrics", "scores", "expected"),
    [
        ([["rouge"]], {"rouge1_f": 0.1}, "rouge1_f"),
        ([["accuracy", "macro_f1"]], {"accuracy": 1.0}, "accuracy"),
        ([["macro_f1"]], {"accuracy": None}, "rouge1_f"),
        ([["token_f1", "exact_match"]], {"token_f1": 0.5, "exact_match": 0.0}, "token_f1"),
        ([["accuracy"], ["rouge"]], {"accuracy": 1.0}, "accuracy"),
        ([["rouge"], ["accuracy"]], {"accuracy": 1.0}, "rouge1_f"),
        ([None], {}, "rouge1_f"),
    ],
)
def test_the_primary_metric_is_the_first_that_every_row_has(
    metrics: list[list[str] | None], scores: dict[str, float | None], expected: str
) -> None:
    assert primary_metric([{"metrics": named, **scores} for named in metrics]) == expected


def test_a_metric_that_is_named_stays_the_primary_one(workspace: Workspace) -> None:
    labelled(workspace)
    facts = read_facts(workspace.paths)
    comparison = compare(facts.systems, CompareParams(metric="rouge1_f", resamples=100), VERDICTS)
    assert comparison["metric"] == "rouge1_f"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    paths = Paths(tmp_path_factory.mktemp("changed"))
    fill(paths, 3, 12)
    compare_all(paths, VERDICTS)
    return read_facts(paths)


def test_since_another_commit_the_rows_are_paired_and_parameters_named(facts: Facts) -> None:
    worse = [row | {"rouge1_f": row["rouge1_f"] - 0.1} for row in facts.systems[1].rows]
    gone = {**facts.comparison["systems"][2], "name": "gone"}
    systems = [{**facts.comparison["systems"][1], "key": "other"}, gone]
    now = {**facts.comparison, "systems": [{**one, "key": one["name"]} for one in facts.comparison["systems"]]}
    before = {**facts.comparison, "systems": systems, "candidate": "gone"}
    earlier = Earlier(
        "3f2a1b9 (2026-11-24)", before, {"lora-r1": worse}, {"lora-r1": {"lora.rank": "8"}}, {"demo": "a" * 32}
    )
    present = replace(
        facts, comparison=now, params={"lora-r1": {"lora.rank": "16"}}, sources=[Source("demo", "b" * 32, {})]
    )
    shown = since(present, earlier)
    rows = {name: [str(cell) for cell in cells] for name, cells in shown["rows"]}
    assert rows["lora-r1"][2:4] == ["+10.0 [+10.0, +10.0]", "better"]
    assert rows["gone"][3] == "gone" and rows["base"][3] == "new"
    assert shown["params"] == ["lora-r1: lora.rank 8 → 16"]
    assert shown["data"] == ["demo: aaaaaaaaaaaa → bbbbbbbbbbbb"]
    page = html_report(present, earlier=earlier)
    assert "What changed since 3f2a1b9 (2026-11-24)" in page and "lora.rank 8 → 16" in page


def test_a_later_change_of_the_champion_is_on_the_page_and_the_card(facts: Facts) -> None:
    champion = {"experiment": "lora-r1", "version": 1, "key": "k1"}
    made = {"verdict": "accepted", "candidate": "lora-r1", "summary": "lora-r1 accepted", "reasons": [], "time": "1"}
    made |= {"decided": "2026-01-01", "champion": champion, "decisions_on_this_test_set": None, "key": "k1"}
    older = {"experiment": "old", "version": 0, "key": "k0"}
    later = {"summary": "old restored by rollback", "time": "2026-01-02", "champion": older, "key": "k0"}
    trained = {"lora-r1": Trained({"key": "k1", "params": {}}, {}, {}, [])}
    decided = replace(facts, decision=made, since=later | {"previous_champion": champion}, trained=trained)
    page = html_report(decided)
    assert "Since then (2026-01-02): old restored by rollback" in page
    assert dict(about(decided))["champion"] == "old (version 0)"
    shown = card("lora-r1", decided)
    assert "- Gate: lora-r1 accepted.\n- Since then (2026-01-02): old restored by rollback.\n" in shown
    assert "Since then" not in html_report(replace(decided, since=None))


def test_rows_without_the_score_are_left_out_and_equal_outputs_are_no_change(facts: Facts) -> None:
    base, lora = (system.rows for system in facts.systems[:2])
    rows = {
        "base": base,
        "lora-r1": [lora[0] | {"rouge1_f": None}, *lora[1:]],
        "lead": [row | {"rouge1_f": None} for row in base],
    }
    before = {
        name: [str(cell) for cell in cells]
        for name, cells in since(facts, Earlier("v1", facts.comparison, rows))["rows"]
    }
    assert before["base"][2:4] == ["–", "no change"]
    assert before["lora-r1"][3] == "no change", "its first row was not scored then"
    assert before["lead"][2:4] == ["–", "–"], "no row of it was scored then"
    assert before["lora-r2"][3] == "its outputs of then are gone"


def test_the_report_is_written_after_an_experiment_was_removed(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    fill(paths, 3, 12)
    compare_all(paths, VERDICTS)
    shutil.rmtree(paths.experiment("lora-r2"))
    assert "lora-r2" not in read_facts(paths).params and run(paths).exists()


def test_a_card_has_the_scores_of_each_task_and_the_sources_of_its_mixture(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    fill(paths, 2, 12)
    compare_all(paths, VERDICTS)
    facts = read_facts(paths)
    other = [row | {"source": "other"} for row in facts.systems[1].rows]
    scores = {
        f"{source}/summarise": {"rouge1_f": {"value": value}} for source, value in (("demo", 0.3), ("other", 0.5))
    }
    lora = replace(facts.systems[1], rows=[*facts.systems[1].rows, *other], groups={"task": scores})
    sources = [Source("demo", "a" * 32, {}), Source("unused", "b" * 32, {})]
    facts = replace(facts, systems=[lora], sources=sources, mixtures=[Mixture("demo", {"sources": {"demo": {}}}, {})])
    results = ModelCard(card("lora-r1", facts)).data.eval_results
    assert [(one.dataset_name, one.metric_type, one.metric_value) for one in results] == [
        ("demo", "rouge1", 30.0),
        ("other", "rouge1", 50.0),
    ]
    assert "| data | demo aaaaaaaaaaaa |" in card("lora-r1", facts) and "unused" not in card("lora-r1", facts)
    entries = YAML(typ="safe").load(eval_results("lora-r1", facts))
    assert [(entry["dataset"]["id"], entry["value"]) for entry in entries] == [("demo", 30.0), ("other", 50.0)]


def test_on_other_test_rows_nothing_is_paired(facts: Facts) -> None:
    earlier = Earlier("v1", {**facts.comparison, "test_sha256": "other"}, {s.name: s.rows for s in facts.systems})
    shown = since(facts, earlier)
    assert not shown["same_rows"]
    assert {str(cells[3]) for _, cells in shown["rows"]} == {"other test rows"}


def test_a_model_card_has_the_hubs_metadata_and_its_limits(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    fill(paths, 2, 12)
    compare_all(paths, VERDICTS)
    run(paths)
    assert [folder.name for folder in sorted(paths.cards.iterdir())] == ["lora-r1"]
    card = ModelCard.load(paths.card("lora-r1") / CARD)
    assert (card.data.model_name, card.data.datasets, card.data.pipeline_tag) == (
        "lora-r1",
        ["demo"],
        "text-generation",
    )
    rouge = card.data.eval_results[0]
    assert (rouge.metric_name, rouge.dataset_name, rouge.task_name) == ("ROUGE-1", "demo", "summarise")
    assert rouge.metric_value == pytest.approx(
        100 * read_facts(paths).systems[1].metrics["rouge1_f"]["value"], abs=0.01
    )
    assert (
        "## Limits" in card.text and "12 test rows of demo (summarise). Nothing is known about other data." in card.text
    )
    assert "it is unknown what it forgot" in card.text
    (result,) = YAML(typ="safe").load((paths.card("lora-r1") / RESULTS).read_text())
    assert result["dataset"] == {"id": "demo", "task_id": "summarise"} and result["value"] == rouge.metric_value
