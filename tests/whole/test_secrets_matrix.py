"""Secrets × outputs × faults: no secret is shown, raw, URL-encoded or in base64, and no output is
empty.

Every plug-in meets every fault, and so does every command that asks a server or shows what one
said; the other commands meet `FAULTS_OF_ALL`.

What may hold a secret is read from the registry (see `tests/support/planted.py`): a new plug-in
takes part by its line in the conformance suite. Commands are read from the command line: a test
here names one that takes no part. A new output is a line in `COMMANDS`, and one in `FILES` if it
is a file.
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import logging
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    ExitStack,
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from functools import cache, lru_cache, partial
from importlib.metadata import EntryPoint, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import pytest
import sqlalchemy
import typer.main

from anomaly.checklist import registry
from anomaly.checklist.checklist import load
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS, Kind, Plugin
from anomaly.cli.app import app
from anomaly.cli.ending import run
from anomaly.contracts import Action, Message
from anomaly.errors import AnomalyError
from anomaly.history.store import Store
from anomaly.http.endpoint import Endpoint
from anomaly.model import Kpi, Window
from anomaly.notify.delivery import RetryPolicy, deliver
from anomaly.reporting.figures import worst_png
from anomaly.watch.look import tell
from anomaly.watch.tick import tick
from tests.collectors.test_contract import INFLUXQL
from tests.sinks.test_contract import SETTINGS
from tests.support import reports
from tests.support.examples import SECRET
from tests.support.faulty import FAULTS, PATIENCE, asked, crash, healthy, servers, serving
from tests.support.loopback import Loopback
from tests.support.operation import RELEASED, STEP, Shop
from tests.support.places import ROOT
from tests.support.planted import (
    KINDS,
    MAKE,
    MARK,
    Places,
    Planted,
    variants,
    waiting,
    with_forms,
)
from tests.support.servers import TLS
from tests.support.smtp import Mailbox, smtp

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.timeout(300),
]  # many commands, also where others share the machine

RELEASE = f"--released-at {RELEASED.isoformat()} --release 2.0"
KNOWN = "--checklist checklist.yaml"
PART = f"{RELEASE} --until {(RELEASED + timedelta(hours=6)).isoformat()}"
BEGUN_AT_A_URL = ("datadog", "loki", "influxdb", "graphite", "elasticsearch")
BEGUN = (*BEGUN_AT_A_URL, "newrelic")
COMMANDS = {  # what is run, in this order; {id} is the release's
    "check": f"check checklist.yaml {RELEASE} --save kept.json.gz",
    "check --output json": f"--log-format json check checklist.yaml {RELEASE} --output json",
    "release start": f"release start --release 2.0 --at {RELEASED.isoformat()} {KNOWN}",
    "tick": "tick checklist.yaml",
    "tick --heartbeat": "tick checklist.yaml --heartbeat {heartbeat} --output json",
    "serve": "serve checklist.yaml --listen 192.0.2.1:80",  # refused: tests/serve has the rest
    "watch": f"watch checklist.yaml {RELEASE}",
    "watch --output json": f"watch checklist.yaml {RELEASE} --output json",
    "history": f"history {KNOWN}",
    "history ID": f"history {{id}} {KNOWN}",
    "history --output json": f"history {{id}} {KNOWN} --output json",
    "show": f"show {{id}} {KNOWN}",
    "show --output json": f"show {{id}} {KNOWN} --output json",
    "ack": f"ack {{id}} {KNOWN}",
    "check --shard": f"check checklist.yaml {PART} --shard 1/1 --partial part.npz",
    "merge": "merge checklist.yaml part.npz",
    "doctor": "doctor checklist.yaml",
    "doctor --output json": "doctor checklist.yaml --output json",
    "check with files": (
        f"check checklist.yaml {RELEASE} --report page.html --markdown "
        "comment.md --points points.csv"
    ),
    "history --html": f"history {KNOWN} --html releases.html",
    "test": "test checklist.yaml cases.yaml",
    "validate": "validate checklist.yaml",
    "validate --probe": "validate --probe checklist.yaml",
    "sinks test": "sinks test checklist.yaml",
    "explain": f"explain checklist.yaml errors {RELEASE}",
    "backtest": f"backtest checklist.yaml --placebos 1 --until {RELEASED.isoformat()}",
    "parity": f"parity checklist.yaml --between production staging --until {RELEASED.isoformat()}",
    "rhythm": f"rhythm checklist.yaml --release-at {RELEASED.isoformat()}",
    "install cron": "install cron checklist.yaml",
    "install systemd": "install systemd checklist.yaml",
    "install kubernetes": "install kubernetes checklist.yaml --image anomaly",
    "init": "init begun.yaml --prometheus {prometheus}",
    **{f"init from {kind}": f"init {kind}.yaml --source {kind}={{{kind}}}" for kind in BEGUN},
    "import": "import rules.json imported.yaml --prometheus {prometheus}",
    "release list": f"release list {KNOWN}",
    "release list --output json": f"release list {KNOWN} --output json",
    "release add": f"release add --release 1.9 --at 2025-06-01T10:00Z {KNOWN}",
    "release finish": f"release finish --release 2.0 {KNOWN}",
    "release abort": f"release abort --release 2.0 {KNOWN}",
    "prune": f"prune --older-than 9000d {KNOWN}",
    (
        "release start in PostgreSQL"
    ): f"release start --release 2.0 --at {RELEASED.isoformat()} --checklist shared.yaml",
    "tick in PostgreSQL": "tick shared.yaml",
    "history in PostgreSQL": "history --checklist shared.yaml",
    "doctor in PostgreSQL": "doctor shared.yaml",
    "release list in PostgreSQL": "release list --store {store}",
}
FILES = {  # by the command that writes them
    "kept.json.gz": "check",
    "report.json": "tick",
    "reports.jsonl": "tick",
    "report.xml": "tick",
    "anomaly.prom": "tick",
    "summary.md": "tick",
    "history.db": "tick",
    "page.html": "check with files",
    "comment.md": "check with files",
    "points.csv": "check with files",
    "part.npz": "check --shard",
    "releases.html": "history --html",
}
WITHOUT_SECRETS = {"demo": "its own data", "schema": "the form of a checklist"}
CRASH = "crash that names the secret"
FAULTS_OF_ALL = ("none", "500 that repeats the request", CRASH)
COMMANDS_OF_ALL = (  # those that ask a server or show what one said, once each
    "release start",
    "tick",
    "history ID",
    "show",
    "doctor",
    "check with files",
    "validate --probe",
    "sinks test",
    "init",
    *(f"init from {kind}" for kind in BEGUN),
    "import",
    "release start in PostgreSQL",
    "history in PostgreSQL",
    "doctor in PostgreSQL",
    "release list in PostgreSQL",
)
RECEIVERS = [
    name
    for name, settings in SETTINGS.items()
    if settings("http://127.0.0.1:1") != settings("http://127.0.0.1:2")
]
CHECKLIST = {
    "service": "shop",
    "environment": "production",
    "windows": {"history": "9d", "warmup": "0s", "watch": "12h", "step": "30m", "lag": "0s"},
    "rhythm": {"usual": "3h", "peak": "30m", "climb": "1h", "fall": "4h"},
    "report_url": "https://reports.example.com/{id}",
}
ERRORS = {
    "name": "errors",
    "source": "shop",
    "query": "errors",
    "direction": "up",
    "tolerance": "5%",
    "critical": True,
}
PLACES = {"production": "shop.csv", "staging": "staging.csv"}
ENVIRONMENT = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_STEP_SUMMARY": "summary.md",
    "NO_PROXY": "*",
    "SSL_CERT_FILE": str(TLS / "authority.pem"),
}
VARIABLES = (  # that no checklist names
    "PROMETHEUS_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "DD_API_KEY",
    "DD_APP_KEY",
    "LOKI_TOKEN",
    "INFLUX_TOKEN",
    "GRAPHITE_TOKEN",
    "ELASTIC_API_KEY",
    "NEW_RELIC_API_KEY",
)
REFUSED = {  # by kind of plug-in: how its setting is called, and the commands that use it
    COLLECTORS.name: ("sources.more", ("doctor", "check")),
    RELEASES.name: ("releases[0]", ("doctor", "tick")),
    SINKS.name: ("sinks[0]", ("doctor", "check", "tick")),
}
REFUSING = {
    "doctor": "doctor refused.yaml",
    "check": f"check refused.yaml {RELEASE}",
    "tick": "tick refused.yaml --store refused.db",
}
ATTEMPTS = 2
VERSION = cache(version)
STARTED = "command lines of processes"
SILENT = {
    "log of release list in PostgreSQL",  # it reads no checklist
    "log of import",  # likewise
    "stdout of serve",  # it is refused
    "log of init from loki",  # the server answers as Prometheus does, which is enough for Loki
    *(f"stdout of init from {kind}" for kind in BEGUN if kind != "loki"),
}
SILENT_IF_NOT_ANSWERED = {  # they say why not in the log
    f"stdout of {name}"
    for name in (
        "init",
        *(f"init from {kind}" for kind in BEGUN),
        "release start in PostgreSQL",
        "tick in PostgreSQL",
        "history in PostgreSQL",
        "release list in PostgreSQL",
    )
}
# by a web server: what signs, what is said to others, and what Apprise does not hand on
NOT_HEARD = (
    "sink webhook secret",
    "sink email",
    "source sql",
    "source prometheus 4 key_file",
    "source of releases prometheus 4 key_file",
    "source prometheus 5 client_secret",  # in base64 of its encoded form
    "source of releases prometheus 5 client_secret",
    "sink apprise url #5",
    "sink apprise url #6",
)
FIGURE = re.compile(r"\d+ secrets, \d+ outputs and \d+ faults: [\d,]+ cells")
PIXEL = base64.b64decode(  # the smallest picture
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
WINDOW = Window(RELEASED, RELEASED + 4 * STEP)


# --- what a run has -----------------------------------------------------------------------------


@dataclass
class Scene:
    """A checklist of all plug-ins, each at a server with the fault, and each sink once more at one
    that takes what it is told."""

    at: Places
    planted: Planted
    receivers: dict[str, Loopback] = field(default_factory=dict)
    box: Mailbox = field(default_factory=Mailbox)
    own: dict[str, set[str]] = field(
        default_factory=dict
    )  # the secrets that a receiver is sent, by sink
    refused: list[tuple[Kind, str, dict[str, Any]]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)  # of command lines

    def write(self, running: ExitStack) -> None:
        """Write the checklists and what they read; the one with a shared history has no plug-in
        that could fail."""
        Shop(self.at.folder, {"errors": (0.0, 99.0)}).at(12)
        _write_more(self.at.folder)
        shop = {"type": "files", "path": "shop.csv"}
        sources = {
            f"{each['type']} {number}": each
            for number, each in enumerate(self.faulty(COLLECTORS), 1)
        }
        both = {
            place: {"sources": {"shop": shop | {"path": path}, **sources}}
            for place, path in PLACES.items()
        }
        checklist = CHECKLIST | {
            "environments": both,
            "kpis": [
                ERRORS,
                *(
                    {"name": name, "source": name, "query": _query(each)}
                    for name, each in sources.items()
                ),
            ],
            "sinks": [*self.faulty(SINKS), *self.healthy(running)],
            "releases": self.faulty(RELEASES),
            "heartbeat": self.planted.settings(
                f"{self.at.http}/beat/{SECRET}?key={SECRET}", "heartbeat"
            ),
        }
        shared = self.planted.settings(
            f"postgresql://anomaly:{SECRET}@{self.at.database}?sslpassword={SECRET}", "store"
        )
        alone = CHECKLIST | {"sources": {"shop": shop}, "kpis": [ERRORS]}
        for name, written in {
            "checklist.yaml": checklist | {"store": "history.db"},
            "shared.yaml": alone | {"store": shared},
        }.items():
            (self.at.folder / name).write_text(json.dumps(written, indent=1), encoding="utf-8")
        (self.at.folder / "cases.yaml").write_text(
            "cases: [{name: quiet, expect: {verdict: pass}}]", encoding="utf-8"
        )
        (self.at.folder / "rules.json").write_text(
            '{"groups": [{"rules": [{"alert": "errors", "expr": "errors > 1"}]}]}', encoding="utf-8"
        )
        self.variables = {
            "id": "none",
            "prometheus": self.planted.value(f"{self.at.http}/{SECRET}", "init --prometheus"),
            "heartbeat": self.planted.value(
                f"{self.at.http}/beat/{SECRET}?key={SECRET}", "tick --heartbeat"
            ),
            "store": self.planted.value(
                f"postgresql://anomaly:{SECRET}@{self.at.database}?sslpassword={SECRET}", "--store"
            ),
        }
        self.variables |= {"newrelic": "1"} | {
            kind: self.planted.value(f"{self.at.http}/{SECRET}", f"init --source {kind}=")
            for kind in BEGUN_AT_A_URL
        }
        self.planted.environ |= ENVIRONMENT | {"NEW_RELIC_URL": self.at.http}
        self.planted.environ |= {
            name: self.planted.secret(f"variable {name}") for name in VARIABLES
        }

    def faulty(self, kind: Kind) -> list[dict[str, Any]]:
        made = []
        for name in registry.types_of(kind):
            for number, settings in enumerate(variants(kind, name, self.at), 1):
                taken, refused = with_forms(kind, name, settings, self.at.folder)
                where = f"{kind.name} {name}" + (f" {number}" if number > 1 else "")
                made.append({"type": name, **self.planted.settings(taken, where)})
                self.refused += [(kind, name, each) for each in refused]
        return made

    def healthy(self, running: ExitStack) -> list[dict[str, Any]]:
        made = []
        self.box = running.enter_context(smtp())
        for name in RECEIVERS:
            server = running.enter_context(serving(healthy))
            self.receivers[name] = server
            before = set(self.planted.secrets)
            settings = waiting(
                name,
                SETTINGS[name](self.box.origin if name == "email" else server.origin),
                {"timeout": "20s"},
            )
            made.append({"type": name, **self.planted.settings(settings, f"healthy {name}")})
            self.own[name] = set(self.planted.secrets) - before
        return made

    def payloads(self) -> dict[str, str]:
        """What the healthy receivers were told, as text."""
        told = {
            name: "\n".join(map(asked, server.requests)) for name, server in self.receivers.items()
        }
        return told | {
            "email": "\n".join("\n".join([str(mail), *_parts(mail)]) for mail in self.box.mails)
        }


def _query(source: Mapping[str, Any]) -> str:
    if source["type"] == "influxdb":
        return INFLUXQL.format("errors")
    if source["type"] != "sql":
        return "errors"
    if "path" in source:
        return "SELECT time, value FROM shop"
    return (
        "SELECT t AS time, 1.0 AS value FROM generate_series(CAST(:start AS timestamptz), "
        "CAST(:end AS timestamptz), '30 min') AS t"
    )


def _write_more(folder: Path) -> None:
    (folder / "staging.csv").write_bytes((folder / "shop.csv").read_bytes())
    (folder / "releases.json").write_text("[]", encoding="utf-8")
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("CREATE TABLE shop (time TEXT, value REAL)")
    then = RELEASED.isoformat()  # long before a tick looks for releases
    for line in (
        "init --quiet",
        "-c user.name=a -c user.email=a@example.com commit --quiet --allow-empty -m first",
        "tag v1",
    ):
        subprocess.run(
            ["git", "-C", str(folder), *line.split()],
            check=True,
            env=os.environ | {"GIT_AUTHOR_DATE": then, "GIT_COMMITTER_DATE": then},
        )


def _parts(mail: EmailMessage) -> Iterator[str]:
    for part in mail.walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            yield content.decode("latin-1")


def hurry(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sleeps between attempts, nor makes a third one, which would say what the second did;
    of what hangs nothing is waited for longer than must be. What is installed is looked up once,
    and what is detectable at one past moment.

    Pictures are drawn only where nothing fails, for no fault changes the pixels, and once of a
    report.
    """
    for each in (deliver, tell, tick):
        _by_default(each, "sleep", lambda _: None, monkeypatch)
    monkeypatch.setattr("anomaly.cli.watch.time", SimpleNamespace(sleep=lambda _: None))
    for name in ("prometheus_http", "http_source"):
        monkeypatch.setattr(f"anomaly.collectors.{name}.FIRST_PAUSE_S", 0.0)
        monkeypatch.setattr(f"anomaly.collectors.{name}.LONGEST_PAUSE_S", 0.0)
        monkeypatch.setattr(f"anomaly.collectors.{name}.ATTEMPTS", ATTEMPTS)
    monkeypatch.setattr("anomaly.collectors.sql.ATTEMPTS", 1)
    monkeypatch.setattr("anomaly.setup.doctor.version", VERSION)
    monkeypatch.setattr("anomaly.equivalence.run.PLACEBOS", 1)
    _by_default(deliver, "retry_policy", RetryPolicy(ATTEMPTS), monkeypatch)
    for name in ("RETRY_POLICY", "HOOK_POLICY"):
        monkeypatch.setattr(f"anomaly.watch.look.{name}", RetryPolicy(ATTEMPTS))
    picture = once_of_a_report(worst_png) if fault == "none" else lambda _: PIXEL
    for name in ("email", "apprise"):
        monkeypatch.setattr(f"anomaly.sinks.{name}.worst_png", picture)
    if fault != "hangs":
        return
    _by_default(Endpoint.__init__, "timeout", PATIENCE, monkeypatch)
    monkeypatch.setattr("anomaly.setup.prometheus_proposal.TIMEOUT_S", PATIENCE.total_seconds())
    for kind in BEGUN:
        collector = EntryPoint(kind, COLLECTORS.built_in[kind], COLLECTORS.group).load()
        _by_default(collector.__init__, "timeout", PATIENCE, monkeypatch)
    monkeypatch.setattr(
        "psycopg.connection.timeout_from_conninfo", lambda _: PATIENCE.total_seconds()
    )  # its own least is 2 s
    _by_default(Store.__init__, "busy_s", 2.0, monkeypatch)


