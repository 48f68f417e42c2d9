"""The explanation of a verdict as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from anomaly import wording
from anomaly.baseline.correlogram import Correlogram
from anomaly.baseline.season import MIN_PERIODS
from anomaly.model import Finding, Window
from anomaly.panel import segment_text
from anomaly.reporting import explanations, words
from anomaly.reporting.evidence import lines
from anomaly.reporting.report import Report
from anomaly.steps import CalendarZone, local
from anomaly.timing.durations import duration_text

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
INDENT, DEEPER = " " * 2, " " * 4
LONGEST_NAME = 60  # characters of the name of a number
LONGEST_TEXT = 2000  # characters of a query or a reason
MOST_ROWS = 24
NUMBER_WIDTH = 11
SURELY_LEFT = 0.01  # p-value under which an autocorrelation is no chance
LITTLE = 0.1  # the size of an autocorrelation up to which it changes nothing
PERIODS = {"daily": timedelta(days=1), "weekly": timedelta(weeks=1)}


def explanation(finding: Finding, report: Report, left: Correlogram | None = None) -> str:
    """What happened, how certain it is, what it was compared with, the evidence, and the steps
    after the release. `left` is the autocorrelation that the baseline leaves."""
    head = [
        f"{words.title(finding)}: {words.verdict_words(finding)}",
        *_wrapped(explanations.answer(finding), INDENT),
    ]
    parts = [
        [*head, *_listed(_happened(finding, report))],
        _titled("how certain", _listed(_certainty(finding, report))),
        _titled("compared with", _listed(_comparison(finding, report))),
        _titled("evidence", [*_evidence(finding), *_left(left)]),
        _titled("steps after the release", [*_table(_points(finding, report))]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _happened(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    yield "reason", finding.reason
    if versus := words.versus_words(finding):
        size = words.effect_words(finding).replace(" [", ", 95 % interval [")
        yield "size", f"{versus}; {size}" if size else versus
    if began := explanations.since(finding, report):
        yield "since", began
    if finding.exposure is not None:
        day = report.release.started_at.date()
        for each in finding.exposure.plateaus:
            span = (
                f"{wording.clock(each.window.start, day)} to {wording.clock(each.window.end, day)}"
            )
            yield (
                f"at {wording.percent(each.share)}",
                f"{wording.plateau(each, finding.unit)}, {span}",
            )
    if finding.mix_effect is not None:
        yield "mix", f"{wording.absolute(finding.mix_effect, None, finding.unit)} of the change"
    if finding.contribution is not None:
        yield (
            "adds",
            f"{wording.absolute(finding.contribution, None, finding.unit)} to the change of the "
            "total",
        )
    if finding.control_for:
        yield "control for", ", ".join(finding.control_for)
    else:
        yield "bad move", explanations.bad_move(finding)
    yield "next", explanations.advice(finding, report)
    for note in finding.notes:
        yield "note", note


def _certainty(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    if rare := explanations.rarity(finding):
        yield "p-value", rare
    if of_all := explanations.rarity_of_all(finding, report):
        yield "all KPIs", of_all
    if hurdle := explanations.hurdle(finding, explanations.Sharing.of(report)):
        yield "required", hurdle
    if detectable := explanations.detectable(finding):
        yield "detectable", detectable
    if finding.coverage is not None:
        yield "the band", wording.within_band(finding.coverage)


def _comparison(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    for name, text in (("query", finding.query or "(none)"), ("divided by", finding.denominator)):
        for number, line in enumerate(words.source_lines(text or "")):
            yield ("" if number else name), line
    history = report.history or report.baseline
    start, end = local(history.start, report.step), local(history.end, report.step)
    length = duration_text(end - start)  # on the wall clock of a calendar
    yield (
        "baseline",
        f"{_span(history, report.step)} ({length}, step {duration_text(report.step)})"
        f"{_unknown_seasons(history)}",
    )
    yield (
        "observed",
        f"{'no data' if report.seen is None else _span(report.seen, report.step)} "
        f"({finding.steps} of {finding.steps_planned} steps)",
    )


def _evidence(finding: Finding) -> Iterator[str]:
    """Each number, and below it what it means."""
    for line in lines(finding.evidence):
        text = line.value if isinstance(line.value, str) else wording.number(line.value)
        yield from _wrapped(
            f"{wording.plain(line.name, LONGEST_NAME)}: {wording.plain(text, LONGEST_TEXT)}", INDENT
        )
        yield from _wrapped(line.meaning, INDENT + DEEPER)
    if finding.evidence.answers:
        yield from _wrapped(
            "sigma: how far out the answer is among those at the placebo releases; the p-value "
            "combines all of them",
            INDENT,
        )


def _left(left: Correlogram | None) -> Iterator[str]:
    """The autocorrelation that the baseline leaves, and what it means."""
    if left is None:
        return
    lag, correlation = left.largest
    test = f"Ljung-Box {wording.p_value(left.p_value)} over {len(left.correlations)} lags"
    if left.p_value >= SURELY_LEFT:
        size, meaning = "none", "season, level and memory explain how steps hang together"
    elif abs(correlation) < LITTLE:
        size = f"at most {correlation:.2f}, at lag {lag}"
        meaning = "too little to matter: so many steps show the least of it"
    else:
        size = f"{correlation:.2f} at lag {lag}"
        meaning = (
            "steps so far apart are still related; p-value and interval rest on placebo releases, "
            "in which they are too, but a longer history or a control may explain more"
        )
    yield from _wrapped(f"autocorrelation left: {size} ({test})", INDENT)
    yield from _wrapped(meaning, INDENT + DEEPER)


def _unknown_seasons(baseline: Window) -> str:
    """The seasons that the history is too short to show."""
    unknown = [name for name, period in PERIODS.items() if baseline.length < MIN_PERIODS * period]
    return f"; too short for a {' or '.join(unknown)} pattern" if unknown else ""


def _span(window: Window, step: timedelta) -> str:
    start, end = words.ends(window, step)
    return f"{wording.clock(start, None)} to {wording.clock_and_zone(end, start.date())}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _listed(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Names in one column, texts in another, wrapped."""
    pairs = list(facts)
    indent = max((len(name) for name, _ in pairs), default=0) + 2
    lines = []
    for name, text in pairs:
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
    """A row per step; of many steps, the one furthest from expected in each group."""
    if points.empty:
        return
    together = -(-len(points) // MOST_ROWS)
    groups = [points.iloc[start : start + together] for start in range(0, len(points), together)]
    columns = ("observed", "expected", "lower", "upper")
    zoned = isinstance(points["time"].iloc[0].tzinfo, CalendarZone)
    yield f"{INDENT}{'date' if zoned else 'UTC':<16}" + "".join(
        f"{name:>{NUMBER_WIDTH}}" for name in columns
    )
    for group in groups:
        worst = group.iloc[int(group["z"].abs().fillna(-1.0).to_numpy().argmax())]
        numbers = "".join(
            f"{wording.number(float(worst[name])):>{NUMBER_WIDTH}}" for name in columns
        )
        outside = "  outside" if worst["flagged"] else ""
        when = wording.clock(worst["time"].to_pydatetime(), None)
        yield f"{INDENT}{when:<16}{numbers}{outside}".rstrip()
    if together > 1:
        yield f"{INDENT}one row per {together} steps: the one furthest from expected"
    yield f"{INDENT}lower to upper: the usual range, 99 % of normal steps"
