"""What each plug-in, page and command must have is there: `tests/support/todo.py` lists what is
not."""

from __future__ import annotations

import pytest

from tests.support.todo import todo

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]


def test_nothing_is_left_to_write() -> None:
    assert todo() == []
