"""A first checklist from a table: which column is the time, which are KPIs and of what nature, how
long a step is and how much history there is.

Everything is told by names and values, and each KPI says in a comment by which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pandas as pd

from anomaly.collectors import pivot
from anomaly.decision.draft import MIN_HISTORY
from anomaly.errors import UsageError
from anomaly.model import Direction, Empty, Kpi, KpiKind, Windows
from anomaly.setup.proposal import Proposal, ProposedKpi, history_of
from anomaly.steps import DAY, MONTH, WEEK
from anomaly.wording import number, plain

WORSE_HIGHER = re.compile(
    r"err|fail|exception|fault|timeout|latenc|duration|response.?time|load.?time|\b(ms|seconds)$"
    r"|_(ms|seconds|s)$|\bp\d\d|queue|backlog|wait|refund|cancel|returned|complain|bounce|churn"
    r"|unsubscri|abandon|crash|retr(y|ies)|\b[45]xx|cpu|memory|fehler|storn|retoure|dauer",
    re.IGNORECASE,
)
WORSE_LOWER = re.compile(
    r"order|revenue|sale|sign.?up|conversion|checkout|purchase|booking|session|visit|user|customer"
    r"|request|traffic|throughput|success|click|payment|amount|turnover|subscription|install"
    r"|download|deliver|availab|uptime|profit|margin|basket|engagement|price|total"
    r"|umsatz|bestell|anmeld|besuch|nutzer|kunden",
    re.IGNORECASE,
)
FAILURES = re.compile(r"err|fail|exception|timeout|crash|[45]xx|fehler", re.IGNORECASE)
ATTEMPTS = re.compile(
    r"request|session|visit|attempt|call|total|order|hit|anfrage|aufruf|besuch", re.IGNORECASE
)
OF_TIME = re.compile(r"latenc|duration|time|_(ms|seconds|s)$|\bp\d\d|dauer", re.IGNORECASE)
TIME_NAME = re.compile(r"time|date|day|stamp|_at$|^at$|^ts$|datum|zeit|tag$|monat", re.IGNORECASE)
IDENTITY = re.compile(r"(^|_)(id|uuid|key|number|no|nr)$", re.IGNORECASE)
LONG_KPI, LONG_VALUE = (
    frozenset({"kpi", "metric", "measure", "indicator", "variable", "kennzahl"}),
    frozenset({"value", "values", "val", "n", "count", "amount", "wert"}),
)
NUMBER = re.compile(r"[-+(]?[\d.,' ]*\d[\d.,' ]*([eE][-+]?\d+)?\)?")
EPOCHS = {
    "s": (1e8, 4e9),
    "ms": (1e11, 4e12),
    "us": (1e14, 4e15),
    "ns": (1e17, 4e18),
}  # numbers that may be moments since 1970
STEPS = (
    *(timedelta(minutes=each) for each in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=1), DAY, WEEK, MONTH),
)
EVENT_STEPS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), DAY)
ENOUGH_EVENTS = 20  # in a usual step
READ = 0.9  # share of cells that have to be of a kind
REGULAR = 0.6  # share of gaps that are the usual one
NO_SUM = frozenset({KpiKind.SHARE, KpiKind.LATENCY})  # means nothing in sum
ROWS = ProposedKpi(
    Kpi(
        "rows",
        query="",
        kind=KpiKind.COUNTS,
        direction=Direction.DOWN,
        tolerance=0.05,
        empty=Empty.ZERO,
    ),
    "how many rows a step has; fewer are worse, unless they are failures",
)
MOST_SEGMENTS, MOST_KPIS = 20, 20
FEWEST_ROWS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a table is: its time column, its KPIs, its labels, its step and whether its rows are
    events; `filled` is a column without holes, `layout` that of a table with a `kpi_column`."""

    time: str
    unit: str
    moments: pd.Series
    naive: bool
    values: Mapping[str, np.ndarray]
    labels: Sequence[str]
    step: timedelta
    events: bool
    kpi_column: str = ""
    value_column: str = ""
    filled: str = ""
    layout: str = "long"

    @property
    def first(self) -> datetime:
        return _moment(self.moments.min())

    @property
    def last(self) -> datetime:
        """The start of the last step that may be complete."""
        return _moment(self.moments.max())

    @property
    def ends(self) -> datetime:
        return self.last + self.step


