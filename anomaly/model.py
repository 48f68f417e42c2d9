"""The nouns: what a release, a KPI, a finding and a report are. Frozen values, UTC-aware times, no
numerics."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from anomaly.errors import UsageError
from anomaly.steps import CalendarStep, local, shifted

Interval = tuple[float, float]
Segment = Mapping[str, str]
Stage = tuple[datetime, float]  # when the share of users that have a release grew, and to what


class Direction(StrEnum):
    """The bad direction of a KPI."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class NoData(StrEnum):
    """What missing data means for the release."""

    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    IGNORE = "ignore"


class Empty(StrEnum):
    """What a step without a sample means: nothing was measured, or nothing happened."""

    MISSING = "missing"
    ZERO = "zero"


class KpiKind(StrEnum):
    """What a KPI is by nature: which values it can have, and on which scale its noise is even."""

    COUNTS = "counts"
    RATE = "rate"
    RATIO = "ratio"
    LATENCY = "latency"
    SHARE = "share"
    GAUGE = "gauge"


class Correction(StrEnum):
    """How `false_alarms` is spent over all KPIs of a release."""

    HOLM = "holm"
    BENJAMINI_HOCHBERG = "benjamini-hochberg"


class Verdict(StrEnum):
    """The answer for one KPI and segment."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    RECOVERED = "recovered"
    OK = "ok"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"
    ERROR = "error"


WORST_FIRST = (
    Verdict.REGRESSED,
    Verdict.ERROR,
    Verdict.NO_DATA,
    Verdict.INCONCLUSIVE,
    Verdict.RECOVERED,
    Verdict.IMPROVED,
    Verdict.OK,
)
CHANGED = frozenset({Verdict.REGRESSED, Verdict.RECOVERED, Verdict.IMPROVED})
BETTER = frozenset({Verdict.RECOVERED, Verdict.IMPROVED})
WELL = frozenset({*BETTER, Verdict.OK})
UNJUDGED = frozenset({Verdict.ERROR, Verdict.NO_DATA, Verdict.INCONCLUSIVE})


class ReleaseVerdict(StrEnum):
    """The answer for the release."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    HOLD = "hold"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


ALARMS = frozenset({ReleaseVerdict.FAIL, ReleaseVerdict.HOLD})


class Occasion(StrEnum):
    """What a look at a release found when a hook of the checklist runs: each at most once a
    release, and none at a look that is inconclusive."""

    FIRE = "fire"  # a guardrail fails
    HOLD = "hold"  # signals fail, and no guardrail
    RESOLVE = "resolve"  # what failed, and for which a hook ran, is well again
    PASS = "pass"  # noqa: S105  the watch is over, and the release passed


class KpiSeverity(StrEnum):
    """What a KPI that fails makes of the release."""

    GUARDRAIL = "guardrail"  # it fails: roll back
    SIGNAL = "signal"  # it is held: somebody should look


class ChangeKind(StrEnum):
    """What moved."""

    LEVEL = "level"
    RAMP = "ramp"
    SPREAD = "spread"
    SPIKES = "spikes"
    OUTAGE = "outage"
    SHAPE = "shape"
    MIX = "mix"


SMALL_FAMILY = 50  # series that count, up to which each needs its share of `false_alarms`
YEARS = range(2, 9999)  # of times that are the same day, or nearly, in every zone


def utc(moment: datetime, what: str) -> datetime:
    """`moment` in UTC; raises UsageError if it has no time zone, or lies outside of `YEARS`."""
    if moment.tzinfo is None:
        raise UsageError(
            f"{what} {moment.isoformat()} has no time zone; write {moment.isoformat()}Z or an "
            "offset"
        )
    if moment.year not in YEARS:
        raise UsageError(
            f"{what} {moment.isoformat()} is outside of the years {YEARS[0]} to {YEARS[-1]}"
        )
    return moment.astimezone(UTC)


def _share(value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"the share of a stage is {value!r:.40}; it must be a number up to 1"
        ) from None


