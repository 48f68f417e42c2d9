"""The form of a file of cases: series that are made up, and what a checklist is expected to say of
them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from anomaly.checklist.form import (
    LONGEST,
    Amount,
    Duration,
    Form,
    Moment,
    Name,
    PositiveDuration,
    Share,
    Truth,
    optional,
    validated,
)
from anomaly.checklist.settings import SettingError, number, one_of
from anomaly.checklist.strict_yaml import KeyPath
from anomaly.contracts import Action
from anomaly.model import ReleaseVerdict, Verdict

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)  # a Tuesday
CHANGE = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?) ?%")
NOISE = 0.02


def _change(value: Any) -> float:
    """A relative change: `+30%`, `-10 %`."""
    if isinstance(value, str) and (match := CHANGE.fullmatch(value)):
        return float(match[1]) / 100
    raise SettingError('it must be a percentage like "+30%" or "-10%"')


def _level(value: Any) -> float:
    return float(number(value))


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingError("it must be a whole number of at least 0")
    return value


def _listed(value: Any) -> Any:
    """One thing stands for a list of it."""
    return [value] if isinstance(value, dict) else value


def _word(words: type[Verdict] | type[ReleaseVerdict] | type[Action]) -> BeforeValidator:
    return BeforeValidator(lambda value: words(one_of(value, [member.value for member in words])))


class ChangeForm(Form):
    """What happens to a series after the release."""

    change: Annotated[float | None, BeforeValidator(_change)] = optional(
        None, "How much the level changes: +30%, -10%."
    )
    ramp: Truth = Field(default=False, description="The change grows linearly from zero.")
    missing: Truth = Field(default=False, description="There are no samples.")
    since: Duration = Field(
        default=timedelta(0), description="When it starts, after the start of the release."
    )
    until: PositiveDuration = optional(
        LONGEST, "When it ends, after the start of the release; default: at the end."
    )


class SeriesForm(Form):
    """A series as it usually is, and what happens to it."""

    segment: dict[Name, Name] = optional({}, "The labels of the series, for a KPI with `by`.")
    level: Annotated[float, BeforeValidator(_level)] = Field(
        description="The usual value of a step; for a ratio, the ratio."
    )
    volume: Amount = optional(0.0, "For a ratio only: the denominator's value at a step.")
    daily: Share = Field(
        default=0.0,
        description=(
            "The daily swing: how much higher than average in the afternoon, and lower at night."
        ),
    )
    noise: Share = Field(
        default=NOISE,
        description=(
            "The standard deviation of a step, relative to the level; a ratio has the noise "
            "of its counts."
        ),
    )
    after: Annotated[list[ChangeForm], BeforeValidator(_listed)] = optional(
        [], "What happens after the release."
    )


class StageForm(Form):
    """A share of users that the release reaches."""

    after: Duration = Field(description="How long after the release began.")
    share: Share = Field(description="The share of users that have it from then on: 5%.")


class ExpectForm(Form):
    """The expected result; what is not listed may be anything."""

    verdict: Annotated[ReleaseVerdict | None, _word(ReleaseVerdict)] = optional(
        None, "The release's verdict at the last look."
    )
    kpis: dict[Name, Annotated[Verdict, _word(Verdict)]] = optional(
        {},
        (
            "Verdicts by KPI, for all its segments and the total; or by series, as printed: "
            "errors (country=FR), errors (all)."
        ),
    )
    told: dict[Name, list[Annotated[Action, _word(Action)]]] = optional(
        {}, "The notifications that a sink gets, in order over all looks; [] is none."
    )


class CaseForm(Form):
    """A release, what its KPIs do, and what is expected."""

    name: Name = Field(description="The name of the case.")
    released_at: Moment = Field(default=RELEASED, description="When the release begins.")
    finished_at: Moment = optional(None, "When the release finishes; default: at once.")
    stages: list[StageForm] = optional(
        [], "When the release reaches which share of users, in order; default: all at once."
    )
    seed: Annotated[int, BeforeValidator(_seed)] = Field(default=1, description="Of the noise.")
    series: dict[Name, Annotated[list[SeriesForm], BeforeValidator(_listed)]] = optional(
        {},
        (
            "By KPI: one series, or a list with one for each segment. A KPI that is not "
            "listed is quiet."
        ),
    )
    looks: list[PositiveDuration] = optional(
        [],
        ("When to look, after the first warm-up; default: once, at the end of the watch."),
    )
    expect: ExpectForm = Field(description="What is expected.")


class CasesForm(Form):
    """Unit tests of a checklist."""

    cases: list[CaseForm] = Field(min_length=1, description="Releases with known answers.")


FORMS: dict[str | int, type[Form]] = {
    "cases": CaseForm,
    "after": ChangeForm,
    "expect": ExpectForm,
    "stages": StageForm,
}


def form_at(path: KeyPath) -> type[Form]:
    """The form whose key the last part of `path` is."""
    around = [part for part in path[:-1] if isinstance(part, str)]
    return CasesForm if not around else FORMS.get(around[-1], SeriesForm)


def validate(data: Any) -> tuple[CasesForm | None, list[tuple[KeyPath, str]]]:
    """The form of `data` (None if it is not one), and what is wrong: key path, and the text that
    goes on after it."""
    return validated(CasesForm, data, form_at)
