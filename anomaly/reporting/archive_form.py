"""The form of a report in JSON (`docs/json.md`), checked as it is read, and the report of it.

Keys that are not known are left out: a later version may have written them. Those with a default
are not in reports of earlier versions.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from anomaly.errors import UsageError
from anomaly.model import (
    Calendar,
    ChangeKind,
    Changes,
    Commit,
    Coverage,
    Direction,
    Exposure,
    Finding,
    Flagged,
    Growth,
    Incident,
    Interval,
    KpiSeverity,
    LeftOut,
    NoData,
    Plateau,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
    dated,
)
from anomaly.reporting.evidence import YEARS, from_names
from anomaly.reporting.message import Receipt
from anomaly.reporting.report import Report
from anomaly.steps import local, of_calendar
from anomaly.wording import plain

if TYPE_CHECKING:
    import pandas as pd

MOST_STEPS = 10**9
LONGEST_STEP_S = 10 * 366 * 86_400
PLACE_SHOWN = 120


def _whole(text: str) -> str:
    """Text that can be written; half a character of UTF-16 can't."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("Input should be text without lone surrogates") from None
    return text


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("Input should be text")  # noqa: TRY004  pydantic takes ValueError alone
    return value


def _usual(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"the year should be from {YEARS[0]} to {YEARS[-1]}")
    return moment


Text = Annotated[str, AfterValidator(_whole)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[Number, Field(gt=-9.2e9, lt=9.2e9)]  # since 1970; beyond, pandas has no stamps
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST_STEPS)]
Truth = Annotated[bool, Field(strict=True)]
Moment = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_usual)]
Ends = tuple[Number | None, Number | None]  # None: not finite


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Window(_Form):
    start: Moment
    end: Moment

    def window(self) -> Window:
        return Window(self.start, self.end)


class _LeftOut(_Window):
    reason: Text


class _Windows(_Form):
    baseline: _Window
    observation: _Window
    step_s: Annotated[float, Field(strict=True, gt=0, le=LONGEST_STEP_S)]
    data: _Window | None = None
    timezone: Text | None = None

    def step(self) -> timedelta:
        """The step; raises UsageError for a time zone that is none."""
        step = timedelta(seconds=self.step_s)
        return (
            step if self.timezone is None else of_calendar(step, Calendar(self.timezone).timezone)
        )


class _OtherRelease(_Form):
    service: Text = ""
    version: Text
    started_at: Moment

    def release(self) -> Release:
        return Release(self.started_at, service=self.service, version=self.version)


class _Commit(_Form):
    id: Text
    author: Text
    title: Text
    link: Text

    def commit(self) -> Commit:
        return Commit(self.id, self.author, self.title, self.link)


class _Changes(_Form):
    since: Text
    count: Count
    removed: Count
    commits: list[_Commit]
    link: Text
    problem: Text

    def changes(self) -> Changes:
        commits = tuple(each.commit() for each in self.commits)
        return Changes(self.since, self.count, commits, self.removed, self.link, self.problem)


class _Stage(_Form):
    at: Moment
    share: Share


class _Release(_Form):
    service: Text
    version: Text
    environment: Text
    started_at: Moment
    finished_at: Moment
    stages: list[_Stage]
    followed_by: _OtherRelease | None

    def release(self) -> Release:
        return Release(
            started_at=self.started_at,
            finished_at=self.finished_at,
            service=self.service,
            version=self.version,
            environment=self.environment,
            stages=tuple((stage.at, stage.share) for stage in self.stages),
            followed_by=None if self.followed_by is None else self.followed_by.release(),
        )


class _Plateau(_Window):
    share: Share
    effect: Number | None
    effect_interval: Ends | None
    effect_absolute: Number | None
    effect_absolute_interval: Ends | None

    def plateau(self) -> Plateau:
        return Plateau(
            share=self.share,
            window=self.window(),
            effect=self.effect,
            effect_interval=_interval(self.effect_interval),
            effect_absolute=self.effect_absolute,
            effect_absolute_interval=_interval(self.effect_absolute_interval),
        )


