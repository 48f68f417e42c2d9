"""Figures of a report for a mail, a chat or a notebook: observed and expected values. Needs the
extra `plot`."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from anomaly import wording
from anomaly.model import BETTER, Finding, Verdict
from anomaly.reporting import figure_style
from anomaly.reporting.figure_style import (
    BLUE,
    DPI,
    DRAWING,
    FARTHEST,
    FONT,
    GREEN,
    GREY,
    INK,
    PAPER,
    SKY,
    VERMILION,
    glyphs,
    png,
    write,
)
from anomaly.reporting.foremost import MOST_SERIES, foremost
from anomaly.reporting.message import Action, Message
from anomaly.reporting.notice import release_words
from anomaly.reporting.report import Report
from anomaly.reporting.sparkline import points_of
from anomaly.reporting.words import (
    change_words,
    mark,
    ordered,
    part_words,
    reason_words,
    rest_words,
    title,
    verdict_words,
    versus_words,
)
from anomaly.steps import CalendarStep, CalendarZone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
COLUMNS = 3
# characters that fit into the figure
LONGEST_TITLE = 48
LONGEST_WORDS = 110
LONGEST_PANEL_TITLE = 36
LONGEST_RELEASE = 40
LONGEST_UNIT = 30
MOST_TRIED = 12  # series of which one is drawn
LONGEST_FILE = 80  # characters of a name without its ending
HEADROOM = 0.16  # share of the height that stays free for the label of the onset

log = logging.getLogger(__name__)


def kpi(
    report: Report, finding: Finding, *, timezone: str = "UTC", width: int = 900, dpi: int = DPI
) -> Figure:
    """One series of the report, `width` × 0.4 `width` pixels; doubling `dpi` and `width` gives the
    same figure, sharper."""
    with DRAWING:
        figure = figure_style.figure(width, 0.4 * width, dpi)
        height = 0.4 * width / dpi  # inches, like all of the layout: text fits at any size
        axes = figure.add_axes((0.085, 0.6 / height, 0.89, 1 - 1.36 / height))
        zone = _zone(report, timezone)
        _Drawing(axes, report, zone).draw(finding, ticks=7, has_name=True)
        axes.xaxis.get_offset_text().set_visible(False)  # the day is beside it
        day = report.release.started_at.astimezone(zone).date()
        axes.set_xlabel(
            f"{day.isoformat()}, {zone.key}",
            color=GREY,
            fontsize=8,
            loc="right",
            family=FONT,
            parse_math=False,
        )
        write(
            figure,
            0.02,
            1 - 0.12 / height,
            wording.shortened(title(finding), LONGEST_TITLE),
            size=13,
            weight="bold",
        )
        words = ", ".join(part for part in (_words(finding), versus_words(finding)) if part)
        write(
            figure,
            0.02,
            1 - 0.42 / height,
            wording.shortened(words, LONGEST_WORDS),
            size=10,
            color=_colour(finding),
        )
        write(figure, 0.985, 1 - 0.12 / height, _release(report), size=9, color=GREY, align="right")
        figure_style.label(axes, wording.plain(finding.unit, LONGEST_UNIT))
        figure_style.legend(figure, axes)
        return figure


def overview(report: Report, *, timezone: str = "UTC", width: int = 900, dpi: int = DPI) -> Figure:
    """The most important series, at most 12, each on its own scale, in as many rows as needed."""
    findings = ordered(report.findings)[:MOST_PANELS]
    columns = min(COLUMNS, max(1, len(findings)))
    rows = max(1, -(-len(findings) // columns))
    height = 0.6 + 1.75 * rows  # inches
    with DRAWING:
        figure = figure_style.figure(width, height * dpi, dpi)
        write(figure, 0.02, 1 - 0.12 / height, _release(report), size=13, weight="bold")
        left = len(report.findings) - len(findings)
        more = f"{len(findings)} of {len(report.findings)} series" if left else ""
        write(figure, 0.985, 1 - 0.12 / height, more, size=9, color=GREY, align="right")
        for place, finding in enumerate(findings):
            row, column = divmod(place, columns)
            below = (height - 0.55 - 1.75 * (row + 1)) / height
            axes = figure.add_axes(
                ((column + 0.17) / columns, below + 0.3 / height, 0.79 / columns, 0.92 / height)
            )
            _Drawing(axes, report, _zone(report, timezone)).draw(finding, ticks=4, has_name=False)
            top = below + 1.62 / height
            write(
                figure,
                (column + 0.06) / columns,
                top,
                wording.shortened(title(finding), LONGEST_PANEL_TITLE),
                size=9,
                weight="bold",
            )
            words = wording.shortened(_words(finding), LONGEST_PANEL_TITLE)
            write(
                figure,
                (column + 0.06) / columns,
                top - 0.19 / height,
                words,
                size=8,
                color=_colour(finding),
            )
        return figure


def kpi_png(
    report: Report, finding: Finding, *, timezone: str = "UTC", width: int = 900, dpi: int = DPI
) -> bytes:
    """`kpi` as PNG."""
    return png(kpi(report, finding, timezone=timezone, width=width, dpi=dpi), dpi)


def overview_png(
    report: Report, *, timezone: str = "UTC", width: int = 900, dpi: int = DPI
) -> bytes:
    """`overview` as PNG."""
    return png(overview(report, timezone=timezone, width=width, dpi=dpi), dpi)


def pictures(report: Report, *, timezone: str = "UTC") -> Iterator[tuple[str, bytes]]:
    """An overview and a figure per series, the most important first, at most 100 (`foremost`), each
    with a file name."""
    yield "overview.png", overview_png(report, timezone=timezone)
    names: set[str] = set()
    for finding in foremost(report.findings):
        name = _file_name(finding)
        free = next(
            each
            for each in (name, *(f"{name}-{number}" for number in range(2, MOST_SERIES + 1)))
            if each not in names
        )
        names.add(free)
        yield f"{free}.png", kpi_png(report, finding, timezone=timezone)


def _file_name(finding: Finding) -> str:
    """`kpi-request-errors-country-de`: letters, digits and dashes, whatever the labels hold."""
    name = unicodedata.normalize("NFKD", f"kpi {finding.kpi} {part_words(finding)}".casefold())
    return re.sub(r"[^a-z0-9]+", "-", name)[:LONGEST_FILE].strip("-")


def worst_png(message: Message) -> bytes | None:
    """The figure of the series that a message is about; None without one, or without matplotlib.
    Never raises."""
    over = message.action is Action.RESOLVE
    report = message.report
    about = ordered(
        each
        for each in report.findings
        if (each.verdict is Verdict.RECOVERED if over else each.fails)
    )
    try:
        for finding in about[:MOST_TRIED] if message.action is not Action.TRIAL else ():
            if not points_of(report, finding).empty:
                return kpi_png(report, finding, width=1200, dpi=133)
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  a failing figure must not stop the message
        log.warning("no picture: %s", type(error).__name__)
    return None


@dataclass(frozen=True, slots=True)
class _Drawing:
    """One plot of a report."""

    axes: Axes
    report: Report
    zone: ZoneInfo

    def draw(self, finding: Finding, *, ticks: int, has_name: bool) -> None:
        """The series with its band, the release, and the flagged points."""
        axes, report, release = self.axes, self.report, self.report.release
        points = points_of(report, finding)
        figure_style.frame(axes, min(ticks, 5))
        figure_style.time_axis(
            axes,
            self.zone,
            ticks,
            clock_only=report.observation.end - report.release.started_at <= timedelta(days=1),
        )
        start = release.started_at
        axes.set_xlim(
            *self._days(start - (report.observation.end - start) * 0.015, report.observation.end)
        )
        axes.axvspan(
            *self._days(start, max(release.finished, start + report.step / 2)),
            color=GREY,
            alpha=0.35,
            lw=0,
            label="release",
        )
        if release.finished < report.observation.start:
            axes.axvspan(
                *self._days(release.finished, report.observation.start),
                color=GREY,
                alpha=0.13,
                lw=0,
                label="warm-up",
            )
        for moment, _ in release.stages[1:]:
            axes.axvline(figure_style.day(moment), color=GREY, lw=0.8, ls=":")
        if points.empty:
            axes.set_yticks([])
            nothing = glyphs("no data observed")
            axes.text(
                0.5,
                0.5,
                nothing,
                transform=axes.transAxes,
                ha="center",
                va="center",
                color=GREY,
                family=FONT,
                parse_math=False,
            )
            return
        times = [figure_style.day(moment) for moment in points["time"]]
        values = points[["observed", "expected", "lower", "upper"]].clip(-FARTHEST, FARTHEST)
        observed, expected, lower, upper = values.to_numpy(float).T
        axes.fill_between(
            times, lower, upper, color=SKY, alpha=0.28, lw=0, label="usual range (99 %)"
        )
        axes.plot(times, expected, color=BLUE, lw=1.3, ls=(0, (5, 2)), label="expected")
        axes.plot(
            times,
            observed,
            color=INK,
            lw=1.5,
            label="observed",
            marker="o",
            markersize=2.2,
            markeredgewidth=0,
        )
        flagged = points["flagged"].to_numpy(bool) & (abs(observed) < math.inf)
        if flagged.any():
            axes.plot(
                [time for time, flag in zip(times, flagged, strict=True) if flag],
                observed[flagged],
                "o",
                color=VERMILION,
                markersize=4.2,
                markeredgecolor=PAPER,
                markeredgewidth=0.5,
                label="outside the range",
            )
        self._onset(finding, has_name=has_name)

    def _onset(self, finding: Finding, *, has_name: bool) -> None:
        """A line at the onset, with its time beside it if there is room, and a bar at the axis for
        its interval."""
        if finding.onset is None:
            return
        axes, moment, colour = self.axes, figure_style.day(finding.onset), _colour(finding)
        if finding.onset_interval is not None:
            axes.plot(
                self._days(*finding.onset_interval),
                (0, 0),
                color=colour,
                lw=5,
                alpha=0.5,
                transform=axes.get_xaxis_transform(),
            )
        axes.axvline(moment, color=colour, lw=1.2, ls=(0, (3, 2)))
        if not has_name:
            return
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + HEADROOM * (high - low))
        left, right = axes.get_xlim()
        late = moment > left + 0.8 * (right - left)
        axes.annotate(
            f"since {self._clock(finding.onset)}",
            (moment, 0.985),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if late else 5, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            color=colour,
            fontsize=9,
            weight="bold",
            family=FONT,
            parse_math=False,
        )

    def _clock(self, onset: datetime) -> str:
        if isinstance(onset.tzinfo, CalendarZone):  # the start of a step of the calendar
            return wording.clock(onset, None)
        return f"{onset.astimezone(self.zone):%H:%M}"

    def _days(self, start: datetime, end: datetime) -> tuple[float, float]:
        return figure_style.day(start), figure_style.day(end)


def _zone(report: Report, timezone: str) -> ZoneInfo:
    """The zone of the axis: that of the calendar, if steps are of one."""
    step = report.step
    return ZoneInfo(step.zone if isinstance(step, CalendarStep) else timezone)


def _words(finding: Finding) -> str:
    """The line under the name of a finding: `+212 % [180, 240]`."""
    match finding.verdict:
        case Verdict.REGRESSED | Verdict.IMPROVED:
            return change_words(finding) + mark(finding)
        case Verdict.OK:
            return ", ".join(part for part in ("ok", rest_words(finding)) if part)
    return f"{verdict_words(finding)}: {reason_words(finding)}"


def _colour(finding: Finding) -> str:
    return VERMILION if finding.fails else GREEN if finding.verdict in BETTER else GREY


def _release(report: Report) -> str:
    return wording.shortened(release_words(report.release), LONGEST_RELEASE)
