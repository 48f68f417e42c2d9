"""The JSON of a Prometheus API, as Python values.

A matrix in the form that servers write is decoded into numbers at once, series after series, for
its samples are nearly all of an answer. Whatever else is there is read by Python's own `json`.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np

NEGATIVE_ZERO = b'"-0'  # msgspec takes the text for the number without a sign


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: msgspec.Raw
    histograms: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Data(msgspec.Struct):
    kind: Literal["matrix"] = msgspec.field(name="resultType")
    result: list[_Series]


class _Matrix(msgspec.Struct):
    """An answer of which all that is read has its usual type."""

    status: Literal["success"]
    data: _Data
    warnings: list[str] = []  # msgspec copies it
    infos: list[str] = []
    is_partial: bool = msgspec.field(name="isPartial", default=False)


MATRIX = msgspec.json.Decoder(_Matrix)
POINTS = msgspec.json.Decoder(list[tuple[float, float]], strict=False)  # numbers, or texts of them


def content_of(body: bytes) -> Any:
    """What `json.loads` makes of a body, but that the `values` of a series may be an array
    `(samples, 2)` of seconds and values. Raises ValueError and RecursionError as it does."""
    try:
        body.decode()  # msgspec looks at no text that it does not keep
        matrix = MATRIX.decode(body)
        if any(series.histograms is not msgspec.UNSET for series in matrix.data.result):
            return json.loads(body)
        result = [
            {"metric": series.metric, "values": _points(bytes(series.values))}
            for series in matrix.data.result
        ]
    except (msgspec.DecodeError, ValueError, RecursionError):
        return json.loads(body)
    return {
        "status": matrix.status,
        "data": {"resultType": matrix.data.kind, "result": result},
        "warnings": matrix.warnings,
        "infos": matrix.infos,
        "isPartial": matrix.is_partial,
    }


def _points(text: bytes) -> Any:
    try:
        points = POINTS.decode(text)
    except msgspec.DecodeError:  # an infinity, or what is no number
        return json.loads(text)
    numbers = np.fromiter(chain.from_iterable(points), np.float64, 2 * len(points))
    if NEGATIVE_ZERO in text and (numbers == 0).any():
        return json.loads(text)
    return numbers.reshape(-1, 2)