@dataclass(frozen=True, slots=True)
class Window:
    """The span `[start, end)`; raises UsageError if it is naive, empty or reversed."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start, "window start"))
        object.__setattr__(self, "end", utc(self.end, "window end"))
        if self.end <= self.start:
            raise UsageError(
                f"window is empty or reversed: {self.start.isoformat()} to {self.end.isoformat()}"
            )

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def overlaps(self, other: Window) -> bool:
        """Whether the two have a moment in common."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Release:
    """A version (or a flag step) that reaches users, from `started_at` to `finished_at` (default:
    the last stage, or at once).

    `stages` are the moments at which the share of users grew, with the new share: ((10:00, 0.05),
    (12:00, 1.0)). `followed_by` is the next release of the same service, which ends the watch, and
    `aborted_at` when users lost it again, if a source says so. Raises UsageError for times that are
    naive or out of order, and for shares that do not grow within (0, 1].
    """

    started_at: datetime
    finished_at: datetime | None = None
    service: str = ""
    version: str = ""
    environment: str = ""
    stages: tuple[Stage, ...] = ()
    followed_by: Release | None = None
    aborted_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "started_at", utc(self.started_at, "release start"))
        object.__setattr__(
            self, "stages", tuple((utc(at, "stage"), _share(share)) for at, share in self.stages)
        )
        at_once = self.stages[-1][0] if self.stages else self.started_at
        finished = at_once if self.finished_at is None else utc(self.finished_at, "release end")
        object.__setattr__(self, "finished_at", finished)
        if finished < self.started_at:
            raise UsageError(
                f"release ends {finished.isoformat()} before it starts "
                f"{self.started_at.isoformat()}"
            )
        self._check_stages()
        if self.aborted_at is not None:
            object.__setattr__(self, "aborted_at", utc(self.aborted_at, "release abort"))
            if self.aborted_at < self.started_at:
                raise UsageError(
                    f"release is aborted {self.aborted_at.isoformat()}, before it starts "
                    f"{self.started_at.isoformat()}"
                )
        if self.followed_by is not None and self.followed_by.started_at <= self.started_at:
            next_start = self.followed_by.started_at.isoformat()
            raise UsageError(
                f"the next release starts {next_start}, not after this one, which starts "
                f"{self.started_at.isoformat()}"
            )

    def _check_stages(self) -> None:
        before, least = self.started_at, 0.0
        for number, (at, share) in enumerate(self.stages, 1):
            if not least < share <= 1:
                bound = f"more than the {least:.4g} before it" if least else "more than 0"
                raise UsageError(
                    f"share of stage {number} is {share:.4g}; it must be {bound} and at most 1"
                )
            if at < before or (number > 1 and at == before):
                what = (
                    f"not after stage {number - 1} at"
                    if number > 1
                    else "before the release starts at"
                )
                raise UsageError(
                    f"stage {number} is at {at.isoformat()}, {what} {before.isoformat()}"
                )
            before, least = at, share
        if before > self.finished:
            raise UsageError(
                f"the last stage is at {before.isoformat()}, after the release ends at "
                f"{self.finished.isoformat()}"
            )

    @property
    def finished(self) -> datetime:
        """`finished_at`, which is always set on an existing release."""
        return self.finished_at or self.started_at

    @property
    def exposed_at(self) -> datetime:
        """When the first users had it: at the first of several stages, otherwise at its end."""
        return self.stages[0][0] if len(self.stages) > 1 else self.finished


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: the first digits of its id, its author, the first line of its message, and its
    page, if it has one."""

    id: str
    author: str
    title: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a release changes against version `since`, which was released before it.

    `count` commits are new, and `commits` are the newest of them; `removed` commits of the version
    before are taken back. `link` shows the comparison, if there is a page of it. A `problem` says
    why nothing is known.
    """

    since: str
    count: int = 0
    commits: tuple[Commit, ...] = ()
    removed: int = 0
    link: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Kpi:
    """A named number that matters.

    `query` is what its source is queried for, per step of the panel. With `denominator` the KPI is
    the ratio of the two, and both are counts. `tolerance` is relative to the expected value,
    `floor` is in the KPI's unit: a change must exceed both to matter. `usage` is the weight of the
    KPI: a number, or a query whose total over the baseline window is the weight. `by` names the
    labels that split it into segments. `total` is the query for all segments together (for a ratio
    it follows from the segments). `min_volume` is the minimum total of the denominator over the
    observation window (of the KPI itself without a denominator). `per` declares a rate, which
    becomes a count per step. With `control_for` the KPI is a control, a series that the release
    cannot have touched: it is not judged, and a change that it shares with the KPIs named there is
    not due to the release. `split` is the share that these KPIs should have of their own traffic
    and that of the control, where both are arms of one split. Raises UsageError for a tolerance,
    floor or volume that is negative or not a number, and for a control with a key that says how to
    judge it.
    """

    name: str
    source: str = ""
    query: str = ""
    denominator: str | None = None
    unit: str = ""
    direction: Direction = Direction.EITHER
    tolerance: float = 0.0
    floor: float = 0.0
    usage: float | str = 1.0
    critical: bool = False
    severity: KpiSeverity = KpiSeverity.GUARDRAIL
    by: tuple[str, ...] = ()
    total: str | None = None
    min_volume: float = 0.0
    no_data: NoData = NoData.INCONCLUSIVE
    empty: Empty = Empty.MISSING
    per: timedelta | None = None
    dry_run: bool = False
    control_for: tuple[str, ...] = ()
    split: float | None = None
    kind: KpiKind | None = None

    def __post_init__(self) -> None:
        self._check_split()
        if self.kind is KpiKind.RATIO and self.denominator is None:
            raise UsageError(
                f"kind of {self.name!r} is ratio, but it has no denominator; name one, or use share"
            )
        for name in ("tolerance", "floor", "min_volume"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(
                    f"{name} of {self.name!r} is {getattr(self, name)}; it must be a number of "
                    "at least 0"
                )
        for name in NOT_FOR_CONTROLS if self.control_for else ():
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise UsageError(
                    f"{name} of {self.name!r} means nothing: a control is not judged; leave out "
                    f"{name}, or control_for"
                )

    def _check_split(self) -> None:
        if self.split is None:
            return
        if not 0 < self.split < 1:
            raise UsageError(
                f"split of {self.name!r} is {self.split}; it must be a share between 0 and 1"
            )
        if not self.control_for:
            raise UsageError(f"split of {self.name!r} {NO_ARM}")
        if not self.counts_traffic:
            raise UsageError(f"split of {self.name!r} {NO_TRAFFIC}")

    @property
    def counts_traffic(self) -> bool:
        """Whether it says how much traffic there was: by its denominator, or as a count itself."""
        return self.denominator is not None or self.kind is KpiKind.COUNTS

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value that its kind allows."""
        if self.kind is KpiKind.SHARE:
            return 0.0, 100.0 if self.unit == "%" else 1.0
        return (-math.inf if self.kind in (None, KpiKind.GAUGE, KpiKind.RATIO) else 0.0), math.inf


NO_ARM = "is only for a control; remove it, or name the KPIs of the other arm in control_for"
NO_TRAFFIC = "has no traffic to compare; name the denominator of the KPI, or write kind: counts"
NOT_FOR_CONTROLS = (
    "direction",
    "tolerance",
    "floor",
    "critical",
    "severity",
    "no_data",
    "dry_run",
)


def control_problem(
    control: str, name: str, kpis: Container[str], judged_kpis: Container[str]
) -> str:
    """What is wrong with `control` being a control for `name`; empty if nothing. `judged_kpis` are
    those of the `kpis` that are not controls."""
    if name == control:
        return "is the control itself; name its KPIs"
    if name not in kpis:
        return "is not a KPI"
    return "" if name in judged_kpis else "is a control too; name KPIs"


def select_kpis(kpis: Sequence[Kpi], names: Sequence[str]) -> tuple[Kpi, ...]:
    """The KPIs with these names and their controls, or all without names; raises UsageError for a
    name that no KPI has, and for impossible controls."""
    every = {kpi.name for kpi in kpis}
    for name in names:
        if name not in every:
            raise UsageError(f"{name!r} is not a KPI; use one of {', '.join(sorted(every))}")
    judged_kpis = {kpi.name for kpi in kpis if not kpi.control_for}
    for kpi in kpis:
        for name in kpi.control_for:
            if problem := control_problem(kpi.name, name, every, judged_kpis):
                raise UsageError(f"control_for of {kpi.name!r} names {name!r}, which {problem}")
    return tuple(
        kpi
        for kpi in kpis
        if not names or kpi.name in names or not set(names).isdisjoint(kpi.control_for)
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """How much data is judged: `history` before a release, `watch` after it and its `warmup`, in
    steps of `step`.

    Steps younger than `lag` have not settled in the source and are ignored. Where steps are those
    of the calendar, the days of `history` and `watch` are, too, and a `warmup` shorter than a step
    is none: it would cost the whole step.
    """

    history: timedelta = timedelta(days=28)
    warmup: timedelta = timedelta(minutes=5)
    watch: timedelta = timedelta(hours=6)
    step: timedelta = timedelta(minutes=5)
    lag: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        for name in ("history", "watch", "step"):
            if getattr(self, name) <= timedelta(0):
                raise UsageError(
                    f"windows.{name} is {getattr(self, name)}; it must be longer than zero"
                )
        for name in ("warmup", "lag"):
            if getattr(self, name) < timedelta(0):
                raise UsageError(
                    f"windows.{name} is {getattr(self, name)}; it must not be negative"
                )
        if self.step % timedelta(seconds=1):
            raise UsageError(f"windows.step is {self.step}; use whole seconds")
        if self.watch < self.step:
            raise UsageError(f"windows.watch is {self.watch}, shorter than one step of {self.step}")
        if self.history < self.step:
            raise UsageError(
                f"windows.history is {self.history}, shorter than one step of {self.step}"
            )
        if isinstance(self.step, CalendarStep) and self.warmup < self.step:
            object.__setattr__(self, "warmup", timedelta(0))

    def history_since(self, started_at: datetime) -> datetime:
        """When the history of a release begins that starts then."""
        return shifted(started_at, -self.history, self.step)

    def watched_until(self, finished: datetime) -> datetime:
        """When the watch of a release ends that is finished then."""
        return shifted(finished + self.warmup, self.watch, self.step)


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A day of the users that is like no other: a holiday, a sale, an outage of the world."""

    date: date
    name: str = "special day"


@dataclass(frozen=True, slots=True)
class Holidays:
    """The holidays of a country: `subdivision` adds those of one, `observed` the days on which such
    are kept that fall on a weekend.

    The words are those of the `holidays` library; `anomaly.timing.special_days` says when they are.
    """

    country: str
    subdivision: str = ""
    categories: tuple[str, ...] = ("public",)
    observed: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A span that teaches nothing and is not judged: a known incident, an earlier transition."""

    window: Window
    reason: str = "left out"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The users' clock: `timezone` is an IANA name; raises UsageError for an unknown one.

    Steps on `special_days` and `holidays` (in that time zone) and in spans to `leave_out` neither
    teach the baseline nor are judged.
    """

    timezone: str = "UTC"
    special_days: tuple[SpecialDay, ...] = ()
    leave_out: tuple[LeftOut, ...] = ()
    holidays: tuple[Holidays, ...] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):  # not found, not a name, not a zone file
            raise UsageError(
                f"timezone is {self.timezone!r}; use an IANA name like Europe/Berlin"
            ) from None


