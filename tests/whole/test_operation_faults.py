"""What can go wrong around the unattended watch, on the real command as a process."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from anomaly.cli.ending import run as main
from anomaly.errors import StoreError
from anomaly.history.store import Store
from anomaly.pipeline import check_release
from tests.support import command
from tests.support.operation import RELEASED, Shop
from tests.support.places import ROOT

SECRET = "c4nary-s3cret"
STEP = timedelta(minutes=30)
HISTORY = timedelta(days=10) // STEP  # steps, those since the release among them
SINCE = timedelta(hours=5) // STEP
CHECKLIST = """
service: shop
environment: production
sources: {{shop: {{type: files, path: shop.csv}}}}
windows: {{history: 9d, warmup: 0s, watch: {watch}, step: 30m, lag: 0s}}
store: history.db
kpis:
  - {{name: errors, query: errors, direction: up, tolerance: 5%}}
{more}
"""


def hook(httpserver: HTTPServer) -> str:
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    return f'sinks: [{{type: webhook, url: "{httpserver.url_for("/hook")}"}}]\n'


def shop(folder: Path, more: str = "", *, watch: str = "12h") -> datetime:
    """A shop whose errors are half as many again since a release of five hours ago; that moment."""
    now = datetime.now(UTC)
    start = (
        datetime.fromtimestamp(now.timestamp() // STEP.total_seconds() * STEP.total_seconds(), UTC)
        - HISTORY * STEP
    )
    released = start + (HISTORY - SINCE) * STEP
    noise = np.random.default_rng(3).normal(0, 3, HISTORY)
    rows = [
        f"{(start + number * STEP).isoformat()},"
        f"{(150 if number >= HISTORY - SINCE else 100) + noise[number]:.2f}"
        for number in range(HISTORY)
    ]
    (folder / "shop.csv").write_text("\n".join(["time,errors", *rows]) + "\n", encoding="utf-8")
    (folder / "checklist.yaml").write_text(
        CHECKLIST.format(more=more, watch=watch), encoding="utf-8"
    )
    return released


def environ_of(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*"}


def started(folder: Path, line: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    environ = environ_of(folder) if env is None else dict(env)
    command = [sys.executable, "-m", "anomaly", *line.split()]
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, line: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    if env is None:
        done = command.anomaly(line.split(), environ=environ_of(folder), folder=folder)
        return done.returncode, done.stdout, done.stderr
    process = started(folder, line, env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def watched(folder: Path, released: datetime) -> None:
    code, _, err = run(
        folder,
        f"release start --release 2.0 --at {released.isoformat()} --checklist checklist.yaml",
    )
    assert code == 0, err


@pytest.mark.parametrize(("count", "kept"), [(12, "file"), (6, "database")])
def test_of_many_ticks_at_once_one_works_and_one_alert_is_sent(
    count: int, kept: str, tmp_path: Path, httpserver: HTTPServer, request: pytest.FixtureRequest
) -> None:
    released = shop(tmp_path, hook(httpserver))
    store = "history.db" if kept == "file" else request.getfixturevalue("database")
    code, _, err = run(
        tmp_path,
        (
            f"release start --release 2.0 --at {released.isoformat()} --checklist checklist.yaml "
            f"--store {store}"
        ),
    )
    assert code == 0, err

    line = f"tick checklist.yaml --store {store}"
    done = command.at_once(count, line.split(), environ=environ_of(tmp_path), folder=tmp_path)
    outcomes = [(each.stdout.strip(), each.returncode) for each in done]

    judged = [(out, code) for out, code in outcomes if "look 1: FAIL" in out]
    assert [code for _, code in judged] == [1]
    others = [outcome for outcome in outcomes if outcome not in judged]
    assert set(others) <= {
        ("busy: another process is running", 0),
        ("no release to judge for shop in production", 0),
    }
    assert len(others) == count - 1
    assert len(httpserver.log) == 1


def test_a_heartbeat_is_asked_after_a_step_and_not_after_a_bad_one(
    loopback: None, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(f"/beat/{SECRET}").respond_with_data("OK")
    beat = f'heartbeat: "{httpserver.url_for(f"/beat/{SECRET}")}"\n'
    watched(tmp_path, shop(tmp_path, beat))

    code, out, err = run(tmp_path, "-v tick checklist.yaml")
    assert (code, len(httpserver.log)) == (1, 1)
    assert SECRET not in out + err
    (tmp_path / "checklist.yaml").write_text(
        (tmp_path / "checklist.yaml").read_text() + "releases: [{type: git, path: nowhere}]\n"
    )
    code, _, err = run(tmp_path, "tick checklist.yaml")
    assert (code, len(httpserver.log)) == (4, 1)
    assert "could not list releases" in err


def test_a_heartbeat_of_the_command_line_is_asked_instead_of_that_of_the_checklist(
    loopback: None, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/mine").respond_with_data("OK")
    shop(tmp_path, f'heartbeat: "{httpserver.url_for("/other")}"\n')

    assert run(tmp_path, f"tick checklist.yaml --heartbeat {httpserver.url_for('/mine')}")[0] == 0

    assert told(httpserver) == ["/mine"]


def test_a_dead_heartbeat_is_said_and_changes_nothing(loopback: None, tmp_path: Path) -> None:
    watched(tmp_path, shop(tmp_path, f'heartbeat: "http://127.0.0.1:1/{SECRET}"\n'))

    code, out, err = run(tmp_path, "tick checklist.yaml")

    assert (code, out.startswith("shop 2.0 in production, look 1: FAIL")) == (1, True)
    assert "heartbeat failed" in err
    assert SECRET not in err


@pytest.mark.parametrize(
    "store",
    [
        "shop.csv/history.db",
        "/proc/history.db",
        "postgresql://anomaly:c4nary-s3cret@127.0.0.1:1/none",
    ],
)
def test_without_a_history_watch_still_tells_and_says_so(
    loopback: None, tmp_path: Path, httpserver: HTTPServer, store: str
) -> None:
    released = shop(tmp_path, hook(httpserver))

    code, out, err = run(
        tmp_path, f"watch checklist.yaml --released-at {released.isoformat()} --store {store}"
    )

    assert (code, out.startswith("FAIL  errors")) == (1, True)
    assert "history not saved" in err
    assert SECRET not in err
    (request, _), *others = httpserver.log
    assert others == []
    assert json.loads(request.get_data())["message"]["look"] == ""


def alerts(httpserver: HTTPServer) -> str:
    """Two sinks: one that makes one of what has the same key, one that does not."""
    httpserver.expect_request("/api/v2/alerts", method="POST").respond_with_data("")
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    return (
        f'sinks: [{{type: alertmanager, url: "{httpserver.url_for("")}"}}, {{type: webhook, '
        f'url: "{httpserver.url_for("/hook")}"}}]\n'
    )


def told(httpserver: HTTPServer) -> list[str]:
    return sorted(request.path for request, _ in httpserver.log)


def test_on_a_full_disk_a_step_judges_and_tells_whom_it_can_tell_twice(
    loopback: None, tmp_path: Path, httpserver: HTTPServer
) -> None:
    watched(tmp_path, shop(tmp_path, alerts(httpserver)))
    before = rows(tmp_path / "history.db")
    # shared memory and a lease fit, not a look
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"

    done = command.anomaly(
        ["tick", "checklist.yaml"], environ=environ_of(tmp_path), folder=tmp_path, first=full
    )

    assert (done.returncode, "look 1: FAIL" in done.stdout) == (1, True), done.stderr
    assert "history not saved" in done.stderr
    assert told(httpserver) == ["/api/v2/alerts"]
    assert rows(tmp_path / "history.db") == before


def test_a_history_that_is_damaged_between_two_looks_of_a_watch_stops_neither_it_nor_the_alert(
    loopback: None,
    tmp_path: Path,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calm = Shop(tmp_path, {"errors": (2.0, 99.0)}, more="store: history.db\n" + alerts(httpserver))
    calm.at(1)

    def sleep(_: float) -> None:  # meanwhile the disk goes bad, and the release too
        for path in (*tmp_path.glob("history.db*"), *tmp_path.glob("history.db*/*")):
            if path.is_file():
                path.write_bytes(os.urandom(path.stat().st_size))
        calm.at(6)

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("anomaly.cli.watch.right_now", calm.clock)
    monkeypatch.setattr("anomaly.cli.watch.time", SimpleNamespace(sleep=sleep))
    code = main(
        [
            "watch",
            str(tmp_path / "checklist.yaml"),
            "--released-at",
            RELEASED.isoformat(),
            "--release",
            "2.0",
        ]
    )

    out, err = capsys.readouterr()
    assert (code, out.startswith("FAIL  errors")) == (1, True)
    assert (
        f"history not saved: the history at {tmp_path / 'history.db'} is damaged; it was moved to "
        "history.db.damaged-"
    ) in err
    assert told(httpserver) == ["/api/v2/alerts", "/hook"]
    assert [
        json.loads(request.get_data())["message"]["why"]
        for request, _ in httpserver.log
        if request.path == "/hook"
    ] == ["first"]


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which answers whatever it is asked as it did at first."""
    answers: list[Any] = []

    def same(*args: Any, **more: Any) -> Any:
        if not answers:
            answers.append(function(*args, **more))
        return answers[0]

    return same


