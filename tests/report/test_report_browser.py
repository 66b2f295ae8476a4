"""The report in headless Chromium: search, order, dark mode, and a page without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tasks.report.run import run
from tests.browser import browser
from tests.report.reported import compare_all, fill

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = Paths(tmp_path_factory.mktemp("browsed"))
    fill(paths, 5, 30)
    compare_all(paths, VerdictParams())
    return run(paths)


def test_a_row_is_searched_by_its_text_and_rows_are_ordered_by_gain(page: Path) -> None:
    with browser() as opened:
        opened.page.goto(page.as_uri())
        assert opened.page.inner_text("#shown") == "30 of 30 rows"
        opened.page.fill("#search", "ORDER 4217")
        assert opened.page.inner_text("#shown") == "1 of 30 rows"
        # Not inner texts: Chromium lays out rows outside the window late (content-visibility); until then they are "".
        assert opened.page.locator(".row:visible summary b").all_text_contents() == ["Row 18"]
        opened.page.fill("#search", "")
        opened.page.select_option("#order", "gain")
        opened.page.select_option("#ours", label="lora-r2")
        gains = [float(text) for text in opened.page.locator(".row .gain").all_text_contents()]
        assert gains == sorted(gains, reverse=True) and len(gains) == 30
        opened.page.select_option("#order", "row")
        assert opened.page.locator(".row summary b").first.text_content() == "Row 1"
        opened.page.click("table.sortable th:has-text('BLEU') button")
        cells = opened.page.locator("#scores > .wide tbody tr td:nth-child(8)").all_inner_texts()
        scores = [float(text.split()[0]) for text in cells]
        assert scores == sorted(scores, reverse=True) and len(scores) == 6
        assert opened.errors == []


def test_without_scripts_every_row_can_be_opened_and_no_control_is_shown(page: Path) -> None:
    with browser(javascript=False) as opened:
        opened.page.goto(page.as_uri())
        assert opened.page.locator("#row-tools").is_hidden()
        row = opened.page.locator(".row").nth(3)
        row.locator("summary").click()
        assert row.locator(".answer").count() == 6 and row.locator(".answer").first.is_visible()


def test_the_page_is_dark_where_the_reader_wants_it(page: Path) -> None:
    with browser(dark=True) as opened:
        opened.page.goto(page.as_uri())
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        assert opened.page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") != "rgb(36, 41, 47)"
