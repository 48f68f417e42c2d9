"""A small valid checklist, its variants on disk, and a distribution that brings plug-ins of its
own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.errors import ChecklistError

Write = Callable[[str], Path]
Load = Callable[..., Checklist]
Complain = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `checklist.yaml` into the current folder."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        path = Path("checklist.yaml")
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return written


@pytest.fixture
def load_text(write: Write) -> Load:
    """Loads a checklist from its text."""

    def loaded(
        text: str, *, environment: str | None = None, environ: Mapping[str, str] | None = None
    ) -> Checklist:
        return load(write(text), environment=environment, environ=environ or {})

    return loaded


@pytest.fixture
def complaints(load_text: Load) -> Complain:
    """The lines of the error that loading a text gives."""

    def complained(
        text: str, *, environment: str | None = None, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        with pytest.raises(ChecklistError) as caught:
            load_text(text, environment=environment, environ=environ)
        return str(caught.value).splitlines()

    return complained


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a distribution with one module and its entry points on the path."""

    def installed(name: str, module: str, points: Mapping[str, Mapping[str, str]]) -> None:
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
        )
        groups = [
            f"[{group}]\n" + "".join(f"{key} = {target}\n" for key, target in entries.items())
            for group, entries in points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        (site / f"{name}.py").write_text(dedent(module), encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))

    return installed
