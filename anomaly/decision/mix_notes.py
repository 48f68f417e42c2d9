"""What the change of a total is made of, in words."""

from __future__ import annotations

from dataclasses import dataclass

from anomaly.decision.mix import Mix, at_usual_mix
from anomaly.scoring.sizes import Sizes
from anomaly.wording import absolute, percent, plain, relative

WORTH_NAMING = 0.1  # of the total's change
TIE = 9  # digits to which shifts of shares are compared
MOST_NAMED = 3  # segments in a sentence
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Composition:
    """What a total's change is made of: as a `note`, and as the end of the reason of a change that
    is the mix (`by_mix`)."""

    note: str
    by_mix: str


def composition(sizes: Sizes, unit: str, mix: Mix, *, a_segment_changed: bool) -> Composition:
    """The composition of a total's change: its parts, the largest first."""
    besides = "" if a_segment_changed else ", no segment moved"
    whole = _amount(sizes, unit, sizes.absolute)
    effect = "" if mix.effect is None else _amount(sizes, unit, mix.effect)
    shifted = _largest_shift(sizes, mix)
    segments = sorted(mix.contributions.items(), key=lambda part: -abs(part[1]))
    parts = [
        (f"{_amount(sizes, unit, part)} {plain(segment, LONGEST_NAME)}", part)
        for segment, part in segments[:MOST_NAMED]
    ]
    if rest := segments[MOST_NAMED:]:
        parts.append((f"{_amount(sizes, unit, sum(part for _, part in rest))} others", 0.0))
    if mix.effect is not None:
        parts.append((f"{effect} mix{shifted}", mix.effect))
        parts.sort(key=lambda part: -abs(part[1]))
    own = at_usual_mix(sizes, mix.effect)
    own_size = (
        absolute(own.absolute, own.absolute_interval, unit)
        if own.relative is None
        else relative(own.relative, own.relative_interval)
    )
    return Composition(
        note=f"{whole} in all: {', '.join(text for text, _ in parts)}{besides}",
        by_mix=(
            f", but the mix accounts for {effect}{shifted}: {own_size} at the usual mix{besides}"
        ),
    )


def _shift(mix: Mix, segment: str) -> str:
    """How the share of a segment moved: `60 % instead of 20 %`."""
    now, usual = mix.shares[segment]
    return f"{percent(now)} instead of {percent(usual)}"


def _largest_shift(sizes: Sizes, mix: Mix) -> str:
    """The segment whose share moved most, in brackets; empty where the mix is not worth naming."""
    is_large = mix.effect is not None and abs(mix.effect) >= WORTH_NAMING * abs(sizes.absolute)
    if not is_large or not mix.shares:
        return ""
    shifts = {segment: round(now - usual, TIE) for segment, (now, usual) in mix.shares.items()}
    # of two that moved alike, the one that grew
    segment = max(shifts, key=lambda each: (abs(shifts[each]), shifts[each]))
    return f" ({plain(segment, LONGEST_NAME)} {_shift(mix, segment)})"


def _amount(sizes: Sizes, unit: str, part: float) -> str:
    """A part of the total's change, like the change itself: relative to what was expected in all,
    or in the KPI's unit."""
    if sizes.relative is None or not sizes.expected:
        return absolute(part, None, unit)
    return relative(part / abs(sizes.expected), None)
