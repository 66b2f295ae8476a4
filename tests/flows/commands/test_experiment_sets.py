"""The ready sets of experiments: their files, and what ``tunesmith experiments use`` writes."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.commands.sets import library
from flows.commands.sets.outcome import Use
from flows.commands.sets.use import Choice, use
from flows.commands.write_blocks import write_texts
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.resolve.__main__ import run as resolve
from tasks.resolve.check import load_experiments
from tasks.resolve.sets import load_sets
from tasks.tuning import methods
from tests.flows.command_line import Cli, one_error
from tests.workspaces import ROOT, edit

SETS = library.names()
BASES = ("embedded:smollm2-135m-instruct", f"google/flan-t5-base@{'a' * 40}")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """The parameters of this project, with a second source."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    edit(tmp_path, "sources", lambda p: p["generated"].update(tickets={"seed": 1, "train_rows": 40, "test_rows": 9}))
    edit(tmp_path, "sources", lambda p: p["sources"].update(tickets=p["sources"]["demo"]))
    for name in ("experiments", "mixtures", "evaluation"):  # with their comments
        shutil.copy(ROOT / f"params/{name}.yaml", tmp_path / f"params/{name}.yaml")
    return Paths(tmp_path)


def choice(name: str, **others: Any) -> Choice:
    return Choice(name, bases=BASES if library.load_set(name).of_bases else (), **others)


def written(paths: Paths, chosen: Choice) -> Use:
    planned = use(paths, chosen)
    write_texts(planned.texts())
    return planned


def text(paths: Paths, file: str) -> str:
    return (paths.params / f"{file}.yaml").read_text()


def rows(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"row_id": list(range(count))}), path)


def test_the_nine_sets_are_listed_with_their_questions() -> None:
    assert [
        *("data-size", "few-shot", "forgetting", "methods", "model-size", "rank-sweep", "seeds", "target-sweep"),
        "virtual-tokens",
    ] == SETS
    lines = library.list_sets()
    assert [line.split()[0] for line in lines] == SETS and all(line.endswith("?") for line in lines)
    assert "rank-sweep      7 experiments   Which LoRA rank is enough?" in lines


@pytest.mark.parametrize("name", SETS)
def test_every_set_resolves_and_is_written_once(paths: Paths, name: str) -> None:
    before = {file: text(paths, file) for file in ("experiments", "mixtures", "evaluation")}
    planned = written(paths, choice(name, source="demo"))
    preflight(paths)
    present = load_sets(paths)[name]
    assert present.question == library.load_set(name).question
    assert list(present.experiments) == list(planned.experiments)
    resolve(paths, Stage("resolve", paths.root))
    for experiment in present.experiments:
        assert (paths.experiment(experiment) / "train.yaml").exists()
    for file in ("experiments", "mixtures"):
        kept = [line for line in text(paths, file).splitlines() if line in before[file].splitlines()]
        assert kept == before[file].splitlines(), "only lines are added"
    after = {file: text(paths, file) for file in before}
    again = written(paths, choice(name, source="demo"))
    assert {file: text(paths, file) for file in before} == after
    assert all(not one.entries for one in again.added.values()) and again.added["sets"].kept == [name]


def test_the_values_of_a_sweep_are_those_of_its_axis(paths: Paths) -> None:
    for name, count in (("rank-sweep", 7), ("target-sweep", 4), ("virtual-tokens", 4)):
        written(paths, choice(name))
        sweep = load_sets(paths)[name]
        block, key = str(sweep.axis).split(".")
        values = {one: load_experiments(paths)[one].train[block][key] for one in sweep.experiments}
        assert len(values) == count
        if name != "target-sweep":
            assert values == sweep.experiments
    for one, rank in load_sets(paths)["rank-sweep"].experiments.items():
        assert load_experiments(paths)[one].train["lora"]["alpha"] == 2 * rank
    assert list(load_sets(paths)["rank-sweep"].experiments.values()) == [1, 2, 4, 8, 16, 32, 64]
    assert list(load_sets(paths)["virtual-tokens"].experiments.values()) == [5, 20, 50, 100]


def test_methods_has_every_method_once(paths: Paths) -> None:
    written(paths, choice("methods"))
    entries = read_yaml(paths.params / "experiments.yaml")["experiments"]
    named = Counter(entries[one]["method"] for one in load_sets(paths)["methods"].experiments)
    assert named == Counter(methods.names())


