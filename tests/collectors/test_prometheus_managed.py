"""A real Prometheus behind a proxy that lets pass only what a managed service would: signed by AWS
keys, or with a token that it gave for what a client must show."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
import requests

from anomaly.cli.ending import run
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.collectors.prometheus_access import managed_settings
from anomaly.collectors.sign_in import ClientCredentials
from anomaly.errors import CollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.support.aws import KEY_ID, KEYS, REGION, SECRET_KEY, SESSION_TOKEN, wrong_signature
from tests.support.loopback import Loopback, Request, answer
from tests.support.servers import Server, prometheus

pytestmark = pytest.mark.slow

START, STEP = datetime(2025, 3, 3, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 12 * STEP)
PREFIX = "/workspaces/ws-1/prometheus"
SESSION_TOKEN, CLIENT, CLIENT_SECRET, TOKEN = (
    "s3ssion+t0ken/==",
    "anomaly",
    "p:ss w+rd%",
    "t0ken.abc-1",
)
ORDERS = "sum(increase(orders_total[$step]))"
ABOUT_TOKENS = "/token"
SIGNED = partial(wrong_signature, service="aps")
GOOGLE = {"sign_in": "google"}
GOOGLE_REQUESTS = "loadbalancing_googleapis_com:https_request_count"


@pytest.fixture(scope="module")
def server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    minutes = range(-10, 70)
    points = [(START.timestamp() + 60 * minute, 10.0 * (minute + 10)) for minute in minutes]
    samples = {"orders_total": points, f'{GOOGLE_REQUESTS}{{monitored_resource="lb"}}': points}
    with prometheus(tmp_path_factory.mktemp("managed"), samples) as running:
        yield running


class Proxy:
    """Passes on what `admits` says nothing against, and answers 403 with its words otherwise. Asked
    for a token it gives `TOKEN`, if `deserves` says nothing against it."""

    def __init__(
        self,
        upstream: str,
        admits: Callable[[Request], str],
        deserves: Callable[[Request], str] = lambda _: "no tokens here",
        life_s: int | None = 3600,
    ) -> None:
        self._upstream, self._admits, self._deserves = upstream, admits, deserves
        self._life_s, self.passed, self.tokens = life_s, list[Request](), 0
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[str]:
        with Loopback.by(self.reply) as server:
            yield server.origin

    def reply(self, request: Request) -> tuple[int, str]:
        method, target, _ = request.line.split()
        if target == ABOUT_TOKENS:
            refusal = self._deserves(request)
            with self._lock:
                self.tokens += not refusal
            life = {} if self._life_s is None else {"expires_in": self._life_s}
            token = {"access_token": TOKEN, "token_type": "Bearer", **life}
            body = {"error": "invalid_client", "error_description": refusal} if refusal else token
            return (401 if refusal else 200), json.dumps(body)
        if refusal := self._admits(request):
            return 403, refusal
        if not target.startswith(PREFIX):
            return 404, "no such workspace"
        self.passed.append(request)
        passed_on = requests.request(
            method,
            self._upstream + target.removeprefix(PREFIX),
            data=request.body,
            headers={"Content-Type": request.headers.get("content-type", "text/plain")},
            timeout=30,
        )
        return passed_on.status_code, passed_on.text


def wrong_token(request: Request) -> str:
    return "" if request.headers.get("authorization") == f"Bearer {TOKEN}" else "no valid token"


def wrong_client(request: Request) -> str:
    """What is wrong with a request for a token (RFC 6749, sections 2.3.1 and 4.4.2)."""
    pair = base64.b64encode(f"{CLIENT}:p%3Ass+w%2Brd%25".encode()).decode()
    if request.headers.get("authorization") != f"Basic {pair}":
        return f"bad client {request.headers}"
    fields = {name: each[0] for name, each in parse_qs(request.body.decode()).items()}
    expected = {
        "grant_type": "client_credentials",
        "scope": "metrics.read",
        "audience": "https://m",
    }
    return "" if fields == expected else f"bad fields {fields}"


def wrong_for_google(request: Request) -> str:
    """Its reference has the query in the address of a GET, and no form."""
    return wrong_token(request) or ("" if request.line.startswith("GET") else "Invalid payload")


def orders(url: str, query: str = ORDERS, **settings: str) -> np.ndarray:
    collector = PrometheusCollector(url=url + PREFIX, sleep=lambda _: None, **settings)  # type: ignore[arg-type]
    collected = collector.collect([Kpi("orders", "prod", query)], WINDOW, STEP)
    if collected.errors:
        raise collected.errors["orders"]
    return collected.panel["orders", "", VALUE].to_numpy()


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mapping[str, str]:
    """Keys in the environment, and no other file or machine that could have some."""
    variables = {
        **KEYS,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_requests_signed_by_aws_keys_are_answered(
    server: Server, aws_keys: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = Proxy(server.url, SIGNED)
    with proxy.running() as url:
        counts = orders(url, sign_in="aws", region=REGION)
    np.testing.assert_allclose(counts, 50.0)
    assert proxy.passed
    assert not any(secret in caplog.text for secret in (SECRET_KEY, SESSION_TOKEN))
    assert PREFIX not in caplog.text


def test_keys_of_a_profile_sign_too(
    server: Server, aws_keys: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    Path(aws_keys["AWS_CONFIG_FILE"]).write_text(
        f"[profile prod]\nregion = {REGION}\naws_access_key_id = {KEY_ID}\n"
        f"aws_secret_access_key = {SECRET_KEY}\naws_session_token = {SESSION_TOKEN}\n"
    )
    with Proxy(server.url, SIGNED).running() as url:
        np.testing.assert_allclose(orders(url, sign_in="aws", profile="prod"), 50.0)
        with pytest.raises(CollectError, match=r"^auth: the AWS credentials can't be read"):
            orders(url, sign_in="aws", profile="no such")


def test_a_wrong_key_a_missing_region_and_no_keys_say_so(
    server: Server, aws_keys: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(server.url, SIGNED).running() as url:
        with pytest.raises(CollectError, match="auth: no AWS region; set region, or AWS_REGION"):
            orders(url, sign_in="aws")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        with pytest.raises(CollectError, match=r"^auth: .* 403: .*signature we calculated"):
            orders(url, sign_in="aws", region=REGION)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(CollectError, match="auth: no AWS credentials were found; set"):
            orders(url, sign_in="aws", region=REGION)


def of_client(url: str, **other: str) -> dict[str, str]:
    settings = {
        "sign_in": "oauth2",
        "token_url": url + ABOUT_TOKENS,
        "client_id": CLIENT,
        "client_secret": CLIENT_SECRET,
        "scope": "metrics.read",
        "audience": "https://m",
    }
    return settings | other


def test_a_token_for_client_credentials_is_asked_for_once(server: Server) -> None:
    proxy = Proxy(server.url, wrong_token, wrong_client)
    with proxy.running() as url:
        np.testing.assert_allclose(orders(url, **of_client(url)), 50.0)
    assert len(proxy.passed) > 1
    assert proxy.tokens == 1


def test_a_refused_client_is_an_error_without_its_secret(server: Server) -> None:
    with Proxy(server.url, wrong_token, wrong_client).running() as url:
        with pytest.raises(CollectError, match=r"^auth: no token: .* answered 401") as caught:
            orders(url, **of_client(url, client_secret="wr0ng-s3cret"))
        assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>sign in</html>", "auth: .* answered no token"),
        ('{"access_token": "a b", "token_type": "Bearer"}', "answered a token of odd characters"),
        ('{"access_token": "abc", "expires_in": "soon"}', "auth: .* answered no token"),
        ("{}", "auth: .* answered no token"),
        ("[]", "auth: .* answered no token"),
    ],
)
def test_what_is_no_token_is_an_error(loopback: None, body: str, said: str) -> None:
    with Loopback([answer(200, body)]) as tokens, pytest.raises(CollectError, match=said):
        orders(tokens.origin, **of_client(tokens.origin))


def test_a_token_is_renewed_before_it_expires(loopback: None) -> None:
    now, kept = [0.0], list[str]()
    body = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 100})
    with Loopback([answer(200, body)]) as server:
        way = ClientCredentials(
            server.origin, CLIENT, CLIENT_SECRET, scope=None, audience=None, clock=lambda: now[0]
        )
        for moment in (0.0, 69.0, 71.0, 140.0):
            now[0] = moment
            request = requests.Request("GET", "http://127.0.0.1/").prepare()
            way.sign(request, kept.append)
            assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert len(server.requests) == 2
    assert set(kept) == {TOKEN}


def test_a_token_of_a_google_account_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

    def wrong_assertion(request: Request) -> str:
        fields = {name: each[0] for name, each in parse_qs(request.body.decode()).items()}
        head, claims, signature = fields["assertion"].split(".")
        padded = [base64.urlsafe_b64decode(each + "==") for each in (claims, signature)]
        key.public_key().verify(
            padded[1], f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        said = json.loads(padded[0])
        scope = "https://www.googleapis.com/auth/monitoring.read"
        return "" if (said["iss"], said["scope"]) == ("a@b.example", scope) else "bad claims"

    proxy = Proxy(server.url, wrong_for_google, wrong_assertion)
    with proxy.running() as url:
        account = {
            "type": "service_account",
            "client_email": "a@b.example",
            "private_key": pem,
            "private_key_id": "1",
            "token_uri": url + ABOUT_TOKENS,
            "project_id": "shop",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        np.testing.assert_allclose(orders(url, sign_in="google"), 50.0)
        query = f'sum(increase({GOOGLE_REQUESTS}{{monitored_resource="lb"}}[$step]))'
        requests_of_google = orders(url, query, sign_in="google")
        np.testing.assert_allclose(requests_of_google, 50.0)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
        with pytest.raises(CollectError, match=r"auth: no token of Google .*; set GOOGLE_APPL"):
            orders(url, sign_in="google")
    assert proxy.tokens == 2  # one for each collector


def test_headers_of_tenants_and_parameters_of_thanos_go_with_every_query(server: Server) -> None:
    proxy = Proxy(server.url, lambda _: "")
    with proxy.running() as url:
        collector = PrometheusCollector(
            url=url + PREFIX,
            headers={"X-Scope-OrgID": "shop"},
            parameters={"dedup": "true", "partial_response": "false"},
        )
        assert collector.collect([Kpi("orders", "prod", ORDERS)], WINDOW, STEP).errors == {}
    assert proxy.passed
    for request in proxy.passed:
        assert request.headers["x-scope-orgid"] == "shop"
        fields = parse_qs(request.body.decode())
        assert (fields["dedup"], fields["partial_response"]) == (["true"], ["false"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"region": REGION}, "region is given; it needs sign_in: aws"),
        ({"sign_in": "aws", "scope": "x"}, "scope is given; it needs sign_in: oauth2"),
        ({"sign_in": "oauth2", "client_id": "x"}, "oauth2 needs token_url, client_secret"),
        ({"sign_in": "google", "bearer_token": "abc"}, "bearer_token and sign_in are given; use"),
        ({"parameters": {"query": "up"}}, "parameters: query is written by the query itself"),
        (
            {"sign_in": "oauth2", "client_id": "x", "client_secret": "y", "token_url": "ftp://x"},
            "token_url starts with ftp",
        ),
        (
            {
                "sign_in": "oauth2",
                "client_id": "x",
                "client_secret": "y",
                "token_url": "http://u:p@127.0.0.1/",
            },
            "token_url holds a user",
        ),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(
    settings: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        PrometheusCollector(url="http://127.0.0.1:1", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        (
            "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1",
            {"sign_in": "aws", "region": "eu-west-1"},
        ),
        ("https://monitoring.googleapis.com/v1/projects/shop/location/global/prometheus", GOOGLE),
        ("https://prometheus.example.com", {}),
        ("https://[", {}),
    ],
)
def test_the_address_of_a_managed_service_says_how_to_sign_in(
    url: str, settings: dict[str, str]
) -> None:
    assert managed_settings(url) == settings


def test_a_first_checklist_for_azure_asks_for_the_variables_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PROMETHEUS_TOKEN", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    url = "https://shop-x1.westeurope.prometheus.monitor.azure.com"
    assert run(["init", str(tmp_path / "checklist.yaml"), "--prometheus", url]) == 2
    assert "set AZURE_TENANT_ID, AZURE_CLIENT_ID to sign in there" in capsys.readouterr().err
