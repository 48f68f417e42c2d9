"""What is known of a source is not asked again, and the result is the same to the bit."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.collectors import answer_file
from anomaly.collectors.answers import Answers
from anomaly.collectors.lanes import Lanes
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.collectors.prometheus_access import Access
from anomaly.collectors.prometheus_asking import OVERLAP, Asking
from anomaly.collectors.prometheus_http import Answer, Budget, Found, Question
from anomaly.collectors.promql import knows_its_range
from anomaly.engine import room
from anomaly.errors import CollectError, RetryableCollectError
from anomaly.model import Kpi, Window
from anomaly.panel import grid
from tests.support.scripted import constant, scripted

START = datetime(2025, 3, 3, tzinfo=UTC)
STEP = timedelta(minutes=5)
STEP_S = 300
FIRST = int(START.timestamp()) // STEP_S + 1  # the number of the first row, by its end
ROWS = 700  # of the usual window
NOW = START + ROWS * STEP


@dataclass
class Source:
    """What a server holds: a value per series and row; it remembers which rows it was asked for."""

    values: dict[tuple[str, int], float] = field(default_factory=dict)
    asked: list[range] = field(default_factory=list)
    identity: tuple[str, ...] = ("http://source",)
    fails: Exception | None = None

    def ask(self, question: Question, _budget: Budget, _found: Found) -> Answer:
        first = round(question.start.timestamp()) // STEP_S
        rows = range(first, first + question.moments)
        self.asked.append(rows)
        if self.fails is not None:
            raise self.fails
        series: dict[str, list[list[Any]]] = {}
        for (name, row), value in sorted(self.values.items()):
            if row in rows:
                series.setdefault(name, []).append([row * STEP_S, repr(value)])
        notes = ["PromQL info: named so"] if series else []
        return Answer(
            [{"metric": {"a": name}, "values": points} for name, points in series.items()], notes
        )

    def fill(self, name: str, rows: range, seed: int = 1) -> None:
        rng = np.random.default_rng([seed, *name.encode()])
        self.values |= {(name, row): float(rng.random()) for row in rows}


def source() -> Source:
    """One with two series of which the second begins late and has a gap."""
    out = Source()
    out.fill("x", range(FIRST, FIRST + 900))
    out.fill("y", range(FIRST + 300, FIRST + 900))
    for row in range(FIRST + 500, FIRST + 520):
        del out.values["y", row]
    return out


def collected(
    source: Source,
    answers: Answers | None,
    rows: range = range(ROWS),
    query: str = "q",
    limit: int = 9,
) -> Any:
    """The answer to a query over rows counted from the start, as bytes."""
    window = Window(START + rows.start * STEP, START + rows.stop * STEP)
    budget = Budget(time.monotonic() + 60, time.monotonic)
    with Lanes(2, "test") as lanes:
        api: Any = source
        asking = Asking(api, lanes, budget, grid(window, STEP), STEP, limit, answers)
        with asking.queries(["a"]) as queries:
            merged = queries.answer(lambda _: query)
    series = {
        dict(labels)["a"]: (each.values.tobytes(), each.answered.tobytes())
        for labels, each in merged.series.items()
    }
    return series, merged.notes


@contextmanager
def answers(path: Path | None, at: datetime = NOW, *windows: Window) -> Iterator[Answers]:
    with Answers(path, windows, now=at) as each:
        yield each


def from_start(*asked: range) -> list[range]:
    return sorted(
        (range(each.start - FIRST, each.stop - FIRST) for each in asked),
        key=lambda each: (each.start, each.stop),
    )


def look(server: Source, path: Path, rows: range = range(ROWS), at: datetime = NOW) -> Any:
    """What a look sees that knows the file; what it asked for is in `server.asked`."""
    server.asked = []
    with answers(path, at) as known:
        return collected(server, known, rows)


def fresh(server: Source, rows: range = range(ROWS)) -> Any:
    return collected(replace(server, asked=[]), None, rows)


def test_a_later_look_asks_for_what_is_new_and_checks_what_is_known(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    first = look(server, path)
    assert from_start(*server.asked) == [range(ROWS)]
    assert first == fresh(server)

    later = look(server, path, range(ROWS + 2))
    assert from_start(*server.asked) == [range(ROWS - OVERLAP, ROWS + 2)]
    assert later == fresh(server, range(ROWS + 2))


def test_a_window_that_begins_earlier_asks_for_its_beginning(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path, range(400, ROWS))
    assert look(server, path) == fresh(server)
    assert from_start(*server.asked) == [range(400), range(ROWS - OVERLAP, ROWS)]
    assert look(server, path, range(100, 650)) == fresh(server, range(100, 650))
    assert sum(map(len, server.asked)) == OVERLAP


def test_windows_apart_do_not_mix(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path, range(100))
    assert look(server, path, range(300, 600)) == fresh(server, range(300, 600))
    assert look(server, path, range(100)) == fresh(server, range(100))


@pytest.mark.slow
@pytest.mark.parametrize("row", [ROWS - OVERLAP, ROWS - 1])
@pytest.mark.parametrize("change", ["another value", "gone", "a new series"])
def test_a_past_that_changed_is_asked_again_whole(tmp_path: Path, row: int, change: str) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    if change == "gone":
        del server.values["x", FIRST + row]
    else:
        server.values["x" if change == "another value" else "z", FIRST + row] = 0.5

    assert look(server, path, range(ROWS + 1)) == fresh(server, range(ROWS + 1))
    assert range(ROWS + 1) in from_start(*server.asked)
    look(server, path, range(ROWS + 2))
    assert sum(map(len, server.asked)) == OVERLAP + 1


def test_what_was_asked_a_day_ago_is_asked_again(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    server.values["x", FIRST + 350] = 0.5  # where nobody looks
    assert look(server, path, at=NOW + timedelta(days=1, seconds=1)) == fresh(server)
    assert from_start(*server.asked) == [range(ROWS)]


def test_of_a_clock_that_was_set_back_nothing_is_believed(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    look(server, path, at=NOW - timedelta(minutes=1))
    assert from_start(*server.asked) == [range(ROWS)]


def test_a_source_that_fails_is_an_error_and_forgets_nothing(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    server.fails = RetryableCollectError("unavailable")
    with pytest.raises(RetryableCollectError):
        look(server, path)
    server.fails = None
    assert look(server, path) == fresh(server)
    assert sum(map(len, server.asked)) == OVERLAP


@pytest.mark.slow
@settings(deadline=None)
@given(data=st.data())
def test_known_or_not_the_answer_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    server, path = Source(), tmp_path_factory.mktemp("answers") / "answers"
    cells = st.tuples(st.sampled_from("xyz"), st.integers(0, 40))
    many = st.dictionaries(cells, st.sampled_from([0.0, -0.0, 1.5, float("nan")]), max_size=60)
    scale = 15  # rows of the test, so that there are several blocks
    for (name, place), value in data.draw(many).items():
        for row in range(place * scale, (place + 1) * scale):
            server.values[name, FIRST + row] = value
    end = 0
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, 300))
        end = data.draw(st.integers(max(start, end - 20) + 1, 600))
        assert look(server, path, range(start, end)) == fresh(server, range(start, end))


# The file


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "cut in the middle", "noise", "flipped", "empty", "no"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            content = content[:-5000]
        case "cut in the middle":
            content = content[: len(content) // 2 + 17]
        case "noise":
            content = bytearray(os.urandom(20_000))
        case "flipped":
            for place in range(8192, len(content), 512):
                content[place] ^= 0xFF
        case "empty":
            content = bytearray()
        case _:
            content = bytearray(b"no database")
    path.write_bytes(content)

    assert look(server, path, range(ROWS + 1)) == fresh(server, range(ROWS + 1))
    assert look(server, path, range(ROWS + 2)) == fresh(server, range(ROWS + 2))
    look(server, path, range(ROWS + 2))
    assert sum(map(len, server.asked)) == OVERLAP


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        "DROP TABLE block",
        "DELETE FROM block WHERE number % 2",
        "UPDATE block SET data = substr(data, 1, 99)",
        "UPDATE block SET sum = 0",
        "UPDATE query SET labels = '[[3]]'",
        "UPDATE query SET labels = '[]'",
        "UPDATE query SET notes = '{'",
        "UPDATE query SET start = 'x'",
        "UPDATE query SET stop = stop + 1000",
        "PRAGMA user_version = 99",
    ],
)
def test_odd_content_is_made_anew(tmp_path: Path, spoil: str) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    with sqlite3.connect(path) as connection:
        connection.execute(spoil)
    connection.close()

    assert look(server, path) == fresh(server)
    look(server, path)
    assert sum(map(len, server.asked)) == OVERLAP


@pytest.mark.parametrize("place", ["folder", "link", "under a file", "locked"])
def test_where_no_file_can_be_kept_all_is_asked(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_file, "BUSY_S", 0.01)
    server, path, other = source(), tmp_path / "answers", tmp_path / "other"
    locking = sqlite3.connect(":memory:", isolation_level=None)
    match place:
        case "folder":
            path.mkdir()
        case "link":
            other.write_bytes(b"precious")
            path.symlink_to(other)
        case "under a file":
            other.write_bytes(b"precious")
            path = other / "answers"
        case _:
            look(server, path)
            locking = sqlite3.connect(path, isolation_level=None)
            locking.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        assert look(server, path) == fresh(server)
        assert from_start(*server.asked) == [range(ROWS)]
    locking.close()
    assert not other.exists() or other.read_bytes() == b"precious"


def test_two_processes_at_once_spoil_nothing(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    server.fill("late", range(FIRST + ROWS, FIRST + ROWS + 1))
    server.fill("later", range(FIRST + ROWS + 1, FIRST + ROWS + 3))
    with answers(path) as one, answers(path) as two:
        one.known("elsewhere", range(3))
        assert collected(server, one, range(ROWS + 2)) == fresh(server, range(ROWS + 2))
        assert collected(server, two, range(ROWS + 1)) == fresh(server, range(ROWS + 1))
        assert collected(server, one, range(ROWS + 3)) == fresh(server, range(ROWS + 3))
        assert collected(server, two, range(ROWS)) == fresh(server, range(ROWS))
    assert look(server, path, range(ROWS + 4)) == fresh(server, range(ROWS + 4))


def test_one_that_read_before_another_wrote_does_not_overwrite(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    look(server, path)
    server.fill("late", range(FIRST + ROWS, FIRST + ROWS + 9))
    with answers(path) as one, answers(path) as two:
        ((key,),) = sqlite3.connect(path).execute("SELECT key FROM query").fetchall()
        rows = range(FIRST, FIRST + ROWS)
        before, _ = one.known(key, rows)
        assert before is not None
        collected(server, two, range(ROWS + 1))
        odd = replace(before, labels=tuple(reversed(before.labels)))
        one.keep(key, odd, [range(rows.stop - 1, rows.stop)], anew=False)
    assert look(server, path, range(ROWS + 2)) == fresh(server, range(ROWS + 2))


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers"
    look(source(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_the_file_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 60_000)
    server, path = source(), tmp_path / "answers"
    for hour in range(12):
        with answers(path, NOW + timedelta(hours=2 * hour)) as known:
            for query in ("q", f"q {hour}"):
                assert collected(server, known, query=query) == fresh(server)
    assert path.stat().st_size < 120_000


def test_what_is_in_use_makes_no_room_for_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the queries of one look would drive each other out, and none would ever be known."""
    monkeypatch.setattr(room, "MOST_BYTES", 60_000)
    server, path = source(), tmp_path / "answers"
    for _ in range(2):
        server.asked = []
        with answers(path) as known:
            for number in range(5):
                collected(server, known, query=f"q {number}")
    assert sum(map(len, server.asked)) < 5 * ROWS


