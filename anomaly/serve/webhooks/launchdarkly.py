"""Webhooks of LaunchDarkly: entries of its audit log about flags, signed by HMAC-SHA256 of the
body.

launchdarkly.com/docs: "Webhooks".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from anomaly.releases.event import ReleaseEvent
from anomaly.releases.launchdarkly import event_of
from anomaly.serve.access import is_one_of


def is_genuine(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed the body."""
    signed = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    return is_one_of(headers.get("x-ld-signature", ""), signed)


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened. Raises NotAboutARelease, UsageError."""
    return event_of(payload)
