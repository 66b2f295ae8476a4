"""The files for judges: balanced sides, no experiment names, harmless texts, equal bytes for equal seeds."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.preferences.key import read_key
from tasks.preferences.page import page
from tasks.preferences.pairs import Shown
from tasks.preferences.sheet import guard, sheet, unguard
from tests.preferences.evaluated import Workspace

Predict = Callable[..., dict[str, Any]]

HOSTILE = [
    "<script>alert(1)</script>",
    "</div></article><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}&amp;",
    "</script><script src=//evil.example/x.js></script>",
    '"><iframe srcdoc="x">',
]


def cells(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


class Texts(HTMLParser):
    """The texts that a browser would show in ``<div class="text">``, and every tag and attribute of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if self._inside:
            raise AssertionError(f"a text opened <{tag}>")
        if ("class", "text") in attrs:
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def test_a_pair_is_of_one_row_and_the_key_names_its_sides(filled: Workspace) -> None:
    done = filled.export()
    rows = cells(done.sheet)
    assert [row["pair"] for row in rows] == list(done.key.pairs) == [f"p{i:03}" for i in range(1, 21)]
    for row in rows:
        pair = done.key.pairs[row["pair"]]
        number = int(pair.row_id[1:])
        texts = {filled.a: f"first {number}", filled.b: f"second {number}"}
        assert (row["left"], row["right"]) == (texts[pair.left], texts[pair.right])
        assert row["prompt"] == f"Sum up talk {number}." and row["choice"] == "" and row["export"] == done.key.export
        assert {pair.left, pair.right} == {filled.a, filled.b}
        assert pair.rouge1_f == {filled.a: 0.2, filled.b: 0.4}
    assert len({pair.row_id for pair in done.key.pairs.values()}) == 20
    assert Texts(done.page.read_text()).texts == [row[c] for row in rows for c in ("prompt", "left", "right")]


def test_the_key_holds_hashes_id_and_seed(filled: Workspace) -> None:
    done = filled.export(rows=7, seed=3)
    key = read_key(done.key_file)
    assert key == done.key and (key.a, key.b, key.seed, key.rows) == (filled.a, filled.b, 3, 7)
    for name in (filled.a, filled.b):
        assert key.predictions[name] == files.sha256(filled.paths.report(name) / "predictions.parquet")
    assert done.key_file == filled.paths.preference(filled.a, filled.b) / f"key-{key.export}.json"


def test_each_is_on_the_left_in_half_of_the_pairs_in_random_order(filled: Workspace) -> None:
    patterns, orders = set(), set()
    for seed in range(20):
        key = filled.export(seed=seed).key
        left = [pair.left == filled.b for pair in key.pairs.values()]
        assert sum(left) == 10
        patterns.add(tuple(left))
        order = tuple(pair.row_id for pair in key.pairs.values())
        assert list(order) != sorted(order)
        orders.add(order)
    assert len(patterns) == len(orders) == 20
    first = [pattern[0] for pattern in patterns]
    assert 4 <= sum(first) <= 16, "the first pair's side is a matter of chance, too"
    odd = [sum(p.left == filled.b for p in filled.export(rows=3, seed=seed).key.pairs.values()) for seed in range(20)]
    assert set(odd) == {1, 2}, "of an odd number of pairs, the side with one more is drawn as well"


def test_sides_depend_on_what_judges_do_not_have(filled: Workspace, predict: Predict) -> None:
    before = [pair.left for pair in filled.export().key.pairs.values()]
    filled.report(filled.a, [predict(i, f"first {i}", 0.2001) for i in range(20)])
    after = [pair.left for pair in filled.export().key.pairs.values()]
    assert before != after, "with the seed and this code alone, sides could be told"


