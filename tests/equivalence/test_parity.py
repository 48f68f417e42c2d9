"""`anomaly parity` as its user meets it: what it prints, and how it ends."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anomaly.cli.ending import run
from anomaly.cli.parity_table import WIDTH, table
from anomaly.equivalence.movements import movements
from anomaly.equivalence.result import Aspect, Likeness, Parity, SeriesParity
from anomaly.model import ReleaseVerdict, Verdict, Window
from anomaly.reporting.report import Report
from tests.support.goldens import assert_golden
from tests.support.places import ROOT
from tests.support.reports import IMPROVED, REGRESSED, RELEASED, report
from tests.support.shops import write

BETWEEN = ("--between", "staging", "production")
RELEASE = (
    "--released-at",
    "2025-06-03T09:00Z",
    "2025-06-03T09:00Z",
    "--finished-at",
    "2025-06-03T09:10Z",
    "2025-06-03T09:10Z",
)
BEFORE = ("--until", "2025-06-03T09:00Z")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both environments, the redesign released to production and, without its fault, to staging."""
    return write(tmp_path_factory.mktemp("shop"), production="redesign")


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is detectable is computed at one past moment, where nobody asks for it."""
    monkeypatch.setattr("anomaly.equivalence.run.PLACEBOS", 1)


def parity(
    capsys: pytest.CaptureFixture[str], checklist: Path, *words: str
) -> tuple[int, str, str]:
    code = run(["parity", str(checklist), *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def result() -> Parity:
    """Something of everything."""
    window = Window(RELEASED - timedelta(days=28), RELEASED)
    alike = Aspect(
        Likeness.ALIKE, 0.97, (0.91, 1.03), (0.8, math.inf), "rhythms of 41 % and 42 % of the level"
    )
    wider = Aspect(Likeness.ALIKE, 9.9, (8.4, 11.7), (0.5, 20.0), "its volume explains ×10")
    level = Aspect(Likeness.DIFFERS, 0.74, (0.70, 0.78), (0.8, 1.25))
    noisy = Aspect(Likeness.UNCLEAR, reason="too noisy to tell whether there is a rhythm")
    series = (
        SeriesParity(
            "orders",
            {},
            Likeness.ALIKE,
            "alike",
            {"rhythm": alike, "spread": wider},
            0.01,
            (1.2, 120.0),
            (0.4, 0.05),
        ),
        SeriesParity(
            "checkout conversion that is said at length",
            {"country": "DE"},
            Likeness.DIFFERS,
            "differs in level",
            {
                "rhythm": Aspect(
                    Likeness.ALIKE, reason="no rhythm of more than 10 % of the level on either side"
                ),
                "level": level,
            },
            0.0104,
            (0.031, 0.042),
            (None, 0.12),
            "orders per session",
        ),
        SeriesParity(
            "sign-ups\x1b[2J",
            {"country": "US"},
            Likeness.MISSING,
            "missing in staging",
            counts=False,
        ),
        SeriesParity(
            "errors",
            {},
            Likeness.UNCLEAR,
            "not enough data: rhythm",
            {"rhythm": noisy},
            0.01,
            (0.1, 0.1),
            (2.0, 0.3),
            total=True,
        ),
    )
    quiet = replace(REGRESSED, verdict=Verdict.OK, kind=None, detectable_effect=0.3)
    reports = report(ReleaseVerdict.PASS, quiet), report(ReleaseVerdict.FAIL, REGRESSED, IMPROVED)
    return Parity(
        between=("staging", "production"),
        service="shop",
        histories=(window, window),
        watch=timedelta(hours=6),
        series=series,
        reports=reports,
        movements=movements(reports, ("staging", "production")),
        made={"anomaly": "0.1.0"},
    )


def test_golden_table() -> None:
    text = table(result())

    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "\x1b" not in text
    assert_golden("parity/table.txt", f"{text}\n")


def test_golden_json() -> None:
    document = {key: value for key, value in result().to_dict().items() if key != "reports"}

    assert document["schema"] == 1
    assert_golden("parity/parity.json", json.dumps(document, indent=2, allow_nan=False) + "\n")


@pytest.mark.slow
def test_golden_of_the_shop_is_shown_in_the_page_of_the_commands(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = parity(capsys, shop, *BETWEEN, *RELEASE)

    assert (code, err) == (1, "")
    assert max(map(len, out.splitlines())) <= WIDTH
    assert_golden("parity/shop.txt", out)
    assert out in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_kpi_that_moved_in_production_alone_is_named_with_what_staging_could_have_seen(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = parity(
        capsys, shop, *BETWEEN, *RELEASE, "--only", "engagement", "--output", "json"
    )

    document = json.loads(out)
    (moved,) = document["movements"]
    assert code == 1
    assert (moved["kpi"], moved["in_both"], moved["verdicts"]) == (
        "engagement",
        False,
        ["ok", "regressed"],
    )
    assert moved["reason"].startswith("regressed in production (-")
    assert "ok in staging, although a change of" in moved["reason"]


@pytest.mark.slow
def test_without_a_release_differences_end_with_3(
    shop: Path, capsys: pytest.CaptureFixture[str], one_moment: None
) -> None:
    only = ("--only", "requests", "--only", "p95 latency")

    code, out, _ = parity(capsys, shop, *BETWEEN, *BEFORE, *only, "--output", "json")

    assert (code, json.loads(out)["verdict"]) == (3, "differs")


@pytest.mark.slow
def test_without_a_release_likeness_ends_with_0_and_says_what_each_could_have_seen(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", "requests", "--only", "engagement")

    code, out, _ = parity(capsys, shop, *BETWEEN, *BEFORE, *only, "--output", "json")

    assert (code, json.loads(out)["verdict"]) == (0, "alike")
    for series in json.loads(out)["series"]:
        staging, production = series["detectable"]
        assert production < staging


@pytest.mark.slow
def test_kept_data_give_the_same_answer_and_an_unlike_pair_does_not(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [str(tmp_path / f"{name}.json.gz") for name in BETWEEN[1:]]
    for name, file in zip(BETWEEN[1:], kept, strict=True):
        run(
            [
                "check",
                str(shop),
                "--environment",
                name,
                RELEASE[0],
                RELEASE[1],
                "--only",
                "engagement",
                "--save",
                file,
            ]
        )
    capsys.readouterr()
    words = (RELEASE[0], RELEASE[1], RELEASE[2], "--only", "engagement", "--output", "json")

    asked = parity(capsys, shop, *BETWEEN, *words)
    again = parity(capsys, shop, *BETWEEN, *words, "--from", *kept)
    swapped = parity(capsys, shop, *BETWEEN, *words, "--from", *reversed(kept))

    def told(answer: tuple[int, str, str]) -> Any:
        document = json.loads(answer[1])
        return {key: document[key] for key in ("verdict", "series", "movements")}

    assert asked[0] == again[0] == 1
    assert told(asked) == told(again)
    assert told(asked) != told(swapped)


@pytest.mark.slow
def test_a_source_that_fails_is_said_and_never_alike(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_moment: None
) -> None:
    checklist = tmp_path / "checklist.yaml"
    text = (
        shop.read_text(encoding="utf-8")
        .replace("path: ", f"path: {shop.parent}/")
        .replace("staging/shop.csv", "staging/gone.csv")
    )
    checklist.write_text(text, encoding="utf-8")

    engagement = parity(
        capsys,
        checklist,
        *BETWEEN,
        *BEFORE,
        "--only",
        "engagement",
        "--only",
        "requests",
        "--output",
        "json",
    )
    critical = parity(
        capsys, checklist, *BETWEEN, *BEFORE, "--only", "checkout conversion", "--output", "json"
    )

    (failed,) = [
        each for each in json.loads(engagement[1])["series"] if each["kpi"] == "engagement"
    ]
    assert failed["verdict"] == "unclear"
    assert failed["reason"].startswith("error in staging: ")
    assert (engagement[0], critical[0]) == (3, 4)


@pytest.mark.slow
def test_a_source_that_both_share_is_not_compared_with_itself(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_moment: None
) -> None:
    checklist = tmp_path / "checklist.yaml"
    text = (
        shop.read_text(encoding="utf-8")
        .replace("path: ", f"path: {shop.parent}/")
        .replace("staging/shop.csv", "production/shop.csv")
    )
    checklist.write_text(text, encoding="utf-8")

    code, out, _ = parity(
        capsys,
        checklist,
        *BETWEEN,
        *BEFORE,
        "--only",
        "engagement",
        "--only",
        "requests",
        "--output",
        "json",
    )
    refused = parity(capsys, checklist, *BETWEEN, *BEFORE, "--only", "engagement")

    (shared,) = [each for each in json.loads(out)["series"] if each["kpi"] == "engagement"]
    assert (code, shared["verdict"]) == (3, "unclear")
    assert shared["reason"] == "read from the same source in staging and production: shop"
    assert refused[0] == 2
    assert "staging and production read the same sources" in refused[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--between", "staging", "staging"),
            "--between has 'staging' twice; give two environments",
        ),
        (
            ("--between", "stagign", "production"),
            "'stagign'; use one of production, staging (did you mean staging?)",
        ),
        ((*BETWEEN, "--only", "engagementt"), "'engagementt' is not a KPI of the checklist"),
        ((*BETWEEN, *RELEASE, *BEFORE), "--until and --released-at exclude each other"),
        ((*BETWEEN, "--finished-at", "-1h", "-1h"), "--finished-at needs --released-at"),
        ((*BETWEEN, "--released-at", "-1h"), "requires 2 arguments"),
        ((), "Missing option '--between'"),
    ],
)
def test_a_wrong_line_ends_with_2_and_says_what_to_change(
    shop: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = parity(capsys, shop, *words)

    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("environments", "said"),
    [
        ("", "'staging' was asked for as environment, but the checklist names none"),
        (
            "environments: {staging: {sinks: []}, production: {sinks: []}}\n",
            "give each its own under environments.staging.sources and "
            "environments.production.sources",
        ),
    ],
)
def test_environments_that_are_missing_or_read_the_same_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, environments: str, said: str
) -> None:
    checklist = tmp_path / "checklist.yaml"
    checklist.write_text(
        (
            "service: shop\nsources:\n  shop: {type: files, path: shop.csv}\nkpis:\n  - {name: "
            f"orders, query: orders, direction: down}}\n{environments}"
        ),
        encoding="utf-8",
    )

    code, _, err = parity(capsys, checklist, *BETWEEN)

    assert code == 2
    assert said in err


def both(
    staging: Verdict, production: Verdict, *, effect: float = 0.31, sees: float | None = 0.12
) -> tuple[str, bool]:
    """What is said of a KPI with these verdicts, and whether it moved in both."""

    def judged(verdict: Verdict) -> Report:
        size = sees if verdict is Verdict.OK else None
        finding = replace(
            REGRESSED,
            verdict=verdict,
            segment={},
            kind=None,
            effect=effect,
            effect_interval=None,
            detectable_effect=size,
        )
        return report(ReleaseVerdict.PASS, replace(finding, reason="4 of 24 steps, need 12"))

    (only,) = movements((judged(staging), judged(production)), ("staging", "production"))
    return only.reason, only.in_both


def test_what_moved_in_one_alone_says_whether_the_other_could_have_seen_it() -> None:
    moved = "regressed in production (+31 %)"

    assert both(Verdict.OK, Verdict.REGRESSED) == (
        f"{moved}; ok in staging, although a change of 12 % is detectable there",
        False,
    )
    assert both(Verdict.OK, Verdict.REGRESSED, sees=0.4) == (
        f"{moved}; ok in staging, where only changes of 40 % or more are detectable",
        False,
    )
    assert both(Verdict.INCONCLUSIVE, Verdict.REGRESSED) == (
        f"{moved}; inconclusive in staging: 4 of 24 steps, need 12",
        False,
    )
    assert both(Verdict.REGRESSED, Verdict.OK)[0].startswith(
        "regressed in staging (+31 %); ok in production"
    )
    assert both(Verdict.IMPROVED, Verdict.REGRESSED)[1] is False
    assert both(Verdict.REGRESSED, Verdict.RECOVERED)[1] is True
    assert both(Verdict.REGRESSED, Verdict.REGRESSED) == (
        "regressed in both: +31 % in staging and +31 % in production",
        True,
    )


def test_nothing_moved_and_nothing_is_listed() -> None:
    quiet = report(ReleaseVerdict.PASS, replace(REGRESSED, verdict=Verdict.OK))

    assert movements((quiet, quiet), ("staging", "production")) == ()
