"""Unit tests of a checklist: series that are made up, judged and told of as after a release, with
nobody asked and nobody told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly.checklist import registry, strict_yaml
from anomaly.checklist.checklist import DRY_RUN, Checklist
from anomaly.checklist.strict_yaml import KeyPath, Problem, path_text, shown
from anomaly.contracts import Collected, Message, Receipt
from anomaly.errors import ChecklistError, UsageError
from anomaly.history.places import IN_MEMORY
from anomaly.history.store import Store
from anomaly.model import Kpi, Release
from anomaly.panel import (
    DENOMINATOR,
    NUMERATOR,
    TOTAL,
    USAGE,
    VALUE,
    assemble,
    ended,
    grid,
    segment_text,
)
from anomaly.reporting import words
from anomaly.reporting.report import Report
from anomaly.testing.form import CaseForm, ChangeForm, SeriesForm, validate
from anomaly.timing.spans import plan
from anomaly.watch.look import Receiver, look
from anomaly.wording import did_you_mean

QUIET_LEVEL, QUIET_RATIO, QUIET_VOLUME = 100.0, 0.1, 10_000.0  # of a KPI that a case does not name
HIGHEST_HOUR = 15  # of the users' day
Floats = np.ndarray


@dataclass(frozen=True, slots=True)
class Miss:
    """Something that was expected and did not come: what, and what came instead."""

    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case, the report of its last look, and what was not as expected."""

    name: str
    report: Report
    misses: tuple[Miss, ...]


def load(path: Path, checklist: Checklist) -> tuple[CaseForm, ...]:
    """The cases in a YAML file about a checklist. Raises ChecklistError with a line per problem."""
    document = strict_yaml.parse(strict_yaml.read(path, "file of cases"))
    strict_yaml.refuse(str(path), document.problems)
    form, problems = validate(document.data)
    problems += (
        []
        if form is None
        else [
            each
            for i, case in enumerate(form.cases)
            for each in _strange(("cases", i), case, checklist)
        ]
    )
    strict_yaml.refuse(
        str(path),
        [
            Problem(document.line(where), f"{path_text(where)} {text}".strip())
            for where, text in problems
        ],
    )
    assert form is not None  # noqa: S101  what is no form has problems, and these were just refused
    return tuple(form.cases)


def select(cases: Sequence[CaseForm], names: Sequence[str]) -> tuple[CaseForm, ...]:
    """The cases of these names, or all. Raises ChecklistError."""
    case_names = [case.name for case in cases]
    for name in names:
        if name not in case_names:
            raise ChecklistError(
                f"no case is called {shown(name)}; use one of "
                f"{', '.join(case_names)}{did_you_mean(name, case_names)}"
            )
    return tuple(case for case in cases if not names or case.name in names)


def _strange(at: KeyPath, case: CaseForm, checklist: Checklist) -> Iterator[tuple[KeyPath, str]]:
    """What in a case does not fit its checklist."""
    kpis = {kpi.name: kpi for kpi in checklist.kpis}
    for name, parts in case.series.items():
        if name not in kpis:
            yield (
                (*at, "series", name),
                f"is not a KPI; use one of {', '.join(kpis)}{did_you_mean(name, tuple(kpis))}",
            )
            continue
        for i, part in enumerate(parts):
            where = (*at, "series", name, i)
            if set(part.segment) != set(kpis[name].by):
                advice = (
                    f"its labels must be {', '.join(kpis[name].by)}"
                    if kpis[name].by
                    else "the KPI has no segments; remove it"
                )
                yield (*where, "segment"), f"is {dict(part.segment) or 'missing'}; {advice}"
            if (part.volume == 0) == (kpis[name].denominator is not None):
                yield (
                    (*where, "volume"),
                    "is missing; the KPI is a ratio"
                    if part.volume == 0
                    else "has no meaning; the KPI is not a ratio",
                )
            for j, change in enumerate(part.after):
                if (change.change is None) == (not change.missing):
                    yield (*where, "after", j), "needs either a change or missing: true"
                if change.until <= change.since:
                    yield (*where, "after", j, "until"), "is not later than since"
        if len({tuple(sorted(part.segment.items())) for part in parts}) < len(parts):
            yield (*at, "series", name), "has two series with the same labels"
    yield from _wrongly_expected((*at, "expect"), case, checklist)
    try:
        _release(case, checklist)
    except UsageError as error:
        yield (*at, "stages" if case.stages else "finished_at"), f"can't be: {error}"


