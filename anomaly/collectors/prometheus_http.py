"""Range queries to a Prometheus API over HTTP: complete, in bounded time and memory, or an error.

prometheus-api-client writes the request and unwraps the answer (`custom_query_range`); the
`requests` session that it sends it by is ours. By itself the library (0.7.2) has no deadline,
multiplies a timeout by its retries, drops `warnings`, follows redirects, and fails in five
unrelated ways, one of them a KeyError. The session below it can be given all of that once:

- a deadline on the whole answer, headers included, so that a byte a second does not last for ever
- a limit on the decompressed size
- no redirect, no link-local or metadata address, no credentials from `.netrc`, and no URL in the
  log of urllib3
- a query in the body of a POST, which no limit on the length of an address cuts off
- any answer that is not a complete, successful matrix raises

`Api.ask` adds the one place where a request is repeated: later, as GET, or in pieces. Every error
is a CollectError that starts with its `Fault`; those that may pass (unavailable) are
RetryableCollectErrors. No text holds a secret.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3 import Retry, Timeout
from urllib3.exceptions import ReadTimeoutError

from anomaly.collectors.prometheus_access import Access
from anomaly.collectors.prometheus_answer import content_of
from anomaly.errors import CollectError, RetryableCollectError
from anomaly.http.endpoint import reason, retry_after
from anomaly.http.transport import QUIET, DeadlineAdapter, MetadataAddressError, refuse_metadata
from anomaly.redaction import Redactor

LOG = logging.getLogger(__name__)

ATTEMPTS = 4
# between attempts; a Retry-After beyond the longest is not believed
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_WAIT_S = 1e9  # that is kept of what a server asks for
POST, GET = "POST", "GET"
PIECE = 65_536  # bytes read at once
LONGEST_SAID = 200  # characters of an answer that are shown
TOO_MUCH = re.compile(  # Prometheus, Mimir, Thanos and VictoriaMetrics on a limit
    r"\btoo (many|long|large|big|wide|much)\b|\bexceed|\blimit|\bmaximum\b|\b(more|longer) than\b",
    re.IGNORECASE,
)
NO_QUERY = re.compile(  # Prometheus and VictoriaMetrics on what is none, which may be repeated
    r"parse error|unexpected token|unparsed"
)
ADVICE = ("PromQL info:", "PromQL warning:")  # about the query; the answer is complete
MOST_ADVICE = 3  # of one answer that is kept
NO_API = "unsupported path requested"  # VictoriaMetrics, with status 400
MALFORMED, UNPROCESSABLE, TOO_LARGE = 400, 422, 413


class Fault(StrEnum):
    """What kept an answer from being used."""

    AUTH = "auth"
    BAD_QUERY = "bad query"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    PARTIAL = "partial"
    UNREADABLE = "unreadable"


FAULT_OF_STATUS = {
    401: Fault.AUTH,
    403: Fault.AUTH,
    407: Fault.AUTH,
    414: Fault.LIMIT,
    431: Fault.LIMIT,
}
FAULT_OF_TYPE = {
    "bad_data": Fault.BAD_QUERY,
    "execution": Fault.BAD_QUERY,
    "unauthorized": Fault.AUTH,
    "too_many_requests": Fault.LIMIT,
}
PASSING = frozenset({408, 425, 429})  # besides all of 5xx
NO_METHOD = frozenset({405, 411, 415, 501})
NO_POST = NO_METHOD | {400, 403, 404}  # what a proxy that lets only GET pass may answer


class _TooLateError(RetryableCollectError):
    """The deadline passed; asking the same again at once would only take as long."""


class RefusedError(CollectError):
    """The server does not take this query: it is malformed or asks for too much."""


class _TooMuchError(RefusedError):
    """The server does not take a query over so many moments, or of so many samples, or we do not
    take so large an answer."""


class _MethodError(CollectError):
    """A POST that may have been refused for being one, with `status`; `error` is what it says."""

    def __init__(self, status: int, error: CollectError) -> None:
        super().__init__(str(error))
        self.status, self.error = status, error


class Answer(list[Any]):
    """The series of an answer, `{"metric": {…}, "values": [[seconds, "1.5"], …]}`, as the API
    writes them, or with an array of such rows; in `notes`, what the server says of the query."""

    def __init__(self, series: Iterable[Any] = (), notes: Iterable[str] = ()) -> None:
        super().__init__(series)
        self.notes = tuple(dict.fromkeys(notes))


@dataclass(frozen=True, slots=True)
class Question:
    """A range query at moments from `start` to `end` (UTC, whole seconds), both included, `step_s`
    apart."""

    query: str
    start: datetime
    end: datetime
    step_s: int

    @property
    def moments(self) -> int:
        """How many moments are asked for."""
        return int((self.end - self.start) / timedelta(seconds=self.step_s)) + 1

    def pieces(self, most: int) -> Iterator[Question]:
        """The same question about at most so many moments at once."""
        step = timedelta(seconds=self.step_s)
        for first in range(0, self.moments, most):
            last = min(first + most, self.moments) - 1
            yield replace(self, start=self.start + first * step, end=self.start + last * step)


@dataclass(slots=True)
class Found:
    """About how many moments at once a query was answered at last, where it was too many before:
    `most`. Mutable, for it is found by asking."""

    most: int | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """Time, chance and sleep."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Budget:
    """The seconds that all questions of one collection have together."""

    ends: float
    monotonic: Callable[[], float]

    def left(self) -> float:
        return self.ends - self.monotonic()


