"""Who may do what."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from anomaly.errors import UsageError
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from anomaly.serve.access import Access, Refusal, Scope, secrets
from tests.support.service import ACK, NOW, READ, RELEASE, Ask, looked

GATE = "/gate?service=shop"
EVENT = {"event": "started", "service": "shop", "version": "2.0", "at": NOW.isoformat()}


@pytest.mark.slow
def test_each_token_allows_its_scope_and_no_other(locked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.PASS)
    acked = {"id": record.id}
    for token, statuses in (
        (READ, (200, 403, 403)),
        (RELEASE, (403, 200, 403)),
        (ACK, (403, 403, 200)),
    ):
        bearer = f"Bearer {token}"
        told = EVENT | {"at": record.release.started_at.isoformat()}
        assert (
            locked("GET", GATE, authorization=bearer).status,
            locked("POST", "/releases", told, authorization=bearer).status,
            locked("POST", "/ack", acked, authorization=bearer).status,
        ) == statuses


@pytest.mark.parametrize(
    "path", ["/gate?service=shop", "/", "/metrics", "/openapi.json", "/releases/abcd"]
)
def test_without_a_token_nothing_is_read(locked: Ask, path: str) -> None:
    answer = locked("GET", path)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert READ not in answer.body.decode()
    assert locked("GET", path, authorization="Bearer " + READ[:-1] + "x").status == 401


def test_a_browser_may_send_the_token_as_its_password_to_read_and_no_more(locked: Ask) -> None:
    basic = "Basic " + base64.b64encode(f"me:{READ}".encode()).decode()
    tell = "Basic " + base64.b64encode(f"me:{RELEASE}".encode()).decode()
    asks = locked("GET", "/", accept="text/html")
    assert asks.headers["www-authenticate"] == 'Basic realm="anomaly"'
    assert locked("GET", "/", authorization=basic, accept="text/html").status == 200
    assert locked("POST", "/releases", EVENT, authorization=tell).status == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic x",
        "Basic %%%",
        "Digest a=b",
        "Bearer \u00e9\u20ac",
        "x" * 9000,
    ],
)
def test_an_odd_header_is_refused(header: str) -> None:
    access = Access.of({"ANOMALY_READ_TOKEN": READ})
    assert access.refusal(header, Scope.READ, basic=True) in (Refusal.MISSING, Refusal.UNKNOWN)


def test_a_scope_without_a_token_is_closed_once_there_is_any(tmp_path: Path) -> None:
    access = Access.of({"ANOMALY_READ_TOKEN": READ})
    assert access.refusal(f"Bearer {READ}", Scope.RELEASE) is Refusal.OTHER_SCOPE
    assert access.refusal(None, Scope.RELEASE) is Refusal.MISSING
    assert Access.of({}).refusal(None, Scope.RELEASE) is None


def test_tokens_come_from_a_file_too_and_several_hold_while_one_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{READ}\n{ACK}\n", encoding="utf-8")
    access = Access.of({"ANOMALY_READ_TOKEN_FILE": str(path)})
    assert access.tokens[Scope.READ] == (READ, ACK)
    assert READ not in repr(access)


def test_a_file_that_gives_no_token_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n", encoding="utf-8")
    for path, why in (
        (tmp_path / "none", "No such file"),
        (empty, "is empty"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(UsageError, match=f"ANOMALY_ACK_TOKEN_FILE: .*{why}"):
            Access.of({"ANOMALY_ACK_TOKEN_FILE": str(path)})


def test_a_token_that_can_be_guessed_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="ANOMALY_READ_TOKEN: a secret of 5 characters") as error:
        secrets("ANOMALY_READ_TOKEN", {"ANOMALY_READ_TOKEN": "short"})
    assert "short" not in str(error.value).replace("shorter", "")
