"""Messages whose reports hold points, so that there is something to draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import Finding
from anomaly.panel import segment_text
from anomaly.reporting.report import Report
from tests.sinks.messages import KEY, LINK
from tests.support import reports


def points(finding: Finding, steps: int = 72) -> pd.DataFrame:
    """The steps of one series, of which those after half of the watch are out of the band."""
    expected = np.full(steps, 0.01)
    observed = (
        expected
        + 0.002 * np.sin(np.arange(steps))
        + np.where(np.arange(steps) > steps // 2, 0.02, 0.0)
    )
    return pd.DataFrame(
        {
            "kpi": pd.Series([finding.kpi] * steps, dtype=object),
            "segment": pd.Series([segment_text(finding.segment)] * steps, dtype=object),
            "time": pd.date_range(reports.OBSERVED_FROM, periods=steps, freq=reports.STEP),
            "observed": observed,
            "expected": expected,
            "lower": expected - 0.005,
            "upper": expected + 0.005,
            "z": (observed - expected) / 0.002,
            "flagged": observed > 0.015,
        }
    )


def drawable(report: Report | None = None) -> Report:
    """A failing report with points for what fails first."""
    report = report or reports.failing()
    failing = next(finding for finding in report.findings if finding.fails)
    return replace(report, points=points(failing))


def drawn(action: Action = Action.FIRE) -> Message:
    return Message(KEY, drawable(), action, id="m1", why=NotifyReason.FIRST, link=LINK)
