"""What a broken, hostile or overloaded source does to a collection: an error with its name, in
bounded time and memory."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pandas as pd
import pytest

from anomaly.checklist import registry
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.contracts import Collected
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Kpi, Window
from tests.support.places import ROOT
from tests.support.scripted import (
    Answer,
    Clock,
    Request,
    Respond,
    Script,
    constant,
    http,
    matrix,
    moments,
    scripted,
)

pytestmark = pytest.mark.usefixtures("loopback")

START = datetime(2025, 3, 3, tzinfo=UTC)
STEP = timedelta(minutes=5)
HOUR = Window(START, START + timedelta(hours=1))
KPI = Kpi("errors", query="max(max_over_time(errors[$step]))")
MATRIX = matrix([({}, [(START.timestamp() + 300, "1")])])
TLS = ROOT / "tests" / "support" / "tls"


def collect(
    url: str,
    *kpis: Kpi,
    window: Window = HOUR,
    step: timedelta = STEP,
    clock: Clock | None = None,
    **settings: Any,
) -> Collected:
    time_ = clock or Clock()
    outside: dict[str, Any] = {
        "monotonic": time_.monotonic,
        "now": time_.now,
        "sleep": time_.sleep,
        "chance": time_.chance,
    }
    return PrometheusCollector(url=url, **settings, **outside).collect(kpis or (KPI,), window, step)


def error_of(answer: Answer | Respond, **settings: Any) -> CollectError:
    with scripted(answer) as script:
        return collect(script.url, **settings).errors["errors"]


def forever(piece: bytes, pause_s: float) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(pause_s)


def never() -> Iterator[bytes]:
    time.sleep(60)
    yield b""


# Time


def drip_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    yield from forever(b" ", 0.02)


def drip_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Long: "
    yield from forever(b"a", 0.02)


def drip_chunks() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from forever(b"1\r\n \r\n", 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [never, drip_body, drip_headers, drip_chunks])
def test_a_source_that_hangs_or_drips_is_given_up_at_the_deadline(answer: Any) -> None:
    with scripted(lambda _: answer()) as script:
        collected = PrometheusCollector(
            url=script.url, timeout=timedelta(milliseconds=300)
        ).collect([KPI], HOUR, STEP)
    error = collected.errors["errors"]
    assert isinstance(error, RetryableCollectError)
    assert "unavailable" in str(error)
    assert "no complete answer within the deadline" in str(error)
    assert len(script.requests) == 1
    assert collected.panel.empty


@pytest.mark.slow
def test_a_hanging_kpi_does_not_hide_the_others() -> None:
    def respond(request: Request) -> Answer:
        return never() if "slow" in request.asked["query"] else constant()(request)

    with scripted(respond) as script:
        kpis = [Kpi("slow", query="sum(increase(slow[$step]))"), KPI]
        collected = PrometheusCollector(
            url=script.url, timeout=timedelta(milliseconds=300)
        ).collect(kpis, HOUR, STEP)
    assert list(collected.errors) == ["slow"]
    assert collected.panel["errors"].notna().to_numpy().all()


@pytest.mark.slow
def test_the_budget_bounds_all_kpis_together() -> None:
    kpis = [Kpi(f"k{number}", query=f"sum(increase(k{number}[$step]))") for number in range(6)]
    with scripted(lambda _: never()) as script:
        collector = PrometheusCollector(
            url=script.url, concurrency=1, budget=timedelta(milliseconds=300)
        )
        collected = collector.collect(kpis, HOUR, STEP)
    assert len(collected.errors) == 6
    assert len(script.requests) == 1
    assert "the time for this source is used up" in str(collected.errors["k5"])


def test_the_questions_of_one_kpi_are_asked_side_by_side_within_the_bound() -> None:
    """Numerator and denominator, each in chunks: three at once, never four."""
    together, lock = threading.Barrier(3), threading.Lock()
    running, most = [0], [0]

    def respond(request: Request) -> Answer:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(10)  # until three are under way
        with lock:
            running[0] -= 1
        return constant(a="x")(request)

    kpi = Kpi("errors", query="max by (a) (max_over_time(errors[$step]))", by=("a",))
    ratio = replace(kpi, denominator="max by (a) (max_over_time(requests[$step]))")
    window = Window(START, START + 3 * 1000 * STEP)
    with scripted(respond) as script:
        collected = collect(script.url, ratio, window=window, concurrency=3)

    assert not collected.errors
    assert collected.panel.notna().to_numpy().all()
    assert len(script.requests) == 6
    assert most == [3]


def test_after_the_first_error_of_a_kpi_nothing_more_is_asked_for_it() -> None:
    window = Window(START, START + 20_000 * STEP)
    with scripted(http("no", 401)) as script:
        error = collect(script.url, window=window, concurrency=1).errors["errors"]
    assert str(error).startswith("auth: ")
    assert len(script.requests) == 1


def test_the_server_is_told_when_to_stop_working() -> None:
    with scripted(http(MATRIX)) as script:
        collect(script.url, timeout=timedelta(seconds=7))
    assert script.requests[0].asked["timeout"] == "7000ms"


# Retries


@pytest.mark.slow
@pytest.mark.parametrize(
    ("retry_after", "pauses"),
    [
        (None, [0.5, 1.0, 2.0]),
        ("5", [5.25] * 3),
        ("0", [0.25] * 3),
        ("99999", [30.25] * 3),
        ("9" * 400, [30.25] * 3),
        ("Mon, 03 Mar 2025 12:00:07 GMT", [7.25] * 3),
        ("Mon, 03 Mar 2025 11:00:00 GMT", [0.25] * 3),
        ("soon", [0.5, 1.0, 2.0]),
        ("-5", [0.5, 1.0, 2.0]),
        ("²", [0.5, 1.0, 2.0]),
        ("Mon, 99 Mar 2025 12:00:07 GMT", [0.5, 1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_source_is_asked_four_times_at_its_own_pace(
    status: int, retry_after: str | None, pauses: list[float]
) -> None:
    clock, headers = (
        Clock(),
        {} if retry_after is None else {"Retry-After": retry_after.encode().decode("latin-1")},
    )
    with scripted(http("overloaded", status, headers)) as script:
        error = collect(script.url, clock=clock).errors["errors"]
    assert isinstance(error, RetryableCollectError)
    assert str(error) == f"unavailable: {script.url} answered {status}: overloaded (asked 4 times)"
    assert len(script.requests) == 4
    assert clock.slept == pauses


def test_pauses_are_jittered() -> None:
    clock = Clock()
    with scripted(http("", 500)) as script:
        collector = PrometheusCollector(
            url=script.url, sleep=clock.sleep, chance=iter([0.0, 1.0, 0.25, 0.0]).__next__
        )
        collector.collect([KPI], HOUR, STEP)
    assert clock.slept == [0.25, 1.5, 1.5]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_source_that_recovers_is_read(status: int) -> None:
    with scripted(http("later", status), http("later", status), http(MATRIX)) as script:
        collected = collect(script.url)
    assert not collected.errors
    assert len(script.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
def test_a_refusal_is_not_repeated_but_by_the_other_method(status: int) -> None:
    with scripted(http("no", status)) as script:
        error = collect(script.url).errors["errors"]
    assert not isinstance(error, RetryableCollectError)
    by_get = status not in {401, 422}
    assert [request.method for request in script.requests] == ["POST", "GET"][: 1 + by_get]


@pytest.mark.slow
def test_a_long_query_is_sent_where_no_limit_of_an_address_cuts_it_off() -> None:
    def like_a_proxy(request: Request) -> Answer:
        return http("too long", 414) if len(request.target) > 4096 else constant()(request)

    kpi = Kpi("errors", query=f"sum(increase(errors_total{{path=~'{'x|' * 20_000}'}}[$step]))")
    with scripted(like_a_proxy) as script:
        collected = collect(script.url, kpi)

    assert not collected.errors
    assert {request.method for request in script.requests} == {"POST"}


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 403, 404, 405, 411, 415, 501])
def test_where_no_post_passes_it_is_a_get_and_stays_one(status: int) -> None:
    def reading_alone(request: Request) -> Answer:
        return http("no", status) if request.method == "POST" else constant(a="x")(request)

    hours = Window(START, START + timedelta(hours=3))
    kpi = Kpi("errors", query="max by (a) (max_over_time(errors[$step]))", by=("a",))
    with scripted(reading_alone) as script:
        collected = collect(script.url, kpi, window=hours, step=timedelta(seconds=1), concurrency=2)

    assert not collected.errors
    methods = [request.method for request in script.requests]
    assert methods.count("GET") == 11  # questions
    assert methods.count("POST") <= 2  # as many as were under way before the first answer


@pytest.mark.parametrize("status", [414, 431])
def test_what_fits_neither_way_is_said(status: int) -> None:
    def strict(request: Request) -> Answer:
        return http("no", 405 if request.method == "POST" else status)

    assert str(error_of(strict)).endswith(f"answered {status}: no (a POST was answered 405)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "text"),
    [
        (422, "query processing would load too many samples into memory in query execution"),
        (422, "the query time range exceeds the limit (query length: 672h, limit: 24h)"),
        (400, "exceeded maximum resolution of 11,000 points per timeseries"),
        (400, "time range too long, at most 1d"),
        (422, "cannot select more than -search.maxSamplesPerQuery=1000 samples"),
        (413, ""),
    ],
)
def test_what_is_too_much_at_once_is_asked_in_pieces_that_meet(status: int, text: str) -> None:
    def narrow(request: Request) -> Answer:
        answer = json.dumps({"status": "error", "errorType": "execution", "error": text})
        return http(answer, status) if len(moments(request)) > 20 else constant()(request)

    window = Window(START, START + timedelta(hours=12))
    with scripted(narrow) as script:
        collected = collect(script.url, window=window)

    assert not collected.errors
    assert collected.panel["errors"].notna().to_numpy().all()
    answered = [moments(each) for each in script.requests if len(moments(each)) <= 20]
    assert [at for chunk in answered for at in chunk] == [
        int(START.timestamp()) + 300 * row for row in range(1, 145)
    ]
    assert len(script.requests) < 16


def test_an_answer_that_is_too_large_is_asked_for_in_pieces() -> None:
    window = Window(START, START + timedelta(hours=12))
    with scripted(constant()) as script:
        whole = collect(script.url, window=window)
    with scripted(constant()) as script:
        pieces = collect(script.url, window=window, max_bytes=2_000)

    assert not pieces.errors
    pd.testing.assert_frame_equal(pieces.panel, whole.panel)
    assert 2 < len(script.requests) < 16


def test_what_was_too_large_once_is_not_asked_for_again() -> None:
    window = Window(START, START + timedelta(days=120))
    with scripted(constant()) as script:
        whole = collect(script.url, window=window)
        chunks = [len(moments(each)) for each in script.requests]
    with scripted(constant()) as script:
        pieces = collect(script.url, window=window, max_bytes=100_000, concurrency=1)
        asked = [len(moments(each)) for each in script.requests]

    assert len(chunks) > 2
    pd.testing.assert_frame_equal(pieces.panel, whole.panel)
    assert [each for each in asked if each > asked[1]] == chunks[:1]
    assert sum(asked[1:]) == sum(chunks)


def test_what_is_too_much_for_a_single_step_is_an_error_soon() -> None:
    with scripted(http('{"error":"the query hit the max number of series limit"}', 422)) as script:
        error = collect(script.url, window=Window(START, START + timedelta(days=14))).errors

    assert str(error["errors"]).startswith("limit: ")
    assert len(script.requests) < 16


def test_no_pause_goes_beyond_the_budget() -> None:
    clock = Clock()
    with scripted(http("", 503, {"Retry-After": "20"})) as script:
        collect(script.url, clock=clock, budget=timedelta(seconds=50))
    assert clock.slept == [20.25, 20.25]
    assert len(script.requests) == 3


def test_a_dropped_connection_is_tried_again() -> None:
    with scripted([], [b"HTTP/1.1 200 OK\r\n"], http(MATRIX)) as script:
        assert not collect(script.url).errors
    assert len(script.requests) == 3


def test_a_closed_port_is_unavailable() -> None:
    with scripted() as script:
        url = script.url
    error = collect(url).errors["errors"]
    assert isinstance(error, RetryableCollectError)
    assert (
        str(error)
        == f"unavailable: {url} the connection failed (Connection refused) (asked 4 times)"
    )


# What is no answer


@pytest.mark.parametrize(
    ("answer", "said", "requests"),
    [
        (http(MATRIX[:-20]), "unavailable: .* broken or cut off after", 4),
        (
            http(MATRIX, headers={"Content-Length": str(len(MATRIX) + 10)}),
            "unavailable: .* the connection failed",
            4,
        ),
        (
            http(MATRIX, headers={"Content-Length": str(len(MATRIX) - 10)}),
            "unavailable: .* broken or cut off",
            4,
        ),
        (http(b"\xff\xfe\x00"), "unavailable: .* broken or cut off", 4),
        (http(""), "unavailable: .* broken or cut off after 0 bytes", 4),
        (http("[" * 100_000), "unavailable: .* broken or cut off", 4),
        (
            http("not gzip", headers={"Content-Encoding": "gzip"}),
            "unreadable: .* the exchange failed",
            1,
        ),
        (
            http("<!DOCTYPE html><title>Log in</title>"),
            "auth: .* a page instead of JSON, maybe to log in: <!DOCTYPE",
            1,
        ),
        (
            http("Log in", headers={"Content-Type": "text/html"}),
            "auth: .* a page instead of JSON",
            1,
        ),
        (
            http('{"status":"error","errorType":"bad_data","error":"unknown\\u001b[31m"}'),
            r"bad query: .* unknown \[31m$",
            1,
        ),
        (
            http('{"status":"error","errorType":"execution","error":"too many samples"}'),
            "limit: .* too many samples",
            5,
        ),
        (
            http('{"status":"error","errorType":"timeout","error":"timed out"}'),
            "unavailable: .* timed out",
            4,
        ),
        (http('{"status":"error"}'), "unavailable: .* answered an error", 4),
        (http("[]"), "unreadable: .* not of a Prometheus API", 1),
        (http('{"status":"success"}'), "unreadable: .* no matrix", 1),
        (
            http('{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'),
            "unreadable: .* no matrix",
            1,
        ),
        (
            http('{"status":"success","data":{"resultType":"matrix","result":[1]}}'),
            "unreadable: .*TypeError",
            1,
        ),
        (http("who?", 401), r"auth: .* answered 401: who\?; set bearer_token, username and", 1),
        (http("forbidden", 403), "auth: .* answered 403: forbidden", 2),
        (http("nothing here", 404), "unavailable: .* no /api/v1/query_range under url", 2),
        (
            http('{"error":"query processing would load too many samples into memory"}', 422),
            "limit: .* too many samples",
            5,
        ),
        (
            http('{"error":"exceeded maximum resolution of 11,000 points per timeseries"}', 400),
            "limit: .* 11,000",
            5,
        ),
        (http("x" * 100_000, 418), "unavailable: .* answered 418: x{200}…$", 1),
    ],
)
def test_whatever_is_no_answer_is_an_error_of_one_family(
    answer: Answer, said: str, requests: int
) -> None:
    with scripted(answer) as script:
        collected = collect(script.url)
    assert list(collected.errors) == ["errors"]
    with pytest.raises(CollectError, match=said):
        raise collected.errors["errors"]
    assert len(script.requests) == requests


@pytest.mark.parametrize(
    "more", [{"warnings": ["store 3 timed out"]}, {"warnings": "odd"}, {"isPartial": True}]
)
def test_a_partial_answer_is_never_taken_as_complete(more: dict[str, Any]) -> None:
    error = error_of(http(matrix([({}, [(START.timestamp() + 300, "1")])], **more)))
    assert str(error).startswith("partial: ")
    assert not isinstance(error, RetryableCollectError)


def test_advice_about_the_query_is_a_note_and_does_not_make_an_answer_partial() -> None:
    hints = {
        "warnings": ["PromQL warning: mix of histograms and floats (1:5)", "PromQL info: x"],
        "infos": ["PromQL info: metric might not be a counter", "PromQL info: x"],
        "isPartial": False,
    }
    with scripted(http(matrix([({}, [(START.timestamp() + 300, "1")])], **hints))) as script:
        collected = collect(script.url)

    assert not collected.errors
    assert collected.provenance["errors"].notes == (
        "the server says: PromQL warning: mix of histograms and floats (1:5)",
        "the server says: PromQL info: x",
        "the server says: PromQL info: metric might not be a counter",
    )


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_bomb_is_cut_off_by_its_decompressed_size(status: int) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    tracemalloc.start()
    try:
        error = error_of(
            http(bomb, status, {"Content-Encoding": "gzip", "Location": "/"}), max_bytes=1_000_000
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "limit: " in str(error)
    assert "larger than 1,000,000 bytes" in str(error)
    assert peak < 20_000_000


def test_a_million_series_are_cut_off() -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        yield b'{"status":"success","data":{"resultType":"matrix","result":['
        for number in range(1_000_000):
            values = f'[[{START.timestamp() + 300},"1"]]'
            yield f'{{"metric":{{"id":"{number}"}},"values":{values}}},'.encode() * 100

    assert "limit: " in str(error_of(lambda _: endless(), max_bytes=10_000_000))


def test_more_series_than_allowed_are_refused_with_advice() -> None:
    answer = http(
        matrix(({"id": str(number)}, [(START.timestamp() + 300, "1")]) for number in range(11))
    )
    with scripted(answer) as script:
        error = collect(
            script.url,
            Kpi("errors", query="sum by (id) (increase(a[$step]))", by=("id",)),
            max_series=10,
        ).errors["errors"]
    assert "limit: more than 10 series" in str(error)
    assert "max_series" in str(error)


def test_long_labels_are_refused_where_they_would_name_a_segment() -> None:
    answer = http(matrix([({"id": "x" * 65_536}, [(START.timestamp() + 300, "1")])]))
    with scripted(answer) as script:
        error = collect(
            script.url, Kpi("errors", query="sum by (id) (increase(a[$step]))", by=("id",))
        ).errors["errors"]
    assert "65,536 characters long" in str(error)
    assert len(str(error)) < 1000


# Addresses


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with (
        scripted(constant()) as elsewhere,
        scripted(http("", status, {"Location": f"{elsewhere.url}/x?token=hidden"})) as script,
    ):
        error = collect(script.url, bearer_token="opensesame1").errors["errors"]
        assert not elsewhere.requests
    assert "a redirect to http://127.0.0.1; set url to the API itself" in str(error)
    assert "hidden" not in str(error)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://169.254.169.254/latest", "//[", "", "/login"]
)
def test_odd_redirects_end_in_a_plain_error(location: str) -> None:
    error = error_of(http("", 302, {"Location": location}))
    assert str(error).startswith("unavailable: ")
    assert "answered 302" in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "2852039166",
        "0xa9fea9fe",
    ],
)
def test_metadata_addresses_are_never_asked(host: str) -> None:
    error = collect(f"http://{host}/").errors["errors"]
    assert "is a link-local or metadata address, which is never asked" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "prometheus:9090",
        "",
        "http://",
        "http://host:port",
        "http://host:0",
        "http://a b/",
        "http://a/\n",
        "ftp://a",
        "http://[::1",
    ],
)
def test_urls_that_are_no_web_address_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="url"):
        PrometheusCollector(url=url)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://a/?token=hidden12345"},
        {"url": "http://a/#hidden12345"},
        {"url": "http://u:hidden12345@a", "bearer_token": "x"},
        {"url": "http://u:hidden12345@a", "username": "u"},
        {"bearer_token": "hidden12345\n"},
        {"bearer_token": ""},
        {"bearer_token": "hidden12345", "bearer_token_file": Path("x")},
        {"bearer_token": "hidden12345", "username": "u"},
        {"password": "hidden12345"},
        {"headers": {"X": "hidden12345\r\nY: 1"}},
        {"headers": {"X Y": "hidden12345"}},
        {"headers": {"authorization": "hidden12345"}, "bearer_token": "x"},
        {"ca_file": Path("/nowhere/ca.pem")},
        {"timeout": timedelta(0)},
        {"budget": timedelta(seconds=-1)},
        {"concurrency": 0},
        {"max_series": 0},
    ],
)
def test_settings_that_cannot_be_used_are_refused_without_repeating_secrets(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(UsageError) as refused:
        PrometheusCollector(**{"url": "http://a", **settings})
    assert "hidden12345" not in str(refused.value)


# Credentials


def authorization(script: Script) -> list[str | None]:
    return [request.headers.get("authorization") for request in script.requests]


def test_each_way_of_signing_in_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("fromfile\n")
    basic = f"Basic {base64.b64encode('üser:p@ss'.encode()).decode()}"
    with scripted(http(MATRIX)) as script:
        collect(script.url)
        collect(script.url, bearer_token="token")
        collect(script.url, bearer_token_file=file)
        collect(script.url, username="üser", password="p@ss")
        collect(script.url.replace("//", f"//{quote('üser')}:p%40ss@"))
    assert authorization(script) == [None, "Bearer token", "Bearer fromfile", basic, basic]


def test_a_token_file_is_read_for_every_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")

    def rotate(_: Request) -> Answer:
        file.write_text("second")
        return http("expired", 503)

    with scripted(rotate, http(MATRIX)) as script:
        collect(script.url, bearer_token_file=file)
    assert authorization(script) == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff"])
def test_a_token_file_that_is_no_token_is_an_error_of_the_kpi(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with scripted(http(MATRIX)) as script:
        error = collect(script.url, bearer_token_file=file).errors["errors"]
    assert str(error).startswith("auth: bearer_token_file ")
    assert not script.requests


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with scripted(http(MATRIX)) as script:
        collect(script.url)
    assert authorization(script) == [None]


def test_extra_headers_name_the_tenant() -> None:
    with scripted(http(MATRIX)) as script:
        collect(script.url, headers={"X-Scope-OrgID": "shop"})
    assert script.requests[0].headers["x-scope-orgid"] == "shop"


def test_an_authority_of_ones_own_is_trusted_only_when_named() -> None:
    with scripted(http(MATRIX), tls=str(TLS / "loopback.pem")) as script:
        trusted = collect(script.url, ca_file=TLS / "authority.pem")
        untrusted = collect(script.url)
    assert not trusted.errors
    assert "no trusted TLS connection" in str(untrusted.errors["errors"])
    assert "ca_file" in str(untrusted.errors["errors"])
    assert len(script.requests) == 1


@pytest.mark.slow
def test_a_drip_over_tls_is_given_up_too() -> None:
    with scripted(lambda _: drip_headers(), tls=str(TLS / "loopback.pem")) as script:
        collector = PrometheusCollector(
            url=script.url, ca_file=TLS / "authority.pem", timeout=timedelta(milliseconds=500)
        )
        error = collector.collect([KPI], HOUR, STEP).errors["errors"]
    assert "no complete answer within the deadline" in str(error)


SECRETS = ("s3cret/user-pass", "s3cretpathtoken12", "s3cret-header-value", "s3cret-from-file+1")


def echo(status: int) -> Respond:
    return lambda request: http(f"you sent {request.target} {dict(request.headers)}", status)


@pytest.mark.parametrize(
    "answer",
    [
        http(MATRIX),
        echo(200),
        echo(401),
        echo(500),
        lambda request: http(
            json.dumps({"status": "error", "errorType": "bad_data", "error": str(request)})
        ),
        lambda request: http(json.dumps({"status": "success", "warnings": [str(request)]})),
        lambda request: http("", 302, {"Location": f"http://a{request.target}"}),
        [],
        http("x", headers={"Content-Length": "5"}),
    ],
)
@pytest.mark.parametrize("signing", ["url", "file"])
def test_secrets_are_nowhere(
    answer: Answer | Respond, signing: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"
    file.write_text(SECRETS[3])
    with scripted(answer) as script:
        user = f"someone:{quote(SECRETS[0], safe='')}@" if signing == "url" else ""
        url = f"{script.url.replace('//', f'//{user}')}/{SECRETS[1]}"
        settings: dict[str, Any] = {} if user else {"bearer_token_file": file}
        collector = PrometheusCollector(
            url=url, headers={"X-Key": SECRETS[2]}, sleep=lambda _: None, **settings
        )
        collected = collector.collect([KPI], HOUR, STEP)
    said = "\n".join(
        [
            caplog.text,
            repr(collector),
            repr(vars(collector)),
            str(collected),
            repr(collected.errors),
            repr(collected.provenance),
        ]
    )
    assert script.requests
    assert "127.0.0.1" in caplog.text
    sent = base64.b64encode(f"someone:{SECRETS[0]}".encode()).decode()
    for secret in (*SECRETS, *(quote(secret, safe="") for secret in SECRETS), sent):
        assert secret not in said


# What is asked and what is taken


def test_a_row_holds_the_value_at_the_end_of_its_step() -> None:
    with scripted(
        lambda request: http(matrix([({}, [(at, str(at)) for at in moments(request)])]))
    ) as script:
        panel = collect(script.url).panel
    assert panel.index[0] == START
    assert len(panel) == 12
    seconds = np.array([stamp.timestamp() for stamp in panel.index])
    assert panel["errors"].to_numpy().ravel() == pytest.approx(seconds + 300)


@pytest.mark.slow
def test_a_long_window_is_asked_in_chunks_that_meet() -> None:
    with scripted(constant()) as script:
        panel = collect(
            script.url,
            window=Window(START, START + timedelta(seconds=11_001)),
            step=timedelta(seconds=1),
        ).panel
    assert len(panel) == 11_001
    assert panel.notna().to_numpy().all()
    asked = sorted((moments(request) for request in script.requests), key=min)
    assert max(len(chunk) for chunk in asked) <= 10_000
    assert [at for chunk in asked for at in chunk] == [
        int(START.timestamp()) + 1 + row for row in range(11_001)
    ]


def test_nan_and_infinity_are_missing_and_said() -> None:
    def odd(request: Request) -> Answer:
        values = ["NaN", "+Inf", "-Inf", "1.5"] * 3
        return http(matrix([({}, list(zip(moments(request), values, strict=True)))]))

    with scripted(odd) as script:
        collected = collect(script.url)
    assert (
        collected.panel["errors"].notna().to_numpy().ravel().tolist()
        == [False, False, False, True] * 3
    )
    assert (
        "9 samples are NaN or infinite and taken as missing" in collected.provenance["errors"].notes
    )


def test_an_error_rate_that_is_nan_is_not_zero_errors() -> None:
    kpi = Kpi("errors", query="sum(increase(a[$step]))", denominator="sum(increase(b[$step]))")
    with scripted(
        lambda request: constant("NaN" if "a[" in request.asked["query"] else "5")(request)
    ) as script:
        panel = collect(script.url, kpi).panel
    assert panel["errors", "", "numerator"].isna().all()
    assert (panel["errors", "", "denominator"] == 5).all()


def test_an_empty_answer_is_no_error_and_no_column() -> None:
    with scripted(http(matrix([]))) as script:
        collected = collect(script.url)
    assert not collected.errors
    assert collected.panel.shape == (12, 0)
    (note,) = collected.provenance["errors"].notes
    assert note == "no series matched: no metric is called errors"


def test_a_bad_kpi_does_not_hide_the_others() -> None:
    def respond(request: Request) -> Answer:
        return http("parse error", 400) if "bad" in request.asked["query"] else constant()(request)

    with scripted(respond) as script:
        collected = collect(script.url, Kpi("bad", query="bad("), KPI, Kpi("unset", query=" "))
    assert {name: str(error).partition(":")[0] for name, error in collected.errors.items()} == {
        "bad": "bad query",
        "unset": "bad query",
    }
    assert [column[0] for column in collected.panel.columns] == ["errors"]


@pytest.mark.slow
def test_the_columns_stand_in_the_order_of_the_kpis() -> None:
    names = [f"k{number}" for number in range(20)]
    with scripted(constant()) as script:
        panel = collect(
            script.url, *(Kpi(name, query=f"sum(increase({name}[$step]))") for name in names)
        ).panel
    assert [column[0] for column in panel.columns] == names


@pytest.mark.slow
def test_no_more_kpis_than_allowed_are_asked_for_at_once() -> None:
    lock, active, seen = threading.Lock(), [0], set[int]()

    def respond(request: Request) -> Answer:
        with lock:
            active[0] += 1
            seen.add(active[0])
        time.sleep(0.01)
        with lock:  # before the answer is sent, and with it the next question allowed
            active[0] -= 1
        return constant()(request)

    with scripted(respond) as script:
        collected = collect(
            script.url,
            *(Kpi(f"k{number}", query=f"increase(k{number}[5m])") for number in range(20)),
            concurrency=3,
        )
    assert not collected.errors
    assert max(seen) <= 3


def test_a_defect_of_our_own_is_raised_and_not_taken_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anomaly.collectors.prometheus.promql.read", lambda _: 1 / 0)
    with scripted(constant()) as script, pytest.raises(ZeroDivisionError):
        collect(script.url)


def test_a_step_of_broken_seconds_is_refused() -> None:
    with pytest.raises(UsageError, match="whole seconds"):
        collect("http://127.0.0.1:1", step=timedelta(milliseconds=1500))


def test_the_registry_makes_a_collector_from_a_checklist(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fromfile")
    with scripted(http(MATRIX)) as script:
        settings = {
            "url": script.url,
            "timeout": "5s",
            "bearer_token_file": "token",
            "headers": {"X-Scope-OrgID": "shop"},
        }
        collected = registry.collector(
            registry.Plugin("prometheus", settings, folder=tmp_path)
        ).collect([KPI], HOUR, STEP)
    assert not collected.errors
    assert authorization(script) == ["Bearer fromfile"]


def test_time_and_chance_are_no_settings_of_a_checklist() -> None:
    known = registry.built_in_settings(registry.COLLECTORS)["prometheus"]
    assert {"url", "bearer_token_file", "timeout", "budget"} <= set(known)
    assert not PrometheusCollector.outside & set(known)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_token_that_everyone_can_read_is_warned_of(
    mode: int,
    warned: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "token"
    file.write_text("hidden-c4nary-token")
    file.chmod(mode)

    PrometheusCollector(url="http://127.0.0.1:9", bearer_token_file=file)

    assert ("can be read by everyone" in caplog.text) == warned
    assert "c4nary" not in caplog.text


# --- where a query can be looked at -------------------------------------------------------------


def test_a_query_and_its_denominator_are_linked_to_without_credentials() -> None:
    kpi = Kpi(
        "errors", query='sum(increase(e{a="&b"}[$step]))', denominator="sum(increase(r[$step]))"
    )
    with scripted(http(MATRIX)) as script:
        collected = collect(script.url.replace("http://", "http://shop:s3cret@"), kpi)

    parts = urlsplit(collected.provenance["errors"].link)
    asked = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{script.url}/graph"
    assert asked["g0.expr"] == ['sum(increase(e{a="&b"}[5m]))']
    assert asked["g1.expr"] == ["sum(increase(r[5m]))"]
    assert asked["g0.end_input"] == ["2025-03-03 01:00:00"]


# What can't be meant


DAYS = Window(START, START + timedelta(days=2))


def growing(request: Request) -> Answer:
    """A counter whose process starts anew in the second night."""
    return http(
        matrix([({}, [(at, str((at - START.timestamp()) % 130_000)) for at in moments(request)])])
    )


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("http_requests_total", "http_requests_total is a counter"),
        ("sum(http_requests)", "what the query returns is a counter"),
    ],
)
def test_a_counter_that_is_read_as_it_stands_is_said_by_name_or_by_growth(
    query: str, named: str
) -> None:
    with scripted(growing) as script:
        notes = (
            collect(script.url, Kpi("errors", query=query), window=DAYS).provenance["errors"].notes
        )

    assert any(note.startswith(f"{named}: it only grows") for note in notes)
    assert any("[$step])) for what it counts in a step" in note for note in notes)


def test_a_count_of_each_step_is_no_counter_even_if_it_grows() -> None:
    kpi = Kpi("errors", query="sum(increase(errors_total[$step]))")
    with scripted(growing) as script:
        assert collect(script.url, kpi, window=DAYS).provenance["errors"].notes == ()


def test_a_ratio_in_one_query_that_is_often_absent_says_how_to_write_it() -> None:
    late = START.timestamp() + 20 * 3600

    def absent_before(request: Request) -> Answer:
        return http(matrix([({}, [(at, "0.5") for at in moments(request) if at > late])]))

    query = "sum(increase(e[$step])) / sum(increase(r[$step]))"
    with scripted(absent_before) as script:
        notes = (
            collect(script.url, Kpi("errors", query=query), window=DAYS).provenance["errors"].notes
        )
    with scripted(constant()) as script:
        quiet = collect(script.url, Kpi("errors", query=query)).provenance["errors"].notes

    assert any(
        "query: sum(increase(e[$step])) and denominator: sum(increase(r[$step]))" in note
        for note in notes
    )
    assert quiet == ()


def test_births_that_contradict_the_answer_do_not_count() -> None:
    def other(request: Request) -> Answer:
        return constant("1" if " offset " in request.asked["query"] else "5")(request)

    kpi = Kpi("errors", query="sum(increase(errors_total[$step]))")
    with scripted(other) as script:
        collected = collect(script.url, kpi)

    assert (collected.panel["errors"] == 5).to_numpy().all()
    assert collected.provenance["errors"].notes == ()


def test_births_that_cannot_be_asked_are_said_and_the_answer_stands() -> None:
    def refusing(request: Request) -> Answer:
        if " offset " in request.asked["query"]:
            return http("no", 422)
        return constant("5")(request)

    kpi = Kpi("errors", query="sum(increase(errors_total[$step]))")
    with scripted(refusing) as script:
        collected = collect(script.url, kpi)

    assert (collected.panel["errors"] == 5).to_numpy().all()
    assert collected.provenance["errors"].notes == (
        "what the first samples of new series count could not be asked",
    )
