"""The page over releases: what it says, that it works in a real browser, and that it leads to the
reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.history.records import FindingRecord
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict, Verdict
from anomaly.reporting.pages.history import MOST_COLUMNS
from anomaly.reporting.report import Report
from tests.reporting.pages.conftest import Open
from tests.reporting.pages.test_release_page import HOSTILE, scanned
from tests.support import reports

NOW = datetime(2025, 11, 10, tzinfo=UTC)


def released(report: Report, version: str, days: int) -> Report:
    start = reports.RELEASED - timedelta(days=days)
    return replace(
        report,
        release=replace(report.release, version=version, started_at=start, finished_at=start),
    )


def history(folder: Path, *told: Report) -> list[str]:
    """A store with these reports, the first acknowledged as a false alarm; the ids of their
    releases."""
    ids = []
    with Store(str(folder / "history.db")) as store:
        for report in told:
            tracked = store.track(report.release, origin="test", checklist="")
            store.record(tracked.id, report, (), at=NOW, after=0)
            ids.append(tracked.id)
        store.acknowledge(store.releases()[0], incident=False, note="a campaign", at=NOW)
    return ids


def written(folder: Path) -> str:
    assert (
        run(
            [
                "history",
                "--store",
                str(folder / "history.db"),
                "--html",
                str(folder / "history.html"),
            ]
        )
        == 0
    )
    return (folder / "history.html").read_text(encoding="utf-8")


def looked_at(folder: Path, count: int, looks: Sequence[Report]) -> None:
    """A store with so many releases, each looked at as often as there are reports."""
    with Store(str(folder / "history.db")) as store:
        for number in range(count):
            for earlier, look in enumerate(looks):
                report = released(look, f"1.{number}.0", number)
                tracked = store.track(report.release, origin="test", checklist="")
                store.record(tracked.id, report, (), at=NOW, after=earlier)


def test_a_square_shows_the_last_look_not_the_worst(tmp_path: Path) -> None:
    undecided = [
        replace(finding, verdict=Verdict.INCONCLUSIVE) for finding in reports.passing().findings
    ]
    early = replace(
        reports.passing(),
        verdict=ReleaseVerdict.INCONCLUSIVE,
        final=False,
        findings=tuple(undecided),
    )
    looked_at(tmp_path, 1, [early] * 3 + [reports.passing()])
    page = written(tmp_path)
    assert "1.0.0: ok" in page
    assert "1.0.0: inconclusive" not in page


@pytest.mark.slow
def test_only_the_findings_that_are_shown_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at(tmp_path, MOST_COLUMNS + 3, [reports.passing()] * 2)
    read, findings = [], Store.findings_of

    def counted(store: Store, looks: Collection[str]) -> dict[str, list[FindingRecord]]:
        read.append(findings(store, looks))
        return read[-1]

    monkeypatch.setattr(Store, "findings_of", counted)
    written(tmp_path)
    (of_looks,) = read
    assert len(of_looks) == MOST_COLUMNS
    assert {len(rows) for rows in of_looks.values()} == {len(reports.passing().findings)}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_shows_verdicts_kpis_and_its_own_record(
    opened: Open, tmp_path: Path, scheme: str
) -> None:
    ids = history(
        tmp_path,
        released(reports.failing(), "1.0", 9),
        released(reports.passing(), "1.1", 4),
        released(reports.messy(), "1.2", 1),
    )
    (tmp_path / f"1.0-{ids[0][:8]}.html").write_text("the report", encoding="utf-8")

    view = opened(written(tmp_path), scheme=scheme)

    squares = {
        line.split("\n")[0].strip(): line
        for line in view.tab.locator(".heat tbody tr").all_inner_texts()
    }
    assert next(iter(squares)).startswith("checkout errors")
    assert view.tab.locator(".heat thead th").all_inner_texts()[1:] == ["1.0", "1.1", "1.2"]
    assert view.tab.locator(".panel circle").count() == 3
    assert (
        "0 % of the alarms were right: 0 of 1 with feedback"
        in view.tab.locator(".tiles").inner_text()
    )
    assert "a false alarm: a campaign" in view.tab.locator("#release-3").inner_text()
    assert view.tab.locator("main a").first.get_attribute("href") == f"1.0-{ids[0][:8]}.html"
    assert scanned(view.tab) == []
    assert view.trouble == []


def test_a_history_without_releases_says_how_to_begin(opened: Open, tmp_path: Path) -> None:
    with Store(str(tmp_path / "history.db")):
        pass

    view = opened(written(tmp_path))

    assert "anomaly release start" in view.tab.locator("main").inner_text()
    assert view.trouble == []


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE if "\ud800" not in text and "\x00" not in text]
)
def test_hostile_text_stays_text(opened: Open, tmp_path: Path, text: str) -> None:
    report = reports.hostile(text)
    history(tmp_path, replace(report, findings=report.findings[:1]))

    view = opened(written(tmp_path))

    assert view.tab.evaluate("document.querySelectorAll('script').length") == 2
    assert view.tab.evaluate("document.querySelectorAll('img').length") == 0
    assert view.trouble == []


def test_a_page_over_one_release_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = history(tmp_path, reports.passing())

    code = run(
        [
            "history",
            ids[0],
            "--store",
            str(tmp_path / "history.db"),
            "--html",
            str(tmp_path / "x.html"),
        ]
    )

    assert code == 2
    assert "anomaly show ID --report FILE" in capsys.readouterr().err
