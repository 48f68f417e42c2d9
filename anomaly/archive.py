"""A report as bytes, to be kept and shown again: its JSON and its points, compressed."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from anomaly.errors import UsageError
from anomaly.model import (
    ChangeKind,
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
    Report,
    Verdict,
    Window,
)
from anomaly.report import SCHEMA, to_dict

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 1 << 28  # what a kept report may unpack to
NUMBERS = ("observed", "expected", "lower", "upper", "z")
T = TypeVar("T")


def pack(report: Report) -> bytes:
    """The report, compressed; the same report gives the same bytes."""
    data = {"report": to_dict(report), "points": points_data(report.points)}
    return zlib.compress(json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii"))


def unpack(packed: bytes) -> Report:
    """What `pack` packed. Raises UsageError for anything else."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MOST_BYTES)
        if not unpacking.eof:
            raise UsageError("the kept report is cut off, or too large")
        data = json.loads(text)
        return from_dict(data["report"], points_frame(data["points"]))
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"this is no report that was kept: {type(error).__name__}") from error


def points_data(points: pd.DataFrame) -> dict[str, list[Any]]:
    """The points as lists by column; times are seconds since 1970, what is not finite is None."""
    import pandas as pd  # noqa: PLC0415  needed only where points are

    out: dict[str, list[Any]] = {
        "kpi": [str(name) for name in points["kpi"]],
        "segment": [str(segment) for segment in points["segment"]],
        "time": [pd.Timestamp(moment).timestamp() for moment in points["time"]],
        "flagged": [bool(flag) for flag in points["flagged"]],
    }
    for name in NUMBERS:
        out[name] = [float(value) if math.isfinite(value) else None for value in points[name]]
    return out


def points_frame(data: Mapping[str, list[Any]]) -> pd.DataFrame:
    """The points that `points_data` made lists of."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {
            "kpi": pd.Series(data["kpi"], dtype="str"),
            "segment": pd.Series(data["segment"], dtype="str"),
            "time": pd.to_datetime(pd.Series(data["time"], dtype="float64"), unit="s", utc=True).dt.as_unit("ns"),
            **{name: pd.Series(data[name], dtype="float64") for name in NUMBERS},
            "flagged": pd.Series(data["flagged"], dtype="bool"),
        }
    )[["kpi", "segment", "time", *NUMBERS, "flagged"]]


def from_dict(data: Mapping[str, Any], points: pd.DataFrame) -> Report:
    """The report whose `to_dict` is `data`. Raises UsageError for a later schema, KeyError, TypeError or ValueError for what is none."""
    if data["schema"] > SCHEMA:
        raise UsageError(f"the report is of schema {data['schema']}, this version reads up to {SCHEMA}; use a newer anomaly")
    windows = data["windows"]
    return Report(
        release=_release(data["release"]),
        verdict=ReleaseVerdict(data["verdict"]),
        final=data["final"],
        findings=tuple(_finding(each) for each in data["findings"]),
        points=points,
        baseline=_window(windows["baseline"]),
        observation=_window(windows["observation"]),
        step=timedelta(seconds=windows["step_s"]),
        false_alarms=data["false_alarms"],
        verifiable=data.get("verifiable"),
        made=data["made"],
        left_out=tuple(LeftOut(_window(each), each["reason"]) for each in data.get("left_out", ())),
        confounders=tuple(_named(each) for each in data.get("confounders", ())),
    )


def _release(data: Mapping[str, Any]) -> Release:
    return Release(
        started_at=_moment(data["started_at"]),
        finished_at=_moment(data["finished_at"]),
        service=data["service"],
        version=data["version"],
        environment=data["environment"],
        stages=tuple((_moment(stage["at"]), stage["share"]) for stage in data["stages"]),
        followed_by=_maybe(data["followed_by"], _named),
    )


def _named(data: Mapping[str, Any]) -> Release:
    return Release(_moment(data["started_at"]), service=data.get("service", ""), version=data["version"])


def _finding(data: Mapping[str, Any]) -> Finding:
    built = {
        "verdict": Verdict(data["verdict"]),
        "kind": _maybe(data["kind"], ChangeKind),
        "direction": Direction(data["direction"]),
        "no_data": NoData(data["no_data"]),
        "effect_interval": _maybe(data["effect_interval"], _interval),
        "effect_absolute_interval": _maybe(data["effect_absolute_interval"], _interval),
        "onset": _maybe(data["onset"], _moment),
        "onset_interval": _maybe(data["onset_interval"], lambda ends: (_moment(ends[0]), _moment(ends[1]))),
        "exposure": _maybe(data["exposure"], _exposure),
        "flagged": _maybe(data["flagged"], _flagged),
        "notes": tuple(data["notes"]),
        "control_for": tuple(data["control_for"]),
    }
    return Finding(**{**data, **built})


def _flagged(data: Mapping[str, Any]) -> Flagged:
    return Flagged(data["count"], _moment(data["first"]), _moment(data["worst"]), _number(data["worst_z"]))


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
    """JSON has no infinity and no NaN; what was either comes back as NaN."""
    return math.nan if value is None else value


def _maybe(value: Any, build: Callable[[Any], T]) -> T | None:
    return None if value is None else build(value)
