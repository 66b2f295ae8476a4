"""Examples in the documents are what the code reads."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tasks.core.params import parse, read_yaml
from tasks.gate.params import RegistrationParams
from tasks.metrics.names import METRICS, SIGNS
from tasks.template.importing.write import import_templates
from tasks.template.library import Template, TemplateSet, load_set
from tasks.tuning import methods
from tests.template.rendering import Rows, rendered

ROOT = Path(__file__).parents[1]
METHODS_PAGE = (ROOT / "docs/methods.md").read_text()
DATA = (Path(__file__).parents[1] / "docs/data.md").read_text()
ROWS: Rows = [{"ticket": "My lamp is dark.", "team": "Repair", "product": "lamps"}]


def example(file: str, page: str = DATA) -> str:
    """The one fenced block of a page whose first line names ``file``."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (block_of_file,) = [block for block in blocks if block.split(":")[0].endswith(file)]
    return str(block_of_file)


def test_the_template_set_of_the_document_renders(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/tickets.yaml").write_text(example("own/tickets.yaml"))
    tickets = load_set("own/tickets", tmp_path)
    rows, report = rendered([*ROWS, ROWS[0] | {"product": None}], tickets, assign="all")
    assert report.dropped == {}
    assert [(row["template_id"], row["task"], row["completion"]) for row in rows] == [
        ("which_team", "routing", "repair"),
        ("reply", "writing", "My lamp is dark."),
        ("which_team", "routing", "repair"),
    ]
    assert rows[0]["prompt"] == "My lamp is dark.\n\nWhich team takes this: billing, delivery or repair?"


def test_every_key_and_metric_of_a_set_is_documented() -> None:
    section = DATA.split("### A set of your own")[1].split("\n## ")[0]
    tables, rest = section.split("| key of the file |")[1].split("| key of a template |")
    assert set(TemplateSet.model_fields) == set(re.findall(r"`(\w+)`", _first_column(tables)))
    assert set(Template.model_fields) == set(re.findall(r"`(\w+)`", _first_column(rest.split("Metrics:")[0])))
    assert tuple(re.findall(r"`(\w+)`", rest.split("Metrics:")[1].split("\n\n")[0])) == METRICS


def _first_column(table: str) -> str:
    return "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))


def test_what_the_document_imports_is_imported_whole(tmp_path: Path) -> None:
    for file, answers in (("pairs.yaml", ["Repair", "The Repair team"]), ("templates.yaml", ["repair"])):
        (tmp_path / file).write_text(example(file))
        result = import_templates(tmp_path / file, tmp_path / "own", name=file.split(".")[0])
        assert (result.refused, result.unread) == ([], [])
        row = ROWS[0] if file == "pairs.yaml" else ROWS[0] | {"team": 2}
        rows, _ = rendered([row], load_set(f"own/{result.written[0].stem}", tmp_path), assign="all")
        assert [row["completion"] for row in rows] == answers


def test_every_method_is_documented_with_its_blocks_and_its_default_rate() -> None:
    described, rates, kept = tables(METHODS_PAGE)
    types = {name: methods.named(name).params for name in methods.names()}
    blocks = {name: set(params.blocks()) if name != "none" else set() for name, params in types.items()}
    assert {row[1].strip("`"): set(re.findall(r"`(\w+)`", row[3])) for row in described} == blocks
    defaults = read_yaml(ROOT / "params/training.yaml")["methods"]
    written = {row[0].strip("`"): float(row[1]) for row in rates}
    assert written == {method: block["training"]["learning_rate"] for method, block in defaults.items()}
    assert set(written) == set(blocks) - {"none"}
    named = {name for row in kept for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(blocks) - {"none", "prompt_tuning", "prefix_tuning", "p_tuning"}, "the last row is for those"


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table of a page, without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    return [[[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]] for table in blocks]


def test_the_worked_examples_of_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outcome = doctest.testfile(str(ROOT / "docs/metrics.md"), module_relative=False)
    assert outcome.failed == 0 and outcome.attempted > 20


def test_every_metric_and_sign_is_documented() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert set(METRICS) | set(SIGNS) <= named


def test_the_template_set_of_general_text_predicts_the_second_half(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    page = (ROOT / "docs/evaluation.md").read_text()
    (tmp_path / "own/general_text.yaml").write_text(example("general_text.yaml", page))
    templates = load_set("own/general_text", tmp_path)
    rows, report = rendered([{"text": "One two three. Four five."}], templates)
    assert report.dropped == {}
    (row,) = rows
    assert row["prompt"].endswith("\n\nOne two three.")
    assert row["completion"] == "Four five."
    assert [templates.metrics_of(one) for one in templates.templates] == [["loss"]]


def test_every_key_of_the_gate_is_documented_and_in_its_file() -> None:
    page = (ROOT / "docs/gate.md").read_text()
    (keys,) = [table for table in tables(page) if table[0][0] == "`model_name`"]
    documented = [name for row in keys for name in re.findall(r"`(\w+)`", row[0])]
    assert len(documented) == len(set(documented))
    assert set(documented) == set(RegistrationParams.model_fields)
    text = (ROOT / "params/registration.yaml").read_text()
    lines = text.split("registration:\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in lines] == documented
    assert all(" # " in line for line in lines)
    assert read_yaml(ROOT / "params/registration.yaml")["registration"] == RegistrationParams().model_dump()
    labels = example("registration.yaml", page).split("registration:\n")[1]
    (key,) = re.findall(r"metric: (\w+)", labels)
    assert parse(RegistrationParams, {"metric": key}, "docs/gate.md").metric == "primary"
