"""Reading a query without evaluating it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from anomaly.collectors import promql
from anomaly.collectors.promql import other_ranges, presence, read, repeating, resolve

STEP = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("query", "selectors"),
    [
        (
            'sum by (country) (increase(http_errors_total{service="shop"}[5m]))',
            ['http_errors_total{service="shop"}'],
        ),
        (
            "sum(errors[5m]) by (country, plan) / ignoring(a, b) group_left(c) sum(requests[5m])",
            ["errors", "requests"],
        ),
        ("a / on() b", ["a", "b"]),
        ("a * on (x) group_left b", ["a", "b"]),
        ('a{x="}[1m]", y=~"or (b)"}', ['a{x="}[1m]", y=~"or (b)"}']),
        ("{__name__=~'a|b'}", ["{__name__=~'a|b'}"]),
        ("sum(a) # sum(b)\n + c", ["a", "c"]),
        ("job:requests:rate5m > bool 5", ["job:requests:rate5m"]),
        ("topk(3, a) without (x) - 1e-3 + 0x1f + Inf - nan", ["a"]),
        ('label_replace(a, "to", "$1", "from", "(.*)")', ["a"]),
        ("histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m])))", ["d_bucket"]),
        ("a + a", ["a"]),
        ("vector(1) + time()", []),
    ],
)
def test_selectors_are_found(query: str, selectors: list[str]) -> None:
    assert [selector.text for selector in read(query).selectors] == selectors


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sum(rate(x_total[$step])) + sum(rate(x_total[${step}]))", ()),
        ('x{job="$job", path=~".*$"} + rate(y[$__rate_interval])', ("$job", "$__rate_interval")),
        ('x{job=~"${job:regex}", a="[[a]]"}', ("${job:regex}", "[[a]]")),
        ('label_replace(a, "to", "${name}", "from", "(?P<name>.*)")', ()),
    ],
)
def test_variables_of_a_dashboard_are_found(query: str, found: tuple[str, ...]) -> None:
    assert promql.variables(query) == found


@pytest.mark.parametrize(
    ("query", "step", "said"),
    [
        ("sum(increase(x_total[30s]))", timedelta(seconds=30), "never two within [30s], as rates"),
        ("avg(depth)", timedelta(minutes=15), "write last_over_time(depth[$step])"),
        ("histogram_quantile(0.9, sum(rate(d[5m])))", STEP, "write sum by (le) (…)"),
        ("sum(rate(x_total[5m])) > 100", STEP, "the comparison drops every value"),
        ("a / b", STEP, "a has samples, but the query makes no value of them"),
    ],
)
def test_why_samples_give_no_value_is_said(query: str, step: timedelta, said: str) -> None:
    assert said in promql.why_nothing(query, read(query), step)


@pytest.mark.parametrize(
    ("query", "length"),
    [
        ("sum(increase(x_total[5m] offset 1w))", timedelta(weeks=1)),
        ("a offset 1d / b @ end() offset 2d", timedelta(days=1)),
        ("a - a offset 1w", None),
        ("sum(rate(x_total[5m] offset 1m))", None),
        ("a offset -1d", None),
        ("vector(1)", None),
    ],
)
def test_a_query_of_earlier_values_alone_is_found(query: str, length: timedelta | None) -> None:
    assert promql.delay(query, STEP) == length


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("avg(depth)", "count(count_over_time(depth[299999ms]))"),
        ("depth offset -1d", "count(count_over_time(depth[299999ms] offset -1d))"),
        (
            "rate(depth[15m] @ start() offset 5m)",
            "count(count_over_time(depth[299999ms] @ start() offset 5m))",
        ),
        ("max_over_time(depth[5m:1m])", "count(count_over_time(depth[299999ms]))"),
        ("max_over_time(rate(depth[1m])[1h:1m])", "count(count_over_time(depth[299999ms]))"),
        (
            "rate(depth[1.5x])",
            "count(count_over_time(depth[299999ms]))",
        ),  # a range that we can't read proves nothing
    ],
)
def test_a_selector_that_can_repeat_a_sample_is_asked_for_by_itself(query: str, text: str) -> None:
    assert [presence(selector, (), STEP) for selector in repeating(read(query), STEP)] == [text]


@pytest.mark.parametrize(
    "query",
    ["increase(a[5m])", "increase(a[300s])", "rate(a[1m])", "max_over_time(rate(a[1m])[5m:1m])"],
)
def test_a_range_within_the_step_proves_its_samples(query: str) -> None:
    assert repeating(read(query), STEP) == ()


def test_label_names_that_promql_cannot_take_bare_are_quoted() -> None:
    (selector,) = read("depth").selectors
    assert presence(selector, ("country", 'a-b"c'), STEP).startswith(
        'count by (country, "a-b\\"c") ('
    )


@pytest.mark.parametrize(
    "query", ["a or vector(0)", "a unless b", "absent(a)", "a default 0", "WITH (f(x) = x) f(a)"]
)
def test_a_query_that_makes_values_from_absence_is_known(query: str) -> None:
    assert read(query).joined


def test_words_inside_strings_do_not_count() -> None:
    assert not read('a{x="or absent(b) unless"}').joined


def test_the_step_takes_the_place_of_its_name() -> None:
    assert (
        resolve("increase(a[$step]) + $steps + ${step}", timedelta(minutes=90))
        == "increase(a[1h30m]) + $steps + 1h30m"
    )


@pytest.mark.parametrize(
    ("query", "ranges"),
    [
        ("rate(a[15m]) + rate(b[5m]) + rate(c[300s]) + rate(d[15m])", ("15m",)),
        ("max_over_time(rate(a[1m])[1h:])", ("1h",)),
        ("a", ()),
    ],
)
def test_ranges_other_than_the_step_are_named(query: str, ranges: tuple[str, ...]) -> None:
    assert other_ranges(read(query), STEP) == ranges


@pytest.mark.parametrize(
    ("query", "sums"),
    [
        ("sum by (pod) (increase(a[$step]))", True),
        ("sum(increase(a[$step])) by (pod)", True),
        ("sum without (le) (rate(a[$step]))", True),
        ("increase(a[$step])", True),
        ("count by (pod) (up)", True),
        ("sum by (pod) (a) / sum by (pod) (b)", False),
        ("avg by (pod) (a)", False),
        ("a", False),
        ("sum(a", False),
        ("", False),
    ],
)
def test_a_query_whose_values_add_up_is_known(query: str, sums: bool) -> None:
    assert promql.is_sum(query) is sums


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("sum(rate(a[5m])) / sum(rate(b[5m]))", ("sum(rate(a[5m]))", "sum(rate(b[5m]))")),
        ('a{b="/"}/c', ('a{b="/"}', "c")),
        ("sum(a / b)", None),
        ("a / b * 100", None),
        ("a / on (x) b", None),
        ("a / 60", None),
        ("a / b or c", None),
        ("/ b", None),
        ("a", None),
    ],
)
def test_a_query_that_divides_is_taken_apart(query: str, parts: tuple[str, str] | None) -> None:
    assert promql.division(query) == parts


@pytest.mark.parametrize(
    ("query", "counters"),
    [
        ("requests_total", ("requests_total",)),
        ('sum(requests_total{code="500"})', ('requests_total{code="500"}',)),
        ("sum(increase(requests_total[$step]))", ()),
        ("count(requests_total)", ()),
        ("requests_total - requests_total offset 5m", ()),
        ("rate(sum(requests_total)[5m:1m])", ()),
        ("queue_length", ()),
    ],
)
def test_a_counter_that_is_read_as_it_stands_is_known(
    query: str, counters: tuple[str, ...]
) -> None:
    assert promql.raw_counters(query) == counters


@pytest.mark.parametrize(
    ("query", "written"),
    [
        (
            'sum by (pod) (increase(a{b="c"}[5m]))',
            'sum by (pod) (((max_over_time(a{b="c"}[5m]) unless (a{b="c"} offset 5m or a{b="c"} '
            'offset 10m or a{b="c"} offset 1h or a{b="c"} offset 1d)) or increase(a{b="c"}[5m])))',
        ),
        (
            "sum(rate(a[5m]))",
            "sum(((max_over_time(a[5m]) unless (a offset 5m or a offset 10m or a offset 1h or a "
            "offset 1d)) / 300 or rate(a[5m])))",
        ),
        ("sum(increase(a[15m]))", None),
        ("sum(increase(a[5m] offset 1d))", None),
        ("sum(a)", None),
        ("sum(increase(a[5m:1m]))", None),
        ("sum(increase(", None),
    ],
)
def test_the_births_of_a_counter_are_asked_for(query: str, written: str | None) -> None:
    assert promql.since_birth(query, timedelta(minutes=5)) == written
