"""``python -m bench.rows [COUNT]``: search COUNT random sets of rows (2,000) for one that ``ingest`` changes."""

from __future__ import annotations

import logging
import sys

from hypothesis import given, settings

from tests.ingest.json_rows import ROWS, Row, exact, through_ingest


def main(count: int) -> None:
    sets = rows_tried = 0

    @settings(max_examples=count, deadline=None, database=None)
    @given(ROWS)
    def check(rows: list[Row]) -> None:
        nonlocal sets, rows_tried
        sets, rows_tried = sets + 1, rows_tried + len(rows)
        assert list(map(exact, through_ingest(rows))) == list(map(exact, rows))

    logging.getLogger("tunesmith").setLevel(logging.ERROR)
    check()
    print(f"{sets} sets with {rows_tried} rows came back unchanged")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