class Api:
    """The query API under `access.url`; `timeout_s` is for one answer, `max_bytes` its decompressed
    size. Thread-safe."""

    def __init__(
        self,
        access: Access,
        *,
        timeout_s: float,
        max_bytes: int,
        connections: int,
        outside: Outside,
    ) -> None:
        self._access, self._timeout_s, self._outside = access, timeout_s, outside
        self._session = session = _Session(access, max_bytes, outside.now)
        self._by = {
            method: PrometheusConnect(
                access.url, session=session, retry=Retry(0, redirect=False), method=method
            )
            for method in (POST, GET)
        }
        self._method: str | None = None  # the one that the server takes, once that is known
        session.mount(
            access.url, DeadlineAdapter(pool_maxsize=connections, max_retries=0)
        )  # replaces what PrometheusConnect mounted

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells the server, and the tenant there, apart from others; no secret."""
        return self._access.identity

    @property
    def clock_skew(self) -> timedelta | None:
        """How far the server's clock is ahead, by the Date of its last answer (whole seconds); None
        if it named none."""
        return self._session.clock_skew

    def ask(self, question: Question, budget: Budget, found: Found | None = None) -> Answer:
        """The answer; a question that is too large is asked in shorter pieces, as long as was
        `found` for its query so far."""
        series: list[Any] = []
        notes: list[str] = []
        found = found or Found()
        most = found.most or question.moments
        todo = deque(question.pieces(most))
        while todo:
            piece = todo.popleft()
            try:
                answer = self._patient(piece, budget)
            except _TooMuchError as error:
                if piece.moments == 1:
                    raise
                most = (piece.moments + 1) // 2
                LOG.info("%s; asking for %d moments at once", error, most)
                todo = deque(part for each in (piece, *todo) for part in each.pieces(most))
            else:
                series += answer
                notes += answer.notes
                if most < question.moments:
                    found.most = min(most, found.most or most)
        return Answer(series, notes)

    def _patient(self, question: Question, budget: Budget) -> Answer:
        """The answer, asked for again after an error that may pass."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._by_a_method_it_takes(question, budget)
            except _TooLateError:
                raise
            except RetryableCollectError as error:
                pause = self._pause(attempt, error.retry_after_s)
                if attempt == ATTEMPTS or pause >= budget.left():
                    raise RetryableCollectError(
                        f"{error} (asked {attempt} times)", retry_after_s=error.retry_after_s
                    ) from None
                LOG.info("%s; asking again in %.1f s", error, pause)
                self._outside.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _by_a_method_it_takes(self, question: Question, budget: Budget) -> Answer:
        """The answer to a POST or, where the server or a proxy before it takes none, to a GET."""
        if self._method is not None:
            return self._once(self._method, question, budget)
        try:
            answer = self._once(POST, question, budget)
        except _MethodError as refused:
            try:
                answer = self._once(GET, question, budget)
            except RetryableCollectError:
                raise
            except CollectError as error:
                if refused.status not in NO_METHOD:
                    raise refused.error from None
                raise type(error)(f"{error} (a POST was answered {refused.status})") from None
            self._method = GET
            LOG.info("%s; asking by GET from now on", refused)
        else:
            self._method = POST
        return answer

    def _once(self, method: str, question: Question, budget: Budget) -> Answer:
        seconds = min(self._timeout_s, budget.left())
        if seconds <= 0:
            raise _TooLateError(
                f"{Fault.UNAVAILABLE}: {self._access.where}: the time for this source is used up"
            )
        start = self._outside.monotonic()
        answer: Answer = self._by[method].custom_query_range(
            question.query,
            start_time=question.start,
            end_time=question.end,
            step=str(question.step_s),
            params={
                "timeout": f"{math.ceil(seconds * 1000)}ms"
            },  # for the server to stop working as well
            # # requests takes urllib3's Timeout as well as a number
            timeout=Timeout(total=seconds),  # type: ignore[arg-type]
        )
        took = self._outside.monotonic() - start
        LOG.debug(
            "%s: %s from %s: %d series in %.2f s",
            self._access.where,
            question.query,
            question.start,
            len(answer),
            took,
        )
        return answer

    def _pause(self, attempt: int, asked_s: float | None) -> float:
        """Seconds until the next attempt: what the server asked for and a little, else doubling
        with jitter."""
        jitter = self._outside.chance()
        if asked_s is not None:
            return min(asked_s, LONGEST_PAUSE_S) + jitter * FIRST_PAUSE_S
        return float(FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + jitter))


