"""What numbers are by their names."""

from __future__ import annotations

import pytest

from anomaly.setup.named_numbers import Role, groups, role_of, statistic_of


@pytest.mark.parametrize(
    ("group", "name", "role"),
    [
        ("http", "requests", Role.REQUESTS),
        ("http_requests_total", "counter", Role.REQUESTS),
        ("stats.counters.shop.requests", "count", Role.REQUESTS),
        ("stats.timers.shop.response_time", "count", Role.REQUESTS),
        ("stats.timers.shop.response_time", "upper_95", Role.LATENCY),
        ("stats.timers.shop.response_time", "sum_squares", None),
        ("http_requests", "responseTime", Role.LATENCY),
        ("http_requests", "duration_ms", Role.LATENCY),
        ("http_requests", "bytes", None),
        ("http_requests", "status", None),
        ("shop.requests", "m1_rate", None),
        ("shop.requests", "mean", None),
        ("shop", "requests_5xx", Role.ERRORS),
        ("shop.errors", "value", Role.ERRORS),
        ("shop", "error_duration", None),
        ("shop", "latency_sum", None),
        ("disk", "reads", None),
        ("", "", None),
    ],
)
def test_a_number_is_what_its_name_and_its_group_say(
    group: str, name: str, role: Role | None
) -> None:
    assert role_of(group, name) is role


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        *(("p95", "p95"), ("upper_95", "p95"), ("95percentile", "p95"), ("latency_p99", "p99")),
        *(("average", "mean"), ("median", "p50"), ("duration", ""), ("http2", "")),
    ],
)
def test_a_latency_is_the_statistic_that_its_name_ends_in(name: str, statistic: str) -> None:
    assert statistic_of(name) == statistic


def test_what_says_most_comes_first_and_the_95th_percentile_before_other_latencies() -> None:
    found = groups(
        {
            "a": ["requests"],
            "b": ["mean_duration", "p99_duration", "duration_p99", "duration_p95", "requests"],
            "c": ["uptime"],
        }
    )
    assert [each.name for each in found] == ["b", "a"]
    assert found[0].first(Role.LATENCY) == "duration_p95"
    assert found[0].first(Role.ERRORS) == ""


@pytest.mark.parametrize(
    ("group", "names", "latency"),
    [
        ("http_server_requests", ["count", "mean", "sum", "upper"], "mean"),
        ("shop", ["requests.count", "requests.mean", "requests.p95"], "requests.p95"),
        ("shop", ["requests.mean", "orders.count"], ""),
        ("http_errors", ["count", "mean"], ""),
    ],
)
def test_a_mean_of_requests_that_are_counted_beside_it_is_a_latency(
    group: str, names: list[str], latency: str
) -> None:
    (found,) = groups({group: names})
    assert found.first(Role.LATENCY) == latency
