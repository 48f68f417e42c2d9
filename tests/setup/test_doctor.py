"""`anomaly doctor`: what is broken is named, the rest is still looked at, and nobody is told,
nothing begun, no secret shown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window
from anomaly.setup.doctor import Check, State, examine
from tests.conftest import StartServer
from tests.support.loopback import Loopback, Request, answer, hang
from tests.support.places import ROOT
from tests.support.scripted import scripted

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

TLS = ROOT / "tests" / "support" / "tls" / "loopback.pem"
NOW = datetime(2025, 6, 3, 16, tzinfo=UTC)
SECRET = "c4nary-s3cret"


def matrix(*series: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}})


ORDERS = {"metric": {}, "values": [[NOW.timestamp() - 300, "7"]]}


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def checks(
    folder: Path, text: str, *, deadline: timedelta = timedelta(seconds=20), store: str = ""
) -> dict[str, Check]:
    (folder / "shop.csv").write_text(
        f"time,orders\n{(NOW - timedelta(minutes=10)).isoformat()},7\n", encoding="utf-8"
    )
    path = folder / "checklist.yaml"
    path.write_text(f"service: shop\n{text}", encoding="utf-8")
    found = examine(
        load(path), lambda: store or str(folder / "history.db"), now=NOW, deadline=deadline
    )
    return {check.name: check for check in found}


def prometheus(url: str) -> str:
    return (
        f"sources: {{prod: {{type: prometheus, url: '{url}'}}}}\nkpis: [{{name: orders, "
        f"query: 'sum(increase(orders_total[$step]))'}}]\n"
    )


FILE = "sources: {shop: {type: files, path: shop.csv}}\nkpis: [{name: orders, query: orders}]\n"


def test_all_is_well(tmp_path: Path) -> None:
    found = checks(tmp_path, f"{FILE}sinks: [{{type: jsonl, path: told.jsonl}}]\n")
    assert {name: check.state for name, check in found.items()} == dict.fromkeys(
        ("source shop", "sink jsonl", "store"), State.OK
    )
    assert found["source shop"].said.startswith("1 of 1 KPIs answered in ")
    assert found["source shop"].said.endswith(", 1 series")


def test_a_checklist_without_a_sink_is_a_warning(tmp_path: Path) -> None:
    for sinks in ("", "sinks: [{type: console}]\n"):
        found = checks(tmp_path, FILE + sinks)["sinks"]
        assert found.state is State.WARNING
        assert "tells nobody" in found.said


def test_each_broken_thing_is_named_and_hides_no_other(tmp_path: Path) -> None:
    with scripted([b""], tls=str(TLS)) as untrusted:
        text = (
            "sources: {shop: {type: files, path: shop.csv}, gone: {type: files, path: gone.csv}, "
            "idle: {type: files, path: shop.csv}}\n"
            "kpis: [{name: orders, query: orders, source: shop}, {name: late, query: orders, "
            "source: gone}]\n"
            "sinks:\n"
            "  - {type: json, path: nowhere/report.json}\n"
            f"  - {{type: webhook, url: '{untrusted.url}/hook'}}\n"
            "  - {type: webhook, url: 'http://127.0.0.1:1/hook'}\n"
            "  - {type: webhook, url: 'http://169.254.169.254/hook'}\n"
            "  - {type: json, path: '-'}\n"
            "heartbeat: http://nowhere.invalid/beat\n"
        )
        found = checks(tmp_path, text, store=str(tmp_path / "shop.csv" / "history.db"))

    states = {name: check.state for name, check in found.items()}
    assert states == {
        "source shop": State.OK,
        "source gone": State.FAILED,
        "source idle": State.WARNING,
        "sink json": State.FAILED,
        "sink webhook": State.FAILED,
        "sink webhook 2": State.FAILED,
        "sink webhook 3": State.FAILED,
        "sink json 2": State.OK,
        "heartbeat": State.FAILED,
        "store": State.FAILED,
    }
    said = {name: check.said for name, check in found.items()}
    assert "gone.csv" in said["source gone"]
    assert "does not verify" in said["sink webhook"]
    assert "Connection refused" in said["sink webhook 2"]
    assert "link-local" in said["sink webhook 3"]
    assert "does not resolve" in said["heartbeat"]
    assert "mkdir" in found["sink json"].todo


def test_the_command_of_a_hook_is_looked_for_and_not_run(tmp_path: Path) -> None:
    program = tmp_path / "abort"
    program.write_text("#!/bin/sh\ntouch ran\n", encoding="utf-8")
    program.chmod(0o700)
    there = f"{{type: command, run: ['{program}', {SECRET}]}}"
    missing = "{type: command, run: [no-such-program]}"
    found = checks(tmp_path, f"{FILE}on: {{fire: [{there}], hold: [{missing}]}}\n")
    assert found["hook on fire (dry run)"].state is State.OK
    assert found["hook on fire (dry run)"].said == f"{program} can be run"
    assert found["hook on hold (dry run)"].state is State.FAILED
    assert found["hook on hold (dry run)"].todo == "install no-such-program, or give its path"
    assert not Path("ran").exists()
    assert SECRET not in repr(found)


def probed(folder: Path, releases: str, *more: str) -> int:
    """The exit code of `validate --probe` for a checklist with these sources of releases."""
    (folder / "shop.csv").write_text("time,orders\n2025-06-02T12:00:00Z,7\n", encoding="utf-8")
    path = folder / "checklist.yaml"
    path.write_text(f"service: shop\n{FILE}releases: {releases}\n", encoding="utf-8")
    with time_machine.travel(NOW, tick=False):
        return run(["validate", "--probe", str(path), *more])


STARTED = {"1": "2025-06-02T10:00Z", "2": "2025-06-03T11:00Z"}
LISTED = json.dumps([{"version": each, "started_at": at} for each, at in STARTED.items()])


def test_a_probe_asks_each_source_of_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "list.json").write_text(LISTED, encoding="utf-8")
    assert probed(tmp_path, "[{type: json, path: list.json}, {type: ci}]") == 0
    said = capsys.readouterr().out.splitlines()[-2:]
    assert said[0] == "releases json: 1 release in the last day, the last at 11:00 UTC"
    assert said[1].startswith("releases ci: not running in a pipeline: neither GITHUB_ACTIONS nor")
    assert said[1].endswith("; run this in the pipeline")

    assert probed(tmp_path, "[{type: json, path: list.json}]", "--until", "2025-06-03") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "releases json: 1 release in the day before 2025-06-03T00:00:00Z, the last at 10:00 UTC"
    )


def test_a_source_of_releases_that_fails_fails_the_probe_without_its_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with Loopback([answer(401, f"no {SECRET}")]) as server:
        headers = '{Authorization: "Bearer ${TOKEN}"}'
        releases = f"[{{type: json, url: '{server.origin}', headers: {headers}}}]"
        assert probed(tmp_path, releases) == 4
    said = capsys.readouterr()
    assert f"releases json: error: {server.origin} answered 401" in said.out
    assert SECRET not in said.out + said.err


WHERE = "acme/shop, environment: production, token: '${TOKEN}', api: '%s'"
GITHUB, GITLAB = f"{{type: github, repository: {WHERE}}}", f"{{type: gitlab, project: {WHERE}}}"


@pytest.mark.parametrize(
    ("source", "path", "status", "said"),
    [
        (GITHUB, "/repos/acme/shop/commits?per_page=1", 200, ""),
        (GITHUB, "/repos/acme/shop/commits?per_page=1", 403, "the permission contents: read"),
        (GITHUB, "/repos/acme/shop/commits?per_page=1", 404, "the permission contents: read"),
        (GITHUB, "/repos/acme/shop/commits?per_page=1", 409, "the repository is empty"),
        (GITLAB, "/projects/acme%2Fshop/repository/commits?per_page=1", 200, ""),
        (GITLAB, "/projects/acme%2Fshop/repository/commits?per_page=1", 403, "scope read_api"),
        (GITLAB, "/projects/acme%2Fshop/repository/commits?per_page=1", 404, "scope read_api"),
    ],
)
def test_a_token_that_may_not_read_commits_is_warned_of_before_a_release(
    source: str,
    path: str,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)

    def reply(request: Request) -> tuple[int, str]:
        return (status if request.line.split()[1] == path else 200), "[]"

    with Loopback.by(reply) as server:
        found = checks(tmp_path, f"{FILE}releases: [{source % server.origin}]\n")
        lines = [each.line.split()[1] for each in server.requests]
    (check,) = (each for name, each in found.items() if name.startswith("releases"))
    assert path in lines
    if not said:
        assert (check.state, check.said) == (
            State.OK,
            "0 releases in the last day; may read commits",
        )
        return
    assert check.state is State.WARNING
    assert check.said.startswith("0 releases in the last day, but their commits can't be read: ")
    assert said in check.said
    assert SECRET not in check.said


def test_a_sink_is_connected_to_but_not_told(tmp_path: Path) -> None:
    with Loopback([answer(200)]) as server:
        check = checks(
            tmp_path, f"{FILE}sinks: [{{type: webhook, url: '{server.origin}/{SECRET}'}}]\n"
        )["sink webhook"]
    assert check.state is State.OK
    assert SECRET not in repr(check)
    assert [request.line for request in server.requests if request.line] == []


def test_behind_a_proxy_that_is_what_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback([answer(200)]) as proxy:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        check = checks(
            tmp_path, f"{FILE}sinks: [{{type: webhook, url: 'https://hooks.example/{SECRET}'}}]\n"
        )["sink webhook"]
    assert (check.state, "the proxy for hooks.example" in check.said) == (State.OK, True)


def test_what_does_not_answer_is_given_up_and_the_others_do_not_wait(tmp_path: Path) -> None:
    with Loopback([hang]) as server:
        found = checks(tmp_path, prometheus(server.origin), deadline=timedelta(milliseconds=200))
    assert (found["source prod"].state, found["source prod"].said) == (
        State.FAILED,
        "no answer within 200ms",
    )
    assert found["store"].state is State.OK


@pytest.mark.parametrize(
    ("ahead_s", "state", "said"),
    [
        (0, State.OK, r", 1 series$"),
        (-90, State.WARNING, r"its clock is 1m30s behind this machine's"),
        (90, State.WARNING, r"its clock is 1m30s ahead of this machine's"),
    ],
)
def test_clocks_that_differ_are_told(ahead_s: int, state: State, said: str, tmp_path: Path) -> None:
    date = f"{NOW + timedelta(seconds=ahead_s):%a, %d %b %Y %H:%M:%S GMT}"
    with (
        Loopback([answer(200, matrix(ORDERS), Date=date)]) as server,
        time_machine.travel(NOW, tick=False),
    ):
        check = checks(tmp_path, prometheus(server.origin))["source prod"]
    assert check.state is state
    assert re.search(said, check.said)


def test_a_source_that_answers_but_is_silent_is_warned_of(tmp_path: Path) -> None:
    with Loopback([answer(200, matrix())]) as server:
        check = checks(tmp_path, prometheus(server.origin))["source prod"]
    assert check.state is State.WARNING
    assert "returned no samples for the last 15m: orders" in check.said
    assert check.todo.startswith("anomaly validate --probe ")


class Crashing:
    """A source of somebody else that raises what it likes."""

    def collect(self, _kpis: Sequence[Kpi], _window: Window, _step: timedelta, /) -> Collected:
        raise RuntimeError(SECRET)


def test_a_plug_in_that_crashes_is_named_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomaly.checklist.registry.collector", lambda _plugin: Crashing())
    check = checks(tmp_path, FILE)["source shop"]
    assert (check.state, check.said) == (State.FAILED, "it crashed: RuntimeError")


def test_the_history_is_neither_begun_nor_repaired(tmp_path: Path) -> None:
    assert "will be created on first use" in checks(tmp_path, FILE)["store"].said
    assert not (tmp_path / "history.db").exists()

    damaged = b"SQLite format 3\0" + b"\xff" * 4096
    (tmp_path / "history.db").write_bytes(damaged)
    check = checks(tmp_path, FILE)["store"]
    assert (check.state, "is damaged" in check.said) == (State.FAILED, True)
    assert (tmp_path / "history.db").read_bytes() == damaged


def test_a_history_that_opens_says_what_it_knows(tmp_path: Path) -> None:
    from anomaly.history.store import Store
    from anomaly.model import Release

    with Store(tmp_path / "history.db") as store:
        store.track(Release(NOW, service="shop", version="1"), origin="command")
    assert checks(tmp_path, FILE)["store"].said.endswith("history.db opens, 1 release")


def test_a_real_server_answers(start_prometheus: StartServer, tmp_path: Path) -> None:
    server = start_prometheus(
        {
            "orders_total": [
                (NOW.timestamp() - 60 * minute, 1000.0 - minute) for minute in reversed(range(30))
            ]
        }
    )
    check = checks(tmp_path, prometheus(server.url))["source prod"]
    assert (check.state, check.said.endswith(", 1 series")) == (State.OK, True)


# --- the command --------------------------------------------------------------------------------


def test_a_wrong_checklist_ends_with_2_and_what_is_installed_is_still_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / "checklist.yaml"
    path.write_text(f"service: shop\n{FILE}wrong: 1\n", encoding="utf-8")
    assert run(["doctor", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "numpy" in out
    assert "wrong is an unknown key" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert err == ""


def test_a_sink_that_cannot_be_made_is_the_checklists_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checklist.yaml"
    path.write_text(
        f"service: shop\n{FILE}sinks: [{{type: webhook, url: 'ftp://example.com'}}]\n",
        encoding="utf-8",
    )
    assert run(["doctor", str(path), "--store", str(tmp_path / "history.db")]) == 2
    assert "use http or https" in " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_reached_ends_with_4_and_no_secret_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", SECRET)
    path = tmp_path / "checklist.yaml"
    path.write_text(
        f"service: shop\n{FILE}sinks: [{{type: json, path: '${{PLACE}}/report.json'}}, {{type: "
        f"webhook, url: 'http://127.0.0.1:1/${{PLACE}}'}}]\n"
    )
    assert (
        run(["doctor", str(path), "--output", "json", "--store", str(tmp_path / "history.db")]) == 4
    )
    out, err = capsys.readouterr()
    states = {check["name"]: check["state"] for check in json.loads(out)["checks"]}
    assert states["sink json"] == states["sink webhook"] == "failed"
    assert states["checklist"] == states["store"] == "ok"
    assert (f"/{SECRET}" in out.replace(f"{tmp_path}/{SECRET}", ""), err) == (False, "")