def _wrongly_expected(
    at: KeyPath, case: CaseForm, checklist: Checklist
) -> Iterator[tuple[KeyPath, str]]:
    kpis, sinks = (
        tuple(kpi.name for kpi in checklist.kpis),
        tuple(receiver.name for receiver in _receivers(checklist)),
    )
    for name in case.expect.kpis:
        if name.partition(" (")[0] not in kpis and name not in kpis:
            yield (
                (*at, "kpis", name),
                f"is not a KPI; use one of {', '.join(kpis)}{did_you_mean(name, kpis)}",
            )
    for name in case.expect.told:
        if name not in sinks:
            yield (
                (*at, "told", name),
                "is not a sink; use one of "
                f"{', '.join(sinks) or '(none)'}{did_you_mean(name, sinks)}",
            )
    if not case.expect.model_fields_set:
        yield at, "expects nothing"


def run(case: CaseForm, checklist: Checklist) -> Outcome:
    """Judge a case at each of its looks, with a history of its own, and hold it against what is
    expected."""
    release = _release(case, checklist)
    begins = release.exposed_at + checklist.windows.warmup
    ends = [begins + after for after in case.looks] or [
        checklist.windows.watched_until(release.finished)
    ]
    collected = synthetic_data(case, checklist, release, max(ends))
    receivers = _receivers(checklist)
    actions: dict[str, list[str]] = {receiver.name: [] for receiver in receivers}
    report = None
    with Store(IN_MEMORY) as store:
        record = store.track(release, origin="test", checklist=str(checklist.path or ""))
        for end in sorted(ends):
            there = collected.panel[
                ended(pd.DatetimeIndex(collected.panel.index), end, checklist.windows.step)
            ]
            result = look(
                checklist,
                record,
                store,
                receivers,
                now=end + checklist.windows.lag,
                collected=Collected(there),
            )
            report = result.report
            for message in result.messages:
                actions[message.sink].append(str(message.action))
    assert report is not None  # noqa: S101  there is at least one look
    return Outcome(case.name, report, tuple(_misses(case, report, actions)))


def _receivers(checklist: Checklist) -> list[Receiver]:
    """The sinks and hooks of the checklist, none of which is told anything; a hook is named as if
    it were no dry run."""
    return [
        *(
            Receiver(name, _Nobody(registry.is_told_every_look(plugin)))
            for name, plugin in checklist.receivers
        ),
        *(
            Receiver(hook.name.removesuffix(DRY_RUN), _Nobody(every_look=False), hook.occasion)
            for hook in checklist.hooks
        ),
    ]


def _release(case: CaseForm, checklist: Checklist) -> Release:
    stages = tuple((case.released_at + stage.after, stage.share) for stage in case.stages)
    return Release(
        case.released_at,
        case.finished_at,
        service=checklist.service,
        environment=checklist.environment,
        version=case.name,
        stages=stages,
    )


def synthetic_data(
    case: CaseForm, checklist: Checklist, release: Release, end: datetime
) -> Collected:
    """The panel of a case: what its sources would have answered at `end`. The same case makes the
    same numbers."""
    index = pd.DatetimeIndex(
        grid(
            plan(release, checklist.windows, now=end + checklist.windows.lag).span,
            checklist.windows.step,
        )
    )
    columns: dict[tuple[str, str, str], Floats] = {}
    for number, kpi in enumerate(checklist.kpis):
        parts = case.series.get(kpi.name) or [_quiet(kpi)]
        whole = np.zeros(len(index))
        for part_number, part in enumerate(parts):
            rng = np.random.default_rng([case.seed, number, part_number])
            values = _values(part, index, checklist.calendar.timezone, release, rng)
            segment = segment_text(part.segment)
            if part.volume == 0:
                columns[kpi.name, segment, VALUE] = values
                whole += values
            else:
                volume = np.where(np.isfinite(values), part.volume, np.nan)
                columns[kpi.name, segment, NUMERATOR] = _counted(values * part.volume, rng)
                columns[kpi.name, segment, DENOMINATOR] = volume
        if kpi.total is not None:
            columns[TOTAL + kpi.name, "", VALUE] = whole
        if isinstance(kpi.usage, str):
            columns[USAGE + kpi.name, "", VALUE] = np.ones(len(index))
    return Collected(assemble(columns, index))


