"""The report as a signed JSON POST."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import ClassVar, Literal
from urllib.parse import quote

from anomaly.contracts import Message, Receipt
from anomaly.errors import UsageError
from anomaly.http.endpoint import HEADER_VALUE, checked_headers
from anomaly.redaction import url_secrets
from anomaly.reporting.data import message_data
from anomaly.sinks.hook import Hook

SIGNATURE_HEADER = "X-Anomaly-Signature"
IDEMPOTENCY_HEADER = "Idempotency-Key"
KEY_HEADER = "X-Anomaly-Key"
ACTION_HEADER = "X-Anomaly-Action"
WORD = re.compile(r"[^\s\"'{}\[\]:,]{8,}")
NAME = re.compile(r"\{(service|version|environment|id|verdict|link)\}")


class WebhookSink:
    """Posts the report to `url`, signed with `secret` (HMAC-SHA256) if there is one; `timeout`
    applies to each attempt.

    A `body` is sent in place of the report. In it, and in the path of the URL, `{service}`,
    `{version}`, `{environment}`, `{id}`, `{verdict}` and `{link}` are replaced, in the body as
    within a text of JSON. Raises UsageError for an invalid URL or header.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST",
        body: str | None = None,
        content_type: str = "application/json",
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._headers = checked_headers(
            headers or {}, (SIGNATURE_HEADER, IDEMPOTENCY_HEADER, KEY_HEADER, ACTION_HEADER)
        )
        fixed, self._path = _parted(url)
        self._endpoint = Hook(
            fixed,
            secrets={
                *self._headers.values(),
                *url_secrets(url),
                *WORD.findall(body or ""),  # of which one may be a key
                secret or "",
            },
            timeout=timeout,
            clock=clock,
        )
        self._method = method
        self._body = body
        self._content_type = content_type
        if not HEADER_VALUE.fullmatch(content_type):
            raise UsageError("content_type is empty, or no value of a header")
        self._secret = None if secret is None else secret.encode()
        self._clock = clock
        if secret == "":
            raise UsageError("secret is empty; leave it out to send unsigned")

    def plan(self, message: Message, /) -> str:
        """What `send` would do."""
        what = "the report" if self._body is None else self._text(message)
        return f"{self._method} to {self._endpoint.where}: {what}"

    def send(self, message: Message, /) -> Receipt:
        body = self._text(message).encode()
        path = _filled(self._path, _names(message), lambda text: quote(text, safe=""))
        headers = self._own_headers(message, body)
        answer = self._endpoint.ask(self._method, body, headers, path=path)
        return Receipt(
            "webhook", delivered=True, detail=f"{self._endpoint.where} answered {answer.status}"
        )

    def _text(self, message: Message) -> str:
        if self._body is None:
            return json.dumps(message_data(message), allow_nan=False)
        return _filled(self._body, _names(message), lambda text: json.dumps(text)[1:-1])

    def _own_headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {
            **self._headers,
            "Content-Type": self._content_type,
            KEY_HEADER: message.key,
            ACTION_HEADER: str(message.action),
            IDEMPOTENCY_HEADER: message.id
            or f"{message.key}-{hashlib.sha256(body).hexdigest()[:16]}",
        }
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = signature(self._secret, int(self._clock()), body)
        return headers


def _parted(url: str) -> tuple[str, str]:
    """The URL up to the path that has names in it, and that path."""
    match = NAME.search(url)
    if match is None:
        return url, ""
    cut = url.rfind("/", 0, match.start()) + 1
    if cut <= url.find("//") + 2:
        raise UsageError(f"url has {match[0]} before its path; only a path can have a name in it")
    return url[:cut], url[cut:]


def _names(message: Message) -> dict[str, str]:
    """What may stand in braces in the address and the body."""
    release = message.report.release
    return {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "id": message.key,
        "verdict": str(message.report.verdict),
        "link": message.link,
    }


def _filled(template: str, names: Mapping[str, str], written: Callable[[str], str]) -> str:
    """The template with its names replaced, in one pass: what is put in is not looked through."""
    return NAME.sub(lambda match: written(names[match[1]]), template)


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The signature header: `t=1762252500,v1=5257a8…`, HMAC-SHA256 over the timestamp, a dot and
    the body."""
    digest = hmac.new(secret, f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"