def test_equal_arguments_give_equal_bytes_another_seed_another_export(filled: Workspace, tmp_path: Path) -> None:
    one, two = filled.export(output=tmp_path / "one"), filled.export(output=tmp_path / "two")
    assert one.page.read_bytes() == two.page.read_bytes() and one.sheet.read_bytes() == two.sheet.read_bytes()
    others = [filled.export(seed=1).key.export, filled.export(rows=5).key.export]
    assert len({one.key.export, *others}) == 3


def test_judges_files_do_not_reveal_the_sides(filled: Workspace, tmp_path: Path) -> None:
    done = filled.export(output=tmp_path / "judges")
    assert sorted(path.name for path in (tmp_path / "judges").iterdir()) == [done.sheet.name, done.page.name]
    for path in (done.page, done.sheet):
        text = path.read_text().lower()
        secrets = [filled.a, filled.b, *done.key.predictions.values(), "rouge", "row_id", "seed", "r001", "quokka"]
        assert not [secret for secret in secrets if secret in text + path.name]
    # Apart from the texts, all that the files hold is the export's id and the number of pairs.
    shown = [Shown(f"p{i:03}", f"P{i}", f"L{i}", f"R{i}") for i in range(1, 21)]
    blank = re.compile(r"(Sum up talk \d+\.|first \d+|second \d+|\b[PLR]\d+\b)")
    assert blank.sub("", done.page.read_text()) == blank.sub("", page(done.key.export, shown))
    expected = blank.sub("", sheet(done.key.export, shown))
    assert blank.sub("", done.sheet.read_bytes().decode("utf-8-sig")) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_as_they_are_and_run_nothing(text: str) -> None:
    html = page("x0", [Shown("p001", text, f"left {text}", f"{text} right")])
    harmless = page("x0", [Shown("p001", "a", "b", "c")])
    read = Texts(html)
    assert read.texts == [text, f"left {text}", f"{text} right"]
    assert read.tags == Texts(harmless).tags, "a text adds no tag and no attribute"
    assert html.count("<script>") == 1


def test_the_page_loads_nothing_and_runs_its_own_script_only(filled: Workspace) -> None:
    html = filled.export().page.read_text()
    (policy,) = [attrs["content"] for tag, attrs in Texts(html).tags if tag == "meta" and "http-equiv" in attrs]
    assert policy is not None and policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{hashed}';" in unescape(policy)
    loaded = [(tag, attrs) for tag, attrs in Texts(html).tags if {"src", "href", "action"} & attrs.keys()]
    assert not loaded and "http://" not in html and "https://" not in html and "@import" not in html


RISKY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "'=1", "'quoted'", "''", "'"]
HARMLESS = ["", "a=b", "#Person1#: hi", '"quoted", and more', "two\nlines", "two\r\nlines", "1-2"]


