"""The one shape of data: a wide, regular frame of float64 series.

Rows: a UTC DatetimeIndex with one step; a row's stamp is the start of its step. A step ends where
the next one starts: after a fixed time, or as the calendar says (`anomaly.steps`).
Columns: a MultiIndex (kpi, segment, role); role is `value`, or `numerator` and `denominator` of a
ratio; a segment is the text of its labels, `country=DE,plan=pro`, empty for a KPI without segments.
NaN means missing and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from anomaly.errors import UsageError
from anomaly.model import Direction, Empty, Kpi, KpiKind, Segment, Window
from anomaly.steps import DAY, MONTH, WEEK, CalendarStep, CalendarZone, align, later

VALUE, NUMERATOR, DENOMINATOR = "value", "numerator", "denominator"
USAGE, TOTAL = "usage of ", "total of "  # names of what is collected beside a KPI: usage of <KPI>
LEVELS = ("kpi", "segment", "role")
SPECIAL = re.compile(r"([\\,=])")
NEGLIGIBLE = 0.05  # share of a KPI's volume that may be missing at a step of its total
TOGETHER = 64  # columns of which something is computed at a time
BORN_EARLY = 0.2  # of the rows: what has its first sample before is as old as the history
MOST_BORN = 1  # segments between both, for new ones to be rare
BORN_LATE = 0.8  # of the rows: what has its first sample later had none before, in a whole history
# What had so many steps before the release, and samples in such a share of them, began with its
# service: a first error comes alone, or with the release.
YOUNG, BUSY = 16, 0.25
# how long a step of the calendar can be, where clocks change by up to two hours
LENGTHS = {
    DAY: (timedelta(hours=22), timedelta(hours=26)),
    WEEK: (timedelta(days=6), timedelta(days=8)),
    MONTH: (timedelta(days=27), timedelta(days=32)),
}
FEWEST_OF_COUNTER = 100  # samples of a series of which it can be said to be a counter
FALLS_OF_COUNTER, GROWTH_OF_COUNTER = 0.02, 0.3  # shares of its steps: at most, at least
NEAR_ZERO = 0.1  # of what it had reached, to which it falls at most
FEWEST_APART, UNEVEN = 2, 0.1  # distances, and by which share of them they may differ
SOME = 1024  # values
PART = re.compile(r"((?:[^\\,=]|\\.)*)=((?:[^\\,=]|\\.)*)(?:,|$)", re.DOTALL)


def segment_text(labels: Segment) -> str:
    """The labels as one text, sorted by name; `\\`, `,` and `=` inside names and values are escaped
    by `\\`."""

    def escaped(part: str) -> str:
        return SPECIAL.sub(r"\\\1", part)

    return ",".join(f"{escaped(name)}={escaped(labels[name])}" for name in sorted(labels))


def segment_labels(text: str) -> dict[str, str]:
    """The labels behind a `segment_text`."""

    def plain(part: str) -> str:
        return re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)

    return {plain(m[1]): plain(m[2]) for m in PART.finditer(text)} if text else {}


def grid(window: Window, step: timedelta) -> pd.DatetimeIndex:
    """The stamps of all whole steps in `window`, aligned to the epoch or to the calendar."""
    if isinstance(step, CalendarStep):
        return index_of(step.edges(window.start, window.end)[:-1])
    first = align(window.start, step)
    if first < window.start:
        first += step
    count = max(0, (window.end - first) // step)
    return pd.DatetimeIndex(pd.date_range(first, periods=count, freq=step, unit="ns"), name="time")


def index_of(moments: Sequence[datetime]) -> pd.DatetimeIndex:
    """The index of a panel whose steps start at these moments."""
    index = pd.DatetimeIndex(pd.to_datetime([*moments], utc=True), name="time")
    return pd.DatetimeIndex(index.as_unit("ns"))


def edges(index: pd.DatetimeIndex, step: timedelta) -> np.ndarray:
    """When the consecutive steps of `index` start, and the last one ends: nanoseconds since 1970,
    one more than there are steps; none without steps."""
    if not len(index):
        return np.empty(0, dtype=np.int64)
    end = index_of([later(index[-1].to_pydatetime(), step)])
    return np.asarray(pd.DatetimeIndex(index.append(end)).as_unit("ns").asi8)


def ended(index: pd.DatetimeIndex, moment: datetime, step: timedelta) -> np.ndarray:
    """Which steps are over at a moment, `(time,)`."""
    if isinstance(step, CalendarStep):
        return np.asarray(index < pd.Timestamp(step.start(moment)))
    return np.asarray(index <= pd.Timestamp(moment - step))


def assemble(
    columns: Mapping[tuple[str, str, str], np.ndarray], index: pd.DatetimeIndex
) -> pd.DataFrame:
    """A panel of the given columns (kpi, segment, role), each as long as `index`; infinities become
    NaN."""
    values = _matrix([*columns.values()], len(index))
    return pd.DataFrame(values.T, index=index, columns=named([*columns]), copy=False)


def named(keys: Sequence[tuple[str, str, str]]) -> pd.MultiIndex:
    """The columns of a panel with these keys."""
    words = [sorted({key[level] for key in keys}) for level in range(len(LEVELS))]
    places = [{word: place for place, word in enumerate(each)} for each in words]
    codes = [[at[key[level]] for key in keys] for level, at in enumerate(places)]
    # quicker than with texts of pandas
    levels: list[Any] = [pd.Index(each, dtype=object) for each in words]
    return pd.MultiIndex(levels, codes, names=LEVELS, verify_integrity=False)


def _matrix(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Rows of numbers as a matrix, infinities as NaN; not copied if they are the rows of one that
    can't change."""
    base = rows[0].base if rows else None
    if (
        base is not None
        and base.shape == (len(rows), length)
        and base.dtype == np.float64
        and base.flags.c_contiguous
        and not base.flags.writeable
        and all(
            each.base is base and each.ctypes.data == base[place].ctypes.data
            for place, each in enumerate(rows)
        )
        and not any(np.isinf(each).any() for each in rows)
    ):
        return base
    out = np.empty((len(rows), length))
    for place, each in enumerate(rows):
        out[place] = each
        if (is_infinite := np.isinf(out[place])).any():
            out[place][is_infinite] = np.nan
    return out


