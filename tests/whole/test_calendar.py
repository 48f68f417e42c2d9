"""Releases judged by days, weeks and months: each row on its side, and under its own date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.cli.explanation import explanation
from anomaly.collectors import snapshot
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.collectors.sql import SqlCollector
from anomaly.errors import ChecklistError
from anomaly.model import Kpi, Release, Verdict, Window
from anomaly.pipeline import collect
from anomaly.reporting import archive, words
from anomaly.reporting.pages.release import page
from anomaly.reporting.points_file import csv_bytes
from anomaly.steps import DAY, CalendarStep
from anomaly.watch.look import next_look
from tests.support.scripted import Answer, Request, http, matrix, scripted
from tests.support.simulations import noise, only

BERLIN = ZoneInfo("Europe/Berlin")


def local(*parts: int, zone: str = "Europe/Berlin") -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))  # type: ignore[arg-type, misc]


def fallen(stamps: pd.DatetimeIndex, release: datetime, left: float = 0.6) -> pd.Series:
    """About 1,000 a step, from the release on only a share of that `left`."""
    values = 1000 * (1 + 0.02 * noise(3, len(stamps)))
    values = values * np.where(stamps >= pd.Timestamp(release), left, 1)
    return pd.Series(values, stamps, name="orders")


def days(first: str, count: int, zone: str = "Europe/Berlin") -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq="D", tz=zone)


CHANGES = [
    pytest.param("Europe/Berlin", date(2025, 3, 30), id="spring"),
    pytest.param("Europe/Berlin", date(2025, 10, 26), id="autumn"),
    pytest.param("America/New_York", date(2025, 3, 9), id="spring in New York"),
    pytest.param("Australia/Lord_Howe", date(2025, 4, 6), id="autumn on Lord Howe Island"),
    pytest.param("UTC", date(2025, 6, 3), id="UTC"),
]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_a_release_at_the_midnight_of_the_hour_change_has_that_day_after_it(
    zone: str, day: date
) -> None:
    first = day - timedelta(days=90)
    release = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    series = fallen(days(str(first), 97, zone).tz_convert("UTC"), release)

    report = anomaly.check(series, released_at=release, direction="down", timezone=zone)

    finding = only(report)
    assert (finding.verdict, finding.steps, finding.steps_planned) == (Verdict.REGRESSED, 7, 7)
    assert finding.evidence.history_steps == 90
    assert finding.onset == release
    assert finding.onset is not None
    assert finding.onset.date() == day
    dates = [moment.date() for moment in report.points["time"]]
    assert dates == [day + timedelta(days=i) for i in range(7)]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_a_release_within_a_day_leaves_out_that_day_alone(zone: str, day: date) -> None:
    release = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    series = fallen(days(str(day - timedelta(days=90)), 97, zone).tz_convert("UTC"), release)

    report = anomaly.check(series, released_at=release, direction="down", timezone=zone)

    assert only(report).evidence.history_steps == 90
    dates = [moment.date() for moment in report.points["time"]]
    assert dates == [day + timedelta(days=i) for i in range(1, 7)]
    assert report.around is not None
    assert day in [moment.date() for moment in report.around["time"]]


def test_the_date_is_the_local_one_wherever_it_is_shown() -> None:
    release = local(2025, 10, 26)
    series = fallen(days("2025-07-28", 97), release)
    report = anomaly.check(series, released_at=release, direction="down")
    finding = only(report)

    data = report.to_dict()
    again = archive.unpack(archive.pack(report))

    assert data["windows"]["timezone"] == "Europe/Berlin"
    assert data["findings"][0]["onset"] == "2025-10-26T00:00:00+02:00"
    assert data["findings"][0]["flagged"]["first"] == "2025-10-26T00:00:00+02:00"
    assert "since 2025-10-26" in finding.reason
    assert words.onset_words(finding, report.release) == "2025-10-26"
    assert "observed 2025-10-26 to 2025-11-01" in words.judged_words(report)
    rows = csv_bytes(report.points).decode().splitlines()[1:]
    assert [row.split(",")[2].strip('"')[:10] for row in rows] == [
        str(date(2025, 10, 26) + timedelta(days=i)) for i in range(7)
    ]
    explained = explanation(finding, report)
    assert "baseline  2025-07-28 to 2025-10-25 (90d, step 1d)" in explained
    assert "since     2025-10-26, exact to the step" in explained
    assert "\n  2025-11-01 " in explained
    assert 'data-timezone="Europe/Berlin"' in page(report)
    assert "2025-10-25 22:00</time>, exact" not in page(report)
    assert again.step == report.step
    assert only(again).onset == finding.onset
    assert words.headline(again) == words.headline(report)
    assert again.to_dict() == data


@pytest.mark.parametrize("offsets", ["mixed", "index", "argument"])
def test_the_same_days_are_the_same_however_they_are_stamped(offsets: str) -> None:
    release = local(2025, 3, 30)
    series = fallen(days("2025-01-01", 95), release)
    timezone = "UTC" if offsets == "index" else "Europe/Berlin"
    if offsets == "mixed":
        texts = [moment.isoformat() for moment in series.index]  # +01:00, then +02:00
        series.index = pd.to_datetime(texts, utc=True)
    elif offsets == "argument":
        series = series.tz_convert("UTC")

    report = anomaly.check(series, released_at=release, direction="down", timezone=timezone)

    assert only(report).steps == 7
    assert only(report).onset == release
    assert report.to_dict()["windows"]["timezone"] == "Europe/Berlin"


def test_days_of_utc_stay_days_of_utc_for_users_elsewhere() -> None:
    release = datetime(2025, 3, 30, tzinfo=UTC)
    series = fallen(days("2025-01-01", 95, "UTC"), release)

    report = anomaly.check(
        series, released_at=release, direction="down", timezone="America/New_York"
    )

    assert only(report).steps == 7
    assert report.points["time"].iloc[0].date() == date(2025, 3, 30)


def test_rows_at_six_in_the_morning_stay_one_a_day() -> None:
    release = local(2025, 10, 26, 6)
    stamps = pd.DatetimeIndex(
        [local(each.year, each.month, each.day, 6) for each in days("2025-08-01", 100)]
    )
    series = fallen(stamps.tz_convert("UTC"), release)

    report = anomaly.check(series, released_at=release, direction="down", timezone="Europe/Berlin")

    assert len(report.points) == 100 - 86
    assert only(report).onset == release


@pytest.mark.parametrize(
    ("frequency", "count", "first", "release"),
    [
        ("W-MON", 80, "2024-01-01", local(2025, 3, 31)),
        ("W-WED", 80, "2024-01-03", local(2025, 4, 2)),
        ("MS", 40, "2022-01-01", local(2025, 1, 1)),
    ],
)
def test_weeks_and_months_run_end_to_end(
    frequency: str, count: int, first: str, release: datetime
) -> None:
    stamps = pd.date_range(first, periods=count, freq=frequency, tz="Europe/Berlin")
    after = int((stamps >= pd.Timestamp(release)).sum())
    series = fallen(stamps.tz_convert("UTC"), release)

    report = anomaly.check(series, released_at=release, direction="down", timezone="Europe/Berlin")

    finding = only(report)
    assert (finding.verdict, finding.steps, finding.onset) == (Verdict.REGRESSED, after, release)
    again = archive.unpack(archive.pack(report))
    assert again.to_dict() == report.to_dict()


def test_a_watch_of_seven_days_has_seven_days() -> None:
    release = local(2025, 10, 24)
    series = fallen(days("2025-07-26", 120), release)

    report = anomaly.check(series, released_at=release, watch=timedelta(days=7), direction="down")

    assert report.final
    assert only(report).steps == 7


def test_a_special_day_leaves_out_exactly_its_own_day() -> None:
    release = local(2025, 10, 20)
    series = fallen(days("2025-07-22", 100), release)

    report = anomaly.check(
        series, released_at=release, direction="down", special_days=[date(2025, 10, 26)]
    )

    first = series.index[90:]
    dates = [moment.date() for moment in report.points["time"]]
    assert dates == [each.date() for each in first if each.date() != date(2025, 10, 26)]


def test_a_special_day_does_not_leave_out_its_week() -> None:
    stamps = pd.date_range("2024-01-01", periods=80, freq="W-MON", tz="Europe/Berlin")
    release = local(2025, 3, 31)

    report = anomaly.check(
        fallen(stamps, release), released_at=release, special_days=[date(2025, 4, 7)]
    )

    assert only(report).steps == 15


def test_a_span_to_leave_out_takes_the_days_that_it_touches() -> None:
    release = local(2025, 10, 20)
    series = fallen(days("2025-07-22", 100), release)
    night = (local(2025, 10, 26, 23, 30), local(2025, 10, 26, 23, 45))

    report = anomaly.check(series, released_at=release, direction="down", leave_out=[night])

    dates = [moment.date() for moment in report.points["time"]]
    assert date(2025, 10, 26) not in dates
    assert len(dates) == 9


# A checklist over a file

CHECKLIST = """service: shop
timezone: Europe/Berlin
sources: {{f: {{type: files, path: orders.csv, timezone: Europe/Berlin{more}}}}}
windows: {{history: {history}, watch: {watch}, step: {step}, warmup: 0s, lag: 0s}}
kpis: [{{name: orders, query: orders, direction: down}}]
"""


def checklist_of(
    tmp_path: Path, series: pd.Series, *, step: str, history: str, watch: str, more: str = ""
) -> anomaly.Checklist:
    stamps = pd.DatetimeIndex(series.index).tz_convert("Europe/Berlin").tz_localize(None)
    frame = pd.DataFrame({"time": stamps, "orders": series.to_numpy()})
    frame.to_csv(tmp_path / "orders.csv", index=False)
    path = tmp_path / "checklist.yaml"
    path.write_text(CHECKLIST.format(step=step, history=history, watch=watch, more=more))
    return anomaly.load_checklist(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "frequency", "first", "count", "release", "watch", "steps"),
    [
        ("1d", "D", "2025-07-01", 130, local(2025, 10, 26), "7d", 7),
        ("1d", "D", "2025-01-01", 130, local(2025, 3, 30), "7d", 7),
        ("1w", "W-MON", "2024-01-01", 90, local(2025, 3, 31), "56d", 8),
        ("1M", "MS", "2021-01-01", 60, local(2025, 3, 1), "92d", 3),
    ],
)
def test_a_checklist_of_days_weeks_or_months_judges_a_file(
    tmp_path: Path,
    step: str,
    frequency: str,
    first: str,
    count: int,
    release: datetime,
    watch: str,
    steps: int,
) -> None:
    stamps = pd.date_range(first, periods=count, freq=frequency, tz="Europe/Berlin")
    history = int((stamps < pd.Timestamp(release)).sum())
    length = pd.Timestamp(release).tz_localize(None) - stamps[0].tz_localize(None)
    checklist = checklist_of(
        tmp_path, fallen(stamps, release), step=step, history=f"{length.days}d", watch=watch
    )
    now = local(2026, 6, 1)

    collected = collect(checklist, Release(release), now=now)
    report = anomaly.check_release(checklist, Release(release), now=now, collected=collected)

    finding = only(report)
    assert (finding.verdict, finding.steps, finding.steps_planned) == (
        Verdict.REGRESSED,
        steps,
        steps,
    )
    assert finding.evidence.history_steps == history
    assert finding.onset == release
    assert not finding.notes or "short history" in finding.notes[0]
    snapshot.save(collected, tmp_path / "saved.json.gz")
    again = snapshot.load(tmp_path / "saved.json.gz")
    assert again.panel.equals(collected.panel)
    judged_again = anomaly.check_release(checklist, Release(release), now=now, collected=again)
    assert judged_again.to_dict() == report.to_dict()


def test_events_are_summed_over_their_local_day(tmp_path: Path) -> None:
    hours = pd.date_range("2025-10-20", "2025-10-30", freq="h", tz="Europe/Berlin")
    # the hour that is there twice can't be written as local time
    texts = [moment.isoformat() for moment in hours[:-1]]
    frame = pd.DataFrame({"time": texts, "orders": 1.0})
    checklist = checklist_of(
        tmp_path,
        pd.Series(1.0, hours[:1]),
        step="1d",
        history="6d",
        watch="4d",
        more=", resample: sum",
    )
    frame.to_csv(tmp_path / "orders.csv", index=False)

    panel = collect(checklist, Release(local(2025, 10, 26)), now=local(2025, 11, 5)).panel

    assert panel.iloc[:, 0].tolist() == [24.0] * 6 + [25.0] + [24.0] * 3


def test_daily_rows_of_other_days_count_for_the_day_that_they_start_in(tmp_path: Path) -> None:
    checklist = checklist_of(
        tmp_path, pd.Series(1.0, days("2025-01-01", 3)), step="1d", history="20d", watch="7d"
    )
    stamps = [f"{day:%Y-%m-%dT00:00Z}" for day in days("2025-03-01", 40, "UTC")]
    frame = pd.DataFrame({"time": stamps, "orders": np.arange(40.0)})
    frame.to_csv(tmp_path / "orders.csv", index=False)

    collected = collect(checklist, Release(local(2025, 3, 30)), now=local(2025, 5, 1))

    assert collected.panel.iloc[:, 0].tolist() == list(range(9, 36))
    assert "not stamped by the starts of the steps" in collected.provenance["orders"].notes[0]


@pytest.mark.parametrize("step", ["1y", "2M", "2d", "1mo", "36h"])
def test_a_step_that_no_calendar_has_is_refused_with_those_that_there_are(
    tmp_path: Path, step: str
) -> None:
    series = pd.Series(1.0, days("2025-01-01", 3))

    with pytest.raises(ChecklistError, match=r"1d, 1w \(from Monday\) or 1M"):
        checklist_of(tmp_path, series, step=step, history="90d", watch="90d")


def test_the_next_look_is_after_the_local_midnight(tmp_path: Path) -> None:
    checklist = checklist_of(
        tmp_path, pd.Series(1.0, days("2025-01-01", 3)), step="1d", history="90d", watch="7d"
    )

    assert next_look(checklist, local(2025, 10, 26, 12)) == local(2025, 10, 27)


@pytest.mark.slow
def test_days_are_replayed_as_days() -> None:
    series = fallen(days("2025-01-01", 200), local(2030, 1, 1))

    result = anomaly.backtest(series, watch=timedelta(days=7), placebos=5)

    assert len(result.placebos) == 5
    assert all(each.astimezone(BERLIN).hour == 0 for each in result.placebos)
    assert result.series[0].unanswered == 0


def test_what_days_should_be_is_foreseen_for_days() -> None:
    series = fallen(days("2025-07-01", 120), local(2030, 1, 1))

    foreseen = anomaly.fit(series).predict(Window(local(2025, 10, 29), local(2025, 11, 3)))

    assert [each.astimezone(BERLIN).date().day for each in foreseen["time"]] == [29, 30, 31, 1, 2]


# A database, and Prometheus


def test_a_database_is_asked_for_local_days(tmp_path: Path) -> None:
    hours = pd.date_range("2025-10-24", "2025-10-29", freq="h", tz="Europe/Berlin")[:-1]
    local_days = hours.normalize().tz_convert("UTC").strftime("%Y-%m-%d %H:%M")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (day TEXT)")
        shop.executemany("INSERT INTO orders VALUES (?)", [(day,) for day in local_days])
    query = "SELECT day || 'Z' AS time, count(*) AS value FROM orders GROUP BY 1"

    collected = SqlCollector(path=tmp_path / "shop.db").collect(
        [Kpi("orders", query=query)],
        Window(local(2025, 10, 24), local(2025, 10, 29)),
        CalendarStep(DAY, "Europe/Berlin"),
    )

    assert not collected.errors
    assert collected.panel.iloc[:, 0].tolist() == [24.0, 24.0, 25.0, 24.0, 24.0]
    assert collected.provenance["orders"].notes == ()


@pytest.mark.usefixtures("loopback")
def test_prometheus_is_asked_for_each_local_day_by_its_own_length() -> None:
    def answer(request: Request) -> Answer:
        start, end, step = (float(request.asked[name]) for name in ("start", "end", "step"))
        points = [
            (start + i * step, str(step / 3600)) for i in range(int((end - start) // step) + 1)
        ]
        return http(matrix([({}, points)]))

    window = Window(local(2025, 10, 24), local(2025, 10, 29))
    with scripted(answer) as script:
        collected = PrometheusCollector(url=script.url).collect(
            [Kpi("orders", query="sum(increase(orders_total[$step]))")],
            window,
            CalendarStep(DAY, "Europe/Berlin"),
        )

    assert not collected.errors
    assert collected.panel.iloc[:, 0].tolist() == [24.0, 24.0, 25.0, 24.0, 24.0]
    asked = [
        query for each in script.requests if "unless" not in (query := each.asked["query"])
    ]  # and not of births
    lengths = ("1d", "1d1h", "1d")  # asked for side by side
    assert sorted(asked) == sorted(f"sum(increase(orders_total[{each}]))" for each in lengths)
    assert collected.provenance["orders"].query == "sum(increase(orders_total[1d]))"
    assert collected.provenance["orders"].notes == ()
