"""A property: any rows of valid Unicode and finite numbers come out of ``ingest`` as they went in."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings

from tests.ingest.json_rows import ROWS, Row, exact, through_ingest


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ROWS)
def test_rows_come_out_as_they_went_in(rows: list[Row]) -> None:
    assert list(map(exact, through_ingest(rows))) == list(map(exact, rows))
