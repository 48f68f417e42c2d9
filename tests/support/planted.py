"""Settings with a secret of its own in every place that may hold one, for all plug-ins there
are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote

from anomaly.checklist import registry
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS, Kind, Plugin
from anomaly.checklist.variables import is_secret_name
from anomaly.errors import ChecklistError
from anomaly.timing.durations import parse_duration
from tests.collectors.test_contract import EXAMPLES as COLLECTOR_EXAMPLES
from tests.releases.test_contract import EXAMPLES as RELEASE_EXAMPLES
from tests.sinks.test_contract import SETTINGS
from tests.support.examples import SECRET, Answer, Example, Place
from tests.support.loopback import Loopback
from tests.support.servers import TLS

# in place of which one is written
TOKEN_FILE = "a file with a token"
KEY_FILE = "a file with a private key"
MARK = 9  # characters of a secret by which it is known
KINDS = (COLLECTORS, RELEASES, SINKS)
MAKE: Mapping[str, Callable[..., Any]] = {
    COLLECTORS.name: registry.collector,
    RELEASES.name: registry.release_source,
    SINKS.name: registry.sink,
}
HARMLESS = {  # settings of text that hold no secret and stand in no example: why, and their names
    "a place on disk": {"ca_file", "cert_file"},
    "a name in the data": {"time_column", "kpi_column", "value_column", "labels"},
    "public where code is": {"pull_request", "context"},
    "shown in a chat": {"channel"},
    "shown in Prometheus": {"job"},
    "a repository, a branch and a name in it": {"github", "gitlab", "artifact", "branch"},
    "names that a sign-in shows": {"client_id", "scope", "audience", "region", "profile"},
}
EXAMPLES: Mapping[str, Mapping[str, Callable[[Place], Example]]] = {
    COLLECTORS.name: COLLECTOR_EXAMPLES,
    RELEASES.name: RELEASE_EXAMPLES,
}


@dataclass(frozen=True)
class Places:
    """Where servers are: origins, and host with port."""

    http: str
    https: str
    smtp: str
    database: str
    folder: Path
    patience: dict[str, str] = field(default_factory=dict)  # settings
    servers: list[Loopback] = field(default_factory=list)  # those of `http` and `https`


def _of_prometheus(at: Places) -> list[dict[str, Any]]:
    return [
        {
            "url": at.http,
            "bearer_token": SECRET,
            "headers": {"X-Key": SECRET},
            "parameters": {"key": SECRET},
        }
        | at.patience,
        {"url": at.http, "bearer_token_file": TOKEN_FILE} | at.patience,
        {"url": at.http, "username": SECRET, "password": SECRET} | at.patience,
        {
            "url": at.https,
            "ca_file": str(TLS / "authority.pem"),
            "cert_file": str(TLS / "client.pem"),
            "key_file": KEY_FILE,
        }
        | at.patience,
        {
            "url": at.http,
            "sign_in": "oauth2",
            "token_url": f"{at.http}/token",
            "client_id": "anomaly",
            "client_secret": SECRET,
            "scope": "metrics.read",
        }
        | at.patience,
    ]


def _of_mail(at: Places) -> list[dict[str, Any]]:
    host, _, port = at.smtp.partition(":")
    who = {"sender": "anomaly@example.com", "to": ["ops@example.com"]}
    return [
        {
            "host": host,
            "port": int(port),
            "username": SECRET,
            "password": SECRET,
            **who,
            **at.patience,
        }
    ]


# all settings that may hold a secret, in as many goes as they exclude one another; where there is
# no line here, those of the conformance suite, and of sinks both
VARIANTS: dict[tuple[str, str], Callable[[Places], list[dict[str, Any]]]] = {
    ("source", "prometheus"): _of_prometheus,
    ("source", "loki"): lambda at: [
        {"url": at.http, "bearer_token": SECRET, "headers": {"X-Key": SECRET}} | at.patience,
        {"url": at.http, "username": SECRET, "password": SECRET} | at.patience,
    ],
    ("source", "elasticsearch"): lambda at: [
        {"url": at.http, "index": "kpis", **way} | at.patience
        for way in (
            {"api_key": SECRET},
            {"bearer_token": SECRET},
            {"username": SECRET, "password": SECRET},
        )
    ],
    ("source", "influxdb"): lambda at: [
        {"url": at.http, "database": "shop", "token": SECRET} | at.patience,
        {"url": at.http, "database": "shop", "username": SECRET, "password": SECRET} | at.patience,
    ],
    ("source", "graphite"): lambda at: [
        {"url": at.http, "bearer_token": SECRET} | at.patience,
        {"url": at.http, "username": SECRET, "password": SECRET} | at.patience,
    ],
    ("source", "junit"): lambda at: [
        {"url": f"{at.http}/runs", "bearer_token": SECRET, "headers": {"X-Key": SECRET}}
        | at.patience,
        {"url": at.http, "username": SECRET, "password": SECRET} | at.patience,
        *(
            {kind: "shop/web", "artifact": "junit", "url": at.http, "bearer_token": SECRET}
            | at.patience
            for kind in ("github", "gitlab")
        ),
        {"path": "runs"},
    ],
    ("source", "sql"): lambda at: [
        {"url": f"postgresql://anomaly:{SECRET}@{at.database}?sslpassword={SECRET}"} | at.patience,
        {"path": "shop.db"},
    ],
    ("source of releases", "prometheus"): lambda at: [
        each | {"query": "build_info", "label": "version"} for each in _of_prometheus(at)
    ],
    ("source of releases", "git"): lambda _: [{"path": "."}],
    ("source of releases", "json"): lambda at: [
        {"url": f"{at.http}/releases", "headers": {"X-Key": SECRET}} | at.patience,
        {"path": "releases.json"},
    ],
    ("sink", "email"): _of_mail,
    ("sink", "alertmanager"): lambda at: [{"url": at.http} | at.patience],
    ("sink", "slack"): lambda at: [
        {"api": at.http, "token": SECRET, "channel": "#releases"} | at.patience
    ],
    ("sink", "github"): lambda _: [{"what": ["summary", "annotations"]}],
}
FORMS: Mapping[str, Callable[[str], str]] = {  # what more of a URL may be secret
    "userinfo": lambda url: url.replace("://", f"://{SECRET}:{SECRET}@", 1),
    "path": lambda url: re.sub(r"(?=\?|$)", f"/{SECRET}", url, count=1),
    "query": lambda url: f"{url}{'&' if '?' in url else '?'}key={SECRET}",
}


@dataclass
class Planted:
    """The secrets by name, the variables that hold them, and where files that do are written."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """A new secret, whose beginning looks another in each encoding."""
        same = sum(each == name or each.startswith(f"{name} #") for each in self.secrets)
        made = f"c4n/+&{len(self.secrets):03d}%k3y="
        self.secrets[f"{name} #{same + 1}" if same else name] = made
        return made

    def variable(self, value: str) -> str:
        """`${NAME}` of a new variable with that value."""
        name = f"V{len(self.environ)}"
        self.environ[name] = value
        return f"${{{name}}}"

    def settings(self, value: Any, name: str) -> Any:
        """The settings with a new secret at each SECRET, by way of a variable or a file."""
        if isinstance(value, Mapping):
            return {key: self.settings(each, f"{name} {key}") for key, each in value.items()}
        if value in (TOKEN_FILE, KEY_FILE):
            return str(self._file(value, name))
        return (
            self.variable(self.value(value, name))
            if isinstance(value, str) and SECRET in value
            else value
        )

    def value(self, text: str, name: str) -> str:
        """The text with a new secret at each SECRET."""
        is_url = "://" in text
        return re.sub(
            re.escape(SECRET),
            lambda _: quote(self.secret(name), safe="") if is_url else self.secret(name),
            text,
        )

    def as_text(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with files where some are to be; each SECRET stays."""
        return {
            key: str(self._file(value, key)) if value in (TOKEN_FILE, KEY_FILE) else value
            for key, value in settings.items()
        }

    def _file(self, kind: str, name: str) -> Path:
        path = self.folder / f"secret-{len(self.secrets)}"
        if kind == TOKEN_FILE:
            path.write_text(self.secret(name), encoding="ascii")
        else:
            shutil.copy(TLS / "client.pem", path)
            self.secrets[name] = path.read_text(encoding="ascii").splitlines()[3]
        path.chmod(0o600)
        return path


