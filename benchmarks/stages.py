"""What each stage of a verdict costs: python -m benchmarks.stages [SERIES]

Prints one JSON object, seconds of processor time by name: `judging`, each of its stages without
those that it calls (`report` is what no other has), and the forms of the report; `peak` is in
bytes. Each number is the least of several times, that which was disturbed least.

`benchmarks.compare` runs this file in other revisions, too. So a stage has all the names that it
has had, and is null where it has none.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from anomaly.reporting.report import Report
from benchmarks.load import load_of, peak_bytes
from benchmarks.ratios import cpu_seconds

SERIES, TIMES = 100, 3
STAGES = {
    "panel": (
        "anomaly.panel:usage_weights",
        "anomaly.panel:judged_panel",
        "anomaly.panel:extended",
    ),
    "split": ("anomaly.baseline.sides:sides_of", "anomaly.baseline.sides:split"),
    "baseline": ("anomaly.decision.judge:learn", "anomaly.decision.judge:Judge.fit"),
    "timeline": ("anomaly.scoring.timeline:timeline",),
    "questions": ("anomaly.scoring.questions:ask",),
    "scores": ("anomaly.scoring.replay:scores", "anomaly.scoring.replay:joint_replay"),
    "effects": ("anomaly.scoring.effect:estimate", "anomaly.scoring.coverage:coverage"),
    "power": ("anomaly.decision.case:detectable",),
    "series by series": ("anomaly.scoring.score:score_timeline",),
    "decision": ("anomaly.decision.stages:by_stages",),
}
REPORT = "report"


def page(report: Report) -> object:
    from anomaly.reporting.pages.release import page as html

    return html(report)


def data(report: Report) -> object:
    from anomaly.reporting.data import to_dict

    return json.dumps(to_dict(report), allow_nan=False)


def archive(report: Report) -> object:
    from anomaly.reporting.archive import pack

    return pack(report)


FORMS: dict[str, Callable[[Report], object]] = {"HTML": page, "JSON": data, "archive": archive}


def found(target: str) -> tuple[Any, str] | None:
    """Whose attribute a target is, and its name; None where there is none."""
    module, _, path = target.partition(":")
    *above, name = path.split(".")
    try:
        holder = functools.reduce(getattr, above, import_module(module))
        getattr(holder, name)
    except (ImportError, AttributeError):
        return None
    return holder, name


class Stopwatch:
    """Seconds by stage; while one stage runs inside another, only its own go on."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def _lap(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, its time counted for the stage."""

        @functools.wraps(work)
        def run(*args: Any, **settings: Any) -> Any:
            self._lap()
            self._running.append(stage)
            try:
                return work(*args, **settings)
            finally:
                self._lap()
                self._running.pop()

        return run

    @contextmanager
    def on(self, stages: dict[str, tuple[str, ...]]) -> Iterator[None]:
        """Time every call of the stages, wherever a module of the package has imported them."""
        patches = []
        for stage, targets in stages.items():
            for holder, name in filter(None, map(found, targets)):
                work = getattr(holder, name)
                if isinstance(holder, type):
                    timed: Any = self.timed(stage, work)
                    if isinstance(vars(holder)[name], classmethod):
                        timed = staticmethod(timed)
                    patches.append(patch.object(holder, name, timed))
                    continue
                patches += [
                    patch.object(module, own, self.timed(stage, work))
                    for module in [*sys.modules.values()]
                    if module.__name__.partition(".")[0] == "anomaly"
                    for own, value in [*vars(module).items()]
                    if value is work
                ]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def seconds_by_stage(series: int = SERIES, times: int = TIMES) -> dict[str, float | None]:
    """What judging so many series costs, by stage and form."""
    load = load_of(series)
    report = load.report()  # imports, and fills caches
    judged: list[defaultdict[str, float]] = []
    whole: list[float] = []
    for _ in range(times):
        whole.append(cpu_seconds(load.report))
        watch = Stopwatch()
        with watch.on(STAGES):
            watch.timed(REPORT, load.report)()
        judged.append(watch.seconds)
    out: dict[str, float | None] = {"judging": min(whole)}
    for stage, targets in STAGES.items():
        has_one = any(map(found, targets))
        out[stage] = min(each[stage] for each in judged) if has_one else None
    out[REPORT] = min(each[REPORT] for each in judged)
    for name, form in FORMS.items():
        out[name] = min(cpu_seconds(functools.partial(form, report)) for _ in range(times))
    return out


if __name__ == "__main__":
    print(
        json.dumps(
            seconds_by_stage(int(sys.argv[1]) if len(sys.argv) > 1 else SERIES)
            | {"peak": peak_bytes()}
        )
    )
