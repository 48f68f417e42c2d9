"""A first checklist from what a real Prometheus holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.collectors.prometheus_access import Access
from anomaly.errors import CollectError
from anomaly.model import Kpi, Windows
from anomaly.setup.prometheus_proposal import ServiceProposal, propose
from anomaly.setup.proposal import Proposal, ProposedKpi
from tests.conftest import StartServer
from tests.support.servers import Samples

MINUTES = 14 * 24 * 60
NASTY = 'o"dd\\job'
Points = list[tuple[float, float]]


def now() -> datetime:
    """What is proposed must be alive."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def points(values: np.ndarray) -> Points:
    """A value every two minutes, the last of them now."""
    end = now().timestamp()
    return [(end - 120 * (len(values) - 1 - row), float(value)) for row, value in enumerate(values)]


def counter(rate: float, *, minutes: int = MINUTES) -> Points:
    return points(np.random.default_rng(int(rate)).poisson(2 * rate, minutes // 2).cumsum())


def gauge(value: float = 1.0, *, minutes: int = MINUTES) -> Points:
    return points(np.full(minutes // 2, value))


def history() -> Samples:
    """Two weeks of a shop and of a quieter search; a counter of nobody's requests."""
    out = {}
    for job, rate in (("shop", 1000.0), (NASTY.replace("\\", "\\\\").replace('"', '\\"'), 10.0)):
        for code, share in (("200", 0.99), ("503", 0.01)):
            out[f'http_requests_total{{job="{job}",code="{code}",pod="a-1"}}'] = counter(
                rate * share
            )
        for le, share in (("0.1", 0.9), ("0.5", 0.99), ("+Inf", 1.0)):
            out[f'http_request_duration_seconds_bucket{{job="{job}",le="{le}"}}'] = counter(
                rate * share
            )
        out[f'http_request_duration_seconds_count{{job="{job}"}}'] = counter(rate)
        out[f'promhttp_metric_handler_requests_total{{job="{job}",code="200"}}'] = counter(2000)
    return out | {
        'queue_length{job="shop"}': gauge(3.0),
        'process_cpu_seconds_total{job="shop"}': counter(30),
        'shop_build_info{job="shop",version="1.4"}': gauge(),
        'go_build_info{job="shop",version="(devel)"}': gauge(),
    }


def found(url: str, service: str = "") -> ServiceProposal:
    proposed = propose(Access(url=url), {"type": "prometheus", "url": url}, service)
    assert proposed is not None
    return proposed


def queries(proposed: ServiceProposal) -> Mapping[str, str]:
    return {each.kpi.name: each.kpi.query for each in proposed.proposal.kpis}


def test_the_busiest_service_is_proposed_and_can_be_judged(
    start_prometheus: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_prometheus(history())
    monkeypatch.chdir(tmp_path)

    assert run(["init", "--prometheus", server.url]) == 0
    said = capsys.readouterr().out
    made = load("checklist.yaml")
    probe = run(["validate", "--probe", "checklist.yaml"])
    capsys.readouterr()
    code = run(["check", "checklist.yaml", "--released-at", "-3h", "--until", "-30m"])

    assert said.startswith("found shop\n")
    assert 'errors: the share of http_requests_total with code=~"5.."' in said
    assert "pod of http_requests_total name replicas" in said
    assert {kpi.name: kpi.query for kpi in made.kpis} == {
        "errors": 'sum(increase(http_requests_total{job="shop", code=~"5.."}[$step]))',
        "p95 latency": (
            "histogram_quantile(0.95, sum by (le) "
            '(rate(http_request_duration_seconds_bucket{job="shop"}[$step])))'
        ),
        "requests": 'sum(increase(http_requests_total{job="shop"}[$step]))',
        "cpu": 'sum(rate(process_cpu_seconds_total{job="shop"}[$step]))',
    }
    assert made.windows.history.days == 14
    assert [each.type for each in made.sinks] == ["html"]
    assert [each.settings["query"] for each in made.releases] == [
        'sum by (version) (shop_build_info{job="shop"})'
    ]
    assert NASTY in Path("checklist.yaml").read_text(encoding="utf-8")
    assert probe == 0
    assert (code, capsys.readouterr().out[:4]) == (0, "PASS")

    other = found(server.url, NASTY)
    Path("other.yaml").write_text(other.proposal.checklist(), encoding="utf-8")
    assert load("other.yaml").service == NASTY
    assert any(line.startswith("saturation: not found; looked for") for line in other.notes)
    with pytest.raises(
        CollectError, match="no requests of 'nobody' are counted; there are those of"
    ):
        found(server.url, "nobody")


def test_a_counter_whose_errors_can_be_told_is_preferred_to_a_busier_one(
    start_prometheus: StartServer,
) -> None:
    day = 24 * 60
    server = start_prometheus(
        {
            'gateway_requests_total{service="shop"}': counter(5000, minutes=day),
            'http_server_requests_seconds_count{service="shop",outcome="SUCCESS"}': counter(
                900, minutes=day
            ),
            'http_server_requests_seconds_count{service="shop",outcome="CLIENT_ERROR"}': counter(
                20, minutes=day
            ),
            'http_server_requests_seconds_count{service="shop",outcome="SERVER_ERROR"}': counter(
                10, minutes=day
            ),
            'rpc_requests_total{service="search"}': counter(9000, minutes=day),
            'rpc_failures_total{service="search"}': counter(9, minutes=day),
            'grpc_server_handled_total{service="pay",grpc_code="OK"}': counter(9, minutes=day),
        }
    )

    shop, search, pay = found(server.url), found(server.url, "search"), found(server.url, "pay")

    assert queries(shop)["errors"] == (
        "sum(increase(http_server_requests_seconds_count"
        '{service="shop", outcome=~"SERVER_ERROR"}[$step]))'
    )
    assert queries(search)["errors"] == (
        'sum(increase(rpc_failures_total{service="search"}[$step]))'
    )
    assert 'grpc_code=~"Unknown|DeadlineExceeded|' in queries(pay)["errors"]
    assert shop.proposal.windows.history.days == 1
    assert "goes back 23h; four weeks" in shop.proposal.why_windows
    assert any(
        line.startswith("latency: not found; looked for metrics like") for line in shop.notes
    )
    assert any(line.startswith("releases: not found; looked for") for line in shop.notes)


def test_series_without_a_label_of_a_service_are_proposed_too(
    start_prometheus: StartServer, tmp_path: Path
) -> None:
    hour = 60
    server = start_prometheus(
        {
            'http_requests_total{code="200"}': counter(99, minutes=hour),
            'http_requests_total{code="500"}': counter(1, minutes=hour),
            "http_request_duration_seconds_bucket": counter(100, minutes=hour),
        }
    )

    proposed = found(server.url)

    path = tmp_path / "checklist.yaml"
    path.write_text(proposed.proposal.checklist(), encoding="utf-8")
    assert load(path).service == "service"
    assert queries(proposed) == {
        "errors": 'sum(increase(http_requests_total{code=~"5.."}[$step]))',
        "p95 latency": (
            "histogram_quantile(0.95, sum by (le) "
            "(rate(http_request_duration_seconds_bucket[$step])))"
        ),
        "requests": "sum(increase(http_requests_total[$step]))",
    }


def test_where_errors_cannot_be_told_it_says_where_it_looked(
    start_prometheus: StartServer,
) -> None:
    server = start_prometheus({'requests_total{job="shop"}': counter(10, minutes=60)})

    proposed = found(server.url)

    assert "errors" not in queries(proposed)
    assert any(
        line.startswith("errors: not found; looked for the labels code, status, ")
        for line in proposed.notes
    )
    assert "# errors: not found;" in proposed.proposal.checklist()


def test_where_nothing_is_found_it_is_the_template(
    start_prometheus: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_prometheus({})
    monkeypatch.chdir(tmp_path)

    assert run(["init", "--prometheus", server.url]) == 0
    assert "using the template" in capsys.readouterr().out
    assert "checkout errors" in Path("checklist.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            ["init", "--service", "shop"],
            2,
            "--service needs a source that knows services, such as --prometheus URL",
        ),
        (["init", "--prometheus", "ftp://h"], 2, "http"),
        (["init", "--prometheus", "http://127.0.0.1:1"], 4, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_asked_is_said(
    loopback: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("anomaly.setup.prometheus_proposal.TIMEOUT_S", 1.0)

    assert run(line) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\u2028b", "}: {", "x\n- y", "😀", '"', "\\", "# no", "${HOME}"])
def test_any_name_makes_a_checklist(tmp_path: Path, name: str) -> None:
    path = tmp_path / "checklist.yaml"
    kpi = ProposedKpi(Kpi("errors", query=f"requests_total{name}"), name)
    proposal = Proposal(
        "shop",
        {"prod": {"type": "prometheus", "url": "http://h"}},
        [kpi],
        Windows(),
        others=(name,),
    )
    path.write_text(proposal.checklist(), encoding="utf-8")

    assert load(path).kpis[0].query == f"requests_total{name}"
