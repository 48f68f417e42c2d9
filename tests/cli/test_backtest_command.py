"""`anomaly backtest` as its user meets it: what it prints, and how it ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.backtesting.result import (
    Alternative,
    Backtest,
    Label,
    PastRelease,
    Rejudged,
    SeriesResult,
    Setting,
    Share,
)
from anomaly.cli.backtest_table import WIDTH, table
from anomaly.cli.ending import run
from anomaly.model import Finding, Release, ReleaseVerdict, Verdict
from tests.support.goldens import assert_golden
from tests.support.places import ROOT

HEALTHY = ROOT / "sample_data" / "healthy" / "checklist.yaml"
UNTIL = ("--until", "2025-06-03T09:00Z")
QUICK = (*UNTIL, "--placebos", "1")
AT = datetime(2025, 5, 20, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)

RELEASES = """started_at,finished_at,version,label
2025-05-26T09:00Z,2025-05-26T09:10Z,2025.21,good
2025-06-03T09:00Z,2025-06-03T09:10Z,2025.22,bad
"""


def result() -> Backtest:
    """Something of everything, with long names."""
    sound = SeriesResult(
        "checkout conversion",
        {},
        0.03,
        Share(1, 49),
        1,
        "too little volume: 312 since the release, need 2,000",
        0.0423,
        Share(39, 47),
        Share(8, 8),
        95 * timedelta(minutes=1),
        (Alternative(Setting.WATCH, 12 * HOUR, 0.03, 0.0423),),
        (
            (
                "no answer at 1 of 50 placebo releases, last: too little volume: 312 of 2,000 over "
                "the observation"
            ),
        ),
    )
    long = SeriesResult(
        "requests that failed at the payment provider",
        {"country": "DE", "plan": "professional"},
        0.2,
        Share(0, 50),
        0,
        "",
        2.21,
        Share(12, 50),
        Share(3, 8),
        None,
        (),
        (
            "sparse: about 7 events in a watch of 6h",
            "too noisy: the smallest detectable change is 221 %",
        ),
    )
    unseen = SeriesResult(
        "sign-ups\x1b[2J",
        {},
        0.0,
        Share(0, 0),
        50,
        "no baseline",
        None,
        Share(0, 0),
        Share(0, 0),
        None,
        (),
        (),
    )
    moved = Finding(
        "checkout conversion",
        Verdict.REGRESSED,
        "-8 % [-10, -6]",
        effect=-0.08,
        effect_interval=(-0.1, -0.06),
    )
    releases = (
        Rejudged(
            PastRelease(Release(AT, version="2025.20"), Label.BAD), ReleaseVerdict.FAIL, (moved,)
        ),
        Rejudged(
            PastRelease(Release(AT + 48 * HOUR, version="2025.21-with-a-long-name"), Label.GOOD),
            ReleaseVerdict.PASS,
        ),
        Rejudged(
            PastRelease(Release(AT + 900 * HOUR)),
            ReleaseVerdict.INCONCLUSIVE,
            why="the data do not reach it",
        ),
    )
    return Backtest(
        placebos=tuple(AT + number * 8 * HOUR for number in range(50)),
        asked=50,
        data=(AT - 336 * HOUR, AT + 400 * HOUR),
        least_history=336 * HOUR,
        most_history=672 * HOUR,
        history=672 * HOUR,
        watch=6 * HOUR,
        step=HOUR / 12,
        false_alarms=0.01,
        alarms=Share(1, 50),
        undecided=2,
        series=(sound, long, unseen),
        releases=releases,
        suggestions=("watch 12h: checkout conversion would detect 3 % instead of 4.23 %",),
        made={"seed": "0"},
    )


def test_golden_table() -> None:
    text = table(result())

    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "\x1b" not in text
    assert_golden("backtest/table.txt", text + "\n")


def test_golden_json() -> None:
    assert_golden(
        "backtest/result.json", json.dumps(result().to_dict(), indent=2, allow_nan=False) + "\n"
    )


@pytest.mark.slow
def test_the_sample_shop_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "releases.csv").write_text(RELEASES)
    redesign = ROOT / "sample_data" / "redesign" / "checklist.yaml"

    code = run(
        [
            "backtest",
            str(redesign),
            "--until",
            "2025-06-03T16:00Z",
            "--placebos",
            "3",
            "--only",
            "engagement",
            "--releases",
            str(tmp_path / "releases.csv"),
            "--output",
            "json",
        ]
    )
    out, err = capsys.readouterr()
    told = json.loads(out)

    assert (code, err) == (0, "")
    assert [each["verdict"] for each in told["releases"]] == ["pass", "fail"]
    assert [each["kpi"] for each in told["releases"][1]["moved"]] == ["engagement"]
    assert (told["precision"]["share"], told["recall"]["share"]) == (1.0, 1.0)
    assert told["false_alarms"]["hits"] == 0
    assert (
        told["false_alarms"]["of"] == len(told["placebos"]) == 2
    )  # the third would share steps with a release


@pytest.mark.slow
def test_the_table_says_what_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["backtest", str(HEALTHY), *UNTIL, "--placebos", "2", "--only", "engagement"])
    out, err = capsys.readouterr()

    assert (code, err) == (0, "")
    assert out.startswith(
        "False alarms: 0 of 2 placebo releases failed (0 % [0, 66]); the promise is 1 %"
    )
    assert "engagement" in out
    assert max(map(len, out.splitlines())) <= WIDTH


@pytest.mark.slow
def test_kept_data_are_replayed_without_asking_a_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json.gz"
    assert (
        run(
            [
                "check",
                str(HEALTHY),
                "--released-at",
                "2025-06-03T09:00Z",
                "--only",
                "engagement",
                "--save",
                str(kept),
            ]
        )
        == 0
    )
    alone = tmp_path / "checklist.yaml"
    alone.write_text(HEALTHY.read_text())  # its files are not here
    capsys.readouterr()

    code = run(
        [
            "backtest",
            str(alone),
            *QUICK,
            "--only",
            "engagement",
            "--from",
            str(kept),
            "--output",
            "json",
        ]
    )
    told = json.loads(capsys.readouterr().out)

    assert code == 0
    assert told["data"] == ["2025-05-06T09:00:00Z", "2025-06-03T09:00:00Z"]
    assert told["series"][0]["detectable_effect"] > 0


def test_a_source_that_holds_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checklist.yaml").write_text(HEALTHY.read_text())

    assert run(["backtest", str(tmp_path / "checklist.yaml"), *QUICK, "--only", "engagement"]) == 4
    assert "shop.csv" in capsys.readouterr().err


def test_a_history_that_is_too_short_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["backtest", str(HEALTHY), "--until", "2025-05-10T09:00Z", "--only", "engagement"])

    assert code == 3
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(
        "No placebo release can be judged: the data reach from 2025-05-06 09:00 to 2025-05-10 "
        "09:00 UTC, but it needs 14d"
    )


@pytest.mark.slow
def test_failed_sources_end_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shop.csv", "signups.csv"):
        (tmp_path / name).symlink_to(HEALTHY.parent / name)
    (tmp_path / "checklist.yaml").write_text(HEALTHY.read_text())

    code = run(
        [
            "backtest",
            str(tmp_path / "checklist.yaml"),
            *QUICK,
            "--only",
            "request errors",
            "--only",
            "engagement",
        ]
    )

    assert code == 4
    assert "request errors: no values at all: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "2125-06-03T09:00Z"], "--until 2125-06-03T09:00Z is in the future"),
        (["--only", "engagements"], "did you mean engagement?"),
        (["--placebos", "0"], "--placebos"),
        (["--releases", "nowhere.csv"], "nowhere.csv: can't be read"),
        (["--from", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_usage_ends_with_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["backtest", str(HEALTHY), *words]) == 2
    assert said in capsys.readouterr().err
