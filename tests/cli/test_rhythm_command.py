"""`anomaly rhythm` shows the plan to people, to programs, and to cron."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from anomaly.model import Window
from anomaly.timing.schedule import looks
from tests.support import servers
from tests.timing.test_schedule import DAILY, T

CHECKLIST = """\
service: shop
timezone: Europe/Berlin
sources: {shop: {type: files, path: shop.csv}}
kpis: [{name: orders, query: orders}]
"""
RHYTHM = "rhythm: {usual: 1h, peak: 5m, climb: 1d, fall: 6h}\n"
AT = "--release-at=2025-06-03T10:00Z"


@pytest.fixture
def checklist(tmp_path: Path) -> Path:
    path = tmp_path / "checklist.yaml"
    path.write_text(CHECKLIST + RHYTHM)
    return path


def shown(checklist: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["rhythm", str(checklist), *options]) == ExitCode.PASS
    return capsys.readouterr().out


def complaint(checklist: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["rhythm", str(checklist), *options]) == ExitCode.USAGE
    return capsys.readouterr().err


def fired(crontab: str, year: int) -> list[datetime]:
    """When lines that list minutes, hours, a day and a month fire in this year of UTC."""
    out = []
    for line in crontab.splitlines():
        if line[0].isdigit():
            minutes, hours, day, month, weekdays, _ = line.split(" ", 5)
            assert weekdays == "*"
            pairs = product(hours.split(","), minutes.split(","))
            out += [
                datetime(year, int(month), int(day), int(hour), int(minute), tzinfo=UTC)
                for hour, minute in pairs
            ]
    return sorted(out)


def test_the_table_counts_every_look_once_in_the_zone_of_the_checklist(
    checklist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = shown(checklist, capsys, AT, "--release-at=2025-06-02T21:10Z")
    counts = [int(line.split()[1]) for line in table.splitlines() if line[2:3] == ":"]
    releases = [line for line in table.splitlines() if "release" in line and "◀" in line]
    window = Window(T - timedelta(hours=36, minutes=50), T + timedelta(hours=6))
    assert sum(counts) == len(looks(DAILY, [T, datetime(2025, 6, 2, 21, 10, tzinfo=UTC)], window))
    assert [line.split()[0] for line in releases] == ["22:00", "12:00"]
    assert [line.rpartition(" ")[2] for line in releases] == ["23:10", "12:00"]
    assert max(map(len, table.splitlines())) <= 80


def test_json_has_every_look_in_utc(checklist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(
        shown(
            checklist,
            capsys,
            AT,
            "--from=2025-06-03T09:00+02:00",
            "--to=2025-06-03T12:00Z",
            "--output=json",
        )
    )
    window = Window(T - timedelta(hours=3), T + timedelta(hours=2))
    assert [datetime.fromisoformat(each) for each in told["looks"]] == looks(DAILY, [T], window)
    assert told["from"], told["to"] == ("2025-06-03T07:00:00Z", "2025-06-03T12:00:00Z")
    assert told["rhythm"] == {"usual": "1h", "peak": "5m", "climb": "1d", "fall": "6h"}


def test_the_lines_of_cron_fire_at_every_look_to_the_minute(
    checklist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crontab = shown(checklist, capsys, AT, "--output=cron", "--command=npm test")
    expected = [
        each.replace(second=0)
        for each in looks(DAILY, [T], Window(T - timedelta(days=1), T + timedelta(hours=6)))
    ]
    assert fired(crontab, 2025) == expected
    assert f"# {len(expected)} looks" in crontab


def test_looks_within_one_minute_are_one_for_cron_which_says_so(
    checklist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist.write_text(CHECKLIST + "rhythm: {usual: 30s, peak: 20s, climb: 5m, fall: 5m}\n")
    crontab = shown(checklist, capsys, AT, "--output=cron")
    assert fired(crontab, 2025) == [T + timedelta(minutes=number) for number in range(-5, 5)]
    assert "# 10 looks" in crontab
    assert "15 looks share a minute with another" in crontab


def test_cron_takes_the_lines(
    checklist: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "table"
    table.write_text(shown(checklist, capsys, AT, "--output=cron", "--command=date +%H"))
    assert "date +\\%H" in table.read_text()
    check = servers.with_own_crontabs(tmp_path, [servers.need("crontab"), "-n", table])
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table.write_text("0 25 3 6 * date\n")
    assert "bad hour" in subprocess.run(check, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--release-at=yesterday"], "--release-at: 'yesterday' is not a time"),
        (
            [AT, "--from=2025-06-03T10:00Z", "--to=2025-06-03T10:00Z"],
            "--from, --to: window is empty or reversed",
        ),
        ([AT, "--to=2090-01-01T00:00Z"], "more than 100,000 looks; shorten it"),
        ([AT, "--to=2026-06-03T10:00Z", "--output=cron"], "cron lines have no year"),
        ([AT, "--output=cron", "--command=a\nb"], "has line ends or control characters"),
        (
            [AT, "--output=cron", f"--command={'x' * 1000}"],
            "has 1,000 characters; cron takes at most 998",
        ),
        ([], "Missing option '--release-at'"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    checklist: Path, capsys: pytest.CaptureFixture[str], options: list[str], problem: str
) -> None:
    assert problem in complaint(checklist, capsys, *options)


def test_a_checklist_without_a_rhythm_says_what_to_write(
    checklist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist.write_text(CHECKLIST)
    assert "checklist.yaml has no rhythm; add one, such as rhythm: {usual: 1h, peak" in complaint(
        checklist, capsys, AT
    )
