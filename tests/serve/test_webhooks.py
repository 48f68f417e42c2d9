"""Webhooks, in the form that the documentation of each sender gives."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.serve.app import Service, application
from anomaly.serve.webhooks import gitlab
from tests.support.asgi import Answer, ask
from tests.support.service import NOW, RELEASE, SIGNING, Ask

pytestmark = pytest.mark.slow

WHOSE = "?service=shop&environment=production"
GITHUB: dict[str, Any] = {
    "action": "created",
    "deployment_status": {"state": "in_progress", "created_at": "2025-11-04T10:30:00Z"},
    "deployment": {
        "ref": "v2.3.1",
        "sha": "a10867b14bb761a232cd80139fbd4c0d33264240",
        "environment": "production",
        "created_at": "2025-11-04T10:29:00Z",
    },
    "repository": {"name": "shop", "full_name": "acme/shop", "default_branch": "main"},
}
GITLAB: dict[str, Any] = {
    "object_kind": "deployment",
    "status": "running",
    "status_changed_at": "2025-11-04 11:30:00 +0100",
    "deployment_id": 15,
    "environment": "production",
    "environment_tier": "production",
    "project": {"name": "Shop", "path_with_namespace": "acme/shop"},
    "ref": "main",
    "short_sha": "279484c0",
}
LAUNCHDARKLY: dict[str, Any] = {
    "_id": "57c0a8e29969090743529965",
    "date": 1762252200000,
    "kind": "flag",
    "accesses": [
        {"action": "updateOn", "resource": "proj/shop:env/production:flag/new-checkout;team"}
    ],
    "currentVersion": {
        "environments": {
            "production": {
                "on": True,
                "offVariation": 1,
                "fallthrough": {
                    "rollout": {
                        "variations": [
                            {"variation": 0, "weight": 5000},
                            {"variation": 1, "weight": 95000},
                        ]
                    }
                },
            }
        }
    },
}
UNLEASH: dict[str, Any] = {
    "id": 84,
    "createdAt": "2025-11-04T10:30:00.000Z",
    "type": "feature-environment-enabled",
    "createdBy": "me@example.com",
    "project": "shop",
    "environment": "production",
    "featureName": "new-checkout",
    "data": None,
    "preData": None,
}

FLAGGER: dict[str, Any] = {
    "name": "shop",
    "namespace": "production",
    "phase": "Progressing",
    "checksum": "5c6b7d8f9",
    "metadata": {
        "eventMessage": "Starting canary analysis for shop.production",
        "eventType": "Normal",
        "timestamp": "1762252200000",
    },
}


def signed(body: bytes, secret: str = SIGNING) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github(asked: Ask, payload: dict[str, Any], query: str = "", **headers: str) -> Answer:
    body = json.dumps(payload).encode()
    named = {
        "x_github_event": "deployment_status",
        "x_hub_signature_256": f"sha256={signed(body)}",
    }
    return asked("POST", f"/releases/github{query}", body, **named | headers)


def gitlab_posts(asked: Ask, payload: dict[str, Any], query: str = "", **headers: str) -> Answer:
    body = json.dumps(payload).encode()
    return asked("POST", f"/releases/gitlab{query}", body, **{"x_gitlab_token": SIGNING} | headers)


def launchdarkly(asked: Ask, payload: dict[str, Any], query: str = WHOSE, **headers: str) -> Answer:
    body = json.dumps(payload).encode()
    return asked(
        "POST",
        f"/releases/launchdarkly{query}",
        body,
        **{"x_ld_signature": signed(body)} | headers,
    )


def unleash(asked: Ask, payload: dict[str, Any], query: str = WHOSE, **headers: str) -> Answer:
    return asked("POST", f"/releases/unleash{query}", json.dumps(payload).encode(), **headers)


def test_a_deployment_of_github_is_a_release_from_its_start_to_its_end(
    asked: Ask, store: Store
) -> None:
    began = github(asked, GITHUB)
    assert (began.status, began.json["version"]) == (201, "v2.3.1")
    done = GITHUB | {
        "deployment_status": {"state": "success", "created_at": "2025-11-04T10:40:00Z"}
    }
    assert github(asked, done).json["finished_at"] == "2025-11-04T10:40:00Z"
    assert github(asked, done).json == github(asked, done).json
    failed = GITHUB | {
        "deployment_status": {"state": "failure", "created_at": "2025-11-04T10:45:00Z"}
    }
    assert github(asked, failed).json["state"] == "aborted"
    (record,) = store.releases()
    assert (record.origin, record.state) == ("github", State.ABORTED)


def test_a_branch_is_no_version_so_its_commit_names_the_release(asked: Ask) -> None:
    branch = GITHUB | {"deployment": GITHUB["deployment"] | {"ref": "main"}}
    assert github(asked, branch).json["version"] == "a10867b1"
    assert gitlab_posts(asked, GITLAB).json["version"] == "279484c0"


def test_a_deployment_of_gitlab_is_a_release(asked: Ask, store: Store) -> None:
    assert gitlab_posts(asked, GITLAB).status == 201
    assert store.releases()[0].release.started_at.isoformat() == "2025-11-04T10:30:00+00:00"
    utc = GITLAB | {"status": "success", "status_changed_at": "2025-11-04 10:50:00 UTC"}
    assert gitlab_posts(asked, utc).json["finished_at"] == "2025-11-04T10:50:00Z"


def test_a_flag_of_launchdarkly_is_a_release_with_stages(asked: Ask, store: Store) -> None:
    first = launchdarkly(asked, LAUNCHDARKLY)
    assert (first.status, first.json["version"]) == (201, "new-checkout")
    assert first.json["stages"] == [["2025-11-04T10:30:00Z", 0.05]]
    state = {"on": True, "offVariation": 1, "fallthrough": {"variation": 0}}
    whole = LAUNCHDARKLY | {
        "date": LAUNCHDARKLY["date"] + 600_000,
        "accesses": [
            {
                "action": "updateFallthrough",
                "resource": "proj/shop:env/production:flag/new-checkout",
            }
        ],
        "currentVersion": {"environments": {"production": state}},
    }
    assert [share for _, share in launchdarkly(asked, whole).json["stages"]] == [0.05, 1.0]
    off = LAUNCHDARKLY | {"currentVersion": {"environments": {"production": state | {"on": False}}}}
    assert launchdarkly(asked, off).json["state"] == "aborted"


def test_a_flag_of_unleash_is_a_release_with_stages(asked: Ask) -> None:
    assert unleash(asked, UNLEASH).json["version"] == "new-checkout"
    strategy = UNLEASH | {
        "type": "feature-strategy-update",
        "createdAt": "2025-11-04T11:00:00.000Z",
        "data": {"name": "flexibleRollout", "parameters": {"rollout": "25"}},
    }
    assert [share for _, share in unleash(asked, strategy).json["stages"]] == [0.25]
    off = UNLEASH | {"type": "feature-environment-disabled"}
    assert unleash(asked, off).json["state"] == "aborted"


@pytest.mark.parametrize("secret", ["", "sha256=", "sha256=" + "0" * 64, "nonsense \u00e9"])
def test_an_unsigned_webhook_tells_nothing(secret: str, asked: Ask, store: Store) -> None:
    assert github(asked, GITHUB, x_hub_signature_256=secret).status == 401
    assert gitlab_posts(asked, GITLAB, x_gitlab_token=secret).status == 401
    assert launchdarkly(asked, LAUNCHDARKLY, x_ld_signature=secret).status == 401
    assert store.releases() == []


def test_a_signature_fits_one_body_alone(asked: Ask) -> None:
    other = signed(json.dumps(GITHUB).encode())
    changed = GITHUB | {"action": "other"}
    assert github(asked, changed, x_hub_signature_256=f"sha256={other}").status == 401


def test_a_sender_without_a_secret_is_not_believed_even_on_loopback(service: Service) -> None:
    app = application(replace(service, webhook_secrets={}))
    answer = github(lambda *request, **headers: ask(app, *request, **headers), GITHUB)
    assert answer.status == 403
    assert "ANOMALY_GITHUB_SECRET" in answer.json["error"]


def test_a_canary_of_flagger_is_a_release_with_the_token_in_its_address(
    locked: Ask, store: Store
) -> None:
    basic = "Basic " + base64.b64encode(f"flagger:{RELEASE}".encode()).decode()
    address = f"/releases/flagger{WHOSE}"
    body = json.dumps(FLAGGER).encode()
    assert locked("POST", address, body).status == 401
    began = locked("POST", address, body, authorization=basic)
    assert (began.status, began.json["version"]) == (201, "5c6b7d8f9")
    failed = json.dumps(FLAGGER | {"phase": "Failed"}).encode()
    assert locked("POST", address, failed, authorization=basic).json["state"] == "aborted"
    for phase in ("Initialized", "Waiting", "Promoting", "Finalising"):
        other = json.dumps(FLAGGER | {"phase": phase}).encode()
        assert "ignored" in locked("POST", address, other, authorization=basic).json
    odd = json.dumps(FLAGGER | {"metadata": {"timestamp": "soon"}}).encode()
    assert locked("POST", address, odd, authorization=basic).status == 422
    assert len(store.releases()) == 1


def test_unleash_signs_nothing_and_needs_a_token(locked: Ask, store: Store) -> None:
    assert unleash(locked, UNLEASH).status == 401
    assert unleash(locked, UNLEASH, authorization=f"Bearer {RELEASE}").status == 201


def test_a_signing_token_of_gitlab_holds_for_five_minutes() -> None:
    key = b"a key of thirty-two bytes, or so"
    token = "whsec_" + base64.b64encode(key).decode()
    body, now = json.dumps(GITLAB).encode(), NOW.timestamp()
    stamp = str(int(now))
    content = f"id-1.{stamp}.".encode() + body
    signature = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,bm90IHRoaXM= {signature}",
    }
    assert gitlab.is_genuine(headers, body, (token,), now=now)
    assert not gitlab.is_genuine(headers, body + b" ", (token,), now=now)
    assert not gitlab.is_genuine(headers, body, (token,), now=now + 301)
    assert not gitlab.is_genuine(headers | {"webhook-id": "id-2"}, body, (token,), now=now)
    assert not gitlab.is_genuine(headers | {"webhook-timestamp": "x"}, body, (token,), now=now)
    # a signing token is never sent, so it is no answer
    assert not gitlab.is_genuine({"x-gitlab-token": token}, body, (token,), now=now)


def test_what_tells_nothing_of_a_release_is_ignored_and_said(asked: Ask, store: Store) -> None:
    ignored = [
        github(asked, {"zen": "Keep it logically awesome."}, x_github_event="ping"),
        github(asked, GITHUB | {"deployment_status": {"state": "queued"}}),
        github(asked, GITHUB | {"deployment": GITHUB["deployment"] | {"environment": "preview"}}),
        gitlab_posts(asked, {"object_kind": "push"}),
        launchdarkly(asked, LAUNCHDARKLY | {"accesses": [{"action": "createFlag"}]}),
        unleash(asked, UNLEASH | {"type": "feature-created"}),
    ]
    assert [each.status for each in ignored] == [200] * len(ignored)
    assert "'ping'" in ignored[0].json["ignored"]
    assert "environment 'preview'" in ignored[2].json["ignored"]
    assert store.releases() == []


@pytest.mark.parametrize(
    "change",
    [
        {"deployment": None},
        {"deployment": []},
        {"deployment": GITHUB["deployment"] | {"ref": 3}},
        {"deployment": GITHUB["deployment"] | {"ref": "v1.0" + "x" * 300}},
        {"deployment_status": {"state": "success", "created_at": "yesterday"}},
        {"deployment_status": {"state": "success", "created_at": "2035-01-01T00:00:00Z"}},
        {"deployment_status": {"state": "success", "created_at": "2025-11-04T10:40:00"}},
        {"deployment_status": {"state": ["success"]}},
        {"repository": {"name": ""}},
        {"repository": {"name": "sh\0p"}},
    ],
)
def test_a_payload_of_another_form_is_refused_by_its_key(
    change: dict[str, Any], asked: Ask, store: Store
) -> None:
    answer = github(asked, GITHUB | change)
    assert answer.status in (200, 422)
    assert answer.json.keys() <= {"error", "ignored"}
    assert store.releases() == []


def test_an_unknown_sender_is_refused(asked: Ask) -> None:
    assert asked("POST", "/releases/nobody", b"{}").status == 422
