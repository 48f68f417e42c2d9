from __future__ import annotations

import base64
import json
import random
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anomaly.contracts import Action, Message, NotifyReason, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.notify.delivery import Envelope, RetryPolicy, deliver
from anomaly.reporting.data import to_dict
from anomaly.sinks.webhook import WebhookSink
from tests.support import reports
from tests.support.loopback import Loopback, Reply, answer, drip_after, hang, reset
from tests.support.places import ROOT

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

REPORT = reports.failing()
MESSAGE = Message("4f1c", REPORT)
SOON = timedelta(seconds=0.5)
NOW_S = 1762252500.0
TOKEN = "T0K3N/with+odd=chars"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def tell(
    server: Loopback,
    slept: list[float] | None = None,
    *,
    deadline: timedelta = timedelta(minutes=2),
) -> Receipt:
    sink = WebhookSink(url=f"{server.origin}/hook", timeout=SOON, clock=lambda: NOW_S)
    sleep = (slept if slept is not None else []).append
    post = Envelope("hook", sink, Message("4f1c", REPORT))
    return deliver(
        [post], retry_policy=RetryPolicy(deadline=deadline), sleep=sleep, rng=random.Random(1)
    )[0]


# --- what is sent -------------------------------------------------------------------------------


def test_the_report_is_posted_as_json() -> None:
    with Loopback([answer(200)]) as server:
        receipt = WebhookSink(url=f"{server.origin}/hook?a=b", headers={"X-Tenant": "shop"}).send(
            MESSAGE
        )
        sent = server.requests[0]
    assert sent.line == "POST /hook?a=b HTTP/1.1"
    about = {"action": "inform", "why": "", "look": "", "link": ""}
    assert json.loads(sent.body) == to_dict(REPORT, key="4f1c") | {"message": about}
    assert (sent.headers["content-type"], sent.headers["x-tenant"]) == ("application/json", "shop")
    assert receipt == Receipt("webhook", delivered=True, detail=f"{server.origin} answered 200")


def test_news_is_posted_with_its_action_and_under_an_id_of_its_own() -> None:
    with Loopback([answer(200)]) as server:
        WebhookSink(url=server.origin).send(
            replace(
                MESSAGE,
                action=Action.FIRE,
                id="77ab",
                why=NotifyReason.FIRST,
                look="3f2a",
                link="https://r",
            )
        )
        sent = server.requests[0]
    assert json.loads(sent.body)["message"] == {
        "action": "fire",
        "why": "first",
        "look": "3f2a",
        "link": "https://r",
    }
    assert (sent.headers["x-anomaly-action"], sent.headers["idempotency-key"]) == ("fire", "77ab")


def test_the_documented_verification_accepts_what_is_sent_and_nothing_else() -> None:
    document = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    example: dict[str, object] = {}
    # the example in the documentation
    exec(re.findall(r"```python\n(.*?)```", document, re.DOTALL)[0], example)  # noqa: S102
    is_genuine = example["is_genuine"]
    assert callable(is_genuine)
    with Loopback([answer(200)]) as server:
        WebhookSink(url=server.origin, secret="s3cret", clock=lambda: NOW_S).send(MESSAGE)
        sent = server.requests[0]
    signature = sent.headers["x-anomaly-signature"]
    assert is_genuine("s3cret", signature, sent.body, NOW_S + 5)
    assert not is_genuine("other", signature, sent.body, NOW_S + 5)
    assert not is_genuine("s3cret", signature, sent.body + b" ", NOW_S + 5)
    assert not is_genuine(
        "s3cret", signature.replace("t=1762252500", "t=1762252501"), sent.body, NOW_S + 5
    )
    assert not is_genuine("s3cret", signature, sent.body, NOW_S + 3600)


def test_a_body_of_ones_own_is_sent_with_the_release_in_it_and_in_the_path() -> None:
    release = replace(REPORT.release, version='1.4/2 "x" {id}')
    with Loopback([answer(200)]) as server:
        WebhookSink(
            url=f"{server.origin}/flags/{{version}}?dry=no",
            method="PATCH",
            content_type="application/json; domain-model=launchdarkly.semanticpatch",
            body='{"comment": "{version} of {service}: {verdict}", "instructions": []}',
        ).send(Message("4f1c", replace(REPORT, release=release)))
    (request,) = server.requests
    assert request.line == "PATCH /flags/1.4%2F2%20%22x%22%20%7Bid%7D?dry=no HTTP/1.1"
    assert json.loads(request.body) == {
        "comment": '1.4/2 "x" {id} of shop: fail',
        "instructions": [],
    }
    assert request.headers["content-type"].endswith("launchdarkly.semanticpatch")
    assert request.headers["idempotency-key"].startswith("4f1c-")


