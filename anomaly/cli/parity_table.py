"""A comparison of two environments as text of at most 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from anomaly import wording
from anomaly.equivalence.result import Aspect, Likeness, Movement, Parity, SeriesParity
from anomaly.model import Interval
from anomaly.reporting import words
from anomaly.timing.durations import duration_text

WIDTH = 80
NAME = 26  # columns of a KPI's name
NUMBERS = (8, 7, 9, 9, 10, 11)
MOST_ROWS = 40  # the JSON has them all
LONGEST = 600  # characters of a reason
SECTIONS = {
    Likeness.DIFFERS: "Different",
    Likeness.MISSING: "Missing",
    Likeness.UNCLEAR: "Unclear",
    Likeness.ALIKE: "Alike",
}
MARKS = {Likeness.DIFFERS: "!", Likeness.UNCLEAR: "?"}


def table(result: Parity) -> str:
    """Whether the environments are alike, the differences, and the detectable changes; first the
    changes after a release."""
    parts = [[*_release(result)], [*_summary(result)], [*_series(result)]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _release(result: Parity) -> Iterator[str]:
    if result.reports is None:
        return
    for name, report in reversed([*zip(result.between, result.reports, strict=True)]):
        yield from _wrapped(f"{wording.plain(name, NAME)}: {words.headline(report)}", "", "  ")
    alone = [each for each in result.movements if not each.in_both]
    both = [each for each in result.movements if each.in_both]
    yield from _moved("Changed in one only", alone)
    yield from _moved("Changed in both", both)
    if not result.movements:
        yield from ("", "No KPI is known to have changed in either")


def _moved(title: str, movements: Sequence[Movement]) -> Iterator[str]:
    if movements:
        yield from ("", title)
    for each in movements[:MOST_ROWS]:
        yield from _wrapped(wording.plain(f"{each.name}: {each.reason}", LONGEST), "  ", "    ")
    yield from _more(movements)


def _summary(result: Parity) -> Iterator[str]:
    alike = sum(each.verdict is Likeness.ALIKE for each in result.series if each.counts)
    count = sum(each.counts for each in result.series)
    first = wording.plain(result.between[0], NAME)
    second = wording.plain(result.between[1], NAME)
    other = [
        each
        for each in result.series
        if each.counts and each.verdict in (Likeness.DIFFERS, Likeness.MISSING)
    ]
    if result.verdict is Likeness.ALIKE:
        text = f"ALIKE  {count} of {count} series: {first} is like {second}"
    elif result.verdict is Likeness.DIFFERS:
        more = f"; and {len(other) - 1} more" if len(other) > 1 else ""
        text = (
            f"DIFFERS  {alike} of {count} series in {first} are like {second}; "
            f"{other[0].name} {_brief(other[0])}{more}"
        )
    else:
        text = (
            f"UNCLEAR  {alike} of {count} series in {first} are like {second}; the others are "
            "unclear"
        )
    yield from _wrapped(text)
    spans = [
        f"{wording.clock(each.start, None)} to {wording.clock(each.end, None)}"
        for each in dict.fromkeys(result.histories)
    ]
    yield from _wrapped(
        f"{wording.plain(result.service, NAME)}, {' and '.join(spans)} UTC".removeprefix(", ")
    )


def _brief(each: SeriesParity) -> str:
    return (
        "is missing" + each.reason.removeprefix("missing")
        if each.reason.startswith("missing")
        else each.reason
    )


def _series(result: Parity) -> Iterator[str]:
    first = wording.plain(result.between[0], NUMBERS[-2] - 1)
    second = wording.plain(result.between[1], NUMBERS[-1] - 1)
    within = "" if result.watch is None else f"detectable in {duration_text(result.watch)}"
    yield " " * (WIDTH - sum(NUMBERS[-2:])) + within.rjust(sum(NUMBERS[-2:])) if within else ""
    yield _row(
        "KPI", ("traffic", "rhythm", "spread", "level", *((first, second) if within else ("", "")))
    )
    for verdict, title in SECTIONS.items():
        mine = [each for each in result.series if each.verdict is verdict]
        if mine:
            yield title
        for each in mine[:MOST_ROWS]:
            yield from _lines(each)
        yield from _more(mine)
    yield ""
    yield from _wrapped(
        f"traffic, spread, level: {wording.plain(' / '.join(result.between), 2 * NAME)}; ! "
        "differs, ? unclear",
        "  ",
        "  ",
    )
    yield from _wrapped(
        "rhythm: 1 is identical, 0 is unrelated, none if neither side has one", "  ", "  "
    )
    if within:
        yield from _wrapped(words.DETECTABLE_NOTE, "  ", "  ")


def _lines(each: SeriesParity) -> Iterator[str]:
    """The numbers of a series, and why it differs."""
    name, *more = textwrap.wrap(
        each.name if each.counts else f"{each.name} (not counted)", NAME - 3
    ) or [""]
    yield _row(f"  {name}", _numbers(each))
    yield from (f"    {line}" for line in more)
    if each.verdict is Likeness.ALIKE:
        return
    aspects = {name: aspect for name, aspect in each.aspects.items() if aspect.verdict in MARKS}
    for name, aspect in aspects.items():
        yield from _wrapped(
            wording.plain(f"{name}: {_why(name, aspect, each)}", LONGEST), "    ", "      "
        )
    if not aspects:
        yield from _wrapped(wording.plain(each.reason, LONGEST), "    ", "      ")


def _numbers(each: SeriesParity) -> Sequence[str]:
    traffic = "-" if each.traffic is None else wording.percent(each.traffic)
    detectable = ("-" if size is None else wording.percent(size) for size in each.detectable)
    return (
        traffic,
        *(_cell(name, each.aspects.get(name)) for name in ("rhythm", "spread", "level")),
        *detectable,
    )


def _cell(name: str, aspect: Aspect | None) -> str:
    if aspect is None:
        return "-"
    mark = MARKS.get(aspect.verdict, "")
    if aspect.value is None:
        return mark or ("none" if name == "rhythm" else "same")
    return f"{aspect.value:.2f}{mark}" if name == "rhythm" else f"{_fold(aspect.value)}{mark}"


def _why(name: str, aspect: Aspect, each: SeriesParity) -> str:
    """`×0.74 [0.7, 0.78], accepted ×0.8 to ×1.25; 0.031 and 0.042 orders per session`."""
    if aspect.value is None or aspect.interval is None or aspect.margin is None:
        return aspect.reason
    reason = aspect.reason
    if name == "level" and None not in each.levels:
        levels = " and ".join(wording.number(level) for level in each.levels if level is not None)
        sizes = f"{levels} {each.unit}".rstrip()
        reason = "; ".join(part for part in (sizes, aspect.reason) if part)
    size = f"{aspect.value:.2f}" if name == "rhythm" else _fold(aspect.value)
    return f"{size} {_ends(aspect.interval)}, accepted {_margin(name, aspect.margin)}" + (
        f"; {reason}" if reason else ""
    )


def _margin(name: str, margin: Interval) -> str:
    low, high = margin
    if name == "rhythm":
        return f"{wording.number(low)} or more"
    return f"{_fold(low)} to {_fold(high)}"


def _ends(interval: Interval) -> str:
    ends = [wording.number(end) if math.isfinite(end) else "…" for end in interval]
    return f"[{', '.join(ends)}]"


def _fold(value: float) -> str:
    return f"×{wording.number(value)}" if math.isfinite(value) else "-"


def _row(name: str, cells: Sequence[str]) -> str:
    return (
        f"{name:<{NAME}}"
        + "".join(f"{cell:>{width}}" for cell, width in zip(cells, NUMBERS, strict=True))
    ).rstrip()


def _more(rows: Sequence[object]) -> Iterator[str]:
    if len(rows) > MOST_ROWS:
        yield f"  … and {len(rows) - MOST_ROWS} more; --output json has them all"


def _wrapped(text: str, first: str = "", more: str = "") -> list[str]:
    """Lines of at most WIDTH columns with these indents; a number and its % stay together."""
    glued = text.replace(" %", "\xa0%")
    return [
        line.replace("\xa0%", " %")
        for line in textwrap.wrap(glued, WIDTH, initial_indent=first, subsequent_indent=more)
    ]
