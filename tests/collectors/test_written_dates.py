"""Dates as people write them become ISO-8601."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from anomaly.collectors.written_dates import (
    Dates,
    Evidence,
    Order,
    checked_format,
    format_of,
    is_date,
    spoken,
)
from anomaly.errors import UsageError

DAY, MONTH = Dates(Order.DAY), Dates(Order.MONTH)


@pytest.mark.parametrize(
    ("text", "dates", "iso"),
    [
        ("03.06.2025", DAY, "2025-06-03"),
        ("3.6.2025", DAY, "2025-06-03"),
        ("03.06.25", DAY, "2025-06-03"),
        ("03/06/2025", DAY, "2025-06-03"),
        ("03/06/2025", MONTH, "2025-03-06"),
        ("6/3/25", MONTH, "2025-06-03"),
        ("03-06-2025", DAY, "2025-06-03"),
        ("2025/06/03", DAY, "2025-06-03"),
        ("2025.6.3", MONTH, "2025-06-03"),
        ("20250603", DAY, "2025-06-03"),
        ("20250603T0900Z", DAY, "2025-06-03T09:00:00Z"),
        ("20250603T090501.5+0200", DAY, "2025-06-03T09:05:01.5+0200"),
        ("2025060309", DAY, "2025-06-03T09:00:00"),
        ("3 Jun 2025", DAY, "2025-06-03"),
        ("03-JUN-2025", DAY, "2025-06-03"),
        ("June 3, 2025", DAY, "2025-06-03"),
        ("Jun 3rd, 2025", MONTH, "2025-06-03"),
        ("2025-06", DAY, "2025-06-01"),
        ("06/2025", DAY, "2025-06-01"),
        ("Jun 2025", DAY, "2025-06-01"),
        ("2025-W23", DAY, "2025-06-02"),
        ("03.06.2025 9:05", DAY, "2025-06-03T09:05:00"),
        ("03.06.2025, 09:05:07", DAY, "2025-06-03T09:05:07"),
        ("03.06.2025 09:05:07,25", DAY, "2025-06-03T09:05:07.25"),
        ("6/3/2025 9:05 AM", MONTH, "2025-06-03T09:05:00"),
        ("6/3/2025 12:05 am", MONTH, "2025-06-03T00:05:00"),
        ("6/3/2025, 12:05:00 p.m.", MONTH, "2025-06-03T12:05:00"),
        ("6/3/2025 11 PM", MONTH, "2025-06-03T23:00:00"),
        ("2025-12-31 24:00", DAY, "2026-01-01T00:00:00"),
        ("31.12.2025 24:00:00", DAY, "2026-01-01T00:00:00"),
        ("20251231T2400Z", DAY, "2026-01-01T00:00:00Z"),
        ("9999-12-31 24:00", DAY, None),
        ("2025/06/03 09:05 +02:00", DAY, "2025-06-03T09:05:00+02:00"),
        ("03.06.2025 09:05 UTC", DAY, "2025-06-03T09:05:00Z"),
        ("03/06/2025", Dates(format="%d/%m/%Y"), "2025-06-03"),
        ("03/06/2025 09:05", Dates(format="%d/%m/%Y"), "2025-06-03T09:05:00"),
        ("03/06/2025 09:05 PM", Dates(format="%d/%m/%Y"), "2025-06-03T21:05:00"),
        ("2025-03-06", Dates(format="%Y-%d-%m"), "2025-06-03"),
        ("2025-03-06 +0200", Dates(format="%Y-%d-%m %z"), "2025-06-03T00:00:00+02:00"),
        ("2025-03-06 UTC", Dates(format="%Y-%d-%m UTC"), "2025-06-03T00:00:00Z"),
        ("0306 0905", Dates(format="%d%m %H%M"), None),
        ("Tue 03 Jun 2025 0905", Dates(format="%a %d %b %Y %H%M"), "2025-06-03T09:05:00"),
    ],
)
def test_a_date_is_brought_into_the_form_of_iso(text: str, dates: Dates, iso: str | None) -> None:
    if iso is None and dates.format:
        iso = "1900-06-03T09:05:00"  # a format without a year is refused when it is set
    assert dates.iso(text) == iso


@pytest.mark.parametrize(
    "text",
    ["", "soon", "32.01.2025", "29.02.2025", "13/13/2025", "2025/13/01", "20251301", "12", "1.234",
     "1.234,56", "192.168.1.20", "2025-W60", "03.06.2025 25:00x", "6/3/2025 13:05 PM",
     "03.06.2025 9", "0" * 100],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert DAY.iso(text) is None
    assert not is_date(text)


@pytest.mark.parametrize("pattern", ["%d.%m.%Y", "%m/%d/%y", "%Y%m%d", "%d %b %Y", "%B %d, %Y"])
def test_every_day_of_a_year_survives(pattern: str) -> None:
    dates = DAY if pattern.startswith("%d") else MONTH
    for number in range(366):
        day = date(2024, 1, 1) + timedelta(days=number)
        assert dates.iso(day.strftime(pattern)) == day.isoformat()


@pytest.mark.parametrize(
    ("texts", "only", "either"),
    [
        (["03/06/2025"], [], "03/06/2025"),
        (["05/05/2025"], [], None),
        (["03/06/2025", "25/06/2025"], [Order.DAY], "03/06/2025"),
        (["03/06/2025", "06/25/2025"], [Order.MONTH], "03/06/2025"),
        (["25/06/2025", "06/25/2025"], [Order.DAY, Order.MONTH], None),
        (["3 Jun 2025", "soon"], [], None),
    ],
)
def test_dates_tell_what_comes_first_where_they_can(
    texts: list[str], only: list[Order], either: str | None
) -> None:
    evidence = Evidence()

    evidence.add(enumerate(texts))

    assert [*evidence.only] == only
    assert (evidence.either and evidence.either[1]) == either


def test_both_readings_can_be_said_and_set() -> None:
    for text in ("03/06/2025", "3-6-25 09:00"):
        assert spoken(text, Order.DAY) == "3 June 2025"
        assert spoken(text, Order.MONTH) == "6 March 2025"
        for order in Order:
            assert Dates(format=format_of(text, order)).iso(text) == Dates(order).iso(text)


@pytest.mark.parametrize("text", ["", "DD.MM.YYYY", "%d.%m.", "%Q", "%H:%M"])
def test_a_format_that_says_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"date_format is .*; write it with %Y, %m and %d"):
        checked_format(text)


def test_names_of_zones_in_a_format_are_refused() -> None:
    with pytest.raises(UsageError, match="names of time zones may mean several"):
        checked_format("%Y-%m-%d %H:%M %Z")


@pytest.mark.parametrize(
    "text", ["%d/%m/%Y", "%Y-%m-%dT%H:%M%z", "%m/%d/%y %I:%M %p", "%Y%m%d%H", "%b %Y"]
)
def test_a_format_that_says_a_date_is_taken(text: str) -> None:
    assert checked_format(text) == text
