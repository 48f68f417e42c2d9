"""The series of a long frame, as the points of a report are: found without a look at every row for
each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

Key = tuple[str, str]  # KPI and segment


def series_rows(frame: pd.DataFrame) -> Mapping[Key, np.ndarray]:
    """The places of the rows of each series, in the order in which the series come first."""
    if frame.empty:
        return {}
    kpi, kpis = _codes(frame["kpi"])
    segment, segments = _codes(frame["segment"])
    series = kpi * len(segments) + segment
    order = np.argsort(series, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
    parts.sort(key=lambda part: part[0])
    return {(kpis[kpi[part[0]]], segments[segment[part[0]]]): part for part in parts}


def of_series(frame: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows of one series."""
    return frame[_equals(frame["kpi"], key[0]) & _equals(frame["segment"], key[1])]


def only_series(frame: pd.DataFrame, keys: set[Key]) -> pd.DataFrame:
    """The rows of these series, in their order."""
    rows = [own for key, own in series_rows(frame).items() if key in keys]
    return frame.iloc[np.sort(np.concatenate(rows)) if rows else []].reset_index(drop=True)


def _codes(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """A number for each text of the column, and the texts."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(np.int64), [str(each) for each in column.cat.categories]
    values = column.to_numpy() if column.dtype == object else column
    codes, texts = pd.factorize(values)
    return codes.astype(np.int64), [str(each) for each in texts]


def _equals(column: pd.Series, text: str) -> pd.Series:
    """Which rows hold the text; Arrow can't compare one with a lone surrogate."""
    if isinstance(column.dtype, pd.StringDtype) and not text.isascii():
        column = column.astype(object)
    return column == text
