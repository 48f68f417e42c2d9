"""The points of a report as a file: CSV without spreadsheet formulas, or Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from anomaly.errors import UsageError
from anomaly.wording import stamp

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("kpi", "segment")
# how a text begins that a spreadsheet takes for a formula (OWASP, CSV Injection)
FORMULA = re.compile(r"[=+\-@＝＋－＠\t\r\n]")  # noqa: RUF001


def csv_bytes(points: pd.DataFrame) -> bytes:
    """A header, then a row per step, in UTF-8; times are UTC, those of days, weeks and months
    local; unknown numbers are empty.

    A KPI or segment that a spreadsheet would take for a formula starts with a `'`.
    """
    safe = _with_texts(points, lambda text: f"'{text}" if FORMULA.match(text) else text)
    stamps = {moment: stamp(moment) for moment in points["time"].unique()}
    safe = safe.assign(time=points["time"].map(stamps))
    return safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode(
        "utf-8"
    )


def parquet_bytes(points: pd.DataFrame) -> bytes:
    """The same as Parquet; raises UsageError without pyarrow."""
    out = BytesIO()
    try:
        _with_texts(points, lambda text: text).to_parquet(out, engine="pyarrow", index=False)
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'release-anomaly[parquet]'") from error
    return out.getvalue()


def _with_texts(points: pd.DataFrame, escape: Callable[[str], str]) -> pd.DataFrame:
    """The points with escaped texts; a lone surrogate, which UTF-8 can't hold, becomes `?`."""
    import numpy as np
    import pandas as pd

    def clean(text: object) -> str:
        return escape(str(text).encode("utf-8", "replace").decode("utf-8"))

    columns = {}
    for name in TEXTS:
        codes, texts = pd.factorize(points[name].astype(object).to_numpy())
        columns[name] = np.array([clean(text) for text in texts], dtype=object)[codes]
    return points.assign(**columns)
