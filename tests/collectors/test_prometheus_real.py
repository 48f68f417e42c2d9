"""Against Prometheus and VictoriaMetrics themselves, with backfilled history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly.collectors.answers import Answers
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.contracts import Collected
from anomaly.errors import CollectError, RetryableCollectError
from anomaly.model import Empty, Kpi, Window
from anomaly.panel import segment_labels
from tests.conftest import StartServer
from tests.support.servers import Samples, Server, prometheus, victoria_metrics

pytestmark = pytest.mark.slow

START = datetime(2025, 3, 3, tzinfo=UTC)
HISTORY = timedelta(days=14)
MINUTE, STEP = timedelta(minutes=1), timedelta(minutes=5)
MINUTES = HISTORY // MINUTE
AWKWARD = 'quote" back\\slash {b="c"} ü'
BIRTH = MINUTES // 2 + 2  # in the middle of a step
GAP = range(7203, 7209)  # minutes without a scrape, in the steps 1440 (7200 to 7204) and 1441

WHOLE = Window(START, START + HISTORY)
AROUND_GAP = Window(START + 7190 * MINUTE, START + 7220 * MINUTE)


def points(
    values: Callable[[int], float], minutes: Iterable[int] = range(MINUTES)
) -> list[tuple[float, float]]:
    """A sample half a minute into each of `minutes`."""
    return [(START.timestamp() + 60 * minute + 30, float(values(minute))) for minute in minutes]


def history() -> Samples:
    first_error = MINUTES // 2
    label = AWKWARD.replace("\\", "\\\\").replace('"', '\\"')
    return {
        'requests_total{country="DE"}': points(lambda minute: 10 * minute),
        'requests_total{country="FR"}': points(lambda minute: 5 * minute),
        'errors_total{country="DE"}': points(
            lambda minute: minute - first_error, range(first_error, MINUTES)
        ),
        'queue_depth{country="DE",pod="a"}': points(
            lambda minute: minute, (minute for minute in range(MINUTES) if minute not in GAP)
        ),
        'queue_depth{country="FR",pod="b"}': points(lambda minute: minute),
        'slow_gauge{country="DE"}': points(lambda minute: minute, range(2, MINUTES, 3)),
        f'awkward_total{{name="{label}"}}': points(lambda minute: minute),
        'young_total{country="DE"}': points(lambda minute: minute, range(MINUTES - 2880, MINUTES)),
        'ended{country="DE"}': points(lambda _: 7.0, range(7200)),
        'born_total{pod="old"}': points(lambda _: 0.0),
        'born_total{pod="new"}': points(lambda _: 5.0, range(BIRTH, MINUTES)),
        'looping_total{pod="old"}': points(lambda _: 0.0),
        **{
            f'looping_total{{pod="{number}"}}': points(lambda _: 7.0, [BIRTH + 7 * number])
            for number in range(10)
        },
        'moved_total{pod="old"}': points(lambda minute: minute),
        'moved_total{pod="new"}': points(lambda minute: 5e6 + minute, range(BIRTH, MINUTES)),
        'first_total{pod="only"}': points(lambda _: 5.0, range(BIRTH, MINUTES)),
    }


@pytest.fixture(
    scope="module", params=[prometheus, victoria_metrics], ids=["prometheus", "victoria-metrics"]
)
def server(
    request: pytest.FixtureRequest, loopback: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    start: Callable[[Path, Samples], AbstractContextManager[Server]] = request.param
    with start(tmp_path_factory.mktemp("server"), history()) as running:
        yield running


def collect(
    server: Server, *kpis: Kpi, window: Window = WHOLE, step: timedelta = STEP
) -> Collected:
    return PrometheusCollector(url=server.url).collect(kpis, window, step)


def column(
    collected: Collected, kpi: str, segment: str = "", role: str = "value"
) -> pd.Series[float]:
    found: pd.Series[float] = collected.panel[kpi, segment, role]
    return found


@pytest.mark.slow
def test_counts_of_each_step_stand_at_its_start(server: Server) -> None:
    kpi = Kpi("requests", query="sum(increase(requests_total[$step]))")
    collected = collect(server, kpi)
    requests = column(collected, "requests")
    assert list(requests.index[:2]) == [START, START + STEP]
    assert len(requests) == 4032
    assert requests.iloc[1:].to_numpy() == pytest.approx(75, rel=0.01)
    assert collected.provenance["requests"].query == "sum(increase(requests_total[5m]))"
    assert collected.provenance["requests"].notes == ()


def test_a_gauge_is_read_at_the_end_of_its_step(server: Server) -> None:
    depth = column(collect(server, Kpi("depth", query='queue_depth{country="FR"}')), "depth")
    assert depth.to_numpy() == pytest.approx(np.arange(4032) * 5 + 4)


@pytest.mark.slow
def test_a_month_of_minutes_comes_whole_although_one_answer_cannot_hold_it(server: Server) -> None:
    window = Window(START - HISTORY, START + HISTORY)
    depth = column(
        collect(
            server, Kpi("depth", query='queue_depth{country="FR"}'), window=window, step=MINUTE
        ),
        "depth",
    )
    assert len(depth) == 40_320
    assert depth.iloc[:20_160].isna().all()
    assert depth.iloc[20_160:].to_numpy() == pytest.approx(np.arange(20_160))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "counted"),
    [("born_total", 5.0), ("looping_total", 70.0), ("moved_total", 0.0), ("first_total", 0.0)],
)
def test_the_first_sample_of_a_new_series_counts_unless_it_may_be_old(
    server: Server, metric: str, counted: float
) -> None:
    collected = collect(
        server,
        Kpi("increase", query=f"sum(increase({metric}[$step]))"),
        Kpi("rate", query=f"sum(rate({metric}[$step])) "),
    )
    birth = START + BIRTH * MINUTE
    after = column(collected, "increase")[birth - STEP : birth + timedelta(hours=2)].fillna(0.0)
    usual = column(collected, "increase")[: birth - STEP].mean()
    rates = column(collected, "rate")[birth - STEP : birth + timedelta(hours=2)].fillna(0.0)

    if metric == "moved_total":  # the counts themselves double
        assert after.max() < 2.5 * usual
    elif server.name == "prometheus":
        assert after.sum() == pytest.approx(counted)
        assert 300 * rates.sum() == pytest.approx(counted)
        notes = " ".join(collected.provenance["increase"].notes)
        text = "are the first samples of new series" if counted else "nothing shows that the source"
        assert text in notes


@pytest.mark.slow
def test_a_series_beside_it_shows_that_a_counter_is_born(server: Server) -> None:
    kpi = Kpi(
        "errors",
        query="sum(increase(first_total[$step]))",
        denominator='sum(increase(requests_total{country="DE"}[$step]))',
    )
    errors = column(collect(server, kpi), "errors", role="numerator")

    assert errors.sum() == pytest.approx(5.0)


@pytest.mark.slow
def test_where_absence_is_zero_a_counter_that_appears_late_is_born(server: Server) -> None:
    window = Window(START, START + (BIRTH + 120) * MINUTE)
    kpi = Kpi("errors", query="sum(increase(first_total[$step]))", empty=Empty.ZERO)

    assert column(collect(server, kpi, window=window), "errors").sum() == pytest.approx(5.0)


def test_before_the_first_error_there_were_none_and_where_no_error_came_too(server: Server) -> None:
    kpi = Kpi(
        "error ratio",
        query="sum by (country) (increase(errors_total[$step]))",
        denominator="sum by (country) (increase(requests_total[$step]))",
        by=("country",),
    )
    collected = collect(server, kpi)
    german = column(collected, "error ratio", "country=DE", "numerator")
    french = column(collected, "error ratio", "country=FR", "numerator")
    measured = column(collected, "error ratio", "country=FR", "denominator").notna()
    assert (german.iloc[1:2016] == 0).all()
    assert german.iloc[2018:].to_numpy() == pytest.approx(5, rel=0.3)
    assert (french[measured] == 0).all()
    assert measured.iloc[1:].all()


def test_a_gap_is_not_filled_by_the_last_sample(server: Server) -> None:
    collected = collect(
        server, Kpi("depth", query='avg(queue_depth{country="DE"})'), window=AROUND_GAP, step=MINUTE
    )
    depth = column(collected, "depth")
    missing = [round((stamp - START) / MINUTE) for stamp in depth.index[depth.isna()]]
    assert missing == list(GAP)
    if (
        server.name == "prometheus"
    ):  # VictoriaMetrics sees how often a series is measured and repeats no sample beyond
        assert collected.provenance["depth"].notes == (
            "4 values repeat an earlier sample over a gap and are taken as missing",
        )


def test_a_gap_of_one_segment_is_not_a_gap_of_another(server: Server) -> None:
    kpi = Kpi("depth", query="avg by (country) (queue_depth)", by=("country",))
    collected = collect(server, kpi, window=AROUND_GAP, step=MINUTE)
    assert column(collected, "depth", "country=DE").isna().sum() == len(GAP)
    assert column(collected, "depth", "country=FR").notna().all()


def test_a_range_longer_than_the_step_does_not_fill_a_gap_either(server: Server) -> None:
    kpi = Kpi("depth", query='avg_over_time(queue_depth{country="DE"}[15m])')
    collected = collect(server, kpi, window=AROUND_GAP, step=MINUTE)
    depth = column(collected, "depth")
    assert depth.isna().sum() == len(GAP)
    assert "selector range [15m] differs from the step of 1m" in collected.provenance["depth"].notes


def test_a_gauge_measured_less_often_than_once_a_step_has_no_gaps(server: Server) -> None:
    slow = column(
        collect(server, Kpi("slow", query="avg(slow_gauge)"), window=AROUND_GAP, step=MINUTE),
        "slow",
    )
    assert slow.notna().all()


def test_a_series_that_ended_is_missing_from_then_on(server: Server) -> None:
    ended = column(
        collect(server, Kpi("ended", query="ended"), window=AROUND_GAP, step=MINUTE), "ended"
    )
    assert ended.notna().tolist() == [True] * 10 + [False] * 20


def test_where_gaps_cannot_be_told_it_is_said(server: Server) -> None:
    collected = collect(
        server, Kpi("depth", query='avg(queue_depth{country="FR"}) or vector(0)'), window=AROUND_GAP
    )
    assert any("can't be told" in note for note in collected.provenance["depth"].notes)
    assert column(collected, "depth").notna().all()


def test_label_values_come_as_they_are(server: Server) -> None:
    kpi = Kpi("awkward", query="sum by (name) (increase(awkward_total[$step]))", by=("name",))
    panel = collect(server, kpi).panel
    assert [
        segment_labels(str(segment)) for segment in panel.columns.get_level_values("segment")
    ] == [{"name": AWKWARD}]


def test_a_short_history_is_used_and_said(server: Server) -> None:
    collected = collect(server, Kpi("young", query="sum(increase(young_total[$step]))"))
    assert column(collected, "young").notna().sum() == pytest.approx(576, abs=1)
    assert any(
        note.startswith("history ") and note.endswith(" d of 14 d asked")
        for note in collected.provenance["young"].notes
    )


def test_a_query_that_the_server_refuses_is_named_and_hides_no_other(server: Server) -> None:
    collected = collect(
        server,
        Kpi("bad", query="sum(requests_total"),
        Kpi("good", query="sum(increase(requests_total[$step]))"),
    )
    assert list(collected.errors) == ["bad"]
    assert str(collected.errors["bad"]).startswith("bad query: ")
    assert not isinstance(collected.errors["bad"], RetryableCollectError)
    assert column(collected, "good").notna().sum() > 4000


def test_what_does_not_exist_is_empty_not_wrong(server: Server) -> None:
    kpi = Kpi(
        "none",
        query="sum(increase(nothing_total[$step]))",
        denominator="sum(increase(nothing_else_total[$step]))",
    )
    collected = collect(server, kpi)
    assert not collected.errors
    assert collected.panel.shape == (4032, 0)
    assert collected.provenance["none"].notes == (
        "no series matched: no metric is called nothing_total",
        "denominator: no series matched: no metric is called nothing_else_total",
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "sum(increase(request_total[$step]))",
            "no metric is called request_total (did you mean requests_total?)",
        ),
        (
            'sum(increase(requests_total{countri="DE"}[$step]))',
            'requests_total has samples, but none with {countri="DE"}',
        ),
    ],
)
def test_a_misspelt_name_or_label_is_told(server: Server, query: str, said: str) -> None:
    collected = collect(server, Kpi("none", query=query))
    assert collected.provenance["none"].notes == (f"no series matched: {said}",)


def test_samples_that_a_query_makes_nothing_of_are_said(server: Server) -> None:
    """VictoriaMetrics widens a range that is too short, and answers."""
    kpi = Kpi("none", query="sum(increase(requests_total[$step]))")

    collected = collect(server, kpi, window=AROUND_GAP, step=timedelta(seconds=20))

    notes = " ".join(collected.provenance["none"].notes)
    never = "no series matched: requests_total has samples, but never two within"
    assert notes.startswith(never) == (server.name == "prometheus")
    assert collected.panel.empty == (server.name == "prometheus")


def test_several_series_without_by_are_an_error_that_says_what_to_write(server: Server) -> None:
    error = collect(server, Kpi("requests", query="increase(requests_total[$step])")).errors[
        "requests"
    ]
    with pytest.raises(
        CollectError,
        match=r"told apart by label country .*add `by: \[country\]`, or write sum\(…\)",
    ):
        raise error


def test_a_wrong_path_is_unavailable_by_name(server: Server) -> None:
    error = (
        PrometheusCollector(url=f"{server.url}/nowhere")
        .collect([Kpi("a", query="up")], AROUND_GAP, STEP)
        .errors["a"]
    )
    assert str(error).startswith("unavailable: ")


def test_nan_of_a_real_server_is_missing(start_prometheus: StartServer) -> None:
    server = start_prometheus(
        {"ratio": points(lambda minute: float("nan") if minute % 2 else 1.0, range(60))}
    )
    collected = collect(
        server,
        Kpi("ratio", query="ratio"),
        window=Window(START, START + timedelta(hours=1)),
        step=MINUTE,
    )
    assert column(collected, "ratio").isna().tolist() == [False, True] * 30
    assert collected.provenance["ratio"].notes == (
        "30 samples are NaN or infinite and taken as missing",
    )


@pytest.mark.parametrize("kind", ["start_prometheus", "start_victoria_metrics"])
def test_a_stopped_server_is_unavailable(
    kind: str, request: pytest.FixtureRequest, loopback: None
) -> None:
    start: StartServer = request.getfixturevalue(kind)
    server = start({"up": points(lambda _: 1.0, range(10))})
    server.stop()
    collected = PrometheusCollector(url=server.url, sleep=lambda _: None).collect(
        [Kpi("up", query="up")], AROUND_GAP, STEP
    )
    assert isinstance(collected.errors["up"], RetryableCollectError)
    assert "unavailable" in str(collected.errors["up"])


MANY_KPIS = [
    Kpi("depth", query="queue_depth", by=("country", "pod")),
    Kpi("load", query="rate(requests_total[$step]) / 0 + ended", by=("country",)),
    Kpi("born", query="sum by (pod) (increase(born_total[$step]))", by=("pod",)),
    Kpi("young", query="sum(increase(young_total[$step]))"),
    Kpi(
        "errors",
        query="sum by (country) (increase(errors_total[$step]))",
        denominator="sum by (country) (increase(requests_total[$step]))",
        by=("country",),
    ),
]


def assert_same(found: Collected, expected: Collected) -> None:
    pd.testing.assert_frame_equal(found.panel, expected.panel, check_exact=True)
    assert found.panel.to_numpy().tobytes() == expected.panel.to_numpy().tobytes()
    assert found.provenance == expected.provenance
    assert not found.errors


@pytest.mark.slow
def test_quickly_read_and_side_by_side_is_the_same_to_the_bit(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = PrometheusCollector(url=server.url, concurrency=8).collect(MANY_KPIS, WHOLE, STEP)
    monkeypatch.setattr("anomaly.collectors.prometheus_http.content_of", json.loads)
    slow = PrometheusCollector(url=server.url, concurrency=1).collect(MANY_KPIS, WHOLE, STEP)

    assert_same(quick, slow)


@pytest.mark.slow
def test_what_is_known_is_the_same_to_the_bit(server: Server, tmp_path: Path) -> None:
    windows = [
        Window(START + timedelta(days=2), START + timedelta(days=10)),
        Window(START + timedelta(days=1), START + timedelta(days=10, hours=7)),
        WHOLE,
    ]
    for window in windows:
        with Answers(tmp_path / "answers", now=window.end) as answers:
            collector = PrometheusCollector(url=server.url, answers=answers)
            warm = collector.collect(MANY_KPIS, window, STEP)
        assert_same(warm, collect(server, *MANY_KPIS, window=window))
    with Answers(None, windows, now=WHOLE.end) as answers:
        for window in windows:
            collector = PrometheusCollector(url=server.url, answers=answers)
            shared = collector.collect(MANY_KPIS, window, STEP)
            assert_same(shared, collect(server, *MANY_KPIS, window=window))
