"""The gallery: every kind of obvious release as a small picture, with the answer that the tool
gives it now.

A picture has two parts with a height scale each: the history, and the time around the release. It
is part of the page, so the style of the page colours it, in light and in dark.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import anomaly
from anomaly import Report
from anomaly.reporting.words import reason_words, verdict_words
from anomaly.wording import number
from docs.builder.errors import SiteError
from tests.obvious.catalogue import Case, Kind, only
from tests.obvious.kinds import GROUPS, KINDS

Floats = NDArray[np.float64]
SEED = 0
WIDTH, HEIGHT = 360, 118
TOP, BOTTOM = 5, 98  # of both parts
HISTORY, RELEASE = (2, 122), (136, 300)  # left and right of the parts
TEXT = 112  # the line that the words below stand on
COLUMN = 2  # so wide is what stands for several steps
FINE = 4  # steps on a unit of width that are still drawn as a line
LETTER = 6.2  # width of a letter
LONGEST_NUMBER = 8  # letters beside a picture
BEFORE = 0.6  # of the watch, shown before the release
FEWEST_BEFORE = 6  # steps
SPANS = ((86_400, "d"), (3600, "h"), (60, "min"))
TAIL, ROOM = 0.05, 3.0  # a scale ends this many times the inner range beyond the outer 5 %


@dataclass(frozen=True)
class Part:
    """A part of a picture: times and values, and where they lie."""

    when: Floats
    first: float
    last: float
    low: float
    high: float
    left: int
    right: int

    def x(self, when: Floats) -> Floats:
        """Where moments lie."""
        return self.left + (when - self.first) / (self.last - self.first) * (self.right - self.left)

    def y(self, value: Floats) -> Floats:
        """Where values lie; those beyond the scale lie on its edge."""
        share = (np.clip(value, self.low, self.high) - self.low) / (self.high - self.low)
        return BOTTOM - share * (BOTTOM - TOP)


def cards(group: str) -> str:
    """The pictures of a group as HTML. Raises SiteError if there is no such group."""
    if group not in GROUPS:
        raise SiteError(f"no group {group} in the gallery; use one of {', '.join(GROUPS)}")
    made = [_card(kind) for kind in KINDS if kind.group == group]
    right = sum(is_right for is_right, _ in made)
    inner = "\n".join(card for _, card in made)
    return (
        f'{right} of {len(made)} are answered right here.\n\n<div class="gallery">\n{inner}\n</div>'
    )


def _card(kind: Kind) -> tuple[bool, str]:
    """Whether the kind is answered right, and its card."""
    case = kind.case(SEED)
    report: Report | None = None
    try:
        report = case.report()
        finding = only(report)
        is_right = kind.is_right(report)
        answer = f"<b>{report.verdict}</b> · {verdict_words(finding)}"
        reason = reason_words(finding)
    except anomaly.AnomalyError as error:
        is_right, answer, reason = False, "<b>refused</b>", str(error)
    mark = ("right", "✓ right") if is_right else ("wrong", "✗ not yet")
    return is_right, (
        '<div class="kind">\n'
        f"<p><strong>{html.escape(kind.name, quote=False)}</strong></p>\n"
        f"{picture(case, report, f'{kind.name}: {reason}')}\n"
        f'<p><span class="{mark[0]}">{mark[1]}</span> · {answer}: '
        f"{html.escape(reason, quote=False)}</p>\n"
        "</div>"
    )


def picture(case: Case, report: Report | None, says: str) -> str:
    """A series around a release as SVG, with what was expected if it was judged."""
    when, values = _seconds(case.index), np.asarray(case.series(), float)
    if "denominators" in case.options:
        below = case.options["denominators"].to_numpy()
        values = np.divide(values, below, out=np.full(len(values), np.nan), where=below > 0)
    step = float(np.median(np.diff(when)))
    released = case.released.timestamp()
    end = when[-1] + step
    begin = released - max(BEFORE * (end - released), FEWEST_BEFORE * step)
    points = None if report is None or report.points.empty else report.points
    near = values[when >= begin]
    expected = np.array([]) if points is None else points["expected"].to_numpy(float)
    history = Part(when, when[0], end, *_scale(values), *HISTORY)
    around = Part(when, begin, end, *_scale(np.concatenate([near, expected])), *RELEASE)
    inner = [*_axes(history, released), *_axes(around, released)]
    if points is not None:
        inner += _expected(around, points, step)
    inner += [_observed(history, values, step), _observed(around, values, step)]
    inner += _words(around, when, released, end)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(says)}">{"".join(inner)}</svg>'
    )


def _seconds(index: pd.DatetimeIndex) -> Floats:
    return index.as_unit("s").asi8.astype(float)


def _scale(values: Floats) -> tuple[float, float]:
    """Lowest and highest value of a scale that a few extreme values don't flatten."""
    there = values[np.isfinite(values)]
    if len(there) == 0:
        return 0.0, 1.0
    low, high = np.quantile(there, [TAIL, 1 - TAIL])
    room = ROOM * (high - low) if high > low else np.inf
    low, high = max(there.min(), low - room), min(there.max(), high + room)
    edge = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    least = 0.0 if there.min() >= 0 else -np.inf
    return float(max(low - edge, least)), float(high + edge)


