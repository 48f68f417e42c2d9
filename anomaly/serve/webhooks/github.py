"""Webhooks of GitHub: event `deployment_status`, signed by HMAC-SHA256 of the body.

docs.github.com: "Webhook events and payloads", "Validating webhook deliveries".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from anomaly.releases.deployments import version_of
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.payload import NotAboutARelease, moment, text
from anomaly.serve.access import is_one_of

KINDS = {
    "in_progress": Kind.STARTED,
    "success": Kind.FINISHED,
    "failure": Kind.ABORTED,
    "error": Kind.ABORTED,
}


def is_genuine(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed the body."""
    signed = [
        f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        for secret in secrets
    ]
    return is_one_of(headers.get("x-hub-signature-256", ""), signed)


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:
    """What happened. Raises NotAboutARelease, UsageError."""
    event = headers.get("x-github-event", "")
    if event != "deployment_status":
        raise NotAboutARelease(f"event {event!r:.40}; only deployment_status tells of a release")
    state = text(payload, "deployment_status", "state")
    if state not in KINDS:
        raise NotAboutARelease(f"state {state!r:.40} of a deployment says nothing about users")
    return ReleaseEvent(
        KINDS[state],
        service=text(payload, "repository", "name"),
        environment=text(payload, "deployment", "environment"),
        version=version_of(text(payload, "deployment", "ref"), text(payload, "deployment", "sha")),
        at=moment(payload, "deployment_status", "created_at"),
    )
