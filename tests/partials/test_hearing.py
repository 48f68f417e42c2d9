"""How the work is divided, and who does it, changes nothing; a crash is that of one KPI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.contracts import Collected
from anomaly.decision import judge
from anomaly.decision.decide import decide
from anomaly.decision.judge import Batch, examine
from anomaly.engine.processes import processes
from anomaly.engine.workers import Workers
from anomaly.model import Direction, Finding, Kpi, Release, Verdict
from anomaly.panel import VALUE, assemble, keys_of
from anomaly.partials import gathering, hearing, inquiry
from anomaly.partials.hearing import divided
from anomaly.partials.inquiry import shards
from anomaly.reporting.archive import data_of
from anomaly.reporting.report import Report
from anomaly.scoring.scored import Scored
from tests.decision.test_judge import IN_STAGES, KPIS, columns
from tests.decision.test_mix import HALF_HOURLY, INDEX, NOW
from tests.support.simulations import STARTED, finding_of, look
from tests.test_pipeline import CHECKLIST, folder, judged  # noqa: F401  a fixture


def same(one: Report, other: Report) -> bool:
    return data_of(one) == data_of(other) and one.points.equals(other.points)


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    """Two processes."""
    with processes(2) as workers:
        yield workers


@pytest.mark.slow
@pytest.mark.parametrize("release", [Release(STARTED), IN_STAGES], ids=["at once", "in stages"])
def test_the_answer_is_the_same_whoever_gives_it(
    release: Release, two: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a task for each series, so that there is something to share."""
    alone = look(columns(), KPIS, now=NOW, release=release, windows=HALF_HOURLY)
    monkeypatch.setattr(hearing, "BATCHES", 1)
    monkeypatch.setattr(judge, "TOGETHER", 1)
    shared = look(columns(), KPIS, now=NOW, release=release, windows=HALF_HOURLY, workers=two)
    assert same(shared, alone)


def test_shards_follow_the_order_of_the_kpis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "MOST", 2)
    kpis = [Kpi("a"), Kpi("b"), Kpi("c"), Kpi("d", by=("x",)), Kpi("e", control_for=("a", "d"))]

    found = [*shards(kpis)]

    assert [each.names for each in found] == [("a", "b"), ("c",), ("d",), ("e",)]
    assert [[kpi.name for kpi in each.beside] for each in found] == [["e"], [], ["e"], []]


