"""The sample shop for tests: its generator, and its frames as panels without a detour through
files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pandas as pd

from anomaly.checklist.checklist import Checklist
from anomaly.checklist.registry import collector
from anomaly.collectors.files import FilesCollector
from anomaly.collectors.table_form import Chunk
from anomaly.contracts import Collected, Provenance
from anomaly.model import Window
from tests.support.places import ROOT

FOLDER = ROOT / "sample_data"


def _generate() -> ModuleType:
    spec = spec_from_file_location("sample_data_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


generate = _generate()


@dataclass(frozen=True)
class FrameTable:
    """A frame in place of a file."""

    name: str
    frame: pd.DataFrame
    delimiter: str = ""
    read_as: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(self.frame.columns)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        yield Chunk(0, {column: self.frame[column] for column in columns})

    def place(self, record: int) -> str:
        return f"{self.name}:row {record + 1}"


def collected(frames: dict[str, pd.DataFrame], checklist: Checklist, end: datetime) -> Collected:
    """What collecting the checklist's KPIs gives when its files hold `frames`: everything from the
    first row to `end`."""
    start = min(frame["time"].min() for frame in frames.values())
    panels, provenance = [], dict[str, Provenance]()
    for name, plugin in checklist.sources.items():
        source = collector(plugin)
        assert isinstance(source, FilesCollector)
        kpis = [kpi for kpi in checklist.kpis if kpi.source == name]
        answer = source.collect_table(
            FrameTable(name, frames[name]), kpis, Window(start, end), checklist.windows.step
        )
        assert not answer.errors
        panels.append(answer.panel)
        provenance |= answer.provenance
    return Collected(pd.concat(panels, axis=1), provenance)
