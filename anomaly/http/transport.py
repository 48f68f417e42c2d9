"""The transport below every HTTP session.

It sets a deadline on the whole answer, keeps URLs out of urllib3's log, and refuses link-local and
similar addresses, where clouds hand out credentials. It refuses them by name, and again by the
address it connected to, because a name may resolve differently the second time.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import logging
import socket
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, of pods
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)  # outside of link-local
NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
COMPATIBLE = ipaddress.IPv6Network("::/96")
LONGEST_HOST = 253  # characters


class Quiet(logging.Filter):
    """Drops log records of requests made inside `with`, by thread: those of urllib3 hold the whole
    path and query, those of botocore the headers."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    def __enter__(self) -> None:
        self._here.depth = getattr(self._here, "depth", 0) + 1  # a token is asked for inside

    def __exit__(self, *_: object) -> None:
        self._here.depth -= 1

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  the signature is logging's
        return not getattr(self._here, "depth", 0)


QUIET = Quiet()
for _name in ("urllib3.connectionpool", "urllib3.connection", "botocore.auth"):
    logging.getLogger(_name).addFilter(QUIET)


class _Arriving(io.RawIOBase):
    """The bytes of a socket until its timeout, counted from now, is over; a byte now and then does
    not prolong it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        timeout = connection.gettimeout()
        self._ends = None if timeout is None else time.monotonic() + timeout
        self._socket, self._raw = connection, connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Arriving(sock))


class MetadataAddressError(Exception):
    """A refused address; nothing was sent to it. Neither urllib3 nor requests wraps or retries this
    error."""


def _checked(connection: socket.socket) -> socket.socket:
    if is_metadata(str(connection.getpeername()[0])):
        connection.close()
        raise MetadataAddressError
    return connection


class _Connection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _TlsConnection(HTTPSConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """Makes the read timeout a deadline for the whole answer, directly and through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


def is_host(text: str) -> bool:
    """Whether a name or an address can be looked up: no part of it is empty or too long."""
    try:
        return 0 < len(text.encode("idna")) <= LONGEST_HOST
    except UnicodeError:
        return False


def refuse_metadata(host: str) -> None:
    """Raises MetadataAddressError if `host` is, or resolves to, a refused address."""
    if host.rstrip(".").lower() in NAMES:  # a proxy may know the address
        raise MetadataAddressError
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        # the request itself reports the error, or goes through a proxy that knows the name
        return
    if any(is_metadata(str(address[0])) for *_, address in addresses):
        raise MetadataAddressError


def is_metadata(text: str) -> bool:
    """Whether an address is link-local or that of a cloud's metadata service, also as IPv6 writes
    addresses of IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return any(
        each.is_link_local or each in METADATA for each in (address, *_of_version_4(address))
    )


def _of_version_4(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> tuple[ipaddress.IPv4Address, ...]:
    """The addresses of IPv4 that an address may stand for: mapped, compatible, by NAT64, 6to4 and
    Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    by_last = any(address in network for network in (*NAT64, COMPATIBLE))
    inner = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    return tuple(each for each in (*inner, last if by_last else None) if each is not None)
