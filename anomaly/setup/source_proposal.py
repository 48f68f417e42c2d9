"""A first checklist from what a source holds: which kinds of sources can be asked, what says where
they are, and what signs in there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from types import MappingProxyType
from typing import Any

from anomaly.checklist import registry
from anomaly.collectors.http_series import OTHER_FORM
from anomaly.errors import CollectError, UsageError
from anomaly.redaction import url_secrets
from anomaly.setup.proposal import Proposal

SERVICE = re.compile(r"[\w.:/-]*")
Variables = Mapping[str, str]  # settings, each by its environment variable


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of source that can be asked: the setting that says where it is, what is looked for,
    and the ways to sign in, of which the first is used whose variables are all set."""

    where: str
    looked_for: str
    ways: Sequence[Variables] = ()
    must_sign_in: bool = False


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "datadog": Place(
            "url",
            "trace metrics",
            ({"api_key": "DD_API_KEY", "application_key": "DD_APP_KEY"},),
            must_sign_in=True,
        ),
        "cloudwatch": Place("region", "load balancers or functions"),
    }
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Which source is asked about which service, by default the busiest one. `environ` holds the
    credentials, and `keep_secret` is told them."""

    type: str
    where: str
    service: str
    environ: Mapping[str, str]
    keep_secret: Callable[[frozenset[str]], None]


def propose(ask: Ask, *, now: datetime) -> Proposal | None:
    """What to judge of a service by what the source holds; None if it holds nothing that is known.
    Raises UsageError, CollectError."""
    if not SERVICE.fullmatch(ask.service):
        raise UsageError("--service is no name of a service: letters, digits and _ . : / -")
    written, filled = _settings(ask)
    source = registry.collector(registry.Plugin(ask.type, filled))
    module: Any = import_module(f"anomaly.setup.{ask.type}_proposal")
    try:
        found: Proposal | None = module.propose(
            source, {"type": ask.type, **written}, ask.service, now
        )
    except OTHER_FORM as error:
        raise CollectError(
            f"unreadable: {source!r} answered something else than it is asked "
            f"({type(error).__name__}); is that the address of its API?"
        ) from None
    return found


def _settings(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the source as they are written into the checklist, and as they are meant."""
    place = PLACES[ask.type]
    secrets = url_secrets(ask.where)
    way = next((each for each in place.ways if all(map(ask.environ.get, each.values()))), {})
    ask.keep_secret(secrets | {ask.environ[variable] for variable in way.values()})
    if place.must_sign_in and not way:
        unset = [name for name in place.ways[0].values() if not ask.environ.get(name)]
        raise UsageError(f"set {' and '.join(unset)} to sign in to {ask.type}")
    filled = {place.where: ask.where} | {name: ask.environ[each] for name, each in way.items()}
    written = {name: f"${{{each}}}" for name, each in way.items()}
    where = f"${{{ask.type.upper()}_URL}}" if secrets else ask.where
    return {place.where: where} | written, filled