def once_of_a_report(draw: Callable[[Message], bytes | None]) -> Callable[[Message], bytes | None]:
    """What draws as `draw` does, but the same picture only once; sinks ask for it at once."""
    drawn: list[tuple[Message, bytes | None]] = []
    drawing = threading.Lock()

    def picture(message: Message) -> bytes | None:
        with drawing:
            for known, made in drawn:
                if known.report is message.report and known.action is message.action:
                    return made
            drawn.append((message, draw(message)))
            return drawn[-1][1]

    return picture


def _by_default(
    function: Any, argument: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(function.__kwdefaults__, argument, value)


# --- what a run says ----------------------------------------------------------------------------


def commands_of(fault: str) -> Sequence[str]:
    """The commands that meet a fault, in order."""
    return tuple(COMMANDS) if fault in FAULTS_OF_ALL else COMMANDS_OF_ALL


def files_of(fault: str) -> list[str]:
    """The files that these write."""
    return [name for name, writer in FILES.items() if writer in commands_of(fault)]


def outputs_of(fault: str) -> set[str]:
    """The names of all that they say, write and tell."""
    return {
        *(f"{stream} of {name}" for name in commands_of(fault) for stream in ("stdout", "log")),
        *(f"file {name}" for name in files_of(fault)),
        *(f"payload of {name}" for name in RECEIVERS),
        STARTED,
    }


def said(scene: Scene, fault: str) -> dict[str, str]:
    """Every output of the commands that meet a fault, by name."""
    outputs: dict[str, str] = {}
    with processes() as started:
        for name in commands_of(fault):
            out, err = typed(COMMANDS[name].format(**scene.variables))
            outputs |= {f"stdout of {name}": out, f"log of {name}": err}
            if found := re.match(r"watched from now on: (\w+)", out):
                scene.variables["id"] = found[1]
    outputs |= {f"file {name}": content_of(scene.at.folder / name) for name in files_of(fault)}
    outputs |= {f"payload of {name}": text for name, text in scene.payloads().items()}
    return outputs | {STARTED: "\n".join(started)}


def typed(line: str) -> tuple[str, str]:
    """What a command line writes to stdout and, saying all it can, to stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        run(["-v", *shlex.split(line)])
    return out.getvalue(), err.getvalue()


def content_of(path: Path) -> str:
    """All that a file holds: its bytes, and what is compressed in them."""
    raw = path.read_bytes() if path.exists() else b""
    if path.suffix == ".gz":
        raw += gzip.decompress(raw)
    if path.suffix == ".db":
        for side in ("-wal", "-shm"):
            if (more := path.with_name(path.name + side)).exists():
                raw += more.read_bytes()
        raw += rows_of(f"sqlite:///{path}")
    return raw.decode("latin-1")


def rows_of(url: str) -> bytes:
    """Every cell of a history, unpacked."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            cells = [
                cell
                for table in tables
                for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"'))  # noqa: S608
                for cell in row
            ]
    finally:
        engine.dispose()
    packed = [cell for cell in cells if isinstance(cell, bytes)]
    texts = [str(cell).encode() for cell in cells if not isinstance(cell, bytes)]
    return b"\n".join([*texts, *unpacked(packed)])


