"""Baselines that outlive a judgement: the next one learns nothing again from the same history.

What is kept is found by all that it depends on: the values and stamps of the history, what is said
of its KPIs, the users' time zone, and the code that learns. A past that the source changed, or
another query, window or setting, is another key, and so is learned; nothing can be out of date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.baseline.season import Season
from anomaly.baseline.seasonal import MATRICES, Baseline, SeasonalBaseline
from anomaly.engine.shelf import Memory, Shelf
from anomaly.model import Calendar, Kpi
from anomaly.panel import keys_of, step_of

PROFILES = tuple(each.name for each in fields(Season))


@dataclass(frozen=True, slots=True)
class KeptBaselines:
    """Fits what `SeasonalBaseline` would, to the bit, unless it is on the shelf, or in memory."""

    shelf: Shelf | Memory

    def fit(self, history: pd.DataFrame, kpis: Sequence[Kpi], calendar: Calendar, /) -> Baseline:
        """See `SeasonalBaseline.fit`."""
        key = key_of(history, kpis, calendar)
        arrays = self.shelf.taken(key)
        if arrays is not None and arrays.keys() == {*MATRICES, *PROFILES}:
            return _of_arrays(arrays, history, calendar)
        baseline = SeasonalBaseline().fit(history, kpis, calendar)
        matrices = {name: getattr(baseline, name) for name in MATRICES}
        profiles = {name: getattr(baseline.season, name) for name in PROFILES}
        self.shelf.put(key, matrices | profiles)
        return baseline


Learner = SeasonalBaseline | KeptBaselines


def key_of(history: pd.DataFrame, kpis: Sequence[Kpi], calendar: Calendar) -> str:
    """A digest of all that the baseline of a history depends on."""
    kinds = {kpi.name: kpi.kind for kpi in kpis}
    columns = [(*key, str(kinds.get(key[0]))) for key in keys_of(history)]
    digest = hashlib.blake2b(_code(), digest_size=20)
    digest.update(repr((columns, calendar.timezone)).encode())
    digest.update(pd.DatetimeIndex(history.index).as_unit("ns").asi8.tobytes())
    values = np.array(history.to_numpy(dtype=np.float64).T, order="C")
    values[np.isnan(values)] = np.nan  # there are many numbers that are none
    digest.update(values.data)
    return digest.hexdigest()


@cache
def _code() -> bytes:
    """The code that learns, of any version."""
    room = Path(__file__).parent
    files = [room.parent / "panel.py", *sorted(room.glob("*.py"))]
    return b"".join([np.__version__.encode(), *(file.read_bytes() for file in files)])


def _of_arrays(arrays: Mapping[str, Any], history: pd.DataFrame, calendar: Calendar) -> Baseline:
    step, index = step_of(history), pd.DatetimeIndex(history.index)
    return Baseline(
        keys=tuple(dict.fromkeys(key[:2] for key in keys_of(history))),
        step=step,
        timezone=calendar.timezone,
        history=index,
        season=Season(**{name: arrays[name] for name in PROFILES}),
        left_out=exclusion_reasons(index, step, calendar) != "",
        **{name: arrays[name] for name in MATRICES},
    )
