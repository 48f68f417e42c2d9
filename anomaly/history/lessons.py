"""What a baseline must not learn from: the transitions of earlier releases, and incidents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from anomaly.history.records import FindingRecord, ReleaseRecord
from anomaly.model import LeftOut, Release, Window


def transitions(
    records: Sequence[ReleaseRecord], window: Window, warmup: timedelta
) -> Iterator[LeftOut]:
    """The spans in the window in which releases went out, with their warm-up."""
    for record in records:
        release = record.release
        end = min(window.end, release.finished + warmup)
        if end > release.started_at:
            yield LeftOut(Window(release.started_at, end), _name(release))


def incidents(
    record: ReleaseRecord,
    findings: Sequence[FindingRecord],
    targets: Collection[str],
    window: Window,
) -> Iterator[LeftOut]:
    """The spans of acknowledged findings, each from its onset to the last look that showed it;
    `targets` are the ids of what was acknowledged."""
    for finding in findings:
        start = finding.began or record.release.started_at
        end = min(window.end, finding.at)
        if start < end and not {finding.id, record.id}.isdisjoint(targets):
            yield LeftOut(Window(start, end), f"incident of {_name(record.release)}")


def joined(spans: Sequence[LeftOut]) -> list[LeftOut]:
    """The spans, with those of one reason that touch joined."""
    out: list[LeftOut] = []
    for span in sorted(spans, key=lambda each: (each.reason, each.window.start, each.window.end)):
        last = out[-1] if out else None
        if last is not None and last.reason == span.reason and span.window.start <= last.window.end:
            out[-1] = replace(
                last, window=Window(last.window.start, max(last.window.end, span.window.end))
            )
        else:
            out.append(span)
    return sorted(out, key=lambda each: (each.window.start, each.reason))


def _name(release: Release) -> str:
    return f"release {release.version}" if release.version else "a release"
