"""Random frames, seeded: series of every shape, type and zone, judged with every option.

Short, sparse, constant, huge, denormal, missing and negative series, whole numbers, ratios with
extreme denominators, segments and their total, controls, stages, an early look or a late one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import anomaly
from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.model import (
    Calendar,
    Correction,
    Direction,
    Empty,
    Kpi,
    KpiKind,
    LeftOut,
    NoData,
    Release,
    Window,
    Windows,
)
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, segment_text
from anomaly.reporting.report import Report
from anomaly.steps import DAY

Floats = NDArray[np.float64]
Random = np.random.Generator
T = TypeVar("T")
STEPS = ("1s", "15s", "1min", "5min", "7min", "15min", "1h", "3h", "1D")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
STARTS = ("2025-03-28", "2025-06-03", "2025-10-24", "2024-02-27", "1970-01-02")  # clocks change
UNITS: tuple[Literal["s", "ms", "us", "ns"], ...] = ("s", "ms", "us", "ns")
WHOLE = {"int64": (-(2.0**62), 2.0**62), "int32": (-(2.0**31), 2.0**31 - 1), "uint8": (0.0, 255.0)}
TYPES = ("float64", "float32", "Float64", "object", "bool", "Int64", *WHOLE)
HISTORIES = ((2, 17), (16, 24), (16, 40), (16, 80), (80, 400), (80, 1500))  # steps, from and to
LONGEST_WATCH = 60
LARGEST, HUGE, LEAST = 1.7e308, 1e300, 5e-324
EXACT = 2.0**53  # from here on not every whole number is a float
SEGMENTED = 0.25  # share of the frames that a checklist judges by segment


@dataclass(frozen=True, slots=True)
class OddFrame:
    """A frame and the options that it is judged with; `judge` must leave the `inputs` as they
    are."""

    inputs: tuple[pd.DataFrame, ...]
    options: dict[str, Any]
    judge: Callable[[], Report]


def odd_frame(seed: int, number: int) -> OddFrame:
    """Frame `number` of a seed; the same two make the same frame."""
    rng = np.random.default_rng([seed, number])
    return _of_segments(rng) if rng.random() < SEGMENTED else _of_columns(rng)


def _of_columns(rng: Random) -> OddFrame:
    """Columns for `anomaly.check`."""
    index, before = _index(rng)
    names = [f"k{i}" for i in range(rng.integers(1, 4))]
    frame = pd.DataFrame({name: odd_series(rng, len(index), before) for name in names}, index)
    options = _options(rng, index, before)
    inputs = [frame]
    if _sometimes(rng, 0.4):
        frame, below = _ratios(rng, frame)
        options["denominators"] = below
        inputs.append(below)
    if _sometimes(rng, 0.3):
        options["controls"] = [name for name in names[1:] if _sometimes(rng, 0.6)]
    for name in names:
        if _sometimes(rng, 0.4):
            frame[name] = _typed(rng, frame[name])
    if _sometimes(rng, 0.1):
        frame = frame.iloc[rng.permutation(len(frame))]
    if _sometimes(rng, 0.1):
        rows = np.sort(rng.permutation(len(frame))[: max(2, int(0.9 * len(frame)))])
        frame = frame.iloc[rows]
    inputs[0] = frame
    return OddFrame(tuple(inputs), options, lambda: anomaly.check(frame, **options))


def _of_segments(rng: Random) -> OddFrame:
    """A panel with segments and their totals, for a checklist."""
    index, before = _index(rng)
    zone, step = _one(rng, ZONES), _step(index)
    if step == DAY:  # a checklist's days are those of its calendar
        index = pd.date_range(index[0].date(), periods=len(index), freq="D", tz=zone)
    index = pd.DatetimeIndex(index.tz_convert("UTC").as_unit("ns"), name="time")
    kpis, columns = [], {}
    for i in range(rng.integers(1, 4)):
        by = ("country",) if _sometimes(rng, 0.7) else ()
        ratio = _sometimes(rng, 0.5)
        kpi = Kpi(
            f"k{i}",
            query="q",
            denominator="d" if ratio else None,
            by=by,
            total="t" if by and not ratio and _sometimes(rng, 0.6) else None,
            usage=_one(rng, (1.0, 0.0, 7.5)),
            critical=_sometimes(rng, 0.2),
            dry_run=_sometimes(rng, 0.1),
            min_volume=_one(rng, (0.0, 0.0, 0.0, 100.0)),
            empty=_one(rng, (Empty.MISSING, Empty.MISSING, Empty.ZERO)),
            per=_one(rng, (None, None, timedelta(seconds=1))),
            **_traits(rng, ratio=ratio),
        )
        kpis.append(kpi)
        segments = ["DE", "US", "FR"][: rng.integers(1, 4)] if by else [""]
        for segment in segments:
            text = segment_text({"country": segment}) if segment else ""
            values = odd_series(rng, len(index), before)
            if ratio:
                below = _volumes(rng, len(index))
                columns[kpi.name, text, DENOMINATOR] = below
                values = _successes(rng, values, below)
            columns[kpi.name, text, NUMERATOR if ratio else VALUE] = values
        if kpi.total is not None:
            parts = [columns[kpi.name, segment_text({"country": each}), VALUE] for each in segments]
            with np.errstate(all="ignore"):
                columns[f"total of {kpi.name}", "", VALUE] = np.sum(parts, axis=0)
    panel = assemble(columns, index)
    watch = max(1, len(index) - before + int(_one(rng, (0, 0, 0, 5, -2))))
    release = Release(index[before].to_pydatetime(), **_stages(rng, index, before))
    options: dict[str, Any] = {
        "kpis": tuple(kpis),
        "windows": Windows(
            history=before * step,
            warmup=step * int(_one(rng, (0, 0, 1))),
            watch=watch * step,
            step=step,
            lag=timedelta(0),
        ),
        "false_alarms": _one(rng, (0.01, 0.01, 0.2, 1e-6)),
        "correction": _one(rng, tuple(Correction)),
        "calendar": Calendar(
            timezone=zone,
            leave_out=tuple(
                LeftOut(Window(begin, end)) for begin, end in _left_out(rng, index) or ()
            ),
        ),
    }
    checklist = Checklist(service="shop", sources={}, **options)
    collected, now = Collected(panel), (index[-1] + step).to_pydatetime()

    def judge() -> Report:
        return anomaly.check_release(checklist, release, now=now, collected=collected)

    return OddFrame((panel,), options | {"release": release}, judge)


def _index(rng: Random) -> tuple[pd.DatetimeIndex, int]:
    """Stamps, and how many of them are before the release."""
    low, high = HISTORIES[rng.integers(len(HISTORIES))]
    before = int(rng.integers(low, high))
    after = _one(rng, (1, 2, 3, 4, 5, int(rng.integers(1, LONGEST_WATCH)), before))
    start = pd.Timestamp(_one(rng, STARTS), tz="UTC") + pd.Timedelta(hours=int(rng.integers(24)))
    freq = pd.Timedelta(_one(rng, STEPS))
    index = pd.date_range(start, periods=before + after, freq=freq, unit=_one(rng, UNITS))
    return pd.DatetimeIndex(index.tz_convert(_one(rng, ZONES))), before


def _step(index: pd.DatetimeIndex) -> timedelta:
    return pd.Timedelta(index[1] - index[0]).to_pytimedelta()


def _options(rng: Random, index: pd.DatetimeIndex, before: int) -> dict[str, Any]:
    """Options of `anomaly.check`, most of them at their defaults."""
    step, released, rows = _step(index), index[before], len(index)
    after = rows - before
    possible: dict[str, Callable[[], Any]] = {
        "watch": lambda: step * int(rng.integers(1, 2 * after + 1)),
        "warmup": lambda: step * int(rng.integers(after)),
        "finished_at": lambda: released + step * int(rng.integers(max(1, after // 2))),
        "until": lambda: released + step * int(rng.integers(1, after + 1)),
        "false_alarms": lambda: _one(rng, (0.5, 0.1, 1e-3, 1e-9)),
        "timezone": lambda: _one(rng, ZONES),
        "special_days": lambda: [released.date() - timedelta(days=int(rng.integers(3)))],
        "leave_out": lambda: _left_out(rng, index),
        "correction": lambda: _one(rng, tuple(Correction)),
        "next_release": lambda: released + step * int(rng.integers(1, after + 1)),
    }
    chosen = {name: make() for name, make in possible.items() if _sometimes(rng, 0.12)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    stages = _stages(rng, index, before)
    if stages:
        chosen.pop("finished_at", None)
    return {"released_at": released} | _traits(rng, ratio=False) | chosen | stages


def _traits(rng: Random, *, ratio: bool) -> dict[str, Any]:
    """What a KPI is, and which of its changes matter."""
    kinds = [kind for kind in KpiKind if ratio or kind is not KpiKind.RATIO]
    possible: dict[str, Callable[[], Any]] = {
        "kind": lambda: _one(rng, kinds),
        "tolerance": lambda: _one(rng, (0.05, 0.5, 10.0)),
        "floor": lambda: _one(rng, (1e-9, 1.0, HUGE)),
        "no_data": lambda: _one(rng, tuple(NoData)),
    }
    chosen = {name: make() for name, make in possible.items() if _sometimes(rng, 0.25)}
    return {"direction": _one(rng, tuple(Direction))} | chosen


def _left_out(rng: Random, index: pd.DatetimeIndex) -> list[tuple[Any, Any]] | None:
    """One span to leave out, or none."""
    first, last = np.sort(rng.integers(0, len(index), 2))
    if first == last or not _sometimes(rng, 0.5):
        return None
    return [(index[first].to_pydatetime(), index[last].to_pydatetime())]


def _stages(rng: Random, index: pd.DatetimeIndex, before: int) -> dict[str, Any]:
    """The stages of a release, or nothing."""
    after = len(index) - before
    if not _sometimes(rng, 0.25):
        return {}
    rows = before + np.sort(rng.permutation(after)[: rng.integers(1, 4)])
    shares = np.linspace(0, 1, len(rows) + 1)[1:]
    return {
        "stages": tuple(
            (index[row].to_pydatetime(), float(share))
            for row, share in zip(rows, shares, strict=True)
        )
    }


def odd_series(rng: Random, rows: int, before: int) -> Floats:
    """A series of any shape, with any change after the release, and with any part missing."""
    with np.errstate(all="ignore"):
        values = np.asarray(_one(rng, SHAPES)(rng, rows), dtype=float)
        if _sometimes(rng, 0.15):
            values = values * _one(rng, (-1.0, 1e-3, 1e9, HUGE, 1e-300))
        if _sometimes(rng, 0.6):
            values[before:] = _one(rng, CHANGES)(rng, values[before:])
    if _sometimes(rng, 0.3):
        values[_one(rng, HOLES)(rng, rows, before)] = _one(rng, (np.nan, np.nan, np.inf, 0.0))
    return values


def _remembering(rng: Random, rows: int) -> Floats:
    values = rng.normal(size=rows)
    for row in range(1, rows):
        values[row] += 0.8 * values[row - 1]
    return 50 + values


def _nearly_constant(rng: Random, rows: int) -> Floats:
    values = np.full(rows, _one(rng, (0.0, 0.1, 1.0, 1e15 + 0.3)))
    values[rng.integers(0, rows, rng.integers(1, 4))] += _one(rng, (1.0, -1.0, 1e-9, HUGE))
    return values


SHAPES: tuple[Callable[[Random, int], Any], ...] = (
    lambda rng, rows: rng.normal(100, 5, rows),
    lambda rng, rows: rng.normal(0, 1, rows),
    _remembering,
    lambda rng, rows: rng.poisson(_one(rng, (0.02, 0.3, 3.0)), rows).astype(float),
    lambda rng, rows: rng.poisson(500, rows).astype(float),
    lambda _rng, rows: np.zeros(rows),
    lambda rng, rows: np.full(rows, _one(rng, (0.1, 1 / 3, 7.0, -2.5, EXACT + 2, HUGE, LEAST))),
    _nearly_constant,
    _nearly_constant,
    lambda rng, rows: np.arange(rows) * rng.normal(),
    lambda _rng, rows: np.where(np.arange(rows) % 2, 1.0, -1.0),
    lambda rng, rows: np.where(_some(rng, rows, 0.03), 1e6, rng.random(rows)),
    lambda rng, rows: HUGE * rng.normal(size=rows),
    lambda rng, rows: LARGEST * rng.choice([-1.0, 1.0], rows),
    lambda rng, rows: LEAST * rng.integers(0, 9, rows),
    lambda rng, rows: 10.0 ** rng.uniform(-300, 300, rows),
    lambda rng, rows: np.exp(rng.normal(0, 2, rows)),
    lambda rng, rows: rng.standard_cauchy(rows),
    lambda rng, rows: np.round(rng.normal(3, 1, rows)),
    lambda rng, rows: 10 + np.sin(np.arange(rows) / 4) + 0.1 * rng.normal(size=rows),
    lambda rng, rows: EXACT + rng.integers(0, 9, rows),
    lambda rng, rows: rng.random(rows),
    lambda _rng, rows: np.full(rows, np.nan),
    lambda rng, rows: np.where(np.arange(rows) < rng.integers(rows), 0.0, rng.random(rows)),
)
CHANGES: tuple[Callable[[Random, Floats], Floats], ...] = (
    lambda rng, later: later + _one(rng, (1.0, -20.0, 1e6, -HUGE)),
    lambda rng, later: later * _one(rng, (0.0, 0.5, 1.2, -1.0, 1e9, HUGE)),
    lambda _rng, later: np.full(len(later), np.nan),
    lambda rng, later: np.full(len(later), _one(rng, (0.0, 5.0, HUGE, LEAST))),
    lambda rng, later: later + 30 * rng.normal(size=len(later)),
    lambda rng, later: np.where(_some(rng, len(later), 0.2), 1e4, later),
    lambda _rng, later: later + np.where(np.arange(len(later)) < len(later) / 2, 50.0, 0.0),
    lambda _rng, later: later + np.arange(len(later)),
)
HOLES: tuple[Callable[[Random, int, int], Any], ...] = (
    lambda rng, rows, _before: _some(rng, rows, _one(rng, (0.05, 0.5, 0.95))),
    lambda rng, rows, _before: slice(*np.sort(rng.integers(0, rows + 1, 2))),
    lambda _rng, rows, before: np.arange(rows) < before,
    lambda rng, rows, before: np.arange(rows) < before - rng.integers(1, 20),
    lambda _rng, rows, _before: np.arange(rows) % 2 == 0,
)
VOLUMES: tuple[Callable[[Random, int], Floats], ...] = (
    lambda rng, rows: rng.poisson(3, rows).astype(float),
    lambda rng, rows: rng.poisson(2000, rows).astype(float),
    lambda rng, rows: np.full(rows, _one(rng, (0.0, 1.0, 40.0, HUGE, LEAST))),
    lambda rng, rows: 10.0 ** rng.uniform(-300, 300, rows),
    lambda rng, rows: 10.0 ** rng.uniform(-3, 9, rows),
    lambda rng, rows: np.where(_some(rng, rows, 0.7), 0.0, 100.0),
    lambda rng, rows: np.where(_some(rng, rows, 0.3), np.nan, 100.0),
    lambda rng, rows: rng.normal(0, 100, rows),
)


def _volumes(rng: Random, rows: int) -> Floats:
    return np.asarray(_one(rng, VOLUMES)(rng, rows), dtype=float)


def _successes(rng: Random, values: Floats, volume: Floats) -> Floats:
    """A numerator: a share of the volume, that shifted as the values are, or just the values."""
    with np.errstate(all="ignore"):
        tries = np.clip(np.nan_to_num(volume), 0, 1e9).astype(int)
        return np.asarray(
            _one(
                rng,
                (
                    rng.binomial(tries, 0.05).astype(float),
                    rng.binomial(tries, np.clip(np.nan_to_num(np.abs(values)), 0, 1)).astype(float),
                    volume * 0.3,
                    values,
                ),
            )
        )


def _ratios(rng: Random, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numerators and denominators, one for all of them or one each."""
    shared = _sometimes(rng, 0.3)
    below = pd.DataFrame(
        {name: _volumes(rng, len(frame)) for name in (["all"] if shared else frame)}, frame.index
    )
    above = {
        name: _successes(rng, frame[name].to_numpy(), below["all" if shared else name].to_numpy())
        for name in frame
    }
    return pd.DataFrame(above, frame.index), below


def _typed(rng: Random, column: pd.Series) -> pd.Series:
    """The column as another type, as far as its values allow it."""
    kind: Any = _one(rng, TYPES)
    values = column.to_numpy(dtype=float)
    if kind in WHOLE or kind == "Int64":
        low, high = WHOLE.get(kind, WHOLE["int64"])
        whole = np.clip(np.nan_to_num(np.round(values)), low, high).astype("int64")
        return pd.Series(whole, column.index).astype(kind)
    if kind == "bool":
        return pd.Series(np.nan_to_num(values) > 0, column.index)
    with np.errstate(all="ignore"):
        return column.astype(kind)


def _one(rng: Random, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _sometimes(rng: Random, share: float) -> bool:
    return bool(rng.random() < share)


def _some(rng: Random, rows: int, share: float) -> NDArray[np.bool_]:
    return rng.random(rows) < share
