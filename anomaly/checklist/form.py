"""The form of a checklist as pydantic models: what every key may hold, and the JSON Schema for
editors.

The models check one value at a time; what needs the file, the environment or the plug-ins is in
`anomaly.checklist.checklist`.
"""

from __future__ import annotations

import re
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from anomaly.checklist import settings
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS, Kind, built_in_settings
from anomaly.checklist.settings import SettingError, number, one_of
from anomaly.checklist.strict_yaml import KeyPath, kind_of, shown
from anomaly.errors import UsageError
from anomaly.model import (
    Calendar,
    Correction,
    Direction,
    Empty,
    Holidays,
    Kpi,
    KpiKind,
    KpiSeverity,
    NoData,
    Windows,
    utc,
)
from anomaly.timing.durations import (
    DURATION_PATTERN,
    LONG_STEPS,
    STEP_PATTERN,
    duration_text,
    parse_duration,
    parse_step,
)
from anomaly.wording import did_you_mean

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
FALSE_ALARMS = 0.01
# the defaults
KPI = Kpi(name="-")
WINDOWS = Windows()
CALENDAR = Calendar()
HOLIDAYS = Holidays("-")
LONGEST = timedelta(
    days=3660
)  # ten years: beyond it a duration is a slip, and dates would overflow
LONGEST_NAME = 200
MOST_ERRORS = 200  # more are not worth explaining
SECRET_PLACES = frozenset(  # what stands there is never shown
    {"sources", "sinks", "on", "releases", "environments", "store", "heartbeat", "report_url"}
)
PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
NUMBER_AS_TEXT = re.compile(r"[-+.0-9eE_% ]+")
PERCENT_SCHEMA = {"type": "string", "pattern": f"^{PERCENT.pattern}$"}


def _duration(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise SettingError("it must be a duration like 30s, 5m, 1h30m or 28d")
    try:
        duration = parse_duration(value)
    except UsageError:
        raise SettingError("it must be a duration like 30s, 5m, 1h30m or 28d") from None
    if duration > LONGEST:
        raise SettingError(f"it must be at most {duration_text(LONGEST)}")
    return duration


def _positive_duration(value: Any) -> timedelta:
    duration = _duration(value)
    if not duration:
        raise SettingError("it must be longer than zero")
    return duration


def _step(value: Any) -> timedelta:
    try:
        step = parse_step(value if isinstance(value, str) else "")
    except UsageError:
        raise SettingError(f"it must be a duration like 30s, 5m or 1h; {LONG_STEPS}") from None
    if not step:
        raise SettingError("it must be longer than zero")
    return step


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise SettingError("it must be text; put it in quotes")
    if not value.strip():
        raise SettingError("it must not be empty")
    return value


def _name(value: Any) -> str:
    """One line of text that can be a name."""
    text = _text(value)
    if "${" in text:
        raise SettingError("variables can be used only in the settings of sources and sinks")
    if text != text.strip() or not text.isprintable():
        raise SettingError(
            "it must be one line without control characters, and without blanks at its ends"
        )
    if len(text) > LONGEST_NAME:
        raise SettingError(f"it must have at most {LONGEST_NAME} characters")
    return text


def _zone(value: Any) -> str:
    name = _name(value)
    if name == CALENDAR.timezone:
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = did_you_mean(name, sorted(zoneinfo.available_timezones()))
        raise SettingError(
            f"it must be an IANA time zone like UTC or Europe/Berlin{near}"
        ) from None
    return name


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(_text(value))
    except ValueError:
        raise SettingError("it must be a date like 2025-12-25") from None


def _moment(value: Any) -> datetime:
    try:
        return utc(datetime.fromisoformat(_text(value)), "it")
    except (ValueError, UsageError):
        raise SettingError("it must be a time with a zone, like 2025-11-04T10:30:00Z") from None


def _fraction(value: Any) -> float:
    """A share as a number or a percentage, not negative."""
    if isinstance(value, str) and (match := PERCENT.fullmatch(value)):
        return float(match[1]) / 100
    try:
        share = number(value)
    except SettingError:
        raise SettingError("it must be a percentage like 5% or a number like 0.05") from None
    if share < 0:
        raise SettingError("it must not be negative")
    if share > 1:
        raise SettingError(f"a number is a share of 1; write {share:g}% or {100 * share:g}%")
    return float(share)


def _false_alarms(value: Any) -> float:
    share = _fraction(value)
    if not 0 < share < 1:
        raise SettingError("it must be more than 0 and less than 1, like 0.01")
    return share


def _amount(value: Any) -> float:
    amount = number(value)
    if amount < 0:
        raise SettingError("it must not be negative")
    return float(amount)


def _usage(value: Any) -> float | str:
    """A weight: a number, or the text of a query."""
    if not isinstance(value, str):
        try:
            return _amount(value)
        except SettingError as error:
            raise SettingError(f"{error} or a query") from None
    if NUMBER_AS_TEXT.fullmatch(value):
        raise SettingError("it must be a number without quotes, like 0.6, or a query")
    return _text(value)


def _names(what: str, example: str) -> Callable[[Any], tuple[str, ...]]:
    """A list of names of `what`, each once."""

    def names_of(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise SettingError(f"it must be a list of {what} names, like [{example}]")
        if not value:
            raise SettingError(f"it names no {what}; list {what} names or leave the key out")
        names = tuple(one(item) for item in value)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise SettingError(f"it lists {twice[0]} twice")
        return names

    def one(value: Any) -> str:
        try:
            return _name(value)
        except SettingError as error:
            raise SettingError(
                f"{shown(value)} in it is not a valid {what} name: {error}"
            ) from None

    return names_of


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingError("use one of true, false")
    return value


def _word(words: type[StrEnum]) -> BeforeValidator:
    def member_of(value: Any) -> StrEnum:
        return words(one_of(value, [member.value for member in words]))

    return BeforeValidator(member_of)


def _checked(
    check: Callable[[Any], Any], schema: dict[str, Any]
) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(check), WithJsonSchema(schema)


DURATION_SCHEMA = {
    "type": "string",
    "pattern": f"^{DURATION_PATTERN}$",
    "examples": ["30s", "5m", "1h30m", "28d"],
}
STEP_SCHEMA = {
    "type": "string",
    "pattern": f"^({STEP_PATTERN})$",
    "examples": ["30s", "5m", "1h", "1d", "1w", "1M"],
}
NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
SHARE_SCHEMA = {"anyOf": [PERCENT_SCHEMA, {"type": "number", "minimum": 0, "maximum": 1}]}
FALSE_ALARMS_SCHEMA = {
    "anyOf": [PERCENT_SCHEMA, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}]
}
USAGE_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "minLength": 1}]}
NAMES_SCHEMA = {"type": "array", "items": NAME_SCHEMA, "minItems": 1, "uniqueItems": True}

