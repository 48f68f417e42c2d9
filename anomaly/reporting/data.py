"""A report as data: JSON-able (`to_dict`) and as a frame (`findings_frame`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from anomaly import wording
from anomaly.model import (
    Changes,
    Exposure,
    Finding,
    Incident,
    Interval,
    Release,
    Window,
)
from anomaly.reporting.evidence import by_name
from anomaly.reporting.message import Message, Receipt
from anomaly.reporting.report import Report
from anomaly.reporting.words import headline
from anomaly.steps import CalendarStep

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


def message_data(message: Message) -> dict[str, Any]:
    """The report of a message, and what the message is about, as `to_dict`."""
    about = {
        "action": str(message.action),
        "why": str(message.why),
        "look": message.look,
        "link": message.link,
    }
    return to_dict(message.report, key=message.key) | {"message": about}


def to_dict(
    report: Report, *, key: str | None = None, deliveries: Sequence[Receipt] = ()
) -> dict[str, Any]:
    """The report as strictly JSON-able data, as `docs/json.md` describes it; unknown or not finite
    is None.

    `key` is that of the message that carries the report. The points are left out.
    """
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "headline": headline(report),
        "verdict": str(report.verdict),
        "final": report.final,
        "release": release_data(report.release),
        "windows": {
            "baseline": _window(report.baseline),
            "observation": _window(report.observation),
            "data": None if report.data is None else _window(report.data),
            "step_s": report.step.total_seconds(),
            "timezone": report.step.zone if isinstance(report.step, CalendarStep) else None,
        },
        "false_alarms": _finite(report.false_alarms),
        "p_value": _finite(report.p_value),
        "verifiable": _finite(report.verifiable),
        "findings": [_finding(finding) for finding in report.findings],
        "incidents": [_incident(each) for each in report.incidents],
        "left_out": [{**_window(each.window), "reason": each.reason} for each in report.left_out],
        "confounders": [_other_release(each) for each in report.confounders],
        "changes": None if report.changes is None else _changes(report.changes),
        "made": {str(name): str(value) for name, value in report.made.items()},
    }
    if key is not None:
        data["key"] = key
    if deliveries:
        data["deliveries"] = [receipt_data(receipt) for receipt in deliveries]
    return data


def release_data(release: Release) -> dict[str, Any]:
    """The release, as `docs/json.md` describes it."""
    return {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "started_at": wording.stamp(release.started_at),
        "finished_at": wording.stamp(release.finished),
        "stages": [{"at": wording.stamp(at), "share": share} for at, share in release.stages],
        "followed_by": None if release.followed_by is None else _other_release(release.followed_by),
    }


def _other_release(release: Release) -> dict[str, str]:
    """Another release, as far as it matters to this one."""
    return {
        "service": release.service,
        "version": release.version,
        "started_at": wording.stamp(release.started_at),
    }


def _changes(changes: Changes) -> dict[str, Any]:
    """The commits since the version before."""
    return {
        "since": changes.since,
        "count": changes.count,
        "removed": changes.removed,
        "commits": [
            {"id": each.id, "author": each.author, "title": each.title, "link": each.link}
            for each in changes.commits
        ],
        "link": changes.link,
        "problem": changes.problem,
    }


def _window(window: Window) -> dict[str, str]:
    return {"start": wording.stamp(window.start), "end": wording.stamp(window.end)}


def _finding(finding: Finding) -> dict[str, Any]:
    flagged = finding.flagged
    return {
        "kpi": finding.kpi,
        "segment": dict(finding.segment),
        "verdict": str(finding.verdict),
        "kind": None if finding.kind is None else str(finding.kind),
        "p_value": _finite(finding.p_value),
        "level": _finite(finding.level),
        "p_release": _finite(finding.p_release),
        "effect": _finite(finding.effect),
        "effect_interval": _ends(finding.effect_interval),
        "effect_absolute": _finite(finding.effect_absolute),
        "effect_absolute_interval": _ends(finding.effect_absolute_interval),
        "observed": _finite(finding.observed),
        "expected": _finite(finding.expected),
        "detectable_effect": _finite(finding.detectable_effect),
        "detectable_absolute": _finite(finding.detectable_absolute),
        "total": finding.total,
        "contribution": _finite(finding.contribution),
        "mix_effect": _finite(finding.mix_effect),
        "onset": _moment(finding.onset),
        "onset_interval": None
        if finding.onset_interval is None
        else [_moment(end) for end in finding.onset_interval],
        "exposure": None if finding.exposure is None else _exposure(finding.exposure),
        "flagged": None
        if flagged is None
        else {
            "count": flagged.count,
            "first": _moment(flagged.first),
            "worst": _moment(flagged.worst),
            "worst_z": _finite(flagged.worst_z),
        },
        "coverage": None
        if finding.coverage is None
        else {"share": _finite(finding.coverage.share), "steps": int(finding.coverage.steps)},
        "reason": finding.reason,
        "notes": list(finding.notes),
        "evidence": {
            name: value if isinstance(value, str) else _finite(value)
            for name, value in by_name(finding.evidence).items()
        },
        "steps": int(finding.steps),
        "steps_planned": int(finding.steps_planned),
        "volume": _finite(finding.volume),
        "weight": _finite(finding.weight),
        "unit": finding.unit,
        "direction": str(finding.direction),
        "tolerance": _finite(finding.tolerance),
        "floor": _finite(finding.floor),
        "critical": finding.critical,
        "severity": str(finding.severity),
        "dry_run": finding.dry_run,
        "control_for": list(finding.control_for),
        "no_data": str(finding.no_data),
        "query": finding.query,
        "denominator": finding.denominator,
        "link": finding.link,
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "findings": list(incident.findings),
        "kpis": incident.kpis,
        "since": _moment(incident.since),
        "usage": _finite(incident.usage),
    }


def _exposure(exposure: Exposure) -> dict[str, Any]:
    return {
        "growth": str(exposure.growth),
        "plateaus": [
            {
                "share": each.share,
                **_window(each.window),
                "effect": _finite(each.effect),
                "effect_interval": _ends(each.effect_interval),
                "effect_absolute": _finite(each.effect_absolute),
                "effect_absolute_interval": _ends(each.effect_absolute_interval),
            }
            for each in exposure.plateaus
        ],
    }


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    """The result of a delivery, as `docs/json.md` describes it."""
    return {
        "sink": receipt.sink,
        "delivered": receipt.delivered,
        "detail": receipt.detail,
        "attempts": receipt.attempts,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity; a NumPy number becomes a plain one."""
    return float(value) if value is not None and math.isfinite(value) else None


