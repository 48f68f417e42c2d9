"""Addresses where clouds hand out credentials are refused, by name and by what it resolves to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from anomaly.errors import RequestError, RetryableRequestError
from anomaly.http import transport
from anomaly.http.endpoint import Endpoint
from anomaly.http.transport import is_metadata
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.usefixtures("loopback")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/latest/meta-data",
        "http://168.63.129.16/machine",
        "http://192.0.0.192/latest",
        "http://[fd00:c1::a9fe:a9fe]/opc/v2",
        "http://[fd20:ce::254]/computeMetadata/v1",
        "http://[fd00:42::42]/conf",
        "http://[::169.254.169.254]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[64:ff9b:1::a9fe:a9fe]/",
        "http://[64:ff9b::100.100.100.200]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://metadata.google.internal/computeMetadata/v1",
        "http://METADATA.google.internal./computeMetadata/v1",
    ],
)
def test_link_local_addresses_are_refused(url: str) -> None:
    with pytest.raises(RequestError, match="link-local"):
        Endpoint(url).ask("GET")


def test_a_name_that_resolves_anew_to_such_an_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = iter(["10.0.0.1", "127.0.0.1"])  # the second is what is connected to
    monkeypatch.setattr(transport, "METADATA", {ipaddress.ip_address("127.0.0.1")})
    real = socket.getaddrinfo

    def resolve(host: str, port: int | None, *args: Any, **kwargs: Any) -> list[Any]:
        return list(
            real(next(resolved) if host == "hooks.example" else host, port, *args, **kwargs)
        )

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    with Loopback([answer(200)]) as server:
        with pytest.raises(RequestError, match="link-local") as caught:
            Endpoint(server.origin.replace("127.0.0.1", "hooks.example")).ask("GET")
        assert [
            request.line for request in server.requests if request.line
        ] == []  # a connection that says nothing
    assert not isinstance(caught.value, RetryableRequestError)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "8.8.8.8",
        "::",
        "::1",
        "fd00::1",
        "64:ff9b::8.8.8.8",
        "2002:0808:0808::1",
    ],
)
def test_private_addresses_are_fine(address: str) -> None:
    assert not is_metadata(address)