Duration = Annotated[timedelta, *_checked(_duration, DURATION_SCHEMA)]
PositiveDuration = Annotated[timedelta, *_checked(_positive_duration, DURATION_SCHEMA)]
StepLength = Annotated[timedelta, *_checked(_step, STEP_SCHEMA)]
Text = Annotated[str, *_checked(_text, {"type": "string", "minLength": 1})]
Name = Annotated[str, *_checked(_name, NAME_SCHEMA)]
Zone = Annotated[
    str, *_checked(_zone, {"type": "string", "minLength": 1, "examples": ["UTC", "Europe/Berlin"]})
]
Day = Annotated[date, *_checked(_date, {"type": "string", "format": "date"})]
Moment = Annotated[datetime, *_checked(_moment, {"type": "string", "format": "date-time"})]
Share = Annotated[float, *_checked(_fraction, SHARE_SCHEMA)]
FalseAlarms = Annotated[float, *_checked(_false_alarms, FALSE_ALARMS_SCHEMA)]
Amount = Annotated[float, *_checked(_amount, {"type": "number", "minimum": 0})]
Usage = Annotated[float | str, *_checked(_usage, USAGE_SCHEMA)]
Labels = Annotated[tuple[str, ...], *_checked(_names("label", "country"), NAMES_SCHEMA)]
Ids = Annotated[tuple[str, ...], *_checked(_names("id", "3f2a91c0"), NAMES_SCHEMA)]
KpiNames = Annotated[tuple[str, ...], *_checked(_names("KPI", "orders"), NAMES_SCHEMA)]
Words = Annotated[tuple[str, ...], *_checked(_names("category", "public"), NAMES_SCHEMA)]
Truth = Annotated[bool, *_checked(_truth, {"type": "boolean"})]


