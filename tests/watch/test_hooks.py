"""Hooks run at most once a release and occasion, whatever happens to the process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.history.records import Progress, State
from anomaly.history.store import Store
from anomaly.watch.look import BEGUN, receivers_of, sinks_of
from anomaly.watch.tick import TickResult, tick
from tests.support.operation import Shop

pytestmark = pytest.mark.slow

LOG = "hooks.log"
SAYS = 'echo "$ANOMALY_VERSION $ANOMALY_VERDICT $ANOMALY_ACTION $0" >> hooks.log; echo done'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "history.db") as store:
        yield store


def hooks(script: str, *occasions: str, dry_run: bool = False) -> str:
    """The part of a checklist that runs a shell script on each of these occasions."""
    named = {
        occasion: [{"type": "command", "run": ["sh", "-c", script, occasion]}]
        for occasion in occasions
    }
    return f"on: {json.dumps({'dry_run': dry_run, **named})}\n"


OCCASIONS = ("fire", "hold", "resolve", "pass")


def tick_at(shop: Shop, store: Store, hours: float) -> TickResult:
    shop.at(hours)
    checklist = shop.checklist()
    return tick(
        checklist,
        store,
        receivers_of(checklist),
        holder="me",
        clock=shop.clock,
        sleep=lambda _: None,
    )


def ran() -> list[str]:
    return Path(LOG).read_text(encoding="utf-8").splitlines() if Path(LOG).exists() else []


def test_each_runs_once_in_a_whole_watch(tmp_path: Path, store: Store) -> None:
    shop = Shop(tmp_path, {"errors": (1.0, 4.0)}, more=hooks(SAYS, *OCCASIONS), watch="8h")
    record = store.track(shop.release(), origin="command")

    for half_hours in range(1, 19):
        tick_at(shop, store, half_hours / 2)

    fired, resolved, passed = ran()
    assert fired == "2.0 fail fire fire"
    assert resolved == "2.0 pass resolve resolve"
    assert passed == "2.0 pass inform pass"
    messages = store.messages(record.id)
    assert {each.sink for each in messages} == {"on fire", "on resolve", "on pass"}
    assert {each.detail for each in messages} == {"sh ended with 0: done"}


def test_a_signal_holds_and_does_not_fire(tmp_path: Path, store: Store) -> None:
    shop = Shop(tmp_path, {"errors": (1.0, 9.0)}, more=hooks(SAYS, *OCCASIONS))
    text = (tmp_path / "checklist.yaml").read_text(encoding="utf-8")
    (tmp_path / "checklist.yaml").write_text(
        text.replace("critical: true", "severity: signal"), encoding="utf-8"
    )
    store.track(shop.release(), origin="command")

    for hours in (2, 3, 4):
        tick_at(shop, store, hours)

    assert ran() == ["2.0 hold fire hold"]


def test_by_default_it_only_says_what_it_would_do_and_does_it_once_it_may(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=hooks(SAYS, "fire", dry_run=True))
    record = store.track(shop.release(), origin="command")

    (receipt,) = [each for hours in (3, 4) for each in tick_at(shop, store, hours).receipts]

    assert receipt.sink == "on fire (dry run)"
    assert receipt.delivered
    assert receipt.detail.startswith("dry run: would run sh -c ")
    assert ran() == []

    Shop(tmp_path, more=hooks(SAYS, "fire"))
    for hours in (5, 6):
        tick_at(shop, store, hours)
    assert ran() == ["2.0 fail fire fire"]
    assert [each.sink for each in store.messages(record.id)] == ["on fire (dry run)", "on fire"]


def test_one_that_fails_is_said_and_not_run_again(tmp_path: Path, store: Store) -> None:
    script = f"{SAYS} >&2; echo no such rollout; exit 3"
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=hooks(script, "fire"))
    record = store.track(shop.release(), origin="command")

    (receipt,) = [each for hours in (3, 4, 5) for each in tick_at(shop, store, hours).receipts]

    assert not receipt.delivered
    assert receipt.detail == "sh ended with 3: no such rollout"
    assert len(ran()) == 1
    (message,) = store.messages(record.id)
    assert message.progress is Progress.FAILED


def _killed(folder: Path) -> None:
    """A step whose hook kills the process that runs it."""
    os.chdir(folder)
    with Store(folder / "history.db") as store:
        tick_at(Shop(folder, {"errors": (0.0, 12.0)}, more=_suicide()), store, 3)


def _suicide() -> str:
    return hooks(f"{SAYS}; kill -KILL {os.getpid()}", "fire")


def test_it_does_not_run_again_after_the_process_that_ran_it_was_killed(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)})
    record = store.track(shop.release(), origin="command")

    child = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL

    Shop(tmp_path, more=hooks(SAYS, "fire"))
    for hours in (4, 5):
        tick_at(shop, store, hours)
    assert ran() == ["2.0 fail fire fire"]
    (message,) = store.messages(record.id)
    assert (message.progress, message.detail) == (Progress.FAILED, BEGUN)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("later", "not run: it was due 30m ago or longer"),
        ("aborted", "not run: the release was aborted"),
        ("followed", "not run: release 2.1 has followed"),
    ],
)
def test_it_does_not_run_where_it_would_hit_something_else(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, change: str, reason: str
) -> None:
    """The process died after the look was kept and before the hook began."""
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=hooks(SAYS, "fire"))
    record = store.track(shop.release(), origin="command")
    with monkeypatch.context() as patch:
        patch.setattr("anomaly.watch.tick.tell", lambda *_, **__: ())
        tick_at(shop, store, 3)
    if change == "aborted":
        store.change(record.id, state=State.ABORTED)
    if change == "followed":
        store.track(shop.release(3.0, "2.1"), origin="command")

    receipts = tick_at(shop, store, 3.6 if change == "later" else 3.1).receipts

    assert [each.detail for each in receipts if each.sink == "on fire"] == [reason]
    assert ran() == []


def test_an_aborted_release_is_looked_at_once_and_runs_nothing(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=hooks(SAYS, *OCCASIONS))
    record = store.track(shop.release(), origin="command")
    tick_at(shop, store, 3)
    store.change(record.id, state=State.ABORTED)

    for hours in (4, 5):
        assert tick_at(shop, store, hours) == TickResult()

    assert ran() == ["2.0 fail fire fire"]
    names = [each.name for each in sinks_of(receivers_of(shop.checklist()))]
    assert store.alarmed_aborts("shop", "production", names) == []


def test_without_a_history_that_lasts_nothing_runs_and_a_trial_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pager = {"type": "alertmanager", "url": "http://127.0.0.1:9"}  # one that merges what it is told
    on = {"dry_run": False, "fire": [pager, {"type": "command", "run": ["touch", "ran"]}]}
    shop = Shop(
        tmp_path, more=f"on: {json.dumps(on)}\nsinks: [{{type: jsonl, path: told.jsonl}}]\n"
    )

    assert [each.dedupes for each in receivers_of(shop.checklist())] == [False] * 3
    assert run(["sinks", "test", "checklist.yaml"]) == 0, capsys.readouterr().err

    assert "jsonl" in capsys.readouterr().out
    assert not Path("ran").exists()


def test_two_of_one_occasion_run_both(tmp_path: Path, store: Store) -> None:
    both = [{"type": "command", "run": ["sh", "-c", SAYS, name]} for name in ("a", "b")]
    more = f"on: {json.dumps({'dry_run': False, 'fire': both})}\n"
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=more)
    store.track(shop.release(), origin="command")

    result = tick_at(shop, store, 3)

    assert [each.sink for each in result.receipts] == ["on fire", "on fire 2"]
    assert ran() == ["2.0 fail fire a", "2.0 fail fire b"]


def test_the_report_is_on_its_standard_input(tmp_path: Path, store: Store) -> None:
    read = "import json, sys; print(json.load(sys.stdin)['release']['version'])"
    reader = {"type": "command", "run": [sys.executable, "-c", read]}
    more = f"on: {json.dumps({'dry_run': False, 'fire': [reader]})}\n"
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)}, more=more)
    store.track(shop.release(), origin="command")

    (receipt,) = tick_at(shop, store, 3).receipts

    assert receipt.detail.endswith("ended with 0: 2.0")