@dataclass(frozen=True, slots=True)
class Silence:
    """When nobody is notified: between `start` and `end`, on `special_days`, about these `kpis` or
    `ids`; all conditions that are set must hold.

    Ids are those of releases and findings, or prefixes of them.
    """

    reason: str = "silence"
    start: datetime | None = None
    end: datetime | None = None
    special_days: bool = False
    kpis: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def holds(self, now: datetime, *, kpi: str, ids: Iterable[str], special_day: bool) -> bool:
        """Whether this silences a finding about `kpi` with these `ids` at `now`."""
        return (
            (self.start is None or self.start <= now)
            and (self.end is None or now < self.end)
            and (special_day or not self.special_days)
            and (not self.kpis or kpi in self.kpis)
            and (not self.ids or any(each.startswith(self.ids) for each in ids))
        )


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """When people are notified: again after `repeat` while a failure lasts (None: never), and not
    during `silences`."""

    repeat: timedelta | None = None
    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class Flagged:
    """The post-release steps outside the pointwise band: how many, the first, and the worst with
    its standardised deviation."""

    count: int
    first: datetime
    worst: datetime
    worst_z: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """The `share` of the last `steps` of the history that were inside the pointwise band, judged
    from before; 99 % are promised."""

    share: float
    steps: int


