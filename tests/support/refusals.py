"""What the sinks that keep a note on a merge or pull request say where they are refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer

from anomaly.contracts import Message, Sink
from anomaly.errors import RetryableSinkError, SinkError
from tests.support import reports


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