def _quiet(kpi: Kpi) -> SeriesForm:
    """A series in which nothing happens, of a KPI that a case does not name."""
    ratio = kpi.denominator is not None
    level = QUIET_RATIO if ratio else min(QUIET_LEVEL, kpi.limits[1] / 2)
    volume = max(QUIET_VOLUME, kpi.min_volume) if ratio else 0.0
    return SeriesForm(segment=dict.fromkeys(kpi.by, "all"), level=level, volume=volume)


def _values(
    part: SeriesForm,
    index: pd.DatetimeIndex,
    timezone: str,
    release: Release,
    rng: np.random.Generator,
) -> Floats:
    """A value per step: level, rhythm and noise, and what happens after the release; the ratio of a
    ratio, without its noise."""
    local = index.tz_convert(timezone)
    hour = local.hour.to_numpy() + local.minute.to_numpy() / 60
    values = part.level * (1 + part.daily * np.cos(2 * np.pi * (hour - HIGHEST_HOUR) / 24))
    if part.volume == 0:
        values = values + abs(part.level) * part.noise * rng.standard_normal(len(index))
    after = (index - pd.Timestamp(release.started_at)) / timedelta(seconds=1)
    for change in part.after:
        values = _changed(values, change, np.asarray(after, dtype=float))
    return values


def _changed(values: Floats, change: ChangeForm, after: Floats) -> Floats:
    """`values` with a change; `after` is how many seconds after the release each step begins."""
    since = change.since.total_seconds()
    until = change.until.total_seconds()
    inside = (after >= since) & (after < until)
    if change.missing:
        return np.where(inside, np.nan, values)
    end = min(until, float(after.max()))
    part = np.clip((after - since) / max(end - since, 1.0), 0, 1) if change.ramp else 1.0
    return np.where(inside, values * (1 + (change.change or 0.0) * part), values)


def _counted(means: Floats, rng: np.random.Generator) -> Floats:
    """Whole numbers with that mean, as independent events have them."""
    counts = rng.poisson(np.where(np.isfinite(means), np.maximum(means, 0.0), 0.0)).astype(float)
    return np.where(np.isfinite(means), counts, np.nan)


def _misses(case: CaseForm, report: Report, actions: dict[str, list[str]]) -> Iterator[Miss]:
    if case.expect.verdict is not None and report.verdict is not case.expect.verdict:
        yield Miss(f"the release to be {case.expect.verdict}", words.headline(report))
    for name, verdict in case.expect.kpis.items():
        candidates = [
            finding for finding in report.findings if name in (words.title(finding), finding.kpi)
        ]
        others = [finding for finding in candidates if finding.verdict is not verdict]
        if others or not candidates:
            verdicts = "; ".join(
                f"{words.title(finding)} {finding.verdict}: {finding.reason}" for finding in others
            )
            yield Miss(
                f"{name} to be {verdict}",
                verdicts
                or (
                    "no such KPI or segment; there are "
                    f"{', '.join(map(words.title, report.findings))}"
                ),
            )
    for sink, expected_actions in case.expect.told.items():
        if actions[sink] != [str(action) for action in expected_actions]:
            yield Miss(
                f"{sink} to be told {', '.join(expected_actions) or 'nothing'}",
                ", ".join(actions[sink]) or "nothing",
            )


class _Nobody:
    """Stands for a sink, and tells nobody."""

    # the one thing that deciding asks of a sink
    def __init__(self, every_look: bool) -> None:  # noqa: FBT001
        self.every_look = every_look

    def send(self, message: Message, /) -> Receipt:
        raise NotImplementedError
