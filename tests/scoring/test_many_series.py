"""What is asked again of the series that moved is asked of many of them in one call: each has the
score that it has if it is asked alone."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.model import Calendar, Direction, Kpi
from anomaly.panel import VALUE, assemble
from anomaly.scoring import score as scoring
from anomaly.scoring.score import score
from anomaly.scoring.scored import Score
from tests.support.simulations import Floats, noise, remembering, stamps

BEFORE, AFTER, SERIES = 10 * 24, 24, 18
ROWS = BEFORE + AFTER
DIRECTIONS = tuple(Direction)


def unlike() -> Floats:
    """Series that differ in what they are, in what happens to them, and in what is missing."""
    rng = np.random.default_rng(5)
    values = 100 + 3 * remembering(0.5, 6, ROWS, SERIES)
    values[:, ::6] = rng.poisson(0.3, (ROWS, SERIES // 6))
    later = values[BEFORE:]
    later[:, 1::6] *= np.linspace(0.6, 0.8, SERIES // 6)
    later[:, 2::6] += 15 * noise(7, AFTER, SERIES // 6)
    later[:, 3::6] += np.linspace(0, 40, AFTER)[:, None]
    later[8, 4::6] += 60
    later[:, 5::6] += 12
    later[3:9, 1::4] = np.nan
    values[rng.random((ROWS, SERIES)) < 0.1 * (np.arange(SERIES) % 3 == 0)] = np.nan
    return values


def said(each: Score) -> tuple[object, ...]:
    return (
        each.p_bad,
        each.p_good,
        each.p_other,
        each.p_beyond,
        each.kind,
        each.gaps,
        each.onset,
        each.recovered,
    )


@pytest.mark.slow
def test_a_series_has_the_same_score_however_many_are_asked_in_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kpis = [
        Kpi(f"k{i:02d}", direction=DIRECTIONS[i % 3], tolerance=0.05 * (i % 2))
        for i in range(SERIES)
    ]
    columns = {(kpi.name, "", VALUE): each for kpi, each in zip(kpis, unlike().T, strict=True)}
    panel = assemble(columns, stamps(ROWS))
    before, after = panel.iloc[:BEFORE], panel.iloc[BEFORE:]
    base = SeasonalBaseline().fit(before, kpis, Calendar())

    together = score(base, before, after, kpis, 0).scores
    monkeypatch.setattr(scoring, "TOGETHER", 1)
    alone = score(base, before, after, kpis, 0).scores

    assert len({each.kind for each in together if each is not None}) >= 4
    for kpi, one, other in zip(kpis, alone, together, strict=True):
        assert one is not None
        assert other is not None
        assert said(one) == said(other), kpi.name
