"""How many series are judged together changes nothing about any of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from anomaly.decision import judge
from anomaly.model import Direction, Kpi, KpiKind, Release
from anomaly.panel import VALUE
from anomaly.reporting.archive import data_of
from anomaly.reporting.report import Report
from tests.decision.test_mix import CONVERSION, HALF_HOURLY, INDEX, NOW, RELEASED, shop
from tests.support.simulations import STARTED, Floats, look

KPIS = (
    CONVERSION,
    Kpi("orders", by=("country",), total="all orders", direction=Direction.DOWN),
    Kpi("latency", direction=Direction.UP),
    Kpi("elsewhere", control_for=("latency", "conversion")),
)


def columns() -> Mapping[tuple[str, str, str], Floats]:
    """Ratios and amounts with their totals, and a KPI with a control; some of each moved."""
    rng = np.random.default_rng(5)
    orders = rng.poisson(60, (3, len(INDEX))) * np.where(RELEASED, [[1.0], [0.7], [1.0]], 1.0)
    common = rng.normal(size=len(INDEX))
    return {
        **shop(1, rates=(0.05, 0.1, 0.2), shares=(0.5, 0.3, 0.2), factors=(1.0, 0.8, 1.0)),
        **{("orders", f"country={i}", VALUE): row for i, row in enumerate(orders)},
        ("orders", "", VALUE): orders.sum(axis=0),
        ("latency", "", VALUE): 200 + 5 * common + np.where(RELEASED, 12.0, 0.0),
        ("elsewhere", "", VALUE): 100 + 3 * common + rng.normal(size=len(INDEX)),
    }


def judged(release: Release) -> Report:
    return look(columns(), KPIS, now=NOW, release=release, windows=HALF_HOURLY)


IN_STAGES = Release(STARTED, stages=((STARTED, 0.1), (STARTED + timedelta(hours=6), 1.0)))


@cache
def whole(release: Release) -> Report:
    """All series judged together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "TOGETHER", 100)
        return judged(release)


@pytest.mark.slow
@pytest.mark.parametrize("release", [Release(STARTED), IN_STAGES], ids=["at once", "in stages"])
@pytest.mark.parametrize("together", [1, 4])
def test_a_few_series_at_a_time_say_the_same_as_all_together(
    release: Release, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "TOGETHER", together)
    part = judged(release)
    assert data_of(part) == data_of(whole(release))
    assert part.points.equals(whole(release).points)
    assert {finding.kpi for finding in part.findings} == {kpi.name for kpi in KPIS}


def test_events_of_a_new_kind_are_counted_up_to_the_largest_number() -> None:
    old = np.random.default_rng(6).poisson(60, len(INDEX)).astype(float)
    new = np.where(RELEASED, 1e308, np.nan)
    errors = Kpi("errors", by=("class",), kind=KpiKind.COUNTS, direction=Direction.UP)
    columns = {("errors", "class=Old", VALUE): old, ("errors", "class=New", VALUE): new}

    report = look(columns, (errors,), now=NOW, windows=HALF_HOURLY)

    assert report["errors", {"class": "New"}].evidence.new_events == np.finfo(float).max