def test_the_project_files_get_these_lines_and_no_other_change(paths: Paths) -> None:
    before = text(paths, "experiments")
    planned = written(paths, choice("rank-sweep", values=["2", "8"]))
    assert text(paths, "experiments") == before + (
        "  lora_r2: {method: lora, mixture: demo, lora: {rank: 2, alpha: 4}}\n"
        "  lora_r8: {method: lora, mixture: demo, lora: {rank: 8, alpha: 16}}\n"
        "\n"
        "sets:\n"
        "  rank-sweep:\n"
        "    axis: lora.rank\n"
        "    question: Which LoRA rank is enough?\n"
        "    experiments: {lora_r2: 2, lora_r8: 8}\n"
    )
    assert planned.lines() == [
        "Which LoRA rank is enough?",
        "params/mixtures.yaml: mixtures: kept demo (same content)",
        "params/experiments.yaml: experiments: added lora_r2, lora_r8",
        "params/experiments.yaml: sets: added rank-sweep",
        "cost: 2 trainings and 2 evaluations",
        "next: `tunesmith plan`, then `tunesmith run`",
    ]


def test_two_sets_share_the_section_and_an_experiment(paths: Paths) -> None:
    written(paths, choice("few-shot"))
    planned = written(paths, choice("seeds"))
    assert planned.added["experiments"].kept == ["lora"]
    assert list(load_sets(paths)) == ["few-shot", "seeds"]
    entries = read_yaml(paths.params / "experiments.yaml")["experiments"]
    assert entries["lora-s1"] == {"like": "lora", "method": "lora", "mixture": "demo", "seed": 1}
    assert {one: entries[one]["evaluation"]["shots"] for one in ("base_1", "base_3", "base_5")} == {
        "base_1": 1,
        "base_3": 3,
        "base_5": 5,
    }
    assert list(load_sets(paths)["few-shot"].experiments) == ["base", "base_1", "base_3", "base_5", "lora"]


def test_the_baseline_is_the_untuned_experiment_whatever_its_mixture(paths: Paths) -> None:
    edit(paths.root, "evaluation", lambda p: p["evaluation_set"].update(sources=["demo", "tickets"]))
    edit(paths.root, "mixtures", lambda p: p["mixtures"].update(of_tickets={"sources": {"tickets": {"limit": None}}}))
    edit(paths.root, "experiments", lambda p: p["experiments"].pop("full"))
    edit(paths.root, "experiments", lambda p: p["experiments"].pop("lora"))
    planned = written(paths, choice("few-shot", source="tickets"))
    assert planned.baseline == "base"
    assert "params/experiments.yaml: base is the untuned experiment of the set" in planned.lines()
    entries = read_yaml(paths.params / "experiments.yaml")["experiments"]
    assert entries["base"]["mixture"] == "demo"
    assert {entries[one]["mixture"] for one in ("base_1", "lora")} == {"of_tickets"}, "default settings are reused"


def test_another_entry_of_the_same_name_is_an_error_and_a_prefix_the_remedy(paths: Paths) -> None:
    edit(paths.root, "experiments", lambda p: p["experiments"].update(lora_r4={"method": "lora", "mixture": "demo"}))
    before = text(paths, "experiments")
    with pytest.raises(TunesmithError) as caught:
        use(paths, choice("rank-sweep"))
    assert str(caught.value).splitlines() == [
        f"{paths.params / 'experiments.yaml'}: experiments.lora_r4: this entry exists with other content, and "
        "`experiments use` never changes an entry: the file has `lora_r4: {method: lora, mixture: demo}`, the set "
        "has `lora_r4: {method: lora, mixture: demo, lora: {rank: 4, alpha: 8}}`; give the new entries other names "
        "with `--prefix NAME_`, or remove the one in the file"
    ]
    assert text(paths, "experiments") == before
    written(paths, choice("rank-sweep", prefix="mine_"))
    assert list(load_sets(paths)["mine_rank-sweep"].experiments)[:2] == ["mine_lora_r1", "mine_lora_r2"]
    with pytest.raises(TunesmithError, match=r"sets\.mine_rank-sweep: this entry exists with other content"):
        use(paths, choice("rank-sweep", prefix="mine_", values=["1", "2"]))