def test_whichever_operation_of_the_history_fails_the_verdict_is_said_and_the_alert_told(
    loopback: None,
    tmp_path: Path,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The n-th and all after it, for n = 1, 2, … until a run is clean; all judge the same, so the
    first does it for all."""
    monkeypatch.setattr("anomaly.watch.look.check_release", once(check_release))
    watched(tmp_path, shop(tmp_path, alerts(httpserver)))
    kept = (tmp_path / "history.db").read_bytes()
    monkeypatch.setenv("NO_PROXY", "*")
    real, count = Store._transaction, 0

    def failing(self: Store, *kind: str) -> Any:
        nonlocal count
        count += self.where != ":memory:"
        if count >= n and self.where != ":memory:":
            raise StoreError("disk I/O error")
        return real(self, *kind)

    monkeypatch.setattr(Store, "_transaction", failing)
    err, n = "not yet", 0
    while err:
        n, count = n + 1, 0
        (tmp_path / "history.db").write_bytes(kept)
        httpserver.clear_log()
        code = main(["tick", str(tmp_path / "checklist.yaml")])
        out, err = capsys.readouterr()
        if n > 1:  # or it is not even known what is under watch
            assert (code, "look 1: FAIL" in out) == (1, True), err
            assert 1 <= told(httpserver).count("/api/v2/alerts") <= 2
            assert told(httpserver).count("/hook") <= 1
        assert ("history not saved" in err) == bool(err)
    assert n > 10


def rows(path: Path) -> dict[str, int]:
    """How many there are in each table; the file is whole."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for name in tables
        }


