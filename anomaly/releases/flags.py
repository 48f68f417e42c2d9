"""From what happened to flags to what was released."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from anomaly.model import Release
from anomaly.releases.event import Kind, ReleaseEvent


def releases(events: Iterable[ReleaseEvent]) -> list[Release]:
    """The releases in order of time, whose service and environment are the checklist's.

    A flag begins a release of its name, unless the release just before is of that name: then more
    users are a stage of it. A flag that is switched off aborts its newest release.
    """
    out: list[Release] = []
    newest: dict[str, int] = {}  # the place of each flag's newest release
    for event in sorted(events, key=lambda each: each.at):
        place = newest.get(event.version, -1)
        is_on = place >= 0 and out[place].aborted_at is None
        stages = () if event.share is None else ((event.at, event.share),)
        if event.kind is Kind.ABORTED:
            if is_on:
                out[place] = replace(out[place], aborted_at=event.at)
        elif not is_on or place < len(out) - 1:
            newest[event.version] = len(out)
            out.append(Release(event.at, version=event.version, stages=stages))
        elif event.share is not None and event.share > _share(out[place]):
            earlier = tuple(each for each in out[place].stages if each[0] < event.at)
            out[place] = replace(out[place], finished_at=None, stages=(*earlier, *stages))
    return out


def _share(release: Release) -> float:
    return release.stages[-1][1] if release.stages else 0.0
