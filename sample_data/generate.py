"""A small web shop with known answers: four weeks of its KPIs and the hours after a release.

`python sample_data/generate.py` rewrites everything beside it but the README, byte for byte.
`history` and `scenario` are pure: the same seed gives the same frames. In one seed the three
scenarios share every number except those that the fault itself moves, so a healthy release that
passes shows that the other two fail for their fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

Frames = dict[str, pd.DataFrame]
Array = npt.NDArray[Any]

SEED = 2025
STEP = timedelta(minutes=5)
HISTORY = timedelta(days=28)
WATCHED = timedelta(hours=7)
STARTED_AT = datetime(2025, 6, 3, 9, 0, tzinfo=UTC)  # a Tuesday
FINISHED_AT = STARTED_AT + timedelta(minutes=10)
NOW = STARTED_AT + WATCHED
VERSIONS = {"healthy": "2025.22", "credential": "2025.22-payments", "redesign": "2025.22-redesign"}
STEPS_PER_DAY = timedelta(days=1) // STEP
SATURDAY = 5
SPIKES = 0.002  # share of steps in which the latency is far out

BAD_COUNTRY = "FR"
FAILING_SHARE = 0.02  # of the requests of that country: those that carry a payment
LOST_ORDERS = 0.02  # of all orders; most customers of that country pay in another way
ENGAGEMENT_LOSS = 0.12  # reached in a straight line, then kept
CONVERSION_LOSS = 0.06  # likewise
LOSS_TAKES = timedelta(hours=4)


@dataclass(frozen=True)
class Country:
    """Requests and sign-ups per step at an average moment, and the hours by which its day runs
    behind UTC."""

    name: str
    requests: float
    signups: float
    hours_behind: float


COUNTRIES = (
    Country("DE", 330.0, 1.4, -2.0),
    Country("FR", 170.0, 0.6, -2.0),
    Country("US", 110.0, 0.4, 4.0),
)


def scenario(name: str, seed: int) -> Frames:
    """The files of one release as frames (`traffic`, `shop`, `signups`), stamps in UTC; `name` is a
    key of `VERSIONS`."""
    if name not in VERSIONS:
        raise ValueError(f"no scenario {name!r}; use one of {', '.join(VERSIONS)}")
    rng = np.random.default_rng(seed)
    times = pd.date_range(STARTED_AT - HISTORY, NOW, freq=STEP, inclusive="left", unit="ns")
    stress = incidents(rng, len(times))
    traffic = traffic_frame(
        rng, times, stress, failing=FAILING_SHARE * after(times) * (name == "credential")
    )
    loss = lost(times) * (name == "redesign")
    outage = LOST_ORDERS * after(times) * (name == "credential")
    shop = shop_frame(
        rng,
        times,
        stress,
        traffic,
        views_loss=ENGAGEMENT_LOSS * loss,
        orders_loss=CONVERSION_LOSS * loss + outage,
    )
    signups = signups_frame(rng, times, stress)
    gone = times[missing_steps(rng, len(times))]
    frames = {"traffic": traffic, "shop": shop, "signups": signups}
    return {
        file: frame[~frame["time"].isin(gone)].reset_index(drop=True)
        for file, frame in frames.items()
    }


def history(seed: int) -> Frames:
    """The part of every scenario before its release."""
    frames = scenario("healthy", seed)
    return {
        file: frame[frame["time"] < STARTED_AT].reset_index(drop=True)
        for file, frame in frames.items()
    }


def after(times: pd.DatetimeIndex) -> Array:
    """The share of users on the new version, per step: 0 before the release, half of them while it
    goes out, then 1."""
    return np.where(
        times >= pd.Timestamp(FINISHED_AT),
        1.0,
        np.where(times >= pd.Timestamp(STARTED_AT), 0.5, 0.0),
    )


def lost(times: pd.DatetimeIndex) -> Array:
    """0 before the release, rising in a straight line to 1."""
    return np.asarray(np.clip((times - pd.Timestamp(STARTED_AT)) / LOSS_TAKES, 0.0, 1.0))


def incidents(rng: np.random.Generator, steps: int) -> Array:
    """0 in normal times; near 1 in an outage of 35 minutes in the second week and near 0.3 in two
    slow hours in the third."""
    stress = np.zeros(steps)
    for days, length, height in ((9, 7, 1.0), (19, 24, 0.3)):
        start = days * STEPS_PER_DAY + int(rng.integers(0, STEPS_PER_DAY))
        stress[start : start + length] = height * rng.uniform(0.8, 1.2)
    return stress


def missing_steps(rng: np.random.Generator, steps: int) -> Array:
    """The steps without any row: 25 minutes in the history, and single ones."""
    start = 14 * STEPS_PER_DAY + int(rng.integers(0, STEPS_PER_DAY))
    return np.unique([*range(start, start + 5), *rng.integers(0, steps, 12)])


def rhythm(times: pd.DatetimeIndex, hours_behind: float, weekend: float) -> Array:
    """Day and week around 1: lowest at night, highest in the evening; Saturdays and Sundays at
    `weekend`."""
    local = times - timedelta(hours=hours_behind)
    hour = (local.hour + local.minute / 60).to_numpy()
    day = (
        1.0
        - 0.55 * np.cos(2 * np.pi * (hour - 4.0) / 24)
        - 0.18 * np.cos(4 * np.pi * (hour - 2.5) / 24)
    )
    return np.asarray(day) * np.where(local.day_of_week.to_numpy() >= SATURDAY, weekend, 1.0)


def wander(
    rng: np.random.Generator, steps: int, phi: float, spread: float, columns: int = 1
) -> Array:
    """Autocorrelated noise (AR(1), t-distributed innovations) of standard deviation `spread`; steps
    × columns."""
    freedom = 5
    shocks = (
        rng.standard_t(freedom, (steps, columns))
        * np.sqrt((freedom - 2) / freedom)
        * spread
        * np.sqrt(1 - phi**2)
    )
    first = rng.normal(0.0, spread, columns)
    series, _ = lfilter([1.0], [1.0, -phi], shocks, axis=0, zi=phi * first[np.newaxis])
    return np.asarray(series)


def counts(rng: np.random.Generator, mean: Array, dispersion: float) -> Array:
    """Poisson counts whose mean itself varies by `dispersion` (relative standard deviation) from
    step to step."""
    shape = dispersion**-2
    return np.asarray(rng.poisson(mean * rng.gamma(shape, 1 / shape, mean.shape)))


def traffic_frame(
    rng: np.random.Generator, times: pd.DatetimeIndex, stress: Array, *, failing: Array
) -> pd.DataFrame:
    """time, country, requests, errors: a row per step and country; `failing` is the extra error
    share in the bad country."""
    steps = len(times)
    common = wander(rng, steps, 0.9, 0.05)
    own = wander(rng, steps, 0.7, 0.04, len(COUNTRIES))
    trouble = wander(rng, steps, 0.8, 0.25, len(COUNTRIES))
    shape = np.column_stack(
        [c.requests * rhythm(times, c.hours_behind, weekend=0.7) for c in COUNTRIES]
    )
    requests = counts(rng, shape * np.exp(common + own), 0.04)
    share = 0.004 * np.exp(trouble) + 0.06 * stress[:, None]
    errors = counts(rng, requests * share, 0.15)
    bad = [c.name for c in COUNTRIES].index(BAD_COUNTRY)
    errors[:, bad] += counts(rng.spawn(1)[0], requests[:, bad] * failing, 0.15)
    errors = np.minimum(errors, requests)
    return long_by_country(times, {"requests": requests, "errors": errors})


def long_by_country(times: pd.DatetimeIndex, values: dict[str, Array]) -> pd.DataFrame:
    """time, country and a column per value; values are steps × countries."""
    names = [c.name for c in COUNTRIES]
    frame = pd.DataFrame({"time": times.repeat(len(names)), "country": names * len(times)})
    return frame.assign(**{name: value.reshape(-1) for name, value in values.items()})


def shop_frame(
    rng: np.random.Generator,
    times: pd.DatetimeIndex,
    stress: Array,
    traffic: pd.DataFrame,
    *,
    views_loss: Array,
    orders_loss: Array,
) -> pd.DataFrame:
    """time, sessions, product_views, orders, revenue_eur, p95_latency_ms: a row per step, all
    countries together."""
    steps = len(times)
    requests = traffic.groupby("time")["requests"].sum().to_numpy()
    sessions = counts(rng, requests / 1.5, 0.02)
    weekend = times.day_of_week.to_numpy() >= SATURDAY
    evening = rhythm(times, -2.0, weekend=1.0) - 1.0
    interest = 4.2 * np.exp(0.04 * evening + 0.05 * weekend + wander(rng, steps, 0.7, 0.02)[:, 0])
    buying = (
        0.045
        * np.exp(0.10 * evening - 0.08 * weekend + wander(rng, steps, 0.8, 0.05)[:, 0])
        * (1 - 0.7 * np.minimum(stress, 1))
    )
    views = np.rint(sessions * interest * (1 - views_loss) * np.exp(rng.normal(0, 0.02, steps)))
    orders = thinned(rng, counts(rng, sessions * buying, 0.08), orders_loss)
    return pd.DataFrame(
        {
            "time": times,
            "sessions": sessions,
            "product_views": views.astype(np.int64),
            "orders": orders,
            "revenue_eur": revenue(rng, orders),
            "p95_latency_ms": latency(rng, requests, stress),
        }
    )


def thinned(rng: np.random.Generator, orders: Array, loss: Array) -> Array:
    """The orders that remain when each is lost with chance `loss`."""
    return orders - rng.spawn(1)[0].binomial(orders, loss)


def revenue(rng: np.random.Generator, orders: Array) -> Array:
    """Euros, rounded to cents: baskets of about 60 that differ widely, and now and then a very
    large one."""
    own = rng.spawn(1)[0]
    baskets = own.gamma(np.maximum(orders, 1e-9) * 1.8, 60 / 1.8)
    large = own.poisson(orders / 400) * own.uniform(400, 1500, len(orders))
    return np.round(baskets + large, 2)


def latency(rng: np.random.Generator, requests: Array, stress: Array) -> Array:
    """Milliseconds, rounded to tenths: grows with the load, spikes now and then, doubles in an
    outage."""
    steps = len(requests)
    load = requests / requests.mean()
    spikes = np.where(rng.random(steps) < SPIKES, rng.uniform(1.3, 2.5, steps), 1.0)
    calm = 150 * (1 + 0.15 * load) * np.exp(wander(rng, steps, 0.85, 0.06)[:, 0])
    return np.asarray(np.round(calm * spikes * (1 + 1.5 * stress), 1))


def signups_frame(rng: np.random.Generator, times: pd.DatetimeIndex, stress: Array) -> pd.DataFrame:
    """time, kpi, value, country: a row only where somebody signed up."""
    shape = np.column_stack(
        [c.signups * rhythm(times, c.hours_behind, weekend=0.8) for c in COUNTRIES]
    )
    calm = np.exp(wander(rng, len(times), 0.8, 0.1, len(COUNTRIES)))
    signups = counts(rng, shape * calm * (1 - 0.7 * np.minimum(stress, 1))[:, None], 0.2)
    frame = long_by_country(times, {"value": signups}).assign(kpi="signups")
    return frame.loc[frame["value"] > 0, ["time", "kpi", "value", "country"]].reset_index(drop=True)


CHECKLIST = """\
# The KPIs of a small web shop. Paths are relative to this file; see README.md for the files.
service: shop
environment: production
sources:
  traffic: {type: files, path: traffic.csv}               # time, country, requests, errors
  shop: {type: files, path: shop.csv}                     # time and a column per KPI
  signups: {type: files, path: signups.csv, layout: long} # time, kpi, value, country
