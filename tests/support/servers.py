"""Real servers on loopback with backfilled history, for tests.

`Samples` maps a series as PromQL writes it, `up{job="shop"}`, to its (epoch seconds, value) pairs
in order of time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import psycopg
import pytest

from tests.support.places import ROOT

Samples = Mapping[str, Iterable[tuple[float, float]]]

FETCHED = ROOT / ".tools" / "bin"
SHARE = FETCHED.parent / "share"
TEMPLATES = Path("/usr/share/prometheus/alertmanager")
LOOPBACK = "127.0.0.1"
READY_WITHIN_S, STOPPED_WITHIN_S = 60, 10
FOREVER = "100y"  # retention: the histories of tests lie in fixed, past years
TLS = Path(__file__).parent / "tls"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `stop` ends it and may be called twice."""

    name: str
    url: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find(command: str) -> Path | None:
    """Where `command` is, on PATH or among the fetched servers."""
    found = shutil.which(command) or shutil.which(command, path=str(FETCHED))
    return Path(found) if found else None


def need(command: str) -> Path:
    """Where `command` is; without it the test that asks is skipped by the server's name, or fails
    where CI=true."""
    found = find(command)
    return found or _missing(f"{command} is neither on PATH nor in .tools; run: make tools")


def _missing(problem: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)


@contextmanager
def prometheus(
    folder: Path, samples: Samples, *, mutual_tls: bool = False, scrape: str = ""
) -> Iterator[Server]:
    """A Prometheus that has `samples`, and asks the address `scrape` each second as the job `shop`.
    Its data and log are in `folder`.

    With `mutual_tls` it is `loopback.pem` of `TLS`, and answers only those who have a certificate
    by `clients.pem`.
    """
    command, data = need("prometheus"), folder / "data"
    if samples:
        _create_blocks(folder / "history.om", samples, data)
    config = folder / "prometheus.yml"
    job = (
        f"[{{job_name: shop, scrape_interval: 1s, static_configs: [{{targets: ['{scrape}']}}]}}]"
        if scrape
        else "[]"
    )
    config.write_text(f"global: {{scrape_interval: 1m}}\nscrape_configs: {job}\n")
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={FOREVER}",
        "--web.enable-lifecycle",
        "--log.level=warn",
    ]
    if mutual_tls:
        own = {"cert_file": str(TLS / "loopback.pem"), "key_file": str(TLS / "loopback.pem")}
        wanted = {
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": str(TLS / "clients.pem"),
        }
        (folder / "web.yml").write_text(json.dumps({"tls_server_config": own | wanted}))
        arguments.append(f"--web.config.file={folder / 'web.yml'}")
    tls = _as_client() if mutual_tls else None
    with _running(
        "prometheus", [command, *arguments], "--web.listen-address=", "/-/ready", folder, tls
    ) as server:
        yield server


def _as_client() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=TLS / "authority.pem")
    context.load_cert_chain(TLS / "client.pem")
    return context


@contextmanager
def victoria_metrics(folder: Path, samples: Samples) -> Iterator[Server]:
    """A VictoriaMetrics that has `samples`. Its data and log are in `folder`."""
    arguments = [
        f"-storageDataPath={folder / 'data'}",
        f"-retentionPeriod={FOREVER}",
        "-search.latencyOffset=0s",
    ]
    with _running(
        "victoria-metrics",
        [need("victoria-metrics"), *arguments],
        "-httpListenAddr=",
        "/health",
        folder,
    ) as server:
        _call(f"{server.url}/api/v1/import/prometheus", _lines(samples, per_second=1000).encode())
        _call(f"{server.url}/internal/force_flush")
        yield server


