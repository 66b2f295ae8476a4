"""The report as a page: complete without scripts, closed to the network, and the same for the same facts."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tasks.report.facts import read_facts
from tasks.report.run import run
from tests.compare.compared import SCRIPT, Workspace, prediction
from tests.report.reported import compare_all, fill

VERDICTS = VerdictParams(min_groups=2)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, str]:
    """Six experiments with 40 rows, and their page."""
    paths = Paths(tmp_path_factory.mktemp("reported"))
    fill(paths, 6, 40)
    compare_all(paths, VERDICTS)
    return paths, run(paths).read_text()


class Parsed(html.parser.HTMLParser):
    """Addresses that an element loads or leads to, ids, and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_the_page_leads_only_to_itself_and_its_only_script_is_the_one_that_its_policy_names(
    reported: tuple[Paths, str],
) -> None:
    text = reported[1]
    parsed = Parsed(text)
    assert all(link.startswith(("#", "data:application/json,")) for link in parsed.links)
    assert parsed.tags.count("script") == 1 and not {"link", "iframe", "object", "img"} & set(parsed.tags)
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text
    assert len(script[1].splitlines()) <= 300


def test_every_section_is_in_the_contents_and_no_id_occurs_twice(reported: tuple[Paths, str]) -> None:
    text = reported[1]
    ids = Parsed(text).ids
    assert len(ids) == len(set(ids))
    sections = re.findall(r'<section id="(\w+)">', text)
    assert re.findall(r'<li><a href="#(\w+)">', text) == sections
    assert {"scores", "differences", "curves", "cost", "rows"} <= set(sections)
    assert not {"labels", "forgetting", "benchmarks", "helm", "soft_prompt", "since"} & set(sections)


def test_every_chart_has_a_name_and_its_numbers_as_table_and_json(reported: tuple[Paths, str]) -> None:
    text = reported[1]
    assert text.count('<svg role="img" aria-label="') == text.count("<figure>") == text.count("<svg") >= 3
    files = dict(re.findall(r'<a download="(\w+).json" href="data:application/json,([^"]+)"', text))
    assert set(files) >= {"scores", "losses", "cost"}
    losses = json.loads(unquote(files["losses"]))
    assert losses[:2] == [
        {"experiment": "base", "epoch": 0.0, "validation loss": 3.0},
        {"experiment": "lora-r1", "epoch": 0.0, "validation loss": 2.98},
    ]
    scores = json.loads(unquote(files["scores"]))
    assert [entry["system"] for entry in scores][:2] == ["base", "lora-r1"]


def test_every_row_is_on_the_page_the_largest_loss_first(reported: tuple[Paths, str]) -> None:
    paths, text = reported
    rows = re.findall(r'<details class="row" data-row="(\d+)" data-scores="([^"]*)">', text)
    assert sorted(int(number) for number, _ in rows) == list(range(1, 41))
    names = [entry["name"] for entry in read_facts(paths).comparison["systems"]]
    candidate, base = names.index("lora-r16"), names.index("base")
    gains = [float(values[candidate]) - float(values[base]) for values in (scores.split(",") for _, scores in rows)]
    assert gains == pytest.approx(sorted(gains), abs=0.02)  # the page has four digits
    assert text.count("order 4217") == 1


def test_equal_facts_give_equal_bytes(reported: tuple[Paths, str]) -> None:
    assert run(reported[0]).read_text() == reported[1]


def test_texts_of_models_are_escaped(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.experiment("base", [0.2, 0.3], method="none")
    workspace.experiment(
        "lora", rows=[prediction(f"r{i}", 0.4, completion=SCRIPT) for i in range(2)], validation_loss_per_byte=0.5
    )
    compare_all(workspace.paths, VERDICTS)
    text = run(workspace.paths).read_text()
    assert SCRIPT not in text and "&lt;" in text and "alert" in text


def test_without_a_comparison_it_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"comparison.json: no such file; run `tunesmith run`"):
        run(Paths(tmp_path))


def test_warnings_about_the_base_model_are_one_muted_line(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.experiment("base", [0.2, 0.3], method="none", finished=0.0)
    workspace.experiment("lora", [0.4, 0.5], validation_loss_per_byte=0.5, finished=0.1)
    compare_all(workspace.paths, VERDICTS)
    text = run(workspace.paths).read_text()
    box = text[text.index('<div class="box">') : text.index("<nav")]
    assert "<li>lora does not stop" in box and "<li>base does not stop" not in box
    assert '<p class="note">Warnings about systems that were not tuned: base does not stop' in box