def propose(frame: pd.DataFrame) -> Proposal:
    """What to judge of a DataFrame with a column per KPI, as `anomaly.check` takes it, or with
    label columns beside them: KPIs, their kind and bad direction, step, time zone and history.

    `str(proposal.checklist())` is a checklist for the same data in a file, `data.csv`. Raises
    UsageError where no column is a time, or none a number.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(
            f"frame is {type(frame).__name__}; give a DataFrame, for a Series series.to_frame()"
        )
    table = frame if _has_times(frame.index) is None else frame.rename_axis("time").reset_index()
    zone = str(getattr(getattr(frame.index, "tz", None), "key", "") or "UTC")
    finding = read(table.rename(columns=str), "frame")
    remark = "Save the data beside it: frame.to_csv('data.csv', index_label='time')"
    return of_table(finding, "data", {"type": "files", "path": "data.csv"}, zone, (remark,))


def read(table: pd.DataFrame, name: str) -> Finding:
    """What the columns of a table are, whose cells are typed or text. Raises UsageError."""
    columns = pivot.moments([str(each) for each in table.columns])
    if len(columns) >= FEWEST_ROWS:
        return _of_pivot(table, columns, name)
    if len(table) < FEWEST_ROWS:
        raise UsageError(f"{name}: {len(table)} rows are too few to propose anything")
    time, unit, moments = _time_column(table, name)
    rest = [column for column in table.columns if column != time and column]
    values = {
        column: cells
        for column in rest
        if not IDENTITY.search(column) and (cells := numbers(table[column])) is not None
    }
    texts = [column for column in rest if column not in values]
    kpi_column = next((each for each in texts if each.lower() in LONG_KPI), "")
    value_column = next((each for each in values if each.lower() in LONG_VALUE), "")
    labels = [
        column
        for column in texts
        if column != kpi_column
        and not IDENTITY.search(column)
        and 1 < table[column].nunique() <= MOST_SEGMENTS
    ]
    there = moments.notna()
    naive = bool(there.any()) and moments[there].iloc[0].tzinfo is None
    moments = pd.to_datetime(moments, utc=True)
    if kpi_column and value_column:
        values = _by_kpi(table[kpi_column], values[value_column])
    else:
        kpi_column = value_column = ""
    keys = [moments, *(table[column] for column in (*labels, kpi_column) if column)]
    repeats = pd.concat(keys, axis=1).duplicated().mean()
    step, regular = _step(moments)
    events = not regular or repeats > 0.01  # noqa: PLR2004  a stray repetition is no event
    if events:
        step = _event_step(moments)
    filled = "" if kpi_column else _filled_column(table, rest, values)
    return Finding(
        time, unit, moments, naive, values, labels, step, events, kpi_column, value_column, filled
    )


def _by_kpi(names: pd.Series, values: np.ndarray) -> dict[str, np.ndarray]:
    """The values of each KPI of a table with a row per KPI and moment."""
    kpis = [*map(str, names.dropna().unique()[:MOST_KPIS])]
    names = names.astype(str)
    return {each: values[(names == each).to_numpy()] for each in kpis}


def _filled_column(table: pd.DataFrame, columns: Sequence[str], values: Collection[str]) -> str:
    """One of the columns without an empty cell, of numbers (`values`) before texts; empty if there
    is none."""
    whole = [each for each in columns if table[each].notna().all() and (table[each] != "").all()]
    whole.sort(key=lambda each: each not in values)
    return (whole or [""])[0]


def _of_pivot(table: pd.DataFrame, moments: Sequence[str], name: str) -> Finding:
    """A table with a row per KPI and a column per moment."""
    others = [each for each in table.columns if each not in moments]
    kpi = next((each for each in others if each.lower() in LONG_KPI), others[0] if others else "")
    if not kpi:
        raise UsageError(f"{name}: no column names the KPIs, all are times")
    long = table.melt(others, [*moments], var_name="time", value_name="value")
    finding = read(long.rename(columns={kpi: "kpi"}), name)
    return replace(finding, time="time", kpi_column=kpi, value_column="value", layout="pivot")


def of_table(
    finding: Finding,
    service: str,
    settings: Mapping[str, str],
    timezone: str = "UTC",
    remarks: Sequence[str] = (),
) -> Proposal:
    """The proposal for a file with such a table; `settings` are those of the source so far."""
    settings = dict(settings)
    if finding.time != "time":
        settings["time_column"] = finding.time
    if finding.unit:
        settings["time_unit"] = finding.unit
    if finding.kpi_column:
        settings |= {"layout": finding.layout}
        settings |= {} if finding.kpi_column == "kpi" else {"kpi_column": finding.kpi_column}
        settings |= (
            {} if finding.value_column == "value" else {"value_column": finding.value_column}
        )
    if finding.naive and not finding.unit:
        settings["timezone"] = timezone
    if finding.events:
        kpis = [
            replace(each, kpi=replace(each.kpi, source="amounts")) for each in events_of(finding)
        ]
        sources = {"amounts": {**settings, "resample": "sum"}} if kpis else {}
        if finding.filled:
            rows = replace(ROWS.kpi, source="rows", query=finding.filled)
            kpis.insert(0, replace(ROWS, kpi=rows))
            sources["rows"] = {**settings, "resample": "count"}
    else:
        kpis = [
            replace(each, kpi=replace(each.kpi, by=tuple(finding.labels)))
            for each in kpis_of(finding.values)
        ]
        sources = {"data": settings}
    if not kpis:
        raise UsageError(
            f"{service}: no column holds numbers to judge; name the columns of numbers"
        )
    return described(finding, service, sources, kpis, timezone, remarks)


def events_of(finding: Finding) -> list[ProposedKpi]:
    """The KPIs of what events amount to: sums, in which no event is 0."""
    return [
        replace(each, kpi=replace(each.kpi, denominator=None, kind=None, empty=Empty.ZERO))
        for each in kpis_of(finding.values)
        if each.kpi.direction is not Direction.EITHER
        and each.kpi.kind not in {KpiKind.SHARE, KpiKind.LATENCY}
    ]


def described(
    finding: Finding,
    service: str,
    sources: Mapping[str, Mapping[str, str]],
    kpis: Sequence[ProposedKpi],
    timezone: str,
    remarks: Sequence[str],
) -> Proposal:
    """The proposal with windows and comments as the table suggests."""
    more = [*remarks]
    if finding.naive and not finding.unit:
        more.append(
            f"The times in {finding.time} have no zone and are read in {timezone}: correct "
            "timezone, of the source and of the users"
        )
    if finding.events and finding.labels:
        more.append(
            f"Could be split by {', '.join(plain(each, 40) for each in finding.labels)}, once it "
            "is counted per step"
        )
    rows = "a row per event" if finding.events else "a row per step"
    return Proposal(
        service=service,
        sources=sources,
        kpis=kpis,
        windows=windows_of(finding.step, finding.first, finding.ends),
        why_windows=(
            f"{rows}; data from {finding.first:%Y-%m-%d %H:%M} to {finding.last:%Y-%m-%d %H:%M} UTC"
        ),
        timezone=timezone,
        remarks=more,
    )


def windows_of(step: timedelta, first: datetime, ends: datetime) -> Windows:
    """The windows that data of that span have room for: a watch, and before it as much history as
    there is."""
    watch, most = next(
        (watch, most)
        for longest, watch, most in (
            (timedelta(minutes=59), timedelta(hours=6), 4 * WEEK),
            (timedelta(hours=1), DAY, 4 * WEEK),
            (DAY, 2 * WEEK, 26 * WEEK),
            (WEEK, 8 * WEEK, 156 * WEEK),
            (MONTH, 26 * WEEK, 312 * WEEK),
        )
        if step <= longest
    )
    span = ends - first
    watch = max(step, min(watch, span // 4 // step * step))
    # to be judged at all, by a release within a step
    needed = min((MIN_HISTORY + 1) * step, (span - watch) // step * step)
    history = max(history_of(span - watch, most), needed, step)
    warmup = timedelta(0) if step >= DAY else step
    lag = timedelta(0) if step >= DAY else Windows().lag
    return Windows(history=history, warmup=warmup, watch=watch, step=step, lag=lag)


def kpis_of(values: Mapping[str, np.ndarray]) -> Iterator[ProposedKpi]:
    """A KPI for each column of numbers; failures are judged in relation to what may fail."""
    natures = {name: _nature(name, cells) for name, cells in values.items()}
    counts = [name for name, (kind, _) in natures.items() if kind is KpiKind.COUNTS]
    for name in [*values][:MOST_KPIS]:
        kind, summary = natures[name]
        below = _attempts(name, values, counts) if kind is KpiKind.COUNTS else ""
        if below:
            yield ProposedKpi(
                Kpi(
                    _kpi_name(name),
                    query=name,
                    denominator=below,
                    direction=Direction.UP,
                    tolerance=0.1,
                ),
                f"{summary}, never more than {below}: a ratio of both; more is worse, by its name",
            )
            continue
        direction, why = _direction(name)
        yield ProposedKpi(
            Kpi(_kpi_name(name), query=name, kind=kind, direction=direction, tolerance=0.05),
            f"{summary}; {why}",
        )


def numbers(cells: pd.Series) -> np.ndarray | None:
    """The cells as numbers, however they are written; None if most are none."""
    if pd.api.types.is_bool_dtype(cells.dtype):
        return None
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=float, na_value=np.nan)
    texts = cells.astype(object).where(cells.notna(), "").astype(str)
    texts = texts.str.replace(r"[\s€$£¥%\u00a0\u202f]", "", regex=True)
    there = texts != ""
    readable = texts.str.fullmatch(NUMBER.pattern)
    if not there.any() or readable[there].mean() < READ:
        return None
    commas = texts.str.contains(r",\d{1,2}$|,\d{4,}$", regex=True).any()
    out = texts.where(readable, "")
    out = (
        out.str.replace(r"[.' ]", "", regex=True).str.replace(",", ".")
        if commas
        else out.str.replace(r"[,' ]", "", regex=True)
    )
    return np.asarray(pd.to_numeric(out, errors="coerce"), dtype=float)


# --- time ---------------------------------------------------------------------------------------


def _time_column(table: pd.DataFrame, name: str) -> tuple[str, str, pd.Series]:
    """The first column of times, of those that are named so before others; the unit of numbers."""
    columns = [str(each) for each in table.columns if each]
    for column in sorted(columns, key=lambda each: not TIME_NAME.search(each)):
        moments = _moments(table[column], has_time_name=bool(TIME_NAME.search(column)))
        if moments is not None:
            return column, *moments
    raise UsageError(
        f"{name}: no column is a time; the columns are "
        f"{', '.join(plain(each, 40) for each in columns[:12])}"
    )


def _moments(cells: pd.Series, *, has_time_name: bool) -> tuple[str, pd.Series] | None:
    """The unit of numbers and the moments of a column; None if it holds none."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return "", cells
    values = numbers(cells) if has_time_name else None
    if values is not None and np.isfinite(values).any():
        middle = float(np.nanmedian(values))
        units = [unit for unit, (least, most) in EPOCHS.items() if least <= middle <= most]
        if units:
            moments = pd.to_datetime(pd.Series(values), unit=units[0], utc=True)  # type: ignore[call-overload]
            return units[0], moments
    there = cells.notna()
    texts = cells[there].astype(str).str.strip()
    if texts.str.contains(r"\d[-./]\d", regex=True).mean() >= READ:
        for form in ({"format": "ISO8601"}, {"format": "mixed", "dayfirst": True}):
            read = _read_times(cells, form)
            if read[there].notna().mean() >= READ:
                return "", read
    return None


