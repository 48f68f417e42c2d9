"""A first checklist from a file or a table, which can be probed and judged at once."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest

import anomaly
from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.errors import UsageError
from anomaly.model import Direction, KpiKind
from anomaly.setup.frame_proposal import read

DAYS = 28
END = "2025-06-03"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def index(freq: str, days: int = DAYS, tz: str | None = "UTC") -> pd.DatetimeIndex:
    end = pd.Timestamp(END, tz=tz)
    return pd.date_range(end - pd.Timedelta(days=days), end, freq=freq, inclusive="left")


def shop(freq: str = "15min", days: int = DAYS, tz: str | None = "UTC") -> pd.DataFrame:
    at = index(freq, days, tz)
    rng = np.random.default_rng(1)
    requests = rng.poisson(400, len(at))
    return pd.DataFrame(
        {
            "requests": requests,
            "errors": rng.binomial(requests, 0.01),
            "latency_ms": rng.normal(120.0, 5.0, len(at)).round(2),
            "conversion": rng.normal(0.1, 0.005, len(at)).round(4),
            "revenue": rng.normal(900.5, 30.0, len(at)).round(2),
            "balance": rng.normal(0.0, 30.0, len(at)).round(2),
            "id": np.arange(len(at)),
        },
        index=at.rename("time"),
    )


def events(count: int = 20_000) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    at = pd.Timestamp(END) - pd.to_timedelta(rng.uniform(0, DAYS * 86_400, count).round(), unit="s")
    return pd.DataFrame(
        {
            "order_id": np.arange(count),
            "created_at": at.sort_values(),
            "country": rng.choice(["DE", "FR", "US"], count),
            "amount": rng.gamma(2.0, 20.0, count).round(2),
        }
    )


def proposed(capsys: pytest.CaptureFixture[str], *line: str) -> Checklist:
    """The checklist of `anomaly init`, after the command that it names has passed."""
    assert run(["init", *line]) == 0
    said = capsys.readouterr().out
    probe = said.rpartition("then run: anomaly ")[2].split()
    code = run(probe)
    shown = capsys.readouterr()
    assert code == 0, shown.out + shown.err
    return load("checklist.yaml")


def verdict(capsys: pytest.CaptureFixture[str], hours: int) -> str:
    released = pd.Timestamp(END, tz="UTC") - pd.Timedelta(hours=hours)
    run(
        [
            "check",
            "checklist.yaml",
            "--released-at",
            released.isoformat(),
            "--until",
            f"{END}T00:00Z",
        ]
    )
    return capsys.readouterr().out.split()[0]


@pytest.mark.slow
def test_the_kpis_of_a_file_are_told_by_names_and_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop().to_csv("shop.csv")

    made = proposed(capsys, "--file", "shop.csv")
    kpis = {kpi.name: kpi for kpi in made.kpis}

    assert list(kpis) == ["requests", "errors", "latency ms", "conversion", "revenue", "balance"]
    assert (kpis["errors"].denominator, kpis["errors"].direction) == ("requests", Direction.UP)
    assert {name: kpi.kind for name, kpi in kpis.items() if kpi.kind} == {
        "requests": KpiKind.COUNTS,
        "latency ms": KpiKind.LATENCY,
        "conversion": KpiKind.SHARE,
        "balance": KpiKind.GAUGE,
    }
    assert kpis["latency ms"].direction is Direction.UP
    assert kpis["revenue"].direction is Direction.DOWN
    assert kpis["balance"].direction is Direction.EITHER
    windows = made.windows
    assert (windows.history.days, windows.step.seconds, windows.watch.seconds) == (28, 900, 21600)
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert "whole numbers: counts; less is worse, by its name" in text
    assert "its name does not tell which way is worse: say up or down" in text
    assert verdict(capsys, 6) == "PASS"


@pytest.mark.slow
def test_labels_split_a_file_of_samples(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [
        shop("1h")[["requests"]].assign(country=country).reset_index() for country in ("DE", "FR")
    ]
    pd.concat(parts).to_csv("shop.csv", index=False)

    made = proposed(capsys, "--file", "shop.csv")

    assert [kpi.by for kpi in made.kpis] == [("country",)]


@pytest.mark.slow
def test_a_file_with_a_row_per_kpi_is_long(capsys: pytest.CaptureFixture[str]) -> None:
    wide = shop("1h")[["requests", "errors"]].reset_index()
    wide.melt("time", var_name="metric", value_name="value").to_csv("shop.csv", index=False)

    made = proposed(capsys, "--file", "shop.csv")

    assert {kpi.name for kpi in made.kpis} == {"requests", "errors"}
    assert made.sources["data"].settings["kpi_column"] == "metric"


@pytest.mark.slow
@pytest.mark.parametrize(("freq", "days", "step"), [("1D", 200, 1), ("7D", 900, 7)])
def test_local_days_and_weeks_are_read_in_the_zone_that_is_said(
    capsys: pytest.CaptureFixture[str], freq: str, days: int, step: int
) -> None:
    frame = shop(freq, days, tz=None)[["revenue"]]
    frame.index = pd.DatetimeIndex(frame.index).strftime("%Y-%m-%d").rename("date")
    frame.to_csv("shop.csv")

    made = proposed(capsys, "--file", "shop.csv")

    assert made.windows.step.days == step
    assert made.sources["data"].settings["time_column"] == "date"
    assert "have no zone and are read in UTC" in Path("checklist.yaml").read_text(encoding="utf-8")


def german(days: int = 120) -> pd.DataFrame:
    """Daily rows as a German program writes them."""
    frame = shop("1D", days, tz=None)
    revenue = frame["revenue"].map(lambda value: f"{value * 10:,.2f} €")
    return pd.DataFrame(
        {
            "Datum": pd.DatetimeIndex(frame.index).strftime("%d.%m.%Y"),
            "Umsatz": revenue.str.translate(str.maketrans(",.", ".,")).to_numpy(),
            "Bestellungen": frame["requests"].to_numpy(),
        }
    )


@pytest.mark.slow
def test_an_export_with_semicolons_decimal_commas_and_local_dates_is_proposed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    german().to_csv("export.csv", sep=";", index=False, encoding="cp1252")

    made = proposed(capsys, "--file", "export.csv")

    assert [(kpi.name, kpi.direction) for kpi in made.kpis] == [
        ("Umsatz", Direction.DOWN),
        ("Bestellungen", Direction.DOWN),
    ]
    assert made.windows.step.days == 1


@pytest.mark.slow
def test_kpis_in_rows_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    frame = german().set_index("Datum")[["Bestellungen"]].T
    frame.rename_axis("Kennzahl").to_csv("pivot.csv", sep=";")

    made = proposed(capsys, "--file", "pivot.csv")

    assert [kpi.name for kpi in made.kpis] == ["Bestellungen"]
    assert made.sources["data"].settings["layout"] == "pivot"


@pytest.mark.slow
def test_a_spreadsheet_is_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    frame = shop("1D", 120, tz=None)[["revenue", "requests"]].rename_axis("Date").reset_index()
    frame.to_excel("export.xlsx", index=False)

    made = proposed(capsys, "--file", "export.xlsx")

    assert [kpi.name for kpi in made.kpis] == ["revenue", "requests"]


@pytest.mark.slow
def test_numbers_since_1970_have_their_unit(capsys: pytest.CaptureFixture[str]) -> None:
    frame = shop("1h")[["revenue"]].reset_index()
    frame["time"] = frame["time"].map(lambda at: int(at.timestamp()) * 1000)
    frame.to_csv("shop.csv", index=False)

    made = proposed(capsys, "--file", "shop.csv")

    assert made.sources["data"].settings["time_unit"] == "ms"


@pytest.mark.slow
def test_a_table_of_events_is_counted_and_summed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        events().assign(created_at=lambda each: each["created_at"].astype(str)).to_sql(
            "orders", database, index=False
        )

    made = proposed(capsys, "--sql", "sqlite:///shop.db", "--table", "orders")

    assert [kpi.name for kpi in made.kpis] == ["rows", "amount"]
    assert made.windows.step.seconds == 3600
    assert made.sources["data"].settings["resample"] == "sum"
    assert verdict(capsys, 26) == "PASS"


@pytest.mark.slow
def test_a_file_of_events_is_counted_and_summed(capsys: pytest.CaptureFixture[str]) -> None:
    events().to_csv("orders.csv", index=False)

    made = proposed(capsys, "--file", "orders.csv")

    assert [(kpi.name, kpi.source) for kpi in made.kpis] == [
        ("rows", "rows"),
        ("amount", "amounts"),
    ]
    assert verdict(capsys, 26) == "PASS"


@pytest.mark.slow
def test_a_table_of_postgresql_is_proposed(
    capsys: pytest.CaptureFixture[str], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            'CREATE TABLE "Order Items" (created_at timestamptz, amount numeric, country text)'
        )
        rows = events()[["created_at", "amount", "country"]]
        rows["created_at"] = rows["created_at"].dt.tz_localize("UTC")
        connection.cursor().executemany(
            'INSERT INTO "Order Items" VALUES (%s, %s, %s)', rows.to_numpy().tolist()
        )
    monkeypatch.setenv("DATABASE_URL", database)

    made = proposed(capsys, "--sql", database, "--table", "Order Items")

    assert [kpi.name for kpi in made.kpis] == ["rows", "amount"]


def test_a_frame_is_proposed_and_its_text_is_a_checklist(tmp_path: Path) -> None:
    frame = shop("1h").tz_convert("Europe/Berlin")

    made = anomaly.propose(frame)

    assert [each.kpi.name for each in made.kpis][:2] == ["requests", "errors"]
    assert made.timezone == "Europe/Berlin"
    path = tmp_path / "checklist.yaml"
    path.write_text(made.checklist(), encoding="utf-8")
    assert [kpi.name for kpi in load(path).kpis] == [each.kpi.name for each in made.kpis]


def test_a_few_weeks_of_days_keep_history_enough_to_be_judged() -> None:
    frame = pd.DataFrame({"orders": range(24)}, pd.date_range("2025-05-01", periods=24, tz="UTC"))

    assert anomaly.propose(frame).windows.history == timedelta(days=17)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"a": [1, 2, 3, 4]}), "no column is a time; the columns are a"),
        (pd.DataFrame({"time": []}), "0 rows are too few"),
        (pd.DataFrame({"time": ["x"] * 5, "n": range(5)}), "no column is a time"),
    ],
)
def test_what_no_kpi_can_be_read_from_is_said(table: pd.DataFrame, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(table, "shop.csv")


def test_a_frame_without_numbers_is_refused() -> None:
    frame = pd.DataFrame({"name": ["a"] * 10}, index=index("1h")[:10])

    with pytest.raises(UsageError, match="no column holds numbers"):
        anomaly.propose(frame)
    with pytest.raises(UsageError, match="give a DataFrame"):
        anomaly.propose(frame["name"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--sql", "sqlite:///a.db"], "--sql URL and --table NAME belong together"),
        (["--table", "orders"], "--table NAME belongs to a source of type sql, influxdb, elastic"),
        (["--file", "a.csv", "--table", "t"], "--table NAME belongs to a source of type"),
        (["--file", "a.csv", "--prometheus", "http://h"], "use one of"),
        (["--file", "nothing.csv"], "No such file"),
        (["--sql", "sqlite:///nothing.db", "--table", "t"], "no such file"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    line: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["init", *line]) in {2, 4}
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
