"""The map of the code: every room of the package on its floor, read from the layers contract."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

STAGES = ("collectors", "baseline", "scoring", "decision", "sinks")
DOORS = ("cli", "watch", "notebook")


@dataclass(frozen=True)
class Room:
    """A folder or a flat module of the package, and how many modules it has."""

    name: str
    modules: int


def floors(root: Path) -> list[list[Room]]:
    """The rooms from the top floor down. What stands higher may import what stands lower."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    package = root / "anomaly"
    return [[_room(package, name.strip()) for name in layer.split("|")] for layer in layers]


def _room(package: Path, name: str) -> Room:
    modules = [path for path in (package / name).rglob("*.py") if path.name != "__init__.py"]
    return Room(name, len(modules) or 1)


def draw(figure: Figure, ink: str, faint: str, stage: str, door: str, root: Path) -> None:
    """Draw the floors: the stages in the colour `stage`, the three doors in `door`."""
    rows = floors(root)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows), 0)
    for height, rooms in enumerate(rows):
        width = 1 / len(rooms)
        for place, room in enumerate(rooms):
            colour = stage if room.name in STAGES else door if room.name in DOORS else faint
            axes.add_patch(
                FancyBboxPatch(
                    (place * width + 0.008, height + 0.1),
                    width - 0.016,
                    0.8,
                    boxstyle="round,pad=0,rounding_size=0.01",
                    facecolor="none",
                    edgecolor=colour,
                    linewidth=2.2 if colour != faint else 1,
                )
            )
            middle = place * width + width / 2
            axes.text(middle, height + 0.45, room.name, ha="center", va="center", weight="bold")
            if room.modules > 1:
                modules = f"{room.modules} modules"
                axes.text(
                    middle, height + 0.73, modules, ha="center", va="center", size=7, color=ink
                )
