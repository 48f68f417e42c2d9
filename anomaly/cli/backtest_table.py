"""A backtest as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from anomaly import wording
from anomaly.backtesting.result import (
    Backtest,
    Label,
    Rejudged,
    SeriesResult,
    Share,
    precision,
    recall,
)
from anomaly.reporting import words
from anomaly.timing.durations import duration_text

WIDTH = 80
NAME = 32  # columns of a KPI's name
NUMBERS = (9, 12, 10, 13)
VERSION, LABEL, VERDICT = 14, 8, 13
MOST_ROWS = 40  # the JSON has them all
LONGEST = 600  # characters of a warning


def table(result: Backtest) -> str:
    """False alarms, sensitivity, past releases, warnings and suggestions."""
    parts = [
        [*_summary(result)],
        [*_series(result)],
        [*_releases(result.releases)],
        [
            *_listed(
                "Warnings",
                ((each.name, "; ".join(each.warnings)) for each in result.series if each.warnings),
            )
        ],
        [*_listed("Suggestions", (("", text) for text in result.suggestions))],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _summary(result: Backtest) -> Iterator[str]:
    start, end = wording.clock(result.data[0], None), wording.clock(result.data[1], None)
    if not result.placebos:
        half = duration_text(result.history / 2)
        yield from _wrapped(
            f"No placebo release can be judged: the data reach from {start} to {end} UTC, but it "
            f"needs {half} of history (half of windows.history) before it, and the warm-up and the "
            "watch after it, without another release."
        )
        return
    count = len(result.placebos)
    low, high = result.alarms.interval or (0.0, 1.0)
    alarms = (
        f"False alarms: {_counted(result.alarms, 'placebo releases failed')}; the promise is "
        f"{wording.percent(result.false_alarms)}"
    )
    too_few = f", which {count} are too few to confirm" if low <= result.false_alarms < high else ""
    undecided = f". {result.undecided} undecided, see the warnings" if result.undecided else ""
    yield from _wrapped(alarms + too_few + undecided)
    fewer = f" (of {result.asked}; more would overlap)" if count < result.asked else ""
    yield from _wrapped(
        f"{count} placebo release{'' if count == 1 else 's'}{fewer} from "
        f"{wording.clock(result.placebos[0], None)} to "
        f"{wording.clock(result.placebos[-1], None)} UTC, without overlap, each with a watch of "
        f"{duration_text(result.watch)} and {_history(result)}"
    )


def _history(result: Backtest) -> str:
    """`28d of history`, or a range if some placebo releases have less."""
    whole = duration_text(result.history)
    if result.least_history >= result.history:
        return f"{whole} of history"
    least = duration_text(_whole_hours(result.least_history))
    most = duration_text(_whole_hours(result.most_history))
    return f"{least} to {most} of history (windows.history is {whole})"


def _whole_hours(span: timedelta) -> timedelta:
    return timedelta(hours=span // timedelta(hours=1))


def _series(result: Backtest) -> Iterator[str]:
    if not result.series:
        return
    yield _row("", ("false", "detectable", "found", "large change"))
    yield _row("KPI", ("alarms", "change", "again", "found after"))
    for each in result.series[:MOST_ROWS]:
        name, *more = textwrap.wrap(each.name, NAME - 1) or [""]
        yield _row(name, _numbers(each))
        yield from (f"  {line}" for line in more)
    if len(result.series) > MOST_ROWS:
        yield f"… and {len(result.series) - MOST_ROWS} more; --output json has them all"
    yield ""
    yield from _wrapped(
        f"detectable change: {words.DETECTABLE} (80 % power), median; found again: that change, "
        "injected into each placebo release",
        "  ",
        "  ",
    )
    yield from _wrapped(
        "large change: twice that; median time to the first of 8 looks with an alarm", "  ", "  "
    )


def _numbers(each: SeriesResult) -> Sequence[str]:
    size = each.detectable_effect
    after = (
        "-"
        if not each.detected.of
        else "not found"
        if each.time_to_detect is None
        else duration_text(each.time_to_detect)
    )
    return (
        _of(each.alarms),
        "-" if size is None else wording.percent(size),
        _of(each.found),
        after,
    )


def _row(name: str, cells: Sequence[str]) -> str:
    return (
        f"{name:<{NAME}}"
        + "".join(f"{cell:>{width}}" for cell, width in zip(cells, NUMBERS, strict=True))
    ).rstrip()


def _releases(releases: Sequence[Rejudged]) -> Iterator[str]:
    if not releases:
        return
    head = f"{'released, UTC':<18}{'version':<{VERSION}}{'label':<{LABEL}}"
    yield f"{head}{'verdict':<{VERDICT}}regressed"
    indent = " " * (18 + VERSION + LABEL + VERDICT)
    for each in releases:
        release = each.past.release
        row = (
            f"{wording.clock(release.started_at, None):<18}"
            f"{wording.plain(release.version, VERSION - 2):<{VERSION}}"
            f"{each.past.label:<{LABEL}}{each.verdict:<{VERDICT}}"
        )
        text = ", ".join(words.title(finding) for finding in each.moved) or wording.plain(
            each.why, LONGEST
        )
        yield from _wrapped(text, row, indent) or [row.rstrip()]
    yield ""
    unknown = sum(each.past.label is Label.UNKNOWN for each in releases)
    yield from _wrapped(
        f"precision: {_counted(precision(releases), 'labelled releases that failed were bad')}",
        "  ",
        "  ",
    )
    yield from _wrapped(f"recall: {_counted(recall(releases), 'bad releases failed')}", "  ", "  ")
    if unknown:
        yield f"  {unknown} without a label: not counted in either"


def _listed(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    lines = [wording.plain(f"{name}: {text}" if name else text, LONGEST) for name, text in entries]
    if lines:
        yield title
    for line in lines:
        yield from _wrapped(line, "  ", "    ")


def _of(share: Share) -> str:
    return f"{share.hits} of {share.of}" if share.of else "-"


def _counted(share: Share, what: str) -> str:
    """`3 of 4 releases failed (75 % [30, 95])`, with the 95 % interval; `none` if there are
    none."""
    if share.value is None or share.interval is None:
        return "none"
    low, high = share.interval
    return (
        f"{_of(share)} {what} ({wording.percent(share.value)} [{100 * low:.0f}, {100 * high:.0f}])"
    )


def _wrapped(text: str, first: str = "", more: str = "") -> list[str]:
    """Lines of at most WIDTH columns with these indents; a number and its % stay together."""
    glued = text.replace(" %", "\xa0%")
    return [
        line.replace("\xa0%", " %")
        for line in textwrap.wrap(glued, WIDTH, initial_indent=first, subsequent_indent=more)
    ]
