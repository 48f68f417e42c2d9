"""What can't be set up of a checklist that is well formed, and what is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from anomaly.checklist import registry, strict_yaml
from anomaly.checklist.checklist import Checklist
from anomaly.checklist.registry import COLLECTORS
from anomaly.checklist.settings import STANDARD_INPUT
from anomaly.checklist.strict_yaml import KeyPath
from anomaly.collectors import promql
from anomaly.collectors.replicas import REPLICAS
from anomaly.errors import ChecklistError
from anomaly.model import Kpi
from anomaly.reporting.words import FEW_STEPS
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

LONGEST = 300  # characters of a warning


def advice(checklist: Checklist) -> list[str]:
    """A line for each thing to look at again: where it stands, what was seen, what to write."""
    path = checklist.path
    document = None if path is None else strict_yaml.parse(strict_yaml.read(path))
    lines = []
    for keys, text in _seen(checklist):
        where = strict_yaml.path_text(keys)
        place = f"{path}:{document.line(keys)}: {where}" if document is not None else where
        lines.append(plain(f"{place} {text}", LONGEST))
    return lines


def refusals(checklist: Checklist) -> list[str]:
    """Why sources, sinks and hooks can't be set up, such as a URL without a host; each names its
    line. Nothing is asked and nothing sent."""
    lines = []
    for make, plugins in (
        (registry.collector, checklist.sources.values()),
        (registry.release_source, checklist.releases),
        (registry.sink, (*checklist.sinks, *(hook.plugin for hook in checklist.hooks))),
    ):
        for plugin in plugins:
            try:
                make(plugin)
            except ChecklistError as error:
                lines.append(str(error))
    return lines


def _seen(checklist: Checklist) -> Iterator[tuple[KeyPath, str]]:
    for index, kpi in enumerate(checklist.kpis):
        if checklist.sources[kpi.source].type == "prometheus":
            for key, text in _of_promql(kpi, checklist.windows.step):
                yield ("kpis", index, key), text
        for label in kpi.by:
            if label in REPLICAS:
                yield (
                    ("kpis", index, "by"),
                    f"has {label}, which names what comes and goes with each release; take it out "
                    "of by and of the query",
                )
    for name, source in checklist.sources.items():
        settings = registry.full_settings(source, COLLECTORS)
        file = settings.get("path")
        if file and file != STANDARD_INPUT and not Path(str(file)).exists():
            yield ("sources", name, "path"), f"is {file}, which does not exist"
    planned = checklist.windows.watch // checklist.windows.step
    if planned < FEW_STEPS:
        yield (
            ("windows", "watch"),
            f"is {planned} step{'' if planned == 1 else 's'} long: only large changes are found; "
            "set a longer watch or a shorter step",
        )
    if not checklist.receivers and (checklist.schedule is not None or checklist.releases):
        yield (
            ("sinks",),
            "has nobody who is told, though the checklist is for a scheduled job (rhythm or "
            "releases): under cron nobody sees the terminal; add a sink",
        )


def _of_promql(kpi: Kpi, step: timedelta) -> Iterator[tuple[str, str]]:
    for key, query in (("query", kpi.query), ("denominator", kpi.denominator)):
        if query is None:
            continue
        for counter in promql.raw_counters(query):
            yield (
                key,
                f"reads the counter {counter} as it stands: it only grows, and falls to 0 when its "
                f"process starts; write sum(increase({counter}[$step]))",
            )
        for name in promql.variables(query):
            yield key, f"has {name}, {promql.NOT_FILLED_IN}"
        late = promql.delay(promql.resolve(query, step), step)
        if late is not None:
            yield key, promql.DELAYED.format(duration_text(late))
