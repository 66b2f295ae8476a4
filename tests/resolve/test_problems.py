"""Wrong parameters: each is named by its file and key, and all are reported at once."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.paths import Paths
from tests.resolve.parameter_files import Change, edit, experiment, problems, resolved

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
            ".rank: unknown key; known here: adalora, adapter, base_model, beyond_context, chat_date, evaluation, ia3",
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
            "training.yaml: default: unknown key; known here: base_models, defaults, memory, methods",
        ),
        (
            "evaluation",
            lambda p: p["evaluate"].update(thread=1),
            "evaluation.yaml: evaluate.thread: unknown key; known here: generation, intervals, sampling, shots, "
            "threads",
        ),
        (
            "evaluation",
            lambda p: p.pop("verdicts"),
            "evaluation.yaml: verdicts: this key is required; add `verdicts: {}`, which means its defaults",
        ),
        (
            "evaluation",
            lambda p: p["verdicts"].update(margins={"bleu": "3"}),
            "evaluation.yaml: verdicts.margins.bleu:",
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
            lambda p: p.update(generated={}, hub={"demo": {"hub": "a/b", "revision": "main"}}),
            "sources.yaml: hub.demo.revision: string",
        ),
        (
            "sources",
            lambda p: p.update(hub={"demo": {"hub": "a/b", "revision": "0" * 40}}),
            "sources.yaml: demo: only one of generated, hub, fetched can make a source; generated and hub name it; "
            "keep one",
        ),
        (
            "sources",
            lambda p: p.update(hub={"x": {"hub": "a/b", "revision": "0" * 40}}),
            "sources.yaml: hub.x: must also be a key of `sources`, so that something uses it; `sources` has no 'x'; "
            "describe it there, or remove it here (leave `hub: {}` if nothing remains)",
        ),
        (
            "sources",
            lambda p: p["generated"]["demo"].pop("train_rows"),
            "sources.yaml: generated.demo.train_rows: this key",
        ),
        ("sources", lambda p: p.pop("hub"), "sources.yaml: hub: this key is required; add it (`hub: {}`"),
        ("sources", lambda p: p.update(hub=[]), "sources.yaml: hub: must be a mapping of names; it is a list"),
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
def test_a_name_that_cannot_be_a_folder_is_refused(paths: Paths, file: str, section: str, name: Any) -> None:
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


def test_all_unreadable_files_are_named_by_line_and_nothing_else_is(paths: Paths) -> None:
    (paths.params / "sources.yaml").write_text("sources:\n  demo: [\n")
    (paths.params / "mixtures.yaml").write_bytes(b"mixtures: {} # caf\xe9\n")
    (paths.params / "experiments.yaml").write_text("experiments: {}\nexperiments: {}\n")
    (paths.params / "registration.yaml").unlink()
    reported = problems(paths)
    starts = ("sources.yaml:3: ", "mixtures.yaml: not UTF-8", "experiments.yaml:2: ", "registration.yaml: no such file")
    assert len(reported) == len(starts)
    assert all(line.startswith(start) for line, start in zip(reported, starts, strict=True)), reported