def _length(default: timedelta, description: str) -> Any:
    return Field(
        default=default,
        description=description,
        json_schema_extra={"default": duration_text(default)},
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default")


def optional(default: Any, description: str) -> Any:
    """A key without a value of its own when it is left out."""
    return Field(default=default, description=description, json_schema_extra=_without_default)


class Form(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


F = TypeVar("F", bound=Form)


class WindowsForm(Form):
    """The time spans that are compared."""

    history: PositiveDuration = _length(WINDOWS.history, "How far back the baseline reaches.")
    warmup: Duration = _length(WINDOWS.warmup, "Skipped after the release has finished.")
    watch: PositiveDuration = _length(
        WINDOWS.watch, "How long a release is watched after the warm-up."
    )
    step: StepLength = _length(
        WINDOWS.step,
        "The interval between two points: whole seconds, or 1d, 1w, 1M of the calendar.",
    )
    lag: Duration = _length(
        WINDOWS.lag, "How late data arrive: steps younger than this are not used yet."
    )


class RhythmForm(Form):
    """How often to look, and when. All four keys are required."""

    usual: PositiveDuration = Field(
        description="The interval between two looks, far from a release."
    )
    peak: PositiveDuration = Field(
        description="The interval between two looks right after a release; not longer than usual."
    )
    climb: PositiveDuration = Field(
        description="How long before a release the looks become more frequent."
    )
    fall: PositiveDuration = Field(
        description="How long after a release the interval is back to usual."
    )


class PluginForm(BaseModel):
    """A source or sink: its type, and settings that the type defines."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Text


class SourceForm(PluginForm):
    """A data source. `${NAME}` is replaced by an environment variable."""


class SinkForm(PluginForm):
    """A receiver of results. `${NAME}` is replaced by an environment variable."""


class ReleasesForm(PluginForm):
    """A source of releases. `${NAME}` is replaced by an environment variable."""


class HooksForm(Form):
    """What is run when a release fails, is held, is well again, or has passed: sinks, each at most
    once a release. `anomaly tick` and `anomaly watch` run them."""

    dry_run: Truth = Field(
        default=True, description="Only says what would run. Set it to false to act."
    )
    fire: list[SinkForm] = Field(default=[], description="A guardrail fails: roll back.")
    hold: list[SinkForm] = Field(default=[], description="Only signals fail: stop and look.")
    resolve: list[SinkForm] = Field(
        default=[], description="What failed is well again; only after fire or hold has run."
    )
    # a keyword of Python
    passed: list[SinkForm] = Field(
        default=[], alias="pass", description="The watch is over, and the release passed."
    )


class EnvironmentForm(Form):
    """What differs in one environment."""

    sources: dict[Name, SourceForm] = Field(
        default={},
        description="Added to the checklist's sources; one of the same name is replaced.",
    )
    sinks: list[SinkForm] = optional([], "Used instead of the checklist's sinks.")
    releases: list[ReleasesForm] = optional([], "Used instead of the checklist's release sources.")
    on: HooksForm = optional(None, "Used instead of the checklist's hooks.")


class KpiForm(Form):
    """A number that matters."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentSchemas": {
                "total": {"required": ["by"], "not": {"required": ["denominator"]}}
            }
        }
    )

    name: Name = Field(description="The KPI's name in every output; unique.")
    source: Name = optional(KPI.source, "The source to query; optional if there is only one.")
    query: Text = Field(
        description="The query: PromQL with $step, a SQL statement, or a column of a file."
    )
    denominator: Text = optional("", "Makes the KPI a ratio of two counts: query / denominator.")
    unit: Name = optional(KPI.unit, "The unit of the values, for display.")
    kind: Annotated[KpiKind, _word(KpiKind)] = optional(
        None,
        "What it measures; decides which values are possible and on which scale they are judged.",
    )
    direction: Annotated[Direction, _word(Direction)] = Field(
        default=KPI.direction, description="Which way is worse."
    )
    tolerance: Share = Field(
        default=KPI.tolerance, description="Relative change that is tolerated: 5% or 0.05."
    )
    floor: Amount = Field(
        default=KPI.floor,
        description=(
            "Absolute change that is tolerated, in the KPI's unit. A change matters only "
            "beyond both."
        ),
    )
    critical: Truth = Field(
        default=KPI.critical,
        description="Gets at least an equal share of false_alarms, and its source must answer.",
    )
    usage: Usage = Field(
        default=KPI.usage,
        description="Weight: a number, or a query whose total over the baseline is the weight.",
    )
    by: Labels = optional(KPI.by, "Labels that split the KPI into segments.")
    total: Text = optional(
        "",
        ("The query for all segments together: one series. Not needed for a ratio."),
    )
    min_volume: Amount = Field(
        default=KPI.min_volume,
        description="Smallest total of the denominator over the watch; below it, inconclusive.",
    )
    no_data: Annotated[NoData, _word(NoData)] = Field(
        default=KPI.no_data, description="What missing data means for the release."
    )
    empty: Annotated[Empty, _word(Empty)] = Field(
        default=KPI.empty, description="What a step without a sample means."
    )
    per: PositiveDuration = optional(timedelta(0), "Declares a rate: 1s for values per second.")
    severity: Annotated[KpiSeverity, _word(KpiSeverity)] = Field(
        default=KPI.severity,
        description="What a regression makes of the release: guardrail fails it, signal holds it.",
    )
    dry_run: Truth = Field(
        default=KPI.dry_run, description="Judged and reported, but never fails the release."
    )
    control_for: KpiNames = optional(
        KPI.control_for,
        (
            "Makes it a control for these KPIs: a series that the release cannot have "
            "changed. A control is not judged."
        ),
    )
    split: FalseAlarms = optional(
        0.5,
        (
            "For a control that is an arm of a split: the share of the traffic of both arms that "
            "its KPIs should have. A share that differs is reported."
        ),
    )


