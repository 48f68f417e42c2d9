"""Messages through Apprise, which speaks to over a hundred services: Teams, Discord, Telegram,
Opsgenie, … Needs the extra `apprise`.

Apprise does not say why a service took nothing; its log does, with a status. That log may hold
parts of the URL, which is a secret: what is logged while a message is on its way is read for the
status, and shown to nobody.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.endpoint import RETRYABLE
from anomaly.http.transport import QUIET, MetadataAddressError, refuse_metadata
from anomaly.model import ReleaseVerdict
from anomaly.reporting.figures import worst_png
from anomaly.reporting.notice import Severity, notice

if TYPE_CHECKING:
    from apprise import AppriseAttachment, NotifyBase, NotifyType

STATUS = re.compile(r"\berror=(\d{3})\b")
LIVE = re.compile(r"@(?=\w)|<(?=[!@#])")  # begins a mention in one chat or another
BREAK = "\u200b"  # a space of no width: what it parts is no mention any more

_heard: ContextVar[list[str] | None] = ContextVar("_heard", default=None)


class AppriseSink:
    """Tells the service behind an Apprise `url`. Raises UsageError for one that Apprise can't use,
    or that gives up verifying TLS."""

    def __init__(self, *, url: str) -> None:
        from apprise import Apprise, AppriseAsset

        logging.getLogger("apprise").addFilter(_unheard)
        with _listening():
            service = Apprise.instantiate(url, asset=AppriseAsset(http_redirects=False))
        if service is None:
            raise UsageError(
                "url is none that Apprise can use; look up its form at https://appriseit.com"
            )
        if not service.verify_certificate:
            raise UsageError("url says verify=no; certificates are always verified")
        service.redirects = False
        self._service: NotifyBase = service
        self._where = f"{service.service_name} (apprise)"

    def send(self, message: Message, /) -> Receipt:
        service, said = self._service, notice(message)
        lines = [*(f"- {fact}" for fact in said.facts), said.todo, said.link]
        with _listening() as heard, QUIET:
            try:
                if (
                    "host" in service.template_tokens
                ):  # elsewhere what stands in its place is a secret
                    refuse_metadata(service.host)
                told = service.notify(
                    title=_still(said.title),
                    body=_still("\n".join(line for line in lines if line)),
                    notify_type=_kind(message, said.severity),
                    body_format="text",
                    overflow="truncate",
                    attach=_picture(message) if service.attachment_support else None,
                )
            except MetadataAddressError:
                raise SinkError(
                    f"{self._where} is at a link-local address; such addresses are refused"
                ) from None
            except Exception as error:  # noqa: BLE001  a hundred services fail in a hundred ways, with the URL in their words
                raise SinkError(
                    f"{self._where} could not be told: {type(error).__name__}"
                ) from None
        if not told:
            raise self._refusal(heard)
        return Receipt("apprise", delivered=True, detail=f"{self._where} took it")

    def _refusal(self, heard: list[str]) -> SinkError:
        statuses = [int(found[1]) for line in heard for found in STATUS.finditer(line)]
        if not statuses:
            return RetryableSinkError(f"{self._where} could not be reached, or did not take it")
        status = statuses[-1]
        lasting = status < 500 and status not in RETRYABLE  # noqa: PLR2004  5xx
        return (SinkError if lasting else RetryableSinkError)(f"{self._where} answered {status}")


def _kind(message: Message, severity: Severity) -> NotifyType:
    from apprise import NotifyType

    good = message.action is Action.RESOLVE or (
        message.action is not Action.TRIAL and message.report.verdict is ReleaseVerdict.PASS
    )
    by_severity = {
        Severity.WARNING: NotifyType.WARNING,
        Severity.INFO: NotifyType.SUCCESS if good else NotifyType.INFO,
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


def _still(text: str) -> str:
    """Text in which nobody is mentioned."""
    return LIVE.sub(lambda found: found[0] + BREAK, text)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What Apprise logs in this thread meanwhile."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def _unheard(record: logging.LogRecord) -> bool:
    """Whether a record of Apprise's log goes on: not while a sink of ours listens."""
    heard = _heard.get()
    if heard is not None:
        heard.append(record.getMessage())
    return heard is None
