"""Pictures for people who read the report in a mail or a chat: observed against expected, as PNG. Needs the extra `plot`.

The same report gives the same bytes. Colours are those of Okabe and Ito, which people with any colour vision tell apart.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from anomaly import wording
from anomaly.contracts import Action, Message
from anomaly.model import Finding, Report, Verdict
from anomaly.notice import release_words
from anomaly.report import change_words, mark, ordered, reason_words, rest_words, title, verdict_words, versus_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
COLUMNS = 3
INK, GREY, FAINT, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
BLUE, SKY, VERMILION, GREEN = "#0072b2", "#56b4e9", "#d55e00", "#007a5a"
FONT = "DejaVu Sans"  # comes with matplotlib, so that pictures look the same everywhere
NO_GLYPH = "□"
LONGEST_TITLE, LONGEST_WORDS, LONGEST_PANEL_TITLE, LONGEST_RELEASE, LONGEST_UNIT = 48, 110, 36, 40, 30  # characters that fit
FARTHEST = 1e100  # what is further out is drawn there, for beyond it limits of an axis overflow
LARGEST_PLAIN, LONGEST_TICK = 1e9, 10
HEADROOM = 0.16  # share of the height that is kept free for the words at the onset
DRAWING = threading.Lock()  # matplotlib is not made for threads, and every sink has one

log = logging.getLogger(__name__)


def kpi_png(report: Report, finding: Finding, *, timezone: str = "UTC", width: int = 900, dpi: int = 100) -> bytes:
    """One series of the report, `width` × 0.4 `width` pixels; twice the `dpi` with twice the `width` is the same picture, sharper."""
    with DRAWING:
        figure = _figure(width, 0.4 * width, dpi)
        height = 0.4 * width / dpi  # inches, as all of the layout, so that text fits whatever the size
        axes = figure.add_axes((0.085, 0.6 / height, 0.89, 1 - 1.36 / height))
        zone = ZoneInfo(timezone)
        _Drawing(axes, report, zone).draw(finding, ticks=7, named=True)
        day = report.release.started_at.astimezone(zone).date()
        axes.set_xlabel(f"{day.isoformat()}, {zone.key}", color=GREY, fontsize=8, loc="right", family=FONT, parse_math=False)
        _write(figure, 0.02, 1 - 0.12 / height, _cut(title(finding), LONGEST_TITLE), size=13, weight="bold")
        words = ", ".join(part for part in (_words(finding), versus_words(finding)) if part)
        _write(figure, 0.02, 1 - 0.42 / height, _cut(words, LONGEST_WORDS), size=10, color=_colour(finding))
        _write(figure, 0.985, 1 - 0.12 / height, _release(report), size=9, color=GREY, align="right")
        axes.set_ylabel(_glyphs(wording.plain(finding.unit, LONGEST_UNIT)), color=GREY, fontsize=9, family=FONT, parse_math=False)
        _legend(figure, axes)
        return _png(figure, dpi)


def overview_png(report: Report, *, timezone: str = "UTC", width: int = 900, dpi: int = 100) -> bytes:
    """What matters most, at most 12 series, each on its own scale; a picture of as many rows as that takes."""
    shown = ordered(report.findings)[:MOST_PANELS]
    columns = min(COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    height = 0.6 + 1.75 * rows  # inches
    with DRAWING:
        figure = _figure(width, height * dpi, dpi)
        _write(figure, 0.02, 1 - 0.12 / height, _release(report), size=13, weight="bold")
        left = len(report.findings) - len(shown)
        more = f"{len(shown)} of {len(report.findings)} series" if left else ""
        _write(figure, 0.985, 1 - 0.12 / height, more, size=9, color=GREY, align="right")
        for place, finding in enumerate(shown):
            row, column = divmod(place, columns)
            below = (height - 0.55 - 1.75 * (row + 1)) / height
            axes = figure.add_axes(((column + 0.17) / columns, below + 0.3 / height, 0.79 / columns, 0.92 / height))
            _Drawing(axes, report, ZoneInfo(timezone)).draw(finding, ticks=4, named=False)
            top = below + 1.62 / height
            _write(figure, (column + 0.06) / columns, top, _cut(title(finding), LONGEST_PANEL_TITLE), size=9, weight="bold")
            words = _cut(_words(finding), LONGEST_PANEL_TITLE)
            _write(figure, (column + 0.06) / columns, top - 0.19 / height, words, size=8, color=_colour(finding))
        return _png(figure, dpi)


def worst_png(message: Message) -> bytes | None:
    """The series that a message is about, drawn sharp; None if it is about none, or without matplotlib. Never raises."""
    over = message.action is Action.RESOLVE
    report = message.report
    about = [each for each in ordered(report.findings) if (each.verdict is Verdict.RECOVERED if over else each.fails)]
    try:
        for finding in about if message.action is not Action.TRIAL else ():
            if not _points(report, finding).empty:
                return kpi_png(report, finding, width=1200, dpi=133)
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  a picture that can't be drawn must not keep people from being told
        log.warning("no picture: %s", type(error).__name__)
    return None


@dataclass(frozen=True, slots=True)
class _Drawing:
    """One plot of a report."""

    axes: Axes
    report: Report
    zone: ZoneInfo

    def draw(self, finding: Finding, *, ticks: int, named: bool) -> None:
        """The series with its band, the release before it, and what stands out."""
        axes, report, release = self.axes, self.report, self.report.release
        points = _points(report, finding)
        self._frame(ticks)
        start = release.started_at
        axes.set_xlim(*self._days(start - (report.observation.end - start) * 0.015, report.observation.end))
        axes.axvspan(*self._days(start, max(release.finished, start + report.step / 2)), color=GREY, alpha=0.35, lw=0, label="release")
        if release.finished < report.observation.start:
            axes.axvspan(*self._days(release.finished, report.observation.start), color=GREY, alpha=0.13, lw=0, label="warm-up")
        for moment, _ in release.stages[1:]:
            axes.axvline(self._day(moment), color=GREY, lw=0.8, ls=":")
        if points.empty:
            axes.set_yticks([])
            nothing = _glyphs("nothing was observed")
            axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", va="center", color=GREY, family=FONT, parse_math=False)
            return
        times = [self._day(moment) for moment in points["time"]]
        columns = ("observed", "expected", "lower", "upper")
        observed, expected, lower, upper = (points[name].clip(-FARTHEST, FARTHEST).to_numpy(float) for name in columns)
        axes.fill_between(times, lower, upper, color=SKY, alpha=0.28, lw=0, label="usual range (99 %)")
        axes.plot(times, expected, color=BLUE, lw=1.3, ls=(0, (5, 2)), label="expected")
        axes.plot(times, observed, color=INK, lw=1.5, label="observed", marker="o", markersize=2.2, markeredgewidth=0)
        flagged = points["flagged"].to_numpy(bool) & (abs(observed) < math.inf)
        if flagged.any():
            out = [time for time, flag in zip(times, flagged, strict=True) if flag]
            axes.plot(
                out, observed[flagged], "o", color=VERMILION, markersize=4.2, markeredgecolor=PAPER, markeredgewidth=0.5, label="outside"
            )
        self._onset(finding, named=named)

    def _onset(self, finding: Finding, *, named: bool) -> None:
        """A line at the likeliest moment, with its time beside it if there is room, and a bar at the axis from the first to the last."""
        if finding.onset is None:
            return
        axes, begun, colour = self.axes, self._day(finding.onset), _colour(finding)
        if finding.onset_interval is not None:
            axes.plot(self._days(*finding.onset_interval), (0, 0), color=colour, lw=5, alpha=0.5, transform=axes.get_xaxis_transform())
        axes.axvline(begun, color=colour, lw=1.2, ls=(0, (3, 2)))
        if not named:
            return
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + HEADROOM * (high - low))
        left, right = axes.get_xlim()
        late = begun > left + 0.8 * (right - left)
        axes.annotate(
            f"since {finding.onset.astimezone(self.zone):%H:%M}",
            (begun, 0.985),
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

    def _frame(self, ticks: int) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter  # noqa: PLC0415
        from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

        axes = self.axes
        axes.set_facecolor(PAPER)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
        axes.grid(axis="y", color=FAINT, lw=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=GREY, labelsize=8, length=0, pad=4, labelfontfamily=FONT)
        axes.tick_params(axis="x", length=3, color=FAINT)
        places = AutoDateLocator(self.zone, minticks=3, maxticks=ticks)
        short = self.report.observation.end - self.report.release.started_at <= timedelta(days=1)
        axes.xaxis.set_major_locator(places)
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M", self.zone) if short else ConciseDateFormatter(places, self.zone))
        axes.yaxis.set_major_locator(MaxNLocator(min(ticks, 5), steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, axes.get_yticks().tolist())))

    def _day(self, moment: datetime) -> float:
        from matplotlib.dates import date2num  # noqa: PLC0415

        return float(date2num(moment))

    def _days(self, start: datetime, end: datetime) -> tuple[float, float]:
        return self._day(start), self._day(end)


def _points(report: Report, finding: Finding) -> pd.DataFrame:
    """The rows of one series that hold something to be drawn, gaps between them too."""
    from anomaly.panel import segment_text  # noqa: PLC0415  numpy is loaded when something is drawn

    points = report.points
    kpis, segments = (points[name].astype(object) for name in ("kpi", "segment"))  # any text can be compared
    mine = points[(kpis == finding.kpi) & (segments == segment_text(finding.segment))]
    return mine if mine["observed"].notna().any() else mine.iloc[:0]


def _words(finding: Finding) -> str:
    """What is said of a finding under its name: `+212 % [180, 240]`."""
    match finding.verdict:
        case Verdict.REGRESSED | Verdict.IMPROVED:
            return change_words(finding) + mark(finding)
        case Verdict.OK:
            return ", ".join(part for part in ("ok", rest_words(finding)) if part)
    return f"{verdict_words(finding)}: {reason_words(finding)}"


def _colour(finding: Finding) -> str:
    return VERMILION if finding.fails else GREEN if finding.verdict in (Verdict.IMPROVED, Verdict.RECOVERED) else GREY


def _release(report: Report) -> str:
    return _cut(release_words(report.release), LONGEST_RELEASE)


def _tick(value: float, ticks: Sequence[float]) -> str:
    """A value on an axis with as many decimals as tell its neighbours apart."""
    gap = min((abs(after - before) for before, after in pairwise(ticks)), default=0.0)
    largest = max((abs(each) for each in ticks), default=0.0)
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9)) if gap else 0
    text = f"{value + 0.0:,.{decimals}f}"
    return text if gap and largest < LARGEST_PLAIN and len(text) <= LONGEST_TICK else f"{value:.4g}"


def _figure(width: float, height: float, dpi: int) -> Figure:
    """An empty figure of `width` × `height` pixels that knows nothing of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def _write(
    figure: Figure, x: float, y: float, text: str, *, size: float, color: str = INK, weight: str = "normal", align: str = "left"
) -> None:
    figure.text(x, y, _glyphs(text), fontsize=size, color=color, weight=weight, ha=align, va="top", family=FONT, parse_math=False)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    figure.legend(
        [*found.values()],
        [*found],
        loc="lower left",
        bbox_to_anchor=(0.01, 0.0),
        ncols=len(found),
        frameon=False,
        labelcolor=GREY,
        prop={"family": FONT, "size": 8},
        handlelength=1.6,
        columnspacing=1.4,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + wording.CUT_MARK


def _glyphs(text: str) -> str:
    """Text in which what the font cannot draw is a box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font  # noqa: PLC0415

    known = get_font(findfont(FontProperties(family=FONT)))
    return "".join(character if known.get_char_index(ord(character)) else NO_GLYPH for character in text)


def _png(figure: Figure, dpi: int) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})  # a version would make the bytes differ
    return out.getvalue()
