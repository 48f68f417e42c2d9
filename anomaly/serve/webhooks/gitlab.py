"""Webhooks of GitLab: deployment events, with the secret token in a header, or signed by a signing
token (Standard Webhooks).

docs.gitlab.com: "Webhooks", "Webhook events".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

from anomaly.releases.deployments import version_of
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.payload import NotAboutARelease, moment, text
from anomaly.serve.access import is_one_of

KINDS = {
    "running": Kind.STARTED,
    "success": Kind.FINISHED,
    "failed": Kind.ABORTED,
    "canceled": Kind.ABORTED,
}
OLDEST_S = 300  # a signature says when it was made
SIGNING = "whsec_"  # how a signing token starts; the rest is base64


def is_genuine(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    now: float | None = None,
) -> bool:
    """Whether the request bears one of the secret tokens, or one of the signing tokens signed
    it."""
    signatures = headers.get("webhook-signature", "")
    if not signatures:
        plain = [each for each in secrets if not each.startswith(SIGNING)]
        return is_one_of(headers.get("x-gitlab-token", ""), plain)
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < len(str(1 << 63))):
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > OLDEST_S:
        return False
    content = f"{name}.{stamp}.".encode() + body
    expected = [
        f"v1,{base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()}"
        for key in _keys(secrets)
    ]
    return any(is_one_of(each, expected) for each in signatures.split())


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened. Raises NotAboutARelease, UsageError."""
    kind = text(payload, "object_kind")
    if kind != "deployment":
        raise NotAboutARelease(f"event {kind!r:.40}; only deployment tells of a release")
    status = text(payload, "status")
    if status not in KINDS:
        raise NotAboutARelease(f"status {status!r:.40} of a deployment says nothing about users")
    return ReleaseEvent(
        KINDS[status],
        service=text(payload, "project", "path_with_namespace").rpartition("/")[2],
        environment=text(payload, "environment"),
        version=version_of(text(payload, "ref"), text(payload, "short_sha")),
        at=moment(payload, "status_changed_at"),
    )


def _keys(secrets: Sequence[str]) -> list[bytes]:
    keys = []
    for secret in secrets:
        if secret.startswith(SIGNING):
            try:
                keys.append(base64.b64decode(secret.removeprefix(SIGNING), validate=True))
            except binascii.Error:
                continue
    return keys
