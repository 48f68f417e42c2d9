"""Series that hardly ever leave one value: what counts as an exception, and how many surprise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, block
from anomaly.scoring.exceptions import Exceptions, exceptions, head, larger, p_of_a_stop, tail
from tests.support.simulations import Floats, stamps

BEFORE, AFTER = 8000, 72


def of(past: Floats, later: Floats, volume: float | None = None) -> Exceptions:
    values = np.concatenate([past, later])
    columns = (
        {("kpi", "", VALUE): values}
        if volume is None
        else {
            ("kpi", "", NUMERATOR): values,
            ("kpi", "", DENOMINATOR): np.full(len(values), volume),
        }
    )
    return exceptions(block(assemble(columns, stamps(len(values), "5min"))), len(past))


def marks(count: int, *at: int) -> Floats:
    out = np.zeros(count)
    out[list(at)] = 1
    return out


@pytest.mark.parametrize("volume", [None, 1000.0])
def test_a_single_event_is_no_surprise_and_two_are(volume: float | None) -> None:
    clean = np.zeros(BEFORE)

    assert of(clean, marks(AFTER, 40), volume).up_p == 1
    assert of(clean, marks(AFTER, 40, 41), volume).up_p < 0.01


def test_one_step_full_of_errors_is_more_than_an_event() -> None:
    assert of(np.zeros(BEFORE), 500 * marks(AFTER, 40), 1000.0).up_p < 0.01


def test_one_failure_among_many_successes_is_a_single_event() -> None:
    assert of(np.full(BEFORE, 1000.0), 1000 - marks(AFTER, 9), 1000.0).down_p == 1


def test_rare_events_that_stop_are_a_fall() -> None:
    rare = marks(BEFORE, *range(0, BEFORE, 12))

    assert of(rare, np.zeros(864)).down_p < 1e-6
    assert of(rare, np.zeros(864)).up_p == 1
    assert of(rare, np.zeros(6)).down_p > 0.1
    assert of(rare, marks(864, *range(0, 864, 12))).down_p > 0.5


def test_an_exception_far_larger_than_all_before_is_a_surprise() -> None:
    rng = np.random.default_rng(3)
    past = marks(BEFORE, *range(0, BEFORE, 100)) * np.exp(rng.normal(4, 0.7, BEFORE))
    of_size = {size: of(past, size * marks(AFTER, 40)).up_p for size in (50, 500, 5_000, 5e6)}

    assert of_size[50] > 0.5
    assert of_size[5_000] < 0.01
    assert of_size[5e6] < 1e-5
    assert [*of_size.values()] == sorted(of_size.values(), reverse=True)


def test_a_few_events_at_once_are_no_surprise_among_single_ones() -> None:
    single = marks(BEFORE, *range(0, BEFORE, 400))

    assert of(single, 2 * marks(AFTER, 40)).up_p > 0.1
    assert of(single, 500 * marks(AFTER, 40)).up_p < 0.01


@pytest.mark.parametrize("sizes", ["power law", "logarithmically normal", "counts"])
def test_the_size_of_exceptions_raises_few_false_alarms(sizes: str) -> None:
    rng = np.random.default_rng(5)
    drawn = {
        "power law": 1 + rng.pareto(1.2, (500, 60)),
        "logarithmically normal": np.exp(rng.normal(3, 0.7, (500, 60))),
        "counts": rng.geometric(0.7, (500, 60)).astype(float),
    }[sizes]

    p = np.array([larger(each[-3:], each[:-3]) for each in drawn])

    assert (p < 0.05).mean() <= 0.06
    assert (p < 0.01).mean() <= 0.02


def test_the_last_digits_of_a_sum_are_no_exception() -> None:
    seen = of(np.full(BEFORE, 0.3), np.full(AFTER, 0.1 + 0.2))

    assert seen.exact
    assert seen.any_p == 1


@pytest.mark.parametrize(("m", "e", "n"), [(72, 0, 2000), (72, 3, 2000), (5, 40, 100)])
def test_at_most_so_many_or_more_is_certain(m: int, e: int, n: int) -> None:
    for k in range(m):
        assert head(k, m, e, n) + tail(k + 1, m, e, n) == pytest.approx(1)


def bursts(rng: np.random.Generator, rows: int) -> Floats:
    """Events at times that come and go: a rate that wanders over a day."""
    rate = np.exp(np.repeat(rng.normal(-3.5, 1, rows // 288 + 1), 288))[:rows]
    return rng.poisson(rate).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("length", [72, 288, 864])
@pytest.mark.parametrize("clustered", [False, True])
def test_a_pause_of_a_quiet_series_is_no_stop(clustered: bool, length: int) -> None:
    stops, seeds = 0, 400
    for seed in range(seeds):
        rng = np.random.default_rng([seed, length])
        rows = BEFORE + length
        values = bursts(rng, rows) if clustered else rng.poisson(0.02, rows).astype(float)
        stops += p_of_a_stop(values[:BEFORE], values[BEFORE:]) < 0.01
    assert stops <= binom.ppf(0.9999, seeds, 0.01)


def test_a_stop_is_a_pause_far_longer_than_any_before() -> None:
    events = np.random.default_rng(1).poisson(0.05, BEFORE).astype(float)

    assert p_of_a_stop(events, np.zeros(864)) < 1e-6
    assert p_of_a_stop(events, np.append(np.zeros(863), 1.0)) == 1.0
    assert p_of_a_stop(events, np.zeros(100)) == 1.0
    assert p_of_a_stop(events, np.full(864, np.nan)) == 1.0
    assert p_of_a_stop(marks(BEFORE, *range(0, 4000, 100)), np.zeros(864)) == 1.0
