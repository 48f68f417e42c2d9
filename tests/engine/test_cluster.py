"""A real cluster on loopback gives the answer of one process, survives the death of a worker, and
is told no secret."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from anomaly.engine.cluster import cluster as workers_at
from anomaly.errors import EngineError, UsageError
from anomaly.model import Release, Verdict
from anomaly.partials import errand
from anomaly.partials.inquiry import shards
from anomaly.pipeline import check_release, inquiry_of
from anomaly.reporting.report import Report
from tests.partials.test_hearing import same
from tests.support.clusters import POISON, Cluster, cluster
from tests.support.places import ROOT
from tests.support.scripted import Answer, Request, scripted

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
NOW = RELEASED + timedelta(hours=13)
SECRET = "planted-Token-4711"
CHECKLIST = """
service: shop
sources:
  prod: {{type: prometheus, url: "{url}", headers: {{Authorization: "Bearer ${{SHOP_TOKEN}}"}}}}
windows: {{history: 7d, warmup: 0s, watch: 12h, step: 1h}}
kpis:
"""


def answer(request: Request) -> Answer:
    """A series by country for every query, for those who know the secret; a little late."""
    time.sleep(0.05)
    if request.headers.get("authorization", request.headers.get("Authorization")) != (
        f"Bearer {SECRET}"
    ):
        return [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
    asked = request.asked
    result = []
    if "query" in asked and "start" in asked:
        start, end = float(asked["start"]), float(asked["end"])
        step = float(asked["step"].removesuffix("s"))
        moments = [start + n * step for n in range(int((end - start) // step) + 1)]
        countries = ("DE", "FR", "IT") if "country" in asked["query"] else ("",)
        result = [
            {
                "metric": {"country": country} if country else {},
                "values": [[at, str(100 + (7 * at / 3600 + size * size) % 11)] for at in moments],
            }
            for size, country in enumerate(countries)
        ]
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return [f"{head}\r\nConnection: close\r\n\r\n{body}".encode()]


def written(folder: Path, url: str, *names: str, by: str = "by (country)") -> Path:
    path = folder / "checklist.yaml"
    split = ", by: [country]" if by else ""
    kpis = "".join(
        f"  - {{name: {name}, source: prod, query: 'sum {by} ({name})'{split}}}\n" for name in names
    )
    path.write_text(CHECKLIST.format(url=url) + kpis)
    return path


def judged(checklist: Checklist, url: str = "", **options: object) -> Report:
    release = Release(RELEASED)
    if not url:
        return check_release(checklist, release, now=NOW)
    with workers_at(url) as workers:
        return check_release(checklist, release, now=NOW, workers=workers, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def running(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers for all tests here, that know the secret; the KPI `bad` ends
    them."""
    folder = tmp_path_factory.mktemp("cluster")
    with cluster(folder, {"SHOP_TOKEN": SECRET}, preload=POISON) as found:
        yield found


@pytest.fixture
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)


def shown(page: str) -> Iterator[str]:
    """What the scheduler shows of itself."""
    for path in (
        "/info/main/workers.html",
        "/json/counts.json",
        "/json/identity.json",
        "/json/index.html",
        "/info/logs.html",
        "/metrics",
    ):
        try:
            with urllib.request.urlopen(page + path, timeout=30) as found:  # noqa: S310  loopback
                yield found.read().decode()
        except urllib.error.HTTPError:
            continue


@pytest.mark.slow
@pytest.mark.usefixtures("_known")
def test_a_cluster_that_loses_a_worker_answers_as_one_process_and_knows_no_secret(
    tmp_path: Path, running: Cluster
) -> None:
    names = [f"k{number}" for number in range(6)]
    processes, done = running.workers(), list[int]()

    def killing(count: int, _: int) -> None:
        done.append(count)
        if count == 2:
            os.kill(processes[0], signal.SIGKILL)

    with scripted(answer) as source:
        checklist = load(written(tmp_path, source.url, *names))
        alone = judged(checklist)
        answered = judged(checklist, running.url, judging=killing)
        pages = [*shown(running.page)]
    logs = [each.read_text() for each in running.folder.glob("*.log")]

    assert same(answered, alone)
    assert {finding.verdict for finding in answered.findings} == {Verdict.OK}
    assert done[-1] == 6
    assert len(processes) == 2
    assert pages
    assert not any(SECRET in text for text in (*pages, *logs))


