"""Numbers as people write them: `1.234,56 €`, `1,234.56`, `(12)`, `4,2 %`.

Which of `.` and `,` is the decimal sign is told by the numbers themselves where it can be: `12,5`
has a decimal comma, `1.234,5` too, `1,234.5` a decimal point. `1,234` may be either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Decimal(StrEnum):
    """The sign before the decimals."""

    POINT = "."
    COMMA = ","


GROUPS = {Decimal.POINT: ",", Decimal.COMMA: "."}  # the other sign parts thousands
NAMES = {Decimal.POINT: "decimal point", Decimal.COMMA: "decimal comma"}
SPACES = " \u00a0\u2009\u202f"
CURRENCY = r"[A-Z]{0,2}\$|[€£¥₹₽₩₺₴₫₪฿]|[A-Z]{3}|zł|Kč|Ft|kr\.?"
WRITTEN = re.compile(
    rf"(?P<bracket>\()?(?P<before>{CURRENCY})?[{SPACES}]*(?P<sign>[+−–-])?[{SPACES}]*"
    rf"(?P<inner>{CURRENCY})?[{SPACES}]*"
    rf"(?P<digits>[0-9.,](?:[0-9.,'’{SPACES}]*[0-9.,])?)(?P<exponent>[eE][+-]?[0-9]+)?"
    rf"[{SPACES}]*(?P<percent>%)?(?P<after>{CURRENCY})?[{SPACES}]*(?P<minus>-)?(?P<end>\))?"
)
SHAPES = {
    decimal: re.compile(
        rf"(?P<whole>[1-9][0-9]{{0,2}}(?:(?P<group>[{re.escape(group)}'’{SPACES}])[0-9]{{3}})"
        rf"(?:(?P=group)[0-9]{{3}})*|[0-9]+)?(?:{re.escape(decimal)}(?P<part>[0-9]*))?"
    )
    for decimal, group in GROUPS.items()
}
NO_DIGITS = re.compile(r"[^0-9]")


@dataclass(frozen=True, slots=True)
class Written:
    """A number as it was written: its value, and its unit (`%`, a currency, or empty)."""

    value: float
    unit: str


def read(text: str, decimal: Decimal) -> Written | None:
    """The number in `text`, or None if it is none with this decimal sign. A share in percent is
    divided by 100."""
    match = WRITTEN.fullmatch(text)
    if match is None or bool(match["bracket"]) != bool(match["end"]):
        return None
    units = [unit for unit in match.group("before", "inner", "percent", "after") if unit]
    shape = SHAPES[decimal].fullmatch(match["digits"])
    negative = [mark for mark in (match["bracket"], match["minus"]) if mark]
    negative += [match["sign"]] if match["sign"] not in (None, "+") else []
    if shape is None or not (shape["whole"] or shape["part"]):
        return None
    if len(units) > 1 or len(negative) > 1:
        return None
    whole = NO_DIGITS.sub("", shape["whole"] or "0")
    value = float(f"{whole}.{shape['part'] or '0'}{match['exponent'] or ''}")
    if negative:
        value = -value
    unit = units[0] if units else ""
    return Written(value / 100 if unit == "%" else value, unit)


@dataclass(slots=True)
class Evidence:
    """What numbers say about their decimal sign: per sign a number that only it can read, and one
    that both read differently; each with its record."""

    only: dict[Decimal, tuple[int, str]] = field(default_factory=dict)
    either: tuple[int, str] | None = None

    def add(self, texts: Iterable[tuple[int, str]]) -> None:
        """Learns from some numbers with their records."""
        for record, text in texts:
            readings = {decimal: read(text, decimal) for decimal in Decimal}
            able = [decimal for decimal, reading in readings.items() if reading is not None]
            if len(able) == 1 and any(sign in text for sign in Decimal):
                self.only.setdefault(able[0], (record, text))
            elif len({*readings.values()}) > 1 and self.either is None:
                self.either = (record, text)
