"""The days that are like no other, by date: those a calendar names, and the holidays of countries,
as the `holidays` library knows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from importlib.metadata import version

from anomaly.errors import UsageError
from anomaly.model import Calendar, Holidays

LANGUAGE = "en_US"  # else names would follow the settings of the machine
HINT = "pip install 'release-anomaly[holidays]'"


def special_days(calendar: Calendar, first: date, last: date) -> dict[date, str]:
    """The special days from `first` to `last` with their names; a day that is named in the calendar
    bears that name.

    Raises UsageError if there are holidays and the library is not installed.
    """
    days = {
        day: name
        for each in calendar.holidays
        for day, name in _holidays(each, first, last).items()
    }
    days |= {day.date: day.name or "special day" for day in calendar.special_days}
    return {day: name for day, name in days.items() if first <= day <= last}


def library(calendar: Calendar) -> dict[str, str]:
    """The version of the library that says when holidays are, as text to text; empty for a calendar
    without holidays."""
    return {"holidays": version("holidays")} if calendar.holidays else {}


def installed() -> bool:
    """Whether the library is there."""
    try:
        import holidays  # noqa: F401  an extra
    except ImportError:
        return False
    return True


def countries() -> dict[str, str]:
    """The codes of the countries that the library knows, by their code or English name."""
    import holidays.registry

    codes = holidays.list_supported_countries()
    by_name = {
        names[0]: names[1] for names in holidays.registry.COUNTRIES.values() if names[1] in codes
    }
    return {code: code for code in codes} | by_name


def unknown(days: Holidays) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Which keys of `days` hold words that the library does not know for its country: key, word,
    and those that it knows."""
    import holidays

    calendar = holidays.country_holidays(days.country)
    if days.subdivision and days.subdivision not in calendar.subdivisions:
        yield "subdivision", days.subdivision, tuple(calendar.subdivisions)
    yield from (
        ("categories", each, tuple(calendar.supported_categories))
        for each in days.categories
        if each not in calendar.supported_categories
    )


def _holidays(days: Holidays, first: date, last: date) -> dict[date, str]:
    try:
        import holidays
    except ImportError:
        raise UsageError(f"holidays of {days.country} need an extra: {HINT}") from None
    return dict(
        holidays.country_holidays(
            days.country,
            subdiv=days.subdivision or None,
            years=range(first.year, last.year + 1),
            expand=False,
            observed=days.observed,
            language=LANGUAGE,
            categories=days.categories,
        )
    )
