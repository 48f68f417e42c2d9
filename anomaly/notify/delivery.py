"""Sends messages to sinks: when to try again, for how long, and what if a sink crashes.

| the sink | what happens |
|---|---|
| returns a receipt | delivered (or not, if the receipt says so) |
| raises RetryableSinkError (a timeout, 408, 425, 429, 5xx) | sent again, after any Retry-After |
| raises SinkError (any other 4xx, a full disk) | not delivered; another attempt would not help |
| raises anything else | not delivered: the sink is broken |
| does not return | not delivered, once the deadline has passed |

Each sink has a thread of its own, so a dead one neither stops nor delays the others.
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
from typing import TYPE_CHECKING

from anomaly import wording
from anomaly.contracts import Message, Receipt, Sink
from anomaly.errors import RetryableSinkError, SinkError

if TYPE_CHECKING:
    from tenacity import RetryCallState

LONGEST_DETAIL = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a message is tried: at most `attempts` times, and not beyond `deadline` after the
    first.

    The pause before attempt n + 1 is half to all of `first_pause` × 2ⁿ⁻¹, at most `longest_pause`;
    a longer Retry-After is obeyed up to `longest_retry_after`.
    """

    attempts: int = 5
    deadline: timedelta = timedelta(minutes=2)
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=30)
    longest_retry_after: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its sink, and the sink's name in the checklist."""

    name: str
    sink: Sink
    message: Message


def deliver(
    envelopes: Sequence[Envelope],
    *,
    retry_policy: RetryPolicy = RetryPolicy(),
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
) -> tuple[Receipt, ...]:
    """Send all messages at once; the receipts are in the order of `envelopes`. Never raises.

    `clock` counts seconds; `rng` draws the pauses. `redact` masks secrets in the answers of sinks;
    without it, only the type of an error that is not a SinkError is shown.
    """
    rng = rng or random.Random()  # noqa: S311  pauses, not secrets
    # real seconds, whatever `clock` says: the threads run in them
    end = time.monotonic() + retry_policy.deadline.total_seconds()
    outcomes = []
    for envelope in envelopes:
        pauses = random.Random(rng.random())  # noqa: S311
        delivery = _Delivery(envelope, retry_policy, redact, sleep, clock, pauses)
        outcomes.append((envelope.name, _start(delivery)))
    return tuple(_await(name, outcome, end, retry_policy.deadline) for name, outcome in outcomes)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One message and everything that is needed to send it."""

    envelope: Envelope
    retry_policy: RetryPolicy
    redact: Callable[[str], str] | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    rng: random.Random

    def send(self) -> Receipt:
        """The receipt after as many attempts as the policy allows; never raises."""
        from tenacity import Retrying, retry_if_exception_type  # dear, and many runs tell nobody

        name, start = self.envelope.name, self.clock()
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableSinkError),
            wait=self._pause,
            stop=lambda state: self._is_over(state, start),
            before_sleep=self._log_retry,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            answer = retrying(self.envelope.sink.send, self.envelope.message)
            detail = self._masked(answer.detail)
            receipt = Receipt(name, delivered=answer.delivered, detail=detail, thread=answer.thread)
        except SinkError as error:
            again = isinstance(error, RetryableSinkError)
            receipt = Receipt(name, delivered=False, detail=self._masked(str(error)), again=again)
        except BaseException as error:  # noqa: BLE001  a plug-in that exits or crashes is one dead sink, not the end of the run
            receipt = Receipt(name, delivered=False, detail=self._crash(error))
        return replace(receipt, attempts=max(1, retrying.statistics["attempt_number"]))

    def _pause(self, state: RetryCallState) -> float:
        policy, error = self.retry_policy, _error_of(state)
        full = policy.first_pause.total_seconds() * 2.0 ** (state.attempt_number - 1)
        pause = min(full, policy.longest_pause.total_seconds()) * (1 + self.rng.random()) / 2
        wait = (error.retry_after_s or 0.0) if isinstance(error, RetryableSinkError) else 0.0
        return max(pause, min(wait, policy.longest_retry_after.total_seconds()))

    def _is_over(self, state: RetryCallState, start: float) -> bool:
        waited = self.clock() - start + state.upcoming_sleep
        return (
            state.attempt_number >= self.retry_policy.attempts
            or waited > self.retry_policy.deadline.total_seconds()
        )

    def _log_retry(self, state: RetryCallState) -> None:
        log.warning(
            "sink %s not told: %s; trying again in %.1f s",
            wording.plain(self.envelope.name, LONGEST_DETAIL),
            self._masked(str(_error_of(state))),
            state.upcoming_sleep,
        )

    def _masked(self, text: str) -> str:
        return masked(text, self.redact)

    def _crash(self, error: BaseException) -> str:
        text = f": {error}" if self.redact and str(error) else ""
        return self._masked(f"the sink is broken: {type(error).__name__}{text}")


def masked(text: str, redact: Callable[[str], str] | None) -> str:
    """What is kept and shown of a sink's answer."""
    return wording.plain(redact(text) if redact else text, LONGEST_DETAIL)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _start(delivery: _Delivery) -> Future[Receipt]:
    outcome: Future[Receipt] = Future()

    def run() -> None:
        outcome.set_result(delivery.send())

    try:  # a daemon: a sink that never returns must not keep the process alive
        threading.Thread(target=run, name=f"sink {delivery.envelope.name}", daemon=True).start()
    except RuntimeError:  # the system has no thread left; one after the other is better than none
        run()
    return outcome


def _await(name: str, outcome: Future[Receipt], end: float, deadline: timedelta) -> Receipt:
    try:
        return outcome.result(timeout=max(0.0, end - time.monotonic()))
    except TimeoutError:
        detail = f"no answer within {deadline.total_seconds():.0f} s; it may have the message"
        return Receipt(name, delivered=False, detail=detail, again=True)
