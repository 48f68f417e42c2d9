"""The commands of unattended operation, run one after the other on a shop whose clock is moved."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine

from anomaly.cli.ending import run
from anomaly.history.store import Store
from tests.support.goldens import assert_golden
from tests.support.operation import Shop
from tests.support.places import ROOT

SHOWN = re.compile(r"(<!-- golden: operation/story.txt -->\n\n```text\n).*?(```\n)", re.DOTALL)
RUNS = {"errors": (1.0, 4.0)}
Anomaly = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("ANOMALY_STORE", raising=False)
    return Shop(
        tmp_path, RUNS, more="sinks: [{type: jsonl, path: told.jsonl}]\nstore: history.db\n"
    )


@pytest.fixture
def anomaly(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Anomaly:
    """Runs a command so many hours after the release: exit code, stdout, stderr."""

    def at(hours: float, line: str) -> tuple[int, str, str]:
        with time_machine.travel(shop.at(hours), tick=False):
            code = run(line.split())
        return code, *capsys.readouterr()

    return at


@pytest.mark.slow
def test_golden_story_of_a_release(anomaly: Anomaly, shop: Shop) -> None:
    """What tick, history, show and ack print of a release that regresses and recovers."""
    lines: list[tuple[float, str]] = [(0, "release start --release 2.0 --checklist checklist.yaml")]
    lines += [(hours, "tick checklist.yaml") for hours in (0.5, 2.5, 3, 6, 12.5, 13)]
    lines += [
        (13, "history --checklist checklist.yaml"),
        (13, "history {id} --checklist checklist.yaml"),
        (13, "show {id} --checklist checklist.yaml"),
        (13, "ack {id} --checklist checklist.yaml"),
        (13, "history --checklist checklist.yaml"),
        (13, "prune --older-than 1h --checklist checklist.yaml"),
        (13, "release list --checklist checklist.yaml"),
    ]
    told, known = [], ""
    for hours, line in lines:
        if "{id}" in line:
            with Store(shop.folder / "history.db") as store:
                known = store.releases()[0].id[:8]
        code, out, err = anomaly(hours, line.replace("{id}", known))
        assert err == ""
        ending = f"\n[exit code {code}]" if code else ""
        told.append(f"$ anomaly {line.replace('{id}', known)}\n{out.rstrip()}{ending}")
    story = "\n\n".join(told) + "\n"
    assert_golden("operation/story.txt", story)
    page = ROOT / "docs" / "history.md"
    text = page.read_text(encoding="utf-8")
    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        text = SHOWN.sub(lambda match: match[1] + story + match[2], text)
        page.write_text(text, encoding="utf-8")
    assert story in text


@pytest.mark.slow
def test_an_earlier_look_is_shown_and_where_its_points_come_from(
    anomaly: Anomaly, shop: Shop
) -> None:
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")
    for hours in (2.5, 6):
        anomaly(hours, "tick checklist.yaml")
    with Store(shop.folder / "history.db") as store:
        first, last = (each.id for each in store.looks(store.releases()[0].id))

    code, out, _ = anomaly(6, f"show {first} --checklist checklist.yaml")
    _, newest, _ = anomaly(6, f"show {last} --checklist checklist.yaml")

    assert (code, out.startswith("FAIL  errors")) == (0, True)
    assert "points: those of look 2, up to the time of this look" in out
    assert "points:" not in newest


@pytest.mark.slow
def test_exit_codes_of_tick(anomaly: Anomaly, shop: Shop) -> None:
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")

    assert [anomaly(hours, "tick checklist.yaml")[0] for hours in (0.5, 2.5, 6, 12.5)] == [
        0,
        1,
        0,
        0,
    ]


@pytest.mark.slow
def test_without_a_sink_a_failing_release_is_said_once_on_standard_error(
    anomaly: Anomaly, shop: Shop
) -> None:
    checklist = shop.folder / "checklist.yaml"
    text = checklist.read_text(encoding="utf-8")
    checklist.write_text(re.sub("sinks:.*\n", "", text), encoding="utf-8")
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")

    said = [anomaly(hours, "tick checklist.yaml")[2] for hours in (0.5, 2.5, 3)]

    assert said[0] == said[2] == ""
    assert re.fullmatch(r"error: shop 2\.0 in production: FAIL  errors [^\n]*\n", said[1])


@pytest.mark.slow
def test_tick_in_json(anomaly: Anomaly, shop: Shop) -> None:
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")
    code, out, err = anomaly(2.5, "tick checklist.yaml --output json")

    data = json.loads(out)
    assert (code, err, data["busy"], data["problems"]) == (1, "", False, [])
    assert [look["verdict"] for look in data["looks"]] == ["fail"]
    assert [(message["sink"], message["why"]) for message in data["looks"][0]["messages"]] == [
        ("jsonl", "first")
    ]
    assert [delivery["delivered"] for delivery in data["deliveries"]] == [True]


@pytest.mark.slow
def test_what_is_released_can_be_finished_aborted_staged_and_listed(
    anomaly: Anomaly, shop: Shop
) -> None:
    of = "--checklist checklist.yaml"
    anomaly(0, f"release add --release 1.9 --at -3d --finished-at -2d {of}")
    anomaly(0, f"release start --release 2.0 --stage 2025-06-12T10:00Z=5% {of}")
    anomaly(1, f"release start --release 2.0 --stage 2025-06-12T11:00Z=50% {of}")
    anomaly(2, f"release finish {of}")
    anomaly(3, f"release abort --release 2.0 {of}")

    listed = json.loads(anomaly(3, f"release list --output json {of}")[1])

    assert [(each["version"], each["state"]) for each in listed] == [
        ("2.0", "aborted"),
        ("1.9", "done"),
    ]
    assert [stage["share"] for stage in listed[0]["stages"]] == [0.05, 0.5]
    assert listed[0]["finished_at"] == "2025-06-12T12:00:00Z"


@pytest.mark.slow
def test_a_flag_that_was_aborted_begins_anew(anomaly: Anomaly, shop: Shop) -> None:
    of = "--release new-basket --checklist checklist.yaml"
    for hour, share in ((0, "5%"), (1, "25%")):
        anomaly(hour, f"release start --stage now={share} {of}")
    anomaly(2, f"release abort {of}")
    said = anomaly(3, f"release start --stage now=5% {of}")

    listed = json.loads(anomaly(3, "release list --output json --checklist checklist.yaml")[1])
    assert (said[0], said[1].partition(":")[0]) == (0, "watched from now on")
    assert [([stage["share"] for stage in each["stages"]], each["state"]) for each in listed] == [
        ([0.05], "watched"),
        ([0.05, 0.25], "aborted"),
    ]


def test_a_history_that_cannot_be_used_ends_with_4(anomaly: Anomaly, shop: Shop) -> None:
    (shop.folder / "no-folder").write_text("", encoding="utf-8")
    for line in ("start --release 2.0", "finish", "abort", "add --release 1.9 --at -1d", "list"):
        code, out, err = anomaly(1, f"release {line} --service shop --store no-folder/history.db")
        assert (code, out) == (4, "")
        assert "no-folder" in err


@pytest.mark.slow
def test_a_list_of_past_releases_is_taken_and_printed_again(
    anomaly: Anomaly, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.stdin",
        io.StringIO(
            '{"version": "1.8", "started_at": "2025-06-01T10:00Z", "aborted_at": '
            '"2025-06-01T11:00Z"}'
        ),
    )
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")
    code, out, err = anomaly(1, "release add --from - --checklist checklist.yaml")
    listed = anomaly(1, "release list --output json --checklist checklist.yaml")[1]
    (shop.folder / "list.json").write_text(listed, encoding="utf-8")
    again = anomaly(1, "release add --from list.json --checklist checklist.yaml")[1].splitlines()

    assert (code, err, out.startswith("recorded: ")) == (0, "", True)
    assert [(each["version"], each["state"]) for each in json.loads(listed)] == [
        ("2.0", "watched"),
        ("1.8", "aborted"),
    ]
    assert [line.partition(":")[0] for line in again] == ["already recorded"] * 2
    assert again[1].endswith("watched (command)")
    assert anomaly(1, "release list --output json --checklist checklist.yaml")[1] == listed


@pytest.mark.slow
def test_tick_finds_a_release_in_a_list_once(anomaly: Anomaly, shop: Shop) -> None:
    with (shop.folder / "checklist.yaml").open("a", encoding="utf-8") as file:
        file.write("releases: [{type: json, path: releases.json}]\n")
    missing = anomaly(0.5, "tick checklist.yaml")
    (shop.folder / "releases.json").write_text(
        '[{"version": "2.0", "started_at": "2025-06-12T10:00:00Z"}]', encoding="utf-8"
    )
    ticks = [anomaly(hours, "tick checklist.yaml") for hours in (0.5, 1, 2.5)]
    listed = json.loads(anomaly(3, "release list --output json --checklist checklist.yaml")[1])

    assert missing[0] == 4
    assert "json could not list releases: " in missing[2]
    assert [code for code, _, _ in ticks] == [0, 0, 1]
    assert [(each["version"], each["origin"], each["state"]) for each in listed] == [
        ("2.0", "json", "watched")
    ]


def test_a_hostile_version_does_no_harm_to_the_terminal(anomaly: Anomaly, shop: Shop) -> None:
    hostile = [
        {"version": "\x1b[31m\n::error::x\u202e" + "a" * 500, "started_at": "2025-06-01T10:00Z"}
    ]
    (shop.folder / "list.json").write_text(json.dumps(hostile), encoding="utf-8")
    lines = ("release add --from list.json", "release list", "release abort --release nix")
    said = "".join("".join(anomaly(1, f"{line} --checklist checklist.yaml")[1:]) for line in lines)

    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "::error" not in said
    assert len(said.splitlines()) == len(lines)
    assert max(map(len, said.splitlines())) < 200


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "release start --release 2.0",
            "no service; give --service, or --checklist FILE",
        ),
        (
            "release abort --checklist checklist.yaml",
            "no release of shop in production is recorded; recorded: none",
        ),
        ("release add --release 2.0 --service shop", "--at is missing"),
        ("release add --from list.json --at -1d --service shop", "leave out --release, --at"),
        ("release add --from list.json --service shop", "--from list.json can't be read"),
        (
            "release add --from checklist.yaml --service shop --store history.db",
            "--from checklist.yaml: line 2: is not JSON",
        ),
        ("release start --release 2.0 --at 2030-01-01T00:00Z --service shop", "is in the future"),
        ("show zz", "'zz' is not an id"),
        ("show abcd1234", "no release, look or finding has an id that starts with abcd1234"),
        ("prune --older-than soon", "--older-than"),
        ("history --checklist missing.yaml", "missing.yaml"),
        ("tick checklist.yaml --heartbeat ftp://h", "heartbeat starts with ftp; use http or https"),
    ],
)
def test_wrong_lines_end_with_2_and_say_what_to_change(
    anomaly: Anomaly, shop: Shop, line: str, said: str
) -> None:
    code, out, err = anomaly(
        1, line + ("" if "checklist" in line else f" --store {shop.folder / 'history.db'}")
    )

    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.slow
def test_a_history_that_cannot_be_used_is_said_and_the_verdict_still_told(
    anomaly: Anomaly, shop: Shop
) -> None:
    shop.folder.joinpath("not-a-folder").write_text("", encoding="utf-8")
    line = (
        "watch checklist.yaml --released-at 2025-06-12T10:00Z --release 2.0 --store "
        "not-a-folder/history.db"
    )

    code, out, err = anomaly(2.5, line)

    assert code == 1
    assert out.startswith("FAIL  errors")
    assert "history not saved" in err
    (told,) = (shop.folder / "told.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(told)["verdict"] == "fail"


@pytest.mark.slow
def test_watch_stays_until_a_kpi_fails(
    anomaly: Anomaly, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with time_machine.travel(shop.at(0.5), tick=False) as clock:
        waited = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            shop.at((shop.now - shop.release().started_at).total_seconds() / 3600 + seconds / 3600)
            clock.move_to(shop.now)

        monkeypatch.setattr("time.sleep", sleep)
        code = run(
            ["watch", "checklist.yaml", "--released-at", "2025-06-12T10:00Z", "--release", "2.0"]
        )

    assert code == 1
    assert waited == [1800.0] * len(waited)
    assert 2 <= len(waited) <= 8


@pytest.mark.slow
def test_watch_passes_when_the_watch_is_over(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.bad.clear()
    with time_machine.travel(shop.at(10.5), tick=False) as clock:

        def sleep(seconds: float) -> None:
            shop.at((shop.now - shop.release().started_at).total_seconds() / 3600 + seconds / 3600)
            clock.move_to(shop.now)

        monkeypatch.setattr("time.sleep", sleep)
        code = run(
            ["watch", "checklist.yaml", "--released-at", "2025-06-12T10:00Z", "--release", "2.0"]
        )

    out, err = capsys.readouterr()
    assert code == 0
    assert out.startswith("PASS  2 KPIs, no regression")
    lines = err.splitlines()
    assert [re.match(r"look \d", line)[0] for line in lines] == [  # type: ignore[index]
        "look 1",
        "look 2",
        "look 3",
        "look 4",
    ]
    assert lines[0].endswith("; next 21:00")
