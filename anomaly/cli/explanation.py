"""What led to a verdict, as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from anomaly import wording
from anomaly.baseline.season import MIN_PERIODS
from anomaly.model import Finding, Window
from anomaly.panel import segment_text
from anomaly.reporting import explanations as meaning
from anomaly.reporting import words as say
from anomaly.reporting.report import Report
from anomaly.timing.durations import duration_text

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
INDENT, DEEPER = " " * 2, " " * 4
LONGEST_NAME = 60  # characters of what a number is called
LONGEST_TEXT = 2000  # characters of a query or a reason
MOST_ROWS = 24
NUMBER_WIDTH = 11
PERIODS = {"day": timedelta(days=1), "week": timedelta(weeks=1)}


def explanation(finding: Finding, report: Report) -> str:
    """What happened, how sure that is, against what it was compared, the numbers behind the
    verdict, and the steps after the release."""
    head = [
        f"{say.title(finding)}: {say.verdict_words(finding)}",
        *_wrapped(meaning.answer(finding), INDENT),
    ]
    parts = [
        [*head, *_listed(_happened(finding, report))],
        _titled("how sure", _listed(_sure(finding, report))),
        _titled("compared with what", _listed(_compared(finding, report))),
        _titled("the numbers behind it", [*_evidence(finding)]),
        _titled("the steps after the release", [*_table(_points(finding, report))]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _happened(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    yield "reason", finding.reason
    if versus := say.versus_words(finding):
        size = say.effect_words(finding).replace(" [", ", with 95 % within [")
        yield "size", f"{versus}; {size}" if size else versus
    if began := meaning.since(finding, report):
        yield "since", began
    if finding.exposure is not None:
        day = report.release.started_at.date()
        for each in finding.exposure.plateaus:
            span = (
                f"{wording.clock(each.window.start, day)} to {wording.clock(each.window.end, day)}"
            )
            yield (
                f"at {wording.percent(each.share)}",
                f"{wording.plateau(each, finding.unit)}, from {span}",
            )
    if finding.mix_effect is not None:
        yield "by mix", f"{wording.absolute(finding.mix_effect, None, finding.unit)} of the change"
    if finding.contribution is not None:
        yield (
            "adds",
            (
                f"{wording.absolute(finding.contribution, None, finding.unit)} to the change of "
                "the "
                "total"
            ),
        )
    if finding.control_for:
        yield "control for", ", ".join(finding.control_for)
    else:
        yield "matters if", meaning.matters(finding)
    yield "next", meaning.advice(finding, report)
    for note in finding.notes:
        yield "note", note


def _sure(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    if rare := meaning.rarity(finding):
        yield "p-value", rare
    if of_all := meaning.rarity_of_all(finding, report):
        yield "among all", of_all
    if hurdle := meaning.hurdle(finding, report):
        yield "must be", hurdle
    if seen := meaning.seen(finding):
        yield "would see", seen
    if finding.coverage is not None:
        yield "the band", wording.within_band(finding.coverage)


def _compared(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    yield "query", finding.query or "(none)"
    if finding.denominator:
        yield "divided by", finding.denominator
    step = duration_text(report.step)
    yield (
        "baseline",
        (
            f"{_span(report.baseline)} ({duration_text(report.baseline.length)}, step "
            f"{step}){_unknown_rhythms(report.baseline)}"
        ),
    )
    yield (
        "observed",
        f"{_span(report.observation)} ({finding.steps} of {finding.steps_planned} steps)",
    )


def _evidence(finding: Finding) -> Iterator[str]:
    """Each number, and below it what it says."""
    questions = 0
    for name, value in finding.evidence.items():
        text = value if isinstance(value, str) else wording.number(value)
        yield from _wrapped(
            f"{wording.plain(name, LONGEST_NAME)}: {wording.plain(text, LONGEST_TEXT)}", INDENT
        )
        yield from _wrapped(meaning.meaning(name, value), INDENT + DEEPER)
        questions += text.endswith("sigma")
    if questions:
        yield from _wrapped(
            (
                "sigma: how far out the answer is among those at the placebo releases. The p-value "
                "weighs them all"
            ),
            INDENT,
        )


def _unknown_rhythms(baseline: Window) -> str:
    """Which rhythms the history is too short to show."""
    unknown = [name for name, period in PERIODS.items() if baseline.length < MIN_PERIODS * period]
    return f"; too short to know a rhythm of the {' or the '.join(unknown)}" if unknown else ""


def _span(window: Window) -> str:
    return (
        f"{wording.clock(window.start, None)} to "
        f"{wording.clock(window.end, window.start.date())} UTC"
    )


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _listed(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Names in one column, texts in another, wrapped."""
    known = list(facts)
    indent = max((len(name) for name, _ in known), default=0) + 2
    lines = []
    for name, text in known:
        first = f"{INDENT}{name:<{indent}}"
        lines += textwrap.wrap(
            wording.plain(text, LONGEST_TEXT),
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * len(first),
        ) or [first.rstrip()]
    return lines


def _points(finding: Finding, report: Report) -> pd.DataFrame:
    points = report.points
    return points[
        (points["kpi"] == finding.kpi) & (points["segment"] == segment_text(finding.segment))
    ]


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
        numbers = "".join(
            f"{wording.number(float(worst[name])):>{NUMBER_WIDTH}}" for name in columns
        )
        outside = "  outside" if worst["flagged"] else ""
        yield f"{INDENT}{worst['time']:%Y-%m-%d %H:%M}{numbers}{outside}".rstrip()
    if together > 1:
        yield f"{INDENT}of every {together} steps the one furthest from expected"
    yield f"{INDENT}lower to upper: 99 % of normal steps"
