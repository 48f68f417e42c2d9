"""Numbers as people write them mean what people mean."""

from __future__ import annotations

import math
import random

import pytest

from anomaly.collectors.written_numbers import Decimal, Evidence, read

NBSP, THIN = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("text", "decimal", "value", "unit"),
    [
        ("1.234,56", ",", 1234.56, ""),
        ("1.234.567", ",", 1234567, ""),
        ("12,5", ",", 12.5, ""),
        (",5", ",", 0.5, ""),
        ("1,234.56", ".", 1234.56, ""),
        ("1,234", ".", 1234, ""),
        ("1,234", ",", 1.234, ""),
        ("1 234,5", ",", 1234.5, ""),
        (f"1{NBSP}234{NBSP}567,5", ",", 1234567.5, ""),
        (f"1{THIN}234,5", ",", 1234.5, ""),
        ("1'234.50", ".", 1234.5, ""),
        ("1’234’567", ".", 1234567, ""),
        ("12,5 %", ",", 0.125, "%"),
        ("12.5%", ".", 0.125, "%"),
        ("1.234,56 €", ",", 1234.56, "€"),
        ("€ 1.234,56", ",", 1234.56, "€"),
        ("€-5", ".", -5, "€"),
        ("-$1,234.56", ".", -1234.56, "$"),
        ("US$ 12.50", ".", 12.5, "US$"),
        ("1.234,56 EUR", ",", 1234.56, "EUR"),
        ("CHF 1'234.50", ".", 1234.5, "CHF"),
        ("99,90 zł", ",", 99.9, "zł"),
        ("(1,234.50)", ".", -1234.5, ""),
        ("($5)", ".", -5, "$"),
        ("5,5-", ",", -5.5, ""),
        ("−3", ".", -3, ""),
        ("+3", ",", 3, ""),
        ("1e3", ".", 1000, ""),
        ("1,5e3", ",", 1500, ""),
    ],
)
def test_a_number_has_its_value_and_unit(text: str, decimal: str, value: float, unit: str) -> None:
    written = read(text, Decimal(decimal))

    assert written is not None
    assert math.isclose(written.value, value)
    assert written.unit == unit


@pytest.mark.parametrize(
    "text",
    ["", ".", ",", "€", "%", "1,23,4", "1.23.4", "12 34", "1,2345,678", "1 ms", "0x10", "1_000",
     "=1", "--5", "(-5)", "(5", "5)", "€5$", "1.2.2025", "1'23", "abc", "١٢"],
)  # fmt: skip
def test_what_is_no_number_is_none(text: str) -> None:
    assert [read(text, decimal) for decimal in Decimal] == [None, None]


@pytest.mark.parametrize(
    ("texts", "only", "either"),
    [
        (["12", "1'234", "1 234"], [], None),
        (["12,5"], [","], None),
        (["1.234,5"], [","], None),
        (["1.234.567"], [","], None),
        (["12.5", "0.125"], ["."], None),
        (["1,234,567"], ["."], None),
        (["1,234"], [], "1,234"),
        (["1.234"], [], "1.234"),
        (["1.234", "12,5"], [","], "1.234"),
        (["12.5", "12,5"], [".", ","], None),
        (["soon", ""], [], None),
    ],
)
def test_numbers_tell_their_decimal_sign_where_they_can(
    texts: list[str], only: list[str], either: str | None
) -> None:
    evidence = Evidence()

    evidence.add(enumerate(texts))

    assert [*evidence.only] == [*map(Decimal, only)]
    assert (evidence.either and evidence.either[1]) == either


def test_a_number_is_read_as_it_was_written() -> None:
    rng = random.Random(7)
    for _ in range(300):
        value = round(rng.uniform(-1e7, 1e7), 2)
        point = f"{value:,.2f}"
        comma = point.translate(str.maketrans(",.", ".,"))

        for text, decimal in ((point, Decimal.POINT), (comma, Decimal.COMMA)):
            written = read(text, decimal)
            assert written is not None
            assert written.value == value
