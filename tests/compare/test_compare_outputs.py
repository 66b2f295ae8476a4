"""The four files of ``reports/comparison/`` and the table of the terminal."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tasks.compare.cells import Cell, change, columns, label, number, sign_columns, sign_floors
from tasks.compare.params import CompareParams
from tasks.compare.plot import draw
from tasks.compare.run import run
from tasks.compare.table import markdown_table, rich_table
from tasks.core.stage import Stage
from tasks.report.details import drawn, group_rows, prompts, soft_prompts
from tests.compare.compared import VERDICTS, Workspace, comparison_of, page_of

FILES = ["bars.json", "comparison.json", "scores.json", "scores.png", "table.md"]

ROOT = Path(__file__).parents[2]


def terminal(comparison: dict[str, Any], width: int = 120) -> list[str]:
    console = Console(width=240, file=io.StringIO(), color_system=None)
    console.print(rich_table(comparison, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_same_inputs_give_the_same_bytes(full: Workspace) -> None:
    written = []
    for _ in range(2):
        run(CompareParams(), VERDICTS, full.paths, Stage.start("compare", full.paths.root))
        assert sorted(p.name for p in full.paths.comparison.iterdir()) == FILES
        written.append([(full.paths.comparison / name).read_bytes() for name in FILES])
    assert written[0] == written[1]


def test_stage_as_dvc_runs_it_gives_the_same_bytes_in_another_process(full: Workspace) -> None:
    run(CompareParams(resamples=200), VERDICTS, full.paths, Stage.start("compare", full.paths.root))
    here = [(full.paths.comparison / name).read_bytes() for name in FILES]
    full.paths.params.mkdir()
    (full.paths.params / "evaluation.yaml").write_text("compare: {resamples: 200}\nverdicts: {min_groups: 2}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "tasks.compare"]
    done = subprocess.run(command, cwd=full.paths.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [(full.paths.comparison / name).read_bytes() for name in FILES] == here
    assert "compared base, lora, lead; candidate: lora" in done.stderr
    assert "Not compared: later: not evaluated yet." in done.stderr


def test_json_is_strict_and_holds_everything(full: Workspace) -> None:
    run(CompareParams(), VERDICTS, full.paths, Stage.start("compare", full.paths.root))
    text = (full.paths.comparison / "comparison.json").read_text()
    written = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert written == comparison_of(full)
    assert list(written) == sorted(written)


def test_markdown_rows_are_exact(full: Workspace) -> None:
    lines = markdown_table(comparison_of(full)).splitlines()
    assert lines[0].startswith("lora is better than base in ROUGE-1: 50.0 against 25.0 (+100 %), +25.0 [+15.8, +34.2].")
    assert lines[1] == "lora is the candidate: it has the lowest validation loss of the tuned experiments."
    lines = lines[3:]
    assert lines[0] == (
        "| experiment | method | validation loss (nats/byte) | ROUGE-1 | ROUGE-2 | ROUGE-L | ROUGE-Lsum | BLEU | "
        "copied 4-grams % | unfinished % | Δ ROUGE-1 vs base | change of base's | verdict |"
    )
    rouge = "25.0 [24.0, 26.0]"
    assert (
        lines[2] == f"| base | none | 0.7000 | {' | '.join([rouge] * 4)} | 25.0 [25.0, 25.0] | 10.0 | 0.0 | – | – | – |"
    )
    assert lines[3].startswith("| **lora** (candidate) | lora | 0.5123 | 50.0 [49.0, 51.0] |")
    assert lines[3].endswith("| 10.0 | 50.0 | **+25.0** [+15.8, +34.2] | +100 % | better |")
    assert lines[4].startswith("| lead | trivial | – |")
    assert "- Not compared: later: not evaluated yet." in lines
    assert any(line.startswith("- Warning: lora does not stop: 50.0%") for line in lines)
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert (
        "A difference in **bold** excludes zero at 95% confidence, adjusted for the 9 differences of this report."
        in lines[6]
    )
    assert "The primary metric is ROUGE-1; the others are secondary." in lines[6]


@pytest.mark.parametrize("systems", [2, 10])
@pytest.mark.parametrize("width", [120, 80])
def test_terminal_table_fits_and_nothing_wraps(workspace: Workspace, systems: int, width: int) -> None:
    workspace.experiment("base", [0.2, 0.3], method="none", validation_loss_per_byte=0.7)
    for index in range(systems - 1):
        workspace.experiment(f"lora-rank-{index}", [0.4, 0.6], validation_loss_per_byte=0.5 + index)
    lines = terminal(comparison_of(workspace), width)
    body = [line for line in lines if line.startswith("│")]
    assert len(body) == systems
    assert max(map(len, lines)) <= width
    head = " ".join(line for line in lines if line.startswith("┃"))
    assert "ROUGE-1" in head and "Δ ROUGE-1" in head
    assert "+25.0 [" in body[1] and "★ lora-rank-0" in body[1]
    assert any(line.startswith("Not shown for lack of width: ") for line in lines)


def test_a_wide_terminal_shows_every_column_with_its_interval(full: Workspace) -> None:
    lines = terminal(comparison_of(full), 240)
    assert not any("lack of width" in line for line in lines)
    row = next(line for line in lines if line.startswith("│ base"))
    assert row.count("[") == 5


def test_report_shows_scores_and_remarks(full: Workspace) -> None:
    text = page_of(comparison_of(full))
    for part in ("lora is better than base in ROUGE-1", "later: not evaluated yet", "lora does not stop",
                 '<section id="differences">', "Δ ROUGE‑1 (primary)"):  # fmt: skip
        assert part in text, part


def test_report_separates_seen_from_unseen_and_clean_from_dirty(full: Workspace) -> None:
    def scores(value: float, n: int) -> dict[str, Any]:
        return {"rouge1_f": {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}}

    assert "Seen and unseen" not in page_of(comparison_of(full))
    path = full.paths.report("lora") / "metrics.json"
    spread = {"spread": 0.25, "deviation": 0.1, "wordings": 3, "lowest": "a", "highest": "b"}
    groups = {
        "task": {"summarise": scores(0.5, 4)},
        "wording": {"seen": scores(0.6, 3), "unseen": scores(0.3, 1)},
        "task_seen": {"seen": scores(0.5, 4)},
        "contamination": {"clean": scores(0.45, 2), "dirty": scores(0.55, 2)},
        "wording_spread": {"demo/summarise": {"rouge1_f": spread}},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"groups": groups}))
    comparison = comparison_of(full)
    lora = next(entry for entry in comparison["systems"] if entry["name"] == "lora")
    assert "task" not in lora["groups"] and lora["groups"]["wording"] == groups["wording"]
    assert [(name, group, str(rouge), str(exact), n) for name, group, rouge, exact, n in group_rows(comparison)] == [
        ("lora", "prompt variants seen", "60.0 [50.0, 70.0]", "–", "3"),
        ("lora", "prompt variants unseen", "30.0 [20.0, 40.0]", "–", "1"),
        ("lora", "clean rows", "45.0 [35.0, 55.0]", "–", "2"),
        ("lora", "dirty rows", "55.0 [45.0, 65.0]", "–", "2"),
        ("lora", "spread of prompt variants of demo/summarise", "25.0 3 prompt variants", "–", "–"),
    ]
    text = page_of(comparison)
    assert "Seen and unseen" in text and '<td class="left">prompt variants unseen</td>' in text


def test_report_explains_a_soft_prompt_by_cluster_and_the_table_shows_sizes(full: Workspace) -> None:
    assert 'id="soft_prompt"' not in page_of(comparison_of(full))
    assert "trained %" not in markdown_table(comparison_of(full))

    def near(position: int, cluster: int, **words: float) -> dict[str, Any]:
        neighbours = [{"word": word, "similarity": value} for word, value in words.items()]
        return {"position": position, "cluster": cluster, "nearest": neighbours}

    path = full.paths.report("lora") / "metrics.json"
    tokens = [near(0, 1, sum=0.4, lamp=0.1), near(1, 2, b=0.9), near(2, 1, sum=0.6)]
    model = {"trainable_parameters": 20, "total_parameters": 16_000, "weights_bytes": 81_000, "base_bytes": 640_000}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model | {"soft_prompt": tokens}}))
    comparison = comparison_of(full)
    assert soft_prompts(comparison) == [
        (
            "lora",
            [{"positions": "1, 3", "words": "'sum' 0.60, 'lamp' 0.10"}, {"positions": "2", "words": "'b' 0.90"}],
        )
    ]
    text = page_of(comparison)
    assert 'id="soft_prompt"' in text and "<h3>lora</h3>" in text and "&#39;sum&#39; 0.60" in text
    sizes = {
        c.title: [str(cell) for cell in c.cells]
        for c in columns(comparison)
        if c.title in ("trained %", "size MB", "size % of base")
    }
    index = [entry["name"] for entry in comparison["systems"]].index("lora")
    assert [sizes[title][index] for title in ("trained %", "size MB", "size % of base")] == ["0.12", "0.08", "12.66"]
    assert sizes["trained %"][0] == "–"


def test_report_without_baseline_or_candidate_still_renders(workspace: Workspace) -> None:
    workspace.experiment("zero", method="none")
    text = page_of(comparison_of(workspace))
    assert "no experiment is named &#39;base&#39;" in text and "There is no candidate" in text
    assert 'id="differences"' not in text and 'id="rows"' not in text


def test_picture_survives_missing_metrics_and_names_with_dollars(workspace: Workspace, tmp_path: Path) -> None:
    workspace.experiment("a$b$c^", method="none")
    comparison = comparison_of(workspace)
    comparison["systems"][0]["metrics"] = {"rouge1_f": {"value": 0.3, "low": 0.31, "high": None}}
    draw(comparison, tmp_path / "a.png")
    comparison["systems"][0]["metrics"] = {"rouge1_f": {"value": 0.3, "low": 0.31, "high": 0.4}}
    draw(comparison, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_exact_match_has_a_column_only_where_completions_are_labels(
    full: Workspace, predict: Callable[..., Any]
) -> None:
    assert "exact match" not in markdown_table(comparison_of(full))
    rows = [predict(f"r{i}", 0.5, exact_match=float(i % 2)) for i in range(4)]
    full.experiment("labels", rows=rows, exact_match=0.5)
    assert "| exact match |" in markdown_table(comparison_of(full))


def test_numbers_are_written_plainly() -> None:
    assert [number(v, 100, signed=True) for v in (0.123, -0.0001, 0.0, -0.2)] == ["+12.3", "0.0", "0.0", "-20.0"]
    assert [label(m) for m in ("rouge1_f", "rougeL_recall", "bleu")] == ["ROUGE-1", "ROUGE-L recall", "BLEU"]
    bleu = {"value": -3.0, "low": -4.0, "high": -2.0, "adjusted": True}
    assert change({"differences": {"bleu": bleu}}, "bleu") == Cell("-3.0", "[-4.0, -2.0]", -1)


def test_signs_have_a_table_of_their_own(full: Workspace) -> None:
    assert "Signs of bad texts" not in page_of(comparison_of(full))
    signs = {"repetition": 0.125, "distinct_1": 0.5, "length_ratio": 1.25, "negation_differs": 0.25}
    full.experiment("odd", **signs)
    comparison = comparison_of(full)
    columns = {column.title: [str(cell) for cell in column.cells] for column in sign_columns(comparison)}
    index = [entry["name"] for entry in comparison["systems"]].index("odd")
    assert (columns["repeated 3-grams %"][index], columns["length / reference"][index]) == ("12.5", "1.25")
    assert columns["numbers differ %"][index] == "–"
    page = page_of(comparison)
    assert "Signs of bad texts" in page and "negation differs %" in page
    assert sign_floors(comparison) == [] and "two references of one row" not in page


def test_the_disagreement_of_references_is_below_the_signs(full: Workspace) -> None:
    full.experiment("odd", negation_differs=0.25, repetition=0.125, references_negation_differs=0.27)
    comparison = comparison_of(full)
    titles = [column.title for column in sign_columns(comparison)]
    floors = dict(zip(titles, map(str, sign_floors(comparison)), strict=True))
    assert floors.pop("negation differs %").startswith("27.0")
    assert floors.pop("numbers differ %") == "–", "of an earlier version"
    assert set(floors.values()) == {""}
    assert "two references of one row" in page_of(comparison)


def test_metrics_that_a_task_names_have_columns(full: Workspace) -> None:
    assert "macro-F1" not in markdown_table(comparison_of(full))
    full.experiment("labels", macro_f1=0.5, chrf=31.0)
    table = markdown_table(comparison_of(full))
    assert "| macro-F1 |" in table and "| 50.0 |" in table and "| 31.0 |" in table


def test_examples_and_samples_are_reported(full: Workspace) -> None:
    comparison = comparison_of(full)
    assert prompts(comparison) == drawn(comparison) == []
    shots = {
        "count": 3,
        "rows_with_fewer": 2,
        "prompt_tokens": {"mean": 700.4, "most": 1024},
        "context": 8192,
        "context_share": {"mean": 0.0855, "most": 0.125},
        "examples": {"demo/plain": [{"row_id": "a", "prompt": "<b>Why?", "completion": "So."}]},
    }
    spread = {"rouge1_f": {"mean": 0.3, "lowest": 0.25, "highest": 0.35, "within_row": 0.04}}
    entry = next(entry for entry in comparison["systems"] if entry["name"] == "lora")
    entry["model"] = {"shots": shots, "samples": {"count": 5, "temperature": 0.7, "scores": spread}}
    (row,) = prompts(comparison)
    assert (row["name"], row["count"], row["cells"][:4]) == ("lora", 3, ["700", "1024", "12.5", "2"])
    assert drawn(comparison) == [("lora", ["5", "0.7", "50.0", "30.0", "25.0", "35.0", "4.0"])]
    page = page_of(comparison)
    assert "&lt;b&gt;Why?" in page and "<b>Why?" not in page and "Sampled outputs" in page
    entry["model"]["shots"] = shots | {"count": 0, "examples": {}, "context_share": None}
    assert prompts(comparison) == []
