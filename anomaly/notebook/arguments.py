"""Arguments of `anomaly.check` as people write them: understood, or a UsageError that says what is
possible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from anomaly.errors import UsageError
from anomaly.frames import W, frame_of, length, member, real, shown
from anomaly.timing.durations import parse_duration
from anomaly.wording import did_you_mean

T = TypeVar("T")
PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


def share(value: Any, what: str) -> float:
    """A share of 1: a number, or a percentage like `5%`."""
    if isinstance(value, str) and (match := PERCENT.fullmatch(value)):
        return float(match[1]) / 100
    if isinstance(value, str):
        raise UsageError(
            f"{what} is {shown(value)}; give a number, such as 0.05, or a percentage, such as '5%'"
        )
    number = real(value, what)
    if number > 1:
        raise UsageError(
            f"{what} is {shown(value)}; a number is a share of 1: write '{number:g}%' or "
            f"'{100 * number:g}%'"
        )
    return number


def duration(value: Any, what: str) -> timedelta:
    """A length of time: a timedelta, or text like `6h`."""
    original = value
    if isinstance(original, str):
        with suppress(UsageError):
            value = parse_duration(original)
    elif isinstance(original, np.timedelta64):
        value = pd.Timedelta(original)
    if isinstance(value, str):
        raise UsageError(
            f"{what} is {shown(original)}; give a timedelta, such as timedelta(hours=6), or text, "
            "such as '6h', '10m', '1h30m' or '7d'"
        )
    return length(value, what)


def word(words: type[W]) -> Callable[[Any, str], W]:
    """Reads a member of `words` by its text."""
    return lambda value, what: member(words, value, what)


def of_each(
    value: Any, what: str, names: Sequence[str], read: Callable[[Any, str], T], default: T
) -> dict[str, T]:
    """What an argument is for each KPI: the same for all, or as a mapping by name says, `default`
    for those that it leaves out."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, read(value, what))
    by_name = {str(name): each for name, each in value.items()}  # columns may be numbers
    for name in by_name:
        if name not in names:
            raise UsageError(
                f"{what} names {name!r}, which is not a KPI; use some of "
                f"{', '.join(names)}{did_you_mean(name, names)}"
            )
    return {
        name: read(by_name[name], f"{what}[{name!r}]") if name in by_name else default
        for name in names
    }


def with_controls(
    series: pd.Series | pd.DataFrame, controls: Any, denominators: object
) -> tuple[pd.Series | pd.DataFrame, tuple[str, ...]]:
    """The series with the controls as columns, and the names of these. Controls are names of
    columns, or series at the same times."""
    several = [controls] if isinstance(controls, str | pd.Series | pd.DataFrame) else controls
    if not isinstance(several, Iterable) or isinstance(several, Mapping):
        raise UsageError(f"controls is {shown(controls)}; give names of columns, or series")
    names: list[str] = []
    others: list[pd.Series] = []
    for number, control in enumerate(several):
        what = f"controls[{number}]"
        if isinstance(control, str) or _is_column(control, series):
            names.append(str(control))
        elif isinstance(control, pd.DataFrame):
            others += [control[name] for name in control.columns]
        elif isinstance(control, pd.Series):
            if control.name is None:
                raise UsageError(f"{what} is a Series without a name; use control.rename('orders')")
            others.append(control)
        else:
            raise UsageError(
                f"{what} is {shown(control)}; give the name of a column, or a named Series"
            )
    if not others:
        return series, tuple(names)
    if denominators is not None:
        raise UsageError(
            "controls are series, and there are denominators; give them as columns of series, and "
            "their denominators as columns of denominators"
        )
    frame = frame_of(series, "series")
    for control in others:
        name = str(control.name)
        if name in frame:
            raise UsageError(f"controls has a series {name!r}, which is a column of series already")
        column = frame_of(control, "controls")[name].reindex(frame.index)
        if not column.notna().any():
            raise UsageError(f"controls has a series {name!r}, which has no values at these times")
        frame[name] = column
        names.append(name)
    zone = getattr(getattr(series, "index", None), "tz", None)
    return frame.tz_convert(zone), tuple(names)


def _is_column(value: object, series: pd.Series | pd.DataFrame) -> bool:
    """Whether a number is the name of a column."""
    return isinstance(value, int) and value in getattr(series, "columns", ())
