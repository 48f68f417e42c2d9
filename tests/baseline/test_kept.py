"""A baseline that was kept is the one that would be learned, to the bit, and never that of another
history."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly.baseline.kept import KeptBaselines, key_of
from anomaly.baseline.season import Season
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.engine.shelf import Shelf
from anomaly.model import Calendar, Kpi, KpiKind, LeftOut, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble
from tests.support.simulations import noise, remembering, stamps

ROWS = 40 * 24
KPIS = [Kpi("latency"), Kpi("errors", denominator="visits"), Kpi("jobs", kind=KpiKind.COUNTS)]
BERLIN = Calendar("Europe/Berlin")


def history() -> pd.DataFrame:
    """A value with a day, a week and gaps, a ratio, a count of few events, and a series without a
    sample."""
    hours, rng = np.arange(ROWS), np.random.default_rng(5)
    latency = 100 + 30 * np.sin(hours * 2 * np.pi / 24) + remembering(0.5, 1, ROWS)
    latency[hours // 24 % 7 > 4] *= 0.6
    latency[rng.random(ROWS) < 0.05] = np.nan
    visits = rng.poisson(900.0, ROWS).astype(float)
    return assemble(
        {
            ("latency", "", VALUE): latency,
            ("latency", "country=DE", VALUE): np.full(ROWS, np.nan),
            ("errors", "", NUMERATOR): rng.binomial(visits.astype(int), 0.02).astype(float),
            ("errors", "", DENOMINATOR): visits,
            ("jobs", "", VALUE): rng.poisson(0.3, ROWS).astype(float),
        },
        stamps(ROWS),
    )


def kept(folder: Path) -> KeptBaselines:
    return KeptBaselines(Shelf(folder, datetime(2025, 6, 12, tzinfo=UTC)))


def assert_same(one: object, other: object) -> None:
    if isinstance(one, Baseline | Season):
        for each in fields(one):
            assert_same(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, pd.Index):
        assert isinstance(other, pd.Index)
        pd.testing.assert_index_equal(one, other)
    else:
        assert one == other


def test_a_kept_baseline_is_the_learned_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = SeasonalBaseline().fit(history(), KPIS, BERLIN)
    first = kept(tmp_path).fit(history(), KPIS, BERLIN)
    monkeypatch.delattr(SeasonalBaseline, "fit")  # from here on nothing can be learned
    second = kept(tmp_path).fit(history(), KPIS, BERLIN)
    assert_same(first, learned)
    assert_same(second, learned)
    index = stamps(48, start="2025-04-12")
    assert_same(second.location(index), learned.location(index))
    assert_same(second.width(index, np.ones((4, 48))), learned.width(index, np.ones((4, 48))))


def test_what_is_left_out_is_said_anew(tmp_path: Path) -> None:
    kept(tmp_path).fit(history(), KPIS, BERLIN)
    start = datetime(2025, 3, 10, tzinfo=UTC)
    incident = LeftOut(Window(start, start.replace(day=11)), "incident 4711")
    calendar = replace(BERLIN, leave_out=(incident,))
    expected = SeasonalBaseline().fit(history(), KPIS, calendar)
    assert expected.left_out.sum() == 24
    assert_same(kept(tmp_path).fit(history(), KPIS, calendar), expected)


def changed_past() -> pd.DataFrame:
    return changed(np.nextafter(history().to_numpy()[3, 0], 0))


def forgotten_value() -> pd.DataFrame:
    return changed(np.nan)


def changed(value: float) -> pd.DataFrame:
    values = history().to_numpy().copy()
    values[3, 0] = value
    return pd.DataFrame(values, history().index, history().columns)


OTHERS = {
    "a value that the source changed by its last bit": (changed_past, KPIS, BERLIN),
    "a value that is missing": (forgotten_value, KPIS, BERLIN),
    "a history that begins later": (lambda: history().iloc[1:], KPIS, BERLIN),
    "the same values at other times": (
        lambda: history().set_axis(stamps(ROWS, start="2025-03-04")),
        KPIS,
        BERLIN,
    ),
    "another kind": (history, [replace(KPIS[0], kind=KpiKind.SHARE), *KPIS[1:]], BERLIN),
    "another time zone": (history, KPIS, Calendar("Asia/Tokyo")),
    "another order of the series": (lambda: history().iloc[:, [1, 0, 2, 3, 4]], KPIS, BERLIN),
    "another KPI with the same values": (
        lambda: history().rename(columns={"latency": "delay"}, level="kpi"),
        KPIS,
        BERLIN,
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_a_baseline_depends_on_is_in_its_key(other: str) -> None:
    make, kpis, calendar = OTHERS[other]
    assert key_of(make(), kpis, calendar) != key_of(history(), KPIS, BERLIN)


def test_the_key_is_always_the_same() -> None:
    missing = np.copysign(np.nan, -1.0)  # other bits that mean the same
    values = np.where(np.isnan(history()), missing, history())
    same = pd.DataFrame(values, history().index, history().columns)
    assert values.tobytes() != history().to_numpy().tobytes()
    assert key_of(same, KPIS, BERLIN) == key_of(history(), [*reversed(KPIS)], BERLIN)
    assert key_of(same, KPIS, BERLIN).isalnum()


@pytest.mark.parametrize(
    "content", [{}, {"season": np.zeros(3)}, None], ids=["nothing", "others", "a folder"]
)
def test_a_file_of_something_else_is_replaced(
    content: dict[str, np.ndarray] | None, tmp_path: Path
) -> None:
    panel = assemble({("latency", "", VALUE): 100 + noise(1, 240)}, stamps(240))
    key = key_of(panel, KPIS, BERLIN)
    if content is None:
        (tmp_path / key).mkdir()
    else:
        Shelf(tmp_path, datetime(2025, 6, 12, tzinfo=UTC)).put(key, content)
    assert_same(
        kept(tmp_path).fit(panel, KPIS, BERLIN), SeasonalBaseline().fit(panel, KPIS, BERLIN)
    )
