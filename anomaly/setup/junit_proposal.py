"""A first checklist from a folder of test runs: failures, duration, flaky and skipped tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from anomaly.collectors.junit import LARGEST_FILE
from anomaly.collectors.junit_folder import runs_in
from anomaly.collectors.junit_runs import Runs, read_runs
from anomaly.errors import CollectError, UsageError
from anomaly.model import Direction, Kpi, Window
from anomaly.setup.frame_proposal import MOST_SEGMENTS, windows_of
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.steps import DAY, WEEK

EVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
STEPS = (timedelta(hours=1), DAY, WEEK)
FEWEST_RUNS = 4


def from_runs(path: Path, place: str) -> tuple[Proposal, datetime]:
    """The proposal for the test runs in a folder, under the path that the checklist is to name, and
    when its data end. Raises UsageError, CollectError."""
    settings, remarks = {"type": "junit", "path": place}, []
    try:
        runs = read_runs(runs_in(path, LARGEST_FILE), EVER, None)
    except CollectError:
        # timestamps without a zone, or what is as bad in any zone
        runs = read_runs(runs_in(path, LARGEST_FILE), EVER, ZoneInfo("UTC"))
        settings["timezone"] = "UTC"
        remarks.append(
            "Timestamps without a zone are read in UTC: correct timezone of the source, if the "
            "machines of the tests have another"
        )
    moments = sorted(runs.moments)
    if len(moments) < FEWEST_RUNS:
        raise UsageError(
            f"{path} holds {len(moments)} runs with a time, too few to propose anything; keep the "
            "runs of some weeks in it"
        )
    suites = {each.suite for each in runs.tests}
    by = ("suite",) if 1 < len(suites) <= MOST_SEGMENTS else ()
    step = _step(moments)
    ends = moments[-1] + step
    proposal = Proposal(
        service=path.resolve().name or "tests",
        sources={"tests": settings},
        kpis=_kpis(runs, by),
        windows=windows_of(step, moments[0], ends),
        why_windows=(
            f"{len(moments):,} runs from {moments[0]:%Y-%m-%d %H:%M} to "
            f"{moments[-1]:%Y-%m-%d %H:%M} UTC"
        ),
        remarks=remarks,
    )
    return proposal, ends


def _kpis(runs: Runs, by: Sequence[str]) -> list[ProposedKpi]:
    passed = sum(each.passed for each in runs.tests)
    failed = sum(each.failed for each in runs.tests)
    skipped = sum(each.skipped for each in runs.tests)
    flaky = sum(each.flaky for each in runs.tests)
    executed = passed + failed
    ratio = Kpi(
        "failed tests",
        query="failed",
        denominator="executed",
        unit="failures per test",
        direction=Direction.UP,
        tolerance=0.1,
        floor=0.001,
    )
    duration = Kpi("duration", query="duration", unit="s", direction=Direction.UP, tolerance=0.1)
    proposed = [
        ProposedKpi(
            replace(ratio, by=tuple(by), critical=True, usage=3),
            f"{failed:,} of the {executed:,} tests that ran failed",
        ),
        ProposedKpi(
            replace(duration, usage=2), "how long the tests of a run took, in the mean of a step"
        ),
    ]
    if flaky:
        unit = "flaky per test"
        proposed.append(
            ProposedKpi(
                replace(ratio, name="flaky tests", query="flaky", unit=unit),
                f"{flaky:,} of the {executed:,} tests passed only when they were run again",
            )
        )
    if skipped:
        unit = "skipped per test"
        kpi = replace(ratio, name="skipped tests", query="skipped", denominator="tests", unit=unit)
        why = f"{skipped:,} of {executed + skipped:,} tests were skipped"
        proposed.append(ProposedKpi(kpi, why))
    return proposed


def _step(moments: Sequence[datetime]) -> timedelta:
    """The shortest step in which there usually is a run."""
    gaps = ((later - earlier).total_seconds() for earlier, later in pairwise(moments))
    usual = timedelta(seconds=median(gaps))
    return next((each for each in STEPS if usual <= each), STEPS[-1])
