"""A report as compressed bytes, to store it and show it again: its JSON and its points."""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from anomaly.errors import UsageError
from anomaly.model import (
    ChangeKind,
    Coverage,
    Direction,
    Exposure,
    Finding,
    Flagged,
    Growth,
    Interval,
    LeftOut,
    NoData,
    Plateau,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
    dated,
)
from anomaly.reporting.data import SCHEMA, to_dict
from anomaly.reporting.evidence import from_names
from anomaly.reporting.message import Receipt
from anomaly.reporting.report import Report
from anomaly.steps import of_calendar

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 1 << 28  # the largest report after unpacking
NUMBERS = ("observed", "expected", "lower", "upper", "z")
SUFFIXES = (".html", ".htm", ".json")
IN_A_PAGE = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
T = TypeVar("T")


def pack(report: Report) -> bytes:
    """The report, compressed; the same report gives the same bytes."""
    return zlib.compress(
        json.dumps(data_of(report), allow_nan=False, separators=(",", ":")).encode("ascii")
    )


def unpack(packed: bytes) -> Report:
    """What `pack` packed. Raises UsageError for anything else."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MOST_BYTES)
        if not unpacking.eof:
            raise UsageError("the stored report is truncated or too large")
        return report_of(json.loads(text))
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"this is not a stored report: {type(error).__name__}") from error


def is_file(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a file with a report, not an id."""
    return Path(name).suffix.lower() in SUFFIXES


def read(path: Path) -> tuple[Report, tuple[Receipt, ...]]:
    """The report in a page or a JSON file, and its deliveries. Raises UsageError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is too large for a report")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is not text'}"
        ) from None
    embedded = IN_A_PAGE.search(text)
    try:
        data = json.loads(embedded[1] if embedded else text)
        whole = data if "report" in data else {"report": data, "series": []}
        return report_of(whole), tuple(
            _receipt(each) for each in whole["report"].get("deliveries", ())
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise UsageError(
            f"{path} holds no report; give an HTML page written by --report, or a report in JSON"
        ) from None


def _receipt(data: Mapping[str, Any]) -> Receipt:
    return Receipt(
        data["sink"], delivered=data["delivered"], detail=data["detail"], attempts=data["attempts"]
    )


def data_of(report: Report) -> dict[str, Any]:
    """The report as strictly JSON-able data with all of its points: `report` as in `docs/json.md`,
    and `series`, see `series_data`."""
    return {"report": to_dict(report), "series": series_data(report)}


def report_of(data: Mapping[str, Any]) -> Report:
    """The report whose `data_of` is `data`. Raises UsageError, KeyError, TypeError or ValueError
    for anything else."""
    # older reports have `points`: one list for all series, without `around`
    series = [data["points"]] if "points" in data else data["series"]
    return from_dict(data["report"], points_frame(series), around_frame(data.get("series", ())))


def series_data(report: Report) -> list[dict[str, Any]]:
    """The points as lists, a dictionary for each series; times are seconds since 1970, not finite
    is None.

    `around` holds the neighbouring steps that were not judged.
    """
    points = _by_series(report.points)
    around = {} if report.around is None else _by_series(report.around)
    return [
        {
            "kpi": key[0],
            "segment": key[1],
            "time": _seconds(points.get(key)),
            **{name: _numbers(points.get(key), name) for name in NUMBERS},
            "flagged": [int(flag) for flag in points[key]["flagged"]] if key in points else [],
            "around": {
                "time": _seconds(around.get(key)),
                "observed": _numbers(around.get(key), "observed"),
            },
        }
        for key in dict.fromkeys((*points, *around))
    ]


def _by_series(frame: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    keys = [frame[name].astype(object).to_numpy() for name in ("kpi", "segment")]
    return {(str(key[0]), str(key[1])): part for key, part in frame.groupby(keys, sort=False)}


def _seconds(part: pd.DataFrame | None) -> list[float]:
    moments = [] if part is None else [moment.timestamp() for moment in part["time"]]
    return [int(each) if each == int(each) else each for each in moments]


def _numbers(part: pd.DataFrame | None, name: str) -> list[float | None]:
    return (
        []
        if part is None
        else [
            value if math.isfinite(value) else None for value in part[name].astype(float).tolist()
        ]
    )


def points_frame(series: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The points from the lists of `series_data`."""
    frame = _frame(series, NUMBERS)
    frame["flagged"] = _column([flag for each in series for flag in each["flagged"]], "bool")
    return frame


