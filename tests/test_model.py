"""The order of verdicts, and KPIs chosen by name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from anomaly.errors import UsageError
from anomaly.model import CHANGED, UNJUDGED, WORST_FIRST, Kpi, Verdict, Windows, select_kpis
from anomaly.reporting.words import AFTER_FAILURES
from anomaly.steps import of_calendar

KPIS = (Kpi("orders"), Kpi("errors"), Kpi("orders elsewhere", control_for=("orders",)))


def test_every_verdict_has_one_place_in_the_order_of_severity() -> None:
    assert sorted(WORST_FIRST) == sorted(Verdict)
    assert sorted(AFTER_FAILURES) == sorted(Verdict)
    assert WORST_FIRST[0] is Verdict.REGRESSED
    assert WORST_FIRST[-1] is Verdict.OK
    assert set(Verdict) == {*CHANGED, *UNJUDGED, Verdict.OK}


def test_what_is_left_open_comes_before_a_regression_that_fails_nothing() -> None:
    assert set(AFTER_FAILURES[: len(UNJUDGED)]) == UNJUDGED


def test_a_kpi_is_chosen_with_its_controls() -> None:
    assert [kpi.name for kpi in select_kpis(KPIS, ["orders"])] == ["orders", "orders elsewhere"]
    assert select_kpis(KPIS, []) == KPIS


def test_a_name_that_no_kpi_has_is_refused() -> None:
    with pytest.raises(UsageError, match="'order' is not a KPI; use one of errors, orders"):
        select_kpis(KPIS, ["order"])


def test_a_warm_up_shorter_than_a_day_costs_no_day() -> None:
    day = of_calendar(timedelta(days=1), "Europe/Berlin")
    assert Windows(watch=timedelta(days=7), step=day).warmup == timedelta(0)
    assert Windows(watch=timedelta(days=7), step=day, warmup=timedelta(days=1)).warmup == day
    assert Windows().warmup == timedelta(minutes=5)
