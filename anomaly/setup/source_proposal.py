"""A first checklist from what a source holds: which kinds of sources can be asked, what says where
they are, and what signs in there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from anomaly.checklist import registry
from anomaly.collectors.elasticsearch import amazon_settings
from anomaly.collectors.http_series import OTHER_FORM
from anomaly.errors import CollectError, UsageError
from anomaly.redaction import url_secrets
from anomaly.setup.proposal import Proposal

Variables = Mapping[str, str]  # settings, each by its environment variable


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of source that can be asked: the setting that says where it is, what is looked for,
    and the ways to sign in, of which the first is used whose variables are all set. `more` are
    settings that are used if their variables are set, `within` is one that narrows down where to
    look, and its value for everywhere; `read` makes the value of the first of its text. `managed`
    says how one signs in at the service of a vendor, where no way is set."""

    where: str
    looked_for: str
    ways: Sequence[Variables] = ()
    must_sign_in: bool = False
    more: Variables = field(default_factory=dict)
    within: tuple[str, str] = ("", "")
    read: Callable[[str], object] = str
    managed: Callable[[str], Variables] = lambda _: {}


def _basic(name: str) -> Variables:
    return {"username": f"{name}_USERNAME", "password": f"{name}_PASSWORD"}


def _account(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            "--source newrelic=ACCOUNT is no number; write that of the account"
        ) from None


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "datadog": Place(
            "url",
            "trace metrics",
            ({"api_key": "DD_API_KEY", "application_key": "DD_APP_KEY"},),
            must_sign_in=True,
        ),
        "cloudwatch": Place("region", "load balancers or functions"),
        "loki": Place(
            "url",
            "log lines with a label service_name, service, app, application, job or container",
            ({"bearer_token": "LOKI_TOKEN"}, _basic("LOKI")),
            more={"headers.X-Scope-OrgID": "LOKI_ORG_ID"},
        ),
        "influxdb": Place(
            "url",
            "measurements with fields like requests, errors or duration",
            ({"token": "INFLUX_TOKEN"}, _basic("INFLUX")),
            within=("database", ""),
        ),
        "graphite": Place(
            "url",
            "metrics with names like requests, errors or latency",
            ({"bearer_token": "GRAPHITE_TOKEN"}, _basic("GRAPHITE")),
        ),
        "elasticsearch": Place(
            "url",
            "documents with a time and a status, an outcome or a level",
            ({"api_key": "ELASTIC_API_KEY"}, _basic("ELASTIC")),
            within=("index", "*"),
            managed=amazon_settings,
        ),
        "newrelic": Place(
            "account_id",
            "transactions",
            ({"api_key": "NEW_RELIC_API_KEY"},),
            must_sign_in=True,
            more={"url": "NEW_RELIC_URL"},
            read=_account,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Which source is asked, and maybe what `within` it, about which service, by default the
    busiest one. `environ` holds the credentials, and `keep_secret` is told them."""

    type: str
    where: str
    within: str
    service: str
    environ: Mapping[str, str]
    keep_secret: Callable[[frozenset[str]], None]


def propose(ask: Ask, *, now: datetime) -> Proposal | None:
    """What to judge of a service by what the source holds; None if it holds nothing that is known.
    Raises UsageError, CollectError."""
    written, filled = _settings(ask)
    source = registry.collector(registry.Plugin(ask.type, filled))
    module: Any = import_module(f"anomaly.setup.{ask.type}_proposal")
    try:
        proposal: Proposal | None = module.propose(
            source, {"type": ask.type, **written}, ask.service, now
        )
    except OTHER_FORM as error:
        raise CollectError(
            f"unreadable: {source!r} answered something else than it is asked "
            f"({type(error).__name__}); is that the address of its API?"
        ) from None
    return proposal


def _settings(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the source as they are written into the checklist, and as they are meant."""
    place = PLACES[ask.type]
    secrets = url_secrets(ask.where)
    ask.keep_secret(secrets)
    if place.ways and "@" in urlsplit(ask.where).netloc:
        names = " and ".join(place.ways[-1].values())
        raise UsageError(f"--source {ask.type}=URL holds a user; set {names} in its place")
    way = next((each for each in place.ways if all(map(ask.environ.get, each.values()))), {})
    if place.must_sign_in and not way:
        unset = [name for name in place.ways[0].values() if not ask.environ.get(name)]
        raise UsageError(f"set {' and '.join(unset)} to sign in to {ask.type}")
    more = {name: each for name, each in place.more.items() if ask.environ.get(each)}
    variables = {**way, **more}
    ask.keep_secret(secrets | {ask.environ[each] for each in way.values()})
    filled: dict[str, Any] = {place.where: place.read(ask.where)}
    shown = {place.where: f"${{{ask.type.upper()}_URL}}"} if secrets else filled
    written: dict[str, Any] = dict(shown)
    for name, variable in variables.items():
        for settings, value in ((written, f"${{{variable}}}"), (filled, ask.environ[variable])):
            setting, _, key = name.partition(".")
            settings[setting] = {key: value} if key else value
    setting, everywhere = place.within
    inside: dict[str, str] = {setting: ask.within or everywhere} if setting else {}
    inside |= {} if way else place.managed(ask.where)
    return written | inside, filled | inside
