"""Prometheus write-back: the text, the file for node_exporter, and a real Pushgateway."""

from __future__ import annotations

import base64
import math
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from anomaly.contracts import Action, Message
from anomaly.errors import SinkError, UsageError
from anomaly.model import Finding, Release, ReleaseVerdict, Verdict
from anomaly.panel import segment_text
from anomaly.reporting.report import Report
from anomaly.sinks.exposition import exposition
from anomaly.sinks.pushgateway import PushgatewaySink
from anomaly.sinks.textfile import TextfileSink
from tests.support import reports
from tests.support.goldens import assert_golden
from tests.support.loopback import Loopback, answer
from tests.support.servers import Server, need

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

WHERE = {"service": "shop", "environment": "production"}
ERRORS = WHERE | {"kpi": "checkout errors", "country": "DE"}
PATIENCE_S = 60
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def with_points(report: Report, *findings: Finding) -> Report:
    """The report with two steps of each finding's series, in an order that is not that of time."""
    rows = [
        (
            finding.kpi,
            segment_text(finding.segment),
            reports.OBSERVED_FROM + number * reports.STEP,
            value,
            0.01,
            0.008,
            0.012,
            9.0,
            True,
        )
        for number, value in ((1, 0.0312), (0, 0.011))
        for finding in findings
    ]
    return replace(report, points=pd.DataFrame(rows, columns=list(reports.POINTS)))


