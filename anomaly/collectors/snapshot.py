"""What was collected, kept in a file, so that a verdict can be reproduced after the source forgot.

JSON, compressed where the name ends in `.gz`: the panel column by column (numbers to the last bit,
null for missing), the provenance and the errors of the KPIs. Rows are told by `start`, `step_s` and
their number, or by `times` where days or months differ in length. `schema` changes when the form
does.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.panel import assemble, index_of, segment_labels, segment_text, step_of, times
from anomaly.replacement import replace_file
from anomaly.wording import plain, stamp

SCHEMA = 3  # 1 had no links, 2 no times
GZIP_MAGIC = b"\x1f\x8b"
LARGEST = 1 << 29  # bytes, unpacked
YEARS = range(1970, 2200)
TEXT_SHOWN = 120


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Column(_Strict):
    kpi: str
    segment: str
    role: Literal["value", "numerator", "denominator"]
    values: list[FiniteFloat | None]


class _Provenance(_Strict):
    query: str
    denominator: str | None
    notes: list[str]
    link: str = ""


class _Error(_Strict):
    text: str
    retryable: bool
    retry_after_s: FiniteFloat | None


class _Snapshot(_Strict):
    schema_: Annotated[Literal[1, 2, 3], Field(alias="schema")]
    start: AwareDatetime | None
    step_s: Annotated[int, Field(gt=0)] | None
    rows: Annotated[int, Field(ge=0)]
    times: list[AwareDatetime] | None = None
    columns: list[_Column]
    provenance: dict[str, _Provenance]
    errors: dict[str, _Error]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rows and (self.start is None or (self.rows > 1 and self.step_s is None)):
            raise ValueError("rows need start and step_s")
        if self.times is not None and (
            len(self.times) != self.rows or any(b <= a for a, b in pairwise(self.times))
        ):
            raise ValueError("times are not increasing, or not as many as rows")
        for at, column in enumerate(self.columns):
            if len(column.values) != self.rows:
                raise ValueError(
                    f"columns[{at}] has {len(column.values)} values; rows is {self.rows}"
                )
            if segment_text(segment_labels(column.segment)) != column.segment:
                raise ValueError(f"columns[{at}].segment is not a list of labels")
        if len({(column.kpi, column.segment, column.role) for column in self.columns}) < len(
            self.columns
        ):
            raise ValueError("a column is there twice")
        return self


def save(collected: Collected, path: Path) -> None:
    """Writes `path`, all of it or nothing; raises UsageError when it can't be written."""
    data = json.dumps(_document(collected), separators=(",", ":"), allow_nan=False).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    try:
        replace_file(path, data)
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror or error}") from error


def load(path: Path) -> Collected:
    """What `save` wrote; raises UsageError when the file can't be read or is anything else."""
    try:
        data = _read(path)
        _check_schema(path, data)
        snapshot = _Snapshot.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(
            f"{path}: is not a snapshot of this tool: {plain(place, TEXT_SHOWN)}: {first['msg']}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path}: can't be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    return _collected(path, snapshot)


def _read(path: Path) -> bytes:
    """The content of the file, unpacked; at most LARGEST bytes."""
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if data.startswith(GZIP_MAGIC):
        with gzip.open(io.BytesIO(data)) as packed:
            data = packed.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(
            f"{path}: larger than {LARGEST:,} bytes; it is not a snapshot of this tool"
        )
    return data


class _Version(BaseModel):
    schema_: Annotated[int, Field(alias="schema", strict=True)]


def _check_schema(path: Path, data: bytes) -> None:
    version = TypeAdapter(_Version).validate_json(data).schema_
    if version > SCHEMA:
        raise UsageError(
            f"{path}: was saved by a newer version (schema {version}; this one reads {SCHEMA})"
        )


def _document(collected: Collected) -> dict[str, Any]:
    panel = collected.panel
    values = panel.to_numpy(dtype=np.float64)
    step = _step(panel)
    is_regular = len(set(np.diff(pd.DatetimeIndex(panel.index).asi8).tolist())) <= 1
    return {
        "schema": SCHEMA,
        "start": stamp(panel.index[0].to_pydatetime()) if len(panel) else None,
        "step_s": None if step is None else step // timedelta(seconds=1),
        "rows": len(panel),
        "times": None if is_regular else [stamp(moment) for moment in times(panel)],
        "columns": [
            {
                "kpi": kpi,
                "segment": segment,
                "role": role,
                "values": [value if math.isfinite(value) else None for value in column],
            }
            for (kpi, segment, role), column in zip(_keys(panel), values.T.tolist(), strict=True)
        ],
        "provenance": {
            kpi: {
                "query": about.query,
                "denominator": about.denominator,
                "notes": list(about.notes),
                "link": about.link,
            }
            for kpi, about in collected.provenance.items()
        },
        "errors": {kpi: _error(error) for kpi, error in collected.errors.items()},
    }


def _keys(panel: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [
        (str(kpi), str(segment), str(role))
        for kpi, segment, role in panel.columns.to_frame().itertuples(index=False)
    ]


def _step(panel: pd.DataFrame) -> timedelta | None:
    """The step of the panel, as far as it has one."""
    frequency = getattr(panel.index, "freq", None)
    if frequency is not None:
        return pd.Timedelta(frequency).to_pytimedelta()
    return step_of(panel) if len(panel) > 1 else None


def _error(error: CollectError) -> dict[str, Any]:
    return {
        "text": str(error),
        "retryable": isinstance(error, RetryableCollectError),
        "retry_after_s": error.retry_after_s if isinstance(error, RetryableCollectError) else None,
    }


def _collected(path: Path, snapshot: _Snapshot) -> Collected:
    columns: dict[tuple[str, str, str], np.ndarray] = {
        (column.kpi, column.segment, column.role): np.array(column.values, dtype=np.float64)
        for column in snapshot.columns
    }
    return Collected(
        panel=assemble(columns, _index(path, snapshot)),
        provenance={
            kpi: Provenance(about.query, about.denominator, tuple(about.notes), about.link)
            for kpi, about in snapshot.provenance.items()
        },
        errors={
            kpi: RetryableCollectError(error.text, retry_after_s=error.retry_after_s)
            if error.retryable
            else CollectError(error.text)
            for kpi, error in snapshot.errors.items()
        },
    )


def _index(path: Path, snapshot: _Snapshot) -> pd.DatetimeIndex:
    if snapshot.start is None:
        return pd.DatetimeIndex([], dtype="datetime64[ns, UTC]", name="time")
    try:
        step = timedelta(seconds=snapshot.step_s or 1)
        end = snapshot.start + snapshot.rows * step
    except OverflowError:
        raise UsageError(f"{path}: is not a snapshot of this tool: its times overflow") from None
    if snapshot.start.year not in YEARS or end.year not in YEARS:
        raise UsageError(
            f"{path}: is not a snapshot of this tool: its times are not between {YEARS[0]} and "
            f"{YEARS[-1]}"
        )
    if snapshot.times is not None:
        return index_of(snapshot.times)
    start = pd.Timestamp(snapshot.start).tz_convert("UTC")
    return pd.DatetimeIndex(
        pd.date_range(start, periods=snapshot.rows, freq=step, unit="ns"), name="time"
    )
