"""The places a history is kept at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anomaly.history.places import IN_MEMORY
from anomaly.history.store import Store
from tests.support.histories import ON_POSTGRESQL


@pytest.fixture(params=["sqlite", ON_POSTGRESQL, "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("database")
        return url
    return IN_MEMORY if request.param == "memory" else str(tmp_path / "folder" / "history.db")


@pytest.fixture
def store(loopback: None, where: str) -> Iterator[Store]:
    with Store(where) as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"