def around_frame(series: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The steps that were not judged, as `Report.around`."""
    return _frame(
        [{**each["around"], "kpi": each["kpi"], "segment": each["segment"]} for each in series],
        ("observed",),
    )


def _frame(series: Sequence[Mapping[str, Any]], numbers: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    times = _column([moment for each in series for moment in each["time"]], "float64")
    texts = {
        name: _column(
            [text for each in series for text in _repeated(each[name], len(each["time"]))], "str"
        )
        for name in ("kpi", "segment")
    }
    values = {
        name: _column([value for each in series for value in each[name]], "float64")
        for name in numbers
    }
    return pd.DataFrame(
        {**texts, "time": pd.to_datetime(times, unit="s", utc=True).dt.as_unit("ns"), **values}
    )


def _repeated(names: str | list[str], count: int) -> list[str]:
    return [names] * count if isinstance(names, str) else names


def _column(values: list[Any], dtype: str) -> pd.Series:
    import pandas as pd

    return pd.Series(values, dtype=dtype)


def from_dict(
    data: Mapping[str, Any], points: pd.DataFrame, around: pd.DataFrame | None = None
) -> Report:
    """The report whose `to_dict` is `data`. Raises UsageError for a later schema, KeyError,
    TypeError or ValueError for anything else."""
    if data["schema"] > SCHEMA:
        raise UsageError(
            f"the report has schema {data['schema']}, this version reads up to {SCHEMA}; use a "
            "newer anomaly"
        )
    windows = data["windows"]
    step, zone = timedelta(seconds=windows["step_s"]), windows.get("timezone")
    if zone is not None:
        from anomaly.panel import in_calendar

        step = of_calendar(step, zone)
        points = in_calendar(points, step)
        around = None if around is None else in_calendar(around, step)
    return Report(
        release=_release(data["release"]),
        verdict=ReleaseVerdict(data["verdict"]),
        final=data["final"],
        findings=tuple(dated(_finding(each), step) for each in data["findings"]),
        points=points,
        baseline=_window(windows["baseline"]),
        observation=_window(windows["observation"]),
        step=step,
        false_alarms=data["false_alarms"],
        verifiable=data.get("verifiable"),
        made=data["made"],
        left_out=tuple(LeftOut(_window(each), each["reason"]) for each in data.get("left_out", ())),
        confounders=tuple(_other_release(each) for each in data.get("confounders", ())),
        around=around,
    )


def _release(data: Mapping[str, Any]) -> Release:
    return Release(
        started_at=_moment(data["started_at"]),
        finished_at=_moment(data["finished_at"]),
        service=data["service"],
        version=data["version"],
        environment=data["environment"],
        stages=tuple((_moment(stage["at"]), stage["share"]) for stage in data["stages"]),
        followed_by=_maybe(data["followed_by"], _other_release),
    )


def _other_release(data: Mapping[str, Any]) -> Release:
    return Release(
        _moment(data["started_at"]), service=data.get("service", ""), version=data["version"]
    )


def _finding(data: Mapping[str, Any]) -> Finding:
    parsed = {
        "verdict": Verdict(data["verdict"]),
        "kind": _maybe(data["kind"], ChangeKind),
        "direction": Direction(data["direction"]),
        "no_data": NoData(data["no_data"]),
        "effect_interval": _maybe(data["effect_interval"], _interval),
        "effect_absolute_interval": _maybe(data["effect_absolute_interval"], _interval),
        "onset": _maybe(data["onset"], _moment),
        "onset_interval": _maybe(
            data["onset_interval"], lambda ends: (_moment(ends[0]), _moment(ends[1]))
        ),
        "exposure": _maybe(data["exposure"], _exposure),
        "flagged": _maybe(data["flagged"], _flagged),
        "coverage": _maybe(
            data.get("coverage"), lambda coverage: Coverage(coverage["share"], coverage["steps"])
        ),  # older reports have none
        "notes": tuple(data["notes"]),
        "control_for": tuple(data["control_for"]),
        "evidence": from_names(data.get("evidence", {})),
    }
    return Finding(**{**data, **parsed})


def _flagged(data: Mapping[str, Any]) -> Flagged:
    return Flagged(
        data["count"], _moment(data["first"]), _moment(data["worst"]), _number(data["worst_z"])
    )


def _exposure(data: Mapping[str, Any]) -> Exposure:
    return Exposure(Growth(data["growth"]), tuple(_plateau(each) for each in data["plateaus"]))


def _plateau(data: Mapping[str, Any]) -> Plateau:
    return Plateau(
        share=data["share"],
        window=_window(data),
        effect=data["effect"],
        effect_interval=_maybe(data["effect_interval"], _interval),
        effect_absolute=data["effect_absolute"],
        effect_absolute_interval=_maybe(data["effect_absolute_interval"], _interval),
    )


def _window(data: Mapping[str, Any]) -> Window:
    return Window(_moment(data["start"]), _moment(data["end"]))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _interval(ends: list[float | None]) -> Interval:
    return _number(ends[0]), _number(ends[1])


def _number(value: float | None) -> float:
    """JSON has no infinity and no NaN; both come back as NaN."""
    return math.nan if value is None else value


def _maybe(value: Any, build: Callable[[Any], T]) -> T | None:
    return None if value is None else build(value)
