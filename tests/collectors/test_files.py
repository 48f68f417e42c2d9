"""The file collector reads what is meant and refuses, with file and line, what is not."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly.checklist.registry import Plugin, collector
from anomaly.collectors import tables
from anomaly.collectors.files import FilesCollector, Layout
from anomaly.collectors.steps import Resample
from anomaly.contracts import Collected
from anomaly.errors import ChecklistError, CollectError, UsageError
from anomaly.model import Empty, Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.steps import DAY, CalendarStep

START = datetime(2025, 6, 3, 9, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)
WINDOW = Window(START, START + timedelta(minutes=20))
ORDERS = Kpi("orders", query="orders")
RATIO = Kpi("conversion", query="orders", denominator="sessions")
BY_COUNTRY = Kpi("errors", query="errors", denominator="requests", by=("country",))
NAN = float("nan")

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "kpis.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def read(path: Path, *kpis: Kpi, window: Window = WINDOW, **how: Any) -> Collected:
    return FilesCollector(path=path, **how).collect(kpis, window, STEP)


def values(
    collected: Collected, kpi: str = "orders", segment: str = "", role: str = VALUE
) -> list[float]:
    assert not collected.errors, collected.errors
    return [float(value) for value in collected.panel[(kpi, segment, role)]]


def same(left: list[float], right: list[float]) -> bool:
    return bool(np.array_equal(left, right, equal_nan=True))


def wrong(collected: Collected, kpi: str = "orders") -> str:
    assert kpi in collected.errors
    assert kpi not in collected.panel.columns.get_level_values("kpi")
    return str(collected.errors[kpi])


def notes(collected: Collected, kpi: str = "orders") -> str:
    return " | ".join(collected.provenance[kpi].notes)


# What is read


def test_a_wide_file_has_a_column_per_kpi(write: Write) -> None:
    path = write(
        "time,orders,sessions\n2025-06-03T09:00Z,1,10\n2025-06-03T09:05Z,2,20\n2025-06-03T09:10Z,3,30\n2025-06-03T09:15Z,4,40\n"
    )

    collected = read(path, ORDERS, RATIO)

    assert values(collected) == [1, 2, 3, 4]
    assert values(collected, "conversion", role=NUMERATOR) == [1, 2, 3, 4]
    assert values(collected, "conversion", role=DENOMINATOR) == [10, 20, 30, 40]
    assert collected.panel.index[0] == START
    assert notes(collected) == ""
    assert collected.provenance["conversion"].denominator == "sessions"


def test_a_wide_file_may_hold_columns_of_labels(write: Write) -> None:
    path = write(
        "time,country,requests,errors\n2025-06-03T09:00Z,DE,10,1\n2025-06-03T09:00Z,FR,20,2\n2025-06-03T09:05Z,FR,30,3\n"
    )

    collected = read(path, BY_COUNTRY)

    assert same(values(collected, "errors", "country=DE", NUMERATOR), [1, NAN, NAN, NAN])
    assert same(values(collected, "errors", "country=FR", DENOMINATOR), [20, 30, NAN, NAN])


LONG = """\
time,kpi,value,country
2025-06-03T09:00Z,requests,10,DE
2025-06-03T09:05Z,requests,20,DE
2025-06-03T09:05Z,errors,2,DE
2025-06-03T09:10Z,requests,,DE
2025-06-03T09:00Z,requests,30,FR
"""


def test_a_long_file_has_a_row_per_kpi_and_segment(write: Write) -> None:
    collected = read(write(LONG), BY_COUNTRY, layout=Layout.LONG)

    assert same(values(collected, "errors", "country=DE", DENOMINATOR), [10, 20, NAN, NAN])
    assert same(values(collected, "errors", "country=FR", DENOMINATOR), [30, NAN, NAN, NAN])


def test_in_a_long_file_a_numerator_without_a_row_is_zero_where_the_denominator_has_one(
    write: Write,
) -> None:
    collected = read(write(LONG), BY_COUNTRY, layout=Layout.LONG)

    assert same(values(collected, "errors", "country=DE", NUMERATOR), [0, 2, NAN, NAN])
    assert same(values(collected, "errors", "country=FR", NUMERATOR), [0, NAN, NAN, NAN])


def test_in_a_long_file_a_numerator_with_an_empty_cell_is_missing(write: Write) -> None:
    collected = read(write(LONG + "2025-06-03T09:00Z,errors,,DE\n"), BY_COUNTRY, layout=Layout.LONG)

    assert same(values(collected, "errors", "country=DE", NUMERATOR), [NAN, 2, NAN, NAN])


def test_a_numerator_that_never_has_a_row_is_zero_and_said_so(write: Write) -> None:
    path = write("time,kpi,value\n2025-06-03T09:00Z,requests,10\n2025-06-03T09:05Z,requests,20\n")

    collected = read(
        path, Kpi("errors", query="errors", denominator="requests"), layout=Layout.LONG
    )

    assert same(values(collected, "errors", role=NUMERATOR), [0, 0, NAN, NAN])
    assert "'errors' counts as 0 wherever 'requests' has a row" in notes(collected, "errors")


def test_in_a_wide_file_an_empty_numerator_is_missing(write: Write) -> None:
    collected = read(write("time,orders,sessions\n2025-06-03T09:00Z,,10\n"), RATIO)

    assert same(values(collected, "conversion", role=NUMERATOR), [NAN] * 4)


def test_rows_in_any_order_are_sorted(write: Write) -> None:
    path = write(
        "time,orders\n2025-06-03T09:10Z,3\n2025-06-03T09:00Z,1\n2025-06-03T09:15Z,4\n2025-06-03T09:05Z,2\n"
    )

    assert values(read(path, ORDERS)) == [1, 2, 3, 4]


def test_a_stamp_belongs_to_the_step_that_it_lies_in(write: Write) -> None:
    path = write(
        "time,orders\n2025-06-03T09:04:59.999Z,1\n2025-06-03T09:05:00Z,2\n2025-06-03T09:12Z,3\n"
    )

    assert same(values(read(path, ORDERS)), [1, 2, 3, NAN])


def test_only_the_asked_window_is_kept(write: Write) -> None:
    path = write("time,orders\n2025-06-03T08:59:59Z,7\n2025-06-03T09:00Z,1\n2025-06-03T09:20Z,8\n")

    assert same(values(read(path, ORDERS)), [1, NAN, NAN, NAN])


def test_a_number_outside_the_window_need_not_be_one(write: Write) -> None:
    assert same(
        values(read(write("time,orders\n2025-06-03T08:00Z,=1\n2025-06-03T09:00Z,1\n"), ORDERS)),
        [1, NAN, NAN, NAN],
    )


@pytest.mark.parametrize(
    "cell", ["", "nan", "NaN", "null", "NULL", "NA", "n/a", "  ", "None", "#N/A", "\\N"]
)
def test_an_empty_cell_is_missing(write: Write, cell: str) -> None:
    assert same(
        values(
            read(write(f"time,orders\n2025-06-03T09:00Z,{cell}\n2025-06-03T09:05Z,0\n"), ORDERS)
        ),
        [NAN, 0, NAN, NAN],
    )


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e999"])
def test_an_infinity_is_missing_and_said_so(write: Write, cell: str) -> None:
    collected = read(write(f"time,orders\n2025-06-03T09:00Z,{cell}\n2025-06-03T09:05Z,0\n"), ORDERS)

    assert same(values(collected), [NAN, 0, NAN, NAN])
    assert "1 infinite values of 'orders' count as missing" in notes(collected)


@pytest.mark.parametrize("cell", ["1", " 1 ", "1.0", "+1", "1e0", "01", '"1"'])
def test_a_number_may_be_written_in_many_ways(write: Write, cell: str) -> None:
    assert values(read(write(f"time,orders\n2025-06-03T09:00Z,{cell}\n"), ORDERS))[0] == 1


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(write: Write) -> None:
    assert (
        values(read(write(b"\xef\xbb\xbftime,orders\r\n2025-06-03T09:00Z,1\r\n"), ORDERS))[0] == 1
    )


def test_blank_lines_do_not_matter(write: Write) -> None:
    assert same(
        values(
            read(write("time,orders\n\n2025-06-03T09:00Z,1\n\n,\n2025-06-03T09:05Z,2\n\n"), ORDERS)
        ),
        [1, 2, NAN, NAN],
    )


def test_names_of_columns_may_be_told(write: Write) -> None:
    path = write("at,name,count\n2025-06-03T09:00Z,orders,1\n")

    collected = read(
        path, ORDERS, layout=Layout.LONG, time_column="at", kpi_column="name", value_column="count"
    )

    assert values(collected)[0] == 1


def test_labels_with_any_text_become_segments(write: Write) -> None:
    path = write(
        'time,kpi,value,plan\n2025-06-03T09:00Z,orders,1,"a,b=c"\n2025-06-03T09:00Z,orders,2,NA\n2025-06-03T09:00Z,orders,3,\n'
    )

    collected = read(path, Kpi("orders", query="orders", by=("plan",)), layout=Layout.LONG)

    assert [
        values(collected, segment=segment)[0] for segment in ("plan=a\\,b\\=c", "plan=NA", "plan=")
    ] == [1, 2, 3]


def test_a_file_is_read_once_for_all_its_kpis(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("time,orders,sessions\n2025-06-03T09:00Z,1,10\n")
    opened: list[Any] = []
    real = os.open

    def counted(*how: Any) -> int:
        opened.append(how)
        return real(*how)

    monkeypatch.setattr(os, "open", counted)

    read(path, ORDERS, RATIO, Kpi("sessions", query="sessions"))

    assert len(opened) == 1


# Time zones


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stamp", "how"),
    [
        ("2025-06-03T09:00:00Z", {}),
        ("2025-06-03 09:00:00 UTC", {}),
        ("2025-06-03T11:00+02:00", {}),
        ("2025-06-03T11:00:00.000+0200", {}),
        ("2025-06-03 04:00-05", {}),
        ("2025-06-03 11:00", {"timezone": "Europe/Berlin"}),
        ("2025-06-03 09:00", {"timezone": "UTC"}),
        ("2025-06-03T09:00Z", {"timezone": "Europe/Berlin"}),
        ("1748941200", {"time_unit": "s"}),
        ("1748941200.0", {"time_unit": "s"}),
        ("1748941200000", {"time_unit": "ms"}),
        ("1748941200000000", {"time_unit": "us"}),
        ("1748941200000000000", {"time_unit": "ns"}),
        ("20250603T090000Z", {}),
        ("Tue 03 Jun 2025 11:00:00 +0200", {"date_format": "%a %d %b %Y %H:%M:%S %z"}),
        ("20250603T0900Z", {"date_format": "%Y%m%dT%H%MZ", "timezone": "Europe/Berlin"}),
        ("202506031100", {"date_format": "%Y%m%d%H%M", "timezone": "Europe/Berlin"}),
    ],
)
def test_a_stamp_says_which_moment_it_is(write: Write, stamp: str, how: dict[str, Any]) -> None:
    assert same(values(read(write(f"time,orders\n{stamp},1\n"), ORDERS, **how)), [1, NAN, NAN, NAN])


def test_zones_may_be_mixed_when_every_stamp_has_one(write: Write) -> None:
    path = write(
        "time,orders\n2025-06-03T09:00Z,1\n2025-06-03T11:05+02:00,2\n2025-06-03T05:10-04:00,3\n"
    )

    assert same(values(read(path, ORDERS)), [1, 2, 3, NAN])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stamp", "how", "said"),
    [
        ("2025-06-03T09:00", {}, "has no time zone; set timezone"),
        ("2025-06-03", {}, "has no time zone; set timezone"),
        ("1748941200", {}, "is a number; set time_unit to s if it counts"),
        ("1748941200000", {}, "is a number; set time_unit to ms if it counts"),
        ("1748941200000000", {}, "is a number; set time_unit to us if it counts"),
        ("1748941200000000000", {}, "is a number; set time_unit to ns if it counts"),
        ("45811.375", {}, "seems to count the days of a spreadsheet; give its column a date"),
        ("202506031100", {}, 'set date_format to "%Y%m%d%H%M" if these are the digits'),
        ("17", {}, "is a number; set time_unit to s, ms, us or ns if it counts"),
        ("2025-06-03 09:00 EST", {}, "write an offset, or leave EST out and set timezone"),
        ("1748941200", {"timezone": "UTC"}, "is a number; set time_unit"),
        ("1748941200000", {"time_unit": "s"}, "2200 as time_unit s; set time_unit to ms"),
        ("-5", {"time_unit": "s"}, "is not between 1970 and 2200 as time_unit s"),
        ("0001-01-01T00:00Z", {}, "is not between 1970 and 2200"),
        ("9999-12-31T00:00Z", {}, "is not between 1970 and 2200"),
        ("9999-12-31T00:00", {"timezone": "UTC"}, "is not between 1970 and 2200"),
        ("2025-13-01T00:00Z", {}, "is not a time"),
        ("2025-06-03T09:00:60Z", {}, "is not a time"),
        ("03.13.2025 25:00", {"timezone": "UTC"}, "is not a time"),
        ("=NOW()", {}, "is not a time"),
        ("soon", {}, "is not a time"),
        ("", {}, "the time is empty"),
        ("NaT", {}, "is not a time"),
    ],
)
def test_a_stamp_that_names_no_moment_is_an_error_with_its_line(
    write: Write, stamp: str, how: dict[str, Any], said: str
) -> None:
    first = "1748941200" if how.get("time_unit") == "s" else "2025-06-03T09:00Z"
    path = write(f"time,orders\n{first},1\n{stamp},2\n")

    text = wrong(read(path, ORDERS, **how))

    assert text.startswith(f"{path}:3: ")
    assert said in text


def test_a_local_time_that_clocks_never_show_is_an_error_where_it_is_asked_for(
    write: Write,
) -> None:
    path = write("time,orders\n2025-03-30 00:30,1\n2025-03-30 02:30,2\n2025-11-03 10:00,3\n")
    night = datetime(2025, 3, 30, tzinfo=UTC)
    how = {"timezone": "Europe/Berlin"}

    asked = read(path, ORDERS, window=Window(night, night + timedelta(hours=3)), **how)
    later = datetime(2025, 11, 3, 9, tzinfo=UTC)
    not_asked = read(path, ORDERS, window=Window(later, later + STEP), **how)

    assert wrong(asked).startswith(f"{path}:3: ")
    assert "does not exist in Europe/Berlin, where clocks skip it" in wrong(asked)
    assert values(not_asked) == [3]


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London", "America/New_York"])
@pytest.mark.parametrize("minutes", [15, 60])
def test_a_repeated_hour_that_cannot_be_told_apart_costs_that_hour_and_not_the_kpi(
    tmp_path: Path, zone: str, minutes: int
) -> None:
    day = "2025-11-02" if zone == "America/New_York" else "2025-10-26"
    stamps = pd.date_range(
        pd.Timestamp(day, tz=zone), periods=30 * 60 // minutes, freq=f"{minutes}min"
    )
    walls = stamps.tz_localize(None)
    frame = pd.DataFrame({"time": walls, "orders": 1.0}).drop_duplicates("time")  # summed by hour
    path = tmp_path / "kpis.csv"
    frame.to_csv(path, index=False)

    collected = FilesCollector(path=path, timezone=zone).collect(
        [ORDERS], Window(stamps[0], stamps[-1]), timedelta(minutes=minutes)
    )

    is_twice = walls.isin(walls[walls.duplicated()])[:-1]
    assert same(values(collected), np.where(is_twice, NAN, 1.0).tolist())
    assert f"{60 // minutes} rows in an hour that clocks show twice can't be told apart" in notes(
        collected
    )


def test_a_repeated_hour_within_one_step_costs_nothing(write: Write) -> None:
    zone = ZoneInfo("Europe/Berlin")
    times = [f"2025-10-26 {hour:02}:00" for hour in range(24)]
    path = write("time,orders\n" + "".join(f"{time},1\n" for time in times))
    window = Window(datetime(2025, 10, 26, tzinfo=zone), datetime(2025, 10, 27, tzinfo=zone))

    collected = FilesCollector(path=path, timezone=zone.key, resample=Resample.COUNT).collect(
        [ORDERS], window, CalendarStep(DAY, zone.key)
    )

    assert values(collected) == [24]
    assert "told apart" not in notes(collected)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London", "Asia/Tokyo"])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%d.%m.%Y", "%Y-%m-%dT%H:%M%z"])
def test_days_of_another_zone_than_that_of_the_steps_are_an_error_that_says_what_to_set(
    tmp_path: Path, zone: str, form: str
) -> None:
    stamps = pd.date_range("2025-05-12", periods=28, freq="D", tz=zone)
    path = tmp_path / "kpis.csv"
    pd.DataFrame({"time": stamps.strftime(form), "orders": range(28)}).to_csv(path, index=False)
    window = Window(stamps[0] - timedelta(days=1), stamps[-1] + timedelta(days=2))

    def collected(steps: str) -> Collected:
        source = FilesCollector(path=path, timezone=zone)
        return source.collect([ORDERS], window, CalendarStep(DAY, steps))

    assert values(collected(zone))[1:-1] == [*range(28)]
    text = wrong(collected("UTC"))
    assert "the steps days of UTC: 2025-05-12 begins 2025-05-11T" in text
    assert "set timezone of the checklist to" in text
    assert zone in text or "%z" in form


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [5, 15, 30, 60], ids="every {} minutes".format)
@pytest.mark.parametrize("layout", ["one series", "segments", "newest first", "long", "parquet"])
def test_the_order_of_rows_tells_the_hour_that_clocks_show_twice(
    tmp_path: Path, minutes: int, layout: str
) -> None:
    stamps = pd.date_range(
        "2025-10-25", "2025-10-27", freq=f"{minutes}min", tz="Europe/Berlin", inclusive="left"
    )
    frame = pd.DataFrame({"time": stamps.tz_localize(None), "orders": range(len(stamps))})
    kpi = ORDERS
    if layout == "segments":
        other = frame.assign(orders=frame["orders"] + 1000)
        parts = [frame.assign(country="DE"), other.assign(country="US")]
        frame = pd.concat(parts).sort_index(kind="stable")
        kpi = Kpi("orders", query="orders", by=("country",))
    elif layout == "newest first":
        frame = frame.iloc[::-1]
    elif layout == "long":
        frame = frame.rename(columns={"orders": "value"}).assign(kpi="orders")
    path = tmp_path / "kpis.csv"
    if layout == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    collector = FilesCollector(
        path=path,
        timezone="Europe/Berlin",
        layout=Layout.LONG if layout == "long" else Layout.WIDE,
    )
    window = Window(stamps[0].to_pydatetime(), stamps[-1].to_pydatetime() + timedelta(hours=1))

    collected = collector.collect([kpi], window, timedelta(minutes=minutes))

    assert not collected.errors
    read_back = collected.panel.iloc[: len(stamps), 0]
    assert read_back.tolist() == list(range(len(stamps)))


@pytest.mark.parametrize(
    ("first", "odd"), [("2025-03-08", "2025-03-09"), ("2025-11-01", "2025-11-02")]
)
def test_a_date_is_the_start_of_its_day_even_without_or_with_two_midnights(
    write: Write, first: str, odd: str
) -> None:
    zone = "America/Havana"  # where clocks change at midnight
    path = write(f"time,orders\n{first},1\n{odd},2\n")
    start = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone))

    collected = FilesCollector(path=path, timezone=zone).collect(
        [ORDERS], Window(start, start + timedelta(days=3)), CalendarStep(DAY, zone)
    )

    assert same(values(collected), [1, 2, NAN])


def test_an_ambiguous_moment_with_an_offset_is_fine(write: Write) -> None:
    path = write("time,orders\n2025-10-26T02:30+02:00,1\n2025-10-26T02:30+01:00,2\n")
    start = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)

    collected = read(
        path,
        ORDERS,
        window=Window(start, start + timedelta(hours=1, minutes=5)),
        timezone="Europe/Berlin",
    )

    assert (values(collected)[0], values(collected)[12]) == (1, 2)


# Several samples in a step


def test_two_moments_in_one_step_need_a_rule(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:02Z,3\n")

    assert wrong(read(path, ORDERS)) == (
        f"{path}:3: a second moment in the step of {path}:2; set resample to sum (amounts), "
        "count (rows), mean (gauges), max or last"
    )


MINUTES = "time,orders\n" + "".join(
    f"2025-06-03T09:{minute:02}Z,{minute}\n" for minute in range(20)
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Resample.SUM, [10, 35, 60, 85]),
        (Resample.COUNT, [5, 5, 5, 5]),
        (Resample.MEAN, [2, 7, 12, 17]),
        (Resample.MAX, [4, 9, 14, 19]),
        (Resample.LAST, [4, 9, 14, 19]),
    ],
)
def test_a_rule_says_what_becomes_of_the_rows_of_a_step(
    write: Write, rule: Resample, expected: list[float]
) -> None:
    assert values(read(write(MINUTES), ORDERS, resample=rule)) == expected


EVENTS = """\
time,order_id,country,amount
2025-06-03T09:00:01Z,a1,DE,10
2025-06-03T09:00:01Z,a2,DE,10
2025-06-03T09:00:01Z,a3,FR,7
2025-06-03T09:04:59Z,a4,DE,
2025-06-03T09:07:00Z,a5,FR,5
2025-06-03T09:12:00Z,a6,FR,5
2025-06-03T09:19:00Z,a7,DE,1
"""
AMOUNT = Kpi("amount", query="amount")


@pytest.mark.parametrize(
    ("rule", "query", "expected"),
    [
        (Resample.SUM, "amount", [NAN, 5, 5, 1]),
        (Resample.COUNT, "amount", [3, 1, 1, 1]),
        (Resample.COUNT, "order_id", [4, 1, 1, 1]),
        (Resample.COUNT, "time", [4, 1, 1, 1]),
        (Resample.MEAN, "amount", [9, 5, 5, 1]),
        (Resample.MAX, "amount", [10, 5, 5, 1]),
        (Resample.LAST, "amount", [7, 5, 5, 1]),
    ],
)
def test_every_row_of_a_table_of_events_counts(
    write: Write, rule: Resample, query: str, expected: list[float]
) -> None:
    path = write(EVENTS)

    assert same(values(read(path, Kpi("orders", query=query), resample=rule)), expected)


@pytest.mark.parametrize("layout", [Layout.WIDE, Layout.LONG])
def test_events_add_up_to_segments_and_to_their_total(write: Write, layout: Layout) -> None:
    lines = EVENTS.splitlines()
    long = [
        "time,kpi,value,country",
        *(
            f"{time},amount,{amount},{country}"
            for time, _, country, amount in (line.split(",") for line in lines[1:])
        ),
    ]
    path = write("\n".join(lines if layout is Layout.WIDE else long))
    by_country = Kpi("by country", query="amount", by=("country",))

    collected = read(path, AMOUNT, by_country, resample=Resample.COUNT, layout=layout)

    assert same(values(collected, "amount"), [3, 1, 1, 1])
    assert same(values(collected, "by country", "country=DE"), [2, NAN, NAN, 1])
    assert same(values(collected, "by country", "country=FR"), [1, 1, 1, NAN])


def test_a_day_ends_with_the_file_only_where_rows_end_earlier_than_they_do(write: Write) -> None:
    rows = "".join(
        f"2025-06-{day:02}T{hour:02}:{minute:02}Z,1\n"
        for day in range(1, 8)
        for hour in range(8, 20)
        for minute in (0, 1, 30 + day)
    )
    window = Window(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 6, 8, tzinfo=UTC))
    kpi = Kpi("orders", query="orders")

    whole, cut = (
        FilesCollector(path=write("time,orders\n" + text), resample=Resample.SUM).collect(
            [kpi], window, CalendarStep(DAY, "UTC")
        )
        for text in (rows, rows[: rows.index("2025-06-07T15")])
    )

    assert values(whole) == [36] * 7
    assert same(values(cut), [*[36] * 6, NAN])
    assert "the step of 2025-06-07T00:00:00Z is covered in part" in notes(cut)


def test_steps_without_an_event_are_missing_and_the_note_says_what_to_write(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:15Z,2\n")
    zero = Kpi("zero", query="orders", empty=Empty.ZERO)

    collected = read(path, ORDERS, zero, resample=Resample.SUM)

    assert same(values(collected), [1, NAN, NAN, 2])
    assert "2 steps between the first and the last row have none" in notes(collected)
    assert "write empty: zero" in notes(collected)
    assert "empty: zero" not in notes(collected, "zero")


def test_a_sum_with_a_missing_part_is_missing_and_a_mean_is_not(write: Write) -> None:
    path = write(MINUTES.replace("09:07Z,7", "09:07Z,"))

    assert same(values(read(path, ORDERS, resample=Resample.SUM)), [10, NAN, 60, 85])
    assert same(values(read(path, ORDERS, resample=Resample.MEAN)), [2, 7, 12, 17])


def test_a_step_that_the_file_covers_in_part_has_no_sum(write: Write) -> None:
    lines = MINUTES.splitlines()
    path = write("\n".join([lines[0], *lines[3:18]]) + "\n")  # 09:02 to 09:16

    collected = read(path, ORDERS, resample=Resample.SUM)

    assert same(values(collected), [NAN, 35, 60, NAN])
    assert "the step of 2025-06-03T09:00:00Z is covered in part and left out" in notes(collected)
    assert "2025-06-03T09:15:00Z" in notes(collected)


def test_rows_beyond_the_window_show_that_its_last_step_is_complete(write: Write) -> None:
    short = Window(START, START + timedelta(minutes=10))

    assert values(read(write(MINUTES), ORDERS, window=short, resample=Resample.SUM)) == [10, 35]


def test_samples_rarer_than_the_step_are_said(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:15Z,2\n")

    assert "samples of 'orders' come every 15m, the step is 5m" in notes(read(path, ORDERS))


def test_a_repeated_row_counts_once_and_is_said(write: Write) -> None:
    path = write(
        "time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,2\n2025-06-03T11:00+02:00,1\n"
    )

    collected = read(path, ORDERS)

    assert same(values(collected), [1, 2, NAN, NAN])
    assert "1 repeated rows count once" in notes(collected)


def test_two_values_for_one_moment_are_an_error_with_both_lines(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,2\n2025-06-03T09:00Z,3\n")

    text = wrong(read(path, ORDERS))

    assert text.startswith(f"{path}:4: the same moment as at {path}:2 with another value (1 and 3)")
    assert "if each row is an event, set resample to one of sum, count" in text
    assert "if another column has the time of day, join it with the date in one column" in text


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("UTC", ""),
        ("America/New_York", "times go on until 2025-06-03T13:05:00Z, still to come: is America/"),
    ],
)
def test_times_still_to_come_put_the_time_zone_in_question(
    write: Write, zone: str, said: str
) -> None:
    path = write("time,orders\n2025-06-03 09:00,1\n2025-06-03 09:05,2\n")
    at = datetime(2025, 6, 3, 9, 10, tzinfo=UTC)
    found = notes(read(path, ORDERS, timezone=zone, now=lambda: at))
    assert ("still to come" in found) is bool(said)
    assert said in found


def test_midnight_may_be_written_as_the_end_of_the_day_before(write: Write) -> None:
    path = write("time,orders\n2025-06-02 23:55,1\n2025-06-02 24:00,2\n2025-06-03 00:05,3\n")
    window = Window(
        datetime(2025, 6, 2, 23, 55, tzinfo=UTC), datetime(2025, 6, 3, 0, 10, tzinfo=UTC)
    )

    collected = read(path, ORDERS, window=window, timezone="UTC")

    assert values(collected) == [1, 2, 3]
    assert "read as: dates like 2025-06-02 24:00, UTC" in notes(collected)


def test_rows_that_differ_in_a_column_that_nobody_asked_for_do_not_repeat(write: Write) -> None:
    path = write("time,country,orders\n2025-06-03T09:00Z,DE,1\n2025-06-03T09:00Z,FR,1\n")

    text = wrong(read(path, ORDERS))

    assert text.startswith(f"{path}:3: the same time and value as at {path}:2")
    assert "another country (DE and FR); write by: [country]" in text


def test_rows_most_of_which_are_equal_are_events_and_need_a_rule(write: Write) -> None:
    path = write("time,orders\n" + 5 * "2025-06-03,1\n" + 4 * "2025-06-04,1\n")
    window = Window(datetime(2025, 6, 3, tzinfo=UTC), datetime(2025, 6, 5, tzinfo=UTC))

    def daily(**how: Any) -> Collected:
        collector = FilesCollector(path=path, timezone="UTC", **how)
        return collector.collect([ORDERS], window, CalendarStep(DAY, "UTC"))

    assert "like most rows; if each row is an event, set resample to sum or count" in wrong(daily())
    assert values(daily(resample=Resample.SUM)) == [5, 4]


def test_a_value_and_an_empty_cell_for_one_moment_differ(write: Write) -> None:
    assert "(1 and nothing)" in wrong(
        read(write("time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:00Z,\n"), ORDERS)
    )


# Segments


def test_several_series_without_by_are_an_error_that_names_the_labels(write: Write) -> None:
    text = wrong(
        read(write(LONG), Kpi("requests", query="requests"), layout=Layout.LONG), "requests"
    )

    assert (
        "'requests' holds several series (country=DE and country=FR); write by: [country]" in text
    )


def test_several_series_under_by_name_the_labels_that_are_left(write: Write) -> None:
    path = write(
        "time,kpi,value,country,plan\n2025-06-03T09:00Z,orders,1,DE,free\n2025-06-03T09:05Z,orders,1,DE,pro\n"
    )

    text = wrong(read(path, Kpi("orders", query="orders", by=("country",)), layout=Layout.LONG))

    assert "(plan=free and plan=pro); write by: [country, plan]" in text


def test_labels_that_one_kpi_splits_by_are_labels_for_all(write: Write) -> None:
    path = write(
        "time,country,requests,errors\n2025-06-03T09:00Z,DE,10,0\n2025-06-03T09:00Z,FR,20,0\n"
    )

    collected = read(path, BY_COUNTRY, Kpi("all errors", query="errors"))

    assert "write by: [country]" in wrong(collected, "all errors")
    assert "errors" not in collected.errors


@pytest.mark.parametrize("layout", [Layout.WIDE, Layout.LONG])
def test_a_missing_label_column_is_an_error_that_lists_the_columns(
    write: Write, layout: Layout
) -> None:
    path = write("time,kpi,value,orders\n2025-06-03T09:00Z,orders,1,1\n")

    text = wrong(read(path, Kpi("orders", query="orders", by=("country",)), layout=layout))

    assert text == f"{path}: no column 'country'; the columns are time, kpi, value, orders"


def test_a_segment_of_the_numerator_alone_has_no_denominator(write: Write) -> None:
    collected = read(
        write(LONG + "2025-06-03T09:00Z,errors,5,US\n"), BY_COUNTRY, layout=Layout.LONG
    )

    assert same(values(collected, "errors", "country=US", NUMERATOR), [5, NAN, NAN, NAN])
    assert same(values(collected, "errors", "country=US", DENOMINATOR), [NAN] * 4)


def test_a_flood_of_series_is_an_error_that_names_the_labels(write: Write) -> None:
    rows = "".join(f"2025-06-03T09:00Z,orders,1,u{number}\n" for number in range(20_001))

    text = wrong(read(write("time,kpi,value,user\n" + rows), ORDERS, layout=Layout.LONG))

    assert "more than 20,000 series by user" in text


# What is not there


def test_a_missing_column_is_an_error_that_lists_the_columns(write: Write) -> None:
    path = write("time,orders,sessions\n2025-06-03T09:00Z,1,2\n")

    collected = read(path, ORDERS, Kpi("views", query="views"))

    assert (
        wrong(collected, "views")
        == f"{path}: no column 'views'; the columns are time, orders, sessions"
    )
    assert collected.panel[("orders", "", VALUE)].iloc[0] == 1


@pytest.mark.slow
def test_a_list_of_columns_is_cut(write: Write) -> None:
    path = write("time," + ",".join(f"c{number}" for number in range(50)) + "\n")

    assert wrong(read(path, ORDERS)).endswith("c10 and 39 more")


@pytest.mark.parametrize("header", ["when,kpi,value", "time,name,value", "time,kpi,amount"])
def test_a_long_file_needs_its_three_columns(write: Write, header: str) -> None:
    assert f"the columns are {header.replace(',', ', ')}" in wrong(
        read(write(header + "\n"), ORDERS, layout=Layout.LONG)
    )


def test_a_column_that_is_there_twice_is_an_error(write: Write) -> None:
    assert "column 'orders' is there 2 times" in wrong(
        read(write("time,orders,orders\n2025-06-03T09:00Z,1,2\n"), ORDERS)
    )


def test_a_long_file_without_rows_of_a_kpi_gives_no_series_and_says_what_it_holds(
    write: Write,
) -> None:
    collected = read(write(LONG), ORDERS, layout=Layout.LONG)

    assert collected.panel.shape == (4, 0)
    assert collected.errors == {}
    assert "no series matched: no row of 'orders'; the file holds requests, errors" in notes(
        collected
    )


@pytest.mark.parametrize("layout", [Layout.WIDE, Layout.LONG])
def test_a_file_without_rows_in_the_window_says_what_it_holds(write: Write, layout: Layout) -> None:
    path = write(
        "time,kpi,value,orders\n2024-01-01T00:00Z,orders,1,1\n2024-01-02T00:00Z,orders,1,1\n"
    )

    collected = read(path, ORDERS, layout=layout)

    assert collected.panel.shape == (4, 0)
    assert "the file holds 2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z" in notes(collected)


def test_a_header_alone_gives_no_series(write: Write) -> None:
    collected = read(write("time,orders\n"), ORDERS)

    assert collected.panel.shape == (4, 0)
    assert "no series matched" in notes(collected)


def test_a_short_history_is_used_and_said(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:10Z,3\n2025-06-03T09:15Z,4\n")

    collected = read(path, ORDERS)

    assert same(values(collected), [NAN, NAN, 3, 4])
    assert "history begins 2025-06-03T09:10:00Z, asked from 2025-06-03T09:00:00Z" in notes(
        collected
    )


def test_a_window_shorter_than_a_step_gives_no_rows(write: Write) -> None:
    collected = read(
        write("time,orders\n2025-06-03T09:00Z,1\n"),
        ORDERS,
        window=Window(START, START + timedelta(minutes=1)),
    )

    assert len(collected.panel) == 0
    assert collected.errors == {}


# What is wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("=1+1", "'=1+1' is a formula, not a number"),
        ('"=HYPERLINK(""http://x"")"', "is a formula, not a number"),
        ('"1,234"', '\'1,234\' is 1234 (decimal: ".") or 1.234 (decimal: ","); set decimal'),
        ("1_000", "'1_000' is not a number"),
        ("12 ms", "'12 ms' is not a number; write it as a plain number, in one unit"),
        ("1.2k", "'1.2k' is not a number; write it as a plain number, in one unit"),
        ("-", "'-' is not a number; leave it empty if nothing was measured"),
        ("0x10", "'0x10' is not a number"),
        ("true", "'true' is not a number"),
        ("#REF!", "'#REF!' is an error of a spreadsheet, not a number; leave it empty"),
        ("\x1b[31m5", "'\\\\x1b[31m5' is not a number"),
        ("9" * 50 + "x", "…' is not a number"),
    ],
)
def test_a_cell_that_is_no_number_is_an_error_with_its_line(
    write: Write, cell: str, said: str
) -> None:
    path = write(f"time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,{cell}\n")

    text = wrong(read(path, ORDERS))

    assert text.startswith(f"{path}:3: ")
    assert said in text
    assert len(text) < 400


@pytest.mark.parametrize("layout", [Layout.WIDE, Layout.LONG])
def test_a_bad_cell_of_one_kpi_does_not_hide_the_others(write: Write, layout: Layout) -> None:
    wide = "time,orders,sessions\n2025-06-03T09:00Z,1,x\n2025-06-03T09:05Z,2,3\n"
    long = (
        "time,kpi,value\n2025-06-03T09:00Z,orders,1\n2025-06-03T09:00Z,sessions,x\n"
        "2025-06-03T09:05Z,orders,2\nsoon,sessions,2\n"
    )

    collected = read(
        write(wide if layout is Layout.WIDE else long),
        ORDERS,
        Kpi("sessions", query="sessions"),
        layout=layout,
    )

    assert list(collected.errors) == ["sessions"]
    assert collected.panel[("orders", "", VALUE)].tolist()[:2] == [1, 2]


def test_the_line_is_right_after_cells_that_span_lines(write: Write) -> None:
    path = write('time,orders,remark\n2025-06-03T09:00Z,1,"two\nlines"\n\n2025-06-03T09:05Z,x,\n')

    assert wrong(read(path, ORDERS)).startswith(f"{path}:5: 'x'")


@pytest.mark.slow
def test_the_line_is_right_far_down_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", 10)
    path = write(MINUTES.replace("09:17Z,17", "09:17Z,x"))

    assert wrong(read(path, ORDERS, resample=Resample.MEAN)).startswith(f"{path}:19: 'x'")


@pytest.mark.slow
@pytest.mark.parametrize("cells", [3, 7, 10, 1_000])
def test_the_size_of_chunks_does_not_matter(
    write: Write, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)

    assert values(read(write(MINUTES), ORDERS, resample=Resample.SUM)) == [10, 35, 60, 85]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: is empty"),
        (b"\n\n", ":1: is empty"),
        (b"time,orders\n2025-06-03T09:00Z,1,2\n", ":2: more cells than the 2 columns of line 1"),
        (
            b"time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,1,2,3\n",
            ":3: more cells than the 2 columns of line 1",
        ),
        (
            b"2025-06-03T09:00Z,1\n2025-06-03T09:05Z,2\n",
            ": no column 'time'; the columns are 2025-06-03T09:00Z, 1; the first line must name",
        ),
        (b"time,orders,orders\n", ": column 'orders' is there 2 times; rename the others"),
        (b'[{"time": 1, "orders": 2}]', ": is JSON; write CSV"),
        (b"<!DOCTYPE html>\n<html>", ": is a page of HTML, maybe to log in"),
        (b"ARROW1\0\0", ": is an Arrow (Feather) file; write Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ": is an old Excel file (.xls); save it as .xlsx"),
        (b"time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,\0\n", ":3: holds a NUL byte"),
        ("time,é\n2025,ü\n".encode() + b"2025,\xe9\n", ":3: is not UTF-8; save it as UTF-8"),
        ("time,é\n2025,".encode() + b"1\xe2", ":2: is not UTF-8; it ends inside a character"),
        (b"time,\x81\n", ":1: is not UTF-8; save it as UTF-8, or set encoding"),
        (
            b'time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,"1\n',
            ":3: a quotation mark is never closed",
        ),
        (gzip.compress(b"time,orders\n", mtime=0), ": is compressed (gzip)"),
        (b"PK\x03\x04rest", ": is compressed (a zip archive, and no .xlsx file)"),
        (b"PAR1rest", ": is not a readable Parquet file"),
        (b"a" * 200_000 + b"\n", ":"),
        (b"a," * 20_000 + b"\n", ":1: 20,001 columns"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_of_every_kpi(
    write: Write, content: bytes, said: str
) -> None:
    path = write(content)

    collected = read(path, ORDERS, RATIO)

    for kpi in (ORDERS, RATIO):
        assert wrong(collected, kpi.name).startswith(f"{path}{said}")


def test_a_compressed_bomb_is_not_unpacked(write: Write) -> None:
    assert "unpack it first" in wrong(read(write(gzip.compress(b"0" * (1 << 24), mtime=0)), ORDERS))


def test_a_file_larger_than_the_cap_is_refused(write: Write) -> None:
    assert wrong(read(write(MINUTES), ORDERS, max_bytes=100)).endswith(
        "larger than 100 bytes; cut it to the asked time or raise max_bytes"
    )


def test_a_table_with_too_many_rows_is_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_MOST", 10)

    assert "more than 10 rows" in wrong(read(write(MINUTES), ORDERS))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert wrong(read(tmp_path / "pipe", ORDERS)) == f"{tmp_path / 'pipe'}: not a regular file"


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev/null"), Path("/")])
def test_devices_and_folders_are_refused(path: Path) -> None:
    advice = "; name a file in this folder" if path.is_dir() else ""
    assert wrong(read(path, ORDERS)) == f"{path}: not a regular file{advice}"


def test_a_link_to_a_file_is_followed(write: Write, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(write("time,orders\n2025-06-03T09:00Z,1\n"))

    assert values(read(tmp_path / "link.csv", ORDERS))[0] == 1


def test_links_that_lead_nowhere_are_errors(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")

    assert "dangling: No such file or directory" in wrong(read(tmp_path / "dangling", ORDERS))
    assert "circle: Too many levels of symbolic links" in wrong(read(tmp_path / "circle", ORDERS))
    assert "gone: No such file or directory" in wrong(read(tmp_path / "gone", ORDERS))


def test_a_bad_setting_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(UsageError, match="timezone is 'Europa/Berlin'; use an IANA name"):
        FilesCollector(path=Path("x"), timezone="Europa/Berlin")
    with pytest.raises(ChecklistError, match="use one of sum, count, mean"):
        collector(Plugin("files", {"path": "x", "resample": "avg"}))
    with pytest.raises(ChecklistError, match="use one of wide, long, pivot"):
        collector(Plugin("files", {"path": "x", "layout": "tall"}))
    with pytest.raises(ChecklistError, match="use one of s, ms, us, ns"):
        collector(Plugin("files", {"path": "x", "time_unit": "minutes"}))


# Where it is read from


def test_a_path_is_relative_to_the_checklist(write: Write) -> None:
    path = write("time,orders\n2025-06-03T09:00Z,1\n")

    made = collector(Plugin("files", {"path": path.name}, folder=path.parent))

    assert values(made.collect([ORDERS], WINDOW, STEP))[0] == 1


def test_a_dash_is_the_standard_input() -> None:
    stdin = io.BytesIO(b"time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,x\n")

    made = collector(Plugin("files", {"path": "-"}, folder=Path("/nowhere")), stdin=stdin)

    assert (
        wrong(made.collect([ORDERS], WINDOW, STEP))
        == "standard input:3: 'x' is not a number; leave it empty if nothing was measured"
    )


def test_the_standard_input_may_come_drop_by_drop() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin:
        thread = threading.Thread(
            target=drip, args=(writer, b"time,orders\n2025-06-03T09:00Z,1\n2025-06-03T09:05Z,2\n")
        )
        thread.start()
        collected = read(Path("-"), ORDERS, stdin=stdin)
        thread.join()

    assert same(values(collected), [1, 2, NAN, NAN])


def drip(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as pipe:
        for start in range(0, len(data), 7):
            pipe.write(data[start : start + 7])


def test_an_endless_standard_input_is_cut_off() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"0" * size

    assert wrong(read(Path("-"), ORDERS, stdin=Endless(), max_bytes=1 << 22)).startswith(
        "standard input: larger than"
    )


def test_the_standard_input_can_be_read_once() -> None:
    source = FilesCollector(path=Path("-"), stdin=io.BytesIO(b"time,orders\n2025-06-03T09:00Z,1\n"))

    first, second = (source.collect([ORDERS], WINDOW, STEP) for _ in range(2))

    assert values(first)[0] == 1
    assert wrong(second) == "standard input: is empty; it can be read once, by one source"


# Parquet


def parquet(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(path)
    return path


MOMENTS = pd.date_range(START, periods=4, freq="5min")


@pytest.mark.parametrize(
    ("times", "how"),
    [
        (MOMENTS, {}),
        (MOMENTS.tz_convert("America/New_York"), {}),
        (MOMENTS.tz_localize(None), {"timezone": "UTC"}),
        (MOMENTS.tz_convert("Europe/Berlin").tz_localize(None), {"timezone": "Europe/Berlin"}),
        (MOMENTS.strftime("%Y-%m-%dT%H:%MZ"), {}),
        (MOMENTS.as_unit("s").asi8, {"time_unit": "s"}),
    ],
)
def test_parquet_is_read_like_csv(tmp_path: Path, times: Any, how: dict[str, Any]) -> None:
    path = parquet(
        tmp_path / "kpis.parquet",
        pd.DataFrame({"time": times, "orders": [1, 2, None, 4], "sessions": [10, 20, 30, 40]}),
    )

    collected = read(path, ORDERS, RATIO, **how)

    assert same(values(collected), [1, 2, NAN, 4])
    assert values(collected, "conversion", role=DENOMINATOR) == [10, 20, 30, 40]


def test_long_parquet_with_categories_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "time": MOMENTS,
            "kpi": "orders",
            "value": [1, 2, 3, 4],
            "country": pd.Categorical(["DE", "DE", "FR", "FR"]),
        }
    )

    collected = read(
        parquet(tmp_path / "k.parquet", frame),
        Kpi("orders", query="orders", by=("country",)),
        layout=Layout.LONG,
    )

    assert same(values(collected, segment="country=FR"), [NAN, NAN, 3, 4])


@pytest.mark.parametrize(
    ("times", "orders", "said"),
    [
        (
            MOMENTS.tz_localize(None),
            [1, 2, 3, 4],
            "row 1: the time '2025-06-03 09:00:00' has no time zone",
        ),
        (MOMENTS.where(MOMENTS[2] != MOMENTS), [1, 2, 3, 4], "row 3: the time is empty"),
        (MOMENTS, ["1", "2", "x", "4"], "row 3: 'x' is not a number"),
    ],
)
def test_a_bad_value_in_parquet_is_an_error_with_its_row(
    tmp_path: Path, times: Any, orders: list[Any], said: str
) -> None:
    path = parquet(tmp_path / "kpis.parquet", pd.DataFrame({"time": times, "orders": orders}))

    assert wrong(read(path, ORDERS)).startswith(f"{path}:{said}")


@pytest.mark.slow
def test_parquet_that_unpacks_to_more_than_the_cap_is_refused(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "bomb.parquet",
        pd.DataFrame(
            {"time": "2025-06-03T09:00Z", "orders": np.random.default_rng(1).random(200_000)}
        ),
    )

    assert "larger than 100,000 bytes" in wrong(read(path, ORDERS, max_bytes=100_000))


@pytest.mark.slow
def test_parquet_that_claims_many_rows_in_few_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(
        tmp_path / "bomb.parquet",
        pd.DataFrame({"time": ["2025-06-03T09:00Z"] * 1_000_000, "orders": 0}),
    )
    monkeypatch.setattr(tables, "TYPED_ROWS_AT_MOST", 999_999)

    assert path.stat().st_size < 100_000
    assert "1,000,000 rows; at most 999,999 are read" in wrong(read(path, ORDERS))


@pytest.mark.parametrize("damage", [slice(4, 40), slice(-60, -20), slice(-8, -4)])
def test_damaged_parquet_is_an_error(tmp_path: Path, damage: slice) -> None:
    path = parquet(
        tmp_path / "kpis.parquet", pd.DataFrame({"time": MOMENTS, "orders": [1.0, 2, 3, 4]})
    )
    data = bytearray(path.read_bytes())
    data[damage] = b"\xff" * len(data[damage])
    path.write_bytes(data)

    assert wrong(read(path, ORDERS)).startswith(str(path))


def test_without_pyarrow_parquet_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(
        tmp_path / "kpis.parquet", pd.DataFrame({"time": MOMENTS, "orders": [1.0, 2, 3, 4]})
    )
    for module in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, module, None)

    assert "pip install 'release-anomaly[parquet]'" in wrong(read(path, ORDERS))


# Properties

SAMPLES = st.dictionaries(st.integers(0, 19), st.floats(-1e9, 1e9) | st.none(), min_size=1)


@pytest.mark.slow
@given(SAMPLES, st.randoms(use_true_random=False), st.sampled_from(list(Resample)))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
def test_both_layouts_and_any_order_give_the_same_panel(
    tmp_path: Path, samples: dict[int, float | None], random: Any, resample: Resample
) -> None:
    cells = [
        (f"2025-06-03T09:{minute:02}Z", "" if value is None else repr(value))
        for minute, value in samples.items()
    ]
    random.shuffle(cells)
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    wide.write_text("time,orders\n" + "".join(f"{time},{value}\n" for time, value in sorted(cells)))
    long.write_text(
        "time,kpi,value\n" + "".join(f"{time},orders,{value}\n" for time, value in cells)
    )

    left = read(wide, ORDERS, resample=resample)
    right = read(long, ORDERS, resample=resample, layout=Layout.LONG)

    assert not left.errors
    pd.testing.assert_frame_equal(left.panel, right.panel)


@pytest.mark.slow
@given(
    st.dictionaries(st.integers(0, 3), st.floats(allow_nan=False, allow_infinity=False), min_size=1)
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
def test_numbers_are_read_to_the_last_bit(tmp_path: Path, samples: dict[int, float]) -> None:
    path = tmp_path / "kpis.csv"
    path.write_text(
        "time,orders\n"
        + "".join(f"{MOMENTS[at].isoformat()},{value!r}\n" for at, value in samples.items())
    )

    found = values(read(path, ORDERS))

    assert {at: value for at, value in enumerate(found) if not np.isnan(value)} == samples


@pytest.mark.slow
@given(st.binary(max_size=200), st.sampled_from(list(Layout)))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=200,
)
def test_any_bytes_give_an_answer_or_a_collect_error(
    tmp_path: Path, data: bytes, layout: Layout
) -> None:
    path = tmp_path / "kpis.csv"
    for content in (data, b"time,kpi,value,orders\n" + data):
        path.write_bytes(content)

        collected = read(
            path, ORDERS, RATIO, layout=layout, timezone="UTC", time_unit="s", resample=Resample.SUM
        )

        assert all(isinstance(error, CollectError) for error in collected.errors.values())
        assert len(collected.panel) == 4
