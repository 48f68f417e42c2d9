"""Tells sinks, once for all of them: when a send is tried again, how long, and what becomes of one
that crashes.

| what a sink does | what happens |
|---|---|
| returns a receipt | delivered (or not, if the receipt says so) |
| raises RetryableSinkError (a timeout, 408, 425, 429, 5xx) | sent again, after any Retry-After |
| raises SinkError (any other 4xx, a disk that is full) | not told; asking again would not help |
| raises anything else | not told: the sink is broken |
| does not come back | not told, once the deadline has passed |

Each sink has a thread of its own, so that a dead one neither stops nor delays the others.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import timedelta

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from anomaly import wording
from anomaly.contracts import Message, Receipt, Sink
from anomaly.errors import RetryableSinkError, SinkError

LONGEST_DETAIL = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sink is asked: at most `attempts` times, and not beyond `deadline` after the
    first.

    The pause before attempt n + 1 is half to all of `first_pause` × 2ⁿ⁻¹, at most `longest_pause`;
    a Retry-After that is longer is kept to, up to `longest_retry_after`.
    """

    attempts: int = 5
    deadline: timedelta = timedelta(minutes=2)
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=30)
    longest_retry_after: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Post:
    """A message and the sink that is to have it, under the name that the checklist gives it."""

    name: str
    sink: Sink
    message: Message


def deliver(
    posts: Sequence[Post],
    *,
    patience: Patience = Patience(),
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
) -> tuple[Receipt, ...]:
    """Tells every sink its message, all at once, and says in the order of `posts` what became of
    it; never raises.

    `clock` counts seconds; `rng` draws the pauses. `redact` masks secrets in what sinks say;
    without it, of an error that is not a SinkError only the type is shown.
    """
    rng = rng or random.Random()  # noqa: S311  pauses, not secrets
    ends = (
        time.monotonic() + patience.deadline.total_seconds()
    )  # real seconds, also under another clock: threads run in them
    told = [
        (
            post.name,
            _start(
                _Telling(
                    post.name,
                    post.sink,
                    post.message,
                    patience,
                    redact,
                    sleep,
                    clock,
                    random.Random(rng.random()),  # noqa: S311
                )
            ),
        )
        for post in posts
    ]
    return tuple(_await(name, outcome, ends, patience.deadline) for name, outcome in told)


@dataclass(frozen=True, slots=True)
class _Telling:
    """One sink and all that is needed to tell it."""

    name: str
    sink: Sink
    message: Message
    patience: Patience
    redact: Callable[[str], str] | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    rng: random.Random

    def tell(self) -> Receipt:
        """The sink's receipt after as many attempts as its patience allows; never raises."""
        started = self.clock()
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableSinkError),
            wait=self._pause,
            stop=lambda state: self._is_over(state, started),
            before_sleep=self._log_retry,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            receipt = retrying(self.sink.send, self.message)
            told = Receipt(
                self.name, delivered=receipt.delivered, detail=self._masked(receipt.detail)
            )
        except SinkError as error:
            told = Receipt(
                self.name,
                delivered=False,
                detail=self._masked(str(error)),
                again=isinstance(error, RetryableSinkError),
            )
        except BaseException as error:  # noqa: BLE001  a plug-in that exits or crashes is one dead sink, not the end of the run
            told = Receipt(self.name, delivered=False, detail=self._crash(error))
        return replace(told, attempts=max(1, retrying.statistics["attempt_number"]))

    def _pause(self, state: RetryCallState) -> float:
        full = self.patience.first_pause.total_seconds() * 2.0 ** (state.attempt_number - 1)
        pause = min(full, self.patience.longest_pause.total_seconds()) * (1 + self.rng.random()) / 2
        error = _error_of(state)
        asked = (error.retry_after_s or 0.0) if isinstance(error, RetryableSinkError) else 0.0
        return max(pause, min(asked, self.patience.longest_retry_after.total_seconds()))

    def _is_over(self, state: RetryCallState, started: float) -> bool:
        waited = self.clock() - started + state.upcoming_sleep
        return (
            state.attempt_number >= self.patience.attempts
            or waited > self.patience.deadline.total_seconds()
        )

    def _log_retry(self, state: RetryCallState) -> None:
        why = self._masked(str(_error_of(state)))
        log.warning(
            "sink %s not told: %s; trying again in %.1f s",
            wording.plain(self.name, LONGEST_DETAIL),
            why,
            state.upcoming_sleep,
        )

    def _masked(self, text: str) -> str:
        return wording.plain(self.redact(text) if self.redact else text, LONGEST_DETAIL)

    def _crash(self, error: BaseException) -> str:
        said = f": {error}" if self.redact and str(error) else ""
        return self._masked(f"the sink is broken: {type(error).__name__}{said}")


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _start(telling: _Telling) -> Future[Receipt]:
    outcome: Future[Receipt] = Future()

    def run() -> None:
        outcome.set_result(telling.tell())

    try:  # a daemon: a sink that never comes back must not keep the process alive
        threading.Thread(target=run, name=f"sink {telling.name}", daemon=True).start()
    except RuntimeError:  # no thread to be had; better one after the other than not at all
        run()
    return outcome


def _await(name: str, outcome: Future[Receipt], ends: float, deadline: timedelta) -> Receipt:
    try:
        return outcome.result(timeout=max(0.0, ends - time.monotonic()))
    except TimeoutError:
        detail = f"no answer within {deadline.total_seconds():.0f} s; it may have been told"
        return Receipt(name, delivered=False, detail=detail, again=True)
