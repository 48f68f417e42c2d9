"""What sources share that are asked over HTTP: how long all of their answers may take, what is
asked again, and the errors."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.errors import (
    CollectError,
    RequestError,
    RetryableCollectError,
    RetryableRequestError,
    UsageError,
)
from anomaly.http.endpoint import LONGEST_BODY, Answer, Endpoint
from anomaly.wording import plain

LOG = logging.getLogger(__name__)
ATTEMPTS = 4
LONGEST_SAID = 200  # characters of what a server says
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class HttpSource:
    """A source at an endpoint; all that is asked after `begin` ends within the budget. Raises
    UsageError for a budget that can't be used."""

    outside: ClassVar[frozenset[str]] = frozenset({"sleep", "monotonic"})
    throttled: ClassVar[re.Pattern[str] | None] = None  # in an answer: it may pass
    ask_less: ClassVar[str] = "ask for fewer series in the query"

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        budget: timedelta,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if budget <= timedelta(0):
            raise UsageError(f"budget is {budget}; it must be longer than zero")
        self._endpoint, self._budget = endpoint, budget
        self._sleep, self._monotonic = sleep, monotonic
        self._ends = math.inf

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.where})"

    def begin(self) -> None:
        """The budget counts from now."""
        self._ends = self._monotonic() + self._budget.total_seconds()

    @property
    def left_s(self) -> float:
        """What is left of the budget."""
        return max(0.0, self._ends - self._monotonic())

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        hints: Mapping[int, str] | None = None,
        decode: Callable[[bytes], Any] = json.loads,
        passing: Callable[[Any], str] = lambda _: "",
        follow: bool = False,
    ) -> Any:
        """The JSON of an answer, asked for again after what may pass: by its status, or because
        `passing` finds an error in it. `decode` raises ValueError for what is no JSON; `follow` is
        that of `Endpoint.ask`. Raises CollectError."""
        if not self.left_s:
            raise RetryableCollectError(
                f"unavailable: {self._endpoint.where}: the time for this source is used up"
            )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._once(method, path, body, headers, hints, follow=follow)
                if len(answer.body) >= LONGEST_BODY:
                    raise CollectError(
                        f"limit: {self._endpoint.where} answered more than "
                        f"{LONGEST_BODY >> 20} MiB; {self.ask_less}"
                    )
                content = decode(answer.body)
                if not (problem := passing(content)):
                    return content
                raise RetryableRequestError(problem)  # noqa: TRY301  handled like its status
            except RetryableRequestError as error:
                retry_after_s = error.retry_after_s
                pause = min(
                    FIRST_PAUSE_S * 2 ** (attempt - 1) if retry_after_s is None else retry_after_s,
                    LONGEST_PAUSE_S,
                )
                if attempt == ATTEMPTS or pause >= self.left_s:
                    raise RetryableCollectError(
                        f"unavailable: {error} (asked {attempt} times)", retry_after_s=retry_after_s
                    ) from None
                LOG.info("%s; asking again in %.1f s", error, pause)
                self._sleep(pause)
            except RequestError as error:
                raise CollectError(str(error)) from None
            except (ValueError, RecursionError):
                raise CollectError(
                    f"unreadable: {self._endpoint.where} answered {len(answer.body):,} bytes that "
                    "are no JSON, or cut off; is url that of the API?"
                ) from None
        raise AssertionError("the last attempt returns or raises")

    def said(self, words: object) -> str:
        """What a server says, short and without the secrets that it may repeat."""
        return plain(" ".join(self._endpoint.masked(str(words)).split()), LONGEST_SAID)

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        hints: Mapping[int, str] | None,
        *,
        follow: bool,
    ) -> Answer:
        try:
            return self._endpoint.ask(
                method, body, headers, path=path, hints=hints, read=True, follow=follow
            )
        except RetryableRequestError:
            raise
        except RequestError as error:
            if self.throttled is not None and self.throttled.search(str(error)):
                raise RetryableRequestError(str(error)) from None
            raise
