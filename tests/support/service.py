"""A service over a small history: its tokens, its clock, and releases in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from anomaly.history.records import ReleaseRecord
from anomaly.history.store import Store
from anomaly.model import Finding, Release, ReleaseVerdict
from tests.support import reports
from tests.support.asgi import Answer

READ, RELEASE, ACK = "read-0123456789abcdef", "tell-0123456789abcdef", "acks-0123456789abcdef"
SIGNING = "a-secret-that-signs-webhooks"
NOW = reports.RELEASED + timedelta(hours=3, minutes=4)

Ask = Callable[..., Answer]


def looked(
    store: Store,
    verdict: ReleaseVerdict,
    *,
    final: bool = True,
    version: str = "2.0",
    at: datetime = reports.RELEASED,
    findings: tuple[Finding, ...] = reports.failing().findings,
) -> ReleaseRecord:
    """A release of the shop with one look at it."""
    release = Release(at, service="shop", environment="production", version=version)
    record = store.track(release, origin="test")
    report = replace(
        reports.failing(), release=release, verdict=verdict, final=final, findings=findings
    )
    store.record(record.id, report, [], at=NOW - timedelta(minutes=10), after=0)
    return store.releases(ids=[record.id])[0]
