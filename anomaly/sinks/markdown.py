"""The report as GitHub-flavoured Markdown: the answer, and a table of what changed or could not be
judged.

KPIs that are ok and the details are folded away.

Foreign text stays text: no markup, no HTML, no links, no mentions (`@name`), no references
(`#123`), no emoji (`:name:`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from anomaly import wording
from anomaly.contracts import Message
from anomaly.model import UNJUDGED, Changes, Finding, Verdict
from anomaly.reporting.foremost import without_segments
from anomaly.reporting.notice import notice
from anomaly.reporting.report import Report
from anomaly.reporting.words import (
    DETECTABLE,
    LONGEST_NAME,
    LONGEST_REASON,
    change_words,
    changes_line,
    context_lines,
    detectable_words,
    failures,
    judged_words,
    mark,
    more_commits,
    more_words,
    onset_words,
    ordered,
    p_words,
    query_lines,
    reason_words,
    rest_words,
    title,
    verdict_words,
    versus_words,
)

LONGEST = 60_000  # characters; GitHub takes a comment of 65,536
MOST_ROWS = 40
MOST_QUERIES = 5
MOST_NOTES = 10
# a zero-width space: it breaks mentions, references, links and emoji (LIVE)
BREAK = "&#8203;"
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;"})
MARKUP = re.compile(r"([\\`*_\[\]~#])")
AT_THE_START = re.compile(r"^(?=[-+](?:[-\s]|$))|^\d+(?=[.)](?:\s|$))")  # a list, or a line across
LIVE = re.compile(
    r"@(?=\w)|(?<!&)#(?=\d)|\bGH-(?=\d)|:(?=//|[\w+\\-]+:)|\bwww(?=\.)", re.IGNORECASE
)
SAFE_IN_A_URL = "/:?#@!$&'*+,;=%~"
HEAD = ("KPI", "verdict", "effect \\[95 %\\]", "p", "since", "observed vs expected")
FINE_HEAD = ("KPI", "effect \\[95 %\\]", DETECTABLE, "observed vs expected")


def markdown(message: Message) -> str:
    """The message as Markdown with a final line end, at most LONGEST characters, with as many rows
    as fit."""
    for rows in (MOST_ROWS, MOST_ROWS // 4):
        text = "\n\n".join(part for part in _parts(message, rows) if part) + "\n"
        if len(text) <= LONGEST:
            return text
    return "\n\n".join(_answer(message)) + "\n"


def escape(text: str) -> str:
    """Text on one line that Markdown shows literally."""
    marked = AT_THE_START.sub(lambda match: f"{match[0]}\\", MARKUP.sub(r"\\\1", text.strip()))
    return LIVE.sub(lambda match: match[0] + BREAK, marked.translate(ENTITIES))


def _parts(message: Message, most: int) -> Iterator[str]:
    yield from _answer(message)
    findings = ordered(message.report.findings)
    fine = [finding for finding in findings if finding.verdict is Verdict.OK]
    others = [finding for finding in findings if finding.verdict is not Verdict.OK]
    yield _table(HEAD, [_row(finding, message.report) for finding in others[:most]])
    yield _more(others[most:])
    if fine:
        listed = fine if len(fine) <= most else without_segments(fine, message.report.findings)
        ids = {id(finding) for finding in listed[:most]}
        rows = _table(FINE_HEAD, [_fine_row(finding) for finding in listed[:most]])
        yield _folded(
            f"{len(fine):,} ok, with the {DETECTABLE} (80 % power)",
            [rows, _more([finding for finding in fine if id(finding) not in ids])],
        )
    if message.report.changes is not None:
        yield _changes(message.report.changes)
    yield _folded("Details", [*_details(message.report)])


def _changes(changes: Changes) -> str:
    """The commits since the version before: a line for all of them, and a list of the newest."""
    line = escape(changes_line(changes))
    if not changes.commits:
        return line
    rows = []
    for each in changes.commits:
        author = wording.plain(each.author, LONGEST_NAME)
        subject = wording.plain(each.title, LONGEST_REASON)
        rows.append(f"- {_page(each.id, each.link)} {escape(f'{author}: {subject}')}")
    if more := more_commits(changes):
        rows.append(f"- {_page(more, changes.link)}")
    head = f"{changes.count:,} commit{'' if changes.count == 1 else 's'}"
    return _folded(head, [line, "\n".join(rows)])


def _page(text: str, url: str) -> str:
    """The text, as a link if it has a page."""
    label = escape(wording.plain(text, LONGEST_NAME))
    target = _target(url)
    return f"[{label}]({target})" if target else label


def _answer(message: Message) -> Iterator[str]:
    summary = notice(message)
    yield f"### {escape(summary.title)}"
    yield "\n".join(f"- {escape(fact)}" for fact in summary.facts)
    yield f"{escape(summary.todo)}{_link(summary.link)}"


def _link(url: str) -> str:
    target = _target(url)
    return f" [Report]({target})" if target else ""


def _target(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        return ""
    return quote(url, safe=SAFE_IN_A_URL, errors="replace").replace("&", "&amp;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def _more(findings: Sequence[Finding]) -> str:
    return f"… {escape(more_words(findings))}" if findings else ""


def _fine_row(finding: Finding) -> tuple[str, ...]:
    return (
        escape(title(finding)),
        escape(rest_words(finding)) + mark(finding),
        escape(detectable_words(finding)) or "unknown",
        escape(versus_words(finding)),
    )


def _row(finding: Finding, report: Report) -> tuple[str, ...]:
    words = verdict_words(finding)
    verdict = f"**{words}**" if finding.fails else words
    if finding.verdict in UNJUDGED:
        return escape(title(finding)), verdict, escape(reason_words(finding)), "", "", ""
    return (
        escape(title(finding)),
        verdict,
        escape(change_words(finding)),
        escape(p_words(finding)),
        onset_words(finding, report.release),
        escape(versus_words(finding)),
    )


def _details(report: Report) -> Iterator[str]:
    yield escape(judged_words(report))
    queries = {finding.kpi: finding for finding in failures(report) if finding.query}
    for finding in [*queries.values()][:MOST_QUERIES]:
        query = "\n".join(query_lines(finding))
        yield f"{escape(wording.plain(finding.kpi, LONGEST_NAME))}\n\n{_fenced(query)}"
    notes = dict.fromkeys(
        wording.plain(note, LONGEST_REASON) for finding in report.findings for note in finding.notes
    )
    yield "\n".join(
        f"- {escape(note)}"
        for note in [*[*notes][:MOST_NOTES], *context_lines(replace(report, changes=None))]
    )


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _folded(summary: str, parts: Sequence[str]) -> str:
    return "\n\n".join(
        [f"<details>\n<summary>{summary}</summary>", *filter(None, parts), "</details>"]
    )
