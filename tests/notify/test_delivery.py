from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from anomaly.contracts import Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError
from anomaly.notify.delivery import LONGEST_DETAIL, Envelope, RetryPolicy, deliver
from tests.support import reports

REPORT = reports.failing()
MESSAGE = Message("k", REPORT)
BUSY = RetryableSinkError("busy")
TOLD = Receipt("its own name", delivered=True, detail="fine")
CANARY = "c4nary-s3cret"


@dataclass
class Scripted:
    """A sink that does, send by send, what it is told; the last for ever."""

    script: list[Receipt | BaseException]
    told: list[Message] = field(default_factory=list)

    def send(self, message: Message, /) -> Receipt:
        self.told.append(message)
        does = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(does, BaseException):
            raise does
        return does


@dataclass
class Time:
    """A clock that only sleeping moves; `per_send` is what a send takes."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def tell(
    sink: Scripted,
    time: Time,
    retry_policy: RetryPolicy | None = None,
    redact: Callable[[str], str] | None = None,
) -> Receipt:
    rng = random.Random(7)
    return deliver(
        [Envelope("hook", sink, MESSAGE)],
        retry_policy=retry_policy or RetryPolicy(),
        redact=redact,
        sleep=time.sleep,
        clock=time.clock,
        rng=rng,
    )[0]


@pytest.mark.parametrize(
    ("script", "attempts", "delivered", "detail"),
    [
        ([TOLD], 1, True, "fine"),
        ([BUSY, BUSY, BUSY, TOLD], 4, True, "fine"),
        ([BUSY], 5, False, "busy"),
        ([SinkError("refused")], 1, False, "refused"),
        ([BUSY, SinkError("refused")], 2, False, "refused"),
        ([Receipt("x", delivered=False, detail="not mine")], 1, False, "not mine"),
        ([ValueError(CANARY)], 1, False, "the sink is broken: ValueError"),
        ([BUSY, ValueError(CANARY)], 2, False, "the sink is broken: ValueError"),
        ([SystemExit(0)], 1, False, "the sink is broken: SystemExit"),
        ([KeyboardInterrupt()], 1, False, "the sink is broken: KeyboardInterrupt"),
        ([None], 1, False, "the sink is broken: AttributeError"),
    ],
    ids=[
        "told",
        "at last",
        "always busy",
        "refused",
        "refused later",
        "says no",
        "crash",
        "crash later",
        "exit",
        "interrupt",
        "no receipt",
    ],
)
def test_what_a_sink_does_decides_how_often_it_is_told(
    script: list[Receipt | BaseException],
    attempts: int,
    delivered: bool,
    detail: str,
) -> None:
    sink, time = Scripted(script), Time()
    receipt = tell(sink, time)
    again = not delivered and detail == "busy"
    assert receipt == Receipt(
        "hook", delivered=delivered, detail=detail, attempts=attempts, again=again
    )
    assert len(sink.told) == attempts
    assert len(time.slept) == attempts - 1


def test_every_attempt_carries_the_same_message() -> None:
    sink = Scripted([BUSY, BUSY, TOLD])
    tell(sink, Time())
    assert {id(message) for message in sink.told} == {id(sink.told[0])}
    assert sink.told[0] == Message("k", REPORT)


def test_pauses_grow_with_jitter() -> None:
    time = Time()
    tell(Scripted([BUSY]), time)
    for pause, full in zip(time.slept, (1, 2, 4, 8), strict=True):
        assert full / 2 <= pause <= full
    assert time.slept != [1, 2, 4, 8]


def test_the_same_randomness_gives_the_same_pauses() -> None:
    first, second = Time(), Time()
    tell(Scripted([BUSY]), first)
    tell(Scripted([BUSY]), second)
    assert first.slept == second.slept


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(5.0, 5, 5), (99999.0, 60, 60), (0.0, 0.5, 1), (None, 0.5, 1), (-3.0, 0.5, 1)],
)
def test_retry_after_is_kept_to_up_to_a_cap(asked: float | None, least: float, most: float) -> None:
    time = Time()
    receipt = tell(Scripted([RetryableSinkError("later", retry_after_s=asked), TOLD]), time)
    assert receipt.delivered
    assert least <= time.slept[0] <= most


def test_no_attempt_begins_after_the_deadline() -> None:
    time = Time()
    receipt = tell(Scripted([RetryableSinkError("later", retry_after_s=50)]), time)
    assert (receipt.attempts, time.slept) == (3, [50, 50])


def test_a_dead_sink_neither_stops_nor_delays_a_healthy_one() -> None:
    healthy_was_told = threading.Event()

    class Dead:
        def send(self, _message: Message, /) -> Receipt:
            assert healthy_was_told.wait(60)
            raise SinkError("dead")

    class Healthy:
        def send(self, _message: Message, /) -> Receipt:
            healthy_was_told.set()
            return TOLD

    receipts = deliver([Envelope("dead", Dead(), MESSAGE), Envelope("healthy", Healthy(), MESSAGE)])
    assert [(receipt.sink, receipt.delivered, receipt.detail) for receipt in receipts] == [
        ("dead", False, "dead"),
        ("healthy", True, "fine"),
    ]


def test_a_sink_that_does_not_come_back_is_given_up_at_the_deadline() -> None:
    over = threading.Event()

    class Hanging:
        def send(self, _message: Message, /) -> Receipt:
            over.wait()
            return TOLD

    receipts = deliver(
        [Envelope("hanging", Hanging(), MESSAGE)],
        retry_policy=RetryPolicy(deadline=timedelta(seconds=0.05)),
    )
    over.set()
    assert not receipts[0].delivered
    assert "it may have the message" in receipts[0].detail


def test_without_threads_sinks_are_told_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert [
        receipt.delivered
        for receipt in deliver([Envelope(name, Scripted([TOLD]), MESSAGE) for name in "ab"])
    ] == [True, True]


def test_nobody_to_tell_is_no_receipt() -> None:
    assert deliver([]) == ()


def test_what_a_sink_says_is_redacted_wherever_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    def redact(text: str) -> str:
        return text.replace(CANARY, "***")

    script: list[Receipt | BaseException] = [
        RetryableSinkError(f"busy {CANARY}"),
        ValueError(f"url https://x/{CANARY}"),
    ]
    with caplog.at_level(logging.DEBUG):
        crashed = tell(Scripted(script), Time(), redact=redact)
        refused = tell(Scripted([SinkError(f"no {CANARY}")]), Time(), redact=redact)
        told = tell(Scripted([replace(TOLD, detail=CANARY)]), Time(), redact=redact)
    assert crashed.detail == "the sink is broken: ValueError: url https://x/***"
    assert (refused.detail, told.detail) == ("no ***", "***")
    assert "busy ***" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_hostile_details_become_one_short_line(text: str) -> None:
    for receipt in (
        tell(Scripted([SinkError(text)]), Time()),
        tell(Scripted([replace(TOLD, detail=text)]), Time()),
    ):
        assert receipt.detail.isprintable()
        assert len(receipt.detail) <= LONGEST_DETAIL