windows: {history: 28d, warmup: 5m, watch: 6h, step: 5m}
timezone: Europe/Berlin             # the users' clock
false_alarms: 0.01
kpis:
  - name: request errors
    source: traffic
    query: errors
    denominator: requests
    by: [country]
    unit: errors per request
    direction: up
    tolerance: 20%
    floor: 0.001
    min_volume: 500
    critical: true
    usage: 3
  - name: requests
    source: traffic
    query: requests
    by: [country]
    unit: requests
    direction: down
    tolerance: 15%
    floor: 5
    usage: 1
  - name: p95 latency
    source: shop
    query: p95_latency_ms
    unit: ms
    direction: up
    tolerance: 10%
    floor: 20
    usage: 2
  - name: checkout conversion
    source: shop
    query: orders
    denominator: sessions
    unit: orders per session
    direction: down
    tolerance: 3%
    floor: 0.001
    min_volume: 2000
    critical: true
    usage: 3
  - name: revenue
    source: shop
    query: revenue_eur
    unit: EUR
    direction: down
    tolerance: 5%
    floor: 20
    usage: 2
  - name: engagement
    source: shop
    query: product_views
    denominator: sessions
    unit: product views per session
    direction: down
    tolerance: 2%
    floor: 0.05
    min_volume: 2000
    usage: 2
  - name: sign-ups
    source: signups
    query: signups
    by: [country]
    empty: zero                    # a step without a row: nobody signed up
    unit: sign-ups
    direction: down
    tolerance: 15%
    floor: 0.1
    usage: 1
