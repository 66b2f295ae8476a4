"""``resolve`` and ``preflight``: an experiment's file holds what it uses, and wrong names are found beforehand."""

from __future__ import annotations

import pytest

from flows.preflight import preflight
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.resolve.__main__ import run
from tasks.resolve.params import method_blocks
from tasks.tuning import methods
from tasks.tuning.params import parse_trained
from tests.resolve.parameter_files import Change, edit, experiment, problems, resolved


def test_the_parameters_of_this_project_pass(paths: Paths) -> None:
    preflight(paths)
    names = list(read_yaml(paths.params / "experiments.yaml")["experiments"])
    assert names
    assert list(resolved(paths)) == [
        *(f"{name}/{step}.yaml" for name in sorted(names) for step in ("base", "predict", "score", "train")),
        "sets.json",
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
