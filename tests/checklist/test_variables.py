from __future__ import annotations

import json
from typing import Any

import pytest

from anomaly.checklist.registry import SINKS, sink
from anomaly.checklist.variables import fill, is_secret_name, written_out
from anomaly.errors import ChecklistError
from anomaly.redaction import Redactor
from tests.checklist.conftest import Complain, Load

CHECKLIST = """\
service: shop
sources:
  data: {type: files, path: "${FOLDER}/shop.csv"}
kpis:
  - {name: orders, query: orders}
sinks:
  - type: webhook
    url: "${HOOK_URL}"
    secret: "${HOOK_SECRET}"
    headers:
      Authorization: "Bearer ${API_TOKEN}"
      X-Scope-OrgID: shop
"""
ENVIRON = {
    "FOLDER": "/srv/data2025",
    "HOOK_URL": "https://user:c4nary-pass@hook.example/services/abc/c4nary-path?token=c4nary-query",
    "HOOK_SECRET": "c4nary-secret",
    "API_TOKEN": "c4nary-token",
}


def test_variables_are_filled_in_settings(load_text: Load) -> None:
    checklist = load_text(CHECKLIST, environ=ENVIRON)
    assert checklist.sources["data"].settings["path"] == "/srv/data2025/shop.csv"
    assert checklist.sinks[0].settings == {
        "url": ENVIRON["HOOK_URL"],
        "secret": "c4nary-secret",
        "headers": {"Authorization": "Bearer c4nary-token", "X-Scope-OrgID": "shop"},
    }


def test_secrets_are_known_and_harmless_parts_are_not_among_them(load_text: Load) -> None:
    secrets = load_text(CHECKLIST, environ=ENVIRON).secrets
    said = (
        "hook.example: POST /services/abc/c4nary-path?token=c4nary-query, c4nary-secret, "
        "c4nary-token, c4nary-pass, /srv/data2025/shop.csv"
    )
    assert (
        Redactor(secrets).text(said)
        == "hook.example: POST ***?token=***, ***, ***, ***, /srv/data2025/shop.csv"
    )


def test_no_secret_is_in_the_repr(load_text: Load) -> None:
    checklist = load_text(CHECKLIST, environ=ENVIRON)
    assert "c4nary" not in f"{checklist!r} {checklist.sinks[0]!r} {checklist.digest}"
    assert "orders" in repr(checklist)


def test_an_unset_variable_is_named_with_its_line(complaints: Complain) -> None:
    assert complaints(
        CHECKLIST, environ={"FOLDER": "x", "HOOK_URL": "http://h", "API_TOKEN": ""}
    ) == [
        (
            "checklist.yaml:9: sinks[0].secret uses ${HOOK_SECRET}, but the environment variable "
            "HOOK_SECRET is not set"
        ),
        (
            "checklist.yaml:11: sinks[0].headers.Authorization uses ${API_TOKEN}, but the "
            "environment variable API_TOKEN is empty"
        ),
    ]


def test_a_value_that_holds_yaml_or_variables_stays_text(load_text: Load) -> None:
    value = "x, type: console}\n- {a: *b, c: ${HOOK_SECRET}"
    checklist = load_text(CHECKLIST, environ={**ENVIRON, "FOLDER": value})
    assert checklist.sources["data"].settings == {"path": f"{value}/shop.csv"}
    assert checklist.sources["data"].type == "files"


@pytest.mark.parametrize("written", ["${1A}", "${A-b}", "${A:-default}", "${}", "a ${ b"])
def test_what_only_looks_like_a_variable_is_refused(written: str) -> None:
    assert fill({"url": written}, {"A": "x"}).problems == [
        (
            ("url",),
            f"is '{written}'; write a variable as ${{NAME}}, with letters, digits and _ only",
        )
    ]


def test_a_dollar_alone_is_text() -> None:
    filled = fill({"path": "a$b$$c$step"}, {})
    assert (filled.settings, filled.problems) == ({"path": "a$b$$c$step"}, [])


def test_the_type_is_never_filled_in(complaints: Complain) -> None:
    text = CHECKLIST.replace("type: webhook", "type: '${KIND}'")
    assert (
        f"checklist.yaml:7: sinks[0].type is '${{KIND}}'; use one of {', '.join(SINKS.built_in)}"
        in complaints(text, environ={**ENVIRON, "KIND": "console"})
    )


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("secret: hunter2", "secret"),
        ("secret: 12345", "secret"),
        ("url: https://user:hunter2@h/", "url"),
        ("url: https://h/?access_token=hunter2", "url"),
        ("headers: {Authorization: Bearer hunter2}", "headers.Authorization"),
        ("headers: {X-Api-Key: hunter2}", "headers.X-Api-Key"),
    ],
)
def test_a_credential_in_the_file_is_refused_and_not_repeated(
    complaints: Complain, setting: str, key: str
) -> None:
    text = CHECKLIST[: CHECKLIST.index("    url:")] + (
        f"    {setting}\n" if "url" in setting else f"    url: http://h\n    {setting}\n"
    )
    told = complaints(text, environ=ENVIRON)
    assert any(f"sinks[0].{key} " in line and "holds a credential; put" in line for line in told)
    assert "hunter2" not in str(told)
    assert "12345" not in str(told)