@dataclass(frozen=True)
class FaultyPlace(Place):
    """A place whose servers are all at one origin."""

    http: str = ""

    def origin(self, _reply: Answer, /) -> str:
        return self.http


def variants(kind: Kind, name: str, at: Places) -> list[dict[str, Any]]:
    """The settings of a plug-in that are tried, SECRET not yet replaced."""
    more = VARIANTS[kind.name, name](at) if (kind.name, name) in VARIANTS else []
    if kind is not SINKS:
        return more or [
            settings | _patience(kind, name, at) for settings in example(kind, name, at)
        ]
    if name == "email":  # mail without a login has no secret
        return more
    return [*(waiting(name, settings, at.patience) for settings in example(kind, name, at)), *more]


def example(kind: Kind, name: str, at: Places) -> list[dict[str, Any]]:
    """The settings of a plug-in in its conformance suite, if it takes part."""
    if kind is SINKS:
        return [SETTINGS[name](at.http)] if name in SETTINGS else []
    if name not in EXAMPLES[kind.name]:
        return []
    with ExitStack() as running:
        place = FaultyPlace(Path(mkdtemp(dir=at.folder)), running, http=at.http)
        return [dict(EXAMPLES[kind.name][name](place).settings)]


def _patience(kind: Kind, name: str, at: Places) -> dict[str, str]:
    return at.patience if "timeout" in registry.built_in_settings(kind)[name] else {}


