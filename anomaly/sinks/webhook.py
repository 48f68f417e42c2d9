"""The report as a signed JSON POST."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.errors import UsageError
from anomaly.http.endpoint import checked_headers
from anomaly.reporting.data import to_dict
from anomaly.sinks.hook import Hook

SIGNATURE_HEADER = "X-Anomaly-Signature"
IDEMPOTENCY_HEADER = "Idempotency-Key"
KEY_HEADER = "X-Anomaly-Key"
ACTION_HEADER = "X-Anomaly-Action"


class WebhookSink:
    """Posts the report to `url`, signed with `secret` (HMAC-SHA256) if there is one; `timeout`
    applies to each attempt.

    Raises UsageError for an invalid URL or header.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._headers = checked_headers(
            headers or {}, (SIGNATURE_HEADER, IDEMPOTENCY_HEADER, KEY_HEADER, ACTION_HEADER)
        )
        self._endpoint = Hook(
            url, secrets={*self._headers.values(), secret or ""}, timeout=timeout, clock=clock
        )
        self._secret = None if secret is None else secret.encode()
        self._clock = clock
        if secret == "":
            raise UsageError("secret is empty; leave it out to send unsigned")

    def send(self, message: Message, /) -> Receipt:
        body = json.dumps(_body(message), allow_nan=False).encode("ascii")
        answer = self._endpoint.ask("POST", body, self._headers | self._own_headers(message, body))
        return Receipt(
            "webhook", delivered=True, detail=f"{self._endpoint.where} answered {answer.status}"
        )

    def _own_headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            KEY_HEADER: message.key,
            ACTION_HEADER: str(message.action),
            IDEMPOTENCY_HEADER: message.id
            or f"{message.key}-{hashlib.sha256(body).hexdigest()[:16]}",
        }
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = signature(self._secret, int(self._clock()), body)
        return headers


def _body(message: Message) -> dict[str, object]:
    about = {
        "action": str(message.action),
        "why": message.why,
        "look": message.look,
        "link": message.link,
    }
    return to_dict(message.report, key=message.key) | {"message": about}


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The signature header: `t=1762252500,v1=5257a8…`, HMAC-SHA256 over the timestamp, a dot and
    the body."""
    digest = hmac.new(secret, f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"