@pytest.mark.slow
def test_rows_long_before_the_window_are_dropped(tmp_path: Path) -> None:
    server, path = source(), tmp_path / "answers"
    server.fill("x", range(FIRST, FIRST + 20_000))
    for start in range(0, 10_000, 400):
        look(server, path, range(start, start + ROWS))
    assert look(server, path, range(9_700, 9_700 + ROWS)) == fresh(
        server, range(9_700, 9_700 + ROWS)
    )
    (blocks,) = sqlite3.connect(path).execute("SELECT count(*) FROM block").fetchone()
    assert blocks <= 3 + 2 * ROWS / answer_file.BLOCK


# What may be kept


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum by (a) (increase(orders_total[5m]))", False),
        ('histogram_quantile(0.9, sum by (le) (rate(x_bucket{end="start"}[5m])))', False),
        ("topk(5, start_time_seconds) + end", False),
        ("sum(rate(x[5m] @ end()))", True),
        ("x @ start()", True),
        ("range_normalize(x)", True),
        ("running_sum(x)", True),
        ("topk_avg(3, x)", True),
        ("keep_last_value(x)", True),
        ("sum(x) by (a) limit 3", True),
    ],
)
def test_a_query_that_looks_at_the_whole_range_is_not_kept(query: str, *, expected: bool) -> None:
    assert knows_its_range(query) is expected


