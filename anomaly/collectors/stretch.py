"""Consecutive rows of the answer to one query, numbered from 1970: what is cut, joined and
compared where not all is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from anomaly.collectors.prometheus_series import BoolArray, FloatArray, Labels, Merged, Series


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows from the number `start` on: `values` and `answered` as in `Series`, `(series, rows)`, in
    the order of `labels`; and what the server `notes` of the query."""

    start: int
    labels: tuple[Labels, ...]
    values: FloatArray
    answered: BoolArray
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, start: int, merged: Merged) -> Self:
        """The series of an answer from a row on."""
        shape = (len(merged.series), merged.rows)
        return cls(
            start,
            tuple(merged.series),
            np.stack([each.values for each in merged.series.values()])
            if merged.series
            else np.empty(shape),
            np.stack([each.answered for each in merged.series.values()])
            if merged.series
            else np.empty(shape, dtype=np.bool_),
            tuple(merged.notes),
        )

    def merged(self, limit: int) -> Merged:
        """The same as an answer. Raises CollectError for more than `limit` series."""
        out = Merged(len(self.rows), limit, notes=[*self.notes])
        for label, values, answered in zip(self.labels, self.values, self.answered, strict=True):
            out.put(label, Series(values, answered))
        return out

    @property
    def rows(self) -> range:
        """The numbers of the rows."""
        return range(self.start, self.start + self.values.shape[1])

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return self.values.nbytes + self.answered.nbytes

    def within(self, rows: range) -> Stretch:
        """The part that lies in `rows`, with the series that have a sample there, and
        notes where any has."""
        first, stop = max(rows.start, self.rows.start), min(rows.stop, self.rows.stop)
        columns = slice(first - self.start, max(first, stop) - self.start)
        there: BoolArray = np.asarray(self.answered[:, columns].any(axis=1))
        values, answered = self.values[:, columns], self.answered[:, columns]
        return Stretch(
            first,
            tuple(label for label, is_there in zip(self.labels, there, strict=True) if is_there),
            values if there.all() else values[there],
            answered if there.all() else answered[there],
            self.notes if there.any() else (),
        )

    def agrees(self, other: Stretch) -> bool:
        """Whether both say the same, to the bit, of the rows that they share."""
        mine, theirs = self.within(other.rows), other.within(self.rows)
        order = {label: place for place, label in enumerate(theirs.labels)}
        if order.keys() != {*mine.labels}:
            return False
        places = [order[label] for label in mine.labels]
        return (
            mine.answered.tobytes() == theirs.answered[places].tobytes()
            and mine.values.tobytes() == theirs.values[places].tobytes()
        )


def joined(parts: Sequence[Stretch]) -> Stretch:
    """One stretch of those that touch or overlap; of rows that several hold, the last one says what
    is there."""
    start = min(part.rows.start for part in parts)
    stop = max(part.rows.stop for part in parts)
    labels = tuple(dict.fromkeys(label for part in parts for label in part.labels))
    order = {label: place for place, label in enumerate(labels)}
    values = np.full((len(labels), stop - start), np.nan)
    answered = np.zeros((len(labels), stop - start), dtype=np.bool_)
    for part in parts:
        columns = slice(part.rows.start - start, part.rows.stop - start)
        places = [order[label] for label in part.labels]
        values[:, columns], answered[:, columns] = np.nan, False
        values[places, columns], answered[places, columns] = part.values, part.answered
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Stretch(start, labels, values, answered, tuple(notes))