class Growth(StrEnum):
    """Whether an effect grows with the share of users that have the release."""

    GROWS = "grows"
    DOES_NOT_GROW = "does not grow"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Plateau:
    """A part of the watch during which the same share of users has the release, with the effect
    there, as far as it is known."""

    share: float
    window: Window
    effect: float | None = None
    effect_interval: Interval | None = None
    effect_absolute: float | None = None
    effect_absolute_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """The effect on each plateau of a staged release, and whether it grows from one to the next as
    that of a release would."""

    growth: Growth
    plateaus: tuple[Plateau, ...]


class ValueScale(StrEnum):
    """The scale on which the values of a series are compared."""

    IDENTITY = "as it is"
    LOG = "logarithm"
    ROOT = "square root"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question about `steps` steps: the normal score `z`, in the bad direction, of
    the release among its placebo releases."""

    question: str
    steps: int
    z: float


@dataclass(frozen=True, slots=True)
class ControlEvidence:
    """The controls with data: those that are `used`, the share of the past that these explain, and
    those that explain nothing (more)."""

    used: tuple[str, ...] = ()
    explains: float = 0.0
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers behind a verdict; None where one does not apply.

    `history_since` is the first step that counts, if that is not the first of all, `season` the
    profiles that are used (`day`, `week`) or, where one is, `structural_model` what that is made
    of, `autocorrelation` the sum of the autoregression's coefficients. `level_steps` is over how
    many steps before the release the level was taken (0: the whole history), `independent_watches`
    how many watches fit into the history. `answers` are the strongest, the strongest first. A
    series that hardly ever left its `usual_value` has the number of `steps_that_differ`. `shares`
    are the observed and the usual share of a segment in its total. Of a segment with nothing before
    the release, `new_steps` counts the steps since then that have something, and `new_events` sums
    them, where they are counts.
    """

    history_since: datetime | None = None
    history_steps: int | None = None
    season: tuple[str, ...] | None = None
    structural_model: str | None = None
    scale: ValueScale | None = None
    autocorrelation: float | None = None
    level_steps: int | None = None
    placebo_releases: int | None = None
    independent_watches: int | None = None
    answers: tuple[Answer, ...] = ()
    usual_value: float | None = None
    steps_that_differ: int | None = None
    controls: ControlEvidence | None = None
    shares: tuple[float, float] | None = None
    new_steps: int | None = None
    new_events: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer for one KPI and segment. Effects compare observed with expected over the
    observation window.

    `effect` is relative (observed / expected − 1; None where expected is 0, or within the noise
    around 0), `effect_absolute` is in the KPI's unit; the intervals are 95 %. `p_value` is for the
    bad direction. `level` is what it must be below: the share of `false_alarms` of the series, or
    among more than fifty series what is as rare. `p_release` is the share of harmless releases in
    which any KPI would be as extreme as this one. `onset` is the likeliest step at which the change
    began, `onset_interval` its 95 % interval.
    `detectable_effect` (absolute: in the KPI's unit) is the smallest detectable change: it is found
    with 80 % power. `total` marks the finding about all segments of a KPI together; the
    `contribution` of each segment and the total's `mix_effect` add up to the total's
    `effect_absolute`. `exposure` says whether a level that moved after a staged release did so with
    the share of users. `coverage` says how many past steps would have been inside the band of the
    points. `link` shows `query` in its source; it is empty if nothing does. `evidence` holds the
    numbers behind the verdict.
    """

    kpi: str
    verdict: Verdict
    reason: str
    segment: Segment = field(default_factory=dict)
    kind: ChangeKind | None = None
    p_value: float | None = None
    level: float | None = None
    p_release: float | None = None
    observed: float | None = None
    expected: float | None = None
    effect: float | None = None
    effect_interval: Interval | None = None
    effect_absolute: float | None = None
    effect_absolute_interval: Interval | None = None
    detectable_effect: float | None = None
    detectable_absolute: float | None = None
    total: bool = False
    contribution: float | None = None
    mix_effect: float | None = None
    onset: datetime | None = None
    onset_interval: tuple[datetime, datetime] | None = None
    exposure: Exposure | None = None
    flagged: Flagged | None = None
    coverage: Coverage | None = None
    steps: int = 0
    steps_planned: int = 0
    volume: float | None = None
    weight: float = 1.0
    unit: str = ""
    direction: Direction = Direction.EITHER
    tolerance: float = 0.0
    floor: float = 0.0
    critical: bool = False
    severity: KpiSeverity = KpiSeverity.GUARDRAIL
    dry_run: bool = False
    control_for: tuple[str, ...] = ()
    no_data: NoData = NoData.INCONCLUSIVE
    query: str = ""
    denominator: str | None = None
    link: str = ""
    notes: tuple[str, ...] = ()
    evidence: Evidence = Evidence()

    @property
    def counts(self) -> bool:
        """Whether the finding counts for the release: dry runs and controls do not."""
        return not self.dry_run and not self.control_for

    @property
    def fails(self) -> bool:
        """Whether the finding alone fails the release, or holds it, by the severity of its KPI."""
        missing = self.verdict is Verdict.NO_DATA and self.no_data is NoData.FAIL
        return self.counts and (self.verdict is Verdict.REGRESSED or missing)

    @property
    def is_open(self) -> bool:
        """Whether the finding leaves the release undecided about its KPI."""
        return (
            self.verdict in UNJUDGED
            and not self.fails
            and self.counts
            and self.no_data is not NoData.IGNORE
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """Regressions that moved together after a release.

    `findings` are their places in the findings of the report, the most used or most upstream one
    first. They are of so many `kpis`. `since` is the middle of their onsets, `usage` the share of
    all usage that they have (None: there is none).
    """

    findings: tuple[int, ...]
    kpis: int
    since: datetime | None = None
    usage: float | None = None


def dated(finding: Finding, step: timedelta) -> Finding:
    """The finding with the starts of its steps in the zone of the calendar, if steps are of one."""
    if not isinstance(step, CalendarStep):
        return finding

    def moved(moment: datetime | None) -> datetime | None:
        return None if moment is None else local(moment, step)

    interval, flagged, evidence = finding.onset_interval, finding.flagged, finding.evidence
    return replace(
        finding,
        onset=moved(finding.onset),
        onset_interval=None
        if interval is None
        else (local(interval[0], step), local(interval[1], step)),
        flagged=None
        if flagged is None
        else replace(flagged, first=local(flagged.first, step), worst=local(flagged.worst, step)),
        evidence=replace(evidence, history_since=moved(evidence.history_since)),
    )