def _read_times(cells: pd.Series, form: Mapping[str, Any]) -> pd.Series:
    texts = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    naive = not texts.str.contains(r"(?:Z|UTC|[+-]\d\d:?\d\d)$", regex=True).any()
    try:
        out = pd.to_datetime(texts, errors="coerce", utc=not naive, **form)
    except (ValueError, TypeError, OverflowError):
        return pd.Series(pd.NaT, index=cells.index)
    return pd.Series(out)


def _has_times(index: pd.Index) -> tzinfo | bool | None:
    return True if isinstance(index, pd.DatetimeIndex) else None


def _step(moments: pd.Series) -> tuple[timedelta, bool]:
    """The usual step, and whether most moments are that far apart."""
    gaps = np.diff(np.unique(moments.dropna().astype("int64")))
    unit = pd.Timedelta(1, unit=pd.DatetimeIndex(moments.dropna()).unit)
    if not len(gaps):
        return DAY, False
    usual = timedelta(seconds=float(np.median(gaps)) * unit.total_seconds())
    step = min(STEPS, key=lambda each: abs(np.log(max(usual, timedelta(seconds=1)) / each)))
    lengths = gaps * unit.total_seconds() / step.total_seconds()
    near = np.abs(lengths - 1) <= (0.15 if step >= DAY else 0.01)
    return step, bool(near.mean() >= REGULAR)


