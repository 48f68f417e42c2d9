"""Releases about which nobody who sees the plot would argue are answered right.

With so few seeds a kind that gives its right answer as often as it promises could be unlucky. The
tests allow for that: they ask for the fewest right answers that such a kind falls below in less
than one of 10,000 draws of the seeds. `make obvious` judges more seeds, and asks for the whole
share.
"""

from __future__ import annotations

import pytest
from scipy.stats import binom

from tests.obvious.catalogue import CERTAIN, FOUND, Kind, cases
from tests.obvious.kinds import GROUPS, KINDS

SEEDS = 6
CHANCE = 1e-4  # that a kind which holds its share is taken for one that does not


def allowance(share: float) -> int:
    """The fewest right answers of `SEEDS` that a kind which is right in this share falls below with
    a probability under `CHANCE`."""
    return max(int(binom.ppf(CHANCE, SEEDS, share)), 0)


def right(which: Kind, enough: int) -> int:
    """How many of the seeds are answered right; counted until they are enough."""
    count = 0
    for seed in range(SEEDS):
        count += which.answer(seed)
        if count >= enough:
            break
    return count


@pytest.mark.slow
@pytest.mark.parametrize("which", KINDS, ids=lambda which: which.name)
def test_a_kind_is_answered_right(which: Kind) -> None:
    enough = allowance(which.at_least)
    count = right(which, enough)
    assert count >= enough, f"{count} of {SEEDS} seeds are right"


def test_so_few_seeds_allow_for_bad_luck_and_for_no_more() -> None:
    for share in (CERTAIN, FOUND, 0.7):
        fewest = allowance(share)
        assert binom.cdf(fewest - 1, SEEDS, share) < CHANCE <= binom.cdf(fewest, SEEDS, share)


def test_a_case_is_the_same_whenever_it_is_made() -> None:
    for which in KINDS[:: len(KINDS) // 10]:
        (one,), (other,) = cases(which, 1), cases(which, 1)
        assert one.series().equals(other.series())
        assert one.released == other.released


def test_kinds_stand_group_by_group_and_every_group_has_harm_and_none() -> None:
    groups = [which.group for which in KINDS]
    assert groups == sorted(groups, key=GROUPS.index)
    for group in GROUPS:
        harm = {which.harmful for which in KINDS if which.group == group}
        assert harm == ({True} if group == "sensitivity" else {True, False})
