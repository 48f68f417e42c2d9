"""`check` and `explain` without a time judge the latest release that is known."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine

from anomaly.cli.ending import run
from anomaly.history.store import Store
from anomaly.model import Release
from anomaly.releases.json_list import JsonReleases
from tests.support.operation import Shop

Anomaly = Callable[..., tuple[int, str, str]]
HOURS = 13


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANOMALY_STORE", raising=False)
    return Shop(tmp_path, {}, more="store: history.db\n")


@pytest.fixture
def anomaly(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Anomaly:
    """Runs a command so many hours after the release: exit code, stdout, stderr."""

    def at(line: str, hours: float = HOURS) -> tuple[int, str, str]:
        with time_machine.travel(shop.at(hours), tick=False):
            code = run(line.split())
        return code, *capsys.readouterr()

    return at


def listed(shop: Shop) -> str:
    """A list of releases in JSON: one days before, and the one that is judged."""
    entries = [
        {"version": version, "started_at": shop.at(hours).isoformat()}
        for version, hours in (("1.9", -100.0), ("2.0", 0.0))
    ]
    (shop.folder / "releases.json").write_text(json.dumps(entries))
    return "releases: [{type: json, path: releases.json}]\n"


@pytest.mark.slow
def test_the_latest_recorded_release_is_judged(anomaly: Anomaly, shop: Shop) -> None:
    anomaly("release add --release 1.9 --at -4d --checklist checklist.yaml", 0)
    anomaly("release start --release 2.0 --checklist checklist.yaml", 0)
    anomaly("release start --release 2.1 --checklist checklist.yaml", 12)
    anomaly("release abort --release 2.1 --checklist checklist.yaml", 12)

    code, out, err = anomaly("check checklist.yaml")

    assert code == 0, err
    assert f"shop 2.0 in production, released {shop.at(0):%Y-%m-%d %H:%M}" in out


@pytest.mark.slow
def test_a_release_that_a_source_finds_is_judged_and_nothing_is_kept(
    anomaly: Anomaly, shop: Shop
) -> None:
    path = shop.folder / "checklist.yaml"
    path.write_text(path.read_text() + listed(shop))

    code, out, err = anomaly("check checklist.yaml")
    earlier = anomaly("check checklist.yaml --release 1.9")
    explained = anomaly("explain checklist.yaml errors")

    assert code == 0, err
    assert f"shop 2.0 in production, released {shop.at(0):%Y-%m-%d %H:%M}" in out
    assert f"shop 1.9 in production, released {shop.at(-100):%Y-%m-%d %H:%M}" in earlier[1]
    assert explained[0] == 0
    assert not (shop.folder / "history.db").exists()


@pytest.mark.slow
def test_a_release_that_a_source_says_was_aborted_is_not_judged(
    anomaly: Anomaly, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.folder / "checklist.yaml"
    path.write_text(path.read_text() + listed(shop))
    aborted = Release(shop.at(12), version="2.1", aborted_at=shop.at(12.5))
    found = [Release(shop.at(0), version="2.0"), aborted]
    monkeypatch.setattr(JsonReleases, "discover", lambda _source, _window: found)

    code, out, err = anomaly("check checklist.yaml")

    assert code == 0, err
    assert f"shop 2.0 in production, released {shop.at(0):%Y-%m-%d %H:%M}" in out


@pytest.mark.slow
def test_a_check_names_the_commits_or_says_why_it_can_not(anomaly: Anomaly, shop: Shop) -> None:
    path = shop.folder / "checklist.yaml"
    written = path.read_text()
    repository = shop.folder / "shop"
    environ = {
        "PATH": os.environ["PATH"],
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Ada"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "ada@example.com"),
    }
    for words in ("init -q", "commit -qm one", "tag 1.9", "commit -qm two", "tag 2.0"):
        name, *more = words.split()
        repository.mkdir(exist_ok=True)
        more += ["--allow-empty"] if name == "commit" else []
        subprocess.run(["git", name, *more], cwd=repository, env=environ, check=True)
    with Store(shop.folder / "history.db") as store:
        store.track(shop.release(-100, "1.9"), origin="command")
    command = f"check checklist.yaml --release 2.0 --released-at {shop.at(0).isoformat()}"
    shop.at(8)

    path.write_text(f"{written}releases: [{{type: git, path: shop}}]\n")
    code, out, err = anomaly(f"{command} --output json")
    assert code == 0, err
    changes = json.loads(out)["changes"]
    assert (changes["since"], changes["count"], changes["problem"]) == ("1.9", 1, "")
    assert changes["commits"][0]["title"] == "two"

    path.write_text(f"{written}releases: [{{type: git, path: nowhere}}]\n")
    code, out, err = anomaly(command)
    assert code == 0, err
    assert "the commits since 1.9 are not known: " in out


def test_without_any_it_says_what_to_give(anomaly: Anomaly, shop: Shop) -> None:
    code, _, err = anomaly("check checklist.yaml")

    assert code == 2
    assert "no release is known: give --released-at T, record releases by" in err
    assert not (shop.folder / "history.db").exists()


@pytest.mark.parametrize("option", ["--finished-at -1h", "--stage now=5%", "--next-release -1h"])
def test_what_belongs_to_a_time_needs_one(anomaly: Anomaly, option: str) -> None:
    code, _, err = anomaly(f"check checklist.yaml {option}")

    assert code == 2
    assert f"{option.split(maxsplit=1)[0]} needs --released-at" in err
