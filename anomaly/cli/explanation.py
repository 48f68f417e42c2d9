"""What led to a verdict, as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from anomaly import report as say
from anomaly import wording
from anomaly.model import Direction, Finding, Report, Window
from anomaly.panel import segment_text
from anomaly.times import duration_text

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
INDENT = " " * 2
LONGEST_NAME = 44  # characters of what a number is called
LONGEST_TEXT = 2000  # characters of a query or a reason
MOST_ROWS = 24
NUMBER_WIDTH = 11
BAD_MOVES = {Direction.UP: "up is bad", Direction.DOWN: "down is bad", Direction.EITHER: "any move is bad"}


def explanation(finding: Finding, report: Report) -> str:
    """The verdict, its reason, what was asked and compared, the numbers behind it, and the steps after the release."""
    title = f"{say.title(finding)}: {say.verdict_words(finding)}"
    parts = [[title, *_listed(_facts(finding, report))], _listed(_evidence(finding)), [*_table(_points(finding, report))]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _facts(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    yield "reason", finding.reason
    yield "query", finding.query or "(none)"
    if finding.denominator:
        yield "divided by", finding.denominator
    step = duration_text(report.step)
    yield "baseline", f"{_span(report.baseline)} ({duration_text(report.baseline.length)}, step {step})"
    yield "observed", f"{_span(report.observation)} ({finding.steps} of {finding.steps_planned} steps)"
    if finding.control_for:
        yield "control for", ", ".join(finding.control_for)
    else:
        yield "matters if", _matters(finding)
    if finding.p_value is not None and finding.level is not None:
        yield (
            "p-value",
            f"{wording.p_value(finding.p_value)}, must be below {wording.number(finding.level)}, its share of {report.false_alarms:g}",
        )
    if versus := say.versus_words(finding):
        yield "level", versus
    if finding.mix_effect is not None:
        yield "by mix", f"{wording.absolute(finding.mix_effect, None, finding.unit)} of the change"
    if finding.contribution is not None:
        yield "adds", f"{wording.absolute(finding.contribution, None, finding.unit)} to the change of the total"
    if seen := say.detectable_words(finding):
        yield "would see", f"{seen}, in four of five releases"
    for note in finding.notes:
        yield "note", note


def _evidence(finding: Finding) -> Iterator[tuple[str, str]]:
    for name, value in finding.evidence.items():
        yield wording.plain(name, LONGEST_NAME), value if isinstance(value, str) else wording.number(value)


def _matters(finding: Finding) -> str:
    beyond = [
        f"{wording.percent(finding.tolerance)} of what is expected" if finding.tolerance else "",
        wording.quantity(finding.floor, finding.unit) if finding.floor else "",
    ]
    limits = " and ".join(part for part in beyond if part)
    return BAD_MOVES[finding.direction] + (f", beyond {limits}" if limits else ", however small")


def _span(window: Window) -> str:
    return f"{wording.clock(window.start, None)} to {wording.clock(window.end, window.start.date())} UTC"


def _listed(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Names in one column, texts in another, wrapped."""
    known = list(facts)
    indent = max((len(name) for name, _ in known), default=0) + 2
    lines = []
    for name, text in known:
        first = f"{INDENT}{name:<{indent}}"
        lines += textwrap.wrap(wording.plain(text, LONGEST_TEXT), WIDTH, initial_indent=first, subsequent_indent=" " * len(first)) or [
            first.rstrip()
        ]
    return lines


def _points(finding: Finding, report: Report) -> pd.DataFrame:
    points = report.points
    return points[(points["kpi"] == finding.kpi) & (points["segment"] == segment_text(finding.segment))]


def _table(points: pd.DataFrame) -> Iterator[str]:
    """A row per step; of many steps, the one furthest from expected in each group of neighbours."""
    if points.empty:
        return
    together = -(-len(points) // MOST_ROWS)
    groups = [points.iloc[start : start + together] for start in range(0, len(points), together)]
    columns = ("observed", "expected", "lower", "upper")
    yield f"{INDENT}{'UTC':<16}" + "".join(f"{name:>{NUMBER_WIDTH}}" for name in columns)
    for group in groups:
        worst = group.iloc[int(group["z"].abs().fillna(-1.0).to_numpy().argmax())]
        numbers = "".join(f"{wording.number(float(worst[name])):>{NUMBER_WIDTH}}" for name in columns)
        yield f"{INDENT}{worst['time']:%Y-%m-%d %H:%M}{numbers}{'  outside' if worst['flagged'] else ''}".rstrip()
    if together > 1:
        yield f"{INDENT}of every {together} steps the one furthest from expected"
    yield f"{INDENT}lower to upper: 99 % of normal steps"
