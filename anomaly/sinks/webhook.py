"""The report as a signed JSON POST.

| answer | what it means |
|---|---|
| 2xx | delivered |
| 408, 425, 429, 5xx, a timeout, a reset, a name that does not resolve now | not now: may be sent again, after Retry-After if given |
| any other status, a redirect, a certificate that does not verify | not at all |
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from urllib3.exceptions import HTTPError

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.redaction import Redactor, url_secrets
from anomaly.report import to_dict

SIGNATURE_HEADER, IDEMPOTENCY_HEADER, KEY_HEADER = "X-Anomaly-Signature", "Idempotency-Key", "X-Anomaly-Key"
RETRYABLE = frozenset({408, 425, 429})  # besides all of 5xx
LONGEST_ANSWER = 2048  # bytes of an error's body that are read
LONGEST_SAID = 200  # characters of it that are shown
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
METADATA_V6 = ipaddress.IPv6Address("fd00:ec2::254")  # a cloud's metadata service, outside of the link-local range


class WebhookSink:
    """Posts the report to `url`, signed with `secret` (HMAC-SHA256) if there is one; `timeout` is for each attempt's wait.

    Raises UsageError if the URL or a header can't be used. Redirects are not followed and link-local addresses refused.
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
        self._target = _checked_url(url)
        self._url = url
        self._secret = None if secret is None else secret.encode()
        self._headers = _checked_headers(headers or {})
        self._redactor = Redactor({*url_secrets(url), *self._headers.values(), secret or ""})
        self._timeout_s = timeout.total_seconds()
        self._clock = clock
        if self._timeout_s <= 0:
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")
        if secret == "":
            raise UsageError("secret is empty; leave it out to send unsigned")

    def send(self, message: Message, /) -> Receipt:
        body = json.dumps(to_dict(message.report, key=message.key), allow_nan=False).encode("ascii")
        where = _shown(self._target)
        try:
            _refuse_link_local(self._target, where)
            with requests.Session() as session, self._post(session, body, message.key) as response:
                return self._receipt(response, where)
        except requests.RequestException as error:
            raise self._failure(error, where) from None  # its text and its causes hold the URL

    def _post(self, session: requests.Session, body: bytes, key: str) -> requests.Response:
        return session.post(
            self._url,
            data=body,
            headers=self._headers | self._own_headers(body, key),
            auth=_credentials(self._target),
            timeout=self._timeout_s,
            allow_redirects=False,
            stream=True,
        )

    def _own_headers(self, body: bytes, key: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "anomaly",
            KEY_HEADER: key,
            IDEMPOTENCY_HEADER: f"{key}-{hashlib.sha256(body).hexdigest()[:16]}",
        }
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = signature(self._secret, int(self._clock()), body)
        return headers

    def _receipt(self, response: requests.Response, where: str) -> Receipt:
        status = response.status_code
        if 200 <= status < 300:  # noqa: PLR2004  2xx
            return Receipt("webhook", delivered=True, detail=f"{where} answered {status}")
        if 300 <= status < 400:  # noqa: PLR2004  3xx
            raise SinkError(
                f"{where} answered {status}, a redirect{_redirect(response)}; write the URL it leads to, redirects are not followed"
            )
        said = self._said(response)
        text = f"{where} answered {status}" + (f": {said}" if said else "")
        if status in RETRYABLE or status >= 500:  # noqa: PLR2004  5xx
            raise RetryableSinkError(text, retry_after_s=retry_after(response.headers.get("Retry-After", ""), self._clock()))
        raise SinkError(text)

    def _said(self, response: requests.Response) -> str:
        """The beginning of the answer's body, without what it may repeat of the URL, the headers or the secret."""
        try:
            body = response.raw.read1(LONGEST_ANSWER)  # one read: an answer that drips can't hold us
        except (HTTPError, OSError):  # the status has said enough
            return ""
        text = self._redactor.text(body.decode("utf-8", "replace"))
        return wording.plain(" ".join(text.split()), LONGEST_SAID)

    def _failure(self, error: requests.RequestException, where: str) -> SinkError:
        if isinstance(error, requests.ConnectTimeout):
            return RetryableSinkError(f"{where} took no connection within {self._timeout_s:g} s")
        if isinstance(error, requests.Timeout):
            return RetryableSinkError(f"{where} gave no answer within {self._timeout_s:g} s; it may have the message")
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
            return SinkError(f"{where} has a certificate that does not verify")
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return RetryableSinkError(f"{where} could not be reached, or broke off: {type(error).__name__}")
        return SinkError(f"{where} could not be asked: {type(error).__name__}")


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The signature header: `t=1762252500,v1=5257a8…`, HMAC-SHA256 over the timestamp, a dot and the body."""
    digest = hmac.new(secret, f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"


def retry_after(text: str, now_s: float) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None if it says nothing usable."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())


def _checked_url(url: str) -> SplitResult:
    """The parts of a usable URL; an error never shows it, since it may be secret as a whole."""
    try:
        target = urlsplit(url)
        port_is_usable = target.port != 0
    except ValueError:
        raise UsageError("url is not a URL; write https://host/path") from None
    if target.scheme not in ("http", "https"):
        raise UsageError(f"url starts with {wording.plain(target.scheme, 20) or 'no scheme'}; use http or https")
    if not target.hostname or not port_is_usable:
        raise UsageError(f"url names no {'host' if not target.hostname else 'port'}; write {target.scheme}://host/path")
    return target


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise UsageError(f"headers: {wording.plain(name, 40)!r} is not a header's name; use letters, digits and -")
        if not HEADER_VALUE.fullmatch(value):
            raise UsageError(f"headers: the value of {name} is empty, or holds a line end or a character beyond ASCII")
    own = {SIGNATURE_HEADER.lower(), IDEMPOTENCY_HEADER.lower(), KEY_HEADER.lower(), "content-type", "content-length", "host"}
    if taken := sorted(name for name in headers if name.lower() in own):
        raise UsageError(f"headers: {', '.join(taken)} is set by the webhook itself; leave it out")
    return dict(headers)


def _shown(target: SplitResult) -> str:
    """The scheme, host and port; the rest of a hook's URL is often its secret."""
    host = f"[{target.hostname}]" if ":" in (target.hostname or "") else target.hostname
    port = f":{target.port}" if target.port else ""
    return wording.plain(f"{target.scheme}://{host}{port}", 100)


def _credentials(target: SplitResult) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """The user and password of the URL, or none: a .netrc file is not asked."""
    if target.username is None:
        return lambda request: request
    return requests.auth.HTTPBasicAuth(unquote(target.username), unquote(target.password or ""))


def _refuse_link_local(target: SplitResult, where: str) -> None:
    """Raises SinkError if the host is, or resolves to, an address at which clouds hand out credentials."""
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(target.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # the request itself will say why, or go through a proxy that knows the name
    for *_, address in found:
        if _is_link_local(str(address[0])):
            raise SinkError(f"{where} is a link-local address; such addresses are refused")


def _is_link_local(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_link_local or address == METADATA_V6


def _redirect(response: requests.Response) -> str:
    """The host a redirect leads to; the rest of its Location may be secret."""
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return f" to {wording.plain(host, 100)}" if host else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and every error inside or behind it."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [
            cause for cause in (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args) if isinstance(cause, BaseException)
        ]