def test_a_credential_of_another_environment_is_refused_too(complaints: Complain) -> None:
    text = CHECKLIST + (
        "environments:\n  a: {}\n  b:\n    sources:\n      x: {type: files, path: y, password: "
        "hunter2}\n"
    )
    told = complaints(text, environment="a", environ=ENVIRON)
    assert told == [
        (
            "checklist.yaml:17: environments.b.sources.x.password holds a credential; put it "
            "into an "
            "environment variable and write ${NAME}"
        )
    ]


@pytest.mark.parametrize(
    "place",
    [
        "sources: https://u:hunter2@h",
        "sources: {a: hunter2}",
        "sinks: [hunter2]",
        "sinks: hunter2",
        "environments: {a: {sinks: [hunter2]}}",
    ],
)
def test_what_stands_where_secrets_may_be_is_not_repeated(complaints: Complain, place: str) -> None:
    key = place.partition(":")[0]
    text = (
        "service: a\nkpis: [{name: a, query: b}]\n"
        + ("" if key == "sources" else "sources: {d: {type: files, path: x}}\n")
        + place
        + "\n"
    )
    assert "hunter2" not in "\n".join(complaints(text))


@pytest.mark.parametrize(
    ("settings", "environ", "secrets"),
    [
        ({"bearer_token": "${T}"}, {"T": "abcd"}, {"abcd"}),
        ({"bearer_token_file": "${T}"}, {"T": "/run/secrets/token1"}, set()),
        ({"bearer_token_file": "/run/secrets/token1"}, {}, set()),
        ({"username": "${WHO}"}, {"WHO": "admin"}, set()),
        ({"username": "${WHO}"}, {"WHO": "a1b2c3d4"}, {"a1b2c3d4"}),
        ({"username": "${WHO_SECRET}"}, {"WHO_SECRET": "admin"}, {"admin"}),
        ({"headers": {"X-Scope-OrgID": "shop-eu-west-1"}}, {}, set()),
        ({"headers": {"X-Scope-OrgID": "${TENANT}"}}, {"TENANT": "shop"}, set()),
        ({"tokens": ["${A}", "${B}"]}, {"A": "aaaa", "B": "bbbb"}, {"aaaa", "bbbb"}),
        ({"url": "http://prometheus.example:9090/prometheus"}, {}, set()),
        ({"url": "${U}"}, {"U": "http://prometheus.example:9090"}, set()),
        ({"url": "${U}"}, {"U": "http://h/quiet/hook"}, {"quiet/hook"}),
        (
            {"url": "https://h/${PART}"},
            {"PART": "T0/B0/a1b2c3d4e5"},
            {"T0/B0/a1b2c3d4e5", "/T0/B0/a1b2c3d4e5", "a1b2c3d4e5"},
        ),
        ({"url": "https://u:${PASSWORD}@h/"}, {"PASSWORD": "open sesame"}, {"open sesame"}),
    ],
)
def test_the_rule_of_what_is_secret(
    settings: dict[str, Any], environ: dict[str, str], secrets: set[str]
) -> None:
    assert list(written_out(settings)) == []
    found = fill(settings, environ).secrets
    assert secrets <= found
    assert bool(found) == bool(secrets)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "API_TOKEN",
        "apiKey",
        "X-Api-Key",
        "accessToken",
        "Authorization",
        "basic_auth",
        "credentials",
        "Cookie",
        "hook-secret",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "url",
        "path",
        "bearer_token_file",
        "token_url",
        "monkey",
        "X-Scope-OrgID",
        "author",
        "keyboard",
        "",
    ],
)
def test_other_names_are_harmless(name: str) -> None:
    assert not is_secret_name(name)


def test_a_sink_that_can_not_be_set_up_does_not_tell_its_secrets(load_text: Load) -> None:
    environ = {**ENVIRON, "HOOK_URL": "ftp://user:c4nary-pass@h/c4nary-path"}
    with pytest.raises(ChecklistError) as caught:
        sink(load_text(CHECKLIST, environ=environ).sinks[0])
    assert str(caught.value) == "checklist.yaml:8: sinks[0].url starts with ftp; use http or https"
    assert "c4nary" not in str(caught.value)


def test_a_setting_that_is_secret_shows_itself_only_where_it_is_used() -> None:
    settings = fill(
        {"headers": {"X-Key": "${V}"}, "label": "${V}", "path": "${V}"}, {"V": "opensesame1"}
    ).settings
    assert repr(settings) == "{'headers': {'X-Key': '***'}, 'label': '***', 'path': 'opensesame1'}"
    assert f"Bearer {settings['label']}" == "Bearer opensesame1"
    assert json.dumps(settings["headers"]) == '{"X-Key": "opensesame1"}'
