"""How requests prove who asks: a token or a password as they are, a signature by AWS keys, a token
of Google, a token of any OAuth2 server.

Keys and tokens are looked up when the first request is signed, and again before they expire. Their
libraries are extras.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Literal, Protocol
from urllib.parse import quote_plus

import requests

from anomaly.errors import (
    CollectError,
    RequestError,
    RetryableCollectError,
    RetryableRequestError,
    UsageError,
)
from anomaly.http.endpoint import Endpoint, checked_base, checked_headers
from anomaly.http.transport import QUIET

Way = Literal["aws", "google", "oauth2"]
GOOGLE_WITHIN_S = 10.0  # one answer of Google's server of tokens
AHEAD_S = 30.0  # a token is renewed so long before it expires
SHORTEST_S = 60.0  # of a token whose life is not said
GOOGLE_SCOPE = "https://www.googleapis.com/auth/monitoring.read"


class SignIn(Protocol):
    """Adds what proves who asks. `keep` is told every secret before it is used."""

    def sign(self, request: requests.PreparedRequest, keep: Callable[[str], None], /) -> None:
        """Adds headers to a request that is otherwise complete. Raises CollectError."""


def signed_headers(
    way: SignIn, url: str, body: bytes, headers: Mapping[str, str], keep: Callable[[str], None]
) -> dict[str, str]:
    """The headers of a POST with what proves who asks. Raises CollectError."""
    request = requests.Request("POST", url, data=body, headers=headers).prepare()
    way.sign(request, keep)
    return {name: value for name, value in request.headers.items() if name != "Content-Length"}


def authorization(
    url: str,
    token: str | None,
    username: str | None,
    password: str | None,
    *,
    scheme: str = "Bearer",
    setting: str = "bearer_token",
) -> dict[str, str]:
    """The header that says who asks, none without credentials. Raises UsageError for those that
    don't belong together; `setting` is what the checklist calls the token."""
    if checked_base(url).username is not None:
        raise UsageError("url holds a user; write it as username and password")
    if token is not None and username is not None:
        raise UsageError(f"{setting} and username are given; use one of them")
    if password is not None and username is None:
        raise UsageError("password is given without username")
    if token is None and username is None:
        return {}
    pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
    way = f"Basic {pair}" if token is None else f"{scheme} {token}"
    return checked_headers({"Authorization": way}, ())


class AwsSignature:
    """Signature Version 4, by the keys that the AWS command line would use: environment, profile,
    single sign-on, role of a pod or machine."""

    def __init__(self, service: str, region: str | None, profile: str | None) -> None:
        import_module("botocore.session")  # what is missing is said before anything is asked
        self._service, self._region, self._profile = service, region, profile
        self._lock = threading.Lock()
        self._identity: tuple[Any, str] | None = None

    def sign(self, request: requests.PreparedRequest, keep: Callable[[str], None], /) -> None:
        """Signs method, address and body; header names that a proxy may change are not part."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        try:
            with self._lock, QUIET:
                credentials, region = self._identity = self._identity or self._look_up()
                keys = credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise CollectError(
                f"auth: the AWS credentials can't be read ({type(error).__name__}); try: aws sts "
                "get-caller-identity"
            ) from None
        for secret in (keys.secret_key, keys.token):
            if secret:
                keep(secret)
        signed = AWSRequest(
            method=request.method,
            url=request.url,
            data=request.body,
            headers={
                name: value
                for name, value in request.headers.items()
                if name.lower() == "content-type" or name.lower().startswith("x-amz-")
            },
        )
        with QUIET:
            SigV4Auth(keys, self._service, region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))

    def _look_up(self) -> tuple[Any, str]:
        from botocore.session import Session

        session = Session(profile=self._profile)
        region = self._region or session.get_config_variable("region")
        if not region:
            raise CollectError("auth: no AWS region; set region, or AWS_REGION")
        credentials = session.get_credentials()
        if credentials is None:
            raise CollectError(
                "auth: no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or give the pod or machine a role"
            )
        return credentials, region


class GoogleToken:
    """A token of the application default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS
    names, `gcloud auth application-default login`, or the account of the pod or machine."""

    def __init__(self) -> None:
        import_module("google.auth")
        self._lock = threading.Lock()
        self._credentials: Any = None

    def sign(self, request: requests.PreparedRequest, keep: Callable[[str], None], /) -> None:
        """Adds the token, and the project that is billed where the credentials name one."""
        import google.auth
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        headers: dict[str, str] = {}
        try:
            with self._lock, QUIET, requests.Session() as session:
                if self._credentials is None:
                    self._credentials, _ = google.auth.default(scopes=[GOOGLE_SCOPE])
                self._credentials.before_request(
                    partial(Request(session), timeout=GOOGLE_WITHIN_S),
                    request.method,
                    request.url,
                    headers,
                )
                keep(str(self._credentials.token))
        except TransportError:
            raise RetryableCollectError(
                "unavailable: the server of Google's tokens gave no answer"
            ) from None
        except GoogleAuthError as error:
            raise CollectError(
                f"auth: no token of Google ({type(error).__name__}); set "
                "GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login"
            ) from None
        request.headers.update({name: str(value) for name, value in headers.items()})


class ClientCredentials:
    """A token that an OAuth2 server at `token_url` gives for an id and a secret (RFC 6749, 4.4)."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None,
        audience: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from oauthlib.oauth2 import BackendApplicationClient

        if checked_base(token_url, "token_url").username is not None:
            raise UsageError("token_url holds a user; write it as client_id and client_secret")
        self._client = BackendApplicationClient(client_id)
        self._pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        self._endpoint = Endpoint(
            token_url,
            secrets=(client_secret, quote_plus(client_secret)),
            setting="token_url",
        )
        self._options = {"scope": scope, "audience": audience}
        self._lock, self._clock = threading.Lock(), clock
        self._token, self._ends = "", float("-inf")

    def sign(self, request: requests.PreparedRequest, keep: Callable[[str], None], /) -> None:
        """Adds the token; one that ends soon is renewed first."""
        with self._lock:
            if self._clock() >= self._ends:
                self._token, self._ends = self._renewed()
            keep(self._token)
        request.headers["Authorization"] = f"Bearer {self._token}"

    def _renewed(self) -> tuple[str, float]:
        """A new token, and when to ask for the next."""
        from oauthlib.oauth2 import OAuth2Error

        fields = {name: value for name, value in self._options.items() if value is not None}
        now = self._clock()
        try:
            answer = self._endpoint.ask(
                "POST",
                self._client.prepare_request_body(include_client_id=False, **fields).encode(),
                {
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "Authorization": f"Basic {base64.b64encode(self._pair.encode()).decode()}",
                },
                read=True,
            )
        except RetryableRequestError as error:
            raise RetryableCollectError(f"unavailable: the token: {error}") from None
        except RequestError as error:
            raise CollectError(f"auth: no token: {error}") from None
        try:
            # the library takes an object for granted
            text = json.dumps(dict(json.loads(answer.body)))
            token = self._client.parse_request_body_response(text)
            value, life = str(token["access_token"]), float(token.get("expires_in") or SHORTEST_S)
        except (OAuth2Error, ValueError, TypeError, KeyError, RecursionError) as error:
            raise CollectError(
                f"auth: {self._endpoint.where} answered no token ({type(error).__name__})"
            ) from None
        if not value.isascii() or not value.isprintable() or " " in value:
            raise CollectError(f"auth: {self._endpoint.where} answered a token of odd characters")
        return value, now + max(life - AHEAD_S, AHEAD_S)