@pytest.mark.parametrize("text", RISKY)
def test_a_formula_is_guarded_and_read_back_exactly(text: str) -> None:
    assert guard(text) == f"'{text}" and unguard(guard(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert guard(text) == text == unguard(guard(text))


def test_no_cell_of_the_spreadsheet_begins_a_formula(workspace: Workspace, predict: Predict) -> None:
    texts = [*RISKY, *HARMLESS]
    workspace.report(workspace.a, [predict(i, text, prompt=text) for i, text in enumerate(texts)])
    workspace.report(workspace.b, [predict(i, "other", prompt=text) for i, text in enumerate(texts)])
    done = workspace.export()
    rows = cells(done.sheet)
    assert len(rows) == len(texts)
    assert not [c for row in rows for c in row.values() if c.lstrip().startswith(tuple("=+-@＝＋－＠"))]
    for row in rows:
        text = texts[int(done.key.pairs[row["pair"]].row_id[1:])]
        assert unguard(row["prompt"]) == text
        assert {unguard(row["left"]), unguard(row["right"])} == {text.strip(), "other"}


def test_equal_texts_are_left_out_and_counted(workspace: Workspace, predict: Predict) -> None:
    workspace.report(workspace.a, [predict(1, "same"), predict(2, "one"), predict(3, "", 0.0), predict(9, "only a")])
    workspace.report(workspace.b, [predict(2, "two"), predict(1, " same\n"), predict(3, "said")])
    done = workspace.export()
    assert {pair.row_id for pair in done.key.pairs.values()} == {"r002", "r003"}
    expected = {"paired": 3, "equal": 1, "only_a": 1, "only_b": 0, "other_prompts": 0, "rows": 2}
    assert done.key.counts == expected
    assert "(empty answer)" in done.page.read_text()


def test_one_prompt_variant_of_a_row_is_drawn(workspace: Workspace, predict: Predict) -> None:
    wordings = [(i, f"t{t}") for i in range(12) for t in range(3)]
    for name in (workspace.a, workspace.b):
        workspace.report(name, [predict(i, f"{name[0]} {i} {t}", template_id=t) for i, t in wordings])
    pairs = list(workspace.export().key.pairs.values())
    assert sorted(pair.row_id for pair in pairs) == [f"r{i:03}" for i in range(12)]
    assert {pair.template_id for pair in pairs} == {"t0", "t1", "t2"}


def test_of_two_prompts_the_shorter_is_shown_on_either_side(workspace: Workspace, predict: Predict) -> None:
    workspace.report(workspace.a, [predict(i, f"one {i}", prompt=f"Example. Talk {i}.") for i in range(6)])
    workspace.report(workspace.b, [predict(i, f"two {i}", prompt=f"Talk {i}.") for i in range(6)])
    done = workspace.export()
    assert done.key.counts["other_prompts"] == 6
    assert all(row["prompt"].startswith("Talk ") for row in cells(done.sheet))


def test_rows_are_drawn_without_their_order_in_the_file(filled: Workspace) -> None:
    chosen = [tuple(p.row_id for p in filled.export(rows=5, seed=s).key.pairs.values()) for s in range(8)]
    assert all(len(set(rows)) == 5 for rows in chosen) and len(set(chosen)) == 8
    assert len({row for rows in chosen for row in rows}) > 12


def test_a_file_with_answers_is_not_overwritten(filled: Workspace) -> None:
    done = filled.export()
    filled.export()
    answered = done.sheet.read_text().replace('""\n', '"left"\n', 1)
    assert answered != done.sheet.read_text()
    done.sheet.write_text(answered)
    with pytest.raises(TunesmithError, match="may hold answers; move it away"):
        filled.export()
    assert done.sheet.read_text() == answered


def test_an_impossible_export_is_refused_with_the_reason(filled: Workspace, predict: Predict, tmp_path: Path) -> None:
    paths = filled.paths
    from tasks.preferences.export import export

    with pytest.raises(TunesmithError, match=r"no report of 'lola' in .*; there are: quokkabase, wombattuned"):
        export(paths, filled.a, "lola", 5, 0)
    with pytest.raises(TunesmithError, match=r"no report of '\.\./x'"):
        export(paths, "../x", filled.b, 5, 0)
    with pytest.raises(TunesmithError, match="two different experiments"):
        export(paths, filled.a, filled.a, 5, 0)
    for options, name in ({"rows": 0, "seed": 0}, "--rows"), ({"rows": 1, "seed": -1}, "--seed"):
        with pytest.raises(TunesmithError, match=name):
            export(paths, filled.a, filled.b, **options)
    filled.report(filled.b, [predict(i, f"first {i}") for i in range(4)])
    with pytest.raises(
        TunesmithError, match=r"of 4 common rows 4 have equal texts \(16 rows only in quokkabase, 0 only"
    ):
        filled.export()
    filled.report(filled.b, [{k: v for k, v in predict(1, "x").items() if k != "rouge1_f"}])
    with pytest.raises(TunesmithError, match="'rouge1_f' is missing"):
        filled.export()
    (paths.report(filled.b) / "predictions.parquet").unlink()
    with pytest.raises(TunesmithError, match=r"no such file; run `tunesmith run`"):
        filled.export()
    assert not paths.preferences.exists()
