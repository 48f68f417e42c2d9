"""Which changes of version are releases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.model import Release
from anomaly.releases.changes import Instance, releases

START = datetime(2025, 6, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MISSED = 2
VERSIONS = ("1.0", "2.0", "3.0")

Rows = Sequence[tuple[int, ...]]  # how many instances each of VERSIONS has, by minute


def minute(number: int) -> datetime:
    return START + number * MINUTE


def found(rows: Rows, first: int = 0) -> list[Release]:
    moments = [minute(first + row) for row in range(len(rows))]
    weights = np.array(rows, np.float64).reshape(len(rows), len(VERSIONS))
    return releases(
        moments, [Instance(version, weights[:, at]) for at, version in enumerate(VERSIONS)], MISSED
    )


def spoken(text: str) -> Rows:
    """`1 12 2`: the versions of each minute, one instance each; `.` for none; `1*5` for five
    minutes."""
    rows: list[tuple[int, ...]] = []
    for word in text.split():
        versions, _, times = word.partition("*")
        rows += [tuple(int(str(number) in versions) for number in (1, 2, 3))] * int(times or 1)
    return rows


def told(text: str) -> list[str]:
    """`2.0 at 6`, or `2.0 at 6 to 8` where it took time."""
    said = []
    for release in found(spoken(text)):
        began, ended = (
            (moment - START) // MINUTE for moment in (release.started_at, release.finished)
        )
        said.append(f"{release.version} at {began}" + (f" to {ended}" if ended > began else ""))
    return said


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("1*9", []),
        ("1*6 2*6", ["2.0 at 6"]),
        ("1*6 12*3 2*6", ["2.0 at 6 to 8"]),
        ("1*6 12*3", ["2.0 at 6 to 8"]),  # still going on
        ("1*6 2*6 1*6", ["2.0 at 6", "1.0 at 12"]),  # rolled back
        ("1*6 12*4 1*6", ["2.0 at 6 to 9", "1.0 at 10"]),  # so is what had not reached everyone
        ("1*6 12*4 1", ["2.0 at 6 to 9"]),  # unless it may come back
        ("1*6 12*4 1*2 12*4", ["2.0 at 6 to 15"]),  # as it did here
        ("1*6 .*20 1*6", []),
        ("1*6 .*20 2*6", ["2.0 at 26"]),
        ("1*6 . 12 . 12 2*6", ["2.0 at 7 to 9"]),
        ("12*6 2*6", []),  # both were there before
        ("12*6 1*6", []),
        ("1*6 2*6 3*6", ["2.0 at 6", "3.0 at 12"]),
        ("1*6 12*2 123*2 23*2 3*6", ["2.0 at 6 to 7", "3.0 at 8 to 11"]),
        ("1*2 2*9", []),  # in the first moments nobody knows what was before
        (".*9", []),
    ],
)
def test_what_is_a_release(seen: str, expected: list[str]) -> None:
    assert told(seen) == expected


def test_shares_that_were_held_are_stages() -> None:
    rows: Rows = (
        [(10, 0, 0)] * 6
        + [(9, 1, 0)] * 15
        + [(7, 3, 0)] * 2
        + [(5, 5, 0)] * 15
        + [(2, 8, 0)] * 3
        + [(0, 10, 0)] * 9
    )
    (release,) = found(rows)
    assert release.stages == ((minute(6), 0.1), (minute(23), 0.5), (minute(41), 1.0))
    assert (release.started_at, release.finished) == (minute(6), minute(41))
    grown = [found(rows[:until])[0].stages for until in range(7, len(rows) + 1)]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(grown))


def test_instances_that_come_and_go_make_no_stages() -> None:
    rows: Rows = [(10, 0, 0)] * 6 + [(9, 1, 0), (8, 1, 0), (10, 1, 0)] * 8
    (release,) = found(rows)
    assert release.stages == ((minute(6), 0.1),)


COUNTS = st.tuples(*[st.sampled_from([0, 0, 1, 3])] * len(VERSIONS))
TIMES = st.integers(1, 4) | st.integers(10, 14)
SEEN = st.lists(st.tuples(COUNTS, TIMES), max_size=15).map(
    lambda runs: [row for row, times in runs for _ in range(times)]
)


@pytest.mark.slow
@given(SEEN)
def test_releases_are_in_order_real_and_none_twice(rows: Rows) -> None:
    got = found(rows)
    assert [each.started_at for each in got] == sorted(each.started_at for each in got)
    for release in got:
        row, version = (release.started_at - START) // MINUTE, VERSIONS.index(release.version)
        assert any(each[version] for each in rows[row - MISSED : row + MISSED + 1])
        until = (release.finished - START) // MINUTE
        assert until == row or sum(1 for count in rows[until] if count) > 1 or release.stages
    assert all(earlier.version != later.version for earlier, later in pairwise(got))


@pytest.mark.slow
@given(SEEN, st.data())
def test_a_later_look_finds_the_same_and_forgets_none(rows: Rows, data: st.DataObject) -> None:
    until = data.draw(st.integers(0, len(rows)), label="until")
    after = {(each.started_at, each.version): each.stages for each in found(rows)}
    for release in found(rows[:until]):
        assert after[release.started_at, release.version][: len(release.stages)] == release.stages


@pytest.mark.slow
@given(SEEN, st.data())
def test_two_windows_find_the_same_where_both_look(rows: Rows, data: st.DataObject) -> None:
    since = data.draw(st.integers(0, len(rows)), label="since")
    everything, short = found(rows), found(rows[since:], since)
    assert all(each in everything for each in short)
    if short:  # from the first on that arrived in both
        assert short == [each for each in everything if each.started_at >= short[0].started_at]