def test_an_entry_with_the_same_meaning_is_kept(paths: Paths) -> None:
    lora = {"mixture": "demo", "method": "lora", "lora": {"alpha": 8, "rank": 4}, "seed": 0}
    edit(paths.root, "experiments", lambda p: p["experiments"].update(lora_r4=lora))
    planned = written(paths, choice("rank-sweep"))
    assert planned.added["experiments"].kept == ["lora_r4"]
    assert read_yaml(paths.params / "experiments.yaml")["experiments"]["lora_r4"] == lora


def test_sizes_without_enough_rows_are_left_out(paths: Paths) -> None:
    assert any("is not built yet, so no size was checked" in line for line in use(paths, choice("data-size")).lines())
    rows(paths.split("demo") / "train.parquet", 600)
    assert list(use(paths, choice("data-size")).experiments) == ["lora_100", "lora_250", "lora_500"]
    rows(paths.mixture("demo") / "train.parquet", 400)  # contamination left rows out
    planned = written(paths, choice("data-size"))
    assert load_sets(paths)["data-size"].experiments == {"lora_100": 100, "lora_250": 250}
    assert "left out: lora_500, lora_1000: demo has only 400 training rows" in planned.lines()
    mixtures = read_yaml(paths.params / "mixtures.yaml")["mixtures"]
    assert list(mixtures) == ["demo", "demo_100", "demo_250"]
    assert mixtures["demo_250"] == {"sources": {"demo": {}}, "rows": 250}
    rows(paths.mixture("demo") / "train.parquet", 200)
    with pytest.raises(TunesmithError, match=r"data-size: a sweep needs at least two values; left out: lora_250, lor"):
        use(paths, choice("data-size"))


def test_the_comments_below_an_entry_stay_with_it(paths: Paths) -> None:
    before = text(paths, "mixtures")
    written(paths, choice("data-size", values=["100", "250"]))
    comment = "    # hold_out: {tasks: [], templates: []}\n"
    added = "".join(f"  demo_{size}: {{sources: {{demo: {{}}}}, rows: {size}}}\n" for size in (100, 250))
    assert text(paths, "mixtures") == before.replace(comment, comment + added)


def test_forgetting_trains_on_the_other_sources_and_evaluates_them(paths: Paths) -> None:
    edit(paths.root, "sources", lambda p: p["generated"].update(notes={"seed": 2, "train_rows": 40, "test_rows": 9}))
    edit(paths.root, "sources", lambda p: p["sources"].update(notes=p["sources"]["demo"]))
    edit(paths.root, "sources", lambda p: p["generated"].update(quiz={"seed": 3, "train_rows": 40, "test_rows": 9}))
    only_tested = {"by": "file", "files": {"test": ["train", "test"]}}
    edit(paths.root, "sources", lambda p: p["sources"].update(quiz=p["sources"]["demo"] | {"split": only_tested}))
    edit(paths.root, "evaluation", lambda p: p["evaluation_set"].update(sources=["demo", "notes"]))
    for name, count in (("demo", 900), ("tickets", 20), ("notes", 500)):
        rows(paths.split(name) / "train.parquet", count)
    planned = written(paths, choice("forgetting", source="demo"))
    preflight(paths)
    mixtures = read_yaml(paths.params / "mixtures.yaml")["mixtures"]
    assert mixtures["demo_and_others"] == {"sources": {"demo": {}, "tickets": {}, "notes": {}}}
    assert mixtures["demo_replay"] == {
        "weighting": "explicit",
        "sources": {"demo": {"weight": 18}, "tickets": {"weight": 1}, "notes": {"weight": 1}},
    }
    retention = read_yaml(paths.params / "evaluation.yaml")["evaluation_set"]["retention"]
    assert retention == {"sources": ["tickets"], "limit": 1000}
    assert list(load_sets(paths)["forgetting"].experiments) == [
        *("base", "full", "lora", "full_and_others", "lora_and_others", "full_replay")
    ]
    lines = planned.lines()
    assert "left out: quiz, whose split has no train part" in lines
    assert "notes is one of evaluation_set.sources, so its test rows are evaluated already" in lines
    assert (
        "mixture demo_replay takes only 360 of the 900 training rows of demo, since the others have too few rows for "
        "their weights (tickets 20, notes 500); add rows to them" in lines
    )


def test_model_size_has_an_experiment_per_base(paths: Paths) -> None:
    written(paths, choice("model-size"))
    assert load_sets(paths)["model-size"].model_dump() == {
        "axis": "base_model.name",
        "question": "How large must the base model be?",
        "experiments": {
            "lora_smollm2-135m-instruct": "embedded:smollm2-135m-instruct",
            "lora_flan-t5-base": "google/flan-t5-base",
        },
    }
    entries = read_yaml(paths.params / "experiments.yaml")["experiments"]
    assert entries["lora_flan-t5-base"]["base_model"] == {"name": "google/flan-t5-base", "revision": "a" * 40}


