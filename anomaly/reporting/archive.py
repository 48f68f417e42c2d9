"""A report as compressed bytes, to store it and show it again: its JSON and its points."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomaly import wording
from anomaly.errors import UsageError
from anomaly.reporting.data import SCHEMA, to_dict
from anomaly.reporting.foremost import with_kept_points
from anomaly.reporting.message import Receipt
from anomaly.reporting.page_data import PACKED, unpacked
from anomaly.reporting.report import Report

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from anomaly.reporting.archive_form import Archived

LONGEST_SAID = 200
MOST_BYTES = 1 << 28  # the largest report after unpacking
EARLIER = ("day", "week")
NUMBERS = ("observed", "expected", "lower", "upper", "z")
BESIDE = ("observed", "expected", "lower", "upper")  # of the steps that were not judged
SECOND = 10**9  # in nanoseconds
SUFFIXES = (".html", ".htm", ".json")
OPENING, CLOSING = '<script type="application/json" id="data">', "</script>"  # in a page


def pack(report: Report) -> bytes:
    """The report, compressed; the same report gives the same bytes."""
    return compressed(data_of(report))


def unpack(packed: bytes) -> Report:
    """What `pack` packed. Raises UsageError for anything else."""
    text = text_of(packed)
    try:
        return report_of(parsed(text))
    except UsageError as error:
        raise UsageError(f"this is not a stored report: {error}") from None


def compressed(data: Mapping[str, Any], dictionary: bytes = b"") -> bytes:
    """Strictly JSON-able data, compressed; of what stands in `dictionary`, too, only the place is
    written, within the last 32 KiB of it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii")
    packing = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zdict=dictionary)
    return packing.compress(text) + packing.flush()


def text_of(packed: bytes, dictionary: bytes = b"") -> bytes:
    """The text that `compressed` made smaller with this dictionary. Raises UsageError for anything
    else."""
    unpacking = zlib.decompressobj(zdict=dictionary)
    try:
        text = unpacking.decompress(packed, MOST_BYTES)
    except zlib.error as error:
        raise UsageError(f"this is not a stored report: {error}") from None
    if not unpacking.eof:
        raise UsageError("the stored report is truncated or too large")
    return text


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
    try:
        data = parsed(_embedded(text))
        if PACKED in data:
            data = unpacked(data, MOST_BYTES)
        form = _form_of(data if "report" in data else {"report": data})
        return _report_of(form), form.receipts()
    except UsageError as error:
        raise UsageError(
            f"{path} holds no report: {error}; give an HTML page written by --report, or a report "
            "in JSON"
        ) from None


def _embedded(text: str) -> str:
    """The data in a page, or the text itself."""
    _, opening, rest = text.partition(OPENING)
    data, closing, _ = rest.partition(CLOSING)
    return data if opening and closing else text


def parsed(text: str | bytes) -> dict[str, Any]:
    """The object in JSON. Raises UsageError."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise UsageError("its JSON is nested too deeply") from None
    except ValueError:
        raise UsageError("it is not JSON") from None
    if not isinstance(data, dict):
        raise UsageError("its JSON is not an object")
    return data


def data_of(report: Report) -> dict[str, Any]:
    """The report as strictly JSON-able data: `report` as in `docs/json.md`, and `series`, see
    `series_data`."""
    return {"report": to_dict(report), "series": series_data(report)}


def report_of(data: Mapping[str, Any]) -> Report:
    """The report whose `data_of` is `data`. Raises UsageError for anything else, and for a later
    schema."""
    return _report_of(_form_of(data))


def _form_of(data: Mapping[str, Any]) -> Archived:
    from anomaly.reporting.archive_form import checked

    schema = data["report"].get("schema") if isinstance(data.get("report"), dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise UsageError(
            f"the report has schema {schema}, this version reads up to {SCHEMA}; use a newer "
            "anomaly"
        )
    return checked(data)


def _report_of(form: Archived) -> Report:
    from anomaly.reporting.archive_form import report_of_form

    series = form.all_series()
    try:
        return report_of_form(
            form, points_frame(series), around_frame(series), earlier_frame(series)
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(wording.plain(str(error), LONGEST_SAID)) from None


def series_data(report: Report) -> list[dict[str, Any]]:
    """The points that are kept (`foremost.py`) as lists, a dictionary for each series; times are
    seconds since 1970, not finite is None.

    `around` holds the neighbouring steps that were not judged, `earlier` what was observed a day
    and a week before (None where nothing was).
    """
    report = with_kept_points(report)
    points = _lists(report.points, NUMBERS, ("flagged",))
    around = {} if report.around is None else _lists(report.around, BESIDE)
    earlier = (
        {}
        if report.earlier is None
        else _lists(report.earlier.dropna(subset=[*EARLIER], how="all"), EARLIER)
    )
    return [
        {
            "kpi": key[0],
            "segment": key[1],
            **points.get(key, _no_steps((*NUMBERS, "flagged"))),
            "around": around.get(key, _no_steps(BESIDE)),
            "earlier": earlier.get(key),
        }
        for key in dict.fromkeys((*points, *around))
    ]


def _lists(
    frame: pd.DataFrame, numbers: Sequence[str], flags: Sequence[str] = ()
) -> dict[tuple[str, str], dict[str, list[Any]]]:
    """The time and the values of each series."""
    from anomaly.reporting.long_frame import series_rows

    columns = {"time": frame["time"].to_numpy(dtype="datetime64[ns]").astype("int64")}
    columns |= {name: frame[name].to_numpy(dtype=float) for name in numbers}
    columns |= {name: frame[name].to_numpy(dtype=int) for name in flags}
    read = {"time": _seconds} | dict.fromkeys(numbers, _numbers)
    return {
        key: {
            name: read[name](column[rows]) if name in read else column[rows].tolist()
            for name, column in columns.items()
        }
        for key, rows in series_rows(frame).items()
    }


def _no_steps(names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [] for name in ("time", *names)}


def _seconds(times: np.ndarray) -> list[float]:
    """Seconds since 1970 of times in nanoseconds, as whole numbers where they are."""
    return [
        each // SECOND if each % SECOND == 0 else round(each / SECOND, 6) for each in times.tolist()
    ]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def points_frame(series: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The points from the lists of `series_data`."""
    frame = _frame(series, NUMBERS)
    frame["flagged"] = _column([flag for each in series for flag in each["flagged"]], "bool")
    return frame


def around_frame(series: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The steps that were not judged, as `Report.around`."""
    return _frame(
        [
            {
                "kpi": each["kpi"],
                "segment": each["segment"],
                "time": (times := each["around"]["time"]),
                **{name: each["around"][name] or [None] * len(times) for name in BESIDE},
            }
            for each in series
            if each["around"] is not None
        ],
        BESIDE,
    )


def earlier_frame(series: Sequence[Mapping[str, Any]]) -> pd.DataFrame | None:
    """What was observed a day and a week before, as `Report.earlier`; None without any."""
    parts = [
        {**each["earlier"], "kpi": each["kpi"], "segment": each["segment"]}
        for each in series
        if each["earlier"] is not None
    ]
    return _frame(parts, EARLIER) if parts else None


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