def unpacked(cells: list[bytes]) -> list[bytes]:
    """What was compressed, by itself or with another as its dictionary."""
    texts: list[bytes] = []
    for cell in cells:
        for dictionary in (b"", *texts):
            unpacking = zlib.decompressobj(zdict=dictionary)
            with suppress(zlib.error):
                texts.append(unpacking.decompress(cell))
                break
        else:
            raise ValueError("a cell of the history can't be unpacked")
    return texts


_processes: list[list[str]] = []  # to whom processes that are started are told


def _notice_process(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        for each in _processes:
            each.append(repr(arguments[1]))


@cache  # a hook can't be taken away, and costs all that comes later a little
def _listen() -> None:
    sys.addaudithook(_notice_process)


@contextmanager
def processes() -> Iterator[list[str]]:
    """The command lines of the processes that are started meanwhile."""
    _listen()
    started: list[str] = []
    _processes.append(started)
    try:
        yield started
    finally:
        _processes.remove(started)


def shown(secrets: Mapping[str, str], text: str) -> list[str]:
    """The names of the secrets that a text shows: their first characters are looked for, for a text
    may be cut off."""
    plain = f"{text}\n{html.unescape(text)}\n{unquote(text)}\n{_decoded(text)}"
    if not any(mark in plain for mark in {secret[:4] for secret in secrets.values()}):
        return []
    return [name for name, secret in secrets.items() if secret[:MARK] in plain]


def _decoded(text: str) -> str:
    """All that any base64 in a text can mean."""
    return "\n".join(map(_meanings, set(re.findall(r"[A-Za-z0-9+/_-]{8,}", text))))


@lru_cache(maxsize=1 << 16)  # outputs repeat most of their words
def _meanings(found: str) -> str:
    """All that a run of letters of base64 can mean, wherever in it the base64 begins."""
    run = found.replace("-", "+").replace("_", "/")
    return "\n".join(
        base64.b64decode(run[first : first + (len(run) - first) // 4 * 4]).decode("latin-1")
        for first in range(4)
    )


# --- the promises -------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_no_output_of_a_command_shows_a_secret(
    fault: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running:
        scene = staged(fault, database, tmp_path, monkeypatch, running)
        outputs = said(scene, fault)

    leaks = {
        output: found
        for output, text in outputs.items()
        if (found := shown(_others(scene, output), text))
    }
    assert leaks == {}
    assert set(outputs) == outputs_of(fault)
    silent = {output for output, text in outputs.items() if not text.strip()}
    assert silent <= (SILENT if fault == "none" else SILENT | SILENT_IF_NOT_ANSWERED)


def _others(scene: Scene, output: str) -> dict[str, str]:
    """All secrets but for those that a receiver must be sent."""
    own = scene.own.get(output.removeprefix("payload of "), set())
    return {name: secret for name, secret in scene.planted.secrets.items() if name not in own}


@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if each != CRASH]
)  # which names the secret to whoever catches it
def test_no_plug_in_shows_a_secret_by_itself(
    fault: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Called from Python, where no command masks what is known of a checklist, and all that a
    server says is shown."""
    caplog.set_level(logging.DEBUG)
    for name in ("LONGEST_EXCERPT", "LONGEST_ANSWER"):
        monkeypatch.setattr(f"anomaly.http.endpoint.{name}", 1 << 20)
    with ExitStack() as running:
        scene = staged(fault, database, tmp_path, monkeypatch, running)
        checklist = load(tmp_path / "checklist.yaml")
        told = {
            f"{kind.name} {number} {plugin.type}": by_itself(kind, plugin)
            for kind, plugins in zip(
                KINDS,
                (checklist.sources.values(), checklist.releases, checklist.sinks),
                strict=True,
            )
            for number, plugin in enumerate(plugins, 1)
        }
    told["log"] = caplog.text
    assert {
        name: found for name, text in told.items() if (found := shown(scene.planted.secrets, text))
    } == {}
    assert all(told.values())
    if fault == "none":  # and all were in use
        heard = shown(
            scene.planted.secrets,
            "\n".join(asked(request) for server in scene.at.servers for request in server.requests),
        )
        sent = [
            name
            for name in scene.planted.secrets
            if name.startswith(("source", "sink")) and not name.startswith(NOT_HEARD)
        ]
        assert [name for name in sent if name not in heard] == []


def by_itself(kind: Kind, plugin: Plugin) -> str:
    """What it is, and what it gives or raises."""
    made: Any = MAKE[kind.name](plugin)
    if kind is COLLECTORS:
        call = partial(
            made.collect,
            [Kpi("errors", query=_query({"type": plugin.type, **plugin.settings}))],
            WINDOW,
            STEP,
        )
    elif kind is RELEASES:
        call = partial(made.discover, WINDOW)
    else:
        call = partial(made.send, Message("k", reports.failing(), Action.FIRE))
    try:
        return f"{made!r} {call()!r}"
    except AnomalyError as error:
        return f"{made!r} {''.join(traceback.format_exception(error))}"


def test_no_process_has_a_secret_in_its_command_line(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running:
        scene = staged("none", database, tmp_path, monkeypatch, running)
        typed(COMMANDS["release start"])
        process = subprocess.Popen(
            [sys.executable, "-m", "anomaly", "tick", "checklist.yaml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        lines: set[str] = set()
        while process.poll() is None:
            lines |= {line for path in Path("/proc").glob("[0-9]*/cmdline") if (line := read(path))}
            time.sleep(0.05)
        out, err = process.communicate()

    assert any("anomaly\0tick\0" in line for line in lines)
    assert shown(scene.planted.secrets, "\n".join(lines) + out.decode() + err.decode()) == []
    assert b"shop 2.0 in production, look 1: FAIL" in out


def read(path: Path) -> str:
    """What a file of /proc says; nothing if its process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def test_a_setting_that_is_refused_is_not_shown(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running:
        scene = staged("none", database, tmp_path, monkeypatch, running)
    assert len(scene.refused) > 5
    shop = {"shop": {"type": "files", "path": "shop.csv"}}
    for kind, name, settings in scene.refused:
        planted = Planted(tmp_path)
        entry = {"type": name, **planted.settings(settings, name)}
        for variable, value in planted.environ.items():
            monkeypatch.setenv(variable, value)
        written: dict[str, Any] = {"kpis": [ERRORS], "sources": shop}
        if kind is COLLECTORS:
            written = {"kpis": [ERRORS | {"source": "more"}], "sources": shop | {"more": entry}}
        else:
            written["releases" if kind is RELEASES else "sinks"] = [entry]
        (tmp_path / "refused.yaml").write_text(json.dumps(CHECKLIST | written), encoding="utf-8")
        called, commands = REFUSED[kind.name]
        for command in commands:
            text = "".join(typed(REFUSING[command]))
            assert called in text, f"{command} with {kind.name} {name}"
            assert shown(planted.secrets, text) == [], f"{command} with {kind.name} {name}"


def test_every_command_takes_part() -> None:
    tried = {" ".join(_words(line)) for line in COMMANDS.values()}
    assert {name for name in command_names() if name not in tried} == set(WITHOUT_SECRETS), (
        "give each new command a line in COMMANDS"
    )


def test_a_secret_is_found_however_it_is_written() -> None:
    secret = Planted(Path()).secret("one")
    for text in (
        secret,
        quote(secret, safe=""),
        quote(secret),
        html.escape(secret),
        secret[:MARK],
        json.dumps({"a": f"x{secret}"}),
    ):
        assert shown({"one": secret}, f"before {text} after") == ["one"]
    for number in range(4):
        raw = b"user:"[:number] + secret.encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert shown({"one": secret}, f"Basic {encode(raw).decode()}") == ["one"]
    assert shown({"one": secret}, "nothing here, https://127.0.0.1:9090/api/v1 c4n") == []


def test_golden_how_many_cells_there_are(tmp_path: Path) -> None:
    with ExitStack() as running:
        scene = Scene(
            running.enter_context(servers("not there", tmp_path, "127.0.0.1:1/none")),
            Planted(tmp_path),
        )
        scene.write(running)
    secrets, outputs = len(scene.planted.secrets), [outputs_of(fault) for fault in FAULTS]
    figure = (
        f"{secrets} secrets, {len(set[str]().union(*outputs))} outputs and {len(FAULTS)} faults: "
        f"{secrets * sum(map(len, outputs)):,} cells"
    )
    sys.stdout.write(figure)
    page = ROOT / "docs" / "faults.md"
    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        page.write_text(FIGURE.sub(figure, page.read_text(encoding="utf-8")), encoding="utf-8")
    assert FIGURE.findall(page.read_text(encoding="utf-8")) == [figure]


def command_names() -> list[str]:
    found = []
    # # it is a group
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [f"{name} {each}" for each in getattr(command, "commands", ())] or [name]
    return found


def _words(line: str) -> list[str]:
    """The command of a line, without options before it."""
    words = shlex.split(line)
    words = words[2:] if words[0] == "--log-format" else words
    return words[: 2 if words[0] in ("sinks", "release", "install") else 1]


def staged(
    fault: str, database: str, folder: Path, monkeypatch: pytest.MonkeyPatch, running: ExitStack
) -> Scene:
    """All that a run with the fault needs, and the folder and environment that it runs in."""
    planted = Planted(folder)
    scene = Scene(
        running.enter_context(servers(fault, folder, database.partition("@")[2])), planted
    )
    scene.write(running)
    for name, value in planted.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(logging.getLogger("mail.log"), "disabled", True)  # of the servers here
    hurry(fault, monkeypatch)
    if fault == CRASH:
        crash(scene.at, monkeypatch)
    return scene