def read(text: str) -> Samples:
    """The samples by name and labels; fails where Prometheus would see one twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            identity = (
                sample.name,
                frozenset((name, value) for name, value in sample.labels.items() if value),
            )
            assert identity not in found
            found[identity] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def check_metrics(text: str) -> str:
    """What promtool finds wrong."""
    done = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    return (
        done.stdout.decode()
        + done.stderr.decode()
        + (f"exit {done.returncode}" if done.returncode else "")
    )


def test_golden_exposition() -> None:
    assert_golden(
        "sinks/textfile.prom", exposition(with_points(reports.failing(), reports.REGRESSED))
    )


def test_the_verdict_that_holds_is_1_and_the_others_are_0() -> None:
    samples = read(exposition(reports.failing()))
    of_release = {
        verdict: value(
            samples, "anomaly_release_verdict", **WHERE, version="1.4.2", verdict=verdict
        )
        for verdict in ReleaseVerdict
    }
    of_kpi = {
        verdict: value(samples, "anomaly_kpi_verdict", **ERRORS, verdict=verdict)
        for verdict in Verdict
    }
    assert of_release == dict.fromkeys(ReleaseVerdict, 0.0) | {ReleaseVerdict.FAIL: 1.0}
    assert of_kpi == dict.fromkeys(Verdict, 0.0) | {Verdict.REGRESSED: 1.0}


def test_the_band_is_that_of_the_latest_step() -> None:
    samples = read(exposition(with_points(reports.failing(), reports.REGRESSED)))
    band = {
        name: value(samples, f"anomaly_kpi_{name}", **ERRORS)
        for name in ("observed", "expected", "lower", "upper")
    }
    assert band == {"observed": 0.0312, "expected": 0.01, "lower": 0.008, "upper": 0.012}
    assert value(samples, "anomaly_kpi_effect", **ERRORS) == 2.12


def test_what_is_not_known_is_left_out() -> None:
    report = with_points(reports.failing(), reports.REGRESSED)
    points = report.points.assign(observed=math.nan, upper=math.inf)
    samples = read(exposition(replace(report, points=points)))
    assert value(samples, "anomaly_kpi_observed", **ERRORS) is None
    assert value(samples, "anomaly_kpi_upper", **ERRORS) is None
    assert value(samples, "anomaly_kpi_lower", **ERRORS) == 0.008
    assert (
        value(samples, "anomaly_kpi_effect", **WHERE, kpi="crashes") is None
    )  # nothing was expected, so no relative effect
    assert all(math.isfinite(each) for each in samples.values())


def test_labels_of_segments_get_names_that_prometheus_takes_and_that_are_not_ours() -> None:
    segment = {
        "service": "a",
        "job": "b",
        "plan-type": "c",
        "plan.type": "d",
        "2nd": "e",
        "__name__": "f",
        "": "g",
        "größe": "h",
        "le": "",
    }
    finding = replace(reports.REGRESSED, segment=segment)
    samples = read(exposition(with_points(reports.report(ReleaseVerdict.FAIL, finding), finding)))
    labels = WHERE | {
        "kpi": "checkout errors",
        "plan_type": "c",
        "plan_type_": "d",
        "gr__e": "h",
        "le": "(none)",
    }
    labels |= {
        "segment_service": "a",
        "segment_job": "b",
        "segment_2nd": "e",
        "segment___name__": "f",
        "segment_": "g",
    }
    assert value(samples, "anomaly_kpi_effect", **labels) == 2.12
    assert value(samples, "anomaly_kpi_observed", **labels) == 0.0312


def test_a_total_is_not_the_segment_without_a_value() -> None:
    nobody, total = (
        replace(reports.REGRESSED, segment={"country": ""}, effect=1.0),
        replace(reports.REGRESSED, segment={}, total=True, effect=2.0),
    )
    samples = read(exposition(reports.report(ReleaseVerdict.FAIL, nobody, total)))
    assert value(samples, "anomaly_kpi_effect", **WHERE, kpi="checkout errors") == 2.0
    assert (
        value(samples, "anomaly_kpi_effect", **WHERE, kpi="checkout errors", country="(none)")
        == 1.0
    )


def test_of_series_that_can_not_be_told_apart_the_worst_is_shown() -> None:
    fine = replace(reports.LATENCY, kpi="x" * 300 + "a")
    samples = read(
        exposition(
            reports.report(
                ReleaseVerdict.FAIL,
                fine,
                replace(reports.REGRESSED, kpi="x" * 300 + "b", segment={}),
            )
        )
    )
    assert [each for (name, _), each in samples.items() if name == "anomaly_kpi_effect"] == [2.12]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["failing", "messy", "passing", "early", "dead_source"])
def test_promtool_finds_nothing_wrong(name: str) -> None:
    report: Report = getattr(reports, name)()
    assert check_metrics(exposition(with_points(report, *report.findings))) == ""


@pytest.mark.slow
def test_promtool_finds_nothing_wrong_with_hostile_text() -> None:
    for text in reports.HOSTILE:
        assert check_metrics(exposition(reports.hostile(text))) == ""


@pytest.mark.slow
@settings(max_examples=50)
@given(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_any_text_is_written_so_that_it_is_read_again(text: str, segment: dict[str, str]) -> None:
    finding = replace(reports.REGRESSED, kpi=text, segment=segment)
    samples = read(exposition(with_points(reports.report(ReleaseVerdict.FAIL, finding), finding)))
    (labels,) = [dict(labels) for name, labels in samples if name == "anomaly_kpi_effect"]
    assert len(labels) == len(segment) + (3 if text else 2)
    assert all(each.isprintable() for each in labels.values())
    assert len([name for name, _ in samples if name == "anomaly_kpi_observed"]) == 1


def test_the_textfile_is_replaced_and_a_trial_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.prom"
    sink = TextfileSink(path=path)
    sink.send(Message("k", reports.failing()))
    sink.send(Message("k", reports.passing()))
    sink.send(Message("k", reports.failing(), Action.TRIAL))
    assert path.read_text() == exposition(reports.passing())
    assert [*tmp_path.iterdir()] == [path]


def test_a_textfile_that_node_exporter_would_not_read_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"shop\.txt; node_exporter reads only names that end in \.prom"
    ):
        TextfileSink(path=Path("shop.txt"))


def scraped(gateway: Server, job: str) -> Samples:
    """What Prometheus would read of a job, without what the gateway itself adds."""
    everything = read(requests.get(f"{gateway.url}/metrics", timeout=10).text)
    own = {("job", job), ("instance", "")}
    return {
        (name, labels - own): each
        for (name, labels), each in everything.items()
        if ("job", job) in labels and name.startswith("anomaly")
    }


def test_a_real_pushgateway_shows_what_was_pushed_and_a_later_look_replaces_it(
    gateway: Server,
) -> None:
    sink = PushgatewaySink(url=f"{gateway.url}/", job="replaces")
    messy = reports.messy()
    sink.send(Message("k", with_points(messy, *messy.findings)))
    assert scraped(gateway, "replaces") == read(exposition(with_points(messy, *messy.findings)))
    sink.send(Message("k", reports.passing()))
    assert scraped(gateway, "replaces") == read(exposition(reports.passing()))


def test_other_services_and_environments_keep_their_metrics(gateway: Server) -> None:
    sink = PushgatewaySink(url=gateway.url, job="others")
    sink.send(Message("k", reports.failing()))
    release = replace(reports.passing().release, environment="staging")
    sink.send(Message("k", replace(reports.passing(), release=release)))
    assert {dict(labels).get("environment") for _, labels in scraped(gateway, "others")} == {
        "production",
        "staging",
    }


def test_a_trial_is_taken_back(gateway: Server) -> None:
    sink = PushgatewaySink(url=gateway.url, job="trial")
    sink.send(Message("k", reports.failing()))
    assert sink.send(Message("t", reports.passing(), Action.TRIAL)).delivered
    told = read(exposition(reports.failing()))
    end = time.monotonic() + PATIENCE_S  # a Pushgateway deletes what it is asked to when it can
    while scraped(gateway, "trial") != told and time.monotonic() < end:
        time.sleep(0.05)
    assert scraped(gateway, "trial") == told


@pytest.mark.parametrize("text", [*reports.HOSTILE, "..", "a/b", "größe", "a%2Fb", "?x#y"])
def test_a_real_pushgateway_takes_hostile_text(gateway: Server, text: str) -> None:
    assert (
        PushgatewaySink(url=gateway.url, job="hostile")
        .send(Message("k", reports.hostile(text)))
        .delivered
    )


def test_a_path_says_the_group_and_the_headers_who_asks() -> None:
    with Loopback([answer(200)]) as server:
        sink = PushgatewaySink(
            url=f"{server.origin}/push", job="a/b", username="shop", password="p4ssw0rd"
        )
        release = Release(reports.RELEASED, service="shop", environment="größe")
        sink.send(Message("k", replace(reports.passing(), release=release)))
    (request,) = server.requests
    coded = {text: base64.urlsafe_b64encode(text.encode()).decode() for text in ("a/b", "größe")}
    assert request.line == (
        f"PUT /push/metrics/job@base64/{coded['a/b']}/service/shop"
        f"/environment@base64/{coded['größe']} HTTP/1.1"
    )
    assert (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
        == b"shop:p4ssw0rd"
    )
    assert request.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_refusal_is_told_without_the_password() -> None:
    with Loopback([answer(401, "no shop:p4ssw0rd here")]) as server:
        sink = PushgatewaySink(
            url=server.origin, username="shop", password="p4ssw0rd", timeout=timedelta(seconds=5)
        )
        with pytest.raises(SinkError, match="answered 401") as caught:
            sink.send(Message("k", reports.passing()))
    assert "p4ssw0rd" not in f"{caught.value}{sink!r}{vars(sink)['_endpoint']!r}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"job": ""}, "job is empty"),
        ({"username": "shop"}, "password is missing"),
        ({"password": "x"}, "username is missing"),
        ({"url": "http://localhost:9091/?a=b"}, "url has a query"),
        (
            {"url": "http://a:b@localhost:9091", "username": "c", "password": "d"},
            "url contains one too",
        ),
        ({"url": "ftp://localhost"}, "use http or https"),
    ],
)
def test_settings_that_can_not_be_used_are_refused(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PushgatewaySink(**({"url": "http://localhost:9091"} | wrong))  # type: ignore[arg-type]