def keys_of(panel: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The columns of a panel: (kpi, segment, role)."""
    columns = panel.columns
    assert isinstance(columns, pd.MultiIndex)  # noqa: S101  that is the shape of a panel
    words = (
        map(str, level.to_numpy(dtype=object)[codes])
        for level, codes in zip(columns.levels, columns.codes, strict=True)
    )
    return [*zip(*words, strict=True)] if len(columns) else []


@dataclass(frozen=True, slots=True)
class LongForm:
    """Numbers about the same series and steps, as matrices `(series, time)` by name; as a `frame`,
    they are columns."""

    keys: tuple[tuple[str, str], ...]
    index: pd.DatetimeIndex
    matrices: Mapping[str, np.ndarray]

    def of(self, rows: Sequence[int] | np.ndarray) -> LongForm:
        """The numbers about some series."""
        keys = tuple(self.keys[row] for row in rows)
        places = np.array(rows, dtype=int)
        matrices = {name: each[places] for name, each in self.matrices.items()}
        return LongForm(keys, self.index, matrices)

    @classmethod
    def together(cls, parts: Sequence[LongForm]) -> LongForm:
        """The numbers about all the series of several ones over the same steps."""
        first = parts[0]
        if len(parts) == 1:
            return first
        keys = tuple(key for part in parts for key in part.keys)
        matrices = {
            name: np.concatenate([part.matrices[name] for part in parts]) for name in first.matrices
        }
        return cls(keys, first.index, matrices)

    def frame(self) -> pd.DataFrame:
        """A row for each series and step, series after series: `kpi`, `segment` (both categories),
        `time`, and the numbers."""
        steps, (kpis, segments) = len(self.index), _names(self.keys)
        columns = {
            "kpi": kpis.repeat(steps),
            "segment": segments.repeat(steps),
            "time": self.index[np.tile(np.arange(steps), len(self.keys))],
        }
        return pd.DataFrame(columns | {name: each.ravel() for name, each in self.matrices.items()})


@lru_cache(maxsize=2)  # a report has several frames of the same series
def _names(keys: tuple[tuple[str, str], ...]) -> tuple[pd.Categorical, pd.Categorical]:
    """The KPIs and the segments of some series."""
    return categories([kpi for kpi, _ in keys]), categories([segment for _, segment in keys])


def categories(texts: Sequence[str] | np.ndarray) -> pd.Categorical:
    """Texts that recur, each kept once and in order; any text, also one that is no Unicode."""
    names = sorted({*texts})
    places = {name: place for place, name in enumerate(names)}
    codes = np.array([places[text] for text in texts], dtype=int)
    return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))


def in_calendar(points: pd.DataFrame, step: timedelta) -> pd.DataFrame:
    """A long frame with its `time` in the zone of the calendar, if steps are of one."""
    if not isinstance(step, CalendarStep) or not len(points):
        return points
    return points.assign(time=points["time"].dt.tz_convert(CalendarZone(step.zone)))


def times(panel: pd.DataFrame) -> tuple[datetime, ...]:
    """The starts of the steps."""
    return tuple(pd.DatetimeIndex(panel.index).to_pydatetime())


def rows_within(index: pd.DatetimeIndex, window: Window, step: timedelta) -> np.ndarray:
    """Which rows lie wholly in a window."""
    return np.asarray((index >= pd.Timestamp(window.start)) & ended(index, window.end, step))


def extended(panel: pd.DataFrame, step: timedelta, horizon: datetime) -> pd.DataFrame:
    """The panel with a row for every step up to the horizon: a source that died is missing data,
    not an early look."""
    if len(panel) == 0:
        return panel
    last = panel.index[-1].to_pydatetime()
    if isinstance(step, CalendarStep):
        more = index_of(step.edges(later(last, step), horizon)[:-1])
    else:
        missing = max(0, (horizon - last) // step - 1)
        more = pd.DatetimeIndex(pd.date_range(last + step, periods=missing, freq=step, unit="ns"))
    return panel.reindex(panel.index.append(more)) if len(more) else panel


def step_of(panel: pd.DataFrame) -> timedelta:
    """The step of a panel of at least two rows, the usual length of a day, week or month where
    these differ; raises UsageError if the rows are not regular."""
    stamps = pd.DatetimeIndex(panel.index).as_unit("ns").asi8
    gaps = np.diff(stamps)
    if len(gaps) and gaps.min() > 0:
        least = timedelta(microseconds=int(gaps.min()) // 1000)
        most = timedelta(microseconds=int(gaps.max()) // 1000)
        if least == most:
            return least
        for usual, (shortest, longest) in LENGTHS.items():
            if shortest <= least and most <= longest:
                return usual
    raise UsageError(
        "a panel needs at least two rows with one regular, increasing step between them"
    )


def steps_between(before: pd.DataFrame, after: pd.DataFrame, step: timedelta) -> int:
    """How many steps lie between the last row of a panel and the first of a later one."""
    apart: float = (after.index[0] - before.index[-1]) / step
    return round(apart) - 1


def has_step(panel: pd.DataFrame, step: timedelta) -> bool:
    """Whether the rows of a panel, two at least, are consecutive steps of this kind."""
    if not isinstance(step, CalendarStep):
        return step_of(panel) == step
    starts = step.edges(panel.index[0].to_pydatetime(), panel.index[-1].to_pydatetime())
    return bool(panel.index.equals(index_of(starts)))


def prepare(
    panel: pd.DataFrame, kpis: Sequence[Kpi], step: timedelta, released: datetime | None = None
) -> pd.DataFrame:
    """The panel as the mathematics wants it: rates declared by `per` as counts per step, `empty:
    zero` filled.

    What is too near to zero to be computed with at full precision is zero. Filling starts at the
    first sample of the KPI, so that a short history is not prolonged by invented zeros. If that is
    among the last rows, as that of a first error, the history is not short: nothing happened,
    unless there were many samples before it was `released`, as of a young service. For
    `kind: counts` the same holds of a segment beside others, see `with_new_kinds`.
    """
    changed = [
        kpi
        for kpi in kpis
        if kpi.per is not None
        or kpi.empty is Empty.ZERO
        or (kpi.kind is KpiKind.COUNTS and expects_new_kinds(kpi))
    ]
    panel = _with_silent(panel, changed)
    names = panel.columns.get_level_values("kpi")
    values: np.ndarray | None = None  # a copy, once something changes
    past = len(panel) if released is None else int(panel.index.searchsorted(pd.Timestamp(released)))
    for kpi in changed:
        columns = np.flatnonzero(names == kpi.name)
        if len(columns) and values is None:
            values = panel.to_numpy(dtype=np.float64, copy=True)
        if values is None:
            continue
        if kpi.per is not None:
            factor = (_lengths(panel, step) / np.timedelta64(kpi.per))[:, None]
            with np.errstate(over="ignore", invalid="ignore"):  # too large a number
                for piece in _pieces(columns):
                    values[:, piece] *= factor
        if kpi.empty is Empty.ZERO:
            first = _first_to_fill(values, columns, past)
            for piece in _pieces(columns):
                filled = values[first:, piece]
                filled[np.isnan(filled)] = 0.0
                values[first:, piece] = filled
        elif kpi.kind is KpiKind.COUNTS and expects_new_kinds(kpi):
            values[:, columns] = with_new_kinds(values[:, columns])
    for piece in _pieces(np.arange(panel.shape[1])):
        part = panel.iloc[:, piece].to_numpy() if values is None else values[:, piece]
        tiny = (np.abs(part) < np.finfo(np.float64).tiny) & ((part != 0) | np.signbit(part))
        if tiny.any():
            values = panel.to_numpy(dtype=np.float64, copy=True) if values is None else values
            values[:, piece] = np.where(tiny, 0.0, part)
    return panel if values is None else pd.DataFrame(values, panel.index, panel.columns, copy=False)


def expects_new_kinds(kpi: Kpi) -> bool:
    """Whether a segment of counts that was never seen before means that there were none, as of a
    new kind of error: where more is worse, and the checklist says nothing else."""
    return (
        bool(kpi.by)
        and kpi.denominator is None
        and kpi.direction is Direction.UP
        and kpi.empty is Empty.MISSING
    )


def with_new_kinds(values: np.ndarray) -> np.ndarray:
    """The segments of a KPI `(time, column)`, 0 where one is missing whose first sample is among
    the last rows, and one that is older has a sample: there were none of its kind.

    Where new kinds came before, too, as of a label with ever new values, they are nothing special,
    and stay missing.
    """
    present = ~np.isnan(values)
    born = np.where(present.any(axis=0), present.argmax(axis=0), -1)
    late = born >= BORN_LATE * len(values)
    if (~late & (born >= BORN_EARLY * len(values))).sum() > MOST_BORN:
        return values
    measured = present[:, ~late].any(axis=1)
    return np.where(late & measured[:, None] & ~present, 0.0, values)


def _with_silent(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> pd.DataFrame:
    """The panel with empty columns of those of the KPIs that have none and for which that is
    zero."""
    names = {name for name, _, _ in keys_of(panel)}
    nothing = np.full(len(panel), np.nan)
    silent = {
        (kpi.name, "", role): nothing
        for kpi in kpis
        if kpi.empty is Empty.ZERO and not kpi.by and kpi.name not in names
        for role in ((VALUE,) if kpi.denominator is None else (NUMERATOR, DENOMINATOR))
    }
    if not silent:
        return panel
    return pd.concat([panel, assemble(silent, pd.DatetimeIndex(panel.index))], axis=1)


def _pieces(columns: np.ndarray) -> Iterator[np.ndarray]:
    """Some columns at a time, so that what is computed of them stays small."""
    for first in range(0, len(columns), TOGETHER):
        yield columns[first : first + TOGETHER]


def _first_to_fill(values: np.ndarray, columns: np.ndarray, past: int) -> int:
    """The row from which on absence is zero, of some columns of `(time, column)`, of which so many
    rows are `past`."""
    present = np.zeros(len(values), dtype=bool)
    for piece in _pieces(columns):
        present |= ~np.isnan(values[:, piece]).all(axis=1)
    first = int(present.argmax()) if present.any() else 0
    since_first = present[first:past]
    is_young = len(since_first) >= YOUNG and since_first.mean() >= BUSY
    return first if first < BORN_LATE * len(values) or is_young else 0


def _lengths(panel: pd.DataFrame, step: timedelta) -> np.ndarray:
    """How long each step of a panel is, `(time,)`."""
    if isinstance(step, CalendarStep):
        return np.diff(edges(pd.DatetimeIndex(panel.index), step)).astype("timedelta64[ns]")
    return np.full(len(panel), np.timedelta64(step))


@dataclass(frozen=True, slots=True)
class Block:
    """The series of a panel as matrices `(series, time)`, C-contiguous, NaN for missing.

    `value` is what is judged (numerator / denominator for a ratio), `amount` its numerator and
    `volume` its denominator; without one `amount` is the value and `volume` is 1 where the value is
    present. `present` says where a sample exists, even if its denominator is 0.
    """

    keys: tuple[tuple[str, str], ...]
    ratio: np.ndarray
    value: np.ndarray
    amount: np.ndarray
    volume: np.ndarray
    present: np.ndarray

    def rows(self, start: int, stop: int) -> Block:
        """The block between two rows."""
        return Block(
            self.keys,
            self.ratio,
            self.value[:, start:stop],
            self.amount[:, start:stop],
            self.volume[:, start:stop],
            self.present[:, start:stop],
        )

    def of(self, keep: np.ndarray) -> Block:
        """The block of some series."""
        return Block(
            tuple(self.keys[i] for i in keep),
            self.ratio[keep],
            self.value[keep],
            self.amount[keep],
            self.volume[keep],
            self.present[keep],
        )

    @classmethod
    def together(cls, parts: Sequence[Block]) -> Block:
        """The block of the series of several ones over the same steps."""
        return cls(
            tuple(key for part in parts for key in part.keys),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("ratio", "value", "amount", "volume", "present")
            ),
        )


def block(panel: pd.DataFrame) -> Block:
    """The matrices of a panel, series in the order of their first column."""
    columns = {key: i for i, key in enumerate(keys_of(panel))}
    keys = tuple(dict.fromkeys((kpi, segment) for kpi, segment, _ in columns))
    table = np.ascontiguousarray(panel.to_numpy(dtype=np.float64).T)
    amount, volume = np.full((2, len(keys), len(panel)), np.nan)
    ratio = np.zeros(len(keys), bool)
    for i, key in enumerate(keys):
        ratio[i] = (*key, VALUE) not in columns
        top = columns.get((*key, NUMERATOR if ratio[i] else VALUE))
        if top is not None:
            amount[i] = table[top]
        if ratio[i]:
            below = columns.get((*key, DENOMINATOR))
            volume[i] = np.nan if below is None else table[below]
        else:
            volume[i] = 1.0  # where there is a value
    present = np.isfinite(amount)
    if not present.all():
        volume[~ratio] = np.where(present[~ratio], volume[~ratio], np.nan)
    if ratio.any():
        present &= np.isfinite(volume)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            value = np.where(present & (volume > 0), amount / volume, np.nan)
        value[np.isinf(value)] = np.nan  # too large a number
    else:
        value = amount.copy()
        value[~present] = np.nan
    return Block(keys, ratio, value, amount, volume, present)


def only_grows(values: np.ndarray) -> bool:
    """Whether a series is like a counter: it grows, nearly always, and falls only near to 0, but
    not every so often, as what is counted by the day does."""
    there = values[np.isfinite(values)]
    if len(there) < FEWEST_OF_COUNTER:
        return False
    most_falls = FALLS_OF_COUNTER * (len(there) - 1)
    if (np.diff(there[:SOME]) < 0).sum() > most_falls:  # most series are told by their first values
        return False
    changes = np.diff(there)
    falls = changes < 0
    most = np.maximum.accumulate(there)[:-1]
    return bool(
        falls.sum() <= most_falls
        and (changes > 0).mean() >= GROWTH_OF_COUNTER
        and (there[1:][falls] <= NEAR_ZERO * most[falls]).all()
        and not _is_even(np.flatnonzero(falls))
    )


def _is_even(places: np.ndarray) -> bool:
    """Whether several places lie as far apart as each other."""
    apart = np.diff(places)
    return len(apart) >= FEWEST_APART and bool(np.ptp(apart) <= UNEVEN * apart.mean())


def with_totals(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> pd.DataFrame:
    """The panel, and for each ratio or count of several segments their total under the empty
    segment, after them: the sums of their counts. A KPI is a count if its `kind` says so, or if a
    step without a sample is zero.

    A segment belongs to the total from its first to its last sample. A step at which segments are
    missing that usually hold more than NEGLIGIBLE of the volume has no total: who is left is not
    everyone.
    """
    totals = {}
    columns: dict[str, dict[str, dict[str, int]]] = {}  # by KPI, segment and role
    for place, (name, segment, role) in enumerate(keys_of(panel)):
        columns.setdefault(name, {}).setdefault(segment, {})[role] = place
    for kpi in kpis:
        if not kpi.by:
            continue
        mine = columns.get(kpi.name, {})
        ratio = [VALUE not in roles for roles in mine.values()]
        is_count = kpi.kind is KpiKind.COUNTS or (kpi.kind is None and kpi.empty is Empty.ZERO)
        is_sum = is_count and kpi.total is None and not any(ratio)
        # a single segment is its own total
        if len(mine) < 2 or not (all(ratio) or is_sum):  # noqa: PLR2004
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            top, below = _summed(panel, [[*roles.values()] for roles in mine.values()])
        if is_sum:
            totals[kpi.name, "", VALUE] = top
        else:
            totals[kpi.name, "", NUMERATOR], totals[kpi.name, "", DENOMINATOR] = top, below
    if not totals:
        return panel
    whole = pd.concat([panel, assemble(totals, pd.DatetimeIndex(panel.index))], axis=1)
    names = [name for name, _, _ in keys_of(whole)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return columns_at(whole, sorted(range(len(names)), key=lambda column: places[names[column]]))


def _summed(
    panel: pd.DataFrame, segments: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The sums of the counts of segments, and of their volumes (without one, the counts again),
    `(time,)`; NaN where there is no total, or it is too large a number. A segment is the places of
    its columns."""
    sums = np.zeros((4, len(panel)))  # amount, volume, and how much of it is usual and missing
    any_present = np.zeros(len(panel), bool)
    for first in range(0, len(segments), TOGETHER):
        places = [place for each in segments[first : first + TOGETHER] for place in each]
        parts = block(columns_at(panel, places))
        present = parts.present
        is_whole = present.all()
        amount = parts.amount if is_whole else np.where(present, parts.amount, 0.0)
        volume = amount
        if parts.ratio.any():
            volumes = np.where(parts.ratio[:, None], parts.volume, parts.amount)
            volume = np.where(present, volumes, 0.0)
        usual = volume.sum(axis=1, keepdims=True) / np.maximum(
            present.sum(axis=1, keepdims=True), 1
        )
        if is_whole:
            _add(sums, amount, volume, np.broadcast_to(usual, present.shape))
        else:
            after_first = np.maximum.accumulate(present, axis=1)
            before_last = np.maximum.accumulate(present[:, ::-1], axis=1)[:, ::-1]
            lifetime = after_first & before_last
            _add(sums, amount, volume, usual * lifetime, usual * (lifetime & ~present))
        any_present |= present.any(axis=0)
    top, below, expected, missing = sums
    has_total = any_present & (missing <= NEGLIGIBLE * expected)
    has_total &= np.isfinite(top) & np.isfinite(below)
    return np.where(has_total, top, np.nan), np.where(has_total, below, np.nan)


def _add(sums: np.ndarray, *more: np.ndarray) -> None:
    """Add the rows of each of `more` to their sum, one segment after the other, so that their
    number changes no digit."""
    for total, rows in zip(sums, more, strict=False):
        for row in rows:
            np.add(total, row, out=total)


def columns_at(panel: pd.DataFrame, places: Sequence[int]) -> pd.DataFrame:
    """Some columns of a panel; they are not copied if they lie one after the other."""
    if not places or [*places] != [*range(places[0], places[-1] + 1)]:
        return panel.iloc[:, [*places]]
    if len(places) == panel.shape[1]:
        return panel
    return panel.iloc[:, places[0] : places[-1] + 1]


def rows_at(panel: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Some rows of a panel `(time,)`; they are not copied if they lie one after the other."""
    places = np.flatnonzero(rows)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return panel.iloc[places[0] : places[-1] + 1]
    return panel.iloc[places]


def judged_panel(
    panel: pd.DataFrame, kpis: Sequence[Kpi], step: timedelta, released: datetime | None = None
) -> pd.DataFrame:
    """The collected series of the KPIs, prepared for the mathematics, with the totals of their
    segments; see `prepare`."""
    names = {kpi.name for kpi in kpis}
    panel = _with_queried_totals(panel, kpis)
    of_kpis = [name in names for name, _, _ in keys_of(panel)]
    panel = panel if all(of_kpis) else panel.loc[:, of_kpis]
    return with_totals(prepare(panel, kpis, step, released), kpis)


def _with_queried_totals(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> pd.DataFrame:
    """The panel with the answer to each query for a total as its KPI's empty segment."""
    names = {TOTAL + kpi.name: kpi.name for kpi in kpis if kpi.total is not None}
    return panel.rename(columns=names, level="kpi") if names else panel


def usage_weights(
    panel: pd.DataFrame, kpis: Sequence[Kpi], baseline: Window, step: timedelta
) -> dict[str, float]:
    """The weight of each KPI; that of a query is its sum over the baseline window, 0 without an
    answer."""
    if not any(isinstance(kpi.usage, str) for kpi in kpis):
        return {kpi.name: float(kpi.usage) for kpi in kpis}
    history = rows_within(pd.DatetimeIndex(panel.index), baseline, step)
    names = panel.columns.get_level_values("kpi")
    return {
        kpi.name: float(np.nansum(panel.loc[history, names == USAGE + kpi.name].to_numpy()))
        if isinstance(kpi.usage, str)
        else kpi.usage
        for kpi in kpis
    }
