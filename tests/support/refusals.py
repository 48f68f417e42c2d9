"""What sources of releases, and sinks that keep a note on a merge or pull request, say where they
are refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer

from anomaly.contracts import Message, ReleaseSource, Sink
from anomaly.errors import CollectError, RetryableCollectError, RetryableSinkError, SinkError
from anomaly.model import Window
from tests.support import reports
from tests.support.loopback import Loopback, answer

PASSING = (429, 502)  # statuses that are worth another attempt


def check_refusals(httpserver: HTTPServer, sink: Callable[..., Sink], url: str, token: str) -> None:
    """`sink` makes one for an address, and `url` is that of a server which knows `token` alone."""
    for path, status in (("/busy", 503), ("/page", 200), ("/gone", 404)):
        httpserver.expect_request(re.compile(f"{path}/.*")).respond_with_data("<p>", status=status)
    message = Message("k", reports.failing())

    with pytest.raises(SinkError, match="the token is wrong or has expired") as refused:
        sink(url, token="wrong").send(message)
    with pytest.raises(SinkError, match="is api its address"):
        sink(httpserver.url_for("/page")).send(message)
    with pytest.raises(SinkError, match="does not exist, or the token may not see it"):
        sink(httpserver.url_for("/gone")).send(message)
    with pytest.raises(RetryableSinkError):
        sink(httpserver.url_for("/busy")).send(message)
    assert token not in str(refused.value)


def check_bad_answer(
    source: Callable[[str], ReleaseSource],
    window: Window,
    token: str,
    status: int,
    body: str,
    error: str,
) -> None:
    """`source` makes one for an address, with this token; its server gives this answer, which is
    that error."""
    with (
        Loopback([answer(status, body)]) as server,
        pytest.raises(CollectError, match=error) as refused,
    ):
        source(server.origin).discover(window)
    assert isinstance(refused.value, RetryableCollectError) == (status in PASSING)
    assert token not in str(refused.value)
