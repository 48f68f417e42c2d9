"""The comparison of two revisions: what is told, what fails, and that nothing is left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare
from benchmarks.compare import Costs, changes, checked_out
from tests.support.places import ROOT


def rounds(seed: int, **factors: float | None) -> list[Costs]:
    """Ten rounds of costs that differ by noise, times the factors."""
    rng = np.random.default_rng(seed)
    usual = {"judging": 1.0, "baseline": 0.3, "HTML": 0.2, "split": 0.0001, "start-up": 1.0}
    out: list[Costs] = []
    for _ in range(10):
        costs: Costs = {}
        for name, cost in usual.items():
            factor = factors.get(name.replace("-", "_"), 1.0)
            costs[name] = None if factor is None else cost * factor * float(rng.normal(1, 0.01))
        out.append(costs)
    return out


def words(before: list[Costs], after: list[Costs]) -> dict[str, str]:
    return {each.name: each.word for each in changes(before, after)}


def regressions(before: list[Costs], after: list[Costs]) -> list[str]:
    return [each.name for each in changes(before, after) if each.is_regression]


def test_noise_is_no_change_and_what_takes_no_time_is_left_out() -> None:
    assert words(rounds(1), rounds(2)) == dict.fromkeys(
        ("judging", "baseline", "HTML", "start-up"), ""
    )


def test_what_is_dearer_or_cheaper_is_told_and_fails_where_a_user_waits() -> None:
    after = rounds(2, judging=1.15, baseline=2.0, HTML=0.8, start_up=1.05)

    assert words(rounds(1), after) == {
        "judging": "dearer",
        "baseline": "dearer",
        "HTML": "cheaper",
        "start-up": "dearer",
    }
    assert regressions(rounds(1), after) == ["judging"]


def test_a_stage_that_one_revision_lacks_is_named() -> None:
    found = changes(rounds(1, baseline=None), rounds(2))

    assert {each.name: each.word for each in found}["baseline"] == "only in one"
    assert not any(each.is_regression for each in found)
    assert all(each.name in each.line() for each in found)


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.3, 1)])
def test_the_exit_code_says_whether_a_user_waits_longer(
    factor: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"a": rounds(1), "b": rounds(2, judging=factor)}
    monkeypatch.setattr(compare, "checked_out", FakeCheckout)
    monkeypatch.setattr(
        compare,
        "in_rounds",
        lambda one, other, _rounds: changes(made[one.name], made[other.name]),
    )

    assert compare.main(["a", "b"]) == code
    assert ("REGRESSION" in capsys.readouterr().out) is bool(code)


class FakeCheckout:
    """A revision that needs no checkout."""

    def __init__(self, name: str, folder: Path) -> None:
        self.side = compare.Side(name, folder)

    def __enter__(self) -> compare.Side:
        return self.side

    def __exit__(self, *_error: object) -> None:
        pass


def test_an_unknown_revision_ends_the_run_with_its_name(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match="no-such-revision"),
        checked_out("no-such-revision", tmp_path / "a"),
    ):
        pass


@pytest.mark.slow
def test_a_revision_has_its_own_code_the_benchmarks_of_this_one_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, said = tmp_path / "repository", compare._said
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, repository], check=True)
    (repository / "benchmarks" / "new.py").write_text("NEW = True\n", encoding="utf-8")
    monkeypatch.setattr(compare, "ROOT", repository)
    synced = []

    def without_sync(command: list[str], folder: Path) -> str:
        if "sync" in command:
            synced.append((command[1:], folder))
            return ""
        return said(command, folder)

    monkeypatch.setattr(compare, "_said", without_sync)
    with checked_out("HEAD", tmp_path / "a") as side:
        assert (side.folder / "anomaly" / "pipeline.py").exists()
        assert (side.folder / "benchmarks" / "new.py").exists()
        assert side.python == str(tmp_path / "a" / ".venv" / "bin" / "python")
    assert synced == [(["sync", "--frozen", "--no-dev", "--quiet"], tmp_path / "a")]
    assert not (tmp_path / "a").exists()
    assert said(["git", "worktree", "list"], repository).count("\n") == 0
