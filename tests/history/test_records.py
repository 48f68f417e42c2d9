"""Ids: what stays the same, and what must differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anomaly.history.records import release_id
from anomaly.model import Release
from tests.support import reports


def test_the_key_names_the_release_and_not_the_look() -> None:
    early = replace(reports.early(), release=reports.failing().release)
    assert release_id(reports.failing().release) == release_id(early.release)
    assert release_id(reports.failing().release) == "3c0625e08b30aa5226a0c9191fd50330"


@pytest.mark.parametrize(
    "change",
    [{"service": "x"}, {"environment": "x"}, {"version": "x"}, {"started_at": reports.at("10:29")}],
)
def test_another_release_has_another_key(change: dict[str, str]) -> None:
    # # one field of its own type at a time
    other = Release(
        **{  # type: ignore[arg-type]
            "started_at": reports.RELEASED,
            "service": "shop",
            "version": "1.4.2",
            "environment": "production",
        }
        | change
    )
    assert release_id(other) != release_id(reports.failing().release)


def test_text_that_moves_between_fields_makes_another_key() -> None:
    first = Release(reports.RELEASED, service="a", version="bc")
    second = Release(reports.RELEASED, service="ab", version="c")
    assert release_id(first) != release_id(second)
