"""Each path of the page "Your own service in five minutes" leads to a right first answer, and the
page shows what was printed on it.

`ANOMALY_GOLDEN=rewrite pytest -k golden` (`make golden`) writes the transcripts anew.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import time_machine

from anomaly.cli.ending import run
from tests.conftest import StartServer
from tests.support.places import ROOT
from tests.support.servers import Samples

PAGE = ROOT / "docs" / "own_service.md"
NOW = datetime(2025, 6, 3, 15, tzinfo=UTC)
RELEASED = "2025-06-03T10:00Z"
URL = "http://prometheus:9090"
SHOWN_LINES = 12  # of one command
Follow = Callable[..., tuple[str, list[int]]]


@pytest.fixture
def follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Follow:
    """Runs the commands of a path: their transcript and exit codes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def commands(*lines: str, url: str = URL) -> tuple[str, list[int]]:
        told, codes = [], []
        for line in lines:
            with time_machine.travel(NOW, tick=False):
                codes.append(int(run(line.replace(URL, url).split())))
            shown = capsys.readouterr()
            assert not shown.err
            out = shown.out.replace(url, URL).splitlines()
            told.append("\n".join([f"$ anomaly {line}", *out[:SHOWN_LINES]]))
            if out[SHOWN_LINES:]:
                told[-1] += "\n…"
        return "\n\n".join(told) + "\n", codes

    return commands


def assert_shown(path: str, transcript: str) -> None:
    """The page shows the transcript; it is written there first if that is asked for."""
    block = re.compile(rf"(<!-- transcript: {path} -->\n```text\n)(.*?)(```\n)", re.DOTALL)
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        text = block.sub(lambda match: match[1] + transcript + match[3], text)
        PAGE.write_text(text, encoding="utf-8")
    found = block.search(text)
    assert found
    assert found[2] == transcript


def counters() -> Samples:
    """14 days of requests by the minute, a daily wave; since the release five times the errors."""
    rng = np.random.default_rng(5)
    minutes = np.arange(14 * 1440)
    stamps = NOW.timestamp() - 60.0 * (len(minutes) - 1 - minutes)
    rate = 300 * (1 + 0.3 * np.sin(2 * np.pi * minutes / 1440))
    failing = np.where(stamps >= datetime.fromisoformat(RELEASED).timestamp(), 0.05, 0.01)
    errors = rng.binomial(rng.poisson(rate), failing)
    counts = {"200": rng.poisson(rate), "500": errors}
    return {
        f'http_requests_total{{job="shop",code="{code}",pod="shop-1"}}': [
            *zip(stamps.tolist(), each.cumsum().astype(float).tolist(), strict=True)
        ]
        for code, each in counts.items()
    }


@pytest.mark.slow
def test_golden_path_from_a_prometheus(start_prometheus: StartServer, follow: Follow) -> None:
    server = start_prometheus(counters())

    transcript, codes = follow(
        f"init --prometheus {URL}",
        "validate --probe checklist.yaml",
        "check checklist.yaml --released-at -5h",
        url=server.url,
    )

    assert codes == [0, 0, 1]
    assert "FAIL  errors +" in transcript
    assert_shown("prometheus", transcript)


def days(count: int = 150) -> pd.DataFrame:
    """Daily numbers, less at weekends; half the orders since a release, a week before the end."""
    rng = np.random.default_rng(6)
    at = pd.date_range(end="2025-06-01", periods=count, freq="D")
    usual = np.where(at.day_of_week >= 5, 600, 1000) * np.where(
        at >= pd.Timestamp("2025-05-26"), 0.5, 1.0
    )
    orders = rng.poisson(usual)
    return pd.DataFrame(
        {
            "Datum": at,
            "Umsatz": (orders * rng.normal(40, 1, count)).round(2),
            "Bestellungen": orders,
        }
    )


@pytest.mark.slow
def test_golden_path_from_an_export(follow: Follow, tmp_path: Path) -> None:
    frame = days()
    frame["Datum"] = frame["Datum"].dt.strftime("%d.%m.%Y")
    written = frame["Umsatz"].map(lambda value: f"{value:,.2f} €")
    frame["Umsatz"] = written.str.translate(str.maketrans(",.", ".,"))
    frame.to_csv(tmp_path / "export.csv", sep=";", index=False)

    transcript, codes = follow(
        "init --file export.csv",
        "validate --probe checklist.yaml --until 2025-06-02",
        "check checklist.yaml --released-at 2025-05-26 --until 2025-06-02",
    )

    assert codes == [0, 0, 1]
    assert "FAIL  Bestellungen -" in transcript or "FAIL  Umsatz -" in transcript
    assert_shown("csv", transcript)


@pytest.mark.slow
def test_golden_path_from_a_table_of_orders(follow: Follow, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    minutes = np.arange(28 * 1440)
    rate = 1.5 * (1 + 0.5 * np.sin(2 * np.pi * minutes / 1440))
    after = minutes >= len(minutes) - 5 * 60
    counts = rng.poisson(np.where(after, 0.5 * rate, rate))
    at = pd.Timestamp(NOW).tz_localize(None) - pd.to_timedelta(
        np.repeat(len(minutes) - minutes, counts), unit="min"
    )
    orders = pd.DataFrame(
        {"order_id": range(len(at)), "created_at": at, "amount": rng.gamma(4, 10, len(at)).round(2)}
    )
    with sqlite3.connect(tmp_path / "shop.db") as database:
        orders.assign(created_at=orders["created_at"].astype(str)).to_sql(
            "orders", database, index=False
        )

    transcript, codes = follow(
        "init --sql sqlite:///shop.db --table orders",
        "validate --probe checklist.yaml",
        "check checklist.yaml --released-at -5h",
    )

    assert codes == [0, 0, 1]
    assert "FAIL  " in transcript
    assert_shown("orders", transcript)


@pytest.mark.slow
def test_golden_path_from_a_spreadsheet(follow: Follow, tmp_path: Path) -> None:
    frame = days()
    rng = np.random.default_rng(8)
    frame["Bestellungen"] = rng.poisson(np.where(frame["Datum"].dt.day_of_week >= 5, 600, 1000))
    frame[["Datum", "Bestellungen"]].to_excel(tmp_path / "orders.xlsx", index=False)

    transcript, codes = follow(
        "init --file orders.xlsx",
        "validate --probe checklist.yaml --until 2025-06-02",
        "check checklist.yaml --released-at 2025-05-26 --until 2025-06-02",
    )

    assert codes == [0, 0, 0]
    assert "PASS  1 KPI" in transcript
    assert_shown("spreadsheet", transcript)
