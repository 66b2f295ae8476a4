"""When a cron line fires, in which time zone, and how that is printed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psutil
import pytest
import tzlocal
from prefect.runner import Runner

from flows.deployments import schedule_runner
from flows.schedules import check_zone, in_zone, machine_zone, next_runs
from tasks.core.errors import TunesmithError


def _printed(cron: str, zone: str, start: datetime, count: int = 3) -> list[str]:
    return [in_zone(run) for run in next_runs(cron, zone, count, start)]


def test_monday_at_three_is_at_three_in_the_zone_named() -> None:
    start = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert _printed("0 3 * * 1", "Asia/Kolkata", start) == [
        "Mon 7 Dec 2026 03:00 IST (UTC+05:30)",
        "Mon 14 Dec 2026 03:00 IST (UTC+05:30)",
        "Mon 21 Dec 2026 03:00 IST (UTC+05:30)",
    ]
    (run,) = next_runs("0 3 * * 1", "Asia/Kolkata", 1, start)
    assert run == datetime(2026, 12, 6, 21, 30, tzinfo=UTC)
    assert _printed("0 3 * * 1", "America/Sao_Paulo", start, 1) == ["Mon 7 Dec 2026 03:00 (UTC-03:00)"]


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        # Weekly runs keep their hour on both sides of a change.
        (
            "0 3 * * 1",
            "2026-03-22",
            ["Mon 23 Mar 2026 03:00 CET (UTC+01:00)", "Mon 30 Mar 2026 03:00 CEST (UTC+02:00)"],
        ),
        (
            "0 3 * * 1",
            "2026-10-18",
            ["Mon 19 Oct 2026 03:00 CEST (UTC+02:00)", "Mon 26 Oct 2026 03:00 CET (UTC+01:00)"],
        ),
        # 02:30 is missing on 29 March: the run comes an hour earlier.
        (
            "30 2 * * *",
            "2026-03-28",
            ["Sat 28 Mar 2026 02:30 CET (UTC+01:00)", "Sun 29 Mar 2026 01:30 CET (UTC+01:00)"],
        ),
        # 02:30 comes twice on 25 October: the run comes at the first one alone.
        (
            "30 2 * * *",
            "2026-10-25",
            ["Sun 25 Oct 2026 02:30 CEST (UTC+02:00)", "Mon 26 Oct 2026 02:30 CET (UTC+01:00)"],
        ),
    ],
)
def test_daylight_saving(cron: str, start: str, expected: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert _printed(cron, "Europe/Berlin", datetime.fromisoformat(start).replace(tzinfo=zone), 2) == expected


def test_every_zone_that_is_accepted_is_one_of_prefects() -> None:
    for zone in ("UTC", "Etc/UTC", "Asia/Kolkata", "Europe/Berlin", "US/Pacific"):
        assert check_zone(zone) == zone
        assert next_runs("0 3 * * *", zone, 1)[0].hour == 3


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Asia/Kolkatta", "did you mean Asia/Kolkata"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Berlin", "did you mean Europe/Berlin"),
        ("xyzzy", "for example Europe/Berlin, America/New_York or UTC"),
        ("", "for example Europe/Berlin"),
    ],
)
def test_an_unknown_zone_is_refused_with_an_example(zone: str, hint: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        check_zone(zone)
    assert f"schedule: --timezone {zone!r}" in str(caught.value) and hint in str(caught.value)


@pytest.mark.parametrize("cron", ["nonsense", "0 3 * *", "61 * * * *", "0 3 30 2 *"])
def test_a_line_that_never_comes_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        next_runs(cron, "UTC")
    assert f"--cron {cron!r}" in str(caught.value) and '"0 3 * * 1" is Monday at 03:00' in str(caught.value)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 0 3 * * 1", "must have five fields (minute hour day month weekday); it has 6"),
        ("0 3 * *", "it has 4"),
        ("0 25 * * 1", "out of range"),
    ],
)
def test_the_error_in_a_line_is_named(cron: str, why: str) -> None:
    """A sixth field would be seconds after the weekday: "0 0 3 * * 1" is the third of each month, not Monday at 3."""
    with pytest.raises(TunesmithError) as caught:
        next_runs(cron, "UTC")
    assert why in str(caught.value)


@pytest.fixture
def zone_of_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    def become(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        tzlocal.reload_localzone()

    yield become
    monkeypatch.undo()
    tzlocal.reload_localzone()


def test_the_default_is_the_zone_of_the_machine(zone_of_machine: object) -> None:
    zone_of_machine("Asia/Kolkata")  # type: ignore[operator]
    assert machine_zone() == "Asia/Kolkata"


def test_sigterm_ends_the_schedule_though_a_flow_run_has_just_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def terminate(self) -> None:
            raise psutil.NoSuchProcess(1)

    monkeypatch.setattr(psutil.Process, "children", lambda self: [Ended()])

    monkeypatch.setattr(Runner, "start", lambda self: asyncio.sleep(30))

    async def serve() -> None:
        runner = schedule_runner()
        serving = asyncio.create_task(runner.start())
        await asyncio.sleep(0)  # the task starts
        runner.handle_sigterm()
        await serving

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve())
