"""Mail by SMTP: text and HTML, with a figure of the most important KPI. All mails about a release
form one thread.

| the server | result |
|---|---|
| accepts it for at least one recipient | delivered; the receipt names refused recipients |
| answers 4xx, hangs up, is unreachable, times out | retry with the same Message-ID |
| answers 5xx, rejects the login, lacks STARTTLS, has an invalid certificate | give up |
"""

from __future__ import annotations

import contextlib
import hashlib
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from html import escape
from typing import ClassVar, Literal

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.transport import MetadataAddressError, is_host, refuse_metadata
from anomaly.redaction import Redactor
from anomaly.reporting.figures import worst_png
from anomaly.reporting.notice import Notice, Severity, notice

PORTS = {"starttls": 587, "tls": 465, "none": 25}
LONGEST_ANSWER = 200  # characters of a server's answer
SEVEN_BIT = policy.SMTP.clone(cte_type="7bit")  # every server accepts it
COLOURS = {
    Severity.CRITICAL: "#b3261e",
    Severity.ERROR: "#b3261e",
    Severity.WARNING: "#8a5a00",
    Severity.INFO: "#1a6b4a",
}


class EmailSink:
    """Mails `to` from `sender` through `host`; `port` is by default 587 (`starttls`), 465 (`tls`)
    or 25 (`none`).

    Raises UsageError for invalid addresses, and for a password that would be sent in the clear.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        host: str,
        sender: str,
        to: Sequence[str],
        port: int | None = None,
        security: Literal["starttls", "tls", "none"] = "starttls",
        username: str | None = None,
        password: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host, self._port = host, PORTS[security] if port is None else port
        self._sender = _address(sender, "sender")
        self._to = tuple(_address(each, "to") for each in to)
        self._security = security
        self._login = (username, password) if username and password else None
        self._redactor = Redactor({text for text in (username, password) if text})
        self._timeout_s = timeout.total_seconds()
        self._clock = clock
        self._where = wording.plain(f"{host}:{self._port}", 100)
        if not self._to:
            raise UsageError("to is empty; name at least one recipient")
        if bool(username) != bool(password):
            raise UsageError(
                f"{'username' if password else 'password'} is missing; give both, or neither"
            )
        if not f"{username or ''}{password or ''}".isascii():
            raise UsageError(
                "username or password has a non-ASCII character, which SMTP does not allow"
            )
        if self._login and security == "none":
            raise UsageError(
                "security: none would send the password in the clear; use starttls or tls"
            )
        if not is_host(host.strip()) or not 0 < self._port < 1 << 16:
            raise UsageError(
                f"{'port' if is_host(host.strip()) else 'host'} is not that of a mail server"
            )
        if self._timeout_s <= 0:
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")

    def send(self, message: Message, /) -> Receipt:
        mail = letter(message, self._sender, self._to, datetime.fromtimestamp(self._clock(), UTC))
        try:
            refuse_metadata(self._host)
            refused = self._hand_over(mail)
        except MetadataAddressError:
            raise SinkError(
                f"{self._where} is a link-local address; such addresses are refused"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise self._all_refused(error.recipients) from None
        except smtplib.SMTPResponseException as error:  # its text may repeat what was sent
            raise self._refusal(error) from None
        except (smtplib.SMTPException, OSError) as error:
            raise self._failure(error) from None
        count = len(self._to)
        accepted = f"{self._where} accepted it for {count - len(refused)} of {count}"
        return Receipt(
            "email",
            delivered=True,
            detail=f"{accepted}; {self._refused(refused)}" if refused else accepted,
        )

    def _hand_over(self, mail: EmailMessage) -> Mapping[str, tuple[int, bytes]]:
        """Sends the mail; returns the refused recipients and why."""
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
            if self._security == "tls"
            else smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        )
        try:
            if self._security == "starttls":
                server.starttls(context=context)
            if self._login:
                server.login(*self._login)
            refused: Mapping[str, tuple[int, bytes]] = server.send_message(
                mail, self._sender.addr_spec, [each.addr_spec for each in self._to]
            )
            with contextlib.suppress(OSError):  # the mail is delivered, however the session ends
                server.quit()
            return refused
        finally:
            server.close()

    def _all_refused(self, refused: Mapping[str, tuple[int, bytes]]) -> SinkError:
        is_temporary = any(code < 500 for code, _ in refused.values())  # noqa: PLR2004  4xx
        return (RetryableSinkError if is_temporary else SinkError)(
            f"{self._where} refused every recipient; {self._refused(refused)}"
        )

    def _refused(self, refused: Mapping[str, tuple[int, bytes]]) -> str:
        return "; ".join(
            f"{recipient} was refused: {code} {self._text(answer)}".rstrip()
            for recipient, (code, answer) in sorted(refused.items())
        )

    def _refusal(self, error: smtplib.SMTPResponseException) -> SinkError:
        code, answer = error.smtp_code, self._text(error.smtp_error)
        if code < 0:
            return SinkError(f"{self._where} does not speak SMTP")
        if 400 <= code < 500:  # noqa: PLR2004  4xx
            return RetryableSinkError(f"{self._where} answered {code}: {answer}")
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return SinkError(f"{self._where} rejected the username or password: {code} {answer}")
        return SinkError(f"{self._where} answered {code}: {answer}")

    def _failure(self, error: OSError) -> SinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkError(f"{self._where} has a certificate that can't be verified")
        if isinstance(error, ssl.SSLError):
            return SinkError(
                f"{self._where} does not speak TLS; check security ({self._security}) and port"
            )
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return SinkError(
                f"{self._where} does not offer {'AUTH' if 'AUTH' in str(error) else 'STARTTLS'}; "
                "check security and port"
            )
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            return RetryableSinkError(
                f"{self._where} did not answer within {self._timeout_s:g} s; the mail may have "
                "arrived"
            )
        if isinstance(error, smtplib.SMTPException) and not isinstance(
            error, smtplib.SMTPServerDisconnected
        ):
            return SinkError(f"{self._where} failed: {type(error).__name__}")
        return RetryableSinkError(
            f"{self._where} could not be reached, or hung up: {type(error).__name__}"
        )

    def _text(self, answer: bytes | str) -> str:
        text = answer if isinstance(answer, str) else answer.decode("utf-8", "replace")
        return wording.plain(" ".join(self._redactor.text(text).split()), LONGEST_ANSWER)


def letter(message: Message, sender: Address, to: Sequence[Address], now: datetime) -> EmailMessage:
    """The message as a mail: text, HTML, and the figure if there is one."""
    summary, picture = notice(message), worst_png(message)
    text = "\n\n".join(
        part
        for part in (
            "\n".join([summary.title, *(f"- {fact}" for fact in summary.body)]),
            summary.todo,
            summary.link,
        )
        if part
    )
    identity = message.id or f"{message.key} {text}"
    mail = EmailMessage(policy=SEVEN_BIT)
    subject = summary.title.replace("=?", "= ?")  # encoded words could hide line ends
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = now
    mail["Message-ID"] = _identity(identity, sender)
    mail["In-Reply-To"] = mail["References"] = _identity(message.key, sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text + "\n")
    cid = _identity(f"{identity} picture", sender)
    mail.add_alternative(page(summary, cid[1:-1] if picture else ""), subtype="html")
    if picture:
        *_, html = mail.iter_parts()
        html.add_related(picture, "image", "png", cid=cid, filename="kpi.png", disposition="inline")
    return mail


def page(summary: Notice, cid: str) -> str:
    """The words as HTML for old mail programs too; `cid` names the figure, empty without one."""
    colour = COLOURS[summary.severity]
    facts = "".join(
        f'<tr><td style="padding:0 24px 8px">{escape(fact)}</td></tr>\n' for fact in summary.body
    )
    picture = (
        f'<tr><td style="padding:8px 24px"><img src="cid:{escape(cid)}" width="600" '
        'alt="observed and expected values" '
        'style="display:block;width:100%;max-width:600px;height:auto;border-radius:6px"></td></tr>\n'
    )
    button = (
        f'<tr><td style="padding:8px 24px 24px"><a href="{escape(summary.link)}" '
        'style="display:inline-block;padding:10px 18px;'
        f'border-radius:6px;background:{colour};color:#ffffff;text-decoration:none;font-weight:bold">Report</a></td></tr>\n'
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" '
        'content="light dark">'
        '<meta name="supported-color-schemes" content="light dark"></head>\n'
        '<body style="margin:0;padding:0">\n'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" '
        'style="max-width:648px;'
        f"border-top:4px solid {colour};font:15px/1.45 -apple-system,Segoe "
        'UI,Helvetica,Arial,sans-serif">\n'
        '<tr><td style="padding:20px 24px '
        f'12px;font-size:19px;font-weight:bold">{escape(summary.title)}</td></tr>\n'
        f"{facts}{picture if cid else ''}"
        f'<tr><td style="padding:8px 24px 16px;font-weight:bold">{escape(summary.todo)}</td></tr>\n'
        f"{button if summary.link.startswith(('https://', 'http://')) else ''}"
        "</table>\n</body></html>\n"
    )


def _identity(text: str, sender: Address) -> str:
    """The id of a mail, the same for the same text."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{digest[:32]}@{sender.domain}>"


def _address(text: str, setting: str) -> Address:
    """`ops@example.com`, or `Release watch <ops@example.com>`. Raises UsageError."""
    header = policy.SMTP.header_factory(setting, text) if text.isprintable() else None
    addresses: Sequence[Address] = getattr(header, "addresses", ())
    if (
        header is None
        or len(addresses) != 1
        or header.defects
        or not addresses[0].domain
        or not addresses[0].addr_spec.isascii()
    ):
        raise UsageError(
            f"{setting} is {wording.plain(text, 60)!r}; give one address, like ops@example.com"
        )
    return addresses[0]