def test_it_is_asked_whole_each_time(tmp_path: Path) -> None:
    server = source()
    with answers(tmp_path / "answers") as known:
        for _ in range(2):
            collected(server, known, query="x @ end()")
    assert from_start(*server.asked) == [range(ROWS)] * 2


def test_tenants_and_addresses_do_not_mix_and_tokens_do_not_count() -> None:
    def identity(**more: Any) -> tuple[str, ...]:
        return Access(**{"url": "http://host", **more}).identity

    alike = [
        identity(),
        identity(bearer_token="one"),
        identity(url="http://host/"),
        identity(headers={"Authorization": "Basic abc"}) == identity(),
    ]
    others = [
        identity(url="http://host/tenant"),
        identity(username="a", password="b"),
        identity(headers={"X-Scope-OrgID": "shop"}),
        identity(headers={"X-Scope-OrgID": "bank"}),
    ]
    assert alike[:3] == [identity()] * 3
    assert len({identity(), *others}) == 5
    assert identity(username="a", password="b") == identity(username="a", password="c")
    assert identity(url="http://a:b@host") == identity(username="a", password="b")
    one, two = ({"X-Api-Key": value} for value in ("one", "two"))
    assert identity(headers=one) == identity(headers=two)


@pytest.mark.usefixtures("loopback")
def test_no_secret_and_no_query_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    with scripted(constant("1.25", a="x")) as script, answers(path) as known:
        collector = PrometheusCollector(
            url=script.url + "/hunter1",
            bearer_token="hunter2",
            headers={"X-Token": "hunter3", "X-Scope-OrgID": "hunter4"},
            answers=known,
        )
        kpi = Kpi("errors", query='max by (a) (hunter5{b="hunter6"})', by=("a",))
        window = Window(START, START + ROWS * STEP)
        assert not collector.collect([kpi], window, STEP).errors
    assert b"hunter" not in path.read_bytes()


