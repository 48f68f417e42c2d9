"""How every test runs: the servers it may ask for, the sockets it may open, and in which order."""

from __future__ import annotations

import gc
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from anomaly.__main__ import GARBAGE
from tests.support.servers import (
    Samples,
    Server,
    alertmanager,
    influxdb,
    postgresql,
    prometheus,
    pushgateway,
    victoria_metrics,
)

LOOPBACK = ["127.0.0.0/8", "::1"]
OPENS_SOCKETS = frozenset({"loopback", "httpserver", "make_httpserver"})  # fixtures
STARTS_SERVERS = frozenset(  # likewise: a test that asks for one is slow
    {
        "start_prometheus",
        "start_victoria_metrics",
        "start_alertmanager",
        "gateway",
        "influxdb_server",
        "postgresql_server",
        "chromium",
    }
)
WHOLE = "whole"  # the folder of the tests of everything together, which are all slow
SIMULATED = frozenset(  # the folders of tests that judge hundreds of series, for many seconds each
    {"backtesting", "baseline", "decision", "notebook", "obvious", "scoring"}
)

StartServer = Callable[[Samples], Server]

# tests start many processes, and each would compile all libraries anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# processes share the machine, not each the whole of it
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# no test signs by keys that this machine has
os.environ |= {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "c4nary-aws-key",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

settings.register_profile(
    "steady",
    deadline=None,  # a busy machine is no fault of the code
    suppress_health_check=[HealthCheck.too_slow],  # likewise
    derandomize=True,  # every run tries the same examples
    print_blob=True,
)
settings.load_profile("steady")


def pytest_configure() -> None:
    gc.disable()  # until all tests are known
    for number in (signal.SIGINT, signal.SIGHUP):  # a run in the background ignores them, and
        if signal.getsignal(number) is signal.SIG_IGN:  # so would the processes that tests start
            signal.signal(number, signal.SIG_DFL)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = (
        "127.0.0.1,localhost"  # a proxy does not know this machine's servers
    )


def pytest_collection_finish() -> None:
    """What the tests are made of stays: it need not be looked through again and again."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*GARBAGE)


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = Counter[Path]()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if OPENS_SOCKETS & fixtures and item.get_closest_marker("allow_hosts") is None:
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
        if STARTS_SERVERS & fixtures or item.path.parent.name == WHOLE:
            item.add_marker(pytest.mark.slow)
        slow[item.path] += item.get_closest_marker("slow") is not None
    # the longest files first, so that all processes end at about the same time; before them those
    # that never wait, for at first the process beside them waits for cron
    items.sort(
        key=lambda item: (
            item.path.parent.name not in SIMULATED,
            item.path.parent.name != WHOLE,
            -slow[item.path],
        )
    )


@pytest.fixture(scope="session")
def loopback() -> None:
    """Lets a test talk to servers on this machine."""


@pytest.fixture
def start_prometheus(loopback: None, tmp_path: Path) -> Iterator[StartServer]:
    """Starts a Prometheus with the given history; it ends with the test."""
    with ExitStack() as running:
        yield lambda samples: running.enter_context(
            prometheus(_folder(tmp_path, "prometheus"), samples)
        )


@pytest.fixture
def start_victoria_metrics(loopback: None, tmp_path: Path) -> Iterator[StartServer]:
    """Starts a VictoriaMetrics with the given history; it ends with the test."""
    with ExitStack() as running:
        yield lambda samples: running.enter_context(
            victoria_metrics(_folder(tmp_path, "victoria-metrics"), samples)
        )


@pytest.fixture(scope="session")
def gateway(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Pushgateway for all tests: each pushes under a job of its own."""
    with pushgateway(tmp_path_factory.mktemp("pushgateway")) as server:
        yield server


@pytest.fixture(scope="session")
def influxdb_server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An InfluxDB for all tests: each writes measurements of its own."""
    with influxdb(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL for all tests; see `database`."""
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def database(postgresql_server: Server, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own."""
    name = f"t{uuid.uuid5(uuid.NAMESPACE_OID, request.node.nodeid).hex}"
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return postgresql_server.url.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def start_alertmanager(loopback: None, tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Starts an Alertmanager that posts to the hook given; it ends with the test."""
    with ExitStack() as running:
        yield lambda hook: running.enter_context(
            alertmanager(_folder(tmp_path, "alertmanager"), hook)
        )


def _folder(parent: Path, name: str) -> Path:
    folder = parent / f"{name}-{sum(1 for _ in parent.glob(f'{name}-*'))}"
    folder.mkdir()
    return folder
