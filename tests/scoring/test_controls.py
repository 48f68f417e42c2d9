"""What moves in a KPI and in its control is not the release's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anomaly
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.errors import UsageError
from anomaly.model import (
    Calendar,
    ControlEvidence,
    Direction,
    Finding,
    Kpi,
    Release,
    ReleaseVerdict,
    Verdict,
)
from anomaly.panel import Block, assemble
from anomaly.reporting.evidence import by_name
from anomaly.reporting.report import Report
from anomaly.scoring.controlled import score_beside_controls
from anomaly.scoring.controls import Prediction, bands, by_bands, controls_of
from anomaly.scoring.scored import Score
from anomaly.scoring.timeline import Timeline
from tests.support.draws import Limit
from tests.support.simulations import Floats, finding_of, noise, remembering, stamps

pytestmark = pytest.mark.slow

BEFORE, AFTER, SEEDS = 14 * 48, 24, 500  # half-hourly steps
ROWS = BEFORE + AFTER
INDEX = stamps(ROWS, "30min")
SHIFT = 1.04
LEVEL = 0.01  # of a release of its own
SHARED = [remembering(0.8, seed, ROWS, SEEDS) for seed in (1, 2)]
KPIS = 100 + 2 * SHARED[0] + 2 * SHARED[1] + 2 * noise(3, ROWS, SEEDS)
CONTROLS = [
    500 + 10 * SHARED[0] + 5 * noise(4, ROWS, SEEDS),
    50 + SHARED[1] + noise(5, ROWS, SEEDS),
]
STRANGERS = 100 + 2 * noise(6, ROWS, SEEDS), 300 + 6 * noise(7, ROWS, SEEDS)


def times(values: Floats, factor: float, start: int = BEFORE) -> Floats:
    """The series with everything from the release on multiplied."""
    out = values.copy()
    out[start:] *= factor
    return out


def controls_used(score: Score) -> tuple[str, ...]:
    """The controls that tell something about a series."""
    return () if score.evidence.controls is None else score.evidence.controls.used


def scores(
    kpis: Floats, controls: Sequence[Floats] = (), direction: Direction = Direction.EITHER
) -> list[Score]:
    """A score per column of `kpis`; column i of each of `controls` is a control for it."""
    columns, known = {}, []
    for i in range(kpis.shape[1]):
        columns[f"k{i}", "", "value"] = kpis[:, i]
        known.append(Kpi(f"k{i}", direction=direction))
        for j, control in enumerate(controls):
            columns[f"k{i} control {j}", "", "value"] = control[:, i]
            known.append(Kpi(f"k{i} control {j}", control_for=(f"k{i}",)))
    panel = assemble(columns, INDEX)
    base = SeasonalBaseline().fit(panel.iloc[:BEFORE], known, Calendar())
    found = score_beside_controls(
        base, panel.iloc[:BEFORE], panel.iloc[BEFORE:], known, 0, report_below=LEVEL
    ).scores
    out = [score for score in found[:: 1 + len(controls)] if score is not None]
    assert len(out) == kpis.shape[1]
    return out


def alarms(found: list[Score]) -> float:
    return float(np.mean([score.p_bad < LEVEL for score in found]))


def alarm_count(found: list[Score]) -> int:
    return sum(score.p_bad < LEVEL for score in found)


def intervals(found: list[Score]) -> Floats:
    return np.array([score.sizes.relative_interval for score in found if score.sizes is not None])


def covered(found: list[Score], effect: float) -> float:
    low, high = intervals(found).T
    return float(((low <= effect) & (effect <= high)).mean())


# --- the statistical promises -------------------------------------------------------------------


@cache
def shifted(controls: int) -> list[Score]:
    """Scores of 300 series that the release moved, by the number of their controls."""
    return scores(
        times(KPIS[:, :300], SHIFT), [control[:, :300] for control in CONTROLS[:controls]]
    )


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_the_intervals_hold_beside_controls(count: int) -> None:
    assert 0.93 <= covered(shifted(count), SHIFT - 1) <= 0.97


@pytest.mark.slow
def test_controls_find_what_noise_would_hide() -> None:
    none, one, two = (alarms(shifted(count)) for count in (0, 1, 2))

    assert one >= none + 0.15
    assert two >= 0.85
    assert np.median(np.diff(intervals(shifted(2)))) < 0.6 * np.median(
        np.diff(intervals(shifted(0)))
    )


@pytest.mark.slow
def test_quiet_releases_stay_quiet_beside_controls() -> None:
    """At 1 %, and twice its error."""
    few = Limit(3, of=150, first=97, early=1)

    assert few.excess(lambda some: alarm_count(scores(KPIS[:, some], [CONTROLS[0][:, some]]))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.3])
@pytest.mark.parametrize(
    "related", [True, False], ids=["moved together before", "never moved together before"]
)
def test_what_moves_in_both_is_not_the_releases(factor: float, related: bool) -> None:
    """By its own past alone, nine of ten would be."""
    kpi, control = (
        (KPIS[:, :60], CONTROLS[0][:, :60]) if related else (each[:, :60] for each in STRANGERS)
    )

    found = scores(times(kpi, factor), [times(control, factor)])

    beside = [score.beside for score in found if score.beside is not None]
    assert sum(each.p_alone < LEVEL for each in beside) >= 0.9 * len(found)
    assert alarms(found) <= 0.03


@pytest.mark.slow
def test_a_release_shows_beyond_what_moves_in_both() -> None:
    few = Limit(6, of=60, first=19, early=0)

    def misses(some: slice) -> int:
        control = times(CONTROLS[0][:, some], 0.8)
        found = scores(times(KPIS[:, some], 0.8 * 0.85), [control], Direction.DOWN)
        missed = sum(score.p_bad >= LEVEL for score in found)
        outside = round((1 - covered(found, -0.15)) * len(found))
        return max(missed, outside)

    assert few.excess(misses) == 0


@pytest.mark.slow
def test_a_control_that_breaks_alone_raises_no_alarm() -> None:
    assert alarms(scores(KPIS[:, :60], [times(CONTROLS[0][:, :60], 0.1)])) <= 0.01


@pytest.mark.slow
def test_a_control_of_pure_noise_costs_nothing() -> None:
    kpi, control = (times(STRANGERS[0][:, :60], 1.02), STRANGERS[1][:, :60])
    alone, beside = scores(kpi), scores(kpi, [control])

    nothing = ControlEvidence(idle=("k0 control 0",))
    assert [score.evidence.controls for score in beside].count(nothing) == 1
    same = [
        one.p_bad == other.p_bad and one.sizes == other.sizes
        for one, other in zip(alone, beside, strict=True)
    ]
    assert np.mean(same) >= 0.9  # but for those whose control moved by chance


@pytest.mark.slow
@pytest.mark.parametrize(
    "control",
    [
        pytest.param(np.exp(CONTROLS[0] / 40), id="logarithm"),
        pytest.param((CONTROLS[0] / 25) ** 2, id="square"),
        pytest.param(-CONTROLS[0], id="the other way round"),
        pytest.param(
            CONTROLS[0] + 100 * np.sin(np.arange(ROWS) * 2 * np.pi / 48)[:, None],
            id="with a day of its own",
        ),
    ],
)
def test_a_control_may_have_a_scale_and_a_season_of_its_own(control: Floats) -> None:
    plain = shifted(1)[:40]
    other = scores(times(KPIS[:, :40], SHIFT), [control[:, :40]])

    assert alarms(other) >= alarms(plain) - 0.1
    assert np.mean([bool(controls_used(score)) for score in other]) >= 0.95


@pytest.mark.slow
def test_collinear_controls_count_once() -> None:
    kpi, control = times(KPIS[:, :40], SHIFT), CONTROLS[0][:, :40]

    once = np.median(np.diff(intervals(shifted(1)[:40])))
    thrice = np.median(np.diff(intervals(scores(kpi, [control, control, 3 * control + 1]))))
    assert thrice == pytest.approx(once, rel=0.05)


@pytest.mark.slow
def test_more_controls_than_days_do_no_harm() -> None:
    kpi = times(KPIS[:, :6], SHIFT)
    many = [CONTROLS[0][:, :6], *(100 + noise(100 + j, ROWS, 6) for j in range(30))]

    one = np.median(np.diff(intervals(shifted(1)[:6])))
    crowd = np.median(np.diff(intervals(scores(kpi, many))))
    assert crowd <= 1.15 * one


@pytest.mark.slow
@settings(max_examples=25)  # of two numbers that only shift what is predicted from
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_what_is_shared_does_not_depend_on_where_levels_are_counted_from(
    kpi: float, control: float
) -> None:
    count = 400
    shared = remembering(0.8, 11, count, 1)[:, 0]
    x = np.stack([shared + 0.5 * noise(12, count), shared + 0.5 * noise(13, count)])
    present = noise(14, 2, count) < 2

    def learned(levels: Floats) -> Prediction:
        off = np.where(present, x + levels[:, None], 0.0)
        everywhere = np.ones((2, count), bool)
        line = Timeline(
            series=Block((), everywhere[:, 0], off, off, off, everywhere),
            index=stamps(count, "30min"),
            origins=np.array([360]),
            before=360,
            gap=0,
            hours=0.0,
            residual=off,
            x=off,
            present=present,
            z=off,
            has_innovation=everywhere,
            has_sample=everywhere,
            usually=np.ones_like(off),
            amount=off,
            usual=off,
            sparse=everywhere[:, 0],
            season=off,
            phi=np.zeros((2, 1)),
        )
        prediction = by_bands(line, bands(line), 0, np.array([1]))
        assert prediction is not None
        return prediction

    plain, raised = learned(np.zeros(2)), learned(np.array([kpi, control]))
    np.testing.assert_allclose(raised.moves, plain.moves, atol=1e-9)


# --- how it reads -------------------------------------------------------------------------------


def judged(
    columns: dict[str, Floats], controls: Sequence[str] = ("control",), **settings: object
) -> Report:
    return anomaly.check(
        pd.DataFrame(columns, INDEX),
        released_at=INDEX[BEFORE],
        controls=controls,
        **settings,  # type: ignore[arg-type]
    )


def test_a_common_shock_passes_and_the_control_is_named() -> None:
    report = judged(
        {"kpi": times(KPIS[:, 0], 0.6), "control": times(CONTROLS[0][:, 0], 0.6)}, direction="down"
    )
    kpi, control = finding_of(report, "kpi"), finding_of(report, "control")

    assert report.verdict is ReleaseVerdict.PASS
    assert kpi.verdict is Verdict.OK
    assert kpi.effect == pytest.approx(0, abs=0.05)
    assert kpi.reason.endswith("compared with controls: control control moved -39.8 %")
    assert control.verdict is Verdict.INCONCLUSIVE
    assert control.reason.startswith("moved, though the release cannot have touched it: -39.8 %")
    assert report.to_dict()["findings"][1]["control_for"] == ["kpi"]


def test_without_its_control_the_same_shock_fails() -> None:
    report = judged({"kpi": times(KPIS[:, 0], 0.6)}, controls=(), direction="down")

    assert report.verdict is ReleaseVerdict.FAIL


def test_a_control_that_moves_without_its_kpi_leaves_it_open() -> None:
    report = judged({"kpi": KPIS[:, 0], "control": times(CONTROLS[0][:, 0], 0.6)})
    kpi = finding_of(report, "kpi")

    assert (report.verdict, kpi.verdict) == (ReleaseVerdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert "but control control moved -39.8 %, and the two used to move together" in kpi.reason
    assert kpi.effect == pytest.approx(0, abs=0.05)


def test_the_evidence_says_what_the_control_explains() -> None:
    report = judged(
        {"kpi": KPIS[:, 0], "control": CONTROLS[0][:, 0], "noise": STRANGERS[1][:, 0]},
        ("control", "noise"),
    )

    evidence = by_name(finding_of(report, "kpi").evidence)
    assert str(evidence["controls"]).startswith("control explains ")
    assert evidence["controls not used"] == "noise explains nothing more of the past"


@pytest.mark.parametrize("gone", [slice(BEFORE, ROWS), slice(0, BEFORE)], ids=["after", "before"])
def test_a_control_without_data_is_named_and_not_used(gone: slice) -> None:
    control = CONTROLS[0][:, 0].copy()
    control[gone] = np.nan
    with_control, without = (
        judged({"kpi": KPIS[:, 0], "control": control}),
        judged({"kpi": KPIS[:, 0]}, ()),
    )

    kpi = finding_of(with_control, "kpi")
    assert kpi.notes == ("no use of control control: too little data before or after the release",)
    assert (kpi.p_value, kpi.effect) == (without.findings[0].p_value, without.findings[0].effect)
    assert with_control.verdict is ReleaseVerdict.PASS


def test_a_control_that_says_nothing_has_no_say_beside_one_that_does() -> None:
    columns = {
        "kpi": times(KPIS[:, 0], 0.6),
        "control": times(CONTROLS[0][:, 0], 0.6),
        "noise": STRANGERS[1][:, 0],
    }

    kpi = finding_of(judged(columns, ("control", "noise")), "kpi")
    assert kpi.verdict is Verdict.OK
    assert (
        kpi.effect
        == finding_of(judged({name: columns[name] for name in ("kpi", "control")}), "kpi").effect
    )


def test_where_the_control_is_missing_the_band_is_wider() -> None:
    control = CONTROLS[0][:, 0].copy()
    control[BEFORE + 4 : BEFORE + 8] = np.nan
    points = judged({"kpi": KPIS[:, 0], "control": control}).points
    width = (points["upper"] - points["lower"])[points["kpi"] == "kpi"].to_numpy()

    assert width[4:8].mean() > 1.15 * np.delete(width, slice(4, 8)).mean()


def test_a_control_spends_nothing_and_fails_nothing() -> None:
    wild = times(CONTROLS[0][:, 0], 3)
    quiet = judged({"kpi": KPIS[:, 1], "other": STRANGERS[0][:, 0], "control": wild}, ("control",))
    alone = judged({"kpi": KPIS[:, 1], "other": STRANGERS[0][:, 0]}, ())

    assert not finding_of(quiet, "control").fails
    assert [finding_of(quiet, name).level for name in ("kpi", "other")] == [
        finding.level for finding in alone.findings
    ]


def test_controls_alone_are_refused() -> None:
    with pytest.raises(UsageError, match="controls names every column"):
        judged({"control": CONTROLS[0][:, 0]})


@given(st.sampled_from(Verdict))
def test_no_verdict_of_a_control_fails_or_opens_a_release(verdict: Verdict) -> None:
    finding = Finding("control", verdict, "because", control_for=("kpi",))

    assert not finding.fails
    assert not finding.is_open


# --- who controls whom --------------------------------------------------------------------------

DE, FR = "country=DE", "country=FR"
BY = ("country",)


@pytest.mark.parametrize(
    ("kpi_by", "control_by", "keys", "expected"),
    [
        ((), (), [("k", ""), ("c", "")], {0: [1]}),
        (BY, (), [("k", DE), ("k", FR), ("c", "")], {0: [2], 1: [2]}),
        (BY, BY, [("k", DE), ("k", FR), ("c", FR), ("c", DE)], {0: [3], 1: [2]}),
        (BY, BY, [("k", DE), ("c", FR)], {0: []}),
        ((), BY, [("k", ""), ("c", DE), ("c", FR)], {0: [1, 2]}),
        (BY, ("plan",), [("k", DE), ("c", "plan=a"), ("c", "plan=b")], {0: [1, 2]}),
    ],
)
def test_equal_segments_meet_and_other_controls_are_for_all(
    kpi_by: tuple[str, ...],
    control_by: tuple[str, ...],
    keys: list[tuple[str, str]],
    expected: dict[int, list[int]],
) -> None:
    found = controls_of(keys, [Kpi("k", by=kpi_by), Kpi("c", by=control_by, control_for=("k",))])

    assert {row: [*rows] for row, rows in found.items()} == expected


def test_a_control_with_a_word_about_its_judgement_is_refused() -> None:
    for setting in (
        {"critical": True},
        {"tolerance": 0.1},
        {"direction": Direction.UP},
        {"dry_run": True},
    ):
        with pytest.raises(
            UsageError, match=f"{next(iter(setting))} of 'c' means nothing: a control is not judged"
        ):
            replace(Kpi("c", control_for=("k",)), **setting)


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(
        UsageError, match="controls names 'cntrl', which is not a column; use some of kpi, control"
    ):
        judged({"kpi": KPIS[:, 0], "control": CONTROLS[0][:, 0]}, ("cntrl",))


CHECKLIST = """\
service: shop
sources: {data: {type: files, path: shop.csv}}
windows: {history: 14d, watch: 12h, warmup: 0s, step: 30m}
kpis:
  - {name: orders, query: kpi}
  - {name: visits, query: other}
  - {name: orders elsewhere, query: QUERY, control_for: [orders]}
