"""What sinks are told: reasons are read from any history, and good news is good news to all."""

from __future__ import annotations

import pytest

from anomaly.contracts import Message, NotifyReason
from anomaly.wording import shortened
from tests.sinks.messages import MESSAGES


@pytest.mark.parametrize("reason", NotifyReason)
def test_a_reason_is_read_back_from_its_text(reason: NotifyReason) -> None:
    assert NotifyReason.of(str(reason)) is reason


def test_a_reason_that_this_version_lacks_is_unknown() -> None:
    assert NotifyReason.of("later reason") is NotifyReason.UNKNOWN


@pytest.mark.parametrize(("name", "message"), MESSAGES.items())
def test_only_a_pass_and_the_end_of_a_failure_are_good_news(name: str, message: Message) -> None:
    assert message.is_good_news == (name in {"resolve", "passed"})


@pytest.mark.parametrize(("text", "limit", "short"), [("abc", 3, "abc"), ("abcd", 3, "ab…")])
def test_a_cut_is_marked_within_the_limit(text: str, limit: int, short: str) -> None:
    assert shortened(text, limit) == short
