"""Each step of a verdict alone, for people who want to look at it: collect a panel, fit a baseline,
take it apart, replay the past.

The same functions judge a release (`anomaly.pipeline`); here they are called one after the other by
hand.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, overload

import numpy as np
import pandas as pd

from anomaly.baseline.correlogram import autocorrelations, correlogram
from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.baseline.regime_start import since_regime_start
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.transform import back, forward
from anomaly.collectors.collect import Progress, collect_window
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.frames import at_hand, zone_of
from anomaly.model import Calendar, Direction, Kpi, Release, Segment, Window, select_kpis
from anomaly.panel import (
    block,
    grid,
    judged_panel,
    segment_labels,
    segment_text,
    steps_between,
)
from anomaly.pipeline import collect as collect_for_release
from anomaly.reporting.display import MOST_NAMES, needs_matplotlib
from anomaly.scoring.effect import bounds
from anomaly.scoring.questions import ask
from anomaly.scoring.replay import at_placebos, bad_answers, combine, pointing, scores
from anomaly.scoring.score import SCALES
from anomaly.scoring.significance import NullDistribution, p_value
from anomaly.scoring.timeline import timeline
from anomaly.wording import did_you_mean, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from anomaly.checklist.checklist import Checklist

LAGS = 48  # steps over which the autocorrelation is shown


@overload
def collect(
    checklist: Checklist,
    span: Release,
    /,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Collected: ...


@overload
def collect(
    checklist: Checklist,
    span: Window,
    /,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> pd.DataFrame: ...


def collect(
    checklist: Checklist,
    span: Release | Window,
    /,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Collected | pd.DataFrame:
    """Collect from the sources of a checklist: everything that a look at a release needs, or the
    panel of a window.

    For a release the result keeps everything, including errors and provenance, as `check_release`
    takes it; `now` and `until` are as there. The panel of a window holds the KPIs as they are
    judged: counts per step, a column per role, with the totals of segments. A KPI that can't be
    read is left out with a warning; raises the first CollectError if none can be read.
    """
    if isinstance(span, Release):
        return collect_for_release(
            checklist, span, now=now, until=until, only=only, progress=progress
        )
    collected = collect_window(checklist, span, only, progress)
    kpis = select_kpis(checklist.kpis, only)
    if all(kpi.name in collected.errors for kpi in kpis):
        raise collected.errors[kpis[0].name]
    for name, error in collected.errors.items():
        warnings.warn(f"{name} is not in the panel: {error}", stacklevel=2)
    return judged_panel(collected.panel, kpis, checklist.windows.step)


def fit(
    panel: pd.Series | pd.DataFrame,
    *,
    checklist: Checklist | None = None,
    denominators: pd.Series | pd.DataFrame | None = None,
    timezone: str = "UTC",
) -> FittedBaseline:
    """Learn a baseline from all rows of a panel, or of series in memory as `check` takes them.

    A `checklist` gives the nature of its KPIs, the users' time zone, special days and excluded
    spans; without one, `timezone` is the users'. Raises UsageError as `check` does.
    """
    calendar = Calendar(timezone) if checklist is None else checklist.calendar
    history, step = at_hand(panel, denominators, timezone=calendar.timezone)
    calendar = replace(calendar, timezone=zone_of(step, calendar.timezone))
    names = [*map(str, history.columns.get_level_values("kpi").unique())]
    by_name = {kpi.name: kpi for kpi in checklist.kpis} if checklist is not None else {}
    kpis = tuple(by_name.get(name, Kpi(name)) for name in names)
    ordinary = exclusion_reasons(pd.DatetimeIndex(history.index), step, calendar) == ""
    watch = checklist.windows.watch // step if checklist is not None else 0
    history = since_regime_start(
        history.where(np.broadcast_to(ordinary[:, None], history.shape)), watch
    ).history
    return FittedBaseline(SeasonalBaseline().fit(history, kpis, calendar), history, kpis)


@dataclass(frozen=True, slots=True, repr=False)
class FittedBaseline:
    """What was learned about each series of `history`, a panel. `learned` holds the numbers, as
    matrices."""

    learned: Baseline
    history: pd.DataFrame
    kpis: tuple[Kpi, ...]

    def __repr__(self) -> str:
        first, last = self.history.index[[0, -1]]
        return (
            f"<baseline of {len(self.learned.keys)} series, learned from {len(self.history)} "
            f"steps, {first} to {last}>"
        )

    @property
    def series(self) -> list[tuple[str, dict[str, str]]]:
        """The names of the series: KPI and segment."""
        return [(kpi, segment_labels(segment)) for kpi, segment in self.learned.keys]

    def predict(
        self,
        over: Window | pd.Series | pd.DataFrame,
        *,
        denominators: pd.Series | pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """The expected value of each step: a frame like `report.points`, series after series.

        `over` is a window, or a panel or series with the same columns. In the second case the
        result also compares: it has `observed`, `z` (standard deviations) and `flagged` (outside
        the 99 % band). The band of a ratio depends on its denominator; for a window, on the usual
        denominator. Unlike the points of a report, the prediction does not use the last steps
        before.
        """
        base, panel = self.learned, self._panel("predict", over, denominators)
        index, later = pd.DatetimeIndex(panel.index), block(panel)
        with np.errstate(all="ignore"):
            location, width = base.location(index), base.width(index, later.volume)
            low, high = bounds(
                np.where(np.isfinite(block(self.history).value), base.residual, np.nan)
            )
            expected = back(location, base.scale)
            lower = back(location + low[:, None] * width, base.scale)
            upper = back(location + high[:, None] * width, base.scale)
            z = (forward(later.value, base.scale, base.floor) - location) / width
        return pd.DataFrame(
            {
                "kpi": np.repeat(np.array([kpi for kpi, _ in base.keys], dtype=object), len(index)),
                "segment": np.repeat(
                    np.array([segment for _, segment in base.keys], dtype=object), len(index)
                ),
                "time": index[np.tile(np.arange(len(index)), len(base.keys))],
                "observed": later.value.ravel(),
                "expected": expected.ravel(),
                "lower": lower.ravel(),
                "upper": upper.ravel(),
                "z": z.ravel(),
                "flagged": ((later.value < lower) | (later.value > upper)).ravel(),
            }
        )

    def parts(self, kpi: str, segment: Segment | None = None) -> pd.DataFrame:
        """One series of the history decomposed, a row per step.

        `observed` and `expected` are in the KPI's unit; each step is predicted from the other days
        and weeks. On the scale on which the series is judged (`scale` names it), `level`, `day`,
        `week` and `month` add up to the expected value. `residual` is the rest, in standard
        deviations; `surprise` (the innovation) is what remains of it once its autocorrelation is
        removed.
        """
        base, i = self.learned, self._row(kpi, segment)
        values = block(self.history).value[i : i + 1]
        present = np.isfinite(values)
        when = base.clock(base.history)
        foreseen = base.seasonal[i] + base.level[i]
        return pd.DataFrame(
            {
                "observed": values[0],
                "expected": back(foreseen[None], base.scale[i : i + 1])[0],
                "level": np.full(len(foreseen), base.level[i]),
                "day": base.season.day[i, when.phase],
                "week": base.season.week[i, when.slot],
                "month": base.season.of_month(when)[i],
                "residual": np.where(present[0], base.residual[i], np.nan),
                "surprise": base.rows(np.array([i])).surprises(present)[0],
            },
            index=base.history,
        )

    def scale(self, kpi: str, segment: Segment | None = None) -> str:
        """The scale on which a series is judged: as it is, its logarithm, or its square root."""
        return str(SCALES[self.learned.scale[self._row(kpi, segment)]])

    def autocorrelation(
        self, kpi: str, segment: Segment | None = None, *, lags: int = LAGS
    ) -> pd.DataFrame:
        """The autocorrelation at the lags 1, 2, … `lags`: of the residuals, and of the surprises,
        which should have none."""
        parts = self.parts(kpi, segment)
        apart = pd.RangeIndex(1, min(lags, len(parts) - 1) + 1, name="lag")
        return pd.DataFrame(
            {
                name: autocorrelations(parts[name].to_numpy(), len(apart))
                for name in ("residual", "surprise")
            },
            apart,
        )

    def ljung_box(self, kpi: str, segment: Segment | None = None) -> pd.DataFrame:
        """The Ljung–Box test that there is no autocorrelation at any lag up to `lags`: of the
        residuals, and of the surprises, of which the autoregression already took some away.

        A row for each, with `lags`, `steps` and `p_value`; no row where there are too few steps.
        """
        parts, order = (
            self.parts(kpi, segment),
            int((self.learned.phi[self._row(kpi, segment)] != 0).sum()),
        )
        tests = {
            name: correlogram(parts[name].to_numpy(), coefficients)
            for name, coefficients in (("residual", 0), ("surprise", order))
        }
        rows = {
            name: (len(test.correlations), test.steps, test.p_value)
            for name, test in tests.items()
            if test is not None
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["lags", "steps", "p_value"])

    def replay(
        self,
        later: pd.Series | pd.DataFrame,
        kpi: str,
        segment: Segment | None = None,
        *,
        denominators: pd.Series | pd.DataFrame | None = None,
    ) -> Replay:
        """Ask the same questions of `later`, a panel of later data, and of hundreds of moments of
        the history.

        `later` has the columns of the history and begins after it. Raises UsageError if it does
        not, or has too little data.
        """
        base, i = self.learned, self._row(kpi, segment)
        after = self._panel("replay", later, denominators)
        gap = steps_between(self.history, after, base.step)
        if gap < 0:
            raise UsageError(
                f"what came after begins {after.index[0]}, within the history, which ends "
                f"{self.history.index[-1]}"
            )
        with np.errstate(all="ignore"):
            line = timeline(base, self.history, after, gap)
            all_scores = scores(line, ask(line))
        if not all_scores.questions or not np.isfinite(all_scores.up[:, i]).any():
            raise UsageError(
                f"nothing can be asked of {_listed([base.keys[i]])}: too little data before or "
                "after"
            )
        direction = next(each.direction for each in self.kpis if each.name == kpi)
        rising, falling = pointing(all_scores.questions, direction)
        at = np.concatenate(
            [at_placebos(all_scores)[:, i], all_scores.up[:, i, None]], axis=1
        )  # the release itself last
        bad, weights = bad_answers(all_scores.questions, at, direction)
        null = (
            NullDistribution.BOTH_WAYS
            if direction is Direction.EITHER
            else NullDistribution.ONE_WAY
        )
        questions = [
            f"{question.kind} over {question.size} steps" for question in all_scores.questions
        ]
        names = [questions[j] for j in np.flatnonzero(rising)]
        names += [
            f"{questions[j]}, falling" if rising[j] else questions[j]
            for j in np.flatnonzero(falling)
        ]
        moments = base.history[line.origins[:-1]]
        p = p_value(combine(bad, weights), null)
        answers = pd.DataFrame(
            bad[:, :-1].T, index=pd.DatetimeIndex(moments, name="placebo release"), columns=names
        )
        return Replay(
            kpi,
            segment_text(self._labels(i)),
            after.index[0],
            pd.Series(bad[:, -1], names),
            answers,
            float(p[-1]),
            pd.Series(p[:-1], answers.index).where(answers.notna().any(axis=1)),
        )

    def plot(self, kpi: str | None = None, segment: Segment | None = None) -> Figure:
        """One series (without a name: the first) decomposed: history, day, week, residuals, and
        their autocorrelation.

        Raises KeyError, and UsageError without matplotlib.
        """
        if kpi is None:
            kpi, segment = self.series[0]
        try:
            from anomaly.notebook import plots

            return plots.decomposition(self, kpi, self._labels(self._row(kpi, segment)))
        except ModuleNotFoundError as error:
            raise UsageError(needs_matplotlib(error)) from error

    def _panel(
        self,
        method: str,
        over: Window | pd.Series | pd.DataFrame,
        denominators: pd.Series | pd.DataFrame | None,
    ) -> pd.DataFrame:
        """What a `method` is given, with the columns of the history in their order."""
        if isinstance(over, Window):
            _, step = at_hand(self.history, timezone=self.learned.timezone)
            return pd.DataFrame(np.nan, index=grid(over, step), columns=self.history.columns)
        panel, _ = at_hand(over, denominators, timezone=self.learned.timezone)
        if set(panel.columns) != set(self.history.columns):
            keys = block(panel).keys
            raise UsageError(
                f"{method} is given series {_listed(keys)}, the baseline knows "
                f"{_listed(self.learned.keys)}; give the same columns"
            )
        return panel.loc[:, self.history.columns]

    def _labels(self, i: int) -> dict[str, str]:
        return segment_labels(self.learned.keys[i][1])

    def _row(self, kpi: str, segment: Segment | None) -> int:
        """Which series is meant; without a segment that of the total, or the only one. Raises
        KeyError that says which there are."""
        segments = [(i, part) for i, (name, part) in enumerate(self.learned.keys) if name == kpi]
        if not segments:
            names = tuple(dict.fromkeys(name for name, _ in self.learned.keys))
            raise KeyError(
                f"no KPI {kpi!r}; there are {listed(names, MOST_NAMES)}{did_you_mean(kpi, names)}"
            )
        text = segment_text(segment or {})
        rows = [i for i, part in segments if part == text] or (
            [segments[0][0]] if segment is None and len(segments) == 1 else []
        )
        if not rows:
            raise KeyError(
                f"{kpi!r} has no segment {dict(segment or {})!r}; there are "
                f"{listed([repr(segment_labels(p)) for _, p in segments], MOST_NAMES)}"
            )
        return rows[0]


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """One series at a release, and at the placebo releases of its history.

    `scores` are the answers to the questions, by name, as normal scores, positive in the bad
    direction; `placebo_scores` has the same, a row per placebo release. `p_value` says how rare the
    answers are together, `placebo_p_values` the same at each placebo release.
    """

    kpi: str
    segment: str
    at: datetime
    scores: pd.Series
    placebo_scores: pd.DataFrame
    p_value: float
    placebo_p_values: pd.Series

    def __repr__(self) -> str:
        return (
            f"<replay of {self.kpi} {self.segment}: p = {self.p_value:.2g} at the release, "
            f"{len(self.placebo_p_values)} placebo releases>"
        )

    def plot(self) -> Figure:
        """How rare the release is among its placebo releases, and the answers to the strongest
        questions.

        Raises UsageError without matplotlib.
        """
        try:
            from anomaly.notebook import plots

            return plots.replay(self)
        except ModuleNotFoundError as error:
            raise UsageError(needs_matplotlib(error)) from error


def _listed(keys: Sequence[tuple[str, str]]) -> str:
    names = [f"{kpi} ({segment})" if segment else kpi for kpi, segment in keys]
    return listed(names, MOST_NAMES) or "none"