"""


def checked(folder: Path, query: str, only: Sequence[str] = ()) -> Report:
    columns = {
        "kpi": times(KPIS[:, 0], 0.6),
        "other": STRANGERS[0][:, 0],
        "control": times(CONTROLS[0][:, 0], 0.6),
    }
    pd.DataFrame(columns, INDEX).to_csv(folder / "shop.csv", index_label="time")
    (folder / "checklist.yaml").write_text(CHECKLIST.replace("QUERY", query))
    release = Release(INDEX[BEFORE].to_pydatetime())
    return anomaly.check_release(
        anomaly.load_checklist(folder / "checklist.yaml"),
        release,
        now=release.started_at + timedelta(days=1),
        only=only,
    )


def test_a_kpi_asked_for_alone_brings_its_controls(tmp_path: Path) -> None:
    report = checked(tmp_path, "control", only=["orders"])

    assert [finding.kpi for finding in report.findings] == ["orders", "orders elsewhere"]
    assert report.verdict is ReleaseVerdict.PASS


def test_a_control_that_cannot_be_read_is_named_and_leaves_its_kpi_alone(tmp_path: Path) -> None:
    report = checked(tmp_path, "nowhere")

    assert finding_of(report, "orders elsewhere").verdict is Verdict.ERROR
    assert finding_of(report, "orders").verdict is Verdict.REGRESSED
    assert finding_of(report, "orders").notes == (
        "no use of control orders elsewhere: too little data before or after the release",
    )
    assert "orders elsewhere" not in report.to_dict()["headline"]