# Shared by releases


def test_windows_that_overlap_are_asked_once(tmp_path: Path) -> None:
    server = source()
    spans = [range(40 * number, 500 + 40 * number) for number in range(5)]
    windows = [Window(START + each.start * STEP, START + each.stop * STEP) for each in spans]
    for path in (None, tmp_path / "answers"):
        server.asked = []
        with answers(path, NOW, *windows) as known:
            for rows in spans:
                assert collected(server, known, rows) == fresh(server, rows)
        assert from_start(*server.asked) == [range(660)]


def test_windows_apart_are_asked_each(tmp_path: Path) -> None:
    server = source()
    windows = [Window(START + at * STEP, START + (at + 50) * STEP) for at in (0, 400)]
    with answers(None, NOW, *windows) as known:
        for _ in range(2):
            for at in (400, 0):
                rows = range(at, at + 50)
                assert collected(server, known, rows) == fresh(server, rows)
    assert sum(map(len, server.asked)) <= 4 * 50


def test_a_step_that_settles_meanwhile_is_asked_alone() -> None:
    server = source()
    windows = [Window(START + at * STEP, START + 500 * STEP) for at in (0, 20)]
    with answers(None, NOW, *windows) as known:
        collected(server, known, range(500))
        assert collected(server, known, range(20, 501)) == fresh(server, range(20, 501))
    assert from_start(*server.asked) == [range(500), range(500, 501)]


def test_what_is_too_much_for_all_together_is_asked_for_each() -> None:
    server = source()
    for number in range(3):
        server.fill(f"pod {number}", range(FIRST + 100 * number, FIRST + 100 * number + 50))
    windows = [Window(START + at * STEP, START + (at + 150) * STEP) for at in (0, 120)]
    with answers(None, NOW, *windows) as known:
        for at in (0, 120):
            rows = range(at, at + 150)
            assert collected(server, known, rows, limit=3) == fresh(server, rows)
        with pytest.raises(CollectError, match="more than 3 series"):
            collected(server, known, range(270), limit=3)
