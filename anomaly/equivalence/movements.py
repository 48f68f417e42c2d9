"""What a release moved in two environments: in both, or in one alone, and whether the other could
have seen it."""

from __future__ import annotations

from anomaly.backtesting.judging import by_key, detectable
from anomaly.equivalence.result import MOVED, Movement
from anomaly.model import UNJUDGED, Finding, Verdict
from anomaly.reporting import words as say
from anomaly.reporting.report import Report
from anomaly.wording import percent


def movements(reports: tuple[Report, Report], between: tuple[str, str]) -> tuple[Movement, ...]:
    """A movement per series that moved in either environment; those in one alone come first, those
    that regressed before others."""
    found = by_key(reports[0]), by_key(reports[1])
    out = []
    for key in dict.fromkeys((*found[1], *found[0])):
        pair = found[0].get(key), found[1].get(key)
        known = [finding for finding in pair if finding is not None]
        if any(finding.verdict in MOVED and not finding.control_for for finding in known):
            out.append(
                Movement(
                    known[0].kpi,
                    known[0].segment,
                    any(each.total for each in known),
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
    """`regressed in production (+31 % [22, 40]); ok in staging, though a change of 12 % would have
    been seen`."""
    first, second = pair
    if first is not None and second is not None and first.verdict is second.verdict:
        sizes = " and ".join(
            f"{say.change_words(each)} in {name}"
            for each, name in zip(pair, between, strict=True)
            if each
        )
        return f"{first.verdict} in both: {sizes}"
    told = sorted(
        zip(pair, between, strict=True),
        key=lambda each: each[0] is None or each[0].verdict not in MOVED,
    )
    moved = told[0][0]
    return "; ".join(_told(finding, name, moved) for finding, name in told)


def _told(finding: Finding | None, name: str, moved: Finding | None) -> str:
    """What became of it in one environment, seen from where it moved."""
    if finding is None:
        return f"missing in {name}"
    words = f"{finding.verdict.replace('_', ' ')} in {name}"
    if finding.verdict in MOVED:
        return f"{words} ({say.change_words(finding)})"
    if finding.verdict in UNJUDGED:
        return f"{words}: {finding.reason}"
    return f"{words}, {_sight(finding, moved)}"


def _sight(finding: Finding, moved: Finding | None) -> str:
    """Whether what moved elsewhere would have been seen by a finding that is ok."""
    size = detectable(finding)
    if size is None:
        return "where it is not known what would have been seen"
    if moved is None or moved.effect is None:
        return f"where a change of {percent(size)} would have been seen"
    if size <= abs(moved.effect):
        return f"though a change of {percent(size)} would have been seen"
    return f"where only a change of {percent(size)} would have been seen"
