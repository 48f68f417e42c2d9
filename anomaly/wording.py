"""How numbers, times and foreign text are written, the same everywhere."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any

from anomaly.model import Coverage, Exposure, Growth, Interval, Plateau, Release
from anomaly.steps import CalendarZone

LONGEST_WORD = 100  # characters to compare
NEAR = 0.7  # share of characters in common; at 0.6 `on` is near `down`
SHORTEST_BEGINNING = 3  # characters that suggest a longer word
ESCAPES = ((2, "x"), (4, "u"), (8, "U"))  # digits and letter of Python's escapes
CUT_MARK = "…"
LONGEST_VERSION, LONGEST_UNIT = 60, 32  # characters
SMALLEST_P = 0.0001  # below this the digits of a p-value say nothing
SMALLEST_PLAIN, LARGEST_PLAIN = 1e-4, 1e9  # outside of these a number is written with an exponent
MOST_DECIMALS = 6
INVISIBLE = frozenset(
    {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
)  # controls, marks that reorder, lone surrogates, line ends
CI_COMMAND = re.compile(r"::(?=[A-Za-z_-]+[^\n]*?::)|##(?=\[|vso\[|teamcity\[)")


def number(value: float) -> str:
    """`value` to three significant digits: `0.81`, `12.4`, `1,234`, `3.2e-05`; `n/a` if it is not a
    number."""
    if math.isnan(value):
        return "n/a"
    size = abs(value)
    if size != 0 and not SMALLEST_PLAIN <= size < LARGEST_PLAIN:
        return f"{value:.3g}"
    if size >= 999.5:  # noqa: PLR2004  from here on three digits would be rounded to an exponent
        return f"{value:,.0f}"
    return f"{value + 0.0:.3g}"


def quantity(value: float, unit: str) -> str:
    """`value` with its unit: `412 ms`; without a unit the number alone."""
    return f"{number(value)} {plain(unit, LONGEST_UNIT)}".rstrip()


def percent(ratio: float) -> str:
    """A relative size as `4.2 %`."""
    return f"{number(100 * ratio)} %"


def within_band(coverage: Coverage) -> str:
    """How far the band can be trusted: `94 % of the last 336 steps before the release fell inside
    the 99 % band`."""
    return (
        f"{percent(coverage.share)} of the last {number(coverage.steps)} steps before the release "
        "fell inside the 99 % band"
    )


def relative(effect: float, interval: Interval | None) -> str:
    """A relative effect as `+12.4 % [8.1, 16.9]`; without an interval `+12.4 %`."""
    return _signed(
        100 * effect, None if interval is None else (100 * interval[0], 100 * interval[1]), "%"
    )


def absolute(effect: float, interval: Interval | None, unit: str) -> str:
    """An absolute effect as `+31 ms [22, 40]`; without an interval `+31 ms`."""
    return _signed(effect, interval, plain(unit, LONGEST_UNIT))


def exposure(staged: Exposure, unit: str) -> str:
    """The effect at each stage: `grows with exposure: -2 % at 5 %, -9.3 % at 25 %, -31 % at 100
    %`."""
    bare = [
        replace(each, effect_interval=None, effect_absolute_interval=None)
        for each in staged.plateaus
    ]
    sizes = ", ".join(f"{plateau(each, unit)} at {percent(each.share)}" for each in bare)
    return {
        Growth.GROWS: f"grows with exposure: {sizes}",
        Growth.DOES_NOT_GROW: (
            f"does not grow with exposure, so the release may not be the cause: {sizes}"
        ),
        Growth.UNCLEAR: f"too uncertain to say whether it grows with exposure: {sizes}",
    }[staged.growth]


def plateau(stage: Plateau, unit: str) -> str:
    """The effect on one plateau with its interval, relative if possible."""
    if stage.effect is None:
        return absolute(stage.effect_absolute or 0.0, stage.effect_absolute_interval, unit)
    return relative(stage.effect, stage.effect_interval)


def ended_by(following: Release, day: date | None) -> str:
    """What ended a watch: `watch ended at 12:00 by release 2.3.1`; times are UTC."""
    name = (
        f"release {plain(following.version, LONGEST_VERSION)}"
        if following.version
        else "the next release"
    )
    return f"watch ended at {clock(following.started_at, day)} by {name}"


def _signed(value: float, interval: Interval | None, unit: str) -> str:
    decimals = None if interval is None else _decimals(interval)

    def digits(size: float) -> str:
        return number(size) if decimals is None else f"{size:,.{decimals}f}"

    sign = "" if value < 0 or math.isnan(value) else "+"
    text = f"{sign}{digits(value)} {unit}".rstrip()
    return text if interval is None else f"{text} [{digits(interval[0])}, {digits(interval[1])}]"


def _decimals(interval: Interval) -> int | None:
    """The decimals that show two digits of an interval's width; None if fixed decimals don't suit
    it."""
    width = abs(interval[1] - interval[0])
    if not math.isfinite(width) or width == 0 or max(abs(end) for end in interval) >= LARGEST_PLAIN:
        return None
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return decimals if decimals <= MOST_DECIMALS else None


def p_value(p: float) -> str:
    """`p = 0.034`, or `p < 0.0001`."""
    return f"p < {SMALLEST_P}" if p < SMALLEST_P else f"p = {p:.2g}"


def rarity(p: float) -> str:
    """A p-value as a share: `fewer than 1 in 10,000`, `about 1 in 4,000`, `about 54 in 100`."""
    if p < SMALLEST_P:
        return f"fewer than 1 in {1 / SMALLEST_P:,.0f}"
    if p >= 0.1:  # noqa: PLR2004  from here on more than one in ten
        return f"about {100 * p:.0f} in 100"
    return f"about 1 in {float(f'{1 / p:.2g}'):,.0f}"


def stamp(moment: datetime) -> str:
    """ISO-8601 in UTC: `2025-11-04T10:35:00Z`; the start of a step of the calendar in its zone:
    `2025-11-04T00:00:00+01:00`."""
    if not isinstance(moment.tzinfo, CalendarZone):
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def clock(moment: datetime, day: date | None) -> str:
    """`10:35` in UTC, with the date before it unless that is `day`; the start of a step of the
    calendar is its date alone, in its zone."""
    if isinstance(moment.tzinfo, CalendarZone):
        return f"{moment:%Y-%m-%d}"
    moment = moment.astimezone(UTC)
    return f"{moment:%H:%M}" if moment.date() == day else f"{moment:%Y-%m-%d %H:%M}"


def clock_and_zone(moment: datetime, day: date | None) -> str:
    """As `clock`, with the zone behind a time: `10:35 UTC`, `2025-11-04`."""
    return clock(moment, day) + ("" if isinstance(moment.tzinfo, CalendarZone) else " UTC")


def onset(moment: datetime, interval: tuple[datetime, datetime] | None, day: date | None) -> str:
    """When a change began: `10:35`, or with its interval `10:35 [10:30, 10:50]`; in UTC, see
    `clock`."""
    first, last = (moment, moment) if interval is None else interval
    text = clock(moment, day)
    return text if first == last else f"{text} [{clock(first, day)}, {clock(last, day)}]"


def plain(text: str, limit: int) -> str:
    """Foreign text, safe for one line of a terminal, a log or a chat, at most `limit` characters.

    Control characters, line ends, marks that reorder text and commands to CI runners (`::error::`)
    become escapes; longer text ends in `…`.
    """
    visible = text[: limit + 1]
    if not (visible.isascii() and visible.isprintable()):
        visible = "".join(_visible(character) for character in visible)
    visible = CI_COMMAND.sub(lambda match: f"{match[0][0]}\\x{ord(match[0][1]):02x}", visible)
    return shortened(visible, limit)


def shortened(text: str, limit: int) -> str:
    """`text` with at most `limit` characters; a cut is marked with `…`."""
    return text if len(text) <= limit else text[: limit - 1] + CUT_MARK


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category not in INVISIBLE:
        return " " if category == "Zs" else character
    code = ord(character)
    width, letter = next(form for form in ESCAPES if code < 16 ** form[0])
    return f"\\{letter}{code:0{width}x}"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: at most so many names."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(value: Any, words: Sequence[str]) -> str:
    """` (did you mean …?)` with the nearest word, or empty."""
    near = nearest(value, words)
    return f" (did you mean {near}?)" if near else ""


def nearest(value: Any, words: Sequence[str]) -> str:
    """The one of `words` that is spelt like `value`, has its letters in another order or begins
    with it, or empty."""
    if not isinstance(value, str) or not value.strip():
        return ""
    folded = {word.casefold(): word for word in words}
    prefix = value.casefold()[:LONGEST_WORD]
    near = get_close_matches(prefix, folded, n=1, cutoff=NEAR) or [
        word
        for word in folded
        if sorted(word) == sorted(prefix)
        or (len(prefix) >= SHORTEST_BEGINNING and word.startswith(prefix))
    ]
    return folded[near[0]] if near else ""
