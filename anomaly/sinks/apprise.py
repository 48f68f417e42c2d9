"""Messages through Apprise, which reaches over a hundred services: Teams, Discord, Telegram,
Opsgenie, … Needs the extra `apprise`.

Apprise does not say why a service rejected a message; only its log does, with a status. That log
may hold parts of the URL, which is a secret: records of a delivery are read for the status and
never shown.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from anomaly.contracts import Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.endpoint import RETRYABLE
from anomaly.http.transport import QUIET, MetadataAddressError, refuse_metadata
from anomaly.reporting.figures import worst_png
from anomaly.reporting.notice import Severity, notice

if TYPE_CHECKING:
    from apprise import AppriseAttachment, NotifyBase, NotifyType

STATUS = re.compile(r"\berror=(\d{3})\b")
LIVE = re.compile(r"@(?=\w)|<(?=[!@#])")  # begins a mention in one chat or another
BREAK = "\u200b"  # a zero-width space, which breaks mentions

_records: ContextVar[list[str] | None] = ContextVar("_records", default=None)


class AppriseSink:
    """Sends to the service behind an Apprise `url`. Raises UsageError for one that Apprise can't
    use, or that disables TLS verification."""

    def __init__(self, *, url: str) -> None:
        from apprise import Apprise, AppriseAsset

        logging.getLogger("apprise").addFilter(_passes)
        with _listening():
            service = Apprise.instantiate(url, asset=AppriseAsset(http_redirects=False))
        if service is None:
            raise UsageError(
                "Apprise can't use this url; its format is documented at https://appriseit.com"
            )
        if not service.verify_certificate:
            raise UsageError("url has verify=no; certificates are always verified")
        service.redirects = False
        self._service: NotifyBase = service
        self._where = f"{service.service_name} (apprise)"

    def send(self, message: Message, /) -> Receipt:
        service, summary = self._service, notice(message)
        lines = [*(f"- {fact}" for fact in summary.body), summary.todo, summary.link]
        with _listening() as records, QUIET:
            try:
                if "host" in service.template_tokens:  # in other URLs its place holds a secret
                    refuse_metadata(service.host)
                is_delivered = service.notify(
                    title=_without_mentions(summary.title),
                    body=_without_mentions("\n".join(line for line in lines if line)),
                    notify_type=_kind(message, summary.severity),
                    body_format="text",
                    overflow="truncate",
                    attach=_picture(message) if service.attachment_support else None,
                )
            except MetadataAddressError:
                raise SinkError(
                    f"{self._where} is at a link-local address; such addresses are refused"
                ) from None
            except Exception as error:  # noqa: BLE001  a hundred services fail in a hundred ways, with the URL in the message
                raise SinkError(f"{self._where} failed: {type(error).__name__}") from None
        if not is_delivered:
            raise self._refusal(records)
        return Receipt("apprise", delivered=True, detail=f"{self._where} accepted it")

    def _refusal(self, records: list[str]) -> SinkError:
        statuses = [int(match[1]) for line in records for match in STATUS.finditer(line)]
        if not statuses:
            return RetryableSinkError(
                f"{self._where} could not be reached, or rejected the message"
            )
        status = statuses[-1]
        is_permanent = status < 500 and status not in RETRYABLE  # noqa: PLR2004  5xx
        return (SinkError if is_permanent else RetryableSinkError)(
            f"{self._where} answered {status}"
        )


def _kind(message: Message, severity: Severity) -> NotifyType:
    from apprise import NotifyType

    by_severity = {
        Severity.WARNING: NotifyType.WARNING,
        Severity.INFO: NotifyType.SUCCESS if message.is_good_news else NotifyType.INFO,
    }
    return by_severity.get(severity, NotifyType.FAILURE)


def _picture(message: Message) -> AppriseAttachment | None:
    from apprise import AppriseAttachment
    from apprise.attachment.memory import AttachMemory

    picture = worst_png(message)
    return (
        AppriseAttachment(AttachMemory(content=picture, name="kpi.png", mimetype="image/png"))
        if picture
        else None
    )


def _without_mentions(text: str) -> str:
    """Text that mentions nobody."""
    return LIVE.sub(lambda match: match[0] + BREAK, text)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The records that Apprise logs in this thread meanwhile."""
    records: list[str] = []
    token = _records.set(records)
    try:
        yield records
    finally:
        _records.reset(token)


def _passes(record: logging.LogRecord) -> bool:
    """Whether a record of Apprise's log passes: not during a delivery of this sink."""
    records = _records.get()
    if records is not None:
        records.append(record.getMessage())
    return records is None
