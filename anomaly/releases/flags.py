"""From what happened to flags to what was released."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from anomaly.model import Release
from anomaly.releases.event import Kind, ReleaseEvent


def releases(events: Iterable[ReleaseEvent]) -> list[Release]:
    """The releases in order of time, whose service and environment are the checklist's.

    A flag begins a release of its name, unless the release just before is of that name: then more
    users are a stage of it. A flag that is switched off is a release of `NAME off`.
    """
    found: list[Release] = []
    for event in sorted(events, key=lambda each: each.at):
        version = f"{event.version} off" if event.kind is Kind.ABORTED else event.version
        stages = () if event.share is None else ((event.at, event.share),)
        if not found or found[-1].version != version:
            found.append(Release(event.at, version=version, stages=stages))
        elif event.share is not None and event.share > _share(found[-1]):
            earlier = tuple(each for each in found[-1].stages if each[0] < event.at)
            found[-1] = replace(found[-1], finished_at=None, stages=(*earlier, *stages))
    return found


def _share(release: Release) -> float:
    return release.stages[-1][1] if release.stages else 0.0