def test_a_sink_that_is_down_is_told_at_a_later_step_under_the_same_id(
    loopback: None, tmp_path: Path, httpserver: HTTPServer
) -> None:
    for _ in range(3):
        httpserver.expect_ordered_request("/hook", method="POST").respond_with_data("", status=500)
    httpserver.expect_ordered_request("/hook", method="POST").respond_with_data("")
    watched(
        tmp_path,
        shop(tmp_path, f'sinks: [{{type: webhook, url: "{httpserver.url_for("/hook")}"}}]\n'),
    )

    code, _, err = run(tmp_path, "tick checklist.yaml")
    assert code == 1
    assert "sink webhook not delivered after 3 attempts" in err
    with Store(tmp_path / "history.db") as store:  # as if a minute had passed
        (waiting,) = store.due(datetime.now(UTC) + timedelta(hours=1))
        assert store.claim(waiting, datetime.now(UTC))
    code, out, err = run(tmp_path, "tick checklist.yaml")

    assert (code, err) == (0, "")
    assert out.startswith("no release to judge")
    assert len({request.headers["Idempotency-Key"] for request, _ in httpserver.log}) == 1
    assert [response.status_code for _, response in httpserver.log] == [500, 500, 500, 200]


SIGNALLED = """
import os, types
import anomaly.cli.watch
def sleep(_):
    os.kill(os.getpid(), {number})
    time.sleep(60)
    raise SystemExit("the signal did not end it")
anomaly.cli.watch.time = types.SimpleNamespace(sleep=sleep)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_watch_with_what_it_knows(tmp_path: Path, number: signal.Signals) -> None:
    released = shop(tmp_path, watch="2d")
    rows = (tmp_path / "shop.csv").read_text(encoding="utf-8").splitlines()
    calm = [
        row if index < len(rows) - SINCE else row.replace(",15", ",10").replace(",14", ",10")
        for index, row in enumerate(rows)
    ]
    (tmp_path / "shop.csv").write_text("\n".join(calm) + "\n", encoding="utf-8")
    words = ["watch", "checklist.yaml", "--released-at", released.isoformat()]

    done = command.anomaly(
        words,
        environ=environ_of(tmp_path),
        folder=tmp_path,
        first=SIGNALLED.format(number=int(number)),
    )

    first, *_, last = done.stderr.splitlines()
    assert first.startswith("look 1, INCONCLUSIVE")
    assert f"stopped by {number.name}" in last
    assert done.returncode == 3
    assert done.stdout.startswith("INCONCLUSIVE  nothing so far")


def test_cron_has_hardly_an_environment(tmp_path: Path) -> None:
    watched(tmp_path, shop(tmp_path))

    code, out, err = run(
        tmp_path, f"tick {tmp_path / 'checklist.yaml'}", env={"PATH": "/usr/bin:/bin"}
    )

    assert code == 1
    assert is_of_a_failing_release(err)
    assert "look 1: FAIL" in out


def is_of_a_failing_release(err: str) -> bool:
    """Whether standard error is the one line about a failing release that no sink is told of."""
    (line,) = err.splitlines()
    return line.startswith("error: shop 2.0 in production: FAIL ")


@pytest.mark.parametrize(
    "odd",
    [
        {"LC_ALL": "xx_YY.nonsense", "TZ": "Nowhere/Land", "TMPDIR": "/nonexistent"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/nonexistent"}
        | {"TZ": "Pacific/Kiritimati", "TERM": "nonsense", "COLUMNS": "-1"},
    ],
    ids=str,
)
def test_an_odd_environment_changes_no_verdict(tmp_path: Path, odd: dict[str, str]) -> None:
    released = shop(tmp_path)

    code, out, err = run(
        tmp_path,
        f"check checklist.yaml --released-at {released.isoformat()}",
        env=environ_of(tmp_path) | odd,
    )

    assert (code, err) == (1, "")
    assert out.startswith("FAIL  errors +")


def test_too_little_memory_ends_with_4_and_a_message(tmp_path: Path) -> None:
    released = shop(tmp_path)
    least = (
        "import anomaly.pipeline, anomaly.collectors.files, resource; from "
        "anomaly.cli.ending import run"
    )
    used = "int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()"
    little = f"resource.setrlimit(resource.RLIMIT_AS, ({used} + 4_000_000,) * 2)"
    line = (
        "raise SystemExit(run(['check', 'checklist.yaml', '--released-at', "
        f"'{released.isoformat()}']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", f"{least}; {little}; {line}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environ_of(tmp_path),
    )

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_clock_that_was_set_back_loses_no_release(tmp_path: Path) -> None:
    released = shop(tmp_path)
    watched(tmp_path, released)
    with Store(tmp_path / "history.db") as store:
        later = datetime.now(UTC) + timedelta(days=365)
        assert store.lease(
            "tick shop production",
            "somebody a year ahead",
            now=later,
            until=later + timedelta(minutes=15),
        )

    code, out, _ = run(tmp_path, "tick checklist.yaml")

    assert (code, "look 1: FAIL" in out) == (1, True)


def test_few_file_handles_are_enough(tmp_path: Path) -> None:
    watched(tmp_path, shop(tmp_path))
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"

    done = command.anomaly(
        ["tick", "checklist.yaml"], environ=environ_of(tmp_path), folder=tmp_path, first=few
    )

    assert done.returncode == 1
    assert is_of_a_failing_release(done.stderr)
    assert "look 1: FAIL" in done.stdout


def test_the_page_of_faults_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )

    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in code] == []


ODD: dict[str, Callable[[int], str]] = {  # what a column of the shop's file holds, by step
    "constant": lambda _: "7",
    "two": lambda number: "7" if HISTORY - SINCE - number in (3, 4) else "",
    "huge": lambda number: "1e308" if number % 2 else "-1e308",
    "denormal": lambda number: f"{(number % 3) * 5e-324}",
    "alternating": lambda number: "" if number % 2 else "7",
    "infinite": lambda number: "inf" if number % 5 == 0 else "7",
}


def with_odd_kpis(folder: Path) -> datetime:
    """The shop with a KPI of each odd series besides its errors."""
    released = shop(folder, "".join(f"  - {{name: {name}, query: {name}}}\n" for name in ODD))
    header, *rows = (folder / "shop.csv").read_text(encoding="utf-8").splitlines()
    wide = [
        ",".join([row, *(value(number) for value in ODD.values())])
        for number, row in enumerate(rows)
    ]
    (folder / "shop.csv").write_text(
        "\n".join([",".join([header, *ODD]), *wide]) + "\n", encoding="utf-8"
    )
    return released


def strictly(text: str) -> dict[str, Any]:
    """JSON without NaN and Infinity."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    parsed: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return parsed


