"""What sources share that answer with series in JSON over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pytest

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.contracts import Collected
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.http.endpoint import LONGEST_BODY, Endpoint
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.steps import CalendarStep
from tests.support.loopback import Loopback, Reply, answer

START, STEP = datetime(2025, 3, 3, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 10 * STEP)
PAGE = "<!doctype html><style>p {x: y}</style>\n<h1 a='b'>Not found</h1><p>It&#39;s&nbsp;gone</p>"
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


class Scripted(HttpSeriesCollector):
    """Gives the series that it is made with, as far as they lie in the span."""

    rows_at_once: ClassVar[int] = 4
    stepping: ClassVar[str] = "write it so"

    def __init__(
        self,
        *series: TimedSeries,
        origin: str = "http://127.0.0.1:1",
        endpoint: Endpoint | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pauses: list[float] = []
        super().__init__(
            endpoint or Endpoint(origin, timeout=timedelta(seconds=5)),
            budget=timedelta(minutes=1),
            sleep=self.pauses.append,
            monotonic=now,
        )
        self.series, self.asked = series, list[tuple[str, Span]]()

    def read(self, query: str, span: Span, _by: Sequence[str], /) -> list[TimedSeries]:
        self.asked.append((query, span))
        if query == "asked":
            return [TimedSeries({}, [(START.timestamp(), self.ask("GET", "/")["value"])])]
        return [each for each in self.series if each.labels.get("query", query) == query]


def series(values: Sequence[float | None], **labels: str) -> TimedSeries:
    return TimedSeries(
        labels, [(START.timestamp() + 300 * row, value) for row, value in enumerate(values)]
    )


def collected(source: HttpSeriesCollector, *kpis: Kpi) -> Collected:
    return source.collect(kpis, WINDOW, STEP)


def error_of(source: HttpSeriesCollector, kpi: Kpi) -> CollectError:
    return collected(source, kpi).errors[kpi.name]


def test_a_long_window_is_asked_in_parts_that_fit_together() -> None:
    source = Scripted(series(list(range(10))))
    panel = collected(source, Kpi("orders", "prod", "sum($step, ${step}, $steps)")).panel
    np.testing.assert_array_equal(panel["orders", "", VALUE], np.arange(10.0))
    begins = [START, START + 4 * STEP, START + 8 * STEP]
    ends = [*begins[1:], WINDOW.end]
    assert source.asked == [
        ("sum(300, 300, $steps)", Span(begin, end, 300))
        for begin, end in zip(begins, ends, strict=True)
    ]


def test_a_numerator_without_a_value_is_zero_where_its_denominator_has_one() -> None:
    kpi = Kpi("errors", "prod", "bad", denominator="all")
    source = Scripted(
        series([None, 1.0, float("inf"), None], query="bad"),
        series([5.0, 6.0, 7.0, None], query="all"),
    )
    about = collected(source, kpi)
    panel = about.panel
    assert about.provenance["errors"].notes == ("1 NaN or infinite values count as missing",)
    np.testing.assert_array_equal(
        panel["errors", "", NUMERATOR][:5], [0, 1, np.nan, np.nan, np.nan]
    )
    np.testing.assert_array_equal(panel["errors", "", DENOMINATOR][:4], [5, 6, 7, np.nan])


def test_series_are_told_apart_by_the_labels_of_by_alone() -> None:
    both = (series([1.0], country="DE", pod="a"), series([2.0], country="FR", pod="b"))
    kpi = Kpi("orders", "prod", "q", by=("country",))
    assert {*collected(Scripted(*both), kpi).panel.columns} == {
        ("orders", "country=DE", VALUE),
        ("orders", "country=FR", VALUE),
    }
    assert "2 series differ by country, pod" in str(
        error_of(Scripted(*both), Kpi("orders", "prod", "q"))
    )
    assert "has no city, which by names; its labels: country, pod" in str(
        error_of(Scripted(*both), Kpi("orders", "prod", "q", by=("city",)))
    )


def test_a_value_within_a_step_and_too_many_series_are_errors() -> None:
    off = TimedSeries({}, [(START.timestamp() + 60, 1.0)])
    error = error_of(Scripted(off), Kpi("orders", "prod", "q"))
    assert "2025-03-03 00:01:00 UTC, which starts no step of 5m; write it so" in str(error)
    many = [series([1.0], pod=str(number)) for number in range(1001)]
    assert "limit: " in str(error_of(Scripted(*many), Kpi("orders", "prod", "q", by=("pod",))))


@pytest.mark.parametrize("value", ["high", 10**400, []])
def test_a_value_that_is_no_number_fails_its_kpi_alone(value: Any) -> None:
    source = Scripted(series([1.0], query="sound"), series([value], query="odd"))
    about = collected(source, Kpi("sound", "prod", "sound"), Kpi("odd", "prod", "odd"))
    assert about.panel["sound", "", VALUE].iloc[0] == 1
    assert "JSON of another form" in str(about.errors["odd"])


def test_no_series_is_a_note_and_an_empty_query_an_error() -> None:
    about = collected(Scripted(), Kpi("a", "prod", "q"), Kpi("b", "prod", " "))
    assert about.provenance["a"].notes == ("no series matched",)
    assert "it is empty" in str(about.errors["b"])


@pytest.mark.parametrize(
    ("replies", "said", "pauses"),
    [
        ([answer(500)], "unavailable: .* answered 500 (asked 4 times)", [0.5, 1.0, 2.0]),
        ([answer(429, Retry_After="7"), answer(200, '{"value": 1}')], "", [7.0]),
        ([answer(302, Location="http://[::1")], "redirects to what is no URL", []),
        ([answer(404, PAGE)], "answered 404: Not found It's gone", []),
        ([answer(404, "no such path")], "answered 404: no such path", []),
        ([answer(200, "<html>")], "unreadable: .* 6 bytes that are no JSON", []),
        ([answer(200, "[" * 100_000)], "unreadable: ", []),
        ([answer(200, "[]")], "unreadable: .* JSON of another form", []),
    ],
)
def test_what_may_pass_is_asked_again(replies: list[Reply], said: str, pauses: list[float]) -> None:
    with Loopback(replies) as server:
        source = Scripted(origin=server.origin)
        errors = collected(source, Kpi("orders", "prod", "asked")).errors
    assert source.pauses[: len(pauses)] == pauses
    assert bool(errors) == bool(said)
    for part in said.split(" .* "):
        assert part in str(errors.get("orders", ""))
    if pauses and said:
        assert isinstance(errors["orders"], RetryableCollectError)


def test_nothing_is_asked_once_the_time_is_used_up() -> None:
    with Loopback([answer(200, '{"value": 1}')]) as server:
        source = Scripted(origin=server.origin, now=iter([0.0, 0.0, 61.0, 61.0, 61.0]).__next__)
        error = collected(source, Kpi("orders", "prod", "asked")).errors["orders"]
        assert len(server.requests) == 1
    assert "the time for this source is used up" in str(error)
    assert isinstance(error, RetryableCollectError)


def test_a_secret_that_an_answer_repeats_is_masked() -> None:
    endpoint = Endpoint("http://127.0.0.1:1", secrets=("s3cret-k3y",))
    assert Scripted(endpoint=endpoint).said("no such\nkey: s3cret-k3y") == "no such key: ***"


@pytest.mark.slow
def test_an_answer_that_is_too_large_is_a_limit() -> None:
    with Loopback([answer(200, " " * LONGEST_BODY + "[]")]) as server:
        source = Scripted(origin=server.origin)
        error = error_of(source, Kpi("orders", "prod", "asked"))
    assert "answered more than 16 MiB; ask for fewer series in the query" in str(error)


def test_days_of_a_calendar_are_refused() -> None:
    with pytest.raises(UsageError, match="no calendar days"):
        Scripted().collect([], WINDOW, CalendarStep(timedelta(days=1), "Europe/Berlin"))
