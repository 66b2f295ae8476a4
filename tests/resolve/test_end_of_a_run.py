"""What only the end of a run would notice: ``resolve`` and the preflight refuse it before."""

from __future__ import annotations

import pytest

from flows.preflight import preflight
from tasks.core.paths import Paths
from tests.resolve.parameter_files import Change, edit, problems


def labelled(paths: Paths) -> None:
    """Evaluate sentiments: labels, whose templates give accuracy."""
    split = {"by": "hash", "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    source = {"ingest": {}, "template": {"set": "sentiment", "columns": {}}, "split": split}
    edit(paths, "sources", lambda p: p["sources"].update(reviews=source))
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(sources=["reviews"]))


def test_a_misspelt_metric_of_the_gate_is_refused_with_the_nearest_name(paths: Paths) -> None:
    edit(paths, "registration", lambda p: p["registration"].update(metric="acuracy"))
    (line,) = problems(paths)
    assert line.startswith(
        "registration.yaml: registration.metric: must be a score that each row has and of which more is "
    )
    assert line.endswith("; did you mean 'accuracy'?")


def test_a_metric_that_the_templates_do_not_give_is_refused(paths: Paths) -> None:
    edit(paths, "registration", lambda p: p["registration"].update(metric="accuracy"))
    edit(paths, "evaluation", lambda p: p["compare"].update(metric="accuracy"))
    gate, compared = problems(paths)
    assert gate.startswith(
        "registration.yaml: registration.metric: every test row needs the score that decides; rows of template "
        "demo/summarise have no 'accuracy'"
    )
    assert "scores of all rows are: rouge1_precision, " in gate
    assert compared.startswith("evaluation.yaml: compare.metric: no row of evaluation_set.sources will have 'accuracy'")
    labelled(paths)
    preflight(paths)
    edit(paths, "registration", lambda p: p["registration"].update(metric="exact_match"))
    preflight(paths)  # of rows with answer choices
    edit(paths, "registration", lambda p: p["registration"].update(metric="token_f1"))
    assert "template reviews/" in problems(paths)[0]


def test_a_rule_about_a_score_that_the_templates_do_not_give_is_refused(paths: Paths) -> None:
    gains = [{"measure": "repetition", "over": "champion"}, {"measure": "accuracy", "over": "baseline"}]
    edit(paths, "registration", lambda p: p["registration"].update(rules=[*gains, {"measure": "chrf", "at_least": 0}]))
    (line,) = problems(paths)
    assert line.startswith("registration.yaml: registration.rules.1.measure: every test row needs the score that ")
    assert "rows of template demo/summarise have no 'accuracy'" in line
    labelled(paths)
    preflight(paths)


def test_a_metric_that_only_some_templates_give_compares_but_does_not_decide(paths: Paths) -> None:
    labelled(paths)
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(sources=["reviews", "demo"]))
    edit(paths, "evaluation", lambda p: p["compare"].update(metric="accuracy"))
    preflight(paths)
    edit(paths, "registration", lambda p: p["registration"].update(metric="accuracy"))
    (line,) = problems(paths)
    assert "rows of template demo/summarise have no 'accuracy'" in line


def test_a_metric_of_all_rows_together_is_refused_with_what_to_take(paths: Paths) -> None:
    edit(paths, "registration", lambda p: p["registration"].update(metric="macro_f1"))
    (line,) = problems(paths)
    assert "macro_f1 has one value for all rows, but rows are compared one by one: for labels take accuracy" in line


