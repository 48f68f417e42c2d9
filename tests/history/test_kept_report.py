"""What the history keeps of each look at a release, and that it stays small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly.errors import StoreError
from anomaly.history.kept_report import NOT_SAVED, POINTS
from anomaly.history.records import look_id
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from anomaly.reporting.report import Report
from tests.support import reports

HOUR = timedelta(hours=1)
NUMBERS = ["observed", "expected", "lower", "upper"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "history.db") as store:
        yield store


def report(steps: int, kpis: int = 2, seed: int = 1) -> Report:
    """A look after so many steps, with points of full precision; later ones observe the same."""
    rng = np.random.default_rng(seed)
    findings, parts = [], []
    for number in range(kpis):
        observed = rng.normal(400, 20, 288)
        drift = steps / 1000  # each look expects a little else
        name = f"latency {number}"
        noise = np.random.default_rng([seed, steps, number]).normal(0, 0.01, 4)
        findings.append(
            replace(
                reports.LATENCY,
                kpi=name,
                query=f"{reports.LATENCY.query} # {number}",
                observed=float(observed[:steps].mean()),
                expected=400.0 + drift,
                effect=float(noise[0]),
                effect_interval=(float(noise[0] - 0.01), float(noise[0] + 0.01)),
                p_value=float(abs(noise[1])),
                detectable_effect=float(abs(noise[2])),
                steps=steps,
                reason=f"nothing so far, {steps} of 288 steps",
            )
        )
        parts.append(
            pd.DataFrame(
                {
                    "kpi": name,
                    "segment": "",
                    "time": pd.date_range(reports.OBSERVED_FROM, periods=steps, freq=reports.STEP),
                    "observed": observed[:steps],
                    "expected": 400.0 + drift,
                    "lower": 350.0 + drift,
                    "upper": 450.0 + drift,
                    "z": (observed[:steps] - 400) / 20,
                    "flagged": False,
                }
            )
        )
    made = reports.report(ReleaseVerdict.INCONCLUSIVE, *findings, final=False)
    return replace(made, points=pd.concat(parts, ignore_index=True))


def kept(store: Store, *looks: Report) -> list[Report]:
    """The reports of these looks as the history shows them after the last."""
    record = store.track(looks[0].release, origin="command")
    for number, look in enumerate(looks):
        store.record(record.id, look, (), at=reports.RELEASED + number * HOUR, after=number)
    return [store.report(look_id(record.id, number + 1)) for number in range(len(looks))]


def size(store: Store) -> int:
    """The bytes in use."""
    with store._transaction() as connection:
        pages, free, page = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * page


def test_the_newest_look_keeps_its_findings_as_they_are_and_its_points(store: Store) -> None:
    looks = [report(12), report(24)]

    newest = kept(store, *looks)[-1]

    assert to_dict(newest) == to_dict(looks[-1])
    pd.testing.assert_frame_equal(
        newest.points[NUMBERS], looks[-1].points[NUMBERS], rtol=0, atol=0.5
    )


@pytest.mark.slow
def test_an_earlier_look_keeps_its_findings_and_shows_the_points_of_the_newest_up_to_its_time(
    store: Store,
) -> None:
    looks = [report(12), report(24), report(36)]

    earlier = kept(store, *looks)[:-1]

    for before, now in zip(looks, earlier, strict=False):
        (one, other), (found, again) = before.findings, now.findings
        assert (found.reason, again.reason) == (one.reason, other.reason)
        assert found.effect == pytest.approx(one.effect, rel=1e-4)
        assert len(now.points) == len(before.points)
        np.testing.assert_allclose(now.points["observed"], before.points["observed"], atol=0.5)
        assert now.made[POINTS] == "those of look 3, up to the time of this look"
    assert {name: value for name, value in earlier[0].made.items() if name != POINTS} == {
        **looks[0].made
    }


def test_points_of_a_time_that_was_observed_otherwise_are_not_shown(store: Store) -> None:
    first, other, last = kept(store, report(12), report(24, seed=2), report(36, seed=2))

    assert first.points.empty
    assert first.made[POINTS] == NOT_SAVED
    assert first.findings[0].steps == 12
    assert len(other.points) == 2 * 24
    assert len(last.points) == 2 * 36


def test_of_series_that_the_newest_look_does_not_keep_an_earlier_one_has_no_points(
    store: Store,
) -> None:
    first, _ = kept(store, report(12, kpis=2), report(24, kpis=1))

    assert first.points["kpi"].unique().tolist() == ["latency 0"]
    assert len(first.points) == 12
    assert len(first.findings) == 2


def test_a_look_without_points_is_followed_by_any(store: Store) -> None:
    nothing = reports.dead_source()

    first, second = kept(store, nothing, report(12))

    assert first.points.empty
    assert [each.reason for each in first.findings] == [each.reason for each in nothing.findings]
    assert len(second.points) == 2 * 12


def test_a_large_number_is_kept_with_all_of_its_whole_digits(store: Store) -> None:
    large = report(12)
    findings = tuple(replace(each, observed=1_234_567.8) for each in large.findings)

    first, _ = kept(store, replace(large, findings=findings), report(24))

    assert first.findings[0].observed == 1_234_568


@pytest.mark.slow
def test_a_release_of_20_kpis_and_20_looks_takes_less_than_100_kilobytes_and_grows_with_looks(
    store: Store,
) -> None:
    empty = size(store)
    kept(store, *(report(72 * (number + 1) // 20, kpis=20) for number in range(20)))
    of_20 = size(store) - empty
    assert of_20 < 100_000

    record = store.releases()[0]
    for number in range(20, 30):
        store.record(
            record.id, report(72, kpis=20), (), at=reports.RELEASED + number * HOUR, after=number
        )
    assert size(store) - empty - of_20 < of_20 / 2


def test_findings_that_passed_are_kept_of_the_last_look_and_failures_of_every_look(
    store: Store,
) -> None:
    early = [reports.failing(), reports.failing()]

    kept(store, *early, replace(reports.passing(), findings=reports.passing().findings[:1]))

    record = store.releases()[0]
    found = store.findings(record.id)
    latency = [each for each in found if each.kpi == "p95 latency"]
    failed = [each for each in found if each.fails]
    assert [each.look_id for each in latency] == [look_id(record.id, 3)]
    assert [each.look_id for each in failed] == [look_id(record.id, n) for n in (1, 2)]
    assert {each.kpi for each in found} == {each.kpi for each in early[0].findings}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("report", None),
        ("points", None),
        ("points", [1]),
        ("points", [{}]),
        ("points", [{"decimals": "x"}]),
        ("points", [{"decimals": 1e9, "expected": [1], "observed": []}]),
    ],
)
def test_a_damaged_newest_report_is_an_error(store: Store, part: str, odd: object) -> None:
    kept(store, report(3))
    with store._transaction() as connection:
        packed = connection.exec_driver_sql("SELECT report FROM newest_reports").scalar_one()
        data = archive.parsed(archive.text_of(packed)) | {part: odd}
        connection.exec_driver_sql(
            "UPDATE newest_reports SET report = ?", (archive.compressed(data),)
        )

    with pytest.raises(StoreError, match="damaged"):
        store.report(look_id(store.releases()[0].id, 1))
