"""The style of all figures: an empty figure, font, colours and axes. Needs the extra `plot`.

The same data give the same bytes. Colours are those of Okabe and Ito, distinct for any colour
vision.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, FAINT, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
BLUE, SKY, VERMILION, GREEN = "#0072b2", "#56b4e9", "#d55e00", "#007a5a"
FONT = "DejaVu Sans"  # comes with matplotlib, so that pictures look the same everywhere
NO_GLYPH = "□"
FARTHEST = 1e100  # values beyond it are drawn there, because axis limits would overflow
LARGEST_PLAIN, LONGEST_TICK = 1e9, 10
DPI = 100
DRAWING = threading.RLock()  # matplotlib is not thread-safe, and every sink has a thread


def figure(width: float, height: float, dpi: int = DPI) -> Figure:
    """An empty figure of `width` × `height` pixels, independent of pyplot, shown by a notebook."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            return png(self, dpi)

    picture = Picture(figsize=(width / dpi, height / dpi), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(picture)
    return picture


def frame(axes: Axes, ticks: int = 4) -> None:
    """Axes with grid lines at up to `ticks` values, and nothing else."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_facecolor(PAPER)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=8, length=0, pad=4, labelfontfamily=FONT)
    axes.tick_params(axis="x", length=3, color=FAINT)
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: tick(value, axes.get_yticks().tolist()))
    )


def time_axis(axes: Axes, zone: ZoneInfo, ticks: int, *, clock_only: bool) -> None:
    """At most `ticks` times of `zone`, without dates if all are on one day."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter

    places = AutoDateLocator(zone, minticks=3, maxticks=ticks)
    axes.xaxis.set_major_locator(places)
    axes.xaxis.set_major_formatter(
        DateFormatter("%H:%M", zone) if clock_only else ConciseDateFormatter(places, zone)
    )
    axes.xaxis.get_offset_text().set(color=GREY, fontsize=8, family=FONT)


def day(moment: datetime) -> float:
    """A time in the unit of matplotlib."""
    from matplotlib.dates import date2num

    return float(date2num(moment))


def tick(value: float, ticks: Sequence[float]) -> str:
    """A value on an axis with enough decimals to differ from its neighbours."""
    gap = min((abs(after - before) for before, after in pairwise(ticks)), default=0.0)
    largest = max((abs(each) for each in ticks), default=0.0)
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9)) if gap else 0
    text = f"{value + 0.0:,.{decimals}f}"
    return text if gap and largest < LARGEST_PLAIN and len(text) <= LONGEST_TICK else f"{value:.4g}"


def write(
    on: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    color: str = INK,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """A line of text with its top at `y`, in shares of the figure."""
    on.text(
        x,
        y,
        glyphs(text),
        fontsize=size,
        color=color,
        weight=weight,
        ha=align,
        va="top",
        family=FONT,
        parse_math=False,
    )


def label(axes: Axes, text: str, *, size: float = 9) -> None:
    """The name of the vertical axis."""
    axes.set_ylabel(glyphs(text), color=GREY, fontsize=size, family=FONT, parse_math=False)


def legend(on: Figure, axes: Axes) -> None:
    """A legend of all labels in the axes, in a row at the bottom."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    on.legend(
        [*entries.values()],
        [*entries],
        loc="lower left",
        bbox_to_anchor=(0.01, 0.0),
        ncols=len(entries),
        frameon=False,
        labelcolor=GREY,
        prop={"family": FONT, "size": 8},
        handlelength=1.6,
        columnspacing=1.4,
    )


def glyphs(text: str) -> str:
    """The text with a box for each character that the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=FONT)))
    return "".join(
        character if font.get_char_index(ord(character)) else NO_GLYPH for character in text
    )


def png(on: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG, without a date or a version in its bytes."""
    out = BytesIO()
    with DRAWING:
        on.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    return out.getvalue()
