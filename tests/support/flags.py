"""What the APIs of flags answer, for a server on loopback: LaunchDarkly as its documentation says,
Unleash as a real one (7.5.1) answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.loopback import Request

Entry = dict[str, Any]


def queried(request: Request) -> tuple[str, dict[str, str]]:
    """The path and the query of a request."""
    target = urlsplit(request.line.split()[1])
    return target.path, {name: values[0] for name, values in parse_qs(target.query).items()}


# --- LaunchDarkly --------------------------------------------------------------------------------


def change(
    number: int,
    at: datetime,
    flag: str,
    state: Mapping[str, Any],
    *,
    action: str = "updateOn",
    environment: str = "production",
) -> Entry:
    """An entry of the audit log, after which the flag has this state."""
    resource = f"proj/shop:env/{environment}:flag/{flag};team"
    return {
        "_id": f"{number:024x}",
        "date": round(at.timestamp() * 1000),
        "kind": "flag",
        "name": flag,
        "accesses": [{"action": action, "resource": resource}],
        "currentVersion": {"environments": {environment: state}},
    }


def rollout(percent: float) -> dict[str, Any]:
    """A flag that is on for a share of users."""
    weight = round(percent * 1000)
    variations = [
        {"variation": 0, "weight": weight},
        {"variation": 1, "weight": 100_000 - weight},
    ]
    return {"on": True, "offVariation": 1, "fallthrough": {"rollout": {"variations": variations}}}


def audit_log(request: Request, entries: Sequence[Entry]) -> tuple[int, str]:
    """The answer of LaunchDarkly: a list without what became of the flags, or a whole entry."""
    path, query = queried(request)
    if not path.endswith("/auditlog"):
        return 200, json.dumps(next(e for e in entries if e["_id"] == path.rpartition("/")[2]))
    found = [
        {key: value for key, value in each.items() if key != "currentVersion"}
        for each in sorted(entries, key=lambda each: (each["date"], each["_id"]), reverse=True)
        if int(query["after"]) < each["date"] < int(query["before"])
    ]
    return 200, json.dumps({"items": found[: int(query["limit"])], "_links": {}})


# --- Unleash -------------------------------------------------------------------------------------


def event(
    number: int,
    at: str,
    kind: str,
    flag: str = "new-checkout",
    rollout: str | None = None,
    *,
    environment: str = "production",
) -> Entry:
    """An event of a flag, of a strategy if it has a rollout."""
    strategy: Entry = {
        "id": "2bb64110-a8aa-47c5-a524-cbdb6866625a",
        "name": "flexibleRollout",
        "title": None,
        "disabled": False,
        "constraints": [],
        "parameters": {"groupId": flag, "rollout": rollout, "stickiness": "default"},
        "variants": [],
        "sortOrder": 0,
        "segments": [],
    }
    return {
        "id": number,
        "type": kind,
        "createdBy": "admin",
        "createdAt": at,
        "createdByUserId": -42,
        "data": None if rollout is None else strategy,
        "preData": None,
        "tags": [],
        "featureName": flag,
        "project": "shop",
        "environment": environment,
        "groupType": "transaction",
        "groupId": "01M8MCQH93X0TM3Q9VE30YAN02",
        "label": "Flag changed",
        "summary": f"**admin** changed **{flag}**",
    }


def unleash(
    request: Request, events: Sequence[Entry], enabled: Sequence[str] = ()
) -> tuple[int, str]:
    """The answer of Unleash: a page of the events, or the flags of the project."""
    path, query = queried(request)
    if path.endswith("/features"):
        flags = [
            {
                "name": name,
                "environments": [
                    {"name": "development", "enabled": False},
                    {"name": "production", "enabled": name in enabled},
                ],
            }
            for name in sorted({each["featureName"] for each in events})
        ]
        return 200, json.dumps({"version": 2, "features": flags})
    kinds = query["type"].removeprefix("IS_ANY_OF:").split(",")
    found = [
        each
        for each in sorted(events, key=lambda each: (each["createdAt"], each["id"]), reverse=True)
        if each["type"] in kinds and each["createdAt"] >= query["from"].removeprefix("IS:")
    ]
    first = int(query["offset"])
    page = found[first : first + int(query["limit"])]
    return 200, json.dumps({"events": page, "total": len(found)})