def test_small_shards_are_heard_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a batch of series, the totals of their segments counted, and in their order."""
    monkeypatch.setattr(hearing, "TOGETHER", 6)
    kpis = [
        Kpi("a"),
        Kpi("b", by=("x",)),
        Kpi("c", by=("x",), control_for=("a",)),
        Kpi("d", by=("x",)),
        Kpi("e"),
    ]
    segments = {"a": [""], "b": ["x=1", "x=2"], "c": ["x=1"], "d": [f"x={n}" for n in range(9)]}
    keys = [(name, each, VALUE) for name, some in segments.items() for each in some]
    data = Collected(assemble(dict.fromkeys(keys, np.ones(len(INDEX))), INDEX))

    def heard(*, is_whole: bool) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        found = divided(data, shards(kpis), is_whole=is_whole)
        return [(shard.names, tuple(kpi.name for kpi in shard.beside)) for shard, _ in found]

    apart = [(("a",), ("c",)), (("b",), ()), (("c",), ()), (("d",), ()), (("e",), ())]
    assert heard(is_whole=False) == apart
    assert heard(is_whole=True) == [(("a", "b", "c"), ()), (("d",), ()), (("e",), ())]


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has the KPI `bad` in it crashes."""

    def crash(batch: Batch, *rest: object) -> tuple[judge.Testimony, ...]:
        if any(name == "bad" for name, _, _ in keys_of(batch.panel)):
            raise ZeroDivisionError
        return examine(batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(hearing, "examine", crash)


def test_a_kpi_that_crashes_hides_no_other(crashing: None) -> None:
    rng = np.random.default_rng(1)
    names = ["good", "bad", "also good"]

    report = look(
        {(name, "", VALUE): rng.normal(100, 3, len(INDEX)) for name in names},
        [Kpi(name, direction=Direction.UP) for name in names],
        now=NOW,
        windows=HALF_HOURLY,
    )

    assert [finding.verdict for finding in report.findings] == [
        Verdict.OK,
        Verdict.ERROR,
        Verdict.OK,
    ]
    assert finding_of(report, "bad").reason == "judging it crashed: ZeroDivisionError"
    assert {*report.points["kpi"]} == {"good", "also good"}


@pytest.mark.parametrize("names", [["bad"], ["good", "bad"]])
def test_a_kpi_about_which_the_decision_crashes_hides_no_other(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)

    def crash(scored: Scored, *rest: object, **more: object) -> tuple[Finding, ...]:
        if "bad" in dict(scored.keys):
            raise ZeroDivisionError
        return decide(scored, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "decide", crash)
    report = look(
        {(name, "", VALUE): rng.normal(100, 3, len(INDEX)) for name in names},
        [Kpi(name) for name in names],
        now=NOW,
        windows=HALF_HOURLY,
    )

    verdicts = {finding.kpi: finding.verdict for finding in report.findings}
    expected = {"good": Verdict.OK, "bad": Verdict.ERROR}
    assert verdicts == {name: expected[name] for name in names}


def test_a_control_that_crashes_leaves_its_kpi_judged(crashing: None) -> None:
    rng = np.random.default_rng(1)

    report = look(
        {(name, "", VALUE): rng.normal(100, 3, len(INDEX)) for name in ("good", "bad")},
        [Kpi("good"), Kpi("bad", control_for=("good",))],
        now=NOW,
        windows=HALF_HOURLY,
    )

    assert finding_of(report, "good").verdict is Verdict.OK
    assert finding_of(report, "bad").verdict is Verdict.ERROR


@pytest.mark.slow
def test_sources_asked_bit_by_bit_give_the_same_answer(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = judged(folder)
    monkeypatch.setattr(inquiry, "MOST", 1)
    monkeypatch.setattr(gathering, "CELLS", 1)
    counts: list[tuple[int, int]] = []

    assert same(judged(folder, progress=lambda *count: counts.append(count)), at_once)
    assert counts[-1] == (3, 3)
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("cells", "expected"), [(200 * (7 * 24 + 12), [2, 1, 2]), (1, [2, 1, 1])], ids=["some", "one"]
)
def test_a_source_that_is_dead_is_not_asked_for_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cells: int, expected: list[int]
) -> None:
    more = "".join(
        f"  - {{name: k{i}, source: second, query: searches, by: [c]}}\n" for i in range(4)
    )
    (folder / "checklist.yaml").write_text(CHECKLIST + more)
    (folder / "second.csv").unlink()
    monkeypatch.setattr(gathering, "SEGMENTS", 100)
    monkeypatch.setattr(gathering, "CELLS", cells)
    asked: list[int] = []
    from anomaly.collectors.files import FilesCollector

    collect = FilesCollector.collect

    def counted(self: FilesCollector, kpis: object, *rest: object) -> object:
        asked.append(len(kpis))  # type: ignore[arg-type]
        return collect(self, kpis, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FilesCollector, "collect", counted)

    report = judged(folder)

    assert asked == expected
    assert [finding.verdict for finding in report.findings[1:]] == [Verdict.ERROR] * 5


@pytest.mark.slow
def test_a_frame_is_judged_alike_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "BATCHES", 1)  # so that there are two tasks
    index = pd.date_range("2025-03-01", periods=300, freq="5min", tz="UTC")
    values = np.random.default_rng(1).normal(200, 5, (300, 30))
    frame = pd.DataFrame(values, index, columns=[f"k{i}" for i in range(30)])

    def answer(jobs: int) -> Report:
        return anomaly.check(frame, released_at=index[276], jobs=jobs)

    assert same(answer(2), answer(1))
