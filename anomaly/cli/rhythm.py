"""`anomaly rhythm`: the schedule of looks, as a table, JSON, or cron lines for other checks."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import ChecklistPath, Environment
from anomaly.cli.release import moment, opened, right_now
from anomaly.cli.session import Session
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Window
from anomaly.setup.crontab import escaped
from anomaly.timing import schedule
from anomaly.timing.durations import duration_text
from anomaly.timing.schedule import Schedule
from anomaly.wording import plain, stamp

MOST_LOOKS = 100_000
MOST_ROWS = 40
ROWS = [timedelta(minutes=each) for each in (15, 30, 60, 120, 180, 360, 720, 1440, 10_080)]
WIDTH, WIDEST_BAR = 80, 30
YEAR = timedelta(days=365)


class Form(StrEnum):
    """The format of the plan."""

    TABLE = "table"
    JSON = "json"
    CRON = "cron"


def rhythm(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    release_at: Annotated[
        list[str],
        typer.Option(metavar="T", help="Start of a release, past or planned; repeatable."),
    ],
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="T", help="Start of the plan. Default: when the climb starts."
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="T", help="End of the plan. Default: when the fall ends."),
    ] = None,
    environment: Environment = None,
    output: Annotated[
        Form,
        typer.Option(help="Output format; json and cron let other checks follow the same rhythm."),
    ] = Form.TABLE,
    command: Annotated[
        str, typer.Option(metavar="COMMAND", help="Command in the lines of --output cron.")
    ] = "run-the-checks",
) -> ExitCode:
    """Show how often to look before and after a release.

    The rhythm is set in the checklist; tick follows it.
    """
    session: Session = context.obj
    checklist = opened(checklist_path, environment, session)
    if checklist.schedule is None:
        raise ChecklistError(
            f"{checklist_path} has no rhythm; add one, such as rhythm: {{usual: 1h, peak: 5m, "
            f"climb: 1d, fall: 6h}}"
        )
    now = right_now().replace(microsecond=0)
    releases = sorted({moment("--release-at", each, now) for each in release_at})
    try:
        window = Window(
            releases[0] - checklist.schedule.climb
            if begin is None
            else moment("--from", begin, now),
            releases[-1] + checklist.schedule.fall if end is None else moment("--to", end, now),
        )
    except UsageError as error:
        raise UsageError(f"--from, --to: {error}") from None
    if schedule.planned(checklist.schedule, releases, window) > MOST_LOOKS:
        raise UsageError(
            f"the plan has more than {MOST_LOOKS:,} looks; shorten it with --from and --to"
        )
    looks = schedule.looks(checklist.schedule, releases, window)
    match output:
        case Form.JSON:
            session.show(json.dumps(_data(checklist.schedule, releases, window, looks), indent=2))
        case Form.CRON:
            session.show(_cron(releases, window, looks, command))
        case Form.TABLE:
            session.show(_table(checklist, checklist.schedule, releases, window, looks))
    return ExitCode.PASS


def _data(
    rhythm: Schedule, releases: Sequence[datetime], window: Window, looks: Sequence[datetime]
) -> dict[str, Any]:
    return {
        "rhythm": {
            name: duration_text(getattr(rhythm, name))
            for name in ("usual", "peak", "climb", "fall")
        },
        "releases": [stamp(each) for each in releases],
        "from": stamp(window.start),
        "to": stamp(window.end),
        "looks": [stamp(each) for each in looks],
    }


def _cron(
    releases: Sequence[datetime], window: Window, looks: Sequence[datetime], command: str
) -> str:
    """A line for each hour with looks; hours of a day with the same minutes share a line."""
    if window.length > YEAR:
        raise UsageError(
            "cron lines have no year, so the plan must be shorter than one; use --from and --to"
        )
    minutes = dict[tuple[int, int, int], list[int]]()  # of month, day and hour
    for look in looks:
        of_hour = minutes.setdefault((look.month, look.day, look.hour), [])
        if look.minute not in of_hour:
            of_hour.append(look.minute)
    hours = dict[tuple[int, int, tuple[int, ...]], list[int]]()
    for (month, day, hour), within in minutes.items():
        hours.setdefault((month, day, tuple(within)), []).append(hour)
    fired = sum(len(within) for within in minutes.values())
    remark = (
        f"; {len(looks) - fired:,} looks share a minute with another and are left out"
        if fired < len(looks)
        else ""
    )
    head = [
        (
            f"# {fired:,} looks from {stamp(window.start)} to {stamp(window.end)}, for the release "
            f"at {', '.join(map(stamp, releases))}."
        ),
        f"# Cron has whole minutes: the seconds of the plan are dropped{remark}.",
        "# The hours are UTC. The cron of Debian and Ubuntu ignores CRON_TZ: use a machine in UTC.",
        "# Cron lines have no year: remove them after the release, or they run again next year.",
        "CRON_TZ=UTC",
    ]
    lines = [
        f"{_list(within)} {_list(of_day)} {day} {month} * {escaped(command)}"
        for (month, day, within), of_day in hours.items()
    ]
    return "\n".join(head + lines)


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _table(
    checklist: Checklist,
    rhythm: Schedule,
    releases: Sequence[datetime],
    window: Window,
    looks: Sequence[datetime],
) -> str:
    zone = ZoneInfo(checklist.calendar.timezone)
    rows = list(_rows(window, zone))
    counts = [sum(row.start <= look < row.end for look in looks) for row in rows]
    scale = min(1.0, WIDEST_BAR / max(1, *counts))
    usual, peak = duration_text(rhythm.usual), duration_text(rhythm.peak)
    head = (
        f"{plain(checklist.service, 60)}: a look every {usual}, at the release every {peak}; "
        f"times in {zone.key}"
    )
    out = [textwrap.fill(head, WIDTH)]
    day = None
    for row, count in zip(rows, counts, strict=True):
        local = row.start.astimezone(zone)
        if local.date() != day:
            day = local.date()
            out += ["", f"{local:%a %Y-%m-%d}" + ("" if len(out) > 1 else "  looks  every")]
        began = [each.astimezone(zone) for each in releases if row.start <= each < row.end]
        mark = f"  ◀ release {', '.join(f'{each:%H:%M}' for each in began)}" if began else ""
        every = duration_text(
            _rounded(schedule.interval(rhythm, releases, row.start + row.length / 2))
        )
        out.append(
            f"{local:%H:%M}{count:>16}  {every:<7}{'█' * ceil(count * scale)}{mark}".rstrip()
        )
    even = f"every {peak} all along would be {window.length // rhythm.peak:,}"
    out += ["", f"{len(looks):,} looks in {duration_text(window.length)}; {even}"]
    return "\n".join(out)


def _rows(window: Window, zone: ZoneInfo) -> Iterator[Window]:
    """The window in rows that begin at even times of the day."""
    length = next((each for each in ROWS if window.length <= MOST_ROWS * each), ROWS[-1])
    local = window.start.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    start = midnight + (window.start - midnight) // length * length
    while start < window.end:
        yield Window(max(start, window.start), min(start + length, window.end))
        start += length


def _rounded(length: timedelta) -> timedelta:
    """Rounded to seconds below ten minutes, else to minutes."""
    unit = timedelta(seconds=1) if length < timedelta(minutes=10) else timedelta(minutes=1)
    return round(length / unit) * unit
