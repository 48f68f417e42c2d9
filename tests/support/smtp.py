"""A real SMTP server on loopback that keeps what it is given, and answers as a test tells it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.support.servers import TLS

ANYBODY = ("*", "*")  # a login that stands for all


@dataclass
class Mailbox:
    """What arrived: mails and their recipients. `refuse` answers for a recipient, `answers` for the
    next mails, then 250."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answers and not self.answers[0].startswith("250"):
            return self.answers.pop(0)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextmanager
def smtp(
    box: Mailbox | None = None,
    *,
    login: tuple[str, str] | None = None,
    tls: str = "none",
    refusal: str | None = None,
) -> Iterator[Mailbox]:
    """A server for `box`; `tls` as the sink says it, `login` is demanded if given; `refusal` is
    said to all, with their login."""
    box = box or Mailbox()
    context = None
    if tls != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "loopback.pem")

    def allowed(
        _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        if refusal is not None:
            return AuthResult(
                success=False,
                handled=False,
                message=refusal.format(data.login.decode(), data.password.decode()),
            )
        return AuthResult(
            success=login in (ANYBODY, (data.login.decode(), data.password.decode())), handled=False
        )

    with socket.create_server(("127.0.0.1", 0)) as free:
        box.port = free.getsockname()[1]
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        ssl_context=context if tls == "tls" else None,
        tls_context=context if tls == "starttls" else None,
        require_starttls=tls == "starttls",
        authenticator=allowed if login else None,
        auth_required=login is not None,
        auth_require_tls=tls == "starttls",
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
