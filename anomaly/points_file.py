"""The points of a report as a file for other tools: CSV that no spreadsheet takes for formulas, or Parquet."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from anomaly.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("kpi", "segment")
FORMULA = r"^(?=[=+\-@＝＋－＠\t\r\n])"  # what a spreadsheet may take a cell for that begins so (OWASP, CSV Injection)  # noqa: RUF001
STAMP = "%Y-%m-%dT%H:%M:%SZ"


def csv_bytes(points: pd.DataFrame) -> bytes:
    """A row per step under the names of the columns, UTF-8; times are UTC, unknown numbers empty.

    A KPI or segment that a spreadsheet would take for a formula has a `'` before it.
    """
    safe = points.assign(**{name: points[name].astype(str).str.replace(FORMULA, "'", regex=True) for name in TEXTS})
    return safe.to_csv(index=False, date_format=STAMP, lineterminator="\n").encode("utf-8")


def parquet_bytes(points: pd.DataFrame) -> bytes:
    """The same as Parquet, texts as they are; raises UsageError without pyarrow."""
    out = BytesIO()
    try:
        points.to_parquet(out, engine="pyarrow", index=False)
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'release-anomaly[parquet]'") from error
    return out.getvalue()
