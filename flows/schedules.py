"""Compute when a cron line fires: time zones, and the next runs by Prefect's own scheduler."""

from __future__ import annotations

import asyncio
import difflib
import zoneinfo
from datetime import datetime

import tzlocal

from tasks.core.errors import TunesmithError

EXAMPLE = '"0 3 * * 1" is Monday at 03:00'


def machine_zone() -> str:
    """Name of this machine's time zone, such as ``Europe/Berlin``.

    Raises:
        TunesmithError: the machine's settings name no time zone.
    """
    try:
        name = tzlocal.get_localzone_name()
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        name = None
    if not name:
        raise TunesmithError(
            "schedule: --timezone: this machine's settings name no time zone; name one, for example "
            "--timezone Europe/Berlin"
        )
    return name


def check_zone(name: str, label: str = "schedule: --timezone") -> str:
    """Return ``name`` if it is a time zone of the IANA database.

    Args:
        label: the option or key that holds it, for errors.

    Raises:
        TunesmithError: it is not. The error lists similar names.
    """
    known = zoneinfo.available_timezones()
    if name in known:
        return name
    lower = {zone.lower(): zone for zone in known} | {zone.rsplit("/", 1)[-1].lower(): zone for zone in sorted(known)}
    close = dict.fromkeys(lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3))
    hint = f"did you mean {' or '.join(close)}?" if close else "for example Europe/Berlin, America/New_York or UTC"
    raise TunesmithError(
        f"{label} {name!r}: a time zone must be a name of the IANA database, such as Asia/Kolkata; {hint}"
    )


def next_runs(
    cron: str, zone: str, count: int = 3, start: datetime | None = None, label: str = "schedule: --cron"
) -> list[datetime]:
    """The next times at which Prefect's scheduler runs ``cron`` in ``zone``, as aware datetimes of that zone.

    The scheduler's own class computes them, so they are right also when daylight saving time begins or ends.

    Args:
        start: aware time before which no run is returned; by default now.
        label: the option or key that holds the cron line, for errors.

    Raises:
        TunesmithError: the cron line is wrong, or never fires.
    """
    from prefect._vendor.croniter import CroniterBadCronError, CroniterBadDateError, croniter
    from prefect.server.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    fields = len(cron.split())
    if fields != 5 and not cron.startswith("@"):  # croniter would take a sixth field, after the weekday, as seconds
        raise TunesmithError(
            f"{label} {cron!r}: must have five fields (minute hour day month weekday); it has {fields}; for "
            f"example {EXAMPLE}"
        )
    try:
        croniter(cron)  # its error names the mistake, unlike that of the schedule below
        schedule = CronSchedule(cron=cron, timezone=zone)
    except (CroniterBadCronError, ValidationError) as error:
        reason = str(error) if isinstance(error, CroniterBadCronError) else error.errors()[0]["msg"]
        raise TunesmithError(f"{label} {cron!r}: {reason}; for example {EXAMPLE}") from None
    try:
        runs = asyncio.run(schedule.get_dates(count, start))
    except CroniterBadDateError:
        raise TunesmithError(f"{label} {cron!r}: it never fires; for example {EXAMPLE}") from None
    return [run.astimezone(zoneinfo.ZoneInfo(zone)) for run in runs]


def in_zone(when: datetime) -> str:
    """Format a time as ``Mon 7 Dec 2026 03:00 IST (UTC+05:30)``."""
    offset, name = when.isoformat()[-6:], when.tzname() or ""
    clock = f"{when:%a} {when.day} {when:%b %Y %H:%M}"
    return f"{clock} {name} (UTC{offset})" if name[:1].isalpha() else f"{clock} (UTC{offset})"
