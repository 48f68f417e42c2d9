"""Where what may be lost is kept beside a history."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly.history.places import ANSWERS, BASELINES, IN_MEMORY, beside


@pytest.mark.parametrize(
    ("name", "suffix"), [(ANSWERS, ".answers"), (BASELINES, ".baselines")], ids=str
)
def test_it_lies_beside_the_history(
    name: str, suffix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert beside("/var/lib/history.db", name) == Path("/var/lib/history.db" + suffix)
    assert beside("postgresql://host/name", name) == tmp_path / "anomaly" / name
    assert beside(IN_MEMORY, name) is None


@pytest.mark.parametrize("cache", ["", "relative"])
def test_a_cache_folder_that_is_no_place_is_not_used(
    cache: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / ".cache" / "anomaly" / BASELINES
    assert beside("postgresql://host/name", BASELINES) == place
