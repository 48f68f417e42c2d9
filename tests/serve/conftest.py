"""A service over a small history, asked in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from anomaly.checklist.checklist import Checklist, load
from anomaly.history.store import Store
from anomaly.serve.access import Access
from anomaly.serve.app import Sender, Service, application
from anomaly.serve.served import Served
from anomaly.serve.server import bound
from tests.support.asgi import ask
from tests.support.operation import CHECKLIST
from tests.support.service import ACK, NOW, READ, RELEASE, SIGNING, Ask


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "history.db") as store:
        yield store


@pytest.fixture
def checklist(tmp_path: Path) -> Checklist:
    path = tmp_path / "checklist.yaml"
    path.write_text(CHECKLIST, encoding="utf-8")
    return load(path, environ={})


@pytest.fixture
def service(store: Store, checklist: Checklist) -> Service:
    """Without tokens, as on loopback."""
    secrets = dict.fromkeys((Sender.GITHUB, Sender.GITLAB, Sender.LAUNCHDARKLY), (SIGNING,))
    return Service(store, Served((checklist,)), Access(), secrets, clock=lambda: NOW)


@pytest.fixture
def asked(service: Service) -> Ask:
    """Asks the service: method, target, body, headers."""
    app = application(service)
    return lambda *request, **headers: ask(app, *request, **headers)


@pytest.fixture
def locked(service: Service) -> Ask:
    """Asks the same service with a token for each scope."""
    access = Access.of(
        {
            "ANOMALY_READ_TOKEN": READ,
            "ANOMALY_RELEASE_TOKEN": RELEASE,
            "ANOMALY_ACK_TOKEN": ACK,
        }
    )
    app = application(replace(service, access=access))
    return lambda *request, **headers: ask(app, *request, **headers)


@pytest.fixture
def address(loopback: None, service: Service) -> Iterator[str]:
    """The service on a free port."""
    config = uvicorn.Config(application(service), log_config=None, server_header=False)
    server = uvicorn.Server(config)
    with bound("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
