"""Checks everything that a checklist needs. Each check stands alone and has a deadline. Nothing is
sent, created or repaired."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from anomaly.checklist import registry
from anomaly.checklist.checklist import Checklist
from anomaly.checklist.registry import COLLECTORS, SINKS, Plugin
from anomaly.checklist.settings import STANDARD_INPUT
from anomaly.contracts import Collector, ReleaseSource
from anomaly.errors import AnomalyError, ChecklistError, CollectError
from anomaly.history.store import Store
from anomaly.http.transport import MetadataAddressError, refuse_metadata
from anomaly.model import Kpi, Window
from anomaly.redaction import is_url
from anomaly.releases.ci import NoPipelineError
from anomaly.steps import align, later
from anomaly.timing.durations import duration_text
from anomaly.wording import stamp

DEADLINE = timedelta(seconds=20)  # of all checks together, for they run at once
STEPS = 3  # asked of each source
SKEW = timedelta(seconds=10)  # between two clocks; more of it eats up a source's lag
NAMED = 3  # KPIs that are named; the rest is counted
LIBRARIES = (
    "numpy",
    "pandas",
    "scipy",
    "statsmodels",
    "pydantic",
    "requests",
    "prometheus-api-client",
    "sqlalchemy",
)
PORTS = {"http": 80, "https": 443}


class State(StrEnum):
    """The outcome of one check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check, and what to change. `wrong` says that the checklist must change."""

    name: str
    state: State
    said: str
    todo: str = ""
    wrong: bool = False
    took_s: float = 0.0


class _Bad(Exception):
    """Something is wrong: what, and what to do about it."""

    def __init__(self, said: str, todo: str = "", state: State = State.FAILED) -> None:
        super().__init__(said)
        self.said, self.todo, self.state = said, todo, state


Probe = Callable[[], str]  # says what is well; raises _Bad


def installation() -> Iterator[Check]:
    """What runs, on what, and with which extras."""
    yield Check(
        "anomaly",
        State.OK,
        f"{version(registry.DISTRIBUTION)} on Python {platform.python_version()}",
    )
    versions, missing = [], []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    todo = f"pip install {registry.DISTRIBUTION}" if missing else ""
    text = ", ".join([*versions, *(f"{name} is missing" for name in missing)])
    yield Check("libraries", State.FAILED if missing else State.OK, text, todo)
    have = {
        extra: importlib.util.find_spec(module) is not None
        for module, extra in sorted(registry.EXTRAS.items())
    }
    lack = [extra for extra, there in have.items() if not there]
    text = ", ".join(extra for extra, there in have.items() if there) or "none"
    yield Check("extras", State.OK, text + (f"; not installed: {', '.join(lack)}" if lack else ""))


def examine(
    checklist: Checklist, store: Callable[[], str], *, now: datetime, deadline: timedelta = DEADLINE
) -> list[Check]:
    """Asks each source for its last steps, connects to each sink, opens the history, whose place
    `store` says: one check each."""
    probes: list[tuple[str, Probe]] = []
    for name, plugin in checklist.sources.items():
        kpis = [kpi for kpi in checklist.kpis if kpi.source == name]
        probes.append((f"source {name}", partial(_source, plugin, kpis, checklist, now)))
    probes += _of_releases(checklist, now, "the last day")
    probes += [(f"sink {name}", partial(_sink, plugin)) for name, plugin in checklist.receivers]
    probes += [(f"hook {hook.name}", partial(_sink, hook.plugin)) for hook in checklist.hooks]
    if checklist.heartbeat:
        probes.append(("heartbeat", partial(_reach_url, checklist.heartbeat)))
    if not checklist.receivers:
        probes.append(("sinks", _nobody))
    probes.append(("store", partial(_store, store)))
    return _asked(probes, deadline)


def examine_releases(
    checklist: Checklist, *, now: datetime, until: bool, deadline: timedelta = DEADLINE
) -> list[Check]:
    """Asks each source of releases for the day before `now`, which is a moment that somebody gave
    if it is `until`: one check each."""
    day = f"the day before {stamp(now)}" if until else "the last day"
    return _asked(_of_releases(checklist, now, day), deadline)


# --- one at a time, and all at once -------------------------------------------------------------


def _asked(probes: Sequence[tuple[str, Probe]], deadline: timedelta) -> list[Check]:
    ends = time.monotonic() + deadline.total_seconds()
    outcomes = [(name, _started(name, probe)) for name, probe in probes]
    return [_awaited(name, outcome, ends, deadline) for name, outcome in outcomes]


def _started(name: str, probe: Probe) -> Future[Check]:
    outcome: Future[Check] = Future()
    thread = threading.Thread(
        target=lambda: outcome.set_result(_checked(name, probe)), name=name, daemon=True
    )
    thread.start()
    return outcome


def _checked(name: str, probe: Probe) -> Check:
    """The outcome of a probe, whatever it does."""
    began = time.monotonic()
    try:
        check = Check(name, State.OK, probe())
    except _Bad as bad:
        check = Check(name, bad.state, bad.said, bad.todo)
    except ChecklistError as error:
        check = Check(name, State.FAILED, str(error), wrong=True)
    except AnomalyError as error:
        check = Check(name, State.FAILED, str(error))
    except Exception as error:  # noqa: BLE001  a plug-in may raise anything; its text may hold a secret that nobody knows of
        check = Check(
            name,
            State.FAILED,
            f"it crashed: {type(error).__name__}",
            "run the command that uses it with -v",
        )
    return replace(check, took_s=time.monotonic() - began)


def _awaited(name: str, outcome: Future[Check], ends: float, deadline: timedelta) -> Check:
    try:
        return outcome.result(timeout=max(0.0, ends - time.monotonic()))
    except TimeoutError:
        return Check(
            name,
            State.FAILED,
            f"no answer within {duration_text(deadline)}",
            took_s=deadline.total_seconds(),
        )


# --- sources ------------------------------------------------------------------------------------


def _source(plugin: Plugin, kpis: Sequence[Kpi], checklist: Checklist, now: datetime) -> str:
    collector = registry.collector(plugin)
    if registry.full_settings(plugin, COLLECTORS).get("path") == STANDARD_INPUT:
        return "standard input; not read by this check"
    if not kpis:
        raise _Bad("no KPI uses it", "remove it, or make it the source of a KPI", State.WARNING)
    return _answered(collector, kpis, checklist, now)


def _answered(
    collector: Collector, kpis: Sequence[Kpi], checklist: Checklist, now: datetime
) -> str:
    """The outcome of a query for the last steps."""
    step = checklist.windows.step
    end = align(now - checklist.windows.lag, step)
    began = time.monotonic()
    collected = collector.collect(kpis, Window(later(end, step, -STEPS), end), step)
    took = f"in {time.monotonic() - began:.2f} s"
    if collected.errors:
        text = str(next(iter(collected.errors.values())))
        raise _Bad(
            f"{len(collected.errors)} of {len(kpis)} KPIs got no answer {took}: {text}",
            _probing(checklist),
        )
    skew = getattr(collector, "clock_skew", None)
    if skew is not None and abs(skew) > SKEW:
        off = duration_text(timedelta(seconds=round(abs(skew).total_seconds())))
        text = (
            f"answered {took}, but its clock is {off} "
            f"{'ahead of' if skew > timedelta(0) else 'behind'} this machine's"
        )
        raise _Bad(
            text,
            "synchronize both by NTP: the choice of the last complete step depends on it",
            State.WARNING,
        )
    present = collected.panel.notna().any(axis=0)
    with_samples = {
        str(kpi)
        for kpi, there in zip(present.index.get_level_values("kpi"), present, strict=True)
        if there
    }
    if quiet := [kpi.name for kpi in kpis if kpi.name not in with_samples]:
        text = (
            f"answered {took}, but returned no samples for the last {duration_text(STEPS * step)}: "
            f"{_named(quiet)}"
        )
        raise _Bad(text, _probing(checklist), State.WARNING)
    return f"{len(kpis)} of {len(kpis)} KPIs answered {took}, {int(present.sum())} series"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (
        f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    )


def _probing(checklist: Checklist) -> str:
    environment = f" --environment {checklist.environment}" if checklist.environment else ""
    return f"anomaly validate --probe {checklist.path}{environment}"


# --- releases -----------------------------------------------------------------------------------


def _of_releases(checklist: Checklist, now: datetime, day: str) -> list[tuple[str, Probe]]:
    return [
        (f"releases {plugin.type}", partial(_releases, plugin, now, day))
        for plugin in checklist.releases
    ]


def _releases(plugin: Plugin, now: datetime, day: str) -> str:
    source: ReleaseSource = registry.release_source(plugin)
    try:
        releases = source.discover(Window(now - timedelta(days=1), now))
    except NoPipelineError as error:
        raise _Bad(str(error), "run this in the pipeline", State.WARNING) from None
    text = f"{len(releases)} release{'' if len(releases) == 1 else 's'} in {day}" + (
        f", the last at {releases[-1].started_at:%H:%M} UTC" if releases else ""
    )
    check_commits: Callable[[], None] | None = getattr(source, "check_commits", None)
    if check_commits is not None:
        try:
            check_commits()
        except CollectError as error:
            raise _Bad(
                f"{text}, but their commits can't be read: {error}",
                "reports will not name the commits of a release until it may read them",
                State.WARNING,
            ) from None
        text += "; may read commits"
    return text


# --- sinks --------------------------------------------------------------------------------------


def _sink(plugin: Plugin) -> str:
    """Whether the sink can be reached, as far as that shows without sending it anything."""
    registry.sink(plugin)
    values = registry.full_settings(plugin, SINKS)
    texts = [text for name, value in values.items() if (text := _setting(name, value, values))]
    return ", ".join(texts) or "nothing to connect to; to send a trial message: anomaly sinks test"


def _nobody() -> str:
    raise _Bad(
        "no sink, so anomaly tick tells nobody; a failure is one line on standard error",
        "list one under sinks: in the checklist",
        State.WARNING,
    )


def _setting(name: str, value: Any, values: Mapping[str, Any]) -> str:
    match value:
        case str() if is_url(value) and urlsplit(value).scheme in PORTS:
            return _reach_url(value)
        case (str() as command, *_) if name == "run":
            return _command(command)
        case str() if name == "host" and isinstance(values.get("port"), int):
            return _reach(value, int(values["port"]), tls=False)
        case Path() if value == STANDARD_INPUT:
            return "standard output"
        case Path() if name == "path":
            return _writable(value)
        case Path() if not os.access(value, os.R_OK):
            raise _Bad(f"{name} {value} can't be read")
    return ""


def _command(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise _Bad(f"{name} is not installed, or not on PATH", f"install {name}, or give its path")
    return f"{program} can be run"


def _writable(path: Path) -> str:
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        raise _Bad(
            f"{path} {'is a folder' if path.is_dir() else 'is in a folder that does not exist'}",
            f"name a file, or mkdir -p {folder}",
        )
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise _Bad(f"this user can't write {path}")
    return f"{path} can be written"


def _reach_url(url: str) -> str:
    target = urlsplit(url)
    host, port, tls = (
        target.hostname or "",
        target.port or PORTS[target.scheme],
        target.scheme == "https",
    )
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    if proxy is None:
        return _reach(host, port, tls=tls)
    via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return (
        f"{_reach(via.hostname or '', via.port or PORTS.get(via.scheme, 80), tls=False)}, the "
        f"proxy for {host}"
    )


def _reach(host: str, port: int, *, tls: bool) -> str:
    """Resolves, connects, speaks TLS, and hangs up."""
    where = f"{host}:{port}"
    began = time.monotonic()
    try:
        refuse_metadata(host)
        with socket.create_connection(
            (host, port), timeout=DEADLINE.total_seconds() / 2
        ) as connection:
            if tls:
                with ssl.create_default_context().wrap_socket(connection, server_hostname=host):
                    pass
    except MetadataAddressError:
        raise _Bad(f"{where} is a link-local address; such addresses are refused") from None
    except socket.gaierror:
        raise _Bad(
            f"{where}: the name does not resolve",
            "check its spelling and this machine's DNS",
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise _Bad(
            f"{where} has a certificate that does not verify: {error.verify_message}"
        ) from None
    except TimeoutError:
        raise _Bad(f"{where} accepts no connection", "check for a firewall in between") from None
    except OSError as error:
        raise _Bad(f"{where} can't be reached: {error.strerror or type(error).__name__}") from None
    return (
        f"{where} {'speaks TLS' if tls else 'accepts connections'}, "
        f"{time.monotonic() - began:.2f} s"
    )


# --- history ------------------------------------------------------------------------------------


def _store(place: Callable[[], str]) -> str:
    where = place()
    if not is_url(where):
        path = Path(where)
        if not path.exists():
            nearest = next(folder for folder in path.absolute().parents if folder.exists())
            if not nearest.is_dir() or not os.access(nearest, os.W_OK):
                raise _Bad(
                    f"{path} can't be created in {nearest}",
                    "set store: in the checklist, or pass --store",
                )
            return f"{path} will be created on first use"
        _refuse_damaged(path)
    with Store(where) as store:
        count = len(store.releases())
    place_text = (
        where if not is_url(where) else f"{urlsplit(where).scheme}://{urlsplit(where).hostname}"
    )
    return f"{place_text} opens, {count} {'release' if count == 1 else 'releases'}"


def _refuse_damaged(path: Path) -> None:
    """Refuses a damaged file: opening it would move it aside, which is not this command's task."""
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=5)
        ) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        raise _Bad(
            f"{path} is damaged: {result}",
            "move it away; the next command that needs it creates a new one",
        )
