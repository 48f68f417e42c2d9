"""Requests to a URL from a checklist: which are allowed, how long they may take, what an answer
means, and what may be shown of it.

| answer | what it means |
|---|---|
| 2xx | done |
| 408, 425, 429, 5xx, a timeout, a reset, an unknown host | try again, after any Retry-After |
| 403 that says when to ask again | likewise |
| any other status, a redirect, a certificate that does not verify | not at all |

Only http and https, no link-local addresses, and no redirect unless one is asked for. A URL is
often a secret as a whole: only its scheme, host and port are ever shown.
"""

from __future__ import annotations

import html
import re
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, LocationValueError

from anomaly import wording
from anomaly.errors import RequestError, RetryableRequestError, UsageError
from anomaly.http.transport import (
    QUIET,
    DeadlineAdapter,
    MetadataAddressError,
    is_host,
    refuse_metadata,
)
from anomaly.redaction import Redactor, url_secrets

RETRYABLE = frozenset({408, 425, 429})  # besides all of 5xx
FORBIDDEN = 403
LONGEST_EXCERPT = 200  # characters of an error's body that are shown
LONGEST_ANSWER = 2048  # bytes of an error's body that are read
LONGEST_BODY = 1 << 24  # bytes of a good answer
MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
USER_AGENT = "anomaly"
NO_TLS = "WRONG_VERSION_NUMBER"  # OpenSSL's word for an answer that is no TLS


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a 2xx status."""

    status: int
    body: bytes


class Endpoint:
    """A URL for requests; `secrets` (and those of the URL) are masked in every text about it, its
    repr included.

    Raises UsageError if the URL can't be used or `timeout` is not longer than zero; `setting` is
    what the checklist calls the URL.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Iterable[str] = (),
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
        setting: str = "url",
    ) -> None:
        self._target = checked_url(url, setting)
        self._url = url
        masked = [each for each in secrets if each]
        self._secrets = frozenset(
            {*url_secrets(url), *masked, *(each.split()[-1] for each in masked if each.strip())}
        )  # Bearer token
        self._redactor = Redactor(self._secrets)
        self._clock = clock
        self._timeout_s = timeout.total_seconds()
        self.where = _shown(self._target)
        if self._timeout_s <= 0:
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")

    def __repr__(self) -> str:
        return f"Endpoint({self.where})"

    def keep_secret(self, secret: str) -> None:
        """Masks a secret from now on that was not known before."""
        if secret not in self._secrets:
            self._secrets |= {secret}
            self._redactor = Redactor(self._secrets)

    def masked(self, text: str) -> str:
        """The text without secrets that an answer may repeat."""
        return self._redactor.text(text)

    def ask(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "",
        retryable: Collection[int] = (),
        hints: Mapping[int, str] | None = None,
        read: bool = False,
        follow: bool = False,
    ) -> Answer:
        """One request; `path` is added to the URL, a status in `retryable` is worth another try,
        and the body of a good answer is read only with `read`.

        With `follow`, one redirect is followed, without the headers and credentials: so do those
        lead to a storage who sign its URL.

        `hints` explain a status and say what to do. Raises RequestError and
        RetryableRequestError.
        """
        try:
            refuse_metadata(self._target.hostname or "")
            with (
                QUIET,
                _session() as session,
                session.request(
                    method,
                    self._url + path,
                    data=body,
                    headers={
                        "Accept-Encoding": "identity",
                        "User-Agent": USER_AGENT,
                        **(headers or {}),
                    },
                    auth=_credentials(self._target),
                    timeout=self._timeout_s,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                if follow and 300 <= response.status_code < 400:  # noqa: PLR2004  3xx
                    return self._elsewhere(response).ask("GET", retryable=retryable, read=read)
                return self._answer(response, retryable, hints or {}, LONGEST_BODY if read else 0)
        except MetadataAddressError:
            raise RequestError(
                f"{self.where} is a link-local address; such addresses are refused"
            ) from None
        except requests.RequestException as error:
            raise self._failure(error) from None  # its text and its causes hold the URL
        except LocationValueError:  # of urllib3, which requests lets through
            raise RequestError(f"{self.where} is not a host that can be looked up") from None
        except ValueError:  # likewise: it takes the Location of an answer apart
            raise RequestError(f"{self.where} redirects to what is no URL") from None

    def _answer(
        self,
        response: requests.Response,
        retryable: Collection[int],
        hints: Mapping[int, str],
        most: int,
    ) -> Answer:
        status = response.status_code
        if 200 <= status < 300:  # noqa: PLR2004  2xx
            return Answer(status, _body(response, most) if most else b"")
        if 300 <= status < 400:  # noqa: PLR2004  3xx
            raise RequestError(
                f"{self.where} answered {status}, a redirect{_redirect(response)}; write the URL "
                "it leads to, redirects are not followed"
            )
        reply = self._excerpt(response)
        text = f"{self.where} answered {status}" + (f": {reply}" if reply else "")
        wait_s = _wait_s(response.headers, self._clock())
        if (
            status in RETRYABLE
            or status in retryable
            # 5xx
            or status >= 500  # noqa: PLR2004
            or (status == FORBIDDEN and wait_s is not None)
        ):
            raise RetryableRequestError(text, retry_after_s=wait_s)
        raise RequestError(f"{text}; {hints[status]}" if status in hints else text)

    def _elsewhere(self, response: requests.Response) -> Endpoint:
        """Where a redirect leads; the path and query of that URL are secret. Raises RequestError
        if that can't be used."""
        target = urljoin(response.url, response.headers.get("Location", ""))
        parts = urlsplit(target)
        if self._target.scheme == "https" and parts.scheme != "https":
            raise RequestError(f"{self.where} redirects to what is not https")
        try:
            return Endpoint(
                target,
                secrets={*self._secrets, parts.path, parts.query},
                timeout=timedelta(seconds=self._timeout_s),
                clock=self._clock,
                setting=f"where {self.where} redirects to",
            )
        except UsageError as error:
            raise RequestError(str(error)) from None

    def _excerpt(self, response: requests.Response) -> str:
        """The beginning of the answer's body, without secrets that it may repeat."""
        try:
            body = response.raw.read1(
                LONGEST_ANSWER
            )  # one read: an answer that drips can't hold us
        except (HTTPError, OSError):  # the status is enough
            return ""
        text = self.masked(body.decode("utf-8", "replace"))
        if text.lstrip().startswith("<"):  # a page
            text = self.masked(html.unescape(MARKUP.sub(" ", text)))
        return wording.plain(" ".join(text.split()), LONGEST_EXCERPT)

    def _failure(self, error: requests.RequestException) -> RequestError:
        if isinstance(error, requests.ConnectTimeout):
            return RetryableRequestError(
                f"{self.where} took no connection within {self._timeout_s:g} s"
            )
        if isinstance(error, requests.Timeout):
            return RetryableRequestError(
                f"{self.where} gave no answer within {self._timeout_s:g} s; it may have the message"
            )
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
            return RequestError(f"{self.where} has a certificate that does not verify")
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return RetryableRequestError(
                f"{self.where} could not be reached, or broke off ({reason(error)})"
            )
        return RequestError(f"{self.where} could not be asked: {type(error).__name__}")


def _body(response: requests.Response, most: int) -> bytes:
    """The beginning of a body, as far as it can be read."""
    try:
        body: bytes = response.raw.read(most)
    except (HTTPError, OSError):
        return b""
    return body


def _wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The wait that Retry-After asks for, or the X-RateLimit headers if nothing remains; None
    without either."""
    wait_s = retry_after(headers.get("Retry-After", ""), now_s)
    reset = headers.get("X-RateLimit-Reset", "")
    if (
        wait_s is None
        and headers.get("X-RateLimit-Remaining") == "0"
        and re.fullmatch(r"[0-9]{1,12}", reset)
    ):
        return max(0.0, float(reset) - now_s)
    return wait_s


def retry_after(text: str, now_s: float) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None if it is not
    usable."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())


def checked_url(url: str, setting: str = "url") -> SplitResult:
    """The parts of a usable URL; an error never shows the URL, which may be a secret. Raises
    UsageError."""
    try:
        target = urlsplit(url)
        port_is_usable = target.port != 0
    except ValueError:
        raise UsageError(f"{setting} is not a URL; write https://host/path") from None
    if target.scheme not in ("http", "https"):
        raise UsageError(
            f"{setting} starts with {wording.plain(target.scheme, 20) or 'no scheme'}; use http "
            "or https"
        )
    if target.hostname and not is_host(target.hostname):
        raise UsageError(
            f"{setting} names a host with a part that is empty or too long; write "
            f"{target.scheme}://host/path"
        )
    if not target.hostname or not port_is_usable:
        raise UsageError(
            f"{setting} names no {'host' if not target.hostname else 'port'}; write "
            f"{target.scheme}://host/path"
        )
    return target


def checked_base(url: str, setting: str = "url") -> SplitResult:
    """The parts of a usable URL to which paths are added. Raises UsageError."""
    target = checked_url(url, setting)
    if target.query or target.fragment:
        raise UsageError(
            f"{setting} has a query or a fragment; write the address alone, like "
            f"{target.scheme}://host:port"
        )
    return target


def checked_headers(headers: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """Headers as the checklist writes them, none of them in `own`. Raises UsageError."""
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise UsageError(
                f"headers: {wording.plain(name, 40)!r} is not a header's name; use letters, "
                "digits and -"
            )
        if not HEADER_VALUE.fullmatch(value):
            raise UsageError(
                f"headers: the value of {name} is empty, or holds a line end or a character "
                "beyond ASCII"
            )
    reserved = {name.lower() for name in own} | {"content-type", "content-length", "host"}
    if conflicts := sorted(name for name in headers if name.lower() in reserved):
        raise UsageError(f"headers: {', '.join(conflicts)} is set by the sink itself; leave it out")
    return dict(headers)


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(max_retries=0))
    return session


def _shown(target: SplitResult) -> str:
    """The scheme, host and port; the rest of a hook's URL is often its secret."""
    host = f"[{target.hostname}]" if ":" in (target.hostname or "") else target.hostname
    port = f":{target.port}" if target.port else ""
    return wording.plain(f"{target.scheme}://{host}{port}", 100)


def _credentials(
    target: SplitResult,
) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """The user and password of the URL, or none; a .netrc file is never read."""
    if target.username is None:
        return lambda request: request
    return requests.auth.HTTPBasicAuth(unquote(target.username), unquote(target.password or ""))


def _redirect(response: requests.Response) -> str:
    """The host a redirect leads to; the rest of its Location may be secret."""
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return f" to {wording.plain(host, 100)}" if host else ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and every error inside or behind it."""
    queue, visited = [error], set[int]()
    while queue:
        current = queue.pop()
        if id(current) in visited:
            continue
        visited.add(id(current))
        yield current
        queue += [
            cause
            for cause in (
                current.__cause__,
                current.__context__,
                getattr(current, "reason", None),
                *current.args,
            )
            if isinstance(cause, BaseException)
        ]


def reason(error: BaseException) -> str:
    """The innermost cause that the operating system or OpenSSL names; no part of the URL."""
    chain = [*causes(error)]
    reasons = [
        cause.strerror
        for cause in chain
        if isinstance(cause, OSError)
        and not isinstance(cause, requests.RequestException)
        and cause.strerror
    ]
    if any(getattr(cause, "reason", "") == NO_TLS for cause in chain):
        return "it speaks no TLS there; is http:// meant, or another port?"
    return wording.plain(str(reasons[-1]), LONGEST_EXCERPT) if reasons else type(chain[-1]).__name__
