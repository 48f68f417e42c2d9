"""Labels whose values come and go with a release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import anomaly
from anomaly.collectors.replicas import Columns, settled
from anomaly.model import Release, ReleaseVerdict
from tests.support.scripted import Answer, Request, http, matrix, moments, scripted

ROWS = 100
WHOLE, BEFORE, AFTER = range(ROWS), range(60), range(58, ROWS)


def columns(**lives: range) -> Columns:
    """A count of 1 in the rows of each segment, under its name with a `_` for each `=`."""
    out = {}
    for name, rows in lives.items():
        values = np.full(ROWS, np.nan)
        values[[*rows]] = 1.0
        out["requests", name.replace("__", ",").replace("_", "="), "value"] = values
    return out


def test_replicas_that_come_and_go_are_judged_in_sum() -> None:
    found, notes = settled(columns(pod_a=BEFORE, pod_b=AFTER), ["pod"], additive=True)

    assert list(found) == [("requests", "pod=all", "value")]
    values = found["requests", "pod=all", "value"]
    assert values.tolist() == [1.0] * 58 + [2.0] * 2 + [1.0] * 40
    assert notes == (
        "by: [pod] names what comes and goes (1 appeared, 1 vanished of 2), so all are judged by "
        "their sum; take pod out of by and of the query",
    )


def test_other_labels_beside_them_stay() -> None:
    found, notes = settled(
        columns(country_DE__pod_a=BEFORE, country_DE__pod_b=AFTER, country_FR__pod_a=BEFORE),
        ["country", "pod"],
        additive=True,
    )

    assert {segment for _, segment, _ in found} == {"country=DE,pod=all", "country=FR,pod=all"}
    assert len(notes) == 1


def test_what_has_no_sum_is_judged_by_its_mean() -> None:
    found, notes = settled(columns(pod_a=BEFORE, pod_b=AFTER, pod_c=WHOLE), ["pod"], additive=False)

    assert found["requests", "pod=all", "value"].tolist() == [1.0] * ROWS
    assert "1 appeared, 1 vanished of 3), so all are judged by their mean" in notes[0]


@pytest.mark.parametrize(
    "there",
    [
        columns(pod_a=WHOLE, pod_b=WHOLE),
        columns(country_DE=WHOLE, country_FR=BEFORE),  # gone, and to be found
        columns(country_DE=WHOLE, country_FR=BEFORE, country_US=AFTER),
        columns(country_FR=BEFORE),
        {},
    ],
)
def test_what_stays_or_may_be_the_harm_is_judged_by_itself(there: Columns) -> None:
    assert settled(there, ["pod", "country"], additive=True) == (there, ())


def test_a_label_of_any_name_whose_values_all_come_and_go_is_one_of_those() -> None:
    found, notes = settled(columns(color_blue=BEFORE, color_green=AFTER), ["color"], additive=True)

    assert {segment for _, segment, _ in found} == {"color=all"}
    assert notes[0].startswith("by: [color] names what comes and goes")


RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
CHECKLIST = """
service: shop
sources:
  prod: {type: prometheus, url: URL}
windows: {history: 14d, warmup: 0s, watch: 12h, step: 1h}
kpis:
  - name: requests
    query: sum by (pod) (increase(requests_total[$step]))
    by: [pod]
    direction: down
"""


@pytest.mark.slow
@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(("left", "verdict"), [(1.0, "pass"), (0.5, "fail")])
def test_a_release_that_replaces_all_pods_can_pass_and_fail(
    tmp_path: Path, left: float, verdict: str
) -> None:
    def pods(request: Request) -> Answer:
        at = RELEASED.timestamp()
        usual = np.random.default_rng(1).poisson(400, 15 * 24)
        first = int(at) - 14 * 86400
        values = [
            (second, int(usual[(second - first) // 3600]) * (left if second > at else 1.0))
            for second in moments(request)
        ]
        return http(
            matrix(
                [
                    ({"pod": "old"}, [(second, str(n)) for second, n in values if second <= at]),
                    ({"pod": "new"}, [(second, str(n)) for second, n in values if second > at]),
                ]
            )
        )

    with scripted(pods) as script:
        path = tmp_path / "checklist.yaml"
        path.write_text(CHECKLIST.replace("URL", script.url))
        report = anomaly.check_release(
            anomaly.load_checklist(path), Release(RELEASED), now=RELEASED + timedelta(hours=13)
        )

    assert report.verdict is ReleaseVerdict(verdict)
    assert [finding.segment for finding in report.findings] == [{"pod": "all"}]
    assert any("take pod out of by" in note for note in report.findings[0].notes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kind: counts, ", ""])
def test_replicas_in_a_file_are_judged_together(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    hours = [RELEASED + timedelta(hours=each) for each in range(-14 * 24, 12)]
    rows = [
        f"{at.isoformat()},{'old' if at < RELEASED else 'new'},{rng.poisson(400)}\n" for at in hours
    ]
    (tmp_path / "data.csv").write_text("".join(["time,host_image,requests\n", *rows]))
    path = tmp_path / "checklist.yaml"
    path.write_text(
        "service: shop\nsources: {data: {type: files, path: data.csv}}\n"
        "windows: {history: 14d, warmup: 0s, watch: 12h, step: 1h}\n"
        f"kpis: [{{name: requests, query: requests, {kind}by: [host_image], direction: down}}]\n"
    )

    report = anomaly.check_release(
        anomaly.load_checklist(path), Release(RELEASED), now=RELEASED + timedelta(hours=13)
    )

    assert report.verdict is ReleaseVerdict.PASS
    assert any("take host_image out of by" in note for note in report.findings[0].notes)
