"""``resolve`` and ``preflight``: an experiment's file holds what it uses, and wrong names are found beforehand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.resolve.__main__ import run
from tasks.resolve.params import method_blocks
from tasks.tuning import methods
from tasks.tuning.params import parse_trained

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return Paths(tmp_path)


def edit(paths: Paths, file: str, change: Change) -> None:
    data = read_yaml(paths.params / f"{file}.yaml")
    change(data)
    write_yaml(paths.params / f"{file}.yaml", data)


def experiment(paths: Paths, name: str, data: Any) -> None:
    edit(paths, "experiments", lambda p: p["experiments"].update({name: data}))


def resolved(paths: Paths) -> dict[str, str]:
    """Path below the output → text, of all files that the stage writes."""
    run(paths, Stage("resolve", paths.root))
    files = sorted(p for p in paths.resolved.rglob("*") if p.is_file())
    return {p.relative_to(paths.resolved).as_posix(): p.read_text() for p in files}


def problems(paths: Paths, check: Callable[[Paths], Any] = preflight) -> list[str]:
    with pytest.raises(TunesmithError) as caught:
        check(paths)
    return [line.removeprefix(f"{paths.params}/") for line in str(caught.value).splitlines()]


# resolve


def test_the_parameters_of_this_project_pass(paths: Paths) -> None:
    preflight(paths)
    names = list(read_yaml(paths.params / "experiments.yaml")["experiments"])
    assert names
    assert list(resolved(paths)) == [
        f"{name}/{step}.yaml" for name in sorted(names) for step in ("predict", "score", "train")
    ]


def test_limits_of_the_memory_check_change_no_experiment(paths: Paths) -> None:
    before = resolved(paths)
    edit(paths, "training", lambda p: p["memory"].update(refuse_above=None, warn_above=0.5))
    assert resolved(paths) == before
    edit(paths, "training", lambda p: p["memory"].update(refuse_above=-1.0))
    assert [line.partition(": input")[0] for line in problems(paths)] == ["training.yaml: memory.refuse_above"]


def test_an_experiment_is_its_defaults_its_methods_and_its_own_patch(paths: Paths) -> None:
    write_yaml(
        paths.params / "training.yaml",
        {
            "defaults": {"base_model": {"name": "b"}, "seed": 3, "max_dropped": 0.1, "training": {"epochs": 2}},
            "methods": {"full": {"training": {"learning_rate": 5e-5}}, "lora": {"training": {"learning_rate": 2e-3}}},
        },
    )
    write_yaml(
        paths.params / "experiments.yaml",
        {
            "experiments": {
                "base": {"method": "none", "mixture": "demo"},
                "full": {"method": "full", "mixture": "demo", "seed": 4},
                "lora": {"method": "lora", "mixture": "demo", "training": {"epochs": 1}, "lora": {"rank": 4}},
            }
        },
    )
    resolved(paths)
    shared = {"mixture": "demo", "base_model": {"name": "b"}}
    assert read_yaml(paths.experiment("base") / "train.yaml") == {**shared, "method": "none", "seed": 3}
    assert read_yaml(paths.experiment("full") / "train.yaml") == {
        **shared,
        "method": "full",
        "seed": 4,
        "max_dropped": 0.1,
        "training": {"epochs": 2, "learning_rate": 5e-5},
    }
    assert read_yaml(paths.experiment("lora") / "train.yaml") == {
        **shared,
        "method": "lora",
        "seed": 3,
        "max_dropped": 0.1,
        "training": {"epochs": 1, "learning_rate": 2e-3},
        "lora": {"rank": 4},
    }


def test_a_patch_may_set_a_default_to_null(paths: Paths) -> None:
    edit(paths, "training", lambda p: p["defaults"]["training"].update(early_stopping_patience=3))
    experiment(paths, "patient", {"method": "full", "mixture": "demo", "training": {"early_stopping_patience": None}})
    resolved(paths)
    assert read_yaml(paths.experiment("patient") / "train.yaml")["training"]["early_stopping_patience"] is None
    assert read_yaml(paths.experiment("full") / "train.yaml")["training"]["early_stopping_patience"] == 3


def test_an_evaluation_patch_reaches_that_experiments_file_alone(paths: Paths) -> None:
    before = resolved(paths)
    edit(
        paths,
        "experiments",
        lambda p: p["experiments"]["lora"].update(evaluation={"generation": {"max_new_tokens": 7}}),
    )
    after = resolved(paths)
    assert {name for name in after if after[name] != before[name]} == {"lora/predict.yaml"}
    assert read_yaml(paths.experiment("lora") / "predict.yaml")["generation"]["max_new_tokens"] == 7


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda p: p["methods"]["lora"]["lora"].update(targets="all-linear"), {"lora/train.yaml"}),
        (lambda p: p["methods"]["full"]["training"].update(weight_decay=0.1), {"full/train.yaml"}),
        (lambda p: p["defaults"]["training"].update(epochs=9), {"full/train.yaml", "lora/train.yaml"}),
    ],
)
def test_a_default_reaches_only_the_experiments_that_use_it(paths: Paths, change: Change, changed: set[str]) -> None:
    before = resolved(paths)
    edit(paths, "training", change)
    after = resolved(paths)
    assert {name for name in after if after[name] != before[name]} == changed


def test_the_order_of_keys_changes_nothing(paths: Paths) -> None:
    before = resolved(paths)
    data = read_yaml(paths.params / "training.yaml")
    data["defaults"] = dict(reversed(data["defaults"].items()))
    data["defaults"]["training"] = dict(reversed(data["defaults"]["training"].items()))
    write_yaml(paths.params / "training.yaml", data)
    assert resolved(paths) == before


def test_a_deleted_experiment_is_gone_and_the_others_stay(paths: Paths) -> None:
    before = resolved(paths)
    edit(paths, "experiments", lambda p: p["experiments"].pop("full"))
    assert resolved(paths) == {name: text for name, text in before.items() if not name.startswith("full/")}
    assert [p.name for p in paths.resolved.parent.iterdir()] == ["experiments"], "nothing temporary is left"


@pytest.mark.parametrize("method", [method for method in methods.names() if method != "none"])
def test_a_method_needs_only_its_name(paths: Paths, method: str) -> None:
    """params/training.yaml has working defaults for each, and only those of the method reach its file."""
    experiment(paths, "bare", {"method": method, "mixture": "demo"})
    run(paths, Stage("resolve", paths.root))
    resolved_params = read_yaml(paths.experiment("bare") / "train.yaml")
    assert method_blocks().keys() & resolved_params.keys() == methods.named(method).params.blocks().keys()
    assert resolved_params["training"]["learning_rate"] > 0
    parse_trained(resolved_params, "train.yaml")


def test_wrong_experiments_leave_the_old_files_alone(paths: Paths) -> None:
    before = resolved(paths)
    experiment(paths, "bad", {"method": "nosuch", "mixture": "demo"})
    problems(paths, resolved)
    assert all((paths.resolved / name).read_text() == text for name, text in before.items())


# problems

WHERE = "experiments.yaml: experiments.bad"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"method": "nosuch", "mixture": "demo"},
            ".method: must be one of adalora, adapter, full, ia3, lora, none, p_tuning, prefix_tuning, prompt_tuning, "
            "qlora, selective, vera; it is 'nosuch'",
        ),
        ({"method": "lora"}, ".mixture: this key is required; add it"),
        ({"mixture": "demo"}, ".method: this key is required; add it"),
        (None, ": must be a mapping of keys to values; it is empty; write `{method: METHOD, mixture: MIXTURE}`"),
        (["lora"], ": must be a mapping of keys to values; it is ['lora']; known here: "),
        (
            {"method": "full", "mixture": "demo", "lora": {"rank": 4}},
            ".lora: method 'full' does not use this block; remove",
        ),
        (
            {"method": "none", "mixture": "demo", "training": {"epochs": 4}},
            ".training: method 'none' does not use this blo",
        ),
        (
            {"method": "lora", "mixture": "demo", "lora": {"rnk": 4}},
            ".lora.rnk: unknown key; known here: alpha, dora, dropout, ",
        ),
        (
            {"method": "lora", "mixture": "demo", "lora": {"rank": 0}},
            ".lora.rank: input should be greater than or equal",
        ),
        (
            {"method": "lora", "mixture": "demo", "rank": 4},
            ".rank: unknown key; known here: adalora, adapter, base_model, evaluation, ia3, launcher, ",
        ),
        (
            {"method": "lora", "mixture": "demo", "evaluation": {"threads": 0}},
            ".evaluation.threads: input should be great",
        ),
        (
            {"method": "lora", "mixture": "demo", "training": {"learning_rate": "x"}},
            ".training.learning_rate: input should",
        ),
    ],
)
def test_a_wrong_experiment_is_named(paths: Paths, data: Any, expected: str) -> None:
    experiment(paths, "bad", data)
    reported = problems(paths, resolved)
    assert any(line.startswith(WHERE + expected) for line in reported), reported
    assert set(reported) <= set(problems(paths))


def test_an_experiment_that_names_an_unknown_mixture_is_named(paths: Paths) -> None:
    experiment(paths, "bad", {"method": "lora", "mixture": "dmo"})
    assert problems(paths) == [
        f"{WHERE}.mixture: there is no mixture 'dmo' in params/mixtures.yaml; there are: demo; did you mean 'demo'?"
    ]


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        (
            "training",
            lambda p: p["defaults"]["training"].update(epoch=1),
            "training.yaml: defaults.training.epoch: unknown key; known here: accumulation",
        ),
        (
            "training",
            lambda p: p["methods"]["lora"]["lora"].update(alpha="16"),
            "training.yaml: methods.lora.lora.alpha: input should be a valid integer; it is '16'",
        ),
        (
            "training",
            lambda p: p["methods"]["full"]["training"].pop("learning_rate"),
            "training.yaml: methods.full.training.learning_rate: this key is required; add it",
        ),
        (
            "training",
            lambda p: p["methods"].update(loar={}),
            "training.yaml: methods.loar: no such method; there are: adalora,",
        ),
        (
            "training",
            lambda p: p.update(default={}),
            "training.yaml: default: unknown key; known here: defaults, memory, methods",
        ),
        (
            "evaluation",
            lambda p: p["evaluate"].update(thread=1),
            "evaluation.yaml: evaluate.thread: unknown key; known here: generation, intervals, sampling, shots, "
            "threads",
        ),
        (
            "evaluation",
            lambda p: p.update(evaluate=3),
            "evaluation.yaml: evaluate: must be a mapping of keys to values; it is 3; write `{shots: 3}`",
        ),
        (
            "evaluation",
            lambda p: p["evaluation_set"].update(sources=["dmo"]),
            "evaluation.yaml: evaluation_set.sources: there is no source 'dmo' in params/sources.yaml; there are: demo",
        ),
        (
            "mixtures",
            lambda p: p["mixtures"]["demo"]["sources"].update(x={}),
            "mixtures.yaml: mixtures.demo.sources: there is no source 'x' in params/sources.yaml; there are: demo",
        ),
        (
            "mixtures",
            lambda p: p.pop("contamination"),
            "mixtures.yaml: contamination: this key is required; add `contamination: {}`, which means its defaults",
        ),
        (
            "mixtures",
            lambda p: p["contamination"].update(max_left=1.0),
            "mixtures.yaml: contamination.max_left: unknown key; known here: common,",
        ),
        (
            "mixtures",
            lambda p: p["mixtures"]["demo"].update(hold_out={"templates": ["demo/sumarise"]}),
            "mixtures.yaml: mixtures.demo.hold_out.templates: 'demo/sumarise' must be SOURCE/ID of a template that a "
            "source of the mixture uses; there are: demo/summarise",
        ),
        (
            "mixtures",
            lambda p: p["mixtures"]["demo"].update(hold_out={"templates": ["other/summarise"]}),
            "mixtures.yaml: mixtures.demo.hold_out.templates: 'other/summarise' must be SOURCE/ID",
        ),
        (
            "sources",
            lambda p: p["sources"]["demo"].update(splt={}),
            "sources.yaml: sources.demo.splt: unknown key; known here: ingest, template, split",
        ),
        (
            "sources",
            lambda p: p["sources"]["demo"].pop("split"),
            "sources.yaml: sources.demo.split: no such key; there is: ingest, template",
        ),
        ("sources", lambda p: p["sources"].update(x=3), "sources.yaml: sources.x: must be a mapping with ingest,"),
        (
            "sources",
            lambda p: p["sources"]["demo"].update(template=[1]),
            "sources.yaml: sources.demo.template: must be a mapping of keys to values; it is [1]; known here: assign",
        ),
        ("sources", lambda p: p["sources"]["demo"]["template"].update(set="poem"), "no template set 'poem'"),
        (
            "sources",
            lambda p: p["sources"]["demo"]["template"].update(use=["sumarise"]),
            "params/sources.yaml: sources.demo.template.use: no template 'sumarise' in set 'dialogue_summary'",
        ),
        (
            "sources",
            lambda p: p.update(hub={"demo": {"hub": "a/b", "revision": "main"}}),
            "sources.yaml: hub.demo.revision: string",
        ),
        (
            "sources",
            lambda p: p.update(hub={"x": {"hub": "a/b", "revision": "0" * 40}}),
            "sources.yaml: hub.x: what is made must be a source; `sources` has no 'x', so nothing would use it; remove "
            "it here (`hub: {}` when nothing is left), or describe it under `sources`",
        ),
        (
            "sources",
            lambda p: p["generated"]["demo"].pop("train_rows"),
            "sources.yaml: generated.demo.train_rows: this key",
        ),
        ("sources", lambda p: p.pop("hub"), "sources.yaml: hub: this key is required; add it (`hub: {}`"),
        ("sources", lambda p: p.update(hub=[]), "sources.yaml: hub: must map names to what they are; it is a list"),
        (
            "registration",
            lambda p: p["registration"].update(metrc="x"),
            "registration.yaml: registration.metrc: unknown key;",
        ),
    ],
)
def test_preflight_names_what_is_wrong_by_its_own_file(paths: Paths, file: str, change: Change, expected: str) -> None:
    edit(paths, file, change)
    reported = problems(paths)
    assert len(reported) == 1, reported
    assert reported[0].startswith(expected), reported


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
def test_a_merge_conflict_is_named_by_its_line_with_the_remedy(paths: Paths, name: str) -> None:
    conflict = "stages:\n  resolve:\n<<<<<<< HEAD\n    md5: 1\n=======\n    md5: 2\n>>>>>>> other\n"
    (paths.root / name).write_text(conflict)
    (line,) = problems(paths)
    assert line.startswith(f"{paths.root / name}:3: the marks of a merge conflict begin here; ")
    assert ("`git checkout --ours dvc.lock`" in line) == (name == "dvc.lock")


def test_a_base_model_that_is_only_a_name_is_shown_as_it_must_be_written(paths: Paths) -> None:
    edit(paths, "training", lambda p: p["defaults"].update(base_model="./base"))
    edit(paths, "experiments", lambda p: p["experiments"]["lora"].update(base_model="other/model"))
    remedy = "base_model: must be a mapping of keys to values; it is {!r}; write `{{name: {}}}`"
    assert problems(paths) == [
        f"training.yaml: defaults.{remedy.format('./base', './base')}",
        f"experiments.yaml: experiments.lora.{remedy.format('other/model', 'other/model')}",
    ]


def test_a_removed_demo_that_is_still_generated_is_named_with_all_else(paths: Paths) -> None:
    edit(paths, "sources", lambda p: p["sources"].update(mine=p["sources"].pop("demo")))
    assert [line.split(": ")[1] for line in problems(paths)] == [
        "generated.demo",
        "mixtures.demo.sources",
        "evaluation_set.sources",
    ]
    edit(paths, "sources", lambda p: p.update(generated={}))
    assert len(problems(paths)) == 2


@pytest.mark.parametrize("name", ["Big", "a b", "../up", "a.b", "-a", "a@b", 7, True])
@pytest.mark.parametrize(("file", "section"), [("sources", "sources"), ("mixtures", "mixtures"), ("experiments",) * 2])
def test_a_name_that_is_no_good_as_a_folder_is_refused(paths: Paths, file: str, section: str, name: Any) -> None:
    edit(
        paths, file, lambda p: p[section].update({name: p[section].get("demo", {"method": "none", "mixture": "demo"})})
    )
    reported = problems(paths)
    assert len(reported) == 1, reported
    assert reported[0].startswith(f"{file}.yaml: {section}.{name}: a name must be text of lower-case letters")


def test_all_problems_of_all_files_are_reported_at_once(paths: Paths) -> None:
    edit(paths, "sources", lambda p: p["sources"]["demo"]["split"].update(seeds=1))
    edit(paths, "mixtures", lambda p: p["mixtures"].update(empty={"sources": {}}))
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(limit=0))
    experiment(paths, "one", {"method": "lora", "mixture": "nosuch", "lora": {"rank": "8"}})
    experiment(paths, "two", {"method": "nosuch", "mixture": "demo"})
    edit(paths, "registration", lambda p: p["registration"].update(confidence=2.0))
    assert [line.split(": ")[1] for line in problems(paths)] == [
        "sources.demo.split.seeds",
        "mixtures.empty.sources",
        "evaluation_set.limit",
        "experiments.one.mixture",
        "experiments.one.lora.rank",
        "experiments.two.method",
        "registration.confidence",
    ]


def test_files_that_cannot_be_read_are_all_named_by_line_and_nothing_else_is(paths: Paths) -> None:
    (paths.params / "sources.yaml").write_text("sources:\n  demo: [\n")
    (paths.params / "mixtures.yaml").write_bytes(b"mixtures: {} # caf\xe9\n")
    (paths.params / "experiments.yaml").write_text("experiments: {}\nexperiments: {}\n")
    (paths.params / "registration.yaml").unlink()
    reported = problems(paths)
    starts = ("sources.yaml:3: ", "mixtures.yaml: not UTF-8", "experiments.yaml:2: ", "registration.yaml: no such file")
    assert len(reported) == len(starts)
    assert all(line.startswith(start) for line, start in zip(reported, starts, strict=True)), reported


# what would be noticed at the end of a run


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
        "registration.yaml: registration.metric: every test row needs the score that decides; template demo/summarise "
        "gives no 'accuracy'"
    )
    assert "scores of all rows are: rouge1_precision, " in gate
    assert compared.startswith(
        "evaluation.yaml: compare.metric: no template of evaluation_set.sources gives 'accuracy'"
    )
    labelled(paths)
    preflight(paths)
    edit(paths, "registration", lambda p: p["registration"].update(metric="exact_match"))
    preflight(paths)  # of rows with answer choices
    edit(paths, "registration", lambda p: p["registration"].update(metric="token_f1"))
    assert "template reviews/" in problems(paths)[0]


def test_a_metric_that_only_some_templates_give_compares_but_does_not_decide(paths: Paths) -> None:
    labelled(paths)
    edit(paths, "evaluation", lambda p: p["evaluation_set"].update(sources=["reviews", "demo"]))
    edit(paths, "evaluation", lambda p: p["compare"].update(metric="accuracy"))
    preflight(paths)
    edit(paths, "registration", lambda p: p["registration"].update(metric="accuracy"))
    (line,) = problems(paths)
    assert "template demo/summarise gives no 'accuracy'" in line


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
            "registration.yaml: registration.model_name: MLflow's name of a model must be letters, digits, '_',",
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
            "evaluation.yaml: evaluation_set.sources: a source must have validation rows, by which the candidate is "
            "chosen; no split in params/sources.yaml gives these sources a validation part",
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
