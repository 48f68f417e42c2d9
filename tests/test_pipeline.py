"""From a checklist to a report: several sources, usage by query, one source dead, kept data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.contracts import Action, Message
from anomaly.model import Release, ReleaseVerdict, Verdict
from anomaly.reporting import archive
from anomaly.reporting.notice import notice
from anomaly.reporting.report import Report
from anomaly.reporting.words import context_lines, new_kinds

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
HISTORY, WATCHED = 7 * 24, 12  # hours
CHECKLIST = """
service: shop
sources:
  first: {type: files, path: first.csv}
  second: {type: files, path: second.csv}
windows: {history: 7d, warmup: 0s, watch: 12h, step: 1h}
kpis:
  - {name: orders, source: first, query: orders, usage: visits}
  - {name: searches, source: second, query: searches, usage: 300}
"""


def write(folder: Path, name: str, **columns: np.ndarray) -> None:
    index = pd.date_range(
        RELEASED - timedelta(hours=HISTORY), periods=HISTORY + WATCHED, freq="1h", tz="UTC"
    )
    pd.DataFrame(columns, index=index.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(
        folder / name, index_label="time"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(7)
    steps = HISTORY + WATCHED
    visits = np.full(steps, 5.0)
    visits[HISTORY:] = 1e6  # what people do after the release is no weight
    write(tmp_path, "first.csv", orders=rng.normal(100, 3, steps), visits=visits)
    write(tmp_path, "second.csv", searches=rng.normal(50, 2, steps))
    (tmp_path / "checklist.yaml").write_text(CHECKLIST)
    return tmp_path


def judged(folder: Path, **options: object) -> Report:
    checklist = anomaly.load_checklist(folder / "checklist.yaml")
    now = RELEASED + timedelta(hours=WATCHED + 1)
    return anomaly.check_release(checklist, Release(RELEASED), now=now, **options)  # type: ignore[arg-type]


def test_a_usage_query_weighs_by_its_total_before_the_release(folder: Path) -> None:
    report = judged(folder)

    assert [finding.weight for finding in report.findings] == [5.0 * HISTORY, 300.0]
    assert [finding.kpi for finding in report.findings] == ["orders", "searches"]
    assert report.verdict is ReleaseVerdict.PASS


def test_a_dead_source_hides_no_other(folder: Path) -> None:
    (folder / "second.csv").unlink()

    report = judged(folder)

    assert [finding.verdict for finding in report.findings] == [Verdict.OK, Verdict.ERROR]
    assert "second.csv" in report.findings[1].reason
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE


def test_all_sources_dead_is_an_error(folder: Path) -> None:
    for name in ("first.csv", "second.csv"):
        (folder / name).unlink()

    assert judged(folder).verdict is ReleaseVerdict.ERROR


def test_a_usage_query_without_an_answer_leaves_the_kpi_its_least_share(folder: Path) -> None:
    text = (folder / "checklist.yaml").read_text()
    (folder / "checklist.yaml").write_text(text.replace("usage: visits", "usage: nobody"))

    report = judged(folder)

    assert report.findings[0].weight == 0.0
    assert report.findings[0].verdict is Verdict.OK
    assert report.findings[0].level is not None
    assert report.findings[0].level == pytest.approx(0.01 * 0.125 / 1.125)


@pytest.mark.slow
def test_kept_data_give_the_same_report(folder: Path) -> None:
    checklist = anomaly.load_checklist(folder / "checklist.yaml")
    now = RELEASED + timedelta(hours=WATCHED + 1)
    collected = anomaly.collect(checklist, Release(RELEASED), now=now)

    again = judged(folder, collected=collected)

    assert again.findings == judged(folder).findings


@pytest.mark.slow
@pytest.mark.parametrize(("share", "is_broken"), [(0.1, False), (0.2, True)])
def test_an_arm_with_another_share_of_the_traffic_is_never_ok(
    folder: Path, share: float, *, is_broken: bool
) -> None:
    rng, steps = np.random.default_rng(3), HISTORY + WATCHED
    new, old = rng.poisson(100, steps), rng.poisson(900, steps)
    errors = {name: rng.binomial(n, 0.05) for name, n in (("bad new", new), ("bad old", old))}
    write(folder, "first.csv", new=new, old=old, **errors)
    (folder / "checklist.yaml").write_text(
        f"""
service: shop
sources: {{data: {{type: files, path: first.csv}}}}
windows: {{history: 7d, warmup: 0s, watch: 12h, step: 1h}}
kpis:
  - {{name: errors, query: bad new, denominator: new}}
  - {{name: of the old, query: bad old, denominator: old, control_for: [errors], split: {share}}}