@contextmanager
def influxdb(folder: Path) -> Iterator[Server]:
    """An InfluxDB 1 with an empty database `shop`, and the users `admin` and `reader` with the
    password `s3cret`. An answer in one part ends after 5 rows. Its data and log are in `folder`."""
    config = folder / "influxdb.conf"
    config.write_text(
        f"reporting-disabled = true\nbind-address = '{LOOPBACK}:0'\n"
        f"[meta]\ndir = '{folder}/meta'\n[data]\ndir = '{folder}/data'\nwal-dir = '{folder}/wal'\n"
        "[http]\nauth-enabled = true\nmax-row-limit = 5\nlog-enabled = false\n"
        "[monitor]\nstore-enabled = false\n"
    )
    listening = 'INFLUXDB_HTTP_BIND_ADDRESS="$2" exec "$0" -config "$1"'
    command: list[str | Path] = ["sh", "-c", listening, need("influxd"), config]
    with _running("influxdb", command, "", "/ping", folder) as server:
        asked = ""
        for statement in (
            "CREATE USER admin WITH PASSWORD 's3cret' WITH ALL PRIVILEGES",
            "CREATE DATABASE shop",
            "CREATE USER reader WITH PASSWORD 's3cret'",
            "GRANT READ ON shop TO reader",
        ):
            _call(f"{server.url}/query?{asked}q={quote(statement)}", b"")
            asked = "u=admin&p=s3cret&"
        yield server


@contextmanager
def graphite(folder: Path, series: Mapping[str, object]) -> Iterator[Server]:
    """A Graphite with `series`, as `graphite_server.py` takes them. Its data and log are in
    `folder`."""
    (folder / "series.json").write_text(json.dumps(series))
    script = Path(__file__).with_name("graphite_server.py")
    command: list[str | Path] = [need("graphite-python"), script, folder]
    with _running("graphite", command, "", "/version/", folder) as server:
        yield server


@contextmanager
def pushgateway(folder: Path) -> Iterator[Server]:
    """A Pushgateway that keeps what it is told in memory. Its log is in `folder`."""
    command: list[str | Path] = [
        need("prometheus-pushgateway"),
        "--persistence.file=",
        "--log.level=warn",
    ]
    with _running("pushgateway", command, "--web.listen-address=", "/-/ready", folder) as server:
        yield server


WITH_OWN_CRONTABS = """\
mount --bind "$1/spool" /var/spool || exit
mount --bind "$1/cron.d" /etc/cron.d && mount --bind "$1/run" /run || exit
if [ -e /etc/crontab ]; then mount --bind /dev/null /etc/crontab || exit; fi
shift; exec "$@"
"""