def _event_step(moments: pd.Series) -> timedelta:
    """The shortest step in which there usually are enough events."""
    span = _moment(moments.max()) - _moment(moments.min())
    for step in EVENT_STEPS:
        if len(moments) * (step / max(span, step)) >= ENOUGH_EVENTS:
            return step
    return DAY


def _moment(value: Any) -> datetime:
    moment: datetime = pd.Timestamp(value).to_pydatetime(warn=False)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# --- numbers ------------------------------------------------------------------------------------


def _nature(name: str, cells: np.ndarray) -> tuple[KpiKind | None, str]:
    """The kind of a KPI, None for a plain amount, and what was seen of it."""
    there = cells[np.isfinite(cells)]
    if not len(there):
        return None, "no numbers yet"
    least, most = float(there.min()), float(there.max())
    between = f"{number(least)} to {number(most)}"
    if least < 0:
        return KpiKind.GAUGE, f"{between}, also below zero"
    if OF_TIME.search(name):
        return KpiKind.LATENCY, f"{between}, a time by its name"
    if bool((there == np.rint(there)).all()):
        return KpiKind.COUNTS, f"{between}, whole numbers: counts"
    if most <= 1:
        return KpiKind.SHARE, f"{between}: a share"
    return None, between


def _direction(name: str) -> tuple[Direction, str]:
    if WORSE_HIGHER.search(name):
        return Direction.UP, "more is worse, by its name"
    if WORSE_LOWER.search(name):
        return Direction.DOWN, "less is worse, by its name"
    return Direction.EITHER, "its name does not tell which way is worse: say up or down"


def _attempts(name: str, values: Mapping[str, np.ndarray], counts: Sequence[str]) -> str:
    """The counts of what may fail, if this counts failures."""
    if not FAILURES.search(name):
        return ""
    failures = values[name]
    for other in counts:
        whole = values[other]
        if other == name or FAILURES.search(other) or not ATTEMPTS.search(other):
            continue
        both = np.isfinite(failures) & np.isfinite(whole) if len(whole) == len(failures) else None
        if both is not None and both.any() and (failures[both] <= whole[both]).all():
            return other
    return ""


def _kpi_name(name: str) -> str:
    text = " ".join(plain(name, 100).replace("_", " ").split())
    return text.replace("${", "$ {") or "kpi"