def untried_settings(kind: Kind, name: str, folder: Path) -> list[str]:
    """Settings that may hold any text, and are neither tried with a secret nor known to hold none.

    A setting that stands in the example without SECRET holds none, unless its name says otherwise.
    """
    at = Places("http://127.0.0.1:1", "https://127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1/x", folder)
    examples = example(kind, name, at)
    tried = {
        key
        for settings in variants(kind, name, at)
        for taken_and_refused in [with_forms(kind, name, settings, folder)]
        for each in (taken_and_refused[0], *taken_and_refused[1])
        for key, value in each.items()
        if _holds_secret(value)
    }
    harmless = {key for settings in examples for key in settings if not is_secret_name(key)}.union(
        *HARMLESS.values()
    )
    return [
        key
        for key, setting in registry.built_in_settings(kind)[name].items()
        if _holds_text(setting.annotation) and key not in tried | harmless
    ]


def _holds_secret(value: object) -> bool:
    return value in (TOKEN_FILE, KEY_FILE) or SECRET in str(value)


def _holds_text(annotation: Any) -> bool:
    """Whether a setting of this type may hold any text: text itself, a path, or a union or
    collection of these."""
    if get_origin(annotation) is Literal:
        return False
    inside = get_args(annotation)
    return any(map(_holds_text, inside)) if inside else annotation in (str, Path)


def waiting(name: str, settings: dict[str, Any], patience: dict[str, str]) -> dict[str, Any]:
    """The settings of a sink that has this patience."""
    if name == "apprise" and patience:
        seconds = parse_duration(patience["timeout"]).total_seconds()
        return settings | {"url": f"{settings['url']}&cto={seconds}&rto={seconds}"}
    return settings | (patience if "timeout" in registry.built_in_settings(SINKS)[name] else {})


def with_forms(
    kind: Kind, name: str, settings: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings with a secret in each part of a URL that may hold one, and what they would be
    with one where it is refused."""
    refused = []
    for key in [
        key
        for key, value in settings.items()
        if isinstance(value, str) and value.startswith(("http", "json"))
    ]:
        for name_of_form, form in FORMS.items():
            if name_of_form == "userinfo" and "Authorization" in settings.get("headers", {}):
                continue  # of the two only one is sent
            more = settings | {key: form(settings[key])}
            if _is_taken(kind, name, more, folder):
                settings = more
            else:
                refused.append(more)
    return settings, refused


def _is_taken(kind: Kind, name: str, settings: Mapping[str, Any], folder: Path) -> bool:
    try:
        MAKE[kind.name](Plugin(name, Planted(folder).as_text(settings), folder=folder))
    except ChecklistError:
        return False
    return True
