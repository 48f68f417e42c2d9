"""A report in a notebook: small, static HTML that is readable in a diff, and figures.

No script, no style sheet, no request: styles are inline, and foreign text is escaped. Colours are
those of `anomaly.reporting.figures`; they repeat the words, and are legible on white and on black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from anomaly.errors import UsageError
from anomaly.model import BETTER, UNJUDGED, Finding, Release, ReleaseVerdict, Segment, Verdict
from anomaly.reporting import words
from anomaly.reporting.report import Report
from anomaly.reporting.sparkline import sparkline
from anomaly.wording import did_you_mean, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 40  # `to_frame()` has them all
MOST_NAMES = 20  # in an error
BLOCKS = 16  # of a sparkline
GREY = "#7d8590"
COLOURS = {
    ReleaseVerdict.FAIL: "#c4460a",
    ReleaseVerdict.HOLD: "#b3540e",
    ReleaseVerdict.PASS: "#00825c",
    ReleaseVerdict.INCONCLUSIVE: "#8a6d00",
    ReleaseVerdict.ERROR: "#a3478b",
}
CELL = "text-align:left;vertical-align:top"  # a notebook's own style puts text on the right
SHORT = f"{CELL};white-space:nowrap"
LINE = f"{CELL};font-family:monospace;white-space:pre"
WRAPPED, SPARKLINE = "KPI", "after the release"  # columns
Column = Callable[[Finding], str]


def report_html(report: Report) -> str:
    """The report: the answer, the release and its windows, a table of the findings."""
    verdict, _, rest = words.headline(report).partition("  ")
    badge = (
        f"background:{COLOURS[report.verdict]};color:#fff;border-radius:3px;padding:.1em "
        ".5em;font-weight:bold"
    )
    lines = [*words.incident_lines(report), *words.context_lines(report)]
    context = "".join(map(_line, lines))
    sparklines: dict[str, Column] = (
        {} if report.points.empty else {SPARKLINE: lambda finding: _sparkline(report, finding)}
    )
    return (
        '<div style="max-width:72em"><p style="margin:.4em 0"><span '
        f'style="{badge}">{escape(verdict)}</span> '
        f"<b>{escape(rest)}</b></p>{_line(words.judged_words(report))}{context}"
        f"{_table(report.findings, report.release, sparklines)}</div>"
    )


def findings_html(findings: Sequence[Finding]) -> str:
    """A table of the findings, the most important first."""
    return _table(findings, None, {})


def _line(text: str) -> str:
    return f'<p style="margin:.2em 0;color:{GREY}">{escape(text)}</p>'


def _table(findings: Sequence[Finding], release: Release | None, more: Mapping[str, Column]) -> str:
    columns: dict[str, Column] = {
        "KPI": words.title,
        "verdict": lambda finding: (
            words.verdict_words(finding)
            + "".join(f", {mark}" for mark in words.failure_marks(finding))
        ),
        "effect [95 %]": _effect,
        "p": words.p_words,
        "since (UTC)": lambda finding: words.onset_words(finding, release),
        "observed vs expected": words.brief_versus_words,
        words.DETECTABLE: lambda finding: (
            words.detectable_words(finding) if finding.verdict is Verdict.OK else ""
        ),
        **more,
    }
    order = words.ordered(findings)
    rows, left = order[:MOST_ROWS], order[MOST_ROWS:]
    columns = {name: column for name, column in columns.items() if any(map(column, rows))}
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(_cells(finding, columns))}</tr>" for finding in rows)
    rest = _line(f"… {words.more_words(left)}; to_frame() has them all") if left else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _cells(finding: Finding, columns: Mapping[str, Column]) -> Iterable[str]:
    for name, column in columns.items():
        is_reason = name.startswith("effect") and finding.verdict in UNJUDGED
        style = LINE if name == SPARKLINE else CELL if name == WRAPPED or is_reason else SHORT
        if name == "verdict":
            style += f";color:{_colour(finding)}" + (";font-weight:bold" if finding.fails else "")
        yield f'<td style="{style}">{escape(column(finding))}</td>'


def _effect(finding: Finding) -> str:
    if finding.verdict in UNJUDGED:
        return words.reason_words(finding)
    return (
        words.rest_words(finding) if finding.verdict is Verdict.OK else words.change_words(finding)
    )


def _sparkline(report: Report, finding: Finding) -> str:
    blocks = sparkline(report, finding, BLOCKS)
    return "" if blocks is None else blocks.observed


def _colour(finding: Finding) -> str:
    if finding.fails:
        return COLOURS[ReleaseVerdict.FAIL]
    if finding.verdict in UNJUDGED:
        return COLOURS[ReleaseVerdict.INCONCLUSIVE]
    return COLOURS[ReleaseVerdict.PASS] if finding.verdict in BETTER else GREY


def plot(report: Report, finding: Finding | None, timezone: str) -> Figure:
    """The figure of one series, or of the most important ones; raises UsageError without
    matplotlib."""
    try:
        from anomaly.reporting import figures

        return (
            figures.overview(report, timezone=timezone)
            if finding is None
            else figures.kpi(report, finding, timezone=timezone)
        )
    except ModuleNotFoundError as error:
        raise UsageError(needs_matplotlib(error)) from error


def needs_matplotlib(error: ModuleNotFoundError) -> str:
    return f"pictures need {error.name}: pip install 'release-anomaly[plot]'"


def finding_of(report: Report, kpi: str, segment: Segment | None) -> Finding:
    """The finding about a KPI and its segment; without a segment that of the total, or the only
    one.

    Raises KeyError that lists the names.
    """
    mine = [finding for finding in report.findings if finding.kpi == kpi]
    if not mine:
        names = tuple(dict.fromkeys(finding.kpi for finding in report.findings))
        raise KeyError(
            f"no KPI {kpi!r}; there are {listed(names, MOST_NAMES) or 'none'}"
            f"{did_you_mean(kpi, names)}"
        )
    target = {} if segment is None else dict(segment)
    matches = [finding for finding in mine if dict(finding.segment) == target]
    if not matches and segment is None and len(mine) == 1:
        matches = mine
    if not matches:
        problem = (
            f"no segment {dict(segment)!r}"
            if segment is not None
            else "several segments and no total"
        )
        raise KeyError(
            f"{kpi!r} has {problem}; there are "
            f"{listed([repr(dict(finding.segment)) for finding in mine], MOST_NAMES)}"
        )
    return matches[0]
