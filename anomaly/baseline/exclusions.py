"""Steps that are like no others: special days and spans to leave out. They are not modelled, they
teach nothing and are not judged."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from anomaly.model import Calendar, LeftOut, Window
from anomaly.panel import ended
from anomaly.steps import DAY
from anomaly.timing.special_days import special_days


def exclusion_reasons(index: pd.DatetimeIndex, step: timedelta, calendar: Calendar) -> np.ndarray:
    """Why each step is left out, as text `(time,)`; empty for an ordinary one. `index` is sorted.

    A special day leaves out the steps that start on it; steps longer than a day hold too many other
    days for that.
    """
    out = np.full(len(index), "", dtype=object)
    if (calendar.special_days or calendar.holidays) and len(index) and step <= DAY:
        days = (
            index.tz_convert(calendar.timezone).tz_localize(None).normalize()
        )  # where clocks change at midnight, it may not exist
        for day, name in special_days(calendar, days[0].date(), days[-1].date()).items():
            out[days == pd.Timestamp(day)] = name
    for span in calendar.leave_out:
        begun = np.asarray(index < pd.Timestamp(span.window.end))
        out[begun & ~ended(index, span.window.start, step)] = span.reason or "left out"
    return out


def left_out_within(calendar: Calendar, span: Window) -> tuple[LeftOut, ...]:
    """The spans to leave out and the special days that have a moment in common with `span`."""
    zone = ZoneInfo(calendar.timezone)
    day_names = special_days(
        calendar, *(moment.astimezone(zone).date() for moment in (span.start, span.end))
    )
    days = [
        LeftOut(
            Window(
                *(datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
            ),
            name,
        )
        for day, name in day_names.items()
    ]
    return tuple(each for each in (*calendar.leave_out, *days) if each.window.overlaps(span))
