"""A kind of error that Prometheus never had a series of before the release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import anomaly
from anomaly.model import Finding, Release, Verdict
from tests.support.scripted import Answer, Request, Respond, http, matrix, moments, scripted

pytestmark = pytest.mark.usefixtures("loopback")

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
HOUR_S = 3600
CHECKLIST = """
service: shop
sources:
  prod: {type: prometheus, url: URL}
windows: {history: 7d, warmup: 0s, watch: 12h, step: 1h}
kpis:
  - name: errors
    query: sum by (class) (KIND(errors_total[$step]))
    by: [class]
    direction: DIRECTION
"""


def server(events: dict[int, int]) -> Respond:
    """A Prometheus with one kind of error all the time, and another with so many `events` in these
    hours after the release."""

    def respond(request: Request) -> Answer:
        old = [
            (second, str(np.random.default_rng(int(second)).poisson(30)))
            for second in moments(request)
        ]
        new = [
            (second, str(events[hour]))
            for second in moments(request)
            if (hour := round((second - RELEASED.timestamp()) / HOUR_S)) in events
        ]
        return http(matrix([({"class": "Old"}, old), *([({"class": "New"}, new)] if new else [])]))

    return respond


def judged(
    folder: Path, events: dict[int, int], *, kind: str = "increase", direction: str = "up"
) -> Finding:
    """The finding about the new kind."""
    with scripted(server(events)) as script:
        text = CHECKLIST.replace("URL", script.url)
        (folder / "checklist.yaml").write_text(
            text.replace("KIND", kind).replace("DIRECTION", direction)
        )
        report = anomaly.check_release(
            anomaly.load_checklist(folder / "checklist.yaml"),
            Release(RELEASED),
            now=RELEASED + timedelta(hours=13),
        )
    return report["errors", {"class": "New"}]


def test_a_new_kind_of_error_fails_the_release_by_default(tmp_path: Path) -> None:
    found = judged(tmp_path, dict.fromkeys(range(2, 13), 18))
    assert found.verdict is Verdict.REGRESSED
    assert found.evidence.new_steps == 11


def test_a_single_event_does_not(tmp_path: Path) -> None:
    found = judged(tmp_path, {5: 1})
    assert found.verdict is Verdict.OK
    assert found.evidence.new_steps == 1


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"kind": "max_over_time"}, {"direction": "down"}])
def test_where_absence_may_mean_something_else_there_is_no_baseline(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    found = judged(tmp_path, dict.fromkeys(range(2, 13), 18), **settings)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "no baseline: first seen after the release"
