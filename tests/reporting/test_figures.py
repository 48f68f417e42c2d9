"""Pictures of series: the same bytes each time, and drawn whatever the data or the names."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anomaly.contracts import Action
from anomaly.model import Finding
from anomaly.reporting import figure_style as drawing
from anomaly.reporting import figures as picture
from anomaly.reporting.report import Report
from tests.sinks.messages import MESSAGES
from tests.sinks.pictures import drawable, drawn, points
from tests.support import reports


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def failing(report: Report) -> Finding:
    return next(finding for finding in report.findings if finding.fails)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def shown(
    report: Report, finding: Finding, monkeypatch: pytest.MonkeyPatch
) -> tuple[set[str], Any]:
    """The words of a picture and its plot."""
    kept: list[Any] = []
    make = drawing.figure

    def keep(width: float, height: float, dpi: int) -> Any:
        kept.append(make(width, height, dpi))
        return kept[-1]

    monkeypatch.setattr(drawing, "figure", keep)
    picture.kpi_png(report, finding)
    (figure,) = kept
    (axes,) = figure.axes
    return {
        text.get_text() for text in [*figure.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label]
    }, axes


@pytest.mark.slow
def test_the_same_report_gives_the_same_bytes_and_nothing_says_when_or_by_what() -> None:
    report = drawable()
    first, second = (picture.kpi_png(report, failing(report)) for _ in range(2))
    assert first == second
    assert size(first) == (900, 360)
    assert not [word for word in (b"Software", b"matplotlib", b"tEXt", b"tIME") if word in first]
    assert picture.overview_png(report) == picture.overview_png(report)


@pytest.mark.slow
def test_twice_the_dots_are_the_same_picture_sharper() -> None:
    report = drawable()
    assert size(picture.kpi_png(report, failing(report), width=1800, dpi=200)) == (1800, 720)


@pytest.mark.slow
def test_a_picture_says_what_when_and_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    report = drawable()
    words, axes = shown(report, replace(failing(report), unit="errors per visit"), monkeypatch)
    assert {
        "checkout errors (country=DE)",
        "+212 % [180, 240], 0.0312 vs expected 0.01 errors per visit",
        "since 10:40",
    } <= words
    assert {"shop 1.4.2 in production", "errors per visit", "2025-11-04, UTC"} <= words
    lines = {line.get_label(): line for line in axes.lines}
    frame = report.points
    assert list(lines["observed"].get_ydata()) == list(frame["observed"])
    assert list(lines["expected"].get_ydata()) == list(frame["expected"])
    assert list(lines["outside the range"].get_ydata()) == list(frame["observed"][frame["flagged"]])


@pytest.mark.slow
def test_times_are_those_of_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    report = drawable()
    make = picture.kpi_png
    monkeypatch.setattr(picture, "kpi_png", lambda *told: make(*told, timezone="Asia/Tokyo"))
    words, _ = shown(report, failing(report), monkeypatch)
    assert {"since 19:40", "2025-11-04, Asia/Tokyo"} <= words


def test_nothing_observed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports.failing()
    words, _ = shown(report, failing(report), monkeypatch)
    assert "no data observed" in words
    assert not any(word.startswith("since") for word in words)


def test_a_sample_between_gaps_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    report = drawable()
    alone = report.points["observed"].where(report.points.index == 30)
    _, axes = shown(
        replace(report, points=report.points.assign(observed=alone)), failing(report), monkeypatch
    )
    (line,) = [line for line in axes.lines if line.get_label() == "observed"]
    assert line.get_marker() == "o"
    assert np.isfinite(line.get_ydata()).sum() == 1


SERIES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "none": lambda frame: frame.iloc[:0],
    "one": lambda frame: frame.iloc[:1],
    "gaps": lambda frame: frame.assign(observed=frame["observed"].where(frame.index % 3 == 0)),
    "all missing": lambda frame: frame.assign(observed=np.nan),
    "no band": lambda frame: frame.assign(expected=np.nan, lower=np.nan, upper=np.nan),
    "constant": lambda frame: frame.assign(
        observed=5.0, expected=5.0, lower=5.0, upper=5.0, flagged=False
    ),
    "zero": lambda frame: frame.assign(observed=0.0, expected=0.0, lower=0.0, upper=0.0),
    "huge": lambda frame: frame.assign(observed=np.where(frame.index == 5, 1.7e308, -1.7e308)),
    "infinite": lambda frame: frame.assign(upper=np.inf, lower=-np.inf),
    "tiny": lambda frame: frame.assign(observed=frame["observed"] * 1e-300),
    "far from zero": lambda frame: frame.assign(
        observed=frame["observed"] + 1e7, expected=1e7, lower=1e7, upper=1e7
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIES)
def test_any_series_is_drawn(name: str) -> None:
    report = drawable()
    report = replace(report, points=SERIES[name](report.points))
    assert size(picture.kpi_png(report, failing(report))) == (900, 360)
    picture.overview_png(report)


@pytest.mark.slow
@pytest.mark.parametrize("text", [*reports.HOSTILE, r"$\frac{1}{", "$x$", "漢字 עברית 🙂"])
def test_any_name_is_drawn_as_plain_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = drawable(reports.hostile(text))
    words, axes = shown(report, failing(report), monkeypatch)
    assert all(word.isprintable() and len(word) <= picture.LONGEST_WORDS for word in words)
    assert not any(
        each.get_parse_math() for each in [*axes.figure.texts, *axes.texts, axes.yaxis.label]
    )


@pytest.mark.slow
def test_an_overview_shows_at_most_twelve_and_says_of_how_many() -> None:
    few = reports.report(
        reports.failing().verdict, *[replace(reports.LATENCY, kpi=f"kpi {i}") for i in range(3)]
    )
    many = replace(few, findings=tuple(replace(reports.LATENCY, kpi=f"kpi {i}") for i in range(40)))
    assert size(picture.overview_png(few)) == (900, 235)
    assert size(picture.overview_png(many)) == (900, 760)


@pytest.mark.slow
def test_what_a_message_is_about_is_drawn_and_nothing_else() -> None:
    assert picture.worst_png(drawn()) is not None
    assert picture.worst_png(drawn(Action.TRIAL)) is None
    assert picture.worst_png(drawn(Action.RESOLVE)) is None  # nothing in it recovered
    assert picture.worst_png(MESSAGES["fire"]) is None  # no points
    over = replace(
        MESSAGES["resolve"],
        report=replace(
            MESSAGES["resolve"].report, points=points(MESSAGES["resolve"].report.findings[0])
        ),
    )
    assert picture.worst_png(over) is not None


def test_a_picture_that_fails_keeps_nobody_from_being_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picture, "png", lambda *_: 1 / 0)
    assert picture.worst_png(drawn()) is None
    assert "no picture: ZeroDivisionError" in caplog.text