@pytest.mark.usefixtures("_known")
def test_an_errand_holds_no_secret(tmp_path: Path) -> None:
    checklist = load(written(tmp_path, "http://127.0.0.1:9", "k"))
    inquiry = inquiry_of(checklist, Release(RELEASED), now=NOW)
    sent: list[bytes] = []

    class Witness:
        at_home = False

        def outcomes(self, function: object, tasks: Iterator[errand.Errand]) -> Iterator[object]:
            for task in tasks:
                sent.append(pickle.dumps((function, task)) + repr(task).encode())
                yield UsageError("enough")

    with pytest.raises(UsageError, match="enough"):
        [*errand.run(checklist, inquiry, [*shards(inquiry.kpis)], Witness())]  # type: ignore[arg-type]

    assert b"SHOP_TOKEN" in sent[0]
    assert SECRET.encode() not in sent[0]


@pytest.mark.slow
@pytest.mark.usefixtures("_known")
def test_an_interrupt_ends_the_run_and_leaves_no_task(tmp_path: Path, running: Cluster) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def stalled(request: Request) -> Answer:
        asked.set()
        go_on.wait()
        return answer(request)

    with scripted(stalled) as source:
        checklist = written(tmp_path, source.url, "k1", "k2", "k3", "k4")
        line = ["check", str(checklist), "--released-at", RELEASED.isoformat()]
        with subprocess.Popen(
            [sys.executable, "-m", "anomaly", *line, "--engine", running.url],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as process:
            while not asked.wait(0.1):  # until a worker is at work
                assert process.poll() is None, process.communicate()
            under_way = running.tasks()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        left = running.tasks()  # the source has not answered yet
        go_on.set()

    assert under_way == 4
    assert process.returncode == ExitCode.UNDECIDED
    assert said == "error: stopped by SIGINT\n"
    assert left == 0


@pytest.mark.slow
@pytest.mark.usefixtures("_known")
def test_a_kpi_that_ends_every_worker_is_an_error_of_its_own(
    tmp_path: Path, running: Cluster
) -> None:
    running.give_up_after(0)
    with scripted(answer) as source:
        checklist = load(written(tmp_path, source.url, "bad", "good", by=""))
        report = judged(checklist, running.url)

    assert len([*shards(checklist.kpis)]) == 1
    verdicts = {finding.kpi: finding.verdict for finding in report.findings}
    assert verdicts == {"bad": Verdict.ERROR, "good": Verdict.OK}
    assert "ended the process that did so" in report.findings[0].reason


@pytest.mark.usefixtures("_known")
def test_what_crashes_on_a_worker_says_its_kind_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checklist = load(written(tmp_path, "http://127.0.0.1:9", "k"))
    inquiry = inquiry_of(checklist, Release(RELEASED), now=NOW)

    def crash(*_: object) -> None:
        logging.getLogger("anomaly").error("at %s", SECRET)
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(errand, "gathered", crash)

    class Here:
        at_home = False

        def outcomes(self, function: object, tasks: Iterator[errand.Errand]) -> Iterator[object]:
            assert function is errand.done
            return map(errand.done, tasks)

    (partial,) = errand.run(checklist, inquiry, [*shards(inquiry.kpis)], Here())  # type: ignore[arg-type]

    assert str(partial.errors["k"]) == "judging it crashed: ZeroDivisionError"
    assert "at ***" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("url", ["10.0.0.5:8786", "dask://", "dask://u:p@h:1/", "ray://h:1"])
def test_an_engine_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="use dask://HOST:PORT"), workers_at(url):
        pass


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anomaly.engine.cluster.PATIENCE", "200ms")
    (tmp_path / "checklist.yaml").write_text(
        "service: shop\nsources: {f: {type: files, path: x.csv}}\n"
        "kpis: [{name: k, source: f, query: k}]\n"
    )
    line = ["check", str(tmp_path / "checklist.yaml"), "--released-at", "-2h"]

    with pytest.raises(EngineError), workers_at("dask://127.0.0.1:9"):
        pass
    assert run([*line, "--engine", "dask://127.0.0.1:9"]) == ExitCode.FAILED
    assert "no scheduler of dask answers" in capsys.readouterr().err
    assert run([*line, "--engine", "dask://127.0.0.1:9", "--jobs", "2"]) == ExitCode.USAGE
