"""Steps that are like no others: special days and spans to leave out. They are not modelled, they teach nothing and are not judged."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from anomaly.model import Calendar


def occasions(index: pd.DatetimeIndex, step: timedelta, calendar: Calendar) -> np.ndarray:
    """Why each step is left out, as text `(time,)`; empty for an ordinary one."""
    out = np.full(len(index), "", dtype=object)
    if calendar.special_days and len(index):
        names = {day.date: day.name or "special day" for day in calendar.special_days}
        days = index.tz_convert(calendar.timezone).tz_localize(None).normalize()  # where clocks change at midnight, it may not exist
        for day in days.unique():
            out[days == day] = names.get(day.date(), "")
    for span in calendar.leave_out:
        out[(index < pd.Timestamp(span.window.end)) & (index > pd.Timestamp(span.window.start - step))] = span.reason or "left out"
    return out
