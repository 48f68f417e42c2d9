"""A first checklist from what a real Prometheus holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.collectors.prometheus_access import Access
from anomaly.errors import CollectError
from anomaly.setup.proposal import Proposal, checklist, propose
from tests.conftest import StartServer
from tests.support.servers import Samples

MINUTES = 14 * 24 * 60
NASTY = 'o"dd\\job'


def history() -> Samples:
    """Two weeks of a shop and of a quieter search; a counter of nobody's requests."""
    rng = np.random.default_rng(1)
    now = datetime.now(UTC).replace(second=0, microsecond=0)  # what is proposed must be alive
    stamps = [now.timestamp() - 60 * (MINUTES - minute) for minute in range(0, MINUTES, 2)]

    def counter(rate: float) -> list[tuple[float, float]]:
        return [
            (at, float(value))
            for at, value in zip(stamps, rng.poisson(rate, len(stamps)).cumsum(), strict=True)
        ]

    out = {}
    for job, rate in (("shop", 1000.0), (NASTY.replace("\\", "\\\\").replace('"', '\\"'), 10.0)):
        for code, share in (("200", 0.99), ("503", 0.01)):
            out[f'http_requests_total{{job="{job}",code="{code}"}}'] = counter(rate * share)
        for le, share in (("0.1", 0.9), ("0.5", 0.99), ("+Inf", 1.0)):
            out[f'http_request_duration_seconds_bucket{{job="{job}",le="{le}"}}'] = counter(
                rate * share
            )
    return out | {'queue_length{job="shop"}': [(at, 3.0) for at in stamps]}


def access(url: str) -> Access:
    return Access(url=url)


def test_the_busiest_service_is_proposed_and_can_be_judged(
    start_prometheus: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_prometheus(history())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMETHEUS_URL", server.url)

    assert run(["init", "--prometheus", server.url]) == 0
    said = capsys.readouterr().out
    made = load("checklist.yaml")
    code = run(["check", "checklist.yaml", "--released-at", "-3h", "--until", "-30m"])

    assert said.startswith("found shop by http_requests_total\nwrote checklist.yaml")
    assert {kpi.name: kpi.query for kpi in made.kpis} == {
        "errors": 'sum(increase(http_requests_total{job="shop", code=~"5.."}[$step]))',
        "p95 latency": (
            "histogram_quantile(0.95, sum by (le) "
            '(rate(http_request_duration_seconds_bucket{job="shop"}[$step])))'
        ),
        "requests": 'sum(increase(http_requests_total{job="shop"}[$step]))',
    }
    assert NASTY in Path("checklist.yaml").read_text(encoding="utf-8")
    assert (code, capsys.readouterr().out[:4]) == (0, "PASS")
    other = propose(access(server.url), NASTY)
    assert other is not None
    Path("other.yaml").write_text(checklist(other), encoding="utf-8")
    assert load("other.yaml").service == NASTY
    with pytest.raises(
        CollectError, match="no requests of 'nobody' are counted; there are those of"
    ):
        propose(access(server.url), "nobody")


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
        (["init", "--service", "shop"], 2, "--service needs --prometheus URL"),
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
    monkeypatch.setattr("anomaly.setup.proposal.TIMEOUT_S", 1.0)

    assert run(line) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\u2028b", "}: {", "x\n- y", "😀", '"', "\\", "# no", "${HOME}"])
def test_any_name_makes_a_checklist(tmp_path: Path, name: str) -> None:
    path = tmp_path / "checklist.yaml"
    path.write_text(
        checklist(
            Proposal("shop", "job", "requests_total", 1.0, "code", "request_bucket", (name,))
        ),
        encoding="utf-8",
    )

    assert load(path, environ={"PROMETHEUS_URL": "http://h"}).service == "shop"