class SpecialDayForm(Form):
    """An unusual day: excluded from the baseline and not judged."""

    date: Day = Field(description="In the checklist's time zone.")
    name: Name = Field(default="special day", description="Its name in reports.")


class HolidaysForm(Form):
    """The holidays of a country as special days, from the `holidays` library."""

    country: Name = Field(description="Its ISO 3166 code: DE, US.")
    subdivision: Name = optional(
        HOLIDAYS.subdivision, "The code of a state or province, with its own holidays: BY, CA."
    )
    categories: Words = Field(
        default=HOLIDAYS.categories,
        description="The categories of holidays: public, and others that the country has.",
    )
    observed: Truth = Field(
        default=HOLIDAYS.observed,
        description="Also the substitute days of holidays that fall on a weekend.",
    )


class LeaveOutForm(Form):
    """A time span excluded from the baseline and not judged, such as a known incident."""

    start: Moment = Field(description="With a zone.")
    end: Moment = Field(description="With a zone.")
    reason: Name = Field(default="left out", description="Shown in reports as the reason.")


class SilenceForm(Form):
    """When nobody is notified. All conditions given must hold."""

    start: Moment = optional(None, "With a zone.")
    end: Moment = optional(None, "With a zone.")
    # the value of the key
    special_days: Truth = optional(False, "On the special days of the checklist.")  # noqa: FBT003
    kpis: KpiNames = optional((), "Only about these KPIs.")
    ids: Ids = optional((), "Only about these releases and findings, by id or unique prefix.")
    reason: Name = Field(default="silence", description="Shown in reports as the reason.")


class ChecklistForm(Form):
    """KPIs judged the same way before and after a release, in staging and in production."""

    service: Name = Field(description="What is released.")
    environment: Name = optional("", "The default environment.")
    environments: dict[Name, EnvironmentForm] = Field(
        default={}, description="What differs between environments."
    )
    sources: dict[Name, SourceForm] = Field(default={}, description="The data sources, by name.")
    windows: WindowsForm = Field(
        default=WindowsForm(), description="The time spans that are compared."
    )
    rhythm: RhythmForm = optional(
        None, "How often `anomaly tick` looks, and when. Default: as soon as a step is complete."
    )
    timezone: Zone = Field(
        default=CALENDAR.timezone,
        description="The users' time zone, an IANA name; daily and weekly patterns follow it.",
    )
    special_days: list[SpecialDayForm] = Field(
        default=[], description="Unusual days, excluded from the baseline and not judged."
    )
    holidays: list[HolidaysForm] = Field(
        default=[], description="Countries whose holidays are special days."
    )
    leave_out: list[LeaveOutForm] = Field(
        default=[], description="Time spans excluded from the baseline, such as known incidents."
    )
    false_alarms: FalseAlarms = Field(
        default=FALSE_ALARMS, description="Share of harmless releases that may fail."
    )
    correction: Annotated[Correction, _word(Correction)] = Field(
        default=Correction.HOLM, description="How false_alarms is divided among the KPIs."
    )
    kpis: list[KpiForm] = Field(min_length=1, description="The numbers that matter.")
    sinks: list[SinkForm] = Field(default=[], description="Who is told.")
    on: HooksForm = optional(None, "What is run when a release fails, is held, or passes.")
    repeat: PositiveDuration = optional(
        None,
        "Notify again about what still fails after this time. Default: only when it gets worse.",
    )
    silences: list[SilenceForm] = Field(default=[], description="When nobody is told.")
    releases: list[ReleasesForm] = Field(
        default=[], description="Where `anomaly tick` finds releases."
    )
    store: Text = optional(
        "",
        (
            "Where the history is kept: the path of a SQLite file, or a postgresql:// URL; "
            "may use ${NAME}."
        ),
    )
    retention: PositiveDuration = optional(
        None,
        "How long `anomaly tick` keeps a release in the history. Default: for ever.",
    )
    heartbeat: Text = optional(
        "",
        (
            "The URL that `anomaly tick` pings when it ends, for a dead man's switch; may use "
            "${NAME}."
        ),
    )
    report_url: Text = optional(
        "",
        (
            "Where people read reports, for the links in messages; {service}, {version}, "
            "{environment} and {id} are replaced."
        ),
    )


