"""The page of all releases: their times and verdicts, a heat map of KPIs by release, and how often
an alarm was right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from anomaly import wording
from anomaly.model import WORST_FIRST, Release, ReleaseVerdict, Verdict
from anomaly.reporting.notice import release_words
from anomaly.reporting.pages.document import Live, document
from anomaly.reporting.pages.release import (
    LONGEST_NAME,
    LONGEST_TEXT,
    RELEASE_SHAPES,
    RELEASE_TONES,
    SHAPES,
    TONES,
    time_of,
)

STYLES, SCRIPTS = ("page.css", "history.css"), ("page.js", "history.js")
MOST_COLUMNS = 40  # releases in the heat map
WIDTH, MARGIN, LEAST_APART = 1000, 48, 23  # of the timeline, in its own unit


@dataclass(frozen=True, slots=True)
class Cell:
    """The finding of one series at the last look at a release."""

    kpi: str
    verdict: Verdict
    fails: bool
    effect: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A release: its last look (`verdict` is None without one), the feedback of people, and the
    address of its report (empty without one)."""

    id: str
    release: Release
    state: str
    verdict: ReleaseVerdict | None
    final: bool
    headline: str
    looks: int
    comment: str
    cells: Sequence[Cell]
    link: str

    @property
    def shape(self) -> str:
        return "·" if self.verdict is None else RELEASE_SHAPES[self.verdict]

    @property
    def tone(self) -> str:
        return "calm" if self.verdict is None else RELEASE_TONES[self.verdict]

    @property
    def word(self) -> str:
        return (
            "not judged yet"
            if self.verdict is None
            else str(self.verdict) + ("" if self.final else ", so far")
        )

    @property
    def name(self) -> str:
        return release_words(self.release)

    @property
    def version(self) -> str:
        return wording.plain(self.release.version, LONGEST_NAME) or wording.clock(
            self.release.started_at, None
        )

    @property
    def began(self) -> Markup:
        return time_of(self.release.started_at, None)

    @property
    def sentence(self) -> str:
        return wording.plain(self.headline.partition("  ")[2], LONGEST_TEXT)


@dataclass(frozen=True, slots=True)
class Square:
    """One KPI at one release: the worst of its series."""

    tone: str
    shape: str
    size: str
    words: str


def page(
    entries: Sequence[Entry],
    feedback: Mapping[str, int],
    data: Mapping[str, Any],
    *,
    about: str = "",
    live: Live | None = None,
) -> str:
    """The page as HTML. `entries` start with the newest; `feedback` counts the alarms with feedback
    (`judged`), and how many of these were `incidents`; `data` is embedded for machines; `about`
    names the service, if there is only one; `live` is what it says of itself where it is served.
    """
    judged_entries = [entry for entry in entries if entry.verdict is not None]
    columns = judged_entries[:MOST_COLUMNS][::-1]
    return document(
        "history.html",
        styles=STYLES,
        scripts=SCRIPTS,
        data=data,
        live=live,
        title=f"Releases of {about}" if about else "Releases",
        entries=entries,
        columns=columns,
        rows=[*_rows(columns)],
        marks=[*_marks(entries)],
        span=(entries[-1].began, entries[0].began) if entries else None,
        counts=[
            (RELEASE_TONES[verdict], RELEASE_SHAPES[verdict], str(verdict), count)
            for verdict in (
                ReleaseVerdict.FAIL,
                ReleaseVerdict.HOLD,
                ReleaseVerdict.ERROR,
                ReleaseVerdict.INCONCLUSIVE,
                ReleaseVerdict.PASS,
            )
            if (count := sum(entry.verdict is verdict for entry in judged_entries))
        ],
        feedback=feedback,
        precision=wording.percent(feedback["incidents"] / feedback["judged"])
        if feedback["judged"]
        else "",
    )


def _rows(columns: Sequence[Entry]) -> Iterator[tuple[str, Sequence[Square | None]]]:
    """The KPIs, those with most failures first, with a square for each release that has them."""
    cells = {
        (column.id, kpi): _worst(column, kpi)
        for column in columns
        for kpi in dict.fromkeys(cell.kpi for cell in column.cells)
    }
    kpis = dict.fromkeys(kpi for _, kpi in cells)

    def failures(kpi: str) -> int:
        return sum(cell.fails for (_, name), cell in cells.items() if name == kpi)

    for kpi in sorted(kpis, key=lambda name: (-failures(name), name)):
        name = wording.plain(kpi, LONGEST_NAME) or "(without a name)"
        yield name, [_square(name, cells.get((column.id, kpi)), column) for column in columns]


def _worst(entry: Entry, kpi: str) -> Cell:
    return min(
        (cell for cell in entry.cells if cell.kpi == kpi),
        key=lambda cell: (not cell.fails, WORST_FIRST.index(cell.verdict)),
    )


def _square(name: str, cell: Cell | None, column: Entry) -> Square | None:
    if cell is None:
        return None
    has_moved = cell.effect is not None and cell.verdict in (
        Verdict.REGRESSED,
        Verdict.IMPROVED,
        Verdict.RECOVERED,
    )
    size = wording.relative(cell.effect, None) if has_moved and cell.effect is not None else ""
    verdict = cell.verdict.replace("_", " ")
    tone = (
        "bad"
        if cell.fails
        else "open"
        if cell.verdict is Verdict.REGRESSED
        else TONES[cell.verdict]
    )
    return Square(
        tone, SHAPES[cell.verdict], size, f"{name} at {column.version}: {verdict} {size}".rstrip()
    )


def _marks(entries: Sequence[Entry]) -> Iterator[tuple[float, Entry]]:
    """The place of each release on the timeline, from left to right."""
    moments, before = [entry.release.started_at for entry in entries], 0.0
    for entry in reversed(entries):
        before = min(
            max(_place(entry.release.started_at, min(moments), max(moments)), before + LEAST_APART),
            WIDTH,
        )
        yield before, entry


def _place(moment: datetime, first: datetime, last: datetime) -> float:
    share = (moment - first) / (last - first) if last > first else 0.5
    return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)
