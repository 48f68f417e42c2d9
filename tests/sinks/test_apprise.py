"""What services get through Apprise, what their answers mean, and that nothing secret is said or
logged."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from anomaly.checklist import registry
from anomaly.contracts import Action, Message, NotifyReason
from anomaly.errors import ChecklistError, RetryableSinkError, SinkError, UsageError
from anomaly.sinks.apprise import AppriseSink
from tests.sinks.messages import KEY, MESSAGES
from tests.sinks.pictures import drawn
from tests.support import reports
from tests.support.goldens import assert_golden
from tests.support.loopback import Loopback, answer, reset
from tests.support.smtp import smtp

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SECRET = "c4nary-s3cret"


def url(origin: str) -> str:
    return f"{origin.replace('http', 'json')}/{SECRET}?+X-Key={SECRET}"


def sent(message: Message) -> Any:
    with Loopback([answer(200)]) as server:
        AppriseSink(url=url(server.origin)).send(message)
        (request,) = server.requests
    return json.loads(request.body)


@pytest.mark.slow
def test_golden_payloads() -> None:
    told = {kind: sent(message) for kind, message in MESSAGES.items()}
    assert_golden("sinks/apprise.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")


@pytest.mark.slow
def test_what_happened_says_how_a_service_colours_it() -> None:
    assert {kind: sent(message)["type"] for kind, message in MESSAGES.items()} == {
        "fire": "failure",
        "escalated": "failure",
        "resolve": "success",
        "passed": "success",
        "undecided": "warning",
        "early": "info",
        "trial": "info",
    }


@pytest.mark.slow
def test_the_picture_is_attached_where_there_is_one() -> None:
    (attached,) = sent(drawn())["attachments"]
    assert attached["mimetype"] == "image/png"
    assert base64.b64decode(attached["base64"]).startswith(b"\x89PNG")
    assert sent(MESSAGES["passed"])["attachments"] == []


@pytest.mark.slow
def test_mail_through_apprise_arrives_with_its_picture() -> None:
    with smtp() as box:
        address = f"mailto://127.0.0.1:{box.port}?mode=insecure&from=anomaly@example.com&to=ops@example.com"
        assert AppriseSink(url=address).send(drawn()).delivered
    (mail,) = box.mails
    assert mail["Subject"].split() == ["FAIL", "shop", "1.4.2", "in", "production"]
    assert "image/png" in {part.get_content_type() for part in mail.walk()}


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (400, False),
        (401, False),
        (404, False),
        (302, False),
        (408, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_the_status_says_whether_it_is_tried_again(status: int, *, again: bool) -> None:
    with Loopback(
        [answer(status, f"bad {SECRET}", Location=f"http://127.0.0.1:1/{SECRET}")]
    ) as server:
        sink = AppriseSink(url=url(server.origin) + "&redirect=yes")
        with pytest.raises(SinkError, match=f"answered {status}") as raised:
            sink.send(MESSAGES["fire"])
        assert len(server.requests) == 1
    assert isinstance(raised.value, RetryableSinkError) == again


def test_a_service_that_breaks_off_is_tried_again() -> None:
    with (
        Loopback([reset]) as server,
        pytest.raises(RetryableSinkError, match="could not be reached"),
    ):
        AppriseSink(url=url(server.origin)).send(MESSAGES["fire"])


def test_what_others_log_through_apprise_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    AppriseSink(url="json://127.0.0.1:1")
    logging.getLogger("apprise").warning("of another program")
    assert "of another program" in caplog.text


@pytest.mark.parametrize("text", [*reports.HOSTILE, "@everyone <!channel> <@U12345>"])
def test_hostile_text_mentions_nobody(text: str) -> None:
    said = sent(Message(KEY, reports.hostile(text), Action.FIRE, why=NotifyReason.FIRST))
    for part in (said["title"], said["message"]):
        assert not {"@everyone", "<!channel>", "<@U12345>", "\x1b", "\u202e"} & set(part.split())
        assert "\x1b" not in part
    assert len(said["message"]) <= 32768


@pytest.mark.parametrize(
    "wrong", ["", "hooks.example.com/x", "nosuch://x/" + SECRET, "discord://" + SECRET]
)
def test_an_url_that_cannot_be_used_is_an_error_at_load_without_it(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    with pytest.raises(UsageError, match="Apprise can't use this url") as raised:
        AppriseSink(url=wrong)
    assert SECRET not in str(raised.value) + caplog.text


def test_certificates_are_always_verified() -> None:
    with pytest.raises(UsageError, match="always verified"):
        AppriseSink(url="jsons://example.com/?verify=no")


def test_a_link_local_service_is_refused() -> None:
    with pytest.raises(SinkError, match="link-local"):
        AppriseSink(url="json://169.254.169.254/").send(MESSAGES["fire"])


def test_without_apprise_the_checklist_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ChecklistError, match=r"pip install 'release-anomaly\[apprise\]'"):
        registry.sink(registry.Plugin("apprise", {"url": "json://127.0.0.1"}))
