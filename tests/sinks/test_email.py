"""Mail: what it looks like, who gets it, and what a server's answer means."""

from __future__ import annotations

import smtplib
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest

from anomaly.contracts import Action, Message
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.redaction import Redactor
from anomaly.sinks.email import EmailSink
from tests.sinks.messages import KEY, LINK, MESSAGES
from tests.sinks.pictures import drawn
from tests.support import reports
from tests.support.goldens import assert_golden
from tests.support.servers import TLS
from tests.support.smtp import Mailbox, smtp

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NOW = datetime(2025, 11, 4, 16, 45, tzinfo=UTC)
PASSWORD = "c4nary-s3cret"
OPS, BOSS = "ops@example.com", "boss@example.com"


@pytest.fixture(autouse=True)
def _own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda *_: "localhost")  # no resolver is asked
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))


def sink(port: int, **settings: Any) -> EmailSink:
    known: dict[str, Any] = {
        "sender": "Release watch <anomaly@example.com>",
        "to": (OPS,),
        "security": "none",
        "clock": NOW.timestamp,
    }
    return EmailSink(host="127.0.0.1", port=port, **known | settings)


def mailed(message: Message) -> EmailMessage:
    with smtp() as box:
        sink(box.port).send(message)
    (mail,) = box.mails
    return mail


def text(mail: EmailMessage, form: str) -> str:
    part = mail.get_body((form,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def written(mail: EmailMessage) -> str:
    """A mail to be read: headers and decoded parts, without boundaries."""
    heads = [f"{name}: {value}" for name, value in mail.items() if name in HEADERS]
    parts = [
        f"--- {part.get_content_type()}\n{part.get_content()}".rstrip()
        for part in mail.walk()
        if part.get_content_maintype() == "text"
    ]
    return "\n".join([*heads, *parts]) + "\n"


HEADERS = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
)


def test_golden_mails() -> None:
    told = [
        f"=== {kind}\n{written(mailed(MESSAGES[kind]))}"
        for kind in ("fire", "resolve", "early", "trial")
    ]
    assert_golden("sinks/email.txt", "\n".join(told).replace("\r\n", "\n"))


def test_all_mails_about_a_release_are_one_thread_and_a_repeated_one_is_the_same() -> None:
    fire, again, over = (mailed(MESSAGES[kind]) for kind in ("fire", "fire", "resolve"))
    assert fire["Message-ID"] == again["Message-ID"] != over["Message-ID"]
    assert fire["References"] == fire["In-Reply-To"] == over["References"]
    other = mailed(Message("another", reports.failing(), Action.FIRE, id="m1"))
    assert other["References"] != fire["References"]


@pytest.mark.slow
def test_the_picture_of_the_failing_kpi_is_in_the_mail() -> None:
    mail = mailed(drawn())
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture.get_content().startswith(b"\x89PNG")
    assert f'src="cid:{picture["Content-ID"][1:-1]}"' in text(mail, "html")


def test_without_matplotlib_there_is_a_mail_without_a_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    mail = mailed(drawn())
    assert {part.get_content_type() for part in mail.walk()} == {
        "multipart/alternative",
        "text/plain",
        "text/html",
    }
    assert "<img" not in text(mail, "html")


def test_a_link_is_a_button_and_one_that_is_no_web_address_is_none() -> None:
    assert f'<a href="{LINK}"' in text(mailed(MESSAGES["fire"]), "html")
    assert "<a " not in text(
        mailed(Message(KEY, reports.failing(), Action.FIRE, link="javascript:alert(1)")), "html"
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, frozenset[str]]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, frozenset(name for name, _ in attrs)))


def tags(mail: EmailMessage) -> set[tuple[str, frozenset[str]]]:
    parser = Tags()
    parser.feed(text(mail, "html"))
    return parser.seen


@pytest.mark.slow
@pytest.mark.parametrize(
    "hostile",
    [
        *reports.HOSTILE,
        "\r\nBcc: evil@example.com\r\n\r\n<b>x",
        '"><img src=x>',
        "=?utf-8?q?x=0ABcc:_e@x.y?=",
    ],
)
def test_hostile_text_is_neither_a_header_nor_a_tag(hostile: str) -> None:
    usual = mailed(Message(KEY, reports.failing(), Action.FIRE, link=LINK))
    with smtp() as box:
        sink(box.port).send(
            Message(hostile, reports.hostile(hostile), Action.FIRE, id=hostile, link=LINK)
        )
    (mail,), (recipients,) = box.mails, box.recipients
    assert recipients == [OPS]
    assert mail.keys() == usual.keys()
    assert tags(mail) == tags(usual)
    assert mail["From"] == usual["From"]


@pytest.mark.parametrize(
    ("security", "login"), [("starttls", True), ("tls", False), ("none", False)]
)
def test_mail_goes_over_verified_tls_with_a_login(security: str, *, login: bool) -> None:
    who = {"username": "shop", "password": PASSWORD} if login else {}
    with smtp(tls=security, login=("shop", PASSWORD) if login else None) as box:
        receipt = sink(box.port, security=security, **who).send(MESSAGES["fire"])
    assert receipt.delivered
    assert len(box.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_does_not_verify_gets_no_mail(
    security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "clients.pem"))
    with (
        smtp(tls=security) as box,
        pytest.raises(SinkError, match="certificate that can't be verified") as raised,
    ):
        sink(box.port, security=security).send(MESSAGES["fire"])
    assert not isinstance(raised.value, RetryableSinkError)
    assert box.mails == []


