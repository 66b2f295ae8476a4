"""Time and size of a report of many experiments: ``python -m bench.report [EXPERIMENTS] [ROWS]``.

It writes a workspace of synthetic reports, renders the page, and opens it in headless Chromium. It needs Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tasks.core.paths import Paths
from tasks.metrics.params import VerdictParams
from tasks.report.run import run
from tests.browser import browser
from tests.report.reported import compare_all, fill

LIMIT_MB, LIMIT_S = 8.0, 2.0


def main(experiments: int, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        fill(paths, experiments, rows)
        compare_all(paths, VerdictParams())
        started = time.perf_counter()
        page = run(paths)
        print(f"{experiments} experiments, {rows} rows: rendered in {time.perf_counter() - started:.1f} s")
        print(f"size: {page.stat().st_size / 1e6:.2f} MB (limit {LIMIT_MB:g})")
        with browser() as opened:
            started = time.perf_counter()
            opened.page.goto(page.as_uri(), wait_until="load")
            opened.page.wait_for_selector("#shown:not(:empty)")
            print(f"opened in {time.perf_counter() - started:.2f} s (limit {LIMIT_S:g})")
            started = time.perf_counter()
            opened.page.fill("#search", "order 4217")
            opened.page.wait_for_function("document.getElementById('shown').textContent.startsWith('1 of')")
            print(f"a row was searched in {time.perf_counter() - started:.2f} s")
            print(f"console errors: {opened.errors or 'none'}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:] or ("20", "500")))
