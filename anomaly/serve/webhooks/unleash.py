"""Webhooks of Unleash: events about flags, with a token of ours in the `Authorization` header, for
Unleash signs nothing.

docs.getunleash.io: "Webhook" among the integrations, "Event types".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.payload import NotAboutARelease, cell, moment, text

SWITCHED = {
    "feature-environment-enabled": Kind.STARTED,
    "feature-environment-disabled": Kind.ABORTED,
}
STRATEGY = ("feature-strategy-add", "feature-strategy-update")


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened: a flag that is enabled starts a release of its name, a strategy for more users
    is a stage, a flag that is disabled aborts it. Raises NotAboutARelease, UsageError."""
    event = text(payload, "type")
    share = None
    if event in STRATEGY:
        share = _share(cell(payload, "data", "parameters", "rollout"))
        if share is None:
            raise NotAboutARelease("the strategy has no rollout")
    elif event not in SWITCHED:
        raise NotAboutARelease(f"event {event!r:.60} says nothing about users")
    return ReleaseEvent(
        SWITCHED.get(event, Kind.STAGE) if share != 0 else Kind.ABORTED,
        service=text(payload, "project"),
        environment=text(payload, "environment"),
        version=text(payload, "featureName"),
        at=moment(payload, "createdAt"),
        share=share or None,
    )


def _share(rollout: Any) -> float | None:
    """The share of users; Unleash writes percents, as text."""
    try:
        share = float(rollout) / 100
    except (TypeError, ValueError, OverflowError):
        return None
    return share if 0 <= share <= 1 else None
