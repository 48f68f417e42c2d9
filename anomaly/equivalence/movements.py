"""What a release moved in two environments: in both, or in one alone, and whether the other could
have detected it."""

from __future__ import annotations

from anomaly.backtesting.judging import by_key, detectable
from anomaly.equivalence.result import Movement
from anomaly.model import CHANGED, UNJUDGED, Finding, Verdict
from anomaly.reporting.report import Report
from anomaly.reporting.words import change_words
from anomaly.wording import percent


def movements(reports: tuple[Report, Report], between: tuple[str, str]) -> tuple[Movement, ...]:
    """A movement per series that moved in either environment; those in one alone come first, those
    that regressed before others."""
    findings = by_key(reports[0]), by_key(reports[1])
    out = []
    for key in dict.fromkeys((*findings[1], *findings[0])):
        pair = findings[0].get(key), findings[1].get(key)
        present = [finding for finding in pair if finding is not None]
        if any(finding.verdict in CHANGED and not finding.control_for for finding in present):
            out.append(
                Movement(
                    present[0].kpi,
                    present[0].segment,
                    any(each.total for each in present),
                    pair,
                    _reason(pair, between),
                )
            )
    return tuple(sorted(out, key=lambda each: (each.in_both, not _regressed(each))))


def _regressed(movement: Movement) -> bool:
    return any(
        finding is not None and finding.verdict is Verdict.REGRESSED
        for finding in movement.findings
    )


def _reason(pair: tuple[Finding | None, Finding | None], between: tuple[str, str]) -> str:
    """`regressed in production (+31 % [22, 40]); ok in staging, although a change of 12 % is
    detectable there`."""
    first, second = pair
    if first is not None and second is not None and first.verdict is second.verdict:
        sizes = " and ".join(
            f"{change_words(each)} in {name}"
            for each, name in zip(pair, between, strict=True)
            if each
        )
        return f"{first.verdict} in both: {sizes}"
    moved_first = sorted(
        zip(pair, between, strict=True),
        key=lambda each: each[0] is None or each[0].verdict not in CHANGED,
    )
    mover = moved_first[0][0]
    return "; ".join(_in_one(finding, name, mover) for finding, name in moved_first)


def _in_one(finding: Finding | None, name: str, mover: Finding | None) -> str:
    """The finding of one environment, held against that of the one where it moved."""
    if finding is None:
        return f"missing in {name}"
    words = f"{finding.verdict.replace('_', ' ')} in {name}"
    if finding.verdict in CHANGED:
        return f"{words} ({change_words(finding)})"
    if finding.verdict in UNJUDGED:
        return f"{words}: {finding.reason}"
    return f"{words}, {_power(finding, mover)}"


def _power(finding: Finding, mover: Finding | None) -> str:
    """Whether what moved elsewhere could have been detected by a finding that is ok."""
    size = detectable(finding)
    if size is None:
        return "where the smallest detectable change is unknown"
    if mover is None or mover.effect is None:
        return f"where a change of {percent(size)} is detectable"
    if size <= abs(mover.effect):
        return f"although a change of {percent(size)} is detectable there"
    return f"where only changes of {percent(size)} or more are detectable"
