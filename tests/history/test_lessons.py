"""What later baselines leave out."""

from __future__ import annotations

from datetime import timedelta

from anomaly.history.store import Store
from anomaly.model import Window
from tests.support import reports
from tests.support.histories import kept_release
from tests.support.reports import at

REPORT = reports.messy()
HOUR = timedelta(hours=1)
WINDOW = Window(at("10:30") - 24 * HOUR, at("10:30") + 24 * HOUR)


def test_transitions_and_incidents_are_left_out_later_and_false_alarms_are_not(
    store: Store,
) -> None:
    record = kept_release(store)
    store.record(record.id, REPORT, [], at=at("14:00"), after=0)

    def lessons() -> list[tuple[str, str, str]]:
        spans = store.lessons("shop", "production", window=WINDOW, warmup=timedelta(minutes=5))
        return [
            (f"{each.window.start:%H:%M}", f"{each.window.end:%H:%M}", each.reason)
            for each in spans
        ]

    transition = ("10:30", "10:40", "release 1.4.2")
    assert lessons() == [transition]
    store.acknowledge(record, incident=False, note="", at=at("15:00"))
    assert lessons() == [transition]
    store.acknowledge(record, incident=True, note="", at=at("15:00"))
    assert lessons() == [("10:30", "14:00", "incident of release 1.4.2"), transition]
    sooner = Window(WINDOW.start, record.release.started_at)
    later = Window(at("14:00"), WINDOW.end)
    for other in (sooner, later):
        assert store.lessons("shop", "production", window=other, warmup=HOUR) == []
