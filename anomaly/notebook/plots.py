"""Figures of what led to a verdict: a series taken apart, and a release among its placebo releases.
Needs the extra `plot`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from anomaly import wording
from anomaly.baseline.robust import Floats
from anomaly.baseline.transform import back
from anomaly.panel import segment_labels, segment_text
from anomaly.reporting import figure_style
from anomaly.reporting.figure_style import (
    BLUE,
    DRAWING,
    FAINT,
    FONT,
    GREY,
    INK,
    SKY,
    VERMILION,
    glyphs,
    write,
)
from anomaly.reporting.words import segment_words
from anomaly.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from anomaly.model import Segment
    from anomaly.notebook.exploring import FittedBaseline, Replay

WIDTH = 900
LONGEST_TITLE = 60
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FARTHEST_RESIDUAL = 8.0  # standard deviations that are drawn; what is further out is drawn there
STRONGEST = 6  # questions that are drawn
MOST_SURPRISING = 1e-12
SURE = 1.96  # standard deviations that hold 95 %
LONGEST_QUESTION = 50


def decomposition(baseline: FittedBaseline, kpi: str, segment: Segment) -> Figure:
    """The history of one series, its day and week, the residuals and their
    autocorrelation."""
    parts, base = baseline.parts(kpi, segment), baseline.learned
    i = base.keys.index((kpi, segment_text(segment)))
    zone = ZoneInfo(base.timezone)
    with DRAWING:
        figure = figure_style.figure(WIDTH, 850)
        write(
            figure,
            0.02,
            0.987,
            wording.shortened(_name(kpi, segment), LONGEST_TITLE),
            size=13,
            weight="bold",
        )
        write(
            figure,
            0.985,
            0.987,
            f"judged on this scale: {baseline.scale(kpi, segment)}",
            size=9,
            color=GREY,
            align="right",
        )
        times = [figure_style.day(moment) for moment in parts.index]

        whole = _axes(
            figure,
            (0.075, 0.755, 0.91, 0.17),
            "The history, and what the other days and weeks say of each step",
        )
        whole.plot(times, parts["observed"], color=GREY, lw=0.5, alpha=0.7, label="observed")
        whole.plot(times, parts["expected"], color=BLUE, lw=1.2, label="expected")
        figure_style.time_axis(whole, zone, 9, clock_only=False)
        whole.set_xlim(times[0], times[-1])
        _legend(whole)

        season = base.season
        _day(
            _axes(
                figure, (0.075, 0.505, 0.4, 0.165), f"The day, {zone.key}{_used(season.has_day[i])}"
            ),
            baseline,
            i,
        )
        _week(
            _axes(figure, (0.585, 0.505, 0.4, 0.165), f"The week{_used(season.has_week[i])}"),
            baseline,
            i,
        )

        left = _axes(figure, (0.075, 0.26, 0.91, 0.165), "What is left, in standard deviations")
        residual = parts["residual"].to_numpy().clip(-FARTHEST_RESIDUAL, FARTHEST_RESIDUAL)
        left.plot(times, residual, ".", color=INK, markersize=1.6, alpha=0.6)
        for bound in (-3, 3):
            left.axhline(bound, color=VERMILION, lw=0.8, ls=(0, (4, 3)))
        left.set_xlim(times[0], times[-1])
        figure_style.time_axis(left, zone, 9, clock_only=False)

        _autocorrelation(
            _axes(figure, (0.075, 0.045, 0.4, 0.135), _ljung_box(baseline, kpi, segment)),
            baseline,
            kpi,
            segment,
        )
        _spread(_axes(figure, (0.585, 0.045, 0.4, 0.135), "How it is spread"), residual)
        return figure


def _used(is_used: np.bool_) -> str:
    return "" if is_used else " (not used: it predicts nothing)"


def _day(axes: Axes, baseline: FittedBaseline, i: int) -> None:
    day = baseline.learned.season.day[i]
    axes.plot(np.arange(len(day)) * 24 / len(day), _natural(baseline, i, day), color=BLUE, lw=1.4)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 4), [f"{hour:02}:00" for hour in range(0, 25, 4)])


def _week(axes: Axes, baseline: FittedBaseline, i: int) -> None:
    season = baseline.learned.season
    daily = np.tile(season.day[i], 7)
    days = np.arange(len(daily)) * 7 / len(daily)
    axes.plot(days, _natural(baseline, i, daily + season.week[i]), color=BLUE, lw=1.4)
    axes.set_xlim(0, 7)
    axes.set_xticks([each + 0.5 for each in range(7)], WEEKDAYS)
    if season.has_week[i]:
        axes.plot(
            days,
            _natural(baseline, i, daily),
            color=GREY,
            lw=0.9,
            ls=(0, (3, 2)),
            label="the day alone",
        )
        _legend(axes)


def _natural(baseline: FittedBaseline, i: int, seasonal: Floats) -> Floats:
    base = baseline.learned
    return np.asarray(back((base.level[i] + seasonal)[None], base.scale[i : i + 1])[0])


def _ljung_box(baseline: FittedBaseline, kpi: str, segment: Segment) -> str:
    """The title of an autocorrelation, with the test of what is left."""
    tests = baseline.ljung_box(kpi, segment)
    if "surprise" not in tests.index:
        return "Autocorrelation"
    p_value = float(tests["p_value"]["surprise"])
    return f"Autocorrelation (of the surprise, Ljung-Box {wording.p_value(p_value)})"


def _autocorrelation(axes: Axes, baseline: FittedBaseline, kpi: str, segment: Segment) -> None:
    correlations = baseline.autocorrelation(kpi, segment)
    chance = SURE / math.sqrt(max(int(baseline.parts(kpi, segment)["residual"].notna().sum()), 1))
    axes.axhspan(-chance, chance, color=SKY, alpha=0.28, lw=0)
    axes.bar(
        correlations.index, correlations["residual"], color=GREY, width=0.7, label="what is left"
    )
    axes.plot(
        correlations.index,
        correlations["surprise"],
        "o",
        color=VERMILION,
        markersize=2.6,
        label="surprise",
    )
    axes.set_xlim(0.3, len(correlations) + 0.7)
    _legend(axes)


def _spread(axes: Axes, residual: Floats) -> None:
    numbers = residual[np.isfinite(residual)]
    edges = np.linspace(-5, 5, 51)
    if len(numbers):
        axes.hist(numbers.clip(-5, 5), bins=edges.tolist(), density=True, color=GREY, alpha=0.6)
    at = np.linspace(-5, 5, 201)
    axes.plot(at, np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi), color=BLUE, lw=1.2, label="normal")
    axes.set_yticks([])
    axes.set_xlim(-5, 5)
    _legend(axes)


def replay(result: Replay) -> Figure:
    """A dot for each placebo release, as high as it is rare, beside the release; and what the
    strongest questions say at all of them."""
    strongest = result.scores.dropna().sort_values(ascending=False, kind="stable")[:STRONGEST]
    with DRAWING:
        figure = figure_style.figure(WIDTH, 470)
        write(
            figure,
            0.02,
            0.975,
            wording.shortened(_name(result.kpi, segment_labels(result.segment)), LONGEST_TITLE),
            size=13,
            weight="bold",
        )
        placebos = int(result.placebo_p_values.notna().sum())
        summary = (
            f"{wording.p_value(result.p_value)} at the release, beside {placebos} placebo releases"
        )
        write(figure, 0.985, 0.975, summary, size=10, color=GREY, align="right")

        rare = _axes(
            figure,
            (0.115, 0.56, 0.87, 0.3),
            "How rare each moment is, judged as if it had been a release",
        )
        past = result.placebo_p_values.dropna()
        rare.plot(
            [figure_style.day(moment) for moment in past.index],
            _rarity(past),
            "o",
            color=GREY,
            markersize=3,
            alpha=0.75,
        )
        rare.plot(
            [figure_style.day(result.at)],
            _rarity(pd.Series([result.p_value])),
            "D",
            color=VERMILION,
            markersize=7,
            label="the release",
        )
        figure_style.time_axis(rare, ZoneInfo("UTC"), 9, clock_only=False)
        highest = max(1.0, *(-math.log10(max(p, MOST_SURPRISING)) for p in (result.p_value, *past)))
        marks = [
            each
            for each in range(math.ceil(highest) + 1)
            if each % max(1, math.ceil(highest / 4)) == 0
        ]
        rare.set_yticks(marks, ["always" if each == 0 else f"1 in {10**each:,}" for each in marks])
        rare.set_ylim(-0.08 * highest, 1.15 * highest)
        _legend(rare)

        questions = _axes(
            figure,
            (0.35, 0.075, 0.635, 0.355),
            "The strongest answers, in standard deviations, at all of them",
        )
        for place, (name, score) in enumerate(strongest.items()):
            answers = result.placebo_scores[name].dropna()
            row = np.full(len(answers), -place) + 0.28 * np.sin(
                np.arange(len(answers)) * 2.4
            )  # spread out, the same each time
            questions.plot(
                answers.clip(-FARTHEST_RESIDUAL, None),
                row,
                "o",
                color=GREY,
                markersize=2,
                alpha=0.5,
            )
            questions.plot([score], [-place], "D", color=VERMILION, markersize=6)
        questions.axvline(0, color=FAINT, lw=1)
        questions.grid(visible=False, axis="y")
        questions.grid(axis="x", color=FAINT, lw=0.6)
        questions.set_yticks(
            range(0, -len(strongest), -1),
            [
                glyphs(wording.shortened(plain(str(name), 80), LONGEST_QUESTION))
                for name in strongest.index
            ],
        )
        questions.set_ylim(-len(strongest) + 0.4, 0.6)
        return figure


def _rarity(p: pd.Series) -> list[float]:
    return [-math.log10(max(each, MOST_SURPRISING)) for each in p]


def _axes(figure: Figure, place: tuple[float, float, float, float], title: str) -> Axes:
    axes = figure.add_axes(place)
    figure_style.frame(axes)
    axes.set_title(
        glyphs(title), loc="left", fontsize=9, color=GREY, family=FONT, parse_math=False, pad=7
    )
    return axes


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=4,
        frameon=False,
        labelcolor=GREY,
        prop={"family": FONT, "size": 8},
        handlelength=1.4,
        borderaxespad=0.3,
    )


def _name(kpi: str, segment: Segment) -> str:
    labels = segment_words(segment)
    return plain(kpi, LONGEST_TITLE) + (f" ({labels})" if labels else "")
