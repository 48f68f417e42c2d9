"""Webhooks of Unleash: events about flags, with a token of ours in the `Authorization` header, for
Unleash signs nothing.

docs.getunleash.io: "Webhook" among the integrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomaly.releases.event import ReleaseEvent
from anomaly.releases.unleash import event_of


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened. Raises NotAboutARelease, UsageError."""
    return event_of(payload)