def with_own_crontabs(folder: Path, command: Sequence[str | Path]) -> list[str | Path]:
    """The command that runs `command` where crontabs are those under `folder`, and its processes
    end with it. Needs root."""
    if os.geteuid():
        _missing(
            "cron needs root: it reads its crontabs from fixed folders, which are mounted for it"
        )
    for name in ("cron.d", "run", "spool/cron/crontabs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*alone, "sh", "-c", WITH_OWN_CRONTABS, "sh", folder, *command]


@contextmanager
def cron(folder: Path, crontab: str, *, speed: int = 1) -> Iterator[Server]:
    """The real `cron -f` with root's `crontab`; at its end the jobs that still run are killed. Its
    log is in `folder`.

    Cron fires at full minutes of its own clock, which begins now and runs `speed` times as fast:
    with 60, a line `* * * * *` is run each second. Jobs have cron's bare environment and the true
    clock. A line `@reboot …` is run at once. Cron mails nothing here, so a job writes its output
    where the test finds it: `* * * * * … >> FILE 2>&1`.
    """
    faked = (
        [f"LD_PRELOAD={need('libfaketime.so.1')}", f"FAKETIME=+0 x{speed}"] if speed != 1 else []
    )
    command = with_own_crontabs(folder, ["env", *faked, need("cron"), "-f", "-L", "15"])
    table = folder / "spool" / "cron" / "crontabs" / "root"
    table.write_text(crontab if crontab.endswith("\n") else f"{crontab}\n")
    table.chmod(0o600)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Server("cron", "", process)
    finally:
        process.kill()  # unshare hears no milder signal while it waits
        process.wait()


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[Server]:
    """An Alertmanager that posts what fires and resolves to `hook`, a message for each release."""
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: hook, group_by: [service, environment, release], group_wait: 0s, "
        "group_interval: 1s, repeat_interval: 1h}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}]\n"
    )
    arguments = [
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    command: list[str | Path] = [need("prometheus-alertmanager"), *arguments]
    if (
        not TEMPLATES.is_dir()
    ):  # Debian's looks for them there alone: it gets a /usr/share of its own
        command = [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            'mount --bind "$0" /usr/share && exec "$@"',
            SHARE,
            *command,
        ]
    with _running("alertmanager", command, "--web.listen-address=", "/-/ready", folder) as server:
        yield server


@contextmanager
def postgresql(folder: Path) -> Iterator[Server]:
    """A PostgreSQL whose `url` is that of the database `postgres`, for its owner `anomaly`. Its
    data and log are in `folder`."""
    data, port = folder / "data", free_port()
    # it refuses to be root
    someone: list[str | Path] = (
        [] if os.geteuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    )
    options = ["-U", "anomaly", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(
        [*someone, need("initdb"), "-D", data, *options], check=True, capture_output=True
    )
    settings = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "fsync": "off",
        "timezone": "UTC",
    }
    set_to = [f"--{name}={value}" for name, value in settings.items()]
    command = [*someone, need("postgres"), "-D", data, "-p", str(port), *set_to]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    server = Server("postgresql", f"postgresql://anomaly@{LOOPBACK}:{port}/postgres", process)
    try:
        give_up = time.monotonic() + READY_WITHIN_S
        while not _takes_connections(server.url):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(
                    f"postgresql did not start: {(folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        process.wait(STOPPED_WITHIN_S)


def _takes_connections(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _create_blocks(history: Path, samples: Samples, data: Path) -> None:
    history.write_text(_lines(samples, per_second=1) + "# EOF\n")
    create = [
        "tsdb",
        "create-blocks-from",
        "--max-block-duration=384h",
        "openmetrics",
        str(history),
        str(data),
    ]
    done = subprocess.run([need("promtool"), *create], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"promtool took no history: {done.stdout}{done.stderr}")


def _lines(samples: Samples, *, per_second: int) -> str:
    """One line a sample; OpenMetrics counts seconds, Prometheus's own text format milliseconds."""
    return "".join(
        f"{series} {value!r} {round(at * per_second)}\n"
        for series, points in samples.items()
        for at, value in points
    )


@contextmanager
def moto(folder: Path, open_requests: int) -> Iterator[Server]:
    """A stand-in for Amazon's services; after so many requests it checks signatures and
    policies."""
    main = (
        "import sys; from moto.server import main; host, port = sys.argv[1].split(':'); "
        "main(['-H', host, '-p', port])"
    )
    environ = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(open_requests)}
    command = [sys.executable, "-c", main]
    with _running("moto", command, "", "/moto-api/", folder, environ=environ) as server:
        yield server


@contextmanager
def _running(
    name: str,
    command: Sequence[str | Path],
    listen: str,
    ready: str,
    folder: Path,
    tls: ssl.SSLContext | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """The server on a free port, ready; another process may take the port first, so a few are
    tried."""
    for _ in range(3):
        address = f"{LOOPBACK}:{free_port()}"
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, listen + address],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=environ,
            )
        server = Server(name, f"{'https' if tls else 'http'}://{address}", process)
        try:
            if _wait_until_ready(server, ready, tls):
                yield server
                return
        finally:
            server.stop()
    raise RuntimeError(f"{name} did not start: {(folder / 'log').read_text()[-2000:]}")


def _wait_until_ready(server: Server, path: str, tls: ssl.SSLContext | None) -> bool:
    """Whether the server answers; False once its process has ended."""
    give_up = time.monotonic() + READY_WITHIN_S
    while server.process.poll() is None and time.monotonic() < give_up:
        try:
            _call(server.url + path, tls=tls)
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return True
    return False


def _call(url: str, body: bytes | None = None, *, tls: ssl.SSLContext | None = None) -> bytes:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    # an address made above
    with opener.open(urllib.request.Request(url, data=body), timeout=30) as answer:  # noqa: S310
        content: bytes = answer.read()
        return content


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