def test_a_wrong_password_is_said_without_it() -> None:
    with (
        smtp(tls="starttls", login=("shop", "another")) as box,
        pytest.raises(SinkError, match="rejected the username") as raised,
    ):
        sink(box.port, security="starttls", username="shop", password=PASSWORD).send(
            MESSAGES["fire"]
        )
    assert not isinstance(raised.value, RetryableSinkError)
    said = "".join(traceback.format_exception(raised.value))
    assert Redactor([PASSWORD]).text(said) == said


def test_a_server_without_starttls_gets_no_mail() -> None:
    with smtp() as box, pytest.raises(SinkError, match="does not offer STARTTLS"):
        sink(box.port, security="starttls").send(MESSAGES["fire"])
    assert box.mails == []


def test_who_is_refused_is_named_and_the_others_get_the_mail() -> None:
    with smtp(Mailbox(refuse={BOSS: "550 no such user"})) as box:
        receipt = sink(box.port, to=(OPS, BOSS)).send(MESSAGES["fire"])
    assert receipt.delivered
    assert receipt.detail.endswith(f"accepted it for 1 of 2; {BOSS} was refused: 550 no such user")
    assert box.recipients == [[OPS]]


@pytest.mark.parametrize(("answer", "again"), [("550 no", False), ("450 later", True)])
def test_refused_by_all_is_not_told(answer: str, *, again: bool) -> None:
    with (
        smtp(Mailbox(refuse={OPS: answer})) as box,
        pytest.raises(SinkError, match="refused every recipient") as raised,
    ):
        sink(box.port).send(MESSAGES["fire"])
    assert isinstance(raised.value, RetryableSinkError) == again


def test_a_busy_server_is_asked_again_and_a_refusal_is_final() -> None:
    with smtp(Mailbox(answers=["451 greylisted", "554 spam"])) as box:
        with pytest.raises(RetryableSinkError, match="451: greylisted"):
            sink(box.port).send(MESSAGES["fire"])
        with pytest.raises(SinkError, match="554: spam") as raised:
            sink(box.port).send(MESSAGES["fire"])
        assert sink(box.port).send(MESSAGES["fire"]).delivered
    assert not isinstance(raised.value, RetryableSinkError)


@contextmanager
def saying(greeting: bytes, then: bytes = b"") -> Iterator[int]:
    """A port that greets so, answers every line with `then`, or says nothing more until the client
    goes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, client.makefile("rb") as lines, suppress(ConnectionError):
                client.sendall(greeting)
                for line in lines:
                    if then:
                        client.sendall(then.replace(b"LINE", line.strip()))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def test_a_server_that_says_nothing_is_given_up_and_asked_again() -> None:
    with (
        saying(b"") as port,
        pytest.raises(RetryableSinkError, match=r"did not answer within 0\.2 s"),
    ):
        sink(port, timeout=timedelta(seconds=0.2)).send(MESSAGES["fire"])


def test_something_else_than_smtp_is_said() -> None:
    with (
        saying(b"HTTP/1.1 200 OK\r\n\r\n") as port,
        pytest.raises(SinkError, match="does not speak SMTP"),
    ):
        sink(port).send(MESSAGES["fire"])
    with (
        saying(b"220 hello\r\n") as port,
        pytest.raises(SinkError, match=r"does not speak TLS; check security \(tls\) and port"),
    ):
        sink(port, security="tls").send(MESSAGES["fire"])


def test_a_server_that_is_not_there_or_too_busy_to_greet_is_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RetryableSinkError, match="could not be reached"):
        sink(port).send(MESSAGES["fire"])
    with (
        saying(b"421 too busy\r\n") as busy,
        pytest.raises(RetryableSinkError, match="421: too busy"),
    ):
        sink(busy).send(MESSAGES["fire"])


def test_a_server_that_breaks_off_after_it_took_the_mail_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_server: smtplib.SMTP) -> None:
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr(smtplib.SMTP, "quit", gone)
    with smtp() as box:
        assert sink(box.port).send(MESSAGES["fire"]).delivered


def test_a_link_local_server_is_refused() -> None:
    with pytest.raises(SinkError, match="link-local"):
        EmailSink(host="169.254.169.254", sender=OPS, to=(OPS,)).send(MESSAGES["fire"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to": ()}, "to is empty"),
        ({"to": ("ops",)}, "to is 'ops'; give one address"),
        ({"to": (f"{OPS}\nBcc: {BOSS}",)}, "give one address"),
        ({"sender": f"{OPS}, {BOSS}"}, "sender is .*; give one address"),
        ({"username": "shop"}, "password is missing"),
        ({"password": "x"}, "username is missing"),
        ({"username": "shop", "password": "x"}, "would send the password in the clear"),
        ({"username": "shop", "password": "schlüssel", "security": "tls"}, "non-ASCII"),
        ({"timeout": timedelta(0)}, "longer than zero"),
        ({"port": 70_000}, "port is not that of a mail server"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sink(**{"port": 25} | settings)


@pytest.mark.parametrize("host", ["", " ", "mail..example", f"{'m' * 64}.example", "m." * 200])
def test_a_host_that_cannot_be_looked_up_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="host is not that of a mail server"):
        EmailSink(host=host, sender="a@example.org", to=["b@example.org"])


@pytest.mark.slow
def test_any_server_takes_the_bytes() -> None:
    mail = mailed(drawn())
    assert max(len(line) for line in mail.as_bytes(policy=policy.SMTP).split(b"\r\n")) <= 998
    assert mail.as_bytes().isascii()