def _axes(part: Part, released: float) -> Iterator[str]:
    yield f'<path class="frame" d="M{part.left} {TOP}V{BOTTOM}H{part.right}"/>'
    x = part.x(np.array([released]))[0]
    yield f'<path class="release" d="M{x:.1f} {TOP}V{BOTTOM}"/>'


def _observed(part: Part, values: Floats, step: float) -> str:
    """A line through the steps; where several share a column, from their lowest to their
    highest."""
    there = np.isfinite(values) & (part.when >= part.first)
    x, y = part.x(part.when[there] + step / 2), part.y(values[there])
    if len(x) <= FINE * (part.right - part.left):
        broken = np.diff(part.when[there], prepend=-np.inf) > 1.5 * step
        return f'<path class="observed" d="{_line(x, y, broken)}"/>'
    column = (x // COLUMN).astype(int)
    drawn = "".join(
        f"M{COLUMN * at + COLUMN // 2} {y[column == at].min():.0f}V{y[column == at].max():.0f}"
        for at in np.unique(column)
    )
    return f'<path class="observed many" d="{drawn}"/>'


def _line(x: Floats, y: Floats, broken: Sequence[bool] | NDArray[np.bool_]) -> str:
    """A path through points, which begins anew where it is broken; a lone point is a dot."""
    return "".join(
        f"{'M' if anew else 'L'}{at:.1f} {value:.1f}{'h0' if anew else ''}"
        for at, value, anew in zip(x, y, broken, strict=True)
    )


def _expected(part: Part, points: pd.DataFrame, step: float) -> list[str]:
    """The expected values as a line, and the band that 99 % of the steps lie in."""
    there = points[points["expected"].notna()]
    if there.empty:
        return []
    began = _seconds(pd.DatetimeIndex(there["time"]))
    x = part.x(np.r_[began[0], began + step / 2, began[-1] + step])  # from edge to edge
    low, middle, high = (
        part.y(np.pad(there[name].to_numpy(float), 1, mode="edge"))
        for name in ("lower", "expected", "upper")
    )
    anew = np.arange(len(x)) == 0
    drawn = [f'<path class="expected" d="{_line(x, middle, anew)}"/>']
    if np.isfinite(low).all() and np.isfinite(high).all():
        around = _line(np.r_[x, x[::-1]], np.r_[low, high[::-1]], np.r_[anew, ~np.isfinite(x)])
        drawn.insert(0, f'<path class="band" d="{around.replace("h0", "")}Z"/>')
    return drawn


def _words(part: Part, when: Floats, released: float, end: float) -> Iterator[str]:
    """How long the parts are, and the ends of the scale of the right one."""
    after = f"+{_span(end - released)}"
    half = LETTER * len("release") / 2
    x = min(part.x(np.array([released]))[0], part.right - LETTER * (len(after) + 1) - half)
    yield f'<text x="{HISTORY[0]}" y="{TEXT}">{_span(released - when[0])} before</text>'
    yield f'<text x="{x:.0f}" y="{TEXT}" text-anchor="middle">release</text>'
    yield f'<text x="{part.right}" y="{TEXT}" text-anchor="end">{after}</text>'
    for value, y in ((part.high, TOP + 9), (part.low, BOTTOM)):
        yield f'<text x="{part.right + 4}" y="{y}">{_short(value)}</text>'


def _short(value: float) -> str:
    text = number(value)
    return text if len(text) <= LONGEST_NUMBER else f"{value:.3g}"


def _span(seconds: float) -> str:
    """A length in its largest unit that gives at least two of them."""
    unit, name = next(each for each in SPANS if seconds >= 2 * each[0] or each == SPANS[-1])
    return f"{number(seconds / unit)} {name}"