@pytest.mark.parametrize(
    ("file", "change", "line"),
    [
        (
            "registration",
            lambda p: p["registration"].update(baseline="bsae"),
            "registration.yaml: registration.baseline: there is no experiment 'bsae' in params/experiments.yaml; "
            "there are: base, full, lora; did you mean 'base'?",
        ),
        (
            "registration",
            lambda p: p["registration"].update(model_name="team/tickets"),
            "registration.yaml: registration.model_name: a model's name in MLflow may have letters, digits, '_',",
        ),
        (
            "registration",
            lambda p: p["registration"].update(alias="latest"),
            "registration.yaml: registration.alias: MLflow's alias must be letters, digits, '_' and '-', and neither",
        ),
        (
            "evaluation",
            lambda p: p["compare"].update(baseline="lroa"),
            "evaluation.yaml: compare.baseline: there is no experiment 'lroa' in params/experiments.yaml; "
            "there are: base, full, lora; did you mean 'lora'?",
        ),
        (
            "registration",
            lambda p: p["registration"].update(retention="kept"),
            "registration.yaml: registration.retention: 'kept' needs tasks to be kept; name sources under "
            "evaluation_set.retention, or suites of base and of the tuned experiments under benchmark.experiments of "
            "params/evaluation.yaml, or set it to 'shown'",
        ),
        (
            "registration",
            lambda p: p["registration"].update(retention="proven"),
            "registration.yaml: registration.retention: 'proven' needs tasks to be kept; name sources under ",
        ),
        (
            "evaluation",
            lambda p: p["evaluation_set"].update(retention={"sources": ["demo"]}),
            "evaluation.yaml: evaluation_set.retention.sources: 'demo' is one of evaluation_set.sources; its test rows "
            "are evaluated already; name sources of other tasks",
        ),
        (
            "sources",
            lambda p: p["sources"]["demo"].update(split={"by": "file", "files": {"test": ["test"]}}),
            "mixtures.yaml: mixtures.demo.sources.demo: a mixture trains on each of its sources; the split of this one "
            "has no training part; take it out",
        ),
        (
            "sources",
            lambda p: p["sources"]["demo"].update(split={"by": "file", "files": {"test": ["test"]}}),
            "evaluation.yaml: evaluation_set.sources: a source must have validation rows, which choose the "
            "candidate; no split in params/sources.yaml gives these sources a validation part",
        ),
        (
            "evaluation",
            lambda p: p["helm"].update(scenarios=["mlu"]),
            "helm: no scenario 'mlu'; there are: ",
        ),
        (
            "mixtures",
            lambda p: p["mixtures"]["demo"].update(hold_out={"tasks": ["summarisaton"]}),
            "mixtures.yaml: mixtures.demo.hold_out.tasks: no source of the mixture has the task 'summarisaton'; "
            "there are: ",
        ),
        (
            "evaluation",
            lambda p: p["benchmark"]["settings"].update(shots={"superglu": 0}),
            "params/evaluation.yaml: benchmark.settings.shots.superglu: there is no such task or suite; there are: ",
        ),
    ],
)
def test_what_only_the_end_of_a_run_would_notice(paths: Paths, file: str, change: Change, line: str) -> None:
    edit(paths, file, change)
    assert [problem for problem in problems(paths) if problem.startswith(line)]


def test_misspelt_names_of_all_kinds_come_with_the_nearest(paths: Paths) -> None:
    edit(paths, "experiments", lambda p: p["experiments"]["lora"].update(method="loar"))
    edit(paths, "experiments", lambda p: p["experiments"]["full"].update(mixture="dmo"))
    edit(paths, "sources", lambda p: p["sources"]["demo"]["template"].update(use=["sumarise"]))
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(sources=["deom"]))
    suggested = {line.rpartition("; did you mean ")[2] for line in problems(paths)}
    assert suggested == {"'lora'?", "'demo'?", "'summarise'?"}
    edit(paths, "sources", lambda p: p["sources"]["demo"]["template"].update(set="dialog_summary"))
    assert any(line.endswith("; did you mean 'dialogue_summary'?") for line in problems(paths))


def test_a_misspelt_source_hides_no_other_problem_of_the_evaluation_set(paths: Paths) -> None:
    labelled(paths)
    fractions = {"train": 0.9, "validation": 0.1, "test": 0}
    edit(paths, "sources", lambda p: p["sources"]["reviews"]["split"].update(fractions=fractions))
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(sources=["deom", "reviews"]))
    misspelt, without_test = problems(paths)
    assert "there is no source 'deom'" in misspelt and "'reviews' needs test rows" in without_test


def test_a_source_without_test_rows_is_no_evaluation_set(paths: Paths) -> None:
    labelled(paths)
    fractions = {"train": 0.9, "validation": 0.1, "test": 0}
    edit(paths, "sources", lambda p: p["sources"]["reviews"]["split"].update(fractions=fractions))
    assert problems(paths) == [
        "evaluation.yaml: evaluation_set.sources: 'reviews' needs test rows; sources.reviews.split in "
        "params/sources.yaml gives it no test part"
    ]