class _Exposure(_Form):
    growth: Growth
    plateaus: list[_Plateau]

    def exposure(self) -> Exposure:
        return Exposure(self.growth, tuple(each.plateau() for each in self.plateaus))


class _Flagged(_Form):
    count: Count
    first: Moment
    worst: Moment
    worst_z: Number | None

    def flagged(self) -> Flagged:
        return Flagged(self.count, self.first, self.worst, _number(self.worst_z))


class _Coverage(_Form):
    share: Share | None
    steps: Count

    def coverage(self) -> Coverage:
        return Coverage(_number(self.share), self.steps)


class _Finding(_Form):
    kpi: Text
    segment: dict[Text, Text] = Field(default_factory=dict)
    verdict: Verdict
    kind: ChangeKind | None
    p_value: Share | None = None
    level: Share | None = None
    p_release: Share | None = None
    effect: Number | None = None
    effect_interval: Ends | None
    effect_absolute: Number | None = None
    effect_absolute_interval: Ends | None
    observed: Number | None = None
    expected: Number | None = None
    detectable_effect: Number | None = None
    detectable_absolute: Number | None = None
    total: Truth = False
    contribution: Number | None = None
    mix_effect: Number | None = None
    onset: Moment | None
    onset_interval: tuple[Moment, Moment] | None
    exposure: _Exposure | None
    flagged: _Flagged | None
    coverage: _Coverage | None = None
    reason: Text
    notes: list[Text]
    evidence: dict[Text, Text | Number | None] = Field(default_factory=dict)
    steps: Count = 0
    steps_planned: Count = 0
    volume: Number | None = None
    weight: Number | None = 1.0
    unit: Text = ""
    direction: Direction
    tolerance: Number | None = 0.0
    floor: Number | None = 0.0
    critical: Truth = False
    severity: KpiSeverity = KpiSeverity.GUARDRAIL
    dry_run: Truth = False
    control_for: list[Text]
    no_data: NoData
    query: Text = ""
    denominator: Text | None = None
    link: Text = ""

    def finding(self) -> Finding:
        """The finding; raises ValueError for evidence that is none."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        parsed = {
            "weight": _number(self.weight),
            "tolerance": _number(self.tolerance),
            "floor": _number(self.floor),
            "effect_interval": _interval(self.effect_interval),
            "effect_absolute_interval": _interval(self.effect_absolute_interval),
            "exposure": None if self.exposure is None else self.exposure.exposure(),
            "flagged": None if self.flagged is None else self.flagged.flagged(),
            "coverage": None if self.coverage is None else self.coverage.coverage(),
            "notes": tuple(self.notes),
            "control_for": tuple(self.control_for),
            "evidence": from_names(self.evidence),
        }
        return Finding(**{**own, **parsed})


class _Incident(_Form):
    findings: list[Count]
    kpis: Count
    since: Moment | None
    usage: Share | None

    def incident(self, step: timedelta) -> Incident:
        since = None if self.since is None else local(self.since, step)
        return Incident(tuple(self.findings), self.kpis, since, self.usage)


class _Receipt(_Form):
    sink: Text
    delivered: Truth
    detail: Text
    attempts: Count

    def receipt(self) -> Receipt:
        return Receipt(
            self.sink, delivered=self.delivered, detail=self.detail, attempts=self.attempts
        )


class _Report(_Form):
    schema_: Annotated[int, Field(alias="schema", strict=True)]
    verdict: ReleaseVerdict
    final: Truth
    release: _Release
    windows: _Windows
    false_alarms: Share
    verifiable: Share | None = None
    findings: list[_Finding]
    incidents: list[_Incident] = Field(default_factory=list)
    left_out: list[_LeftOut] = Field(default_factory=list)
    confounders: list[_OtherRelease] = Field(default_factory=list)
    changes: _Changes | None = None
    made: dict[Text, Text]
    deliveries: list[_Receipt] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_the_findings(self) -> Self:
        for incident in self.incidents:
            if not incident.findings or max(incident.findings) >= len(self.findings):
                raise ValueError("an incident is not about findings of the report")
        return self


class _Around(_Form):
    """The steps that were not judged; those of earlier versions do not say what was expected."""

    time: list[Seconds]
    observed: list[Number | None]
    expected: list[Number | None] | None = None
    lower: list[Number | None] | None = None
    upper: list[Number | None] | None = None

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        names = ("observed", "expected", "lower", "upper")
        _check_lengths(self, tuple(name for name in names if getattr(self, name) is not None))
        return self


class _Earlier(_Form):
    time: list[Seconds]
    day: list[Number | None]
    week: list[Number | None]

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        _check_lengths(self, ("day", "week"))
        return self


class _Series(_Form):
    """The points of a series; reports of the first versions have one list for all series, with
    names as long as their points."""

    kpi: Text | list[Text]
    segment: Text | list[Text]
    time: list[Seconds]
    observed: list[Number | None]
    expected: list[Number | None]
    lower: list[Number | None]
    upper: list[Number | None]
    z: list[Number | None]
    flagged: list[Annotated[int, Field(ge=0, le=1)]]
    around: _Around | None = None
    earlier: _Earlier | None = None

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        names = [name for name in ("kpi", "segment") if not isinstance(getattr(self, name), str)]
        _check_lengths(self, ("observed", "expected", "lower", "upper", "z", "flagged", *names))
        return self


class Archived(_Form):
    """A report with its points."""

    report: _Report
    series: list[_Series] = Field(default_factory=list)
    points: _Series | None = None

    def all_series(self) -> list[dict[str, Any]]:
        """The points as lists, whichever version wrote them."""
        forms = self.series if self.points is None else [self.points]
        return [form.model_dump() for form in forms]

    def receipts(self) -> tuple[Receipt, ...]:
        return tuple(each.receipt() for each in self.report.deliveries)


def checked(data: Any) -> Archived:
    """The form of `data`. Raises UsageError that names the place."""
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{plain(place, PLACE_SHOWN) or 'the whole'}: {plain(first['msg'], PLACE_SHOWN)}"
        ) from None


@cache
def _adapter() -> TypeAdapter[Archived]:
    return TypeAdapter(Archived)


def report_of_form(
    form: Archived,
    points: pd.DataFrame,
    around: pd.DataFrame | None,
    earlier: pd.DataFrame | None,
) -> Report:
    """The report of a form, with its points. Raises UsageError or ValueError for values that
    contradict each other."""
    data, step = form.report, form.report.windows.step()
    if data.windows.timezone is not None:
        from anomaly.panel import in_calendar

        points = in_calendar(points, step)
        around = None if around is None else in_calendar(around, step)
    return Report(
        release=data.release.release(),
        verdict=data.verdict,
        final=data.final,
        findings=tuple(dated(each.finding(), step) for each in data.findings),
        points=points,
        baseline=data.windows.baseline.window(),
        observation=data.windows.observation.window(),
        step=step,
        false_alarms=data.false_alarms,
        verifiable=data.verifiable,
        made=data.made,
        left_out=tuple(LeftOut(each.window(), each.reason) for each in data.left_out),
        confounders=tuple(each.release() for each in data.confounders),
        incidents=tuple(each.incident(step) for each in data.incidents),
        data=None if data.windows.data is None else data.windows.data.window(),
        around=around,
        earlier=earlier,
        changes=None if data.changes is None else data.changes.changes(),
    )


def _check_lengths(form: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if len(getattr(form, name)) != len(form.time):
            raise ValueError(f"{name} has {len(getattr(form, name))} of {len(form.time)} values")


def _number(value: float | None) -> float:
    """JSON has no infinity and no NaN; both come back as NaN."""
    return math.nan if value is None else value


def _interval(ends: Ends | None) -> Interval | None:
    return None if ends is None else (_number(ends[0]), _number(ends[1]))
