"""The points of a report as a file for other tools: CSV that no spreadsheet takes for formulas, or
Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from anomaly.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("kpi", "segment")
# what a spreadsheet takes for a formula begins so (OWASP, CSV Injection)
FORMULA = re.compile(r"[=+\-@＝＋－＠\t\r\n]")  # noqa: RUF001
STAMP = "%Y-%m-%dT%H:%M:%SZ"


def csv_bytes(points: pd.DataFrame) -> bytes:
    """A row per step under the names of the columns, UTF-8; times are UTC, unknown numbers empty.

    A KPI or segment that a spreadsheet would take for a formula has a `'` before it.
    """
    safe = _with_texts(points, lambda text: f"'{text}" if FORMULA.match(text) else text)
    return safe.to_csv(
        index=False, date_format=STAMP, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    ).encode("utf-8")


def parquet_bytes(points: pd.DataFrame) -> bytes:
    """The same as Parquet; raises UsageError without pyarrow."""
    out = BytesIO()
    try:
        _with_texts(points, lambda text: text).to_parquet(out, engine="pyarrow", index=False)
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'release-anomaly[parquet]'") from error
    return out.getvalue()


def _with_texts(points: pd.DataFrame, written: Callable[[str], str]) -> pd.DataFrame:
    """The points with their texts as they are to be written; what UTF-8 has no form for, a lone
    surrogate, is a `?`."""

    def clean(text: object) -> str:
        return written(str(text).encode("utf-8", "replace").decode("utf-8"))

    return points.assign(
        **{name: [clean(text) for text in points[name].astype(object)] for name in TEXTS}
    )