def test_only_what_has_no_result_yet_counts_as_cost(paths: Paths) -> None:
    for name in ("base", "lora"):
        paths.model(name).mkdir(parents=True)
        paths.report(name).mkdir(parents=True)
        write_json(paths.model(name) / "manifest.json", {})
    write_json(paths.report("lora") / "metrics.json", {})
    assert "cost: 0 trainings and 4 evaluations; built already: lora" in use(paths, choice("few-shot")).lines()
    # New test rows of other sources: all six experiments of the set, which include those of the workspace.
    assert "cost: 4 trainings and 6 evaluations" in use(paths, choice("forgetting")).lines()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Choice("rank-swep"), "there is no set 'rank-swep'; there are: data-size, .*; did you mean 'rank-sweep'"),
        (Choice("model-size", bases=["a"]), "model-size compares base models; name at least two, each with `--base"),
        (Choice("model-size", bases=["a/b", "./c"]), "--base a/b: a hub id needs a commit hash, .* write a/b@REVISION"),
        (Choice("methods", bases=["a"]), "--base: methods has no experiment per base model; leave it out"),
        (
            Choice("rank-sweep", values=["3"]),
            "rank-sweep has no value '3' of lora.rank; it has: 1, 2, 4, 8, 16, 32, 64",
        ),
        (Choice("rank-sweep", values=["4"]), "rank-sweep: a sweep needs at least two values"),
        (Choice("methods", values=["4"]), "--values needs a set with a fixed list of values; methods has none"),
        (Choice("methods", prefix="My "), "--prefix: must have only lower-case letters, digits, '-' and '_'"),
        (Choice("methods", source="demmo"), "there is no source 'demmo' in params/sources.yaml; there are: demo, t"),
        (Choice("methods", source="tickets"), "tickets is not one of demo; add it to the list"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(paths: Paths, chosen: Choice, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        use(paths, chosen)


def test_several_sources_are_listed_and_forgetting_needs_a_second_one(paths: Paths) -> None:
    edit(paths.root, "sources", lambda p: [p[key].pop("tickets") for key in ("sources", "generated")])
    with pytest.raises(TunesmithError, match="the set needs another source with training and test rows"):
        use(paths, choice("forgetting"))
    edit(paths.root, "sources", lambda p: p["generated"].update(notes={"seed": 2, "train_rows": 40, "test_rows": 9}))
    edit(paths.root, "sources", lambda p: p["sources"].update(notes=p["sources"]["demo"]))
    edit(paths.root, "evaluation", lambda p: p["evaluation_set"].update(sources=["demo", "notes"]))
    with pytest.raises(TunesmithError, match="names several sources: demo, notes; choose one with `--source`"):
        use(paths, choice("methods"))


def test_the_command_prints_or_writes_the_entries(paths: Paths, cli: Cli) -> None:
    shutil.copy(ROOT / "dvc.yaml", paths.root)
    before = text(paths, "experiments")
    code, printed = cli(paths.root, "experiments", "use", "rank-sweep", "--values", "2, 8", "--dry-run")
    assert code == 0 and text(paths, "experiments") == before
    assert "# params/experiments.yaml, under the key `sets`:\n  rank-sweep:\n    axis: lora.rank\n" in printed
    code, printed = cli(paths.root, "experiments", "use", "rank-sweep", "--values", "2, 8")
    assert code == 0 and "cost: 2 trainings and 2 evaluations\nnext: `tunesmith plan`" in printed
    assert list(load_sets(paths)["rank-sweep"].experiments) == ["lora_r2", "lora_r8"]
    assert cli(paths.root, "experiments", "sets") == (0, "".join(f"{line}\n" for line in library.list_sets()))
    assert "must have only lower-case letters" in one_error(
        cli(paths.root, "experiments", "use", "seeds", "--prefix", "A")
    )


def test_a_file_that_is_no_block_is_named(paths: Paths) -> None:
    (paths.params / "experiments.yaml").write_text("{experiments: {base: {method: none, mixture: demo}}}\n")
    with pytest.raises(TunesmithError, match=r"experiments\.yaml: experiments: must be written as a block of YAML"):
        use(paths, choice("rank-sweep")).texts()
