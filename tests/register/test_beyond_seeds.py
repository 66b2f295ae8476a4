"""``beyond_seeds``: a gain must exceed what another seed alone gives."""

from __future__ import annotations

import pytest

from tasks.core.files import read_json, write_json
from tasks.core.params import merge, write_yaml
from tasks.core.paths import Paths
from tasks.gate.gate import Opponent, decide
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import Scores
from tasks.metrics.seeds import Spread
from tasks.register.run import run
from tasks.tuning.params import load_params
from tests.tracking.ledger_workspace import add_comparison, add_experiment
from tests.train.training_workspace import LORA
from tests.train.training_workspace import PARAMS as TRAINED

PARAMS = RegistrationParams(min_groups=2, beyond_seeds=True, metric="rouge1_f")
PATCHED = merge(TRAINED, LORA)


def seeds_of(paths: Paths, experiments: dict[str, int], original: str = "lora") -> None:
    """Compare the experiments, and declare them as trainings of ``original`` with these seeds.

    The comparison has no ``seeds``, as if its own metric had no score.
    """
    add_comparison(paths, "lora", "base", "lead", *experiments)
    for name, seed in experiments.items():
        folder, manifest = paths.experiment(name), paths.model(name) / "manifest.json"
        write_yaml(folder / "train.yaml", PATCHED | {"seed": seed})
        if name != original:
            write_yaml(folder / "like.yaml", {"like": original})
        params = load_params(folder / "train.yaml").model_dump(exclude_none=True)
        write_json(manifest, read_json(manifest) | {"params": params})


def test_the_bound_is_students_t_times_the_deviation() -> None:
    assert Spread(0.5, 0.01, 3).gain_needed(0.95) == pytest.approx(0.0292, abs=1e-5)  # t(0.95, 2) is 2.92
    # Of many, the best is often lucky: 0.975 ** (1 / 10) is 0.99747, of which the normal quantile is 2.803.
    assert Spread(0.5, 0.01, 10).gain_needed(0.975) == pytest.approx(0.02803, abs=1e-5)
    assert Spread(0.5, 0.0, 3).gain_needed(0.95) == 0.0


@pytest.mark.parametrize(
    ("deviation", "verdict", "verb"), [(0.08, "accepted", "exceeds"), (0.09, "refused", "must exceed")]
)
def test_a_gain_is_held_against_the_bound(deviation: float, verdict: str, verb: str) -> None:
    ours, theirs = ({("s", f"row{i}", "short"): value for i in range(4)} for value in (0.5, 0.25))
    groups = {key: key[:2] for key in ours}
    opponents = {"baseline": Opponent("base (baseline)", Scores(theirs, groups))}
    decision = decide(Scores(ours, groups), opponents, PARAMS, seeds=Spread(0.5, deviation, 3))
    assert decision.verdict == verdict  # the gain is 0.25 on every row; the bounds are 0.2336 and 0.2628
    (reason,) = decision.reasons
    needed = 2.91999 * deviation
    alone = f"which another seed alone gives (3 seeds, deviation {100 * deviation:.1f})"
    assert reason.endswith(f"; the gain {verb} {100 * needed:.1f}, {alone}")
    assert decision.compared["baseline"].entry()["gain_needed"] == pytest.approx(needed, abs=1e-5)


def test_the_bound_does_not_grow_with_the_number_of_decisions() -> None:
    """``looks: spend`` raises the confidence of the interval over rows alone."""
    ours, theirs = ({("s", f"row{i}", "short"): value for i in range(4)} for value in (0.5, 0.25))
    opponents = {"baseline": Opponent("base (baseline)", Scores(theirs, {key: key[:2] for key in ours}))}
    candidate, seeds = Scores(ours, {key: key[:2] for key in ours}), Spread(0.5, 0.08, 3)
    once, often = (
        decide(candidate, opponents, PARAMS, (), seeds, level).compared["baseline"] for level in (0.95, 0.999)
    )
    assert (once.confidence, often.confidence) == (0.95, 0.999)
    assert once.gain_needed == often.gain_needed == pytest.approx(0.2336, abs=1e-4)


def test_without_three_seeds_nothing_is_decided_and_the_reason_names_the_remedy(paths: Paths) -> None:
    result = run(PARAMS, paths)
    assert (result["verdict"], result["decisions_on_this_test_set"]) == ("undecided", 0)
    assert result["reasons"] == [
        "failed: 1 seed of lora, at least 3 are needed (registration.beyond_seeds); run `tunesmith experiments seeds "
        "lora --count 2`, then `tunesmith run`"
    ]
    add_experiment(paths, "lora-s4", [0.4, 0.5, 0.6, 0.5])
    seeds_of(paths, {"lora": 0, "lora-s4": 4})
    assert run(PARAMS, paths)["reasons"] == [
        "failed: 2 seeds of lora, at least 3 are needed (registration.beyond_seeds); run `tunesmith experiments seeds "
        "lora --count 1 --first 5`, then `tunesmith run`"
    ]
    assert run(PARAMS.model_copy(update={"beyond_seeds": False}), paths)["accepted"]


def test_an_experiment_that_differs_otherwise_or_was_not_compared_is_no_other_seed(paths: Paths) -> None:
    for name in ("lora-r2", "lora-s2", "lora-s3", "lora-again"):
        add_experiment(paths, name, [0.4, 0.5, 0.6, 0.5])
    seeds_of(paths, {"lora": 0, "lora-again": 0, "lora-r2": 1, "lora-s2": 2, "lora-s3": 3})
    write_yaml(paths.experiment("lora-r2") / "train.yaml", PATCHED | {"seed": 1, "max_length": 64})
    add_comparison(paths, "lora", "base", "lora", "lora-again", "lora-r2", "lora-s2")
    (reason,) = run(PARAMS, paths)["reasons"]
    assert reason.startswith("failed: 2 seeds of lora,") and "--first 3" in reason


def test_three_seeds_decide_by_their_deviation(paths: Paths) -> None:
    """The trainings score 0.5, 0.4 and 0.3 on average: a deviation of 0.1, and a bound of 0.292."""
    add_experiment(paths, "lora-s1", [0.3, 0.4, 0.5, 0.4])
    add_experiment(paths, "lora-s2", [0.2, 0.3, 0.4, 0.3])
    seeds_of(paths, {"lora": 0, "lora-s1": 1, "lora-s2": 2})
    result = run(PARAMS, paths)
    over_base = result["differences"]["baseline"]
    assert (over_base["value"], over_base["gain_needed"]) == pytest.approx((0.3, 0.292), abs=1e-4)
    assert result["verdict"] == "accepted"
    assert sum("the gain exceeds 29.2" in reason for reason in result["reasons"]) == len(result["opponents"]) == 3


def test_another_seed_reopens_a_refusal(paths: Paths) -> None:
    for name, score in (("lora-s1", 0.9), ("lora-s2", 0.1)):
        add_experiment(paths, name, [score] * 4)
    seeds_of(paths, {"lora": 0, "lora-s1": 1, "lora-s2": 2})
    assert run(PARAMS, paths)["verdict"] == "refused"
    assert "stays refused" in run(PARAMS, paths)["summary"]
    for number in range(3, 9):
        add_experiment(paths, f"lora-s{number}", [0.5] * 4)
    seeds_of(paths, {"lora": 0, **{f"lora-s{number}": number for number in range(1, 9)}})
    assert "stays refused" not in run(PARAMS, paths)["summary"]
