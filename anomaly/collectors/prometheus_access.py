"""Where a Prometheus API is and what opens it: address, credentials, headers, certificates. Checked
at the door."""

from __future__ import annotations

import base64
import logging
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack
from urllib.parse import unquote, urlsplit

import requests

from anomaly.checklist.variables import is_secret_name
from anomaly.collectors.sign_in import AwsSignature, ClientCredentials, GoogleToken, SignIn, Way
from anomaly.errors import CollectError, UsageError
from anomaly.http.endpoint import checked_url
from anomaly.redaction import url_secrets

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
TOKEN = re.compile(r"[\x21-\x7e]+")
LONGEST_TOKEN = 65_536  # bytes
AWS_SERVICE = "aps"  # Amazon Managed Service for Prometheus
AWS_HOST = re.compile(r"aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
GOOGLE_HOST, AZURE_HOSTS = "monitoring.googleapis.com", ".prometheus.monitor.azure.com"
OWN_PARAMETERS = frozenset({"query", "start", "end", "step", "timeout"})
SETTINGS_OF: Mapping[Way, tuple[str, ...]] = {
    "aws": ("region", "profile"),
    "google": (),
    "oauth2": ("token_url", "client_id", "client_secret", "scope", "audience"),
}
NEEDED = ("token_url", "client_id", "client_secret")
log = logging.getLogger(__name__)


class Address(TypedDict):
    """The setting that every access needs."""

    url: str


class ManagedSettings(TypedDict, total=False):
    """The settings of a managed service; those that are missing are None."""

    sign_in: Way | None
    region: str | None
    profile: str | None
    token_url: str | None
    client_id: str | None
    client_secret: str | None
    scope: str | None
    audience: str | None


class AccessSettings(Address, ManagedSettings, total=False):
    """The settings of an `Access`; those that are missing are None."""

    bearer_token: str | None
    bearer_token_file: Path | None
    username: str | None
    password: str | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    headers: Mapping[str, str] | None
    parameters: Mapping[str, str] | None


class Access:
    """How to reach the API at `url`, by at most one of: user and password, a token, a file that
    holds the token, the `sign_in` of a managed service. `parameters` go with every query.

    `cert_file` and `key_file` (or one file with both) prove to the server who asks; `ca_file` is
    what proves the server. Raises UsageError if something can't be used; no text or repr of it
    holds a secret.
    """

    def __init__(self, **settings: Unpack[AccessSettings]) -> None:
        self.url, self.host, self.where, url_user, url_password = _taken_apart(settings["url"])
        username, password = settings.get("username"), settings.get("password")
        if url_user is not None and username is not None:
            raise UsageError("a user is given both in url and as username; use one")
        self._user = url_user if username is None else username
        self._password = url_password if password is None else password
        self._token = settings.get("bearer_token")
        self._token_file = settings.get("bearer_token_file")
        self.headers, self.ca_file = dict(settings.get("headers") or {}), settings.get("ca_file")
        self.cert_file, self.key_file = settings.get("cert_file"), settings.get("key_file")
        self.parameters = dict(settings.get("parameters") or {})
        self._way, self._client_id = settings.get("sign_in"), settings.get("client_id")
        self._secrets = {
            *url_secrets(settings["url"]),
            *url_secrets(settings.get("token_url") or ""),
            *self.headers.values(),
            *(value for name, value in self.parameters.items() if is_secret_name(name)),
            *(
                text
                for text in (self._token, self._password, settings.get("client_secret"))
                if text
            ),
        }
        self._check()
        self._sign_in = _sign_in(settings)
        _warn_if_public("bearer_token_file", self._token_file)
        name = "cert_file" if self.key_file is None else "key_file"
        _warn_if_public(name, self.key_file or self.cert_file)

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret known so far, the tokens read from the file included."""
        return frozenset(self._secrets)

    @property
    def is_signed(self) -> bool:
        """Whether requests carry credentials that this knows to be some."""
        return any((self._token, self._token_file, self._user, self._way))

    @property
    def page(self) -> str:
        """The address under which the server shows its own pages; empty if it has none, or if the
        address is secret."""
        is_api_alone = self._way in {"aws", "google"}
        is_secret = any(secret in self.url for secret in self.secrets)
        return "" if is_api_alone or is_secret else self.url

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells this source apart from another at the same place, such as a tenant; without
        the values of tokens, passwords and headers that hold one."""
        headers = (
            name.lower() if is_secret_name(name) else f"{name.lower()}: {value}"
            for name, value in self.headers.items()
        )
        parameters = (
            f"?{name}" if is_secret_name(name) else f"?{name}={value}"
            for name, value in self.parameters.items()
        )
        way = [f"{self._way} {self._client_id or ''}"] if self._way else []
        return (self.url, self._user or "", *sorted(headers), *sorted(parameters), *way)

    def sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the credentials to `request`; a token file is read anew, for tokens expire. Raises
        CollectError."""
        if self._sign_in is not None:
            self._sign_in.sign(request, self._secrets.add)
            return request
        token = self._token if self._token_file is None else self._read_token(self._token_file)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        elif self._user is not None:
            pair = f"{self._user}:{self._password or ''}".encode()
            request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        return request

    def __repr__(self) -> str:
        return f"Access({self.where})"

    def _check(self) -> None:
        ways = {
            "bearer_token": self._token,
            "bearer_token_file": self._token_file,
            "username": self._user,
            "sign_in": self._way,
        }
        ways_in_use = [name for name, value in ways.items() if value is not None]
        if len(ways_in_use) > 1:
            raise UsageError(f"{' and '.join(ways_in_use)} are given; use one of them")
        if self._password is not None and self._user is None:
            raise UsageError("password is given without username")
        if self._token is not None and not TOKEN.fullmatch(self._token):
            raise UsageError(
                "bearer_token is empty or holds spaces, line breaks or characters beyond ASCII"
            )
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise UsageError(
                    f"headers: {name!r} or its value holds characters that a header can't"
                )
            if name.lower() == "authorization" and ways_in_use:
                raise UsageError(
                    f"headers: {name} is given beside {ways_in_use[0]}; use one of them"
                )
        if own := sorted(OWN_PARAMETERS & set(self.parameters)):
            raise UsageError(f"parameters: {own[0]} is written by the query itself; leave it out")
        for name, path in {
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
        }.items():
            if path is not None and not path.exists():
                raise UsageError(f"{name} {path} does not exist")
        self._check_certificate()

    def _check_certificate(self) -> None:
        if self.cert_file is None:
            if self.key_file is not None:
                raise UsageError(
                    "key_file is given without cert_file; name the certificate that belongs to "
                    "the key"
                )
            return
        if not self.url.startswith("https:"):
            raise UsageError(
                "cert_file is given, but url is not https; without TLS there is nobody to show "
                "it to"
            )
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                self.cert_file, self.key_file, password=_no_passphrase
            )
        except ssl.SSLError as error:
            pair = f"cert_file {self.cert_file}" + (
                f" and key_file {self.key_file}" if self.key_file else " without key_file"
            )
            if error.reason == "KEY_VALUES_MISMATCH":
                raise UsageError(f"{pair} do not belong together") from None
            raise UsageError(
                f"{pair} can't be used; both certificate and key must be there, in PEM, without "
                "a passphrase"
            ) from None
        except OSError as error:
            raise UsageError(f"cert_file or key_file can't be read: {error.strerror}") from None

    def _read_token(self, path: Path) -> str:
        try:
            with path.open(encoding="ascii") as file:
                token = file.read(LONGEST_TOKEN).strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not plain text"
            raise CollectError(f"auth: bearer_token_file {path} can't be read: {reason}") from None
        if not TOKEN.fullmatch(token):
            raise CollectError(
                f"auth: bearer_token_file {path} is empty or holds more than one word"
            )
        self._secrets.add(token)
        return token


def managed_settings(url: str) -> ManagedSettings:
    """How one signs in at the managed service of an address, as a checklist says it; empty if it is
    none that is known. Variables have the names that the vendors' own tools use."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return {}
    if at_aws := AWS_HOST.fullmatch(host):
        return {"sign_in": "aws", "region": at_aws[1]}
    if host == GOOGLE_HOST:
        return {"sign_in": "google"}
    if host.endswith(AZURE_HOSTS):
        return {
            "sign_in": "oauth2",
            "token_url": "https://login.microsoftonline.com/${AZURE_TENANT_ID}/oauth2/v2.0/token",
            "client_id": "${AZURE_CLIENT_ID}",
            "client_secret": "${AZURE_CLIENT_SECRET}",
            "scope": "https://prometheus.monitor.azure.com/.default",
        }
    return {}


def _sign_in(settings: AccessSettings) -> SignIn | None:
    """How requests are signed, if not by a token or a password. Raises UsageError."""
    way, present = settings.get("sign_in"), {name for name, value in settings.items() if value}
    for other, names in SETTINGS_OF.items():
        if other != way and (stray := sorted(present.intersection(names))):
            raise UsageError(f"{stray[0]} is given; it needs sign_in: {other}")
    match way:
        case "aws":
            return AwsSignature(AWS_SERVICE, settings.get("region"), settings.get("profile"))
        case "google":
            return GoogleToken()
        case "oauth2":
            if missing := [name for name in NEEDED if name not in present]:
                raise UsageError(f"sign_in: oauth2 needs {', '.join(missing)}")
            return ClientCredentials(
                settings.get("token_url") or "",
                settings.get("client_id") or "",
                settings.get("client_secret") or "",
                scope=settings.get("scope"),
                audience=settings.get("audience"),
            )
    return None


def _warn_if_public(name: str, path: Path | None) -> None:
    """Not refused, for mounted secrets of containers are like that."""
    if path is not None and path.exists() and path.stat().st_mode & stat.S_IROTH:
        log.warning("%s %s can be read by everyone on this machine; chmod 600 it", name, path)


def _no_passphrase() -> str:
    """In place of OpenSSL's question on the terminal."""
    return ""


def _taken_apart(url: str) -> tuple[str, str, str, str | None, str | None]:
    """The URL without user and final slash, host, what may be shown of it (scheme, host, port),
    user, password."""
    parts = checked_url(url)
    if not url.isprintable() or " " in url:
        raise UsageError("url holds a space or a sign that can't be printed; leave it out")
    if parts.query or parts.fragment:
        raise UsageError(
            "url must not hold ? or #; give credentials as bearer_token, username and password, "
            "or headers"
        )
    display = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return display + parts.path.rstrip("/"), parts.hostname or "", display, user, password
