"""The evidence of a finding in words: a name, a text or number, and what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from anomaly.model import Answer, ControlEvidence, Evidence, ValueScale
from anomaly.wording import percent, stamp

T = TypeVar("T")
YEARS, LARGEST_COUNT = range(1000, 9000), 10**9  # of what is believed
MOST_NAMES = 3  # of controls
ANSWER = re.compile(r"(.+) over (\d+) steps")
EXPLAINS = re.compile(r"(.+) (explains?) (nothing more|\S+ %) of the past", re.DOTALL)
QUESTIONS = {
    "level": "does the mean differ from the whole history?",
    "level against just before": "does the mean differ from the few steps before the release?",
    "typical level": "does the typical value differ, single outliers ignored?",
    "typical level against just before": (
        "does the typical value differ from the same number of steps just before?"
    ),
    "jump and plateau": "did it jump and stay there, by more than its usual drift?",
    "ramp": "did it slide steadily, by more than its usual drift?",
    "growth": "did it grow or fall faster than it usually does in such a time?",
    "total": "is the sum higher or lower than usual at that hour? For series that are often zero",
    "spread": "do the steps scatter differently from four times as many before?",
    "high values": "do high values stand out?",
    "low values": "do low values stand out?",
    "highest values": "do the highest 5 % of the steps stand out?",
    "lowest values": "do the lowest 5 % of the steps stand out?",
    "flatter rhythm": "is the daily or weekly pattern flatter than before?",
    "missing steps": "are more steps missing than ever before?",
    "zeros": "are more steps zero than ever before?",
    "repeated values": "does one value repeat more often than ever before?",
}
SCALES = {
    ValueScale.IDENTITY: (
        "values are compared directly, because they scatter equally at every level"
    ),
    ValueScale.LOG: "values are compared as ratios, because they scatter more at higher levels",
    ValueScale.ROOT: (
        "values are compared by square root, because counts scatter with the root of their level"
    ),
}
INDEPENDENT, DRIFTING = 0.1, 0.9  # sums of autoregressive coefficients: below, and from here on


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One line of the evidence; `meaning` is a plain sentence."""

    name: str
    value: str | float
    meaning: str


def by_name(evidence: Evidence) -> dict[str, str | float]:
    """The names and values, as `docs/json.md` describes them."""
    return {line.name: line.value for line in lines(evidence)}


def from_names(data: Mapping[str, Any]) -> Evidence:
    """The evidence whose `by_name` is `data`, as precise as the words are; unknown names are left
    out. Raises ValueError for impossible values."""
    data = dict(data)
    level = _digits(str(data["level"])) if "level" in data else None
    season = str(data["season"]) if "season" in data else None
    matches = ((ANSWER.fullmatch(name), value) for name, value in data.items())
    return Evidence(
        history_since=_maybe(data.get("history since"), _moment),
        history_steps=_maybe(data.get("history steps"), _count),
        season=None if season is None else tuple(season.split(" and ")) if season != "none" else (),
        structural_model=_maybe(data.get("structural model"), str),
        scale=_maybe(data.get("scale"), ValueScale),
        autocorrelation=_maybe(data.get("memory"), float),
        level_steps=level,
        placebo_releases=_maybe(data.get("placebo releases"), _count),
        independent_watches=_maybe(data.get("of them independent"), _count),
        answers=tuple(
            Answer(match[1], _count(match[2]), float(str(value).removesuffix(" sigma")))
            for match, value in matches
            if match
        ),
        usual_value=_maybe(data.get("always"), float),
        steps_that_differ=_maybe(data.get("steps that differ"), _count),
        controls=_controls_from(
            _maybe(data.get("controls"), str), _maybe(data.get("controls not used"), str)
        ),
        shares=_maybe(data.get("share of the total"), _shares_from),
        new_steps=_maybe(data.get("steps of a new kind"), _count),
        new_events=_maybe(data.get("events of a new kind"), float),
    )


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None or moment.year not in YEARS:
        raise ValueError(f"{text} is no time of a history")
    return moment


def _count(value: float | str) -> int:
    count = float(value)
    if not 0 <= count <= LARGEST_COUNT:
        raise ValueError(f"{value} is no count")
    return int(count)


def _digits(text: str) -> int:
    """The number in a text, 0 without one."""
    return _count(re.sub(r"[^0-9]", "", text) or 0)


def _maybe(value: Any, build: Callable[[Any], T]) -> T | None:
    return None if value is None else build(value)


def _share(text: str) -> float:
    return float(text.removesuffix(" %")) / 100


def _shares_from(text: str) -> tuple[float, float]:
    now, _, usual = str(text).partition(" instead of ")
    return _share(now), _share(usual)


def _controls_from(used: str | None, idle: str | None) -> ControlEvidence | None:
    if used is None and idle is None:
        return None
    used_match, idle_match = EXPLAINS.fullmatch(used or ""), EXPLAINS.fullmatch(idle or "")
    return ControlEvidence(
        used=_names_from(used_match),
        explains=_share(used_match[3]) if used_match else 0.0,
        idle=_names_from(idle_match),
    )