def test_odd_series_are_judged_by_themselves_and_the_json_is_strict(tmp_path: Path) -> None:
    released = with_odd_kpis(tmp_path)

    code, out, _ = run(
        tmp_path, f"check checklist.yaml --released-at {released.isoformat()} --output json"
    )

    report = strictly(out)
    verdicts = {finding["kpi"]: finding["verdict"] for finding in report["findings"]}
    assert (code, report["verdict"], verdicts.pop("errors")) == (1, "fail", "regressed")
    assert set(verdicts) == set(ODD)
    assert set(verdicts.values()) <= {"error", "inconclusive", "no_data", "ok"}
    assert verdicts["two"] != "ok", "two points are no evidence of anything"
    code, out, _ = run(tmp_path, f"check checklist.yaml --released-at {released.isoformat()}")
    assert (code, out.startswith("FAIL  errors")) == (1, True)


@pytest.mark.parametrize(
    "stage",
    [
        "anomaly.baseline.seasonal.SeasonalBaseline.fit",
        "anomaly.decision.judge.score_beside_controls",
    ],
)
def test_a_kpi_that_makes_the_detector_raise_is_an_error_alone(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released = with_odd_kpis(tmp_path)
    real = pkgutil.resolve_name(stage)

    def raising(first: Any, history: Any, *others: Any, **how: Any) -> Any:
        if "denormal" in history.columns.get_level_values("kpi"):
            raise FloatingPointError("underflow")
        return real(first, history, *others, **how)

    monkeypatch.setattr(stage, raising)
    code = main(
        [
            "check",
            str(tmp_path / "checklist.yaml"),
            "--released-at",
            released.isoformat(),
            "--output",
            "json",
        ]
    )

    said = {
        finding["kpi"]: (finding["verdict"], finding["reason"])
        for finding in strictly(capsys.readouterr().out)["findings"]
    }
    assert (code, said["errors"][0]) == (1, "regressed")
    assert said["denormal"] == ("error", "judging it crashed: FloatingPointError")
    assert [name for name, (verdict, _) in said.items() if verdict == "error"] == ["denormal"]
