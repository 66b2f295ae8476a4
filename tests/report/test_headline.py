"""The sentences that say what a comparison shows, for every verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.compare.headline import best_line, headline
from tests.compare.compared import Workspace, comparison_of

WHY = "lora is the candidate: it has the lowest validation loss of the tuned experiments."


def lines(tmp_path: Path, base: list[float], lora: list[float]) -> list[str]:
    workspace = Workspace(tmp_path)
    workspace.experiment("base", base, method="none")
    workspace.experiment("lora", lora, validation_loss_per_byte=0.5)
    return headline(comparison_of(workspace))


@pytest.mark.parametrize(
    ("base", "lora", "sentence"),
    [
        (
            [0.2, 0.3, 0.2, 0.3],
            [0.4, 0.6, 0.5, 0.5],
            "lora is better than base in ROUGE-1: 50.0 against 25.0 (+100 %), +25.0 [+15.8, +34.2].",
        ),
        (
            [0.4, 0.6, 0.5, 0.5],
            [0.2, 0.3, 0.2, 0.3],
            "lora is worse than base in ROUGE-1: 25.0 against 50.0 (-50 %), -25.0 [-34.2, -15.8].",
        ),
        (
            [0.4, 0.5, 0.4, 0.5],
            [0.4, 0.5, 0.4, 0.5],
            "lora and base are the same in ROUGE-1, within the margin of 3.0: 0.0 [0.0, 0.0].",
        ),
        ([0.4, 0.5, 0.4, 0.6], [0.5, 0.4, 0.6, 0.5], "4 test rows are not enough to tell lora from base in ROUGE-1: "),
    ],
)
def test_the_first_sentence_is_the_verdict(tmp_path: Path, base: list[float], lora: list[float], sentence: str) -> None:
    first, why = lines(tmp_path, base, lora)
    assert first.startswith(sentence) if sentence.endswith(" ") else first == sentence
    assert why == WHY


def test_without_a_tuned_experiment_it_names_no_candidate(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    assert headline(comparison_of(workspace)) == ["There is no candidate: no tuned experiment has a validation loss."]


def test_of_more_than_three_systems_those_that_may_be_the_best_are_named(workspace: Workspace) -> None:
    scores = [0.40 + 0.02 * (number % 5) for number in range(40)]
    near = [score + (0.01 if number % 2 else -0.01) for number, score in enumerate(scores)]
    workspace.experiment("base", [score - 0.2 for score in scores], method="none")
    workspace.experiment("full", [score + 0.001 for score in scores], validation_loss_per_byte=0.5)
    workspace.experiment("lora", near, validation_loss_per_byte=0.6)
    workspace.trivial("lead", [score - 0.3 for score in scores])
    comparison = comparison_of(workspace)
    assert comparison["best"]["not_told_apart"] == ["lora"]
    assert best_line(comparison) == "Of 4 systems, full has the highest ROUGE-1; it cannot be told apart from: lora."


def test_too_few_rows_tell_no_system_apart(workspace: Workspace) -> None:
    for number, name in enumerate(("base", "a", "b", "c")):
        workspace.experiment(name, [0.1 + number / 10], method="none" if name == "base" else "lora")
    line = best_line(comparison_of(workspace))
    assert (
        line
        == "Of 4 systems, c has the highest ROUGE-1; there are too few independent rows (1) to tell any of them apart."
    )
