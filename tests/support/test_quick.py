"""`make quick` stays worth running: every room of the package has quick tests."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import STARTS_SERVERS
from tests.support.places import ROOT

ROOMS = sorted(file.parent.name for file in (ROOT / "anomaly").glob("*/__init__.py"))
ELSEWHERE = {"http": "sinks/test_webhook.py"}  # where the tests of a room are, if not in its own
LEAST = 3


def quick_tests(source: str) -> list[str]:
    """The names of the tests in a file that are neither marked slow nor ask for a server."""
    body = ast.parse(source).body
    if any("mark.slow" in ast.unparse(each) for each in body if _is_mark_of_file(each)):
        return []
    return [
        each.name
        for each in body
        if isinstance(each, ast.FunctionDef)
        and each.name.startswith("test_")
        and not any("mark.slow" in ast.unparse(mark) for mark in each.decorator_list)
        and STARTS_SERVERS.isdisjoint(argument.arg for argument in each.args.args)
    ]


def _is_mark_of_file(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark"


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_quick_tests(room: str) -> None:
    tests = ROOT / "tests"
    files = [tests / ELSEWHERE[room]] if room in ELSEWHERE else (tests / room).rglob("test_*.py")

    quick = [name for file in files for name in quick_tests(file.read_text(encoding="utf-8"))]

    assert len(quick) >= LEAST, f"write quick tests for anomaly/{room}, or mark fewer as slow"


def test_a_slow_test_is_not_counted() -> None:
    source = """
def test_one(): ...
@pytest.mark.slow
def test_two(): ...
def test_three(chromium): ...
"""

    assert quick_tests(source) == ["test_one"]
    assert quick_tests(f"pytestmark = pytest.mark.slow\n{source}") == []
