"""A small shop under watch: a checklist over a CSV file that grows with the clock, and sinks that
remember."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from anomaly.checklist.checklist import Checklist, load
from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError
from anomaly.model import Release

STEP = timedelta(minutes=30)
START = datetime(2025, 6, 2, tzinfo=UTC)
RELEASED = START + timedelta(days=10, hours=10)
SERVICE, ENVIRONMENT = "shop", "production"
KPIS = ("errors", "latency")
CHECKLIST = """
service: shop
environment: production
sources: {shop: {type: files, path: shop.csv}}
windows: {history: 9d, warmup: 0s, watch: 12h, step: 30m, lag: 0s}
kpis:
  - {name: errors, query: errors, direction: up, tolerance: 5%, critical: true}
  - {name: latency, query: latency, direction: up, tolerance: 5%}
"""


@dataclass
class Shop:
    """`bad` says for each KPI between which hours after the release it is half as high again."""

    folder: Path
    bad: dict[str, tuple[float, float]] = field(default_factory=dict)
    more: str = ""
    now: datetime = RELEASED
    watch: str = "12h"

    def __post_init__(self) -> None:
        self.bad = dict(self.bad)  # a test may change its own, not those of the next
        text = CHECKLIST.replace("watch: 12h", f"watch: {self.watch}") + self.more
        (self.folder / "checklist.yaml").write_text(text, encoding="utf-8")
        self.at(0)

    def at(self, hours: float) -> datetime:
        """Let it be so many hours after the release; the file holds what was measured by then."""
        self.now = RELEASED + timedelta(hours=hours)
        rows = _measured(*(self.bad.get(name, (0.0, 0.0)) for name in KPIS))
        text = "\n".join(["time,errors,latency", *rows[: (self.now - START) // STEP]])
        (self.folder / "shop.csv").write_text(f"{text}\n", encoding="utf-8")
        return self.now

    def checklist(self) -> Checklist:
        return load(self.folder / "checklist.yaml", environ={})

    def clock(self) -> datetime:
        return self.now

    def release(self, hours: float = 0, version: str = "2.0") -> Release:
        return Release(
            RELEASED + timedelta(hours=hours),
            service=SERVICE,
            version=version,
            environment=ENVIRONMENT,
        )


@cache
def _measured(*bad: tuple[float, float]) -> list[str]:
    """The rows of the file, those to come among them; `bad` as in `Shop`, in the order of the
    KPIs."""
    rng, rows = np.random.default_rng(3), []
    for number in range(24 * 2 * 30):
        moment = START + number * STEP
        after = (moment - RELEASED) / timedelta(hours=1)
        values = [
            100.0 * (1.5 if first <= after < last else 1.0) + 3 * noise
            for (first, last), noise in zip(bad, rng.normal(0, 1, len(bad)), strict=True)
        ]
        rows.append(",".join([moment.isoformat(), *(f"{value:.3f}" for value in values)]))
    return rows


@dataclass
class People:
    """A sink that remembers what it was told; `fail` may raise before it takes a message."""

    took: list[Message] = field(default_factory=list)
    fail: Callable[[Message], SinkError | None] = lambda _: None

    def send(self, message: Message, /) -> Receipt:
        if error := self.fail(message):
            raise error
        self.took.append(message)
        return Receipt("people", delivered=True)

    def said(self) -> list[tuple[str, str]]:
        return [(message.action.value, message.why) for message in self.took]


@dataclass
class Mirror(People):
    """Likewise, but of every look."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True
