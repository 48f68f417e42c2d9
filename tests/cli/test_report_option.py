"""`--report`: every command that judges or shows writes the page, with what became of the
messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import anomaly as package
from anomaly.cli.ending import run
from anomaly.history.store import Store
from anomaly.reporting import archive
from tests.cli.test_operation_commands import Anomaly, anomaly, shop  # noqa: F401  fixtures
from tests.support.operation import Shop
from tests.support.places import ROOT

SAMPLE = ROOT / "sample_data" / "healthy" / "checklist.yaml"
CHECK = [
    "check",
    str(SAMPLE),
    "--released-at",
    "2025-06-03T09:00Z",
    "--finished-at",
    "2025-06-03T09:10Z",
    "--only",
    "revenue",
]
STARTED = "release start --release 2.0 --checklist checklist.yaml"


@pytest.mark.slow
def test_check_writes_the_page_and_show_prints_from_it_what_check_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "2.3.1.html"

    assert run([*CHECK, "--release", "2.3.1", "--report", str(tmp_path / "{version}.html")]) == 0
    printed = capsys.readouterr().out
    assert run(["show", str(file)]) == 0
    assert capsys.readouterr().out == printed
    assert (
        run(["show", str(file), "--output", "json", "--report", str(tmp_path / "again.html")]) == 0
    )
    assert json.loads(capsys.readouterr().out)["release"]["version"] == "2.3.1"
    assert (tmp_path / "again.html").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("command", ["check", "watch", "tick", "merge", "show"])
@pytest.mark.parametrize("name", ["report.pdf", "report", "report.html.gz", "{version}"])
def test_a_report_in_a_form_that_there_is_not_is_refused_before_any_work(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["part.npz"] if command == "merge" else []
    assert run([command, "nowhere.yaml", *parts, "--report", name]) == 2
    assert f"--report {name} must end in .html" in capsys.readouterr().err


@pytest.mark.slow
def test_a_page_that_cannot_be_written_is_said_and_takes_a_pass_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CHECK, "--report", str(tmp_path / "nowhere" / "x.html")]) == 5
    out, err = capsys.readouterr()
    assert out.startswith("PASS")
    assert "report not written" in err


@pytest.mark.slow
def test_tick_writes_the_page_at_each_look_and_says_who_was_told(
    anomaly: Anomaly,
    shop: Shop,
) -> None:
    anomaly(0, STARTED)
    code, _, err = anomaly(2.5, "tick checklist.yaml --report {version}-{id}.html")
    with Store(str(shop.folder / "history.db")) as store:
        known = store.releases()[0].id

    report, told = archive.read(shop.folder / f"2.0-{known[:8]}.html")
    assert (code, err, report.verdict) == (1, "", "fail")
    assert [(each.sink, each.delivered) for each in told] == [("jsonl", True)]
    assert "fire (first)" in told[0].detail

    anomaly(12.5, f"tick checklist.yaml --report 2.0-{known[:8]}.html")
    report, told = archive.read(shop.folder / f"2.0-{known[:8]}.html")
    assert report.final
    assert len(told) > 1


def without_data(page: Path) -> str:
    """The text of a page but for the numbers behind its charts."""
    text = page.read_text(encoding="utf-8")
    before, opening, rest = text.partition(archive.OPENING)
    return before + opening + rest.partition(archive.CLOSING)[2]


@pytest.mark.slow
def test_watch_and_show_write_the_page_of_a_release(anomaly: Anomaly, shop: Shop) -> None:
    code, _, _ = anomaly(
        2.5,
        "watch checklist.yaml --released-at 2025-06-12T10:00Z --release 2.0 --report watched.html",
    )
    with Store(str(shop.folder / "history.db")) as store:
        known = store.releases()[0].id
    shown, _, _ = anomaly(3, f"show {known[:8]} --checklist checklist.yaml --report shown.html")

    assert (code, shown) == (1, 0)
    of_watch, of_history = (
        without_data(shop.folder / f"{name}.html") for name in ("watched", "shown")
    )
    assert of_watch == of_history  # a history keeps points to a hundredth of the band
    again = package.load(known[:8], store=str(shop.folder / "history.db"))
    assert again.to_dict() == package.load(shop.folder / "shown.html").to_dict()


def test_a_release_that_was_not_judged_has_no_report(anomaly: Anomaly, shop: Shop) -> None:
    anomaly(0, STARTED)
    with Store(str(shop.folder / "history.db")) as store:
        known = store.releases()[0].id

    assert anomaly(0, f"show {known[:8]} --checklist checklist.yaml --report x.html")[0] == 2
    with pytest.raises(package.UsageError, match="not judged yet"):
        package.load(known, store=str(shop.folder / "history.db"))