def _names_from(match: re.Match[str] | None) -> tuple[str, ...]:
    """One name, or the first and the others together: a name may hold a comma itself."""
    if match is None:
        return ()
    first, comma, others = match[1].partition(", ")
    return (match[1],) if match[2] == "explains" or not comma else (first, others)


def lines(evidence: Evidence) -> Iterator[EvidenceLine]:
    """What there is of it, in the order of the argument."""
    if evidence.history_since is not None:
        yield EvidenceLine(
            "history since",
            stamp(evidence.history_since),
            "the first step that counts; before it there was no data, the KPI was switched off, or "
            "it was on another scale",
        )
    if evidence.history_steps is not None:
        yield EvidenceLine(
            "history steps",
            evidence.history_steps,
            "steps before the release that had a value to learn from",
        )
    yield from _of_baseline(evidence)
    yield from _of_placebos(evidence)
    for answer in evidence.answers:
        yield _of_answer(answer)
    if evidence.usual_value is not None:
        yield EvidenceLine(
            "always", evidence.usual_value, "the one value that the history hardly ever leaves"
        )
    if evidence.steps_that_differ is not None:
        yield EvidenceLine(
            "steps that differ",
            evidence.steps_that_differ,
            "steps since the release with another value",
        )
    if evidence.new_steps is not None:
        yield EvidenceLine(
            "steps of a new kind",
            evidence.new_steps,
            "steps since the release with something of a kind of which there was nothing before",
        )
    if evidence.new_events is not None:
        yield EvidenceLine(
            "events of a new kind", evidence.new_events, "how often it happened in these steps"
        )
    if evidence.controls is not None:
        yield from _of_controls(evidence.controls)
    if evidence.shares is not None:
        now, usual = evidence.shares
        yield EvidenceLine(
            "share of the total",
            f"{percent(now)} instead of {percent(usual)}",
            "its share of the denominator since the release, and the expected share",
        )


def _of_baseline(evidence: Evidence) -> Iterator[EvidenceLine]:
    if evidence.season is not None:
        yield EvidenceLine(
            "season",
            " and ".join(evidence.season) or "none",
            "it predicted past days, so it is expected to go on"
            if evidence.season
            else "no daily or weekly pattern predicted the past better",
        )
    if evidence.structural_model is not None:
        yield EvidenceLine(
            "structural model",
            evidence.structural_model,
            "it follows what changes slowly, and predicted the past clearly better than a fixed "
            "season and level",
        )
    if evidence.scale is not None:
        yield EvidenceLine("scale", str(evidence.scale), SCALES[evidence.scale])
    if evidence.autocorrelation is not None:
        yield EvidenceLine(
            "memory", round(evidence.autocorrelation, 3), _memory(evidence.autocorrelation)
        )
    if evidence.level_steps is not None:
        yield EvidenceLine(
            "level",
            f"of the {evidence.level_steps} steps before the release"
            if evidence.level_steps
            else "of the whole history",
            "the part of the past that best predicted the level of the next hours",
        )


def _of_placebos(evidence: Evidence) -> Iterator[EvidenceLine]:
    if evidence.placebo_releases is not None:
        yield EvidenceLine(
            "placebo releases",
            evidence.placebo_releases,
            "past moments judged as if each had been a release; they show what is usual",
        )
    if evidence.independent_watches is not None:
        yield EvidenceLine(
            "of them independent",
            evidence.independent_watches,
            "watches that fit into the history without overlap; a rarer p-value rests on "
            "simulations",
        )


def _of_answer(answer: Answer) -> EvidenceLine:
    return EvidenceLine(
        f"{answer.question} over {answer.steps} steps",
        f"{answer.z:+.1f} sigma",
        QUESTIONS.get(answer.question, ""),
    )


def _of_controls(controls: ControlEvidence) -> Iterator[EvidenceLine]:
    if controls.used:
        yield EvidenceLine(
            "controls",
            f"{_explain(controls.used)} {percent(round(controls.explains, 2))} of the past",
            "series that the release cannot have touched; what moved in them too is removed",
        )
    if controls.idle:
        nothing = "nothing more" if controls.used else "0 %"
        yield EvidenceLine(
            "controls not used",
            f"{_explain(controls.idle)} {nothing} of the past",
            "their past does not help to predict this series",
        )


def _explain(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    verb = "explains" if len(names) == 1 else "explain"
    return f"{', '.join(names[:MOST_NAMES])}{more} {verb}"


def _memory(autocorrelation: float) -> str:
    if autocorrelation < INDEPENDENT:
        return "a step says nothing about the next: each is independent evidence"
    if autocorrelation < DRIFTING:
        return (
            "a deviation carries over into the next steps: many steps in a row are weaker "
            "evidence than they seem"
        )
    return "it drifts by itself for hours: only a change beyond that drift is evidence"
