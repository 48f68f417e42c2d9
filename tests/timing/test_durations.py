from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.errors import UsageError
from anomaly.steps import DAY, MONTH, WEEK
from anomaly.timing.durations import duration_text, parse_duration, parse_moment, parse_step

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
MILLISECONDS = st.integers(0, 10**14).map(lambda count: timedelta(milliseconds=count))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("28d", timedelta(days=28)),
        ("4w", timedelta(days=28)),
        ("1w2d3h4m5s6ms", timedelta(days=9, hours=3, minutes=4, seconds=5, milliseconds=6)),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "1.5h",
        "5m ",
        " 5m",
        "-5m",
        "5M",
        "30m1h",
        "5m5m",
        "\u0665m",
        "5 m",
        "1e3s",
        "5:30",
        "P1D",
        "5m\n",
    ],
)
def test_what_is_not_a_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration; write one like 30s, 5m, 1h30m or 28d"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["999999999999d", "1" * 5000 + "s", "999999999d23h59m59s999ms999999999999s"]
)
def test_a_duration_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="duration") as caught:
        parse_duration(text)
    assert len(str(caught.value)) < 200


@given(MILLISECONDS)
def test_a_duration_survives_its_text(duration: timedelta) -> None:
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.slow
@given(st.text())
def test_any_text_is_a_duration_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_duration(text) >= timedelta(0)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=28), "28d"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(0), "0s"),
        (timedelta(seconds=-90), "-1m30s"),
        (timedelta(seconds=1.2346), "1s235ms"),
        (timedelta(microseconds=1), "0s"),
    ],
)
def test_a_duration_is_written_short(duration: timedelta, text: str) -> None:
    assert duration_text(duration) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-2h", datetime(2025, 6, 3, 10, tzinfo=UTC)),
        ("-1d12h", datetime(2025, 6, 2, 0, tzinfo=UTC)),
        ("2025-06-03T10:00Z", datetime(2025, 6, 3, 10, tzinfo=UTC)),
        ("2025-06-03 12:00+02:00", datetime(2025, 6, 3, 10, tzinfo=UTC)),
        ("2024-02-29T23:59:59.5-01:00", datetime(2024, 3, 1, 0, 59, 59, 500000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(text: str, expected: datetime) -> None:
    moment = parse_moment(text, now=NOW)
    assert moment == expected
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-06-03", "Europe/Berlin", datetime(2025, 6, 2, 22, tzinfo=UTC)),
        ("2025-10-27", "Europe/Berlin", datetime(2025, 10, 26, 23, tzinfo=UTC)),
        ("2025-06-03", "UTC", datetime(2025, 6, 3, tzinfo=UTC)),
        ("2025-03-09", "America/Havana", datetime(2025, 3, 9, 5, tzinfo=UTC)),
    ],
)
def test_a_date_is_the_midnight_of_its_day(text: str, zone: str, expected: datetime) -> None:
    assert parse_moment(text, now=NOW, zone=zone) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m", timedelta(minutes=5)),
        ("12h", timedelta(hours=12)),
        ("1d", DAY),
        ("24h", DAY),
        ("7d", WEEK),
        ("1w", WEEK),
        ("1M", MONTH),
    ],
)
def test_a_step_is_a_duration_or_one_of_the_calendar(text: str, expected: timedelta) -> None:
    assert parse_step(text) == expected


@pytest.mark.parametrize("text", ["2d", "36h", "30d", "2w", "2M", "1y", "1mo", "M"])
def test_a_step_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_step(text)


@pytest.mark.parametrize("text", ["2025-06-03T10:00", "2025-06-03"])
def test_a_moment_without_zone_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"has no time zone; write 2025-06-03T..:00:00Z or an offset"
    ):
        parse_moment(text, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1748944800",
        "2025-02-29T00:00Z",
        "2h",
        "+2h",
    ],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time; write now, -2h or 2025-06-03T10:00Z"):
        parse_moment(text, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59Z",
        "2300-01-01T00:00Z",
        "-90000d",
        "0001-01-01T00:00+10:00",
        "9999-12-31T23:59-10:00",
    ],
)
def test_a_moment_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="outside the years 1970 to 2199"):
        parse_moment(text, now=NOW)


@given(st.text())
def test_any_text_is_a_moment_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_moment(text, now=NOW).tzinfo is UTC