"""
    )

    report = judged(folder)

    finding = report["errors"]
    mismatch = "sample ratio mismatch with of the old: 9.78 % of 12,006 here, 20 % declared, p < 0."
    assert finding.reason.startswith(mismatch) is is_broken
    assert "mismatch" not in " ".join(finding.notes)
    assert finding.verdict is (Verdict.INCONCLUSIVE if is_broken else Verdict.OK)
    assert report.verdict is (ReleaseVerdict.INCONCLUSIVE if is_broken else ReleaseVerdict.PASS)


@pytest.mark.slow
def test_an_arm_that_is_worse_fails_and_says_that_its_share_of_the_traffic_is_another(
    folder: Path,
) -> None:
    rng, steps = np.random.default_rng(3), HISTORY + WATCHED
    new, old = rng.poisson(100, steps), rng.poisson(900, steps)
    rate = np.where(np.arange(steps) < HISTORY, 0.05, 0.15)
    errors = {"bad new": rng.binomial(new, rate), "bad old": rng.binomial(old, 0.05)}
    write(folder, "first.csv", new=new, old=old, **errors)
    (folder / "checklist.yaml").write_text(
        """
service: shop
sources: {data: {type: files, path: first.csv}}
windows: {history: 7d, warmup: 0s, watch: 12h, step: 1h}
kpis:
  - {name: errors, query: bad new, denominator: new, direction: up}
  - {name: of the old, query: bad old, denominator: old, control_for: [errors], split: 20%}
"""
    )

    report = judged(folder)

    assert report.verdict is ReleaseVerdict.FAIL
    assert "20 % declared, p < 0.0001; the arms do not compare" in " ".join(report["errors"].notes)


def of_new_kinds(folder: Path, **events: int) -> Report:
    """Errors by class: an old one, and new ones with so many events, from five hours after the
    release on."""
    rng = np.random.default_rng(5)
    rows = [
        (RELEASED + timedelta(hours=hour), "Old", rng.poisson(30))
        for hour in range(-HISTORY, WATCHED)
    ]
    for name, count in events.items():
        hours = rng.integers(5, WATCHED, size=count) if count > 1 else [5]
        rows += [
            (RELEASED + timedelta(hours=int(hour)), name, int(number))
            for hour, number in zip(*np.unique(hours, return_counts=True), strict=True)
        ]
    table = pd.DataFrame(rows, columns=["time", "class", "errors"])
    table["time"] = table["time"].map(lambda each: each.isoformat())
    table.to_csv(folder / "first.csv", index=False)
    (folder / "checklist.yaml").write_text(
        """
service: shop
sources: {data: {type: files, path: first.csv}}
windows: {history: 7d, warmup: 0s, watch: 12h, step: 1h}
kpis: [{name: errors, query: errors, by: [class], kind: counts, direction: up}]
"""
    )
    return judged(folder)


@pytest.mark.slow
def test_a_new_kind_of_error_fails_the_release_and_is_told_plainly(folder: Path) -> None:
    report = of_new_kinds(folder, TimeoutError=214)

    found = report["errors", {"class": "TimeoutError"}]
    assert (found.verdict, found.evidence.new_events) == (Verdict.REGRESSED, 214)
    line = "new since the release: errors (class=TimeoutError), 214 times"
    assert line in context_lines(report)
    assert line in notice(Message("k", report, Action.FIRE)).facts
    assert new_kinds(archive.unpack(archive.pack(report))) == line


def test_a_single_event_of_a_new_kind_is_told_and_fails_nothing(folder: Path) -> None:
    report = of_new_kinds(folder, TimeoutError=1)

    assert report.verdict is ReleaseVerdict.PASS
    assert report["errors"].verdict is Verdict.OK
    line = "new since the release: errors (class=TimeoutError), once"
    assert line in notice(Message("k", report)).facts


def test_of_many_new_kinds_the_most_frequent_are_named(folder: Path) -> None:
    report = of_new_kinds(folder, **{f"K{number}": 20 + number for number in range(8)})

    names = "; ".join(
        f"errors (class=K{number}), {20 + number} times" for number in range(7, 2, -1)
    )
    assert new_kinds(report) == f"new since the release: {names}; and 3 more"


def test_progress_counts_the_queries(folder: Path) -> None:
    seen: list[tuple[int, int]] = []

    judged(folder, progress=lambda done, total: seen.append((done, total)))

    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)
