"""Webhooks of LaunchDarkly: entries of its audit log about flags, signed by HMAC-SHA256 of the
body.

launchdarkly.com/docs: "Webhooks", and "Get audit log entry" for the payload.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from anomaly.errors import UsageError
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.payload import NotAboutARelease, cell
from anomaly.serve.access import is_one_of

RESOURCE = re.compile(r"proj/([^:;/]+)[^:]*:env/([^:;/]+)[^:]*:flag/([^:;/]+)")
SWITCH, ROLLOUT = "updateOn", "updateFallthrough"  # actions
WHOLE = 100_000  # the weights of a rollout add up to this


def is_genuine(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed the body."""
    signed = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    return is_one_of(headers.get("x-ld-signature", ""), signed)


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened: a flag that is switched on starts a release of its name, a rollout to more
    users is a stage, a flag that is switched off aborts it. Raises NotAboutARelease, UsageError."""
    for access in cell(payload, "accesses") or []:
        action, match = cell(access, "action"), RESOURCE.match(str(cell(access, "resource")))
        if match and action in (SWITCH, ROLLOUT):
            project, environment, flag = match.groups()
            state = cell(payload, "currentVersion", "environments", environment)
            kind, share = _change(action, state)
            return ReleaseEvent(kind, project, environment, flag, _moment(payload), share)
    raise NotAboutARelease("no flag was switched, and no rollout changed")


def _change(action: str, state: Any) -> tuple[Kind, float | None]:
    """What the flag's state after the change means for users."""
    is_on = cell(state, "on")
    if not isinstance(is_on, bool):
        raise UsageError(
            f"currentVersion.environments has 'on' {is_on!r:.40}; it must be a boolean"
        )
    if not is_on:
        if action == SWITCH:
            return Kind.ABORTED, None
        raise NotAboutARelease("the rollout of a flag that is off changed")
    share = _share(state)
    if share is None:
        return Kind.STARTED, None
    return (Kind.STAGE, share) if share else (Kind.ABORTED, None)


def _share(state: Any) -> float | None:
    """The share of users who get another variation than with the flag off; None if that can't be
    told."""
    off, fixed = cell(state, "offVariation"), cell(state, "fallthrough", "variation")
    if isinstance(fixed, int):
        return None if off is None else float(fixed != off)
    weights = [
        (cell(each, "variation"), cell(each, "weight"))
        for each in cell(state, "fallthrough", "rollout", "variations") or []
    ]
    if not weights or not all(isinstance(weight, int) for _, weight in weights):
        return None
    share = sum(weight for variation, weight in weights if variation != off) / WHOLE
    return share if 0 <= share <= 1 else None


def _moment(payload: Any) -> datetime:
    date = cell(payload, "date")
    try:
        return datetime.fromtimestamp(date / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise UsageError(f"date is {date!r:.40}; it must be milliseconds since 1970") from None