def validate(data: Any) -> tuple[ChecklistForm | None, list[tuple[KeyPath, str]]]:
    """The form of `data` (None if it is not one), and what is wrong: key path, and the text that
    goes on after it."""
    return validated(ChecklistForm, data, _form_at)


def validated(
    form: type[F], data: Any, form_at: Callable[[KeyPath], type[Form]]
) -> tuple[F | None, list[tuple[KeyPath, str]]]:
    """`data` as `form` (None if it is not one), and what is wrong; `form_at` says of which form the
    last key of a path is."""
    try:
        return form.model_validate(data), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return None, [(_path(one["loc"]), _problem(one, form_at)) for one in errors[:MOST_ERRORS]]


def _path(loc: tuple[str | int, ...]) -> KeyPath:
    """The key path of an error; pydantic marks a wrong key of a mapping by a last `[key]`."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _problem(error: Any, form_at: Callable[[KeyPath], type[Form]]) -> str:
    kind, path = error["type"], error["loc"]
    value = (
        shown(error["input"]) if path and path[0] not in SECRET_PLACES else kind_of(error["input"])
    )
    match kind:
        case "extra_forbidden":
            fields = form_at(path).model_fields.items()
            keys = tuple(each.alias or name for name, each in fields)
            return f"is an unknown key{did_you_mean(path[-1], keys)}; use one of {', '.join(keys)}"
        case "missing":
            return "is missing"
        case "too_short":
            return "is empty; list at least one"
        case "value_error":
            return f"is {value}; {error['ctx']['error']}"
        case "list_type":
            return f"is {value}; it must be a list"
        case _:
            return f"is {value}; it must be a mapping"


def _form_at(path: tuple[str | int, ...]) -> type[Form]:
    """The form whose key the last part of `path` is."""
    if len(path) == 1:
        return ChecklistForm
    if path[-2] == "on":
        return HooksForm
    forms: dict[str | int, type[Form]] = {
        "windows": WindowsForm,
        "rhythm": RhythmForm,
        "kpis": KpiForm,
        "environments": EnvironmentForm,
        "special_days": SpecialDayForm,
        "holidays": HolidaysForm,
        "leave_out": LeaveOutForm,
        "silences": SilenceForm,
    }
    return forms[path[0]]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a checklist, with the settings of the built-in sources, sinks and sources
    of releases."""
    schema = _untitled(ChecklistForm.model_json_schema())
    schema["$defs"]["SourceForm"] |= _by_type(COLLECTORS)
    schema["$defs"]["SinkForm"] |= _by_type(SINKS)
    schema["$defs"]["ReleasesForm"] |= _by_type(RELEASES)
    return {"$schema": SCHEMA_DIALECT, "title": "anomaly checklist", **schema}


def _untitled(schema: Any) -> Any:
    """The schema without the titles that pydantic makes of class and field names."""
    if isinstance(schema, dict):
        return {
            key: _untitled(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema


def _by_type(kind: Kind) -> dict[str, Any]:
    """Per built-in type its settings and no others; an unknown type is a plug-in's and stays
    open."""
    return {
        "properties": {"type": {"type": "string", "minLength": 1, "examples": list(kind.built_in)}},
        "allOf": list(_conditions(kind)),
    }


def _conditions(kind: Kind) -> Iterator[dict[str, Any]]:
    for name, settings_by_name in built_in_settings(kind).items():
        properties = {key: settings.schema(setting) for key, setting in settings_by_name.items()}
        required = ["type", *(key for key, setting in settings_by_name.items() if setting.required)]
        then = {
            "properties": {"type": True, **properties},
            "required": required,
            "additionalProperties": False,
        }
        yield {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then}
