"""``like``: an experiment takes the keys of another one."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tests.resolve.parameter_files import edit, experiment, problems, resolved

LORA = {
    "method": "lora",
    "mixture": "demo",
    "lora": {"rank": 4, "alpha": 8},
    "training": {"epochs": 3},
    "evaluation": {"generation": {"max_new_tokens": 7, "precision": "fp32"}},
}


def test_an_entry_takes_the_keys_that_it_does_not_set(paths: Paths) -> None:
    experiment(paths, "lora", LORA)
    patch = {"seed": 5, "lora": {"rank": 2}, "evaluation": {"generation": {"max_new_tokens": 9}}}
    experiment(paths, "other", {"like": "lora", "method": "lora", "mixture": "demo", **patch})
    resolved(paths)
    shared, own = (paths.experiment(name) for name in ("lora", "other"))
    expected = read_yaml(shared / "train.yaml")
    expected |= {"seed": 5, "lora": {**expected["lora"], "rank": 2}}
    assert expected["lora"]["alpha"] == 8 and expected["training"]["epochs"] == 3
    assert read_yaml(own / "train.yaml") == expected
    generation = read_yaml(own / "predict.yaml")["generation"]
    assert (generation["max_new_tokens"], generation["precision"]) == (9, "fp32")
    assert read_yaml(own / "like.yaml") == {"like": "lora"}


def test_null_takes_the_default_instead_of_the_key_of_the_other(paths: Paths) -> None:
    default = read_yaml(paths.params / "training.yaml")["defaults"]
    assert default["max_length"] != 33 and default["threads"] != 3
    experiment(paths, "lora", LORA | {"max_length": 33, "threads": 3})
    entry = {"like": "lora", "method": "lora", "mixture": "demo", "max_length": None}
    experiment(paths, "other", entry)
    resolved(paths)
    shared, own = (read_yaml(paths.experiment(name) / "train.yaml") for name in ("lora", "other"))
    assert (shared["max_length"], own["max_length"]) == (33, default["max_length"])
    assert own == shared | {"max_length": default["max_length"]}, "keys that are not named are those of the other"


def test_an_entry_like_another_changes_no_file_of_the_others(paths: Paths) -> None:
    before = resolved(paths)
    experiment(paths, "lora-s1", {"like": "lora", "method": "lora", "mixture": "demo", "seed": 1})
    after = resolved(paths)
    assert {name: text for name, text in after.items() if not name.startswith("lora-s1/")} == before
    new = {name.partition("/")[2] for name in after if name not in before}
    assert new == {"base.yaml", "like.yaml", "predict.yaml", "score.yaml", "train.yaml"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"like": "lroa", "method": "lora", "mixture": "demo"},
            ["like: there is no experiment 'lroa'; there are: base, full, lora; did you mean 'lora'?"],
        ),
        (
            {"like": "bad", "method": "lora", "mixture": "demo"},
            ["like: an experiment cannot be like itself; there are: base, full, lora"],
        ),
        (
            {"like": "lora", "method": "full", "mixture": "large"},
            [
                "mixture: there is no mixture 'large' in params/mixtures.yaml; there are: demo",
                "method: must be 'lora', as in 'lora', which `like` names; it is 'full'; write 'lora', or remove "
                "`like`",
                "mixture: must be 'demo', as in 'lora', which `like` names; it is 'large'; write 'demo', or remove "
                "`like`",
            ],
        ),
    ],
)
def test_a_wrong_like_is_named(paths: Paths, entry: dict[str, Any], expected: list[str]) -> None:
    experiment(paths, "bad", entry)
    assert problems(paths, resolved) == [f"experiments.yaml: experiments.bad.{line}" for line in expected]


def test_like_does_not_chain(paths: Paths) -> None:
    experiment(paths, "second", {"like": "lora", "method": "lora", "mixture": "demo"})
    experiment(paths, "third", {"like": "second", "method": "lora", "mixture": "demo"})
    assert problems(paths, resolved) == [
        "experiments.yaml: experiments.third.like: must name an experiment without `like`; 'second' is like 'lora'; "
        "name 'lora', and set here the keys that differ from it"
    ]


def test_an_error_in_a_shared_key_names_the_entry_that_holds_it(paths: Paths) -> None:
    experiment(paths, "lora-s1", {"like": "lora", "method": "lora", "mixture": "demo", "seed": 1})
    edit(paths, "experiments", lambda p: p["experiments"]["lora"].update(lora={"rank": 0}))
    lines = problems(paths, resolved)
    assert len(lines) == 1 and lines[0].startswith("experiments.yaml: experiments.lora.lora.rank: input should be")