class _Complete(requests.Response):
    """A checked answer, in the form that prometheus-api-client reads."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__()
        self.status_code = int(requests.codes.ok)
        self._checked = content

    def json(self, **_: Any) -> Mapping[str, Any]:
        return self._checked


class _Session(requests.Session):
    """Sends a request and returns a _Complete answer, or raises CollectError."""

    def __init__(self, access: Access, max_bytes: int, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._access, self._max_bytes, self._now = access, max_bytes, now
        self.clock_skew: timedelta | None = None
        self.auth = access.sign  # never None, or requests would look into .netrc
        self.headers.update({"User-Agent": "anomaly", "Accept-Encoding": "gzip", **access.headers})
        self.verify = True if access.ca_file is None else str(access.ca_file)
        if access.cert_file is not None:
            self.cert = (
                str(access.cert_file)
                if access.key_file is None
                else (str(access.cert_file), str(access.key_file))
            )

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.Response:
        kwargs["params"] = {**self._access.parameters, **kwargs["params"]}
        if method == POST:  # the library puts the query into the address all the same
            kwargs["data"] = kwargs.pop("params")
        try:
            refuse_metadata(self._access.host)
            with (
                QUIET,
                super().request(
                    method, url, *args, **{**kwargs, "stream": True, "allow_redirects": False}
                ) as response,
            ):
                date = _date(response.headers.get("Date", ""))
                self.clock_skew = None if date is None else date - self._now()
                body = self._body(response)
                try:
                    return self._checked(response, body)
                except CollectError as error:
                    if (
                        method == POST
                        and response.status_code in NO_POST
                        and not isinstance(error, _TooMuchError)
                    ):
                        raise _MethodError(response.status_code, error) from None
                    raise
        except MetadataAddressError:
            raise self._error(
                Fault.UNAVAILABLE, "is a link-local or metadata address, which is never asked"
            ) from None
        except requests.RequestException as error:
            raise self._broken(error) from None  # its text and its causes hold the URL
        except OSError:  # from requests, before it connects
            raise self._error(
                Fault.UNAVAILABLE,
                "was not queried: ca_file, cert_file or key_file can't be read any more",
            ) from None
        except CollectError:
            raise
        except Exception as error:  # noqa: BLE001  a library's words may hold the token, which nobody else knows: it came from a file
            raise self._error(
                Fault.UNREADABLE, f"the exchange failed ({type(error).__name__})"
            ) from None

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, or `requests` would read the whole body of a redirect, even of one that it does not
        follow."""

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for piece in response.iter_content(PIECE):
            body += piece
            if len(body) > self._max_bytes:
                text = self._text(
                    Fault.LIMIT,
                    f"the answer is larger than {self._max_bytes:,} bytes; ask for fewer "
                    "series or a longer step, or raise max_bytes",
                )
                is_answer = response.status_code == requests.codes.ok
                raise _TooMuchError(text) if is_answer else RefusedError(text)
        return bytes(body)

    def _checked(self, response: requests.Response, body: bytes) -> _Complete:
        if response.status_code != requests.codes.ok:
            raise self._refused(response, body)
        try:
            content = content_of(body)
        except (ValueError, RecursionError):
            raise self._no_json(response, body) from None
        if not isinstance(content, dict) or content.get("status") not in {"success", "error"}:
            raise self._error(
                Fault.UNREADABLE, f"answered JSON that is not of a Prometheus API: {_excerpt(body)}"
            )
        if content["status"] == "error":
            raise self._reported(content, body)
        notes = self._advice(content)
        data = content.get("data")
        if (
            not isinstance(data, dict)
            or data.get("resultType") != "matrix"
            or not isinstance(data.get("result"), list)
        ):
            raise self._error(Fault.UNREADABLE, f"answered no matrix: {_excerpt(body)}")
        return _Complete({"data": {"result": Answer(data["result"], notes)}})

    def _advice(self, content: Mapping[str, Any]) -> list[str]:
        """What the server says of the query, as notes. Raises CollectError if it says that parts of
        the answer are missing."""
        warnings = [text for key in ("warnings", "infos") for text in _texts(content.get(key))]
        advice = [text for text in warnings if text.startswith(ADVICE)]
        doubts = [text for text in _texts(content.get("warnings")) if text not in advice]
        if content.get("isPartial") is True:
            doubts.append("isPartial")
        if doubts:
            raise self._error(
                Fault.PARTIAL, f"answered with a warning: {_plain('; '.join(doubts))}"
            )
        return [self._masked(_plain(text)) for text in advice[:MOST_ADVICE]]

    def _refused(self, response: requests.Response, body: bytes) -> CollectError:
        status, excerpt = response.status_code, _excerpt(body)
        outcome = f"answered {status}: {excerpt}" if excerpt else f"answered {status}"
        if status in PASSING or status >= requests.codes.server_error:
            return self._error(
                Fault.UNAVAILABLE, outcome, passing=True, retry_after_s=self._retry_after(response)
            )
        if response.is_redirect:  # not followed, and its body not shown, for it repeats the address
            return self._error(
                Fault.UNAVAILABLE,
                f"answered {status}, a redirect to {_origin(response)}; set url to the API itself",
            )
        if status == requests.codes.not_found or NO_API in excerpt:
            return self._error(
                Fault.UNAVAILABLE, f"{outcome}; there is no /api/v1/query_range under url"
            )
        if status in {MALFORMED, UNPROCESSABLE, TOO_LARGE}:
            return self._too_much_or_bad(outcome, status)
        fault = FAULT_OF_STATUS.get(status, Fault.UNAVAILABLE)
        if fault is Fault.AUTH:
            outcome += (
                "; the credentials of this source are not accepted"
                if self._access.is_signed
                else "; set bearer_token, username and password, or headers"
            )
        return self._error(fault, outcome)

    def _too_much_or_bad(self, text: str, status: int) -> CollectError:
        if status == TOO_LARGE or (TOO_MUCH.search(text) and not NO_QUERY.search(text)):
            return _TooMuchError(self._text(Fault.LIMIT, text))
        return self._error(Fault.BAD_QUERY, text)

    def _no_json(self, response: requests.Response, body: bytes) -> CollectError:
        if "html" in response.headers.get("Content-Type", "").lower() or body.lstrip().startswith(
            b"<"
        ):
            return self._error(
                Fault.AUTH,
                f"answered with a page instead of JSON, maybe to log in: {_excerpt(body)}",
            )
        return self._error(
            Fault.UNAVAILABLE,
            f"answered JSON that is broken or cut off after {len(body):,} bytes",
            passing=True,
        )

    def _reported(self, content: Mapping[str, Any], body: bytes) -> CollectError:
        """An error told with status 200, as some proxies do."""
        fault = FAULT_OF_TYPE.get(str(content.get("errorType")), Fault.UNAVAILABLE)
        text = f"answered an error: {_excerpt(body)}"
        if fault is Fault.BAD_QUERY:
            return self._too_much_or_bad(text, MALFORMED)
        return self._error(fault, text, passing=fault is Fault.UNAVAILABLE)

    def _broken(self, error: requests.RequestException) -> CollectError:
        if isinstance(error, requests.Timeout) or any(
            isinstance(cause, ReadTimeoutError) for cause in error.args
        ):
            return _TooLateError(
                self._text(Fault.UNAVAILABLE, "no complete answer within the deadline")
            )
        if isinstance(error, requests.exceptions.SSLError):
            return self._error(
                Fault.UNAVAILABLE,
                (
                    f"no trusted TLS connection ({reason(error)}); are url, ca_file, cert_file "
                    "and key_file right?"
                ),
            )
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return self._error(
                Fault.UNAVAILABLE, f"the connection failed ({reason(error)})", passing=True
            )
        return self._error(Fault.UNREADABLE, f"the exchange failed ({type(error).__name__})")

    def _retry_after(self, response: requests.Response) -> float | None:
        """The seconds of a Retry-After header, which may be a date; None without one that can be
        understood."""
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text), LONGEST_WAIT_S)
        return retry_after(text, self._now().timestamp())

    def _error(
        self, fault: Fault, text: str, *, passing: bool = False, retry_after_s: float | None = None
    ) -> CollectError:
        message = self._text(fault, text)
        if passing:
            return RetryableCollectError(message, retry_after_s=retry_after_s)
        return (
            RefusedError(message)
            if fault in {Fault.BAD_QUERY, Fault.LIMIT}
            else CollectError(message)
        )

    def _text(self, fault: Fault, text: str) -> str:
        return f"{fault}: {self._access.where} {self._masked(text)}"

    def _masked(self, text: str) -> str:
        return Redactor(self._access.secrets).text(text)


def _texts(value: Any) -> list[str]:
    """The texts of a list, or the one text that stands in its place."""
    return [str(text) for text in value] if isinstance(value, list) else [str(value)] * bool(value)


def _date(text: str) -> datetime | None:
    """The moment of an HTTP date; None if it can't be understood."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _excerpt(body: bytes) -> str:
    """The error that the body reports, or its beginning, on one short line."""
    text = body[:PIECE].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError, IndexError):
        text = json.loads(body)["error"]
    return _plain(str(text))


def _plain(text: str) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= LONGEST_SAID else f"{line[:LONGEST_SAID]}…"


def _origin(response: requests.Response) -> str:
    """Where a redirect leads, without path and query, which may hold a secret."""
    try:
        target = urlsplit(response.headers.get("Location", ""))
        host = target.hostname
    except ValueError:
        return "an address that can't be read"
    return _plain(f"{target.scheme}://{host}") if host else "another path"