def _ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_finite(end) for end in interval]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else wording.stamp(moment)


NUMBER, TEXT, COUNT, FLAG, TIME = "float64", "str", "int64", "bool", "time"
COLUMNS: dict[str, Any] = {
    "kpi": TEXT,
    "segment": TEXT,
    "verdict": TEXT,
    "kind": TEXT,
    "p_value": NUMBER,
    "level": NUMBER,
    "p_release": NUMBER,
    "effect": NUMBER,
    "effect_low": NUMBER,
    "effect_high": NUMBER,
    "effect_absolute": NUMBER,
    "effect_absolute_low": NUMBER,
    "effect_absolute_high": NUMBER,
    "observed": NUMBER,
    "expected": NUMBER,
    "detectable_effect": NUMBER,
    "detectable_absolute": NUMBER,
    "total": FLAG,
    "contribution": NUMBER,
    "mix_effect": NUMBER,
    "onset": TIME,
    "onset_first": TIME,
    "onset_last": TIME,
    "growth": TEXT,
    "flagged": COUNT,
    "flagged_first": TIME,
    "flagged_worst": TIME,
    "flagged_worst_z": NUMBER,
    "coverage": NUMBER,
    "reason": TEXT,
    "notes": TEXT,
    "steps": COUNT,
    "steps_planned": COUNT,
    "volume": NUMBER,
    "weight": NUMBER,
    "unit": TEXT,
    "direction": TEXT,
    "tolerance": NUMBER,
    "floor": NUMBER,
    "critical": FLAG,
    "severity": TEXT,
    "dry_run": FLAG,
    "control_for": TEXT,
    "no_data": TEXT,
    "query": TEXT,
    "denominator": TEXT,
    "link": TEXT,
}


def findings_frame(findings: Sequence[Finding]) -> pd.DataFrame:
    """The findings as a frame, a row each, in their order.

    The columns are the keys of a finding in `docs/json.md`, flat and of one type each, so that any
    of them sorts: `segment` is the text that `report.points` uses; an interval is two columns:
    `effect_low` and `effect_high`, `effect_absolute_low` and `effect_absolute_high`, `onset_first`
    and `onset_last`; these two, `onset`, `flagged_first` and `flagged_worst` are UTC times (NaT if
    none); `flagged` is a count, `flagged_worst_z` a number, `coverage` its share; an unknown number
    is NaN; `notes` is one text; `growth` is that of `exposure`; its plateaus and `evidence` are
    left out.
    """
    import pandas as pd

    rows = [_row(finding) for finding in findings]
    frame = pd.DataFrame.from_records(rows, columns=[*COLUMNS])
    for name, dtype in COLUMNS.items():
        frame[name] = (
            pd.to_datetime(frame[name], utc=True).dt.as_unit("ns")
            if dtype == TIME
            else frame[name].astype(dtype)
        )
    return frame


def _row(finding: Finding) -> dict[str, Any]:
    from anomaly.panel import segment_text

    flagged = finding.flagged
    effect_low, effect_high = finding.effect_interval or (None, None)
    absolute_low, absolute_high = finding.effect_absolute_interval or (None, None)
    onset_first, onset_last = finding.onset_interval or (None, None)
    own = {name: getattr(finding, name) for name in COLUMNS if hasattr(finding, name)}
    return own | {
        "segment": segment_text(finding.segment),
        "kind": finding.kind or "",
        "growth": "" if finding.exposure is None else finding.exposure.growth,
        "effect_low": effect_low,
        "effect_high": effect_high,
        "effect_absolute_low": absolute_low,
        "effect_absolute_high": absolute_high,
        "onset_first": onset_first,
        "onset_last": onset_last,
        "flagged": 0 if flagged is None else flagged.count,
        "flagged_first": None if flagged is None else flagged.first,
        "flagged_worst": None if flagged is None else flagged.worst,
        "flagged_worst_z": None if flagged is None else flagged.worst_z,
        "coverage": None if finding.coverage is None else finding.coverage.share,
        "notes": "; ".join(finding.notes),
        "control_for": ", ".join(finding.control_for),
        "denominator": finding.denominator or "",
    }
