"""How a report shows itself in a notebook: small and static HTML, so that a notebook's difference
can be read, and figures.

No script, no style sheet, no request: styles are inline, and foreign text is escaped. Colours are
those of `anomaly.reporting.figures`; they repeat what the words say, and can be read on white and
on black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from anomaly.errors import UsageError
from anomaly.model import UNJUDGED, Finding, Release, ReleaseVerdict, Segment, Verdict
from anomaly.reporting import words as say
from anomaly.reporting.report import Report
from anomaly.reporting.sparkline import sparkline
from anomaly.wording import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 40  # `to_frame()` holds them all
BLOCKS = 16  # of a sparkline
GREY = "#7d8590"
COLOURS = {
    ReleaseVerdict.FAIL: "#c4460a",
    ReleaseVerdict.PASS: "#00825c",
    ReleaseVerdict.INCONCLUSIVE: "#8a6d00",
    ReleaseVerdict.ERROR: "#a3478b",
}
CELL = "text-align:left;vertical-align:top"  # a notebook's own style puts text on the right
SHORT = f"{CELL};white-space:nowrap"
LINE = f"{CELL};font-family:monospace;white-space:pre"
WRAPPED, DRAWN = "KPI", "after the release"  # columns
Column = Callable[[Finding], str]


def report_html(report: Report) -> str:
    """The report: the answer, what was judged, a table of the findings."""
    verdict, _, rest = say.headline(report).partition("  ")
    badge = (
        f"background:{COLOURS[report.verdict]};color:#fff;border-radius:3px;padding:.1em "
        ".5em;font-weight:bold"
    )
    context = "".join(_line(line) for line in say.context_lines(report))
    drawn: dict[str, Column] = (
        {} if report.points.empty else {DRAWN: lambda finding: _spark(report, finding)}
    )
    return (
        '<div style="max-width:72em"><p style="margin:.4em 0"><span '
        f'style="{badge}">{escape(verdict)}</span> '
        f"<b>{escape(rest)}</b></p>{_line(say.judged_words(report))}{context}"
        f"{_table(report.findings, report.release, drawn)}</div>"
    )


def findings_html(findings: Sequence[Finding]) -> str:
    """A table of the findings, what matters most first."""
    return _table(findings, None, {})


def _line(text: str) -> str:
    return f'<p style="margin:.2em 0;color:{GREY}">{escape(text)}</p>'


def _table(findings: Sequence[Finding], release: Release | None, more: Mapping[str, Column]) -> str:
    columns: dict[str, Column] = {
        "KPI": say.title,
        "verdict": lambda finding: (
            say.verdict_words(finding)
            + (", critical" if finding.critical and finding.fails else "")
        ),
        "effect [95 %]": _effect,
        "since (UTC)": lambda finding: say.onset_words(finding, release),
        "p": say.p_words,
        "observed vs expected": say.brief_versus_words,
        "would have seen": lambda finding: (
            say.detectable_words(finding) if finding.verdict is Verdict.OK else ""
        ),
        **more,
    }
    shown = say.ordered(findings)[:MOST_ROWS]
    columns = {name: words for name, words in columns.items() if any(map(words, shown))}
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in columns)
    rows = "".join(f"<tr>{''.join(_cells(finding, columns))}</tr>" for finding in shown)
    left = len(findings) - len(shown)
    rest = _line(f"… and {left} more; to_frame() holds them all") if left else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def _cells(finding: Finding, columns: Mapping[str, Column]) -> Iterable[str]:
    for name, words in columns.items():
        unjudged = name.startswith("effect") and finding.verdict in UNJUDGED  # a sentence why
        style = LINE if name == DRAWN else CELL if name == WRAPPED or unjudged else SHORT
        if name == "verdict":
            style += f";color:{_colour(finding)}" + (";font-weight:bold" if finding.fails else "")
        yield f'<td style="{style}">{escape(words(finding))}</td>'


def _effect(finding: Finding) -> str:
    if finding.verdict in UNJUDGED:
        return say.reason_words(finding)
    return say.rest_words(finding) if finding.verdict is Verdict.OK else say.change_words(finding)


def _spark(report: Report, finding: Finding) -> str:
    drawn = sparkline(report, finding, BLOCKS)
    return "" if drawn is None else drawn.observed


def _colour(finding: Finding) -> str:
    if finding.fails:
        return COLOURS[ReleaseVerdict.FAIL]
    if finding.verdict in UNJUDGED:
        return COLOURS[ReleaseVerdict.INCONCLUSIVE]
    return (
        COLOURS[ReleaseVerdict.PASS]
        if finding.verdict in (Verdict.IMPROVED, Verdict.RECOVERED)
        else GREY
    )


def plot(report: Report, finding: Finding | None, timezone: str) -> Figure:
    """The picture of one series, or of what matters most; raises UsageError without matplotlib."""
    try:
        from anomaly.reporting import figures as picture

        return (
            picture.overview(report, timezone=timezone)
            if finding is None
            else picture.kpi(report, finding, timezone=timezone)
        )
    except ModuleNotFoundError as error:
        raise UsageError(needs_matplotlib(error)) from error


def needs_matplotlib(error: ModuleNotFoundError) -> str:
    return f"pictures need {error.name}: pip install 'release-anomaly[plot]'"


def finding_of(report: Report, kpi: str, segment: Segment | None) -> Finding:
    """The finding about a KPI and its segment; without a segment that of the total, or the only
    one.

    Raises KeyError that says which there are.
    """
    mine = [finding for finding in report.findings if finding.kpi == kpi]
    if not mine:
        names = tuple(dict.fromkeys(finding.kpi for finding in report.findings))
        raise KeyError(
            f"no KPI {kpi!r}; there are {', '.join(names) or 'none'}{did_you_mean(kpi, names)}"
        )
    wanted = {} if segment is None else dict(segment)
    found = [finding for finding in mine if dict(finding.segment) == wanted]
    if not found and segment is None and len(mine) == 1:
        found = mine
    if not found:
        asked = (
            f"no segment {dict(segment)!r}"
            if segment is not None
            else "several segments and no total"
        )
        raise KeyError(
            f"{kpi!r} has {asked}; there are "
            f"{', '.join(repr(dict(finding.segment)) for finding in mine)}"
        )
    return found[0]
