"""`anomaly serve`: a process that judges, answers, and ends when it is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from anomaly.history.store import Store
from tests.support.service import READ, RELEASE

CHECKLIST = """
service: shop
environment: production
sources: {{shop: {{type: files, path: shop.csv}}}}
windows: {{history: 6d, warmup: 0s, watch: 12h, step: 30m, lag: 0s}}
store: history.db
kpis:
  - {{name: errors, query: errors, direction: up, tolerance: 5%}}
{more}"""
PATIENCE_S = 60.0
ENDS_WITHIN_S = 5.0


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A checklist whose errors doubled six hours ago; its path."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = ["time,errors"]
    for step in range(-7 * 48, 1):
        moment = now + step * timedelta(minutes=30)
        value = (10 + step % 5 / 10) * (2 if moment >= now - timedelta(hours=6) else 1)
        rows.append(f"{moment.isoformat()},{value}")
    (tmp_path / "shop.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "checklist.yaml"
    path.write_text(CHECKLIST.format(more=""), encoding="utf-8")
    return path


@contextmanager
def served(path: Path, *words: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service on a free port: its process and its address."""
    listen = ("--listen", "127.0.0.1:0")
    command = [sys.executable, "-m", "anomaly", *(words or ("serve", str(path), *listen))]
    process = subprocess.Popen(
        command,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert address is not None, process.communicate()
        yield process, address[0]
    finally:
        process.kill()
        process.communicate()


def eventually(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_release_that_is_told_is_judged_and_the_gate_closes(loopback: None, shop: Path) -> None:
    tokens = {"ANOMALY_READ_TOKEN": READ, "ANOMALY_RELEASE_TOKEN": RELEASE}
    with served(shop, **tokens) as (process, address):
        asking = {"authorization": f"Bearer {READ}"}

        def gate() -> requests.Response:
            return requests.get(
                f"{address}/gate?service=shop&release=2.0", headers=asking, timeout=PATIENCE_S
            )

        eventually(lambda: gate().status_code == 404)  # the event loop answers
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        began = now - timedelta(hours=6)

        def tell(event: str) -> int:
            answer = requests.post(
                f"{address}/releases",
                json={
                    "event": event,
                    "service": "shop",
                    "version": "2.0",
                    "at": began.isoformat(),
                },
                headers={"authorization": f"Bearer {RELEASE}"},
                timeout=PATIENCE_S,
            )
            return answer.status_code

        assert tell("started") == 201
        eventually(lambda: gate().status_code == 412)
        assert gate().json()["findings"][0]["fails"] is True
        page = requests.get(address + "/", auth=("", READ), timeout=PATIENCE_S)
        assert "shop 2.0 in production" in page.text

        shop.write_text("service: [", encoding="utf-8")
        assert tell("finished") == 200  # which is news: a step is due

        def metrics() -> str:
            return requests.get(f"{address}/metrics", headers=asking, timeout=PATIENCE_S).text

        eventually(lambda: f'exit_code="{ExitCode.USAGE:d}"' in metrics())
        process.send_signal(signal.SIGTERM)
        began_to_end = time.monotonic()
        out, err = process.communicate(timeout=ENDS_WITHIN_S)
        assert time.monotonic() - began_to_end < ENDS_WITHIN_S
        assert process.returncode == ExitCode.PASS
        assert READ not in out + err
        assert RELEASE not in out + err
        # a step that was under way then may say that it was ended
        assert err.startswith("error: shop 2.0 in production: FAIL ")
        assert "error: the step for shop in production ended with exit code 2\n" in err
    with Store(shop.parent / "history.db") as store:
        assert len(store.looks(store.releases()[0].id)) == 1


@pytest.mark.slow
def test_it_ends_in_time_while_a_step_hangs(loopback: None, shop: Path) -> None:
    """The source never answers, and a client holds a request open."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = CHECKLIST.format(more="").replace(
            "{type: files, path: shop.csv}",
            f"{{type: prometheus, url: 'http://127.0.0.1:{port}'}}",
        )
        shop.write_text(text, encoding="utf-8")
        with Store(shop.parent / "history.db") as store:
            from anomaly.model import Release

            at = datetime.now(UTC) - timedelta(hours=1)
            release = Release(at, service="shop", environment="production", version="2.0")
            store.track(release, origin="test")
        with served(shop) as (process, address):
            silent.settimeout(PATIENCE_S)
            asked, _ = silent.accept()  # the step hangs from now on
            host, _, own_port = address.removeprefix("http://").rpartition(":")
            with asked, socket.create_connection((host, int(own_port))) as client:
                client.sendall(
                    b"POST /releases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
                )
                process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                process.communicate(timeout=ENDS_WITHIN_S)
                assert time.monotonic() - began < ENDS_WITHIN_S
                assert process.returncode == ExitCode.PASS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "0.0.0.0:0"], "nothing says who may ask"),
        (["--listen", "[::]:0"], "nothing says who may ask"),
        (["--listen", "8080"], "write HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "write HOST:PORT"),
        (["--listen", "192.0.2.1:8080"], "nothing says who may ask"),
        (["--environment", "moon"], "moon"),
    ],
)
def test_wrong_use_is_said_before_anything_starts(
    options: list[str], words: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", str(shop), *options]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


def test_a_checklist_twice_and_two_histories_are_refused(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", str(shop), str(shop)]) == ExitCode.USAGE
    assert "both about shop in production" in capsys.readouterr().err
    other = shop.with_name("other.yaml")
    text = shop.read_text(encoding="utf-8").replace("history.db", "other.db")
    other.write_text(text.replace("service: shop", "service: search"), encoding="utf-8")
    assert run(["serve", str(shop), str(other)]) == ExitCode.USAGE
    assert "several histories" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(
    loopback: None, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run(["serve", str(shop), "--listen", listen]) == ExitCode.USAGE
    assert f"--listen {listen}: Address already in use" in capsys.readouterr().err
