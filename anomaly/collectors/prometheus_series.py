"""From the answers of a Prometheus API to columns: chunks of the grid, series merged by labels,
segments, coverage, ratios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.collectors.prometheus_http import Answer
from anomaly.collectors.promql import grouping
from anomaly.errors import CollectError
from anomaly.panel import segment_text

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Labels = frozenset[tuple[str, str]]

LONGEST_LABEL = 1024  # characters of a segment's label value
LONGEST_SAID = 60  # characters of a label in a message
OFF_GRID = 1e-3  # steps that a stamp may miss the grid by: stamps are rounded to the millisecond


@dataclass(frozen=True, slots=True)
class Series:
    """A value for each row, NaN where there is none; `answered` where the source gave a sample,
    were it NaN or infinite."""

    values: FloatArray
    answered: BoolArray


@dataclass(slots=True)
class Merged:
    """The series of one query over `rows` rows, merged by label set from the chunks that are added;
    at most `limit` series. `notes` are what the server said of the query."""

    rows: int
    limit: int
    series: dict[Labels, Series] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, chunk: range, start_s: int, step_s: int, answer: Answer) -> None:
        """Puts in the answer for the rows `chunk`, the first of which is stamped `start_s`. Raises
        CollectError."""
        self.notes += [note for note in answer.notes if note not in self.notes]
        moments = start_s + step_s * np.arange(len(chunk), dtype=np.float64)
        try:
            for item in answer:
                self._add_one(chunk, moments, step_s, item)
        except (
            KeyError,
            TypeError,
            ValueError,  # of lone surrogates, too
            IndexError,
            AttributeError,
            OverflowError,
        ) as error:
            raise CollectError(
                "unreadable: the answer is not as the Prometheus API writes it "
                f"({type(error).__name__})"
            ) from None

    def _add_one(
        self, chunk: range, moments: FloatArray, step_s: int, item: Mapping[str, Any]
    ) -> None:
        if "histograms" in item:
            raise CollectError(
                "bad query: it returns native histograms; take a number of them, as by "
                "histogram_quantile()"
            )
        labels = frozenset(
            {str(name): str(value) for name, value in item["metric"].items()}.items()
        )
        "".join(text for pair in labels for text in pair).encode()
        points = item["values"]
        is_array = isinstance(points, np.ndarray)
        stamps = (
            points[:, 0]
            if is_array
            else np.fromiter((point[0] for point in points), np.float64, len(points))
        )
        at = _places(stamps, chunk, moments, step_s)
        into = self.series.get(labels) or self._new(labels)
        into.values[at] = (
            points[:, 1]
            if is_array
            else np.fromiter((float(point[1]) for point in points), np.float64, len(points))
        )
        into.answered[at] = True

    def _new(self, labels: Labels) -> Series:
        self.put(labels, Series(np.full(self.rows, np.nan), np.zeros(self.rows, np.bool_)))
        return self.series[labels]

    def put(self, labels: Labels, series: Series) -> None:
        """Puts in a series that is not there yet. Raises CollectError if there are too many."""
        if len(self.series) >= self.limit:
            raise CollectError(
                f"limit: more than {self.limit:,} series; aggregate them, as by sum by (…), or "
                "raise max_series"
            )
        self.series[labels] = series


def _places(
    stamps: FloatArray, chunk: range, moments: FloatArray, step_s: int
) -> slice | NDArray[np.int64]:
    """The rows of the samples with these stamps, where those of the chunk are at `moments`. Raises
    CollectError."""
    if np.array_equal(stamps, moments):  # a sample each, as nearly always
        return slice(chunk.start, chunk.stop)
    places = (stamps - moments[:1]) / step_s
    rows = np.rint(places)
    if not (
        (np.abs(places - rows) <= OFF_GRID) & (rows >= 0) & (rows < len(chunk))
    ).all():  # NaN is not on the grid either
        raise CollectError(
            "unreadable: the answer has samples beside the moments that were asked for"
        )
    return rows.astype(np.int64) + chunk.start


def plan(rows: int, at_most: int, start: int = 0) -> Iterator[range]:
    """The rows from `start` on, `rows` many, each in exactly one chunk of at most `at_most`."""
    end = start + rows
    return (range(first, min(first + at_most, end)) for first in range(start, end, at_most))


def by_segment(series: Mapping[Labels, Series], by: Sequence[str], query: str) -> dict[str, Series]:
    """The series by segment text, in its order. Raises CollectError where two would share a segment
    or none has a label of `by`."""
    groups: dict[str, list[Labels]] = {}
    for labels in series:
        groups.setdefault(_segment(dict(labels), by), []).append(labels)
    for segment, alike in groups.items():
        if len(alike) > 1:
            raise CollectError(_ambiguous(alike, by, segment, query))
    if by and series and not any(name in dict(labels) for labels in series for name in by):
        there = sorted({name for labels in series for name, _ in labels})
        raise CollectError(
            f"bad query: no series has {_listed(by)}, "
            f"{f'only {_listed(there)}' if there else 'nor any other label'}; write sum "
            f"{grouping(by)} (…) in: {query}"
        )
    return {segment: series[groups[segment][0]] for segment in sorted(groups)}


def finite(series: Series) -> tuple[Series, int]:
    """The series with NaN for infinities, and how many of its samples were not finite."""
    odd = series.answered & ~np.isfinite(series.values)
    return Series(np.where(odd, np.nan, series.values), series.answered), int(odd.sum())


def trusted_rows(present: BoolArray) -> BoolArray:
    """The rows that a sample stands for: its own, and those until the next one is usually there.

    A source that is measured less often than once a step leaves regular rows empty; these are no
    gap.
    """
    own = np.flatnonzero(present)
    usual = int(np.median(np.diff(own))) if len(own) > 1 else 1
    counts = np.concatenate(([0], np.cumsum(present)))
    rows = np.arange(len(present))
    return np.asarray(counts[rows + 1] > counts[np.maximum(0, rows + 1 - usual)])


def only_rows(series: Series, rows: BoolArray) -> tuple[Series, int]:
    """The series with NaN outside of `rows`, and how many of its values that took away."""
    repeated = ~np.isnan(series.values) & ~rows
    return Series(np.where(rows, series.values, np.nan), series.answered), int(repeated.sum())


def numerator(series: Series | None, own: Series | None, denominator: FloatArray) -> FloatArray:
    """The counts above a fraction: 0 where only the denominator has a sample, for a counter begins
    with its first event.

    `series` is what may be believed of the answer, `own` the answer itself: a sample that is not
    believed is missing, not 0.
    """
    measured = np.isfinite(denominator)
    if series is None or own is None:
        return np.where(measured, 0.0, np.nan)
    return np.where(measured & ~own.answered, 0.0, series.values)


def first_row(columns: Iterable[FloatArray]) -> int | None:
    """The first row that has a value in any column."""
    rows = [
        int(np.argmax(there)) for there in (~np.isnan(values) for values in columns) if there.any()
    ]
    return min(rows, default=None)


def _segment(labels: Mapping[str, str], by: Sequence[str]) -> str:
    segment = {
        name: labels.get(name, "") for name in by
    }  # to Prometheus, a label that is missing is an empty one
    for name, value in segment.items():
        if len(value) > LONGEST_LABEL:
            raise CollectError(
                f"limit: a value of label {name!r} is {len(value):,} characters long; "
                f"{LONGEST_LABEL:,} are allowed"
            )
    return segment_text(segment)


def _ambiguous(alike: Sequence[Labels], by: Sequence[str], segment: str, query: str) -> str:
    """Two labels sets that `by` does not tell apart, and what to write."""
    names = sorted({name for labels in alike for name, _ in labels})
    differing = [name for name in names if len({dict(labels).get(name) for labels in alike}) > 1]
    examples = " and ".join(
        _shown(dict(labels), differing) for labels in sorted(alike, key=sorted)[:2]
    )
    where = f" for {segment}" if segment else ""
    advice = (
        f"add `by: [{', '.join([*by, *differing])}]`, or write "
        f"sum{f' {grouping(by)} ' if by else ''}(…)"
    )
    return (
        f"bad query: {len(alike)} series{where}, told apart by {_listed(differing)} "
        f"({examples}); {advice} in: {query}"
    )


def _shown(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{name}={_cut(repr(labels.get(name, '')))}" for name in names[:3]) + "}"


def _listed(names: Sequence[str]) -> str:
    return (
        ("label " if len(names) == 1 else "labels ") + ", ".join(_cut(name) for name in names[:10])
        if names
        else "no labels"
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SAID else f"{text[:LONGEST_SAID]}…"