sinks: []
"""

ANSWERS = f"""\
# The right answer for each release: `regressed` must be found; the fault moves `may_regress` too,
# but by too little to demand it.
started_at: {STARTED_AT:%Y-%m-%dT%H:%M:%SZ}
finished_at: {FINISHED_AT:%Y-%m-%dT%H:%M:%SZ}
now: {NOW:%Y-%m-%dT%H:%M:%SZ}
releases:
  healthy:
    version: "{VERSIONS["healthy"]}"
    verdict: pass
    regressed: []
    may_regress: []
  credential:
    version: "{VERSIONS["credential"]}"
    verdict: fail
    regressed:
      - {{kpi: request errors, segment: {{country: {BAD_COUNTRY}}}}}
    may_regress:
      - {{kpi: request errors, segment: {{}}}}
      - {{kpi: checkout conversion, segment: {{}}}}
      - {{kpi: revenue, segment: {{}}}}
  redesign:
    version: "{VERSIONS["redesign"]}"
    verdict: fail
    regressed:
      - {{kpi: engagement, segment: {{}}}}
    may_regress:
      - {{kpi: checkout conversion, segment: {{}}}}
      - {{kpi: revenue, segment: {{}}}}
"""

CASES = """\
# Cases for the checklist of the sample shop. Run them with:
# anomaly test sample_data/healthy/checklist.yaml sample_data/cases.yaml
cases:
  - name: a harmless release passes
    series:
      checkout conversion: {level: 0.045, volume: 400, daily: 10%}
      p95 latency: {level: 180, noise: 5%, daily: 10%}
    expect: {verdict: pass}

  - name: errors in one country fail the release
    series:
      request errors:
        - segment: {country: FR}
          level: 0.004
          volume: 3000
          after: {change: "+400%", since: 20m}
        - {segment: {country: DE}, level: 0.004, volume: 5000}
    expect:
      verdict: fail
      kpis: {request errors (country=FR): regressed, request errors (country=DE): ok}

  - name: slower by less than is tolerated
    series:
      p95 latency: {level: 180, noise: 2%, after: {change: "+5%"}}
    expect: {verdict: pass, kpis: {p95 latency: ok}}

  - name: no latency any more
    series:
      p95 latency: {level: 180, after: {missing: true}}
    expect: {verdict: inconclusive, kpis: {p95 latency: no_data}}

  - name: nothing is decided after half an hour
    series:
      revenue: {level: 1500, noise: 10%, daily: 50%}
    looks: [30m]
    expect: {verdict: inconclusive}
"""


def write(folder: Path) -> None:
    """All files of the three releases, their answers and the cases of their checklist, below
    `folder`."""
    for name in VERSIONS:
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        (target / "checklist.yaml").write_bytes(CHECKLIST.encode())
        for file, frame in scenario(name, SEED).items():
            stamps = frame["time"].dt.strftime("%Y-%m-%dT%H:%MZ")
            (target / f"{file}.csv").write_bytes(
                frame.assign(time=stamps).to_csv(index=False, lineterminator="\n").encode()
            )
    (folder / "answers.yaml").write_bytes(ANSWERS.encode())
    (folder / "cases.yaml").write_bytes(CASES.encode())


if __name__ == "__main__":
    write(Path(__file__).resolve().parent)