def test_a_plan_shows_what_would_be_sent_and_no_secret() -> None:
    sink = WebhookSink(
        url="https://user:c4nary@flags.example.com/c4nary-path/{version}",
        headers={"Authorization": "c4nary-token"},
        body='{"off": true}',
    )
    assert sink.plan(MESSAGE) == 'POST to https://flags.example.com: {"off": true}'
    assert "c4nary" not in sink.plan(MESSAGE) + repr(sink)


def test_without_a_secret_nothing_is_signed() -> None:
    with Loopback([answer(200)]) as server:
        WebhookSink(url=server.origin).send(MESSAGE)
        assert "x-anomaly-signature" not in server.requests[0].headers


def test_the_idempotency_key_is_that_of_the_content() -> None:
    with Loopback([answer(200)]) as server:
        sink = WebhookSink(url=server.origin)
        for message in (MESSAGE, MESSAGE, Message("4f1c", reports.passing())):
            sink.send(message)
        first, again, other = (request.headers["idempotency-key"] for request in server.requests)
        assert {request.headers["x-anomaly-key"] for request in server.requests} == {"4f1c"}
    assert first == again != other


def test_the_user_and_password_of_the_url_are_sent_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback([answer(200)]) as server:
        WebhookSink(url=server.origin.replace("://", "://me:p%40ss@")).send(MESSAGE)
        assert (
            server.requests[0].headers["authorization"]
            == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
        )


def test_credentials_of_a_netrc_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Loopback([answer(200)]) as server:
        WebhookSink(url=server.origin).send(MESSAGE)
        assert "authorization" not in server.requests[0].headers


# --- what is retried ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replies", "attempts", "delivered"),
    [
        ([answer(200)], 1, True),
        ([answer(204)], 1, True),
        ([answer(500), answer(500), answer(500), answer(200)], 4, True),
        ([answer(503)], 5, False),
        ([answer(408), answer(200)], 2, True),
        ([answer(425), answer(200)], 2, True),
        ([answer(429), answer(200)], 2, True),
        ([answer(400), answer(200)], 1, False),
        ([answer(401), answer(200)], 1, False),
        ([answer(404), answer(200)], 1, False),
        ([answer(413), answer(200)], 1, False),
        ([answer(301, Location="/elsewhere"), answer(200)], 1, False),
        ([answer(307, Location="http://127.0.0.1:1/"), answer(200)], 1, False),
        ([hang, answer(200)], 2, True),
        ([reset, answer(200)], 2, True),
        ([drip_after(b"HTTP/1.1 500 Slow\r\n\r\n"), answer(200)], 2, True),
        ([drip_after(b"HTTP/1.1 200 OK\r\n\r\n")], 1, True),
    ],
    ids=[
        *(
            "200",
            "204",
            "500 three times",
            "always 503",
            "408",
            "425",
            "429",
            "400",
            "401",
            "404",
            "413",
            "301",
            "307",
        ),
        *("hangs", "resets", "drips a 500", "drips a 200"),
    ],
)
def test_the_answer_decides_what_is_retried(
    # a parameter
    replies: list[Reply],
    attempts: int,
    delivered: bool,
) -> None:
    with Loopback(list(replies)) as server:
        receipt = tell(server)
        asked = len(server.requests)
        keys = {request.headers["idempotency-key"] for request in server.requests}
    assert (receipt.attempts, receipt.delivered, asked, len(keys)) == (
        attempts,
        delivered,
        attempts,
        1,
    )


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("5", 5, 5),
        ("99999", 60, 60),
        ("Tue, 04 Nov 2025 10:35:20 GMT", 20, 20),
        ("Tue, 04 Nov 2025 09:00:00 GMT", 0.5, 1),
        ("soon", 0.5, 1),
        ("-5", 0.5, 1),
        ("9" * 5000, 0.5, 1),
        ("Tue, 04 Nov 2025555555555555555 10:35:20 GMT", 0.5, 1),
        ("Tue, 04 Nov 2025 10:35:20 +999999999999", 0.5, 1),
        ("Tue, 99 Nov 99999 10:35:20 GMT", 0.5, 1),
    ],
)
def test_retry_after_is_kept_to(header: str, least: float, most: float) -> None:
    slept: list[float] = []
    with Loopback([answer(503, Retry_After=header), answer(200)]) as server:
        assert tell(server, slept).attempts == 2
    assert least <= slept[0] <= most


