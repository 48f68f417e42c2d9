"""The sample data is what its README says: reproducible, readable, with faults of the stated size
and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from anomaly.checklist import checklist
from tests.support.shop import FOLDER, collected, generate

RELEASES = ("healthy", "credential", "redesign")
FILES = ("traffic", "shop", "signups")
LARGEST_FILE = 700_000
OBSERVED = (
    pd.Timestamp(generate.FINISHED_AT) + timedelta(minutes=5),
    pd.Timestamp(generate.FINISHED_AT) + timedelta(hours=6, minutes=5),
)

Frames = dict[str, pd.DataFrame]


def observed(frame: pd.DataFrame, days_before: int = 0) -> pd.DataFrame:
    start, end = (moment - timedelta(days=days_before) for moment in OBSERVED)
    return frame[(frame["time"] >= start) & (frame["time"] < end)]


def error_share(frames: Frames, country: str) -> float:
    rows = observed(frames["traffic"].query("country == @country"))
    return float(rows["errors"].sum() / rows["requests"].sum())


def per_session(frames: Frames, column: str, days_before: int = 0) -> float:
    rows = observed(frames["shop"], days_before)
    return float(rows[column].sum() / rows["sessions"].sum())


def test_the_script_writes_the_committed_files_byte_for_byte(tmp_path: Path) -> None:
    generate.write(tmp_path)

    written = {
        path.relative_to(tmp_path): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    kept = {
        path.relative_to(FOLDER): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.suffix in {".csv", ".yaml"}
    }
    assert sorted(written) == sorted(kept)
    assert [path for path in kept if written[path] != kept[path]] == []


def test_every_release_has_the_same_checklist() -> None:
    texts = {(FOLDER / name / "checklist.yaml").read_bytes() for name in RELEASES}

    assert len(texts) == 1
    assert str(FOLDER) not in texts.pop().decode()


def test_no_file_is_large() -> None:
    assert [
        path for path in FOLDER.rglob("*") if path.is_file() and path.stat().st_size > LARGEST_FILE
    ] == []


def test_the_readme_names_every_file_and_every_known_answer() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")

    for file in FILES:
        assert f"`{file}.csv`" in readme
    for outcome in (
        "pass, no KPI regressed",
        "`request errors` in `country=FR`",
        "fail: `engagement`",
    ):
        assert outcome in readme


@pytest.mark.parametrize("release", RELEASES)
def test_every_kpi_is_read_from_the_files_without_an_error(release: str) -> None:
    loaded = checklist.load(FOLDER / release / "checklist.yaml")

    from_frames = collected(generate.scenario(release, generate.SEED), loaded, generate.NOW)

    assert set(from_frames.panel.columns.get_level_values("kpi")) == {
        kpi.name for kpi in loaded.kpis
    }
    assert from_frames.panel.notna().any().all()
    assert all(not about.notes for about in from_frames.provenance.values())


@pytest.mark.parametrize("release", RELEASES)
def test_a_seed_gives_the_same_frames_again_and_another_seed_others(release: str) -> None:
    once, again, other = (generate.scenario(release, seed) for seed in (7, 7, 8))

    for file in FILES:
        pd.testing.assert_frame_equal(once[file], again[file])
        assert not once[file].equals(other[file])


@pytest.mark.parametrize("release", RELEASES)
def test_the_history_is_the_same_before_every_release(release: str) -> None:
    before = generate.history(3)
    frames = generate.scenario(release, 3)

    for file in FILES:
        pd.testing.assert_frame_equal(
            before[file],
            frames[file][frames[file]["time"] < generate.STARTED_AT].reset_index(drop=True),
        )


@pytest.mark.parametrize(
    ("release", "moved"),
    [
        ("credential", {("traffic", "errors"), ("shop", "orders"), ("shop", "revenue_eur")}),
        ("redesign", {("shop", "product_views"), ("shop", "orders"), ("shop", "revenue_eur")}),
    ],
)
def test_a_fault_moves_nothing_but_what_it_touches(
    release: str, moved: set[tuple[str, str]]
) -> None:
    healthy, bad = generate.scenario("healthy", 5), generate.scenario(release, 5)

    differing = {
        (file, column)
        for file in FILES
        for column in healthy[file]
        if not healthy[file][column].equals(bad[file][column])
    }
    assert differing == moved


def test_an_unknown_release_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="healthy, credential, redesign"):
        generate.scenario("helthy", 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_invalid_credential_raises_errors_in_france_alone(seed: int) -> None:
    healthy, bad = generate.scenario("healthy", seed), generate.scenario("credential", seed)

    assert 0.022 < error_share(bad, "FR") < 0.027
    assert error_share(healthy, "FR") < 0.006
    for country in ("DE", "US"):
        assert error_share(bad, country) == error_share(healthy, country)


@pytest.mark.parametrize("seed", range(3))
def test_the_redesign_loses_an_eighth_of_the_views_slowly_and_raises_no_error(seed: int) -> None:
    healthy, bad = generate.scenario("healthy", seed), generate.scenario("redesign", seed)
    ratio = (bad["shop"]["product_views"] / healthy["shop"]["product_views"]).to_numpy()
    time = bad["shop"]["time"]

    assert (ratio[time < generate.STARTED_AT] == 1).all()
    assert ratio[time >= generate.STARTED_AT + timedelta(hours=4)].mean() == pytest.approx(
        0.88, abs=0.002
    )
    assert (
        ratio[
            (time >= generate.STARTED_AT) & (time < generate.STARTED_AT + timedelta(hours=1))
        ].mean()
        > 0.97
    )
    assert bad["traffic"].equals(healthy["traffic"])


def test_engagement_falls_by_more_than_it_differs_from_day_to_day() -> None:
    bad = generate.scenario("redesign", generate.SEED)
    usual = [per_session(bad, "product_views", days) for days in (1, 4, 5, 6, 7)]

    assert per_session(bad, "product_views") < min(usual) - 3 * (max(usual) - min(usual))


def test_weekends_and_nights_are_quiet() -> None:
    traffic = generate.history(1)["traffic"].query("country == 'DE'")
    weekend = traffic["time"].dt.day_of_week >= 5
    night = traffic["time"].dt.hour.isin([1, 2])

    assert 0.65 < traffic[weekend]["requests"].mean() / traffic[~weekend]["requests"].mean() < 0.75
    assert traffic[night]["requests"].mean() < 0.5 * traffic["requests"].mean()


def test_the_history_holds_an_outage_and_gaps() -> None:
    before = generate.history(1)
    share = (
        before["traffic"].groupby("time")[["errors", "requests"]].sum().eval("errors / requests")
    )
    gaps = before["shop"]["time"].diff().dropna()

    assert 5 <= (share > 0.03).sum() <= 12
    assert gaps.max() == timedelta(minutes=30)
    assert (gaps > timedelta(minutes=5)).sum() >= 5


def test_counts_scatter_more_than_by_chance_and_neighbours_resemble_each_other() -> None:
    traffic = generate.history(2)["traffic"].query("country == 'DE'")
    requests = traffic.set_index("time")["requests"].resample("5min").mean()
    usual = requests.groupby([requests.index.day_of_week >= 5, requests.index.time]).transform(
        "median"
    )
    noise = (requests / usual - 1).dropna()

    assert noise.var() > 2 / requests.mean()
    assert noise.autocorr() > 0.2


def test_the_answers_are_those_of_the_generator() -> None:
    text = (FOLDER / "answers.yaml").read_text(encoding="utf-8")

    assert text == generate.ANSWERS
    assert re.findall(r"^  (\w+):$", text, re.MULTILINE) == list(RELEASES)
