"""The report as tables for people: the answer first, then changes, what could not be judged, and
the rest."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import StringIO
from typing import ClassVar, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError
from anomaly.model import CHANGED, UNJUDGED, Finding, ReleaseVerdict, Verdict
from anomaly.reporting import words
from anomaly.reporting.foremost import without_segments
from anomaly.reporting.report import Report
from anomaly.reporting.sparkline import BLOCKS, sparkline

PLAIN_WIDTH = 100  # for output that is not a terminal
NARROWEST, WIDEST = 72, 160  # tables outside this range are hard to read
MOST_ROWS = 40  # of a section; the JSON has them all
MOST_QUERIES = 5
MOST_NAMES = 2  # before a note
# characters across a column, and between two
NARROWEST_NAME = 15
NARROWEST_NUMBERS = 7
NARROWEST_LAST = 14
GAP = 2
SIGNS = {
    Verdict.REGRESSED: ("✗", "bold red"),
    Verdict.IMPROVED: ("✓", "green"),
    Verdict.RECOVERED: ("✓", "green"),
    Verdict.OK: ("✓", "green"),
    Verdict.INCONCLUSIVE: ("?", "yellow"),
    Verdict.NO_DATA: ("?", "yellow"),
    Verdict.ERROR: ("!", "bold magenta"),
}
ANSWERS = {
    ReleaseVerdict.FAIL: "bold red",
    ReleaseVerdict.HOLD: "bold yellow",
    ReleaseVerdict.PASS: "bold green",
    ReleaseVerdict.INCONCLUSIVE: "bold yellow",
    ReleaseVerdict.ERROR: "bold magenta",
}
ASCII = str.maketrans(
    {"✗": "x", "✓": "+", "…": "~", "─": "-", "–": "-", **dict(zip(BLOCKS, "_.:-=+*#", strict=True))}
)
MOST_SPARKLINES = 12
SPARKLINE, ROOM_FOR_NAME = 24, 28  # characters


class Style(StrEnum):
    """The style of the report: bare text, lines, or lines and colours."""

    BARE = "bare"
    LINED = "lined"
    COLOURED = "coloured"


@dataclass(frozen=True, slots=True)
class Canvas:
    """The width and the style of the output."""

    width: int
    style: Style


class ConsoleSink:
    """Prints the report on standard output."""

    outside: ClassVar[frozenset[str]] = frozenset({"stream", "environ"})

    def __init__(
        self, *, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = stream
        self._environ = environ

    def send(self, message: Message, /) -> Receipt:
        try:
            show(message.report, self._stream or sys.stdout, environ=self._environ)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise SinkError(f"standard output: {error}") from error
        return Receipt("console", delivered=True)


def show(report: Report, stream: TextIO, *, environ: Mapping[str, str] = os.environ) -> None:
    """Prints the report in the style of `stream`: lines and colours only on a terminal, no colours
    under NO_COLOR.

    Characters that the stream can't encode become `?`. Raises OSError as the stream does.
    """
    text = render(report, width=width_of(stream, environ), style=style_of(stream, environ))
    stream.write(_encodable(text, stream.encoding or "utf-8"))
    stream.flush()


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """The style for `stream`; NO_COLOR counts if it is not empty (no-color.org)."""
    if not stream.isatty() or environ.get("TERM") == "dumb":
        return Style.BARE
    return Style.LINED if environ.get("NO_COLOR") else Style.COLOURED


def width_of(stream: TextIO, environ: Mapping[str, str]) -> int:
    """The columns of the terminal, or of COLUMNS, limited to a readable width."""
    if environ.get("COLUMNS", "").isdecimal():
        return max(NARROWEST, min(WIDEST, int(environ["COLUMNS"][:6])))
    if not stream.isatty():
        return PLAIN_WIDTH
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def render(report: Report, *, width: int = 80, style: Style = Style.BARE) -> str:
    """The report as text of at most `width` columns, the headline first; safe to print whatever
    the names in it."""
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=style is Style.COLOURED,
        color_system="standard" if style is Style.COLOURED else None,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    for part in _parts(report, Canvas(width, style)):
        console.print(
            part, soft_wrap=style is Style.BARE and isinstance(part, Text)
        )  # bare text goes to files: a line is a line
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    return text


def _parts(report: Report, canvas: Canvas) -> Iterator[RenderableType]:
    findings = words.ordered(report.findings)
    yield _headline(report, canvas.style)
    yield from _queries([finding for finding in findings if finding.fails], canvas.style)
    yield Text(words.judged_words(report), style="dim")
    for number, line in enumerate(words.incident_lines(report)):
        yield Text(f"{'' if number else chr(10)}  {line}")
    sections: Sequence[tuple[Callable[[list[Finding], Report, Canvas], Table], list[Finding]]] = (
        (_moved, [finding for finding in findings if finding.verdict in CHANGED]),
        (_not_judged, [finding for finding in findings if finding.verdict in UNJUDGED]),
        (_fine, [finding for finding in findings if finding.verdict is Verdict.OK]),
    )
    for section, rows in sections:
        listed = _listed(rows, report)
        ids = {id(each) for each in listed}
        left = words.more_words([each for each in rows if id(each) not in ids])
        if listed:
            yield Text()
            yield section(listed, report, canvas)
        if left:
            yield Text(f"  … {left}; --output json has them all", style="dim")
        if section is _moved and canvas.style is not Style.BARE:
            yield from _sparklines(rows[:MOST_SPARKLINES], report, canvas)
    yield from _exposures(findings)
    yield from _notes(findings)
    for number, line in enumerate(words.context_lines(report)):
        yield Text(f"{'' if number else chr(10)}  {line}")
    if any(
        words.detectable_words(finding) for finding in findings if finding.verdict is Verdict.OK
    ):
        yield Text(f"\n  {words.DETECTABLE_NOTE}", style="dim")


def _listed(findings: list[Finding], report: Report) -> list[Finding]:
    """The rows of a section; of many that are ok, only totals and KPIs of one series."""
    if len(findings) > MOST_ROWS and findings[0].verdict is Verdict.OK:
        findings = without_segments(findings, report.findings)
    return findings[:MOST_ROWS]


def _headline(report: Report, style: Style) -> RenderableType:
    verdict, _, rest = words.headline(report).partition("  ")
    if style is Style.BARE:
        return Text(f"{verdict}  {rest}")
    hanging = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    hanging.add_row(Text(verdict, style=ANSWERS[report.verdict]), Text(rest, style="bold"))
    return hanging


def _queries(failing: Iterable[Finding], style: Style) -> Iterator[RenderableType]:
    """The resolved query of each KPI that fails the release, once for all its segments."""
    kpis: dict[str, Finding] = {}
    for finding in failing:
        kpis.setdefault(finding.kpi, finding)
    for finding in [*kpis.values()][:MOST_QUERIES]:
        if finding.query:
            name = f"{wording.plain(finding.kpi, words.LONGEST_NAME)} ="
            lines = words.query_lines(finding)
            is_long = len(lines) > (2 if finding.denominator else 1)
            block = (
                [name, *(f"  {line}" for line in lines)] if is_long else [" ".join([name, *lines])]
            )
            for line in block:
                yield (
                    Text(f"      {line}")
                    if style is Style.BARE
                    else Padding(Text(line, style="dim"), (0, 0, 0, 6))
                )


def _table(canvas: Canvas, columns: Mapping[str, Sequence[Text | str]]) -> Table:
    """A table of the columns, as wide as needed or as the canvas allows."""
    bare = canvas.style is Style.BARE
    table = Table(
        box=None if bare else box.SIMPLE_HEAD,
        padding=(0, GAP if bare else GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    natural = [
        max(cell_len(line) for cell in (name, *cells) for line in str(cell).split("\n"))
        for name, cells in columns.items()
    ]
    for name, width in zip(
        columns, _widths(natural, canvas.width - GAP * (len(natural) - 1)), strict=True
    ):
        table.add_column(name, overflow="fold", width=width)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _widths(natural: Sequence[int], available: int) -> list[int]:
    """Widths that fit: the first and the last column shrink before the numbers between them, the
    widest first."""
    widths, last = list(natural), len(natural) - 1
    narrowest = [NARROWEST_NAME, *[NARROWEST_NUMBERS] * (last - 1), NARROWEST_LAST]
    for group in ((last, 0), range(1, last)):
        while sum(widths) > available and (
            wide := [column for column in group if widths[column] > narrowest[column]]
        ):
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _moved(findings: list[Finding], report: Report, canvas: Canvas) -> Table:
    return _table(
        canvas,
        {
            "KPI": [_name(finding) for finding in findings],
            "verdict": [_verdict(finding) for finding in findings],
            "effect [95 %]": [words.change_words(finding) for finding in findings],
            "p": [words.p_words(finding) for finding in findings],
            "since": [words.onset_words(finding, report.release) for finding in findings],
            "observed vs expected": [words.brief_versus_words(finding) for finding in findings],
        },
    )


def _fine(findings: list[Finding], _report: Report, canvas: Canvas) -> Table:
    return _table(
        canvas,
        {
            "KPI": [_name(finding) for finding in findings],
            "verdict": [_verdict(finding) for finding in findings],
            "effect [95 %]": [words.rest_words(finding) for finding in findings],
            words.DETECTABLE_HEAD: [
                words.detectable_words(finding) or "unknown" for finding in findings
            ],
            "observed vs expected": [words.brief_versus_words(finding) for finding in findings],
        },
    )


def _not_judged(findings: list[Finding], _report: Report, canvas: Canvas) -> Table:
    return _table(
        canvas,
        {
            "KPI": [_name(finding) for finding in findings],
            "verdict": [_verdict(finding) for finding in findings],
            "why": [_why(finding) for finding in findings],
        },
    )


def _why(finding: Finding) -> str:
    effect = words.effect_words(finding)
    return words.reason_words(finding) + (
        f" ({effect} so far)" if effect and not finding.control_for else ""
    )


def _name(finding: Finding) -> Text:
    labels = words.part_words(finding)
    name = Text(wording.plain(finding.kpi, words.LONGEST_NAME))
    return name.append(f" ({labels})", style="dim") if labels else name


def _verdict(finding: Finding) -> Text:
    """A sign and the word, below it what else to know, such as `dry run` or `critical`; the colour
    repeats the word."""
    sign, colour = SIGNS[Verdict.REGRESSED if finding.fails else finding.verdict]
    states = (
        ("control", finding.control_for),
        ("dry run", finding.dry_run),
    )
    marks = [mark for mark, holds in states if holds] + words.failure_marks(finding)
    text = Text(
        f"{sign} {finding.verdict.replace('_', ' ')}", style=colour if finding.counts else "dim"
    )
    return text.append(f"\n  {', '.join(marks)}", style="dim") if marks else text


def _sparklines(
    findings: Sequence[Finding], report: Report, canvas: Canvas
) -> Iterator[RenderableType]:
    """Observed and expected values of each KPI that changed, as lines of blocks on one scale."""
    blocks = min(SPARKLINE, (canvas.width - ROOM_FOR_NAME) // 2 - GAP)
    lines = [
        (finding, line) for finding in findings if (line := sparkline(report, finding, blocks))
    ]
    if not lines:
        return
    columns = {
        "KPI": [_name(finding) for finding, _ in lines],
        "observed": [
            Text(line.observed, style=SIGNS[finding.verdict][1]) for finding, line in lines
        ],
        "expected": [Text(line.expected, style="dim") for _, line in lines],
    }
    yield Text()
    yield _table(canvas, columns)


def _exposures(findings: Iterable[Finding]) -> Iterator[RenderableType]:
    """Whether a change after a staged release grows with its stages."""
    lines = [
        f"  {words.title(each)}: {wording.exposure(each.exposure, each.unit)}"
        for each in findings
        if each.exposure is not None
    ]
    yield from (Text(line) for line in ["", *lines[:MOST_ROWS]] if lines)


def _notes(findings: Iterable[Finding]) -> Iterator[RenderableType]:
    """Each note once, with its KPIs."""
    about: dict[str, dict[str, None]] = {}
    for finding in findings:
        for note in finding.notes:
            names = about.setdefault(wording.plain(note, words.LONGEST_REASON), {})
            names[finding.kpi] = None
    if about:
        yield Text()
    for note, names in [*about.items()][:MOST_ROWS]:
        who = wording.plain(", ".join([*names][:MOST_NAMES]), MOST_NAMES * words.LONGEST_NAME)
        who += f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        yield Text(f"  {who}: {note}")
    if len(about) > MOST_ROWS:
        yield Text(f"  … and {len(about) - MOST_ROWS:,} more notes", style="dim")