@pytest.mark.slow
def test_a_head_that_drips_does_not_outlast_the_timeout() -> None:
    with (
        Loopback([drip_after(b"HTTP/1.1 200 OK\r\nX-Long: ")]) as server,
        pytest.raises(RetryableSinkError, match="it may have the message"),
    ):
        WebhookSink(url=server.origin, timeout=SOON).send(MESSAGE)


@pytest.mark.slow
def test_a_timeout_says_that_the_message_may_have_arrived() -> None:
    with (
        Loopback([hang]) as server,
        pytest.raises(RetryableSinkError, match=r"no answer within 0.5 s; it may have the message"),
    ):
        WebhookSink(url=server.origin, timeout=SOON).send(MESSAGE)


def test_a_refused_connection_may_be_tried_again() -> None:
    with Loopback([answer(200)]) as server:
        origin = server.origin
    with pytest.raises(RetryableSinkError, match=r"could not be .* off \(Connection refused\)"):
        WebhookSink(url=origin).send(MESSAGE)


def test_a_server_without_tls_is_said_to_be_one() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def answer_in_the_open() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_in_the_open)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(RetryableSinkError, match=r"speaks no TLS there; is http:// meant"):
            WebhookSink(url=url).send(MESSAGE)
        thread.join()


def test_a_long_answer_is_read_and_shown_in_part() -> None:
    with Loopback([answer(400, "x" * 10_000_000)]) as server, pytest.raises(SinkError) as caught:
        WebhookSink(url=server.origin).send(MESSAGE)
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith("…")


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_a_hostile_answer_is_escaped(text: str) -> None:
    body = text.encode("utf-8", "replace").decode()
    with Loopback([answer(400, body)]) as server, pytest.raises(SinkError) as caught:
        WebhookSink(url=server.origin).send(MESSAGE)
    assert str(caught.value).isprintable()


# --- where it is not sent -----------------------------------------------------------------------


def test_a_redirect_to_another_host_is_not_followed() -> None:
    with (
        Loopback([answer(200)]) as other,
        Loopback([answer(308, Location=f"{other.origin}/{TOKEN}")]) as server,
    ):
        with pytest.raises(
            SinkError, match=r"308, a redirect to 127\.0\.0\.1; write the URL"
        ) as caught:
            WebhookSink(url=server.origin).send(MESSAGE)
        assert other.requests == []
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "file:///etc/passwd"}, "url starts with file; use http or https"),
        ({"url": "hooks.example.com/x"}, "url starts with no scheme; use http or https"),
        ({"url": "https:///x"}, "url names no host"),
        ({"url": "https://a..example/x"}, "url names a host with a part that is empty or too long"),
        ({"url": "https://.example/x"}, "url names a host with a part that is empty or too long"),
        ({"url": f"https://{'a' * 64}.example/x"}, "a part that is empty or too long"),
        ({"url": f"https://{'a.' * 200}example/x"}, "a part that is empty or too long"),
        ({"url": "https://[x/"}, "url is not a URL"),
        ({"url": "https://x:99999/"}, "url is not a URL"),
        ({"url": "https://x", "headers": {"a b": "c"}}, "'a b' is not a header's name"),
        (
            {"url": "https://x", "headers": {"A": "b\r\nc"}},
            "the value of A is empty, or holds a line end",
        ),
        (
            {"url": "https://x", "headers": {"content-type": "b"}},
            "content-type is set by the sink itself",
        ),
        ({"url": "https://x", "timeout": timedelta(0)}, "timeout is 0:00:00"),
        ({"url": "https://x", "secret": ""}, "secret is empty"),
    ],
)
def test_unusable_settings_are_refused_at_once(settings: Mapping[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        WebhookSink(**settings)  # type: ignore[arg-type]  # wrong on purpose
